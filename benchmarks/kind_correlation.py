"""How far the errors of kinds of operators go together, measured on whole steps: what a band of a sum should be.

python benchmarks/kind_correlation.py --data DIR

A step is a sum over kinds, each with a band of its own. Were their errors one, the step's band would be the sum of the
bands, as it is told; were they independent, the root of the sum of squares. Between lies r: the half-width of the sum
is the root of (1 - r) times the squares plus r times the square of the sum. r is fitted to the half of the serving rows
that host times are fitted to, so that nine in ten lie within, and judged on the other half (as fit_serving.py has it).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from serving_sets import DENSE, Answer, answers, halves, load_deployments

import roofline
from roofline.number import Grid
from roofline.program.phases import Phase
from roofline.timing.machine import kind_of

CORRELATIONS: Grid = np.linspace(0.0, 1.0, 21)
NUMBERS = ("fp8", "")
"""fp4 is left out: its matmuls take longer in a step than by themselves, whatever the kind."""


@dataclass(frozen=True, slots=True)
class Row:
    """ln(measured / predicted) of a row, and how far each kind's band would move the step: below and above."""

    engine: str
    numbers: str
    error: float
    below: Grid
    above: Grid

    def within(self, r: float) -> bool:
        """Whether the row lies in the band of such a correlation."""
        parts = self.below if self.error < 0 else self.above
        return abs(self.error) <= float(np.sqrt((1 - r) * (parts**2).sum() + r * parts.sum() ** 2))


def row_of(answer: Answer) -> Row:
    """A row with the bands of the kinds of its decode step at the mean length."""
    row = answer.row
    hardware = f"{row.tp}x{row.hardware}" if row.tp > 1 else row.hardware
    asked = {"batch": row.in_flight, "prompt": row.prompt, "generate": row.generate, **row.how}
    found = roofline.predict(row.model, hardware, tp=row.tp, **asked)
    ends: dict[str, list[float]] = {}
    for cost, timing in found.steps.timed(Phase.DECODE):
        mean, count = timing.mean().as_float(), float(cost.count)
        own = ends.setdefault("link" if cost.transfer is not None else kind_of(cost), [0.0, 0.0, 0.0])
        for at, seconds in enumerate((mean.time_s, mean.low_s, mean.high_s)):
            own[at] += count * seconds
    time, low, high = (np.array([own[at] for own in ends.values()]) for at in range(3))
    whole = time.sum()
    error = float(np.log(row.tpot_s / float(answer.tpot.time_s)))
    return Row(row.engine, row.precision, error, (time - low) / whole, (high - time) / whole)


def coverage(rows: Sequence[Row], r: float) -> float:
    """The part of rows within the band of such a correlation."""
    return float(np.mean([row.within(r) for row in rows]))


def fitted(rows: Sequence[Row]) -> float:
    """The least correlation by whose band nine rows in ten are covered; 1 where none is enough."""
    return next((float(r) for r in CORRELATIONS if coverage(rows, float(r)) >= 0.9), 1.0)


def main() -> int:
    """Print the coverage of both halves by correlation, and what the first half asks for."""
    parser = argparse.ArgumentParser(description="Correlation of the errors of kinds, on whole steps.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    asked = parser.parse_args()
    every = [row for row in load_deployments(asked.data) if row.model in DENSE and row.engine != "sglang"]
    first, other = ([row_of(each) for each in answers([row for row in half if row.precision in NUMBERS])]
                    for half in halves(every))  # fmt: skip
    for r in (0.0, 0.25, 0.5, 0.75, 1.0):
        print(f"r {r:4.2f}: {coverage(first, r):6.1%} of the fitted half, {coverage(other, r):6.1%} of the judged one")
    found = fitted(first)
    print(f"fitted r {found:.2f}: {coverage(other, found):.1%} of {len(other)} judged rows")
    for engine, numbers in sorted({(row.engine, row.numbers) for row in other}):
        own = [row for row in other if (row.engine, row.numbers) == (engine, numbers)]
        print(f"  {engine} {numbers or 'as published'}: {coverage(own, found):.1%} of {len(own)}, "
              f"with r = 1 {coverage(own, 1.0):.1%}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
