"""What a recording is made of: each operation in numbers, by which examples, and bounds of what follows, are known."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, TypeAlias

from roofline.classes import frozen
from roofline.kept import Table, Waves, least_waves, padded, soft_corner

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
"""All but sums and products, whose operands are as many as they are, and searches."""


@frozen
class Kept:
    """A function of ``roofline.kept``, of so many operands and a table, that returns so many ``values``.

    ``span``: the least and the most that one of these can be, by its place, the ranges of the operands and the table.
    """

    function: Callable[..., Any]
    operands: int
    values: int
    span: Callable[[int, Sequence[Range], Table], Range]

    def value(self, place: int, operands: Sequence[float], table: Table) -> float:
        """One of the values at numbers."""
        found = self.function(*operands, table)
        return float(found if self.values == 1 else found[place])


def _padded_span(_: int, ranges: Sequence[Range], sizes: Table) -> Range:
    low, high = ranges[0]
    return float(padded(low, sizes)), float(padded(high, sizes))


def _waves_span(place: int, ranges: Sequence[Range], table: Table) -> Range:
    (low, high), waves = ranges[0], Waves.of(table)
    if place == 0 and not math.isinf(high):
        return float(least_waves(low, table)[0]), float(least_waves(high, table)[0])
    return 0.0, (math.inf, max(parts for parts, _ in waves.splits) * waves.partial_s * high, waves.late_s)[place]


def _corner_span(place: int, ranges: Sequence[Range], table: Table) -> Range:
    (x_low, x_high), (y_low, y_high) = ranges
    if min(x_low, y_low) < 0 or math.isinf(max(x_high, y_high)):
        return EVERYTHING if place == 0 else TRUTH
    others = (y_low, y_high) if place == 0 else (y_high, y_low)
    low, high = (float(soft_corner(x, y, table)[place]) for x, y in zip((x_low, x_high), others, strict=True))
    return low, high


KEPT: dict[str, Kept] = {
    "padded": Kept(padded, 1, 1, _padded_span),
    "least_waves": Kept(least_waves, 1, 3, _waves_span),
    "soft_corner": Kept(soft_corner, 2, 2, _corner_span),
}
"""By the names of their functions; each value of several is a node of its own, by its place among ``PLACES``."""
