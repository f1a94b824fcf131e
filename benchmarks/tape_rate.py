"""How many full predictions a second a tape makes, beside a loop over `predict` and beside arrays without a recording.

    python benchmarks/tape_rate.py [points]

A full prediction is the time of a decode step with its band, what resides on a device, whether it fits, and what a
million tokens cost. Grids are of batch and context; scattered points are random, of batches up to 512, so that they
recur, and contexts up to 8,192. One core, seconds of CPU, the best of three runs; all of a line comes from one run of
this file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import roofline
from roofline.cost.cost import step_cost
from roofline.parallelism.layout import Layout
from roofline.prediction.request import read_request
from roofline.prediction.step import steps_of
from roofline.program.phases import Phase
from roofline.timing.timing import total

FULL = ("decode.time_s", "decode.low_s", "decode.high_s", "total_bytes", "fits", "usd_per_mtoken")
RUNS = 3
LOOPS = 40


@dataclass(frozen=True)
class Case:
    """A model on hardware, and how many million predictions a second are the least on a grid, and scattered."""

    model: str
    hardware: str
    grid: float
    scattered: float
    asked: dict[str, Any]


CASES = (
    Case("llama-3.1-8b", "h100", 3.0, 0.5, {}),
    Case("deepseek-v3", "8xh200", 0.3, 0.05, {"tp": 8}),
)


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """The least CPU time of some runs."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def direct(case: Case, batches: Any, contexts: Any) -> Callable[[], object]:
    """The times alone, of arrays straight through costs and timing."""
    request = read_request(case.model, case.hardware)
    steps = steps_of(request, Layout.of(**case.asked))
    sizes = {"B": batches, "T": np.ones_like(batches), "S": contexts}

    def work() -> object:
        costs = step_cost(steps.program, Phase.DECODE, sizes, request.precision)
        return total((cost.count, timing) for cost, timing in zip(costs, steps.machine.times(costs), strict=True))

    return work


def measure(case: Case, points: int) -> bool:
    """Print the rates of one case; whether both reach their bars."""
    start = time.process_time()
    tape = roofline.record(case.model, case.hardware, ["usd_per_h"], context=2048, **case.asked).only(*FULL)
    recorded = time.process_time() - start
    side = max(2, round(points**0.5))
    column, row = np.linspace(1, 512, side).round()[:, None], np.linspace(1, 8192, side).round()[None, :]
    random = np.random.default_rng(0)
    batches, contexts = (random.integers(1, top, points).astype(np.float64) for top in (512, 8192))
    grid = side * side / seconds(lambda: tape(batch=column, context=row, usd_per_h=3.0))
    scattered = points / seconds(lambda: tape(batch=batches, context=contexts, usd_per_h=3.0))
    few = 50_000
    arrays = few / seconds(direct(case, batches[:few], contexts[:few]))
    model, device = roofline.load_model(case.model), case.hardware

    def loop() -> None:
        for batch, context in zip(batches[:LOOPS], contexts[:LOOPS], strict=True):
            found = roofline.predict(model, device, batch=int(batch), context=int(context), **case.asked)
            assert found.memory.total_bytes

    one = LOOPS / seconds(loop)
    asked = ", ".join(f"{name} {value}" for name, value in case.asked.items())
    print(f"{case.model} on {case.hardware}{', ' + asked if asked else ''}: recorded in {recorded * 1e3:.0f} ms")
    for name, rate, bar in (("grid", grid, case.grid), ("scattered", scattered, case.scattered)):
        print(
            f"  {name}: {rate / 1e6:.2f} million full predictions a second (bar {bar:g}), {rate / one:,.0f} x a loop "
            f"over predict ({one:.0f}/s), {rate / arrays:.1f} x times alone from arrays ({arrays / 1e6:.2f} million/s)"
        )
    return grid >= case.grid * 1e6 and scattered >= case.scattered * 1e6


def main(points: int) -> int:
    """Print every case; the exit code counts those below their bars."""
    return sum(not measure(case, points) for case in CASES)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
