"""How far predictions are off what was measured: errors, bias, order, and whether the band holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen

BANDS = (0.25, 0.10)
"""Parts of the measured time within which predictions are counted."""


@frozen
class Pair:
    """A predicted and a measured time; whether the constants were fitted to it. [s]"""

    predicted_s: float
    measured_s: float
    fitted: bool = False
    kind: str = ""


@frozen
class Score:
    """How far predictions are off: absolute errors in parts of what was measured, and the bias.

    bias is the geometric mean of predicted / measured: 1.1 means ten percent too slow. order: of all two of them whose
    measured times differ, the part that is predicted in the right order.
    """

    n: int
    median: float
    p90: float
    bias: float
    within: tuple[float, ...]  # the parts within BANDS
    mean: float = 0.0
    order: float = 1.0

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> Score:
        """The score of one pair or more.

        >>> score = Score.of([Pair(1.1, 1.0), Pair(1.8, 2.0)])
        >>> round(score.median, 3), round(score.bias, 3), score.order
        (0.1, 0.995, 1.0)
        """
        ratio = ratios(pairs)
        errors = np.abs(ratio - 1)
        within = tuple(float((errors <= band).mean()) for band in BANDS)
        bias = float(np.exp(np.log(ratio).mean()))
        middle, high = float(np.median(errors)), float(np.quantile(errors, 0.9))
        return cls(len(pairs), middle, high, bias, within, float(errors.mean()), _order(pairs))

    def words(self) -> list[str]:
        """The score, a line a figure."""
        return [
            f"n {self.n:,}",
            f"median error {self.median:.1%}",
            f"90th percentile {self.p90:.1%}",
            f"bias {self.bias:.2f}x",
            *(f"within {band:.0%}: {part:.0%}" for band, part in zip(BANDS, self.within, strict=True)),
        ]

    def to_dict(self) -> dict[str, Any]:
        """The score as results carry it."""
        fields = asdict(self)
        parts = {f"within_{band:.0%}".rstrip("%"): part for band, part in zip(BANDS, fields.pop("within"), strict=True)}
        names = {"median": "median_ape", "p90": "p90_ape", "mean": "mean_ape"}
        return {names.get(name, name): value for name, value in (fields | parts).items()}


def ratios(pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """predicted / measured of each."""
    return np.array([p.predicted_s / p.measured_s for p in pairs])


def _order(pairs: Sequence[Pair]) -> float:
    """The part of all couples in the right order; 1 where there is none to tell."""
    if len(pairs) > 2000:  # couples grow with the square
        pairs = pairs[:: len(pairs) // 2000 + 1]
    predicted, measured = (np.array([getattr(p, name) for p in pairs]) for name in ("predicted_s", "measured_s"))
    right = np.sign(np.subtract.outer(predicted, predicted)) * np.sign(np.subtract.outer(measured, measured))
    above = np.triu_indices(len(pairs), 1)
    apart = np.subtract.outer(measured, measured)[above] != 0
    return float((right[above][apart] > 0).mean()) if apart.any() else 1.0
