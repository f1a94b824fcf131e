"""Host time of engines, per step and per request, fitted to whole deployments, and the scoreboard of these.

python benchmarks/fit_serving.py --data DIR [--write]

Fitted are ``host_step`` and ``host_request`` of each engine, and nothing else, to the time per output token of dense
models on the first half of the pairs of model and hardware, every second one in their order; judged is the other half.
Rows in fp4 are in no fit: the host is the same, and their kernels take a sixth longer than by themselves, for which it
would have to stand.
An engine that has no rows in a half states none. --write puts them into engines/*.yaml and renews docs/accuracy.json.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from device_board import store
from scipy.optimize import minimize
from serving_sets import DENSE, MOST_IN_FLIGHT, Answer, Deployment, answers, halves, load_deployments

from roofline.engines.library import load_engine
from roofline.files.atomic import atomic_writer
from roofline.number import Grid

Hosts: TypeAlias = Mapping[str, tuple[float, float]]
"""Engine -> seconds of a step, and of each of its requests."""

ENGINES = Path(__file__).resolve().parent.parent / "engines"
HEADING = ("rows", "engine", "numbers", "tp", "n", "median", "mean", "p90", "bias", "cover")
MANY_IN_FLIGHT = 64
"""Requests in flight up to which rows show whether the host's time goes on growing; none of them is fitted."""
_UNIT = 1e-3
_STARTS = ((0.0, 0.0), (0.1, 0.0), (0.5, 0.01), (1.0, 0.1))
_TOGETHER = "sglang"
"""Reads all prompts that wait before it decodes on: equal requests stay in step, with no prompt among their tokens."""


def fitted_hosts(rows: Sequence[Deployment]) -> Hosts:
    """The host times of each engine that bring the mean of |ln(predicted / measured)| down furthest, none below 0."""
    found = {}
    for engine in sorted({row.engine for row in rows}):
        own = [row for row in rows if row.engine == engine and row.precision != "fp4"]
        plain, step, request = (_seconds(answers(own, set=_edits(*host))) for host in ((0, 0), (_UNIT, 0), (0, _UNIT)))
        measured = np.array([answer.row.tpot_s for answer in answers(own, set=_edits(0, 0))])
        found[engine] = _fit(plain, step - plain, request - plain, measured)
    return found


def _fit(plain: Grid, step: Grid, request: Grid, measured: Grid) -> tuple[float, float]:
    """Both in seconds: times are linear in them."""

    def missed(host: Any) -> float:
        return float(np.abs(np.log((plain + step * host[0] + request * host[1]) / measured)).mean())

    bounds = [(0.0, 100.0), (0.0, 10.0)]
    runs = [minimize(missed, start, method="Nelder-Mead", bounds=bounds, tol=1e-6) for start in _STARTS]
    best = min(runs, key=lambda run: run.fun)
    return float(f"{best.x[0] * _UNIT:.3g}"), float(f"{best.x[1] * _UNIT:.3g}")


def answered(rows: Sequence[Deployment], hosts: Hosts) -> list[Answer]:
    """The rows with host times in place of what engines state; none where there are none."""
    engines = sorted({row.engine for row in rows})
    return [
        answer
        for engine in engines
        for answer in answers([row for row in rows if row.engine == engine], set=_edits(*hosts.get(engine, (0.0, 0.0))))
    ]


def board(data: Path) -> Iterator[dict[str, Any]]:
    """A record for each engine, precision and degree of the judged half; the others, and experts, in fewer words."""
    rows = load_deployments(data)
    dense = [row for row in rows if row.model in DENSE]
    first, other = halves(dense)
    hosts = fitted_hosts(first)
    judged = [answer for answer in answered(other, hosts) if answer.row.engine != _TOGETHER]
    yield from _told("judged half", judged)
    yield from _told("fitted half", answered(first, hosts), degrees=False)
    turned = answered(first, fitted_hosts([row for row in other if row.engine != _TOGETHER]))
    yield from _told("first half, fitted on the other", turned, degrees=False)
    together = answers([row for row in dense if row.engine == _TOGETHER])
    yield _record("sglang, as compare has it", _TOGETHER, together)
    yield _record("sglang, decode steps alone", _TOGETHER, together, seconds=lambda answer: answer.decode_s)
    more = [row for row in load_deployments(data, MANY_IN_FLIGHT) if row.model in DENSE and row.engine != _TOGETHER]
    more = [row for row in halves(more)[1] if row.in_flight > MOST_IN_FLIGHT]
    yield from _told("judged half, 24 to 64 in flight", answered(more, hosts), degrees=False)
    yield from _told("experts, in no fit", answers([row for row in rows if row.model not in DENSE]), degrees=False)


def _told(rows: str, found: Sequence[Answer], *, degrees: bool = True) -> Iterator[dict[str, Any]]:
    """All of them, then by engine and numbers, then by tensor parallel degree."""
    yield _record(rows, "all", found)
    for engine, numbers in sorted({(answer.row.engine, answer.row.precision) for answer in found}):
        own = [answer for answer in found if (answer.row.engine, answer.row.precision) == (engine, numbers)]
        yield _record(rows, engine, own, numbers=numbers or "as published")
    for tp in sorted({answer.row.tp for answer in found}) if degrees else ():
        yield _record(rows, "all", [answer for answer in found if answer.row.tp == tp], tp=str(tp))


def _record(
    rows: str,
    engine: str,
    found: Sequence[Answer],
    *,
    numbers: str = "all",
    tp: str = "all",
    seconds: Callable[[Answer], Any] = lambda answer: answer.tpot.time_s,
) -> dict[str, Any]:
    ratio = np.array([float(seconds(answer)) / answer.row.tpot_s for answer in found])
    error = np.abs(ratio - 1)
    inside = [float(answer.tpot.low_s) <= answer.row.tpot_s <= float(answer.tpot.high_s) for answer in found]
    figures = {
        "median": np.median(error),
        "mean": error.mean(),
        "p90": np.quantile(error, 0.9),
        "bias": np.exp(np.log(ratio).mean()),
        "cover": np.mean(inside),
    }
    told = {"rows": rows, "engine": engine, "numbers": numbers, "tp": tp, "n": len(found)}
    return told | {name: round(float(value), 4) for name, value in figures.items()}


def table(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The records in Markdown."""
    yield "| " + " | ".join(HEADING) + " |"
    yield "|---" * 4 + "|--:" * (len(HEADING) - 4) + "|"
    for one in records:
        errors = (f"{100 * one[name]:.1f} %" for name in ("median", "mean", "p90"))
        words = (one["rows"], one["engine"], one["numbers"], one["tp"], f"{one['n']}")
        yield "| " + " | ".join((*words, *errors, f"{one['bias']:.2f}", f"{100 * one['cover']:.0f} %")) + " |"


def waits(found: Iterable[Answer]) -> Iterator[str]:
    """How many prompts' time a first token took: as many as are in flight where all are read before any decodes."""
    groups: dict[tuple[str, int, int], list[float]] = {}
    for answer in found:
        row = answer.row
        groups.setdefault((row.engine, row.prompt, row.in_flight), []).append(row.ttft_s / answer.prompt_s)
    for (engine, prompt, in_flight), waited in sorted(groups.items()):
        yield f"{engine}, prompts of {prompt}, {in_flight} in flight: TTFT {np.median(waited):.1f} x a prompt's time"


def _seconds(found: Sequence[Answer]) -> Grid:
    return np.array([float(answer.tpot.time_s) for answer in found])


def _edits(step: float, request: float) -> dict[str, str]:
    return {"engine.host_step": f"{step * 1e6:g} us", "engine.host_request": f"{request * 1e6:g} us"}


def write_hosts(hosts: Hosts) -> None:
    """Host times into the engines' files, with where they are from."""
    for engine, (step, request) in hosts.items():
        path = ENGINES / f"{engine}.yaml"
        with atomic_writer(path) as file:
            file.write(_with_host(path.read_text(encoding="utf-8"), step, request))
        load_engine(engine)


def _with_host(text: str, step: float, request: float) -> str:
    """An engine's file with other host times."""
    text = re.sub(r"^(  )?host_(step|request): .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^  served: .*\n", "", text, flags=re.MULTILINE)
    ahead = "".join(re.findall(r"^host_ahead: .*\n", text, flags=re.MULTILINE))
    text = text.replace(ahead, "") if ahead else text
    stated = f"host_step: {step * 1e6:g} us\nhost_request: {request * 1e6:g} us\n{ahead}"
    where = (
        '{title: "fitted by benchmarks/fit_serving.py to serving of llama-3.1-70b on B200 and H200 (aiconfigurator at '
        '095f58a: systems/silicon_sample.csv)", ref: "https://github.com/ai-dynamo/aiconfigurator"}'
    )
    text = text.replace("\nmature:\n", f"\n{stated}mature:\n")
    text = text.replace("\nsource:\n", "\nsource:\n  host_step: served\n  host_request: served\n")
    return text.replace("\nsources:\n", f"\nsources:\n  served: {where}\n")


def main() -> int:
    """Print the fit and the scoreboard, and write both if asked to."""
    parser = argparse.ArgumentParser(description="Host time of engines, fitted to serving.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write engines/*.yaml and docs/accuracy.json")
    asked = parser.parse_args()
    dense = [row for row in load_deployments(asked.data) if row.model in DENSE]
    hosts = fitted_hosts(halves(dense)[0])
    for engine, (step, request) in hosts.items():
        print(f"{engine}: {step * 1e6:g} us a step, {request * 1e6:g} us a request")
    if asked.write:
        write_hosts(hosts)
    records = list(board(asked.data))
    print("\n".join(table(records)))
    print("\n".join(waits(answers(dense))))
    if asked.write:
        store("serving", records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
