"""What a recording is made of: each operation in numbers, by which examples, and bounds of what follows, are known."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import TypeAlias

from roofline.classes import frozen

Constant: TypeAlias = int | Fraction | float
Range: TypeAlias = tuple[float, float]

EVERYTHING: Range = (-math.inf, math.inf)
TRUTH: Range = (0.0, 1.0)


@frozen
class Operation:
    """A function of numbers. ``monotone``: in each of its operands alone, so that its extremes lie at their ends.

    That holds for operands whose ranges are ``within`` its domain.
    """

    function: Callable[..., float]
    monotone: bool = True
    within: Callable[..., bool] = lambda *_: True

    def range_of(self, ranges: list[Range]) -> Range:
        """The least and the most that it can be, of the least and the most of its operands."""
        if not self.monotone or not self.within(*ranges):
            return EVERYTHING
        try:
            ends = [float(self.function(*corner)) for corner in product(*ranges)]
        except (OverflowError, ZeroDivisionError, ValueError, TypeError):  # TypeError: a root of less than nothing
            return EVERYTHING
        return EVERYTHING if any(map(math.isnan, ends)) else (min(ends), max(ends))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _picked(condition: float, a: float, b: float) -> float:
    return a if condition else b


def _of_one_sign(_: Range, below: Range) -> bool:
    return below[0] > 0 or below[1] < 0


def _from_zero(base: Range, _: Range) -> bool:
    return base[0] >= 0


OPERATIONS: dict[str, Operation] = {
    "quotient": Operation(operator.truediv, within=_of_one_sign),
    "maximum": Operation(max),
    "minimum": Operation(min),
    "power": Operation(operator.pow, within=_from_zero),
    "ceil_div": Operation(lambda a, b: math.ceil(a / b), within=_of_one_sign),
    "floor_div": Operation(lambda a, b: math.floor(a / b), within=_of_one_sign),
    "remainder": Operation(operator.mod, monotone=False),
    "ratio": Operation(_ratio, monotone=False),
    "where": Operation(_picked),
    "less": Operation(operator.lt),
    "at_most": Operation(operator.le),
    "equal": Operation(operator.eq, monotone=False),
    "mean": Operation(float),
}
"""All but sums and products, whose operands are as many as they are."""
