"""Functions that a recording (``roofline.tape``) keeps whole: what is a loop, or the same for each operator."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.number import (
    Grid,
    Number,
    added,
    ceil_div,
    is_remembering,
    is_symbolic,
    maximum,
    minimum,
    ratio,
    remembered,
    where,
)

Table: TypeAlias = tuple[float, ...]
"""Plain numbers that say which of many functions is meant: what it searches, its exponent."""

_WHOLE = 10**15  # beyond any number of tokens or rows

PLACES = ("first", "second", "third")
"""Which number is meant of several that a function returns."""


def padded(number: Number, sizes: Table) -> Number:
    """The least of ascending ``sizes`` that is no smaller than a number; the number itself beyond the last.

    >>> padded(3.0, (1.0, 2.0, 4.0)), padded(5.0, (1.0, 2.0, 4.0)), padded(np.array([2.0, 3.0]), (1.0, 2.0, 4.0))
    (4.0, 5.0, array([2., 4.]))
    """
    if is_remembering(number):
        return remembered("padded", number, sizes)
    if is_symbolic(number):
        above = [(minimum(1, ceil_div(maximum(number - size, 0), _WHOLE)), size) for size in sizes]
        steps = [beyond * (larger - size) for (beyond, size), larger in zip(above, (*sizes[1:], number), strict=True)]
        return sizes[0] + added(steps)
    if isinstance(number, np.ndarray):
        larger = np.asarray([*sizes, np.inf])[np.searchsorted(sizes, number)]
        return np.where(np.isinf(larger), number, larger)
    place = bisect_left(sizes, number)
    return sizes[place] if place < len(sizes) else number


@frozen
class Waves:
    """A matmul of some rows in whole tiles on ``units`` at once, its depth in parts or not.

    ``tiles``: each one's rows, how many there are side by side, and the seconds of a step of its depth with one on
    every unit. ``splits``: into how many parts the depth is cut, and the steps of each part. A cut depth costs
    ``partial_s`` of each row and part, and ``late_s``.
    """

    units: float
    tiles: Sequence[tuple[float, float, float]]
    splits: Sequence[tuple[float, float]]
    partial_s: float
    late_s: float

    @property
    def table(self) -> Table:
        """All of it: units, costs of a cut, the number of tiles, the tiles, the splits."""
        numbers = (number for each in (*self.tiles, *self.splits) for number in each)
        return (self.units, self.partial_s, self.late_s, float(len(self.tiles)), *numbers)

    @classmethod
    def of(cls, table: Table) -> Waves:
        """The inverse of ``table``."""
        units, partial_s, late_s, count = table[:4]
        end = 4 + 3 * int(count)
        tiles = [(table[place], table[place + 1], table[place + 2]) for place in range(4, end, 3)]
        splits = [(table[place], table[place + 1]) for place in range(end, len(table), 2)]
        return cls(units, tiles, splits, partial_s, late_s)

    def pruned(self) -> Waves:
        """The same without tiles that another covers: of as many rows, no more of them across, in no more time."""
        found = dict.fromkeys(self.tiles)
        worth = [
            one
            for one in found
            if not any(tall >= one[0] and across <= one[1] and step_s <= one[2]
                       for tall, across, step_s in found if (tall, across, step_s) != one)
        ]  # fmt: skip
        return replace(self, tiles=worth)


def least_waves(rows: Number, table: Table) -> tuple[Number, Number, Number]:
    """Of the fastest way in a table of :class:`Waves`: all seconds, those of partial sums, and of adding them up.

    A wave is one tile on every unit; the last one takes as long as a full one.

    >>> table = Waves(2.0, [(128.0, 3.0, 1e-6)], [(1.0, 8.0), (4.0, 2.0)], 1e-9, 1e-6).table
    >>> [round(1e6 * seconds, 3) for seconds in least_waves(100.0, table)]
    [13.4, 0.4, 1.0]
    """
    if is_remembering(rows):
        total, partial, late = _several("least_waves", rows, table, count=3)
        return total, partial, late
    if isinstance(rows, np.ndarray):
        return _least_of_array(rows, Waves.of(table))
    waves, best = Waves.of(table), [math.inf, 0.0, 0.0]
    blocks = [(math.ceil(rows / tall) * across, step_s) for tall, across, step_s in waves.tiles]
    for parts, steps in waves.splits:
        seconds = min(math.ceil(many * parts / waves.units) * steps * step_s for many, step_s in blocks)
        partial, late = (parts * waves.partial_s * float(rows), waves.late_s) if parts > 1 else (0.0, 0.0)
        best = min(best, [seconds + (partial + late), partial, late])
    return best[0], best[1], best[2]


def _least_of_array(rows: Grid, waves: Waves) -> tuple[Grid, Grid, Grid]:
    """The same of many, without an array for each tile."""
    blocks = [(np.ceil(rows / tall) * across, step_s) for tall, across, step_s in waves.tiles]
    best, picked = np.full(rows.shape, np.inf), np.ones(rows.shape)
    seconds, way = np.empty(rows.shape), np.empty(rows.shape)
    for parts, steps in waves.splits:
        seconds.fill(np.inf)
        for many, step_s in blocks:
            np.multiply(many, parts, out=way)
            np.divide(way, waves.units, out=way)
            np.ceil(way, out=way)
            way *= steps * step_s
            np.minimum(seconds, way, out=seconds)
        if parts > 1:
            seconds += parts * waves.partial_s * rows + waves.late_s
        wins = seconds < best
        np.copyto(best, seconds, where=wins)
        np.copyto(picked, parts, where=wins)
    cut = picked > 1
    return best, np.where(cut, picked * waves.partial_s * rows, 0.0), np.where(cut, waves.late_s, 0.0)


def soft_corner(x: Number, y: Number, table: Table) -> tuple[Number, Number]:
    """(x^p + y^p)^(1/p) of two times, and the part of ``x`` in it; ``table`` holds ``p``.

    Computed from the ratio, so that nothing underflows.

    >>> soft_corner(3.0, 4.0, (2.0,))
    (5.0, 0.36)
    """
    (p,) = table
    if type(x) is float and type(y) is float and x > 0 and y > 0 and p != math.inf:  # a clock asks one by one
        most, powers = (x, 1 + (y / x) ** p) if x >= y else (y, 1 + (x / y) ** p)
        return most * powers ** (1 / p), 1 / powers if x >= y else 1 - 1 / powers
    if p != math.inf and is_remembering(x) and is_remembering(y):
        corner, part = _several("soft_corner", x, y, table, count=2)
        return corner, part
    larger = maximum(x, y)
    smaller = minimum(x, y) if is_remembering(x, y) else x + y - larger  # a recording knows how small it can be
    quotient = ratio(smaller, larger)
    if p == math.inf:
        return larger, where(x >= y, 1.0, 0.0)
    total = 1 + quotient**p
    part = 1 / total
    return larger * total ** (1 / p), where(x >= y, part, 1 - part)


def _several(function: str, *operands: object, count: int) -> list[Number]:
    whole = remembered(function, *operands)
    return [remembered(place, whole) for place in PLACES[:count]]
