"""Whole deployments that others measured, each beside its simulation: a closed loop of as many clients as in flight.

    python benchmarks/simulated_serving.py --data DIR [--every N] [--from N] [--half fitted|judged] [--fit] [--write]

Means over all requests of a row of TTFT, TPOT and end to end (TTFT + (generated - 1) TPOT), those of the first burst
among them, and how far they are off, by engine, model, device and clients. Lengths are drawn as the scripts of the rows
drew them, from 0.8 of the longest on, which keeps clients from staying in step, or are all alike. How the engines were
told to schedule is read from those scripts; of rows without a date from the rules by which aiconfigurator sets up its
own benchmarks. Covered is what lies between the same requests with every step at the fast and at the slow end of its
band. Beside them the naive roofline: a prompt alone and a decode step of as many sequences as in flight, each operator
at max(FLOPs / peak, bytes / bandwidth). ``--fit`` looks for the front end's time of a request, engine by engine, that
has the least median error of TTFT over every other pair of model and system, and scores it on the others; nothing else
is fitted here. ``--write`` renews docs/accuracy.json, from which docs/accuracy.md has its table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from device_board import figures as figures_of
from device_board import store
from serving_sets import SHORTEST, Deployment, halves, load_deployments

import roofline
from roofline.errors import RooflineError
from roofline.number import Grid
from roofline.simulation.ledger import Ledger
from roofline.simulation.simulate import Simulation
from roofline.timing.timing import Timing

ROUNDS = 10
FRONT_ENDS = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0)
"""Milliseconds that ``--fit`` tries."""
NAMES = ("TTFT", "TPOT", "end to end")
FIGURES = ("n", "median", "mean", "p90", "bias", "cover", "naive_median", "naive_mean")
GROUPS: Mapping[str, Callable[[Deployment], Any]] = {
    "all": lambda row: "",
    "engine": lambda row: row.engine,
    "model": lambda row: row.model,
    "device": lambda row: row.hardware,
    "in flight": lambda row: row.in_flight,
}
"""What tells rows apart."""
_LENGTHS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A row with what was predicted and measured: TTFT, TPOT, end to end. [s]

    ``low`` and ``high``: the same requests with every step at an end of its band. ``naive``: the roofline of the data
    sheet, of a prompt alone and of a decode step with all that is in flight.
    """

    row: Deployment
    expected: Grid
    low: Grid
    high: Grid
    naive: Grid

    @classmethod
    def of(cls, row: Deployment) -> Answer:
        """The whole answer. Raises RooflineError for what is refused."""
        found = simulated(row)
        expected, low, high = (_means(row, ledger) for ledger in (found.ledger, found.paced(0), found.paced(1)))
        return cls(row, expected, low, high, _naive(row))

    @property
    def measured(self) -> Grid:
        """What a client waited. [s]"""
        return _whole(self.row, self.row.ttft_s, self.row.tpot_s)


def _naive(row: Deployment) -> Grid:
    asked = {"tp": row.tp, "ep": row.ep, "prompt": row.prompt, "generate": row.generate, **row.how}
    one, many = (
        roofline.predict(row.served_model, row.devices, batch=batch, constants="datasheet", **asked).phases
        for batch in (1, row.in_flight)
    )
    return _whole(row, one["prefill"].figures.bound_s, many["decode"].figures.bound_s)


def _whole(row: Deployment, ttft_s: float, tpot_s: float) -> Grid:
    return np.array([ttft_s, tpot_s, ttft_s + (row.generate - 1) * tpot_s])


def _means(row: Deployment, ledger: Ledger) -> Grid:
    return _whole(row, *(float(times.mean()) for times in (ledger.ttft_s, ledger.tpot_s)))


def simulated(row: Deployment, front_end: float | None = None) -> Simulation:
    """A row's simulation, with a front end of so many milliseconds. Raises RooflineError for what is refused."""
    how = dict(row.served)
    if front_end is not None:
        how["set"] = {**(how["set"] or {}), "engine.front_end": f"{front_end:g} ms"}
    return roofline.simulate(
        row.served_model, row.devices, concurrency=row.in_flight, tp=row.tp, ep=row.ep,
        requests=ROUNDS * row.in_flight, prompt=_lengths(row.prompt, row.drawn),
        generate=_lengths(row.generate, row.drawn), **how,
    )  # fmt: skip


def _lengths(mean: int, drawn: bool) -> str:
    """One length, or some around a mean that are equally likely."""
    if not drawn:
        return str(mean)
    longest = mean / (SHORTEST + 1) * 2
    parts = (SHORTEST + (1 - SHORTEST) * (k + 0.5) / _LENGTHS for k in range(_LENGTHS))
    return "/".join(str(round(longest * part)) for part in parts)


def records(rows: str, answers: Sequence[Answer], by: Collection[str]) -> Iterator[dict[str, Any]]:
    """The figures of each time, of all rows and of each group of them; ``by`` names what tells groups apart."""
    expected, naive, low, high, measured = (
        np.array([getattr(answer, name) for answer in answers])
        for name in ("expected", "naive", "low", "high", "measured")
    )
    for name in ("all", *by):
        of = np.array([GROUPS[name](answer.row) for answer in answers])
        for group in np.unique(of):
            own = of == group
            for place, time in enumerate(NAMES):
                told = Timing(*(each[own, place] for each in (expected, naive, low, high)))
                figures = figures_of(told, naive[own, place], measured[own, place])
                named = {"rows": rows, "by": name, "group": f"{group}" if name != "all" else "", "time": time}
                yield named | {figure: round(value, 4) for figure, value in figures.items() if figure in FIGURES}


def table(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The records in Markdown."""
    yield "| rows | time | " + " | ".join(name.replace("_", " ") for name in FIGURES) + " |"
    yield "|---" * 2 + "|--:" * len(FIGURES) + "|"
    for one in records:
        which = one["rows"] if one["by"] == "all" else f"{one['rows']}, {one['by']} {one['group']}"
        if one["by"] == "in flight":
            which = f"{one['rows']}, {one['group']} in flight"
        yield f"| {which} | {one['time']} | {' | '.join(cells(one))} |"


def cells(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The figures of a record as a table has them."""
    n, *errors, bias, cover, naive, naive_mean = (record[name] for name in FIGURES)
    percents = [f"{100 * value:.1f} %" for value in (*errors, naive, naive_mean)]
    return (f"{n:,}", *percents[:3], f"{bias:.2f}", f"{100 * cover:.0f} %", *percents[3:])


def board(data: Path) -> Iterator[dict[str, Any]]:
    """The records of both halves, that which was fitted to in fewer groups."""
    fitted, judged = halves(load_deployments(data, most=10_000))
    yield from records("judged half", answered(judged)[0], ("engine", "model", "device", "in flight"))
    yield from records("fitted half", answered(fitted)[0], ("engine", "model"))


def answered(rows: Iterable[Deployment]) -> tuple[list[Answer], list[str]]:
    """The simulations of rows, and why the others have none."""
    found, refused = [], []
    for row in rows:
        try:
            found.append(Answer.of(row))
        except RooflineError as failure:
            refused.append(str(failure))
    return found, refused


def fit(rows: Sequence[Deployment]) -> None:
    """Print, engine by engine, the median error of TTFT by the front end's time over the first half of the pairs, and
    that of the best one, beside none, over the other half.
    """
    for engine in sorted({row.engine for row in rows}):
        first, other = ([row for row in half if row.engine == engine] for half in halves(rows))
        errors = {each: _off(first, each) for each in FRONT_ENDS}
        best = min(errors, key=lambda each: errors[each])
        print(f"{engine:13} fitted n {len(first):4}", *(f"{each:g} ms {off:5.1%}" for each, off in errors.items()))
        print(f"{engine:13} judged n {len(other):4}", *(f"{each:g} ms {_off(other, each):5.1%}" for each in (0, best)))


def _off(rows: Sequence[Deployment], front_end: float) -> float:
    """The median error of TTFT."""
    found = []
    for row in rows:
        try:
            found.append(abs(simulated(row, front_end).ledger.ttft_s.mean() / row.ttft_s - 1))
        except RooflineError:
            continue
    return float(np.median(found)) if found else float("nan")


def main() -> int:
    """Print the scoreboards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--half", choices=("fitted", "judged"))
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--write", action="store_true", help="renew docs/accuracy.json with all rows of both halves")
    asked = parser.parse_args()
    rows = load_deployments(asked.data, most=10_000)
    if asked.half:
        rows = halves(rows)[asked.half == "judged"]
    rows = rows[asked.first :: asked.every]
    if asked.fit:
        fit(rows)
        return 0
    if asked.write:
        found = list(board(asked.data))
        store("simulated serving", found)
        print("\n".join(table(found)))
        return 0
    answers, refused = answered(rows)
    print("\n".join(table(records(asked.half or "rows", answers, ("engine", "model", "device", "in flight")))))
    for why in sorted(set(refused)):
        print(f"refused {refused.count(why)}: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
