"""Whole deployments that others measured, each beside its simulation: a closed loop of as many clients as in flight.

    python benchmarks/simulated_serving.py --data DIR [--every N] [--from N] [--half fitted|judged] [--fit]

Means over all requests of a row of TTFT, TPOT and end to end (TTFT + (generated - 1) TPOT), those of the first burst
among them, and how far they are off, by engine, model, device and clients. Lengths are drawn as the scripts of the rows
drew them, from 0.8 of the longest on, which keeps clients from staying in step, or are all alike. How the engines were
told to schedule is read from those scripts; of rows without a date from the rules by which aiconfigurator sets up its
own benchmarks. ``--fit`` looks for the front end's time of a request, engine by engine, that has the least median error
of TTFT over every other pair of model and system, and scores it on the others; nothing else is fitted here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from serving_sets import SHORTEST, Deployment, halves, load_deployments

import roofline
from roofline.errors import RooflineError
from roofline.models.model import Model
from roofline.number import Grid

ROUNDS = 10
FRONT_ENDS = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0)
"""Milliseconds that ``--fit`` tries."""
NAMES = ("TTFT", "TPOT", "end to end")
_LENGTHS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """A row with what is predicted of it over what was measured: TTFT, TPOT, end to end."""

    row: Deployment
    ratios: tuple[float, ...]


@cache
def _model(name: str) -> Model:
    return roofline.load_model(name)


def simulated(row: Deployment, front_end: float | None = None) -> Answer:
    """A row's simulation, with a front end of so many milliseconds. Raises RooflineError for what is refused."""
    how = dict(row.served)
    if front_end is not None:
        how["set"] = {**(how["set"] or {}), "engine.front_end": f"{front_end:g} ms"}
    hardware = f"{row.tp}x{row.hardware}" if row.tp > 1 else row.hardware
    found = roofline.simulate(
        _model(row.model), hardware, concurrency=row.in_flight, tp=row.tp, ep=row.ep, requests=ROUNDS * row.in_flight,
        prompt=_lengths(row.prompt, row.drawn), generate=_lengths(row.generate, row.drawn), **how,
    )  # fmt: skip
    ttft, tpot = (float(times.mean()) for times in (found.ledger.ttft_s, found.ledger.tpot_s))
    measured = (row.ttft_s, row.tpot_s, row.ttft_s + (row.generate - 1) * row.tpot_s)
    predicted = (ttft, tpot, ttft + (row.generate - 1) * tpot)
    return Answer(row, tuple(ours / theirs for ours, theirs in zip(predicted, measured, strict=True)))


def _lengths(mean: int, drawn: bool) -> str:
    """One length, or some around a mean that are equally likely."""
    if not drawn:
        return str(mean)
    longest = mean / (SHORTEST + 1) * 2
    parts = (SHORTEST + (1 - SHORTEST) * (k + 0.5) / _LENGTHS for k in range(_LENGTHS))
    return "/".join(str(round(longest * part)) for part in parts)


def scored(answers: Sequence[Answer], by: Callable[[Deployment], object], told: str) -> None:
    """Median, 90th percentile of the error and bias, group by group."""
    for group in sorted({by(answer.row) for answer in answers}, key=str):
        ratios: Grid = np.array([answer.ratios for answer in answers if by(answer.row) == group])
        errors = np.abs(ratios - 1)
        cells = (
            f"{name} {np.median(error):6.1%} p90 {np.percentile(error, 90):6.1%} bias {np.median(ratio):5.2f}"
            for name, error, ratio in zip(NAMES, errors.T, ratios.T, strict=True)
        )
        print(f"{told} {group!s:14} n {len(ratios):4}  {'   '.join(cells)}")


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
            found.append(abs(simulated(row, front_end).ratios[0] - 1))
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
    asked = parser.parse_args()
    rows = load_deployments(asked.data, most=10_000)
    if asked.half:
        rows = halves(rows)[asked.half == "judged"]
    rows = rows[asked.first :: asked.every]
    if asked.fit:
        fit(rows)
        return 0
    answers, refused = [], []
    for row in rows:
        try:
            answers.append(simulated(row))
        except RooflineError as failure:
            refused.append(str(failure))
    scored(answers, lambda row: "all", "rows")
    scored(answers, lambda row: row.engine, "engine")
    scored(answers, lambda row: row.model, "model")
    scored(answers, lambda row: row.hardware, "device")
    scored(answers, lambda row: row.in_flight, "clients")
    for why in sorted(set(refused)):
        print(f"refused {refused.count(why)}: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
