"""What one letter alone decides, worked out along its axis: once for each value where values recur."""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.number import Grid
from roofline.tape.trace import Letter

BLOCK = 16_384
"""Points that are worked on at once: few enough for the caches, enough to hide the calls."""

Columns = tuple[Any, ...]
"""Numbers that a letter decides, each an array of the letter's shape."""

_SPARSE = 4
"""Whole numbers are looked for among up to so many times as many as are given."""


@frozen
class Along:
    """The columns of a letter: worked out already, of distinct values by their ``places``; else with each block."""

    columns: Callable[[Grid], Columns]
    array: Grid
    known: Columns | None = None
    places: NDArray[np.intp] | None = None

    @classmethod
    def of(cls, letter: Letter, array: Grid, columns: Callable[[Grid], Columns]) -> Along:
        """The columns of the values of a letter."""
        if array.size <= BLOCK:
            return cls(columns, array, columns(array))
        if letter.whole and (found := _distinct(array)):
            values, places = found
            blocks = [columns(values[start : start + BLOCK]) for start in range(0, len(values), BLOCK)]
            known = tuple(np.concatenate(column) for column in zip(*blocks, strict=True))
            return cls(columns, array, known, places)
        return cls(columns, array)

    def within(self, block: tuple[slice, ...] | EllipsisType) -> Columns:
        """The columns of a block of points, or of all."""
        if self.known is None:
            return self.columns(self.array[block])
        block_of = block if self.places is None else self.places[block]
        return tuple(column[block_of] for column in self.known)


def _distinct(array: Grid) -> tuple[Grid, NDArray[np.intp]] | None:
    """The values among whole numbers and where each number is among them; None where few of them recur."""
    low, high = float(array.min()), float(array.max())
    if high - low >= _SPARSE * array.size:
        return None
    offsets = (array - low).astype(np.intp)
    there = np.zeros(int(high - low) + 1, dtype=bool)
    there[offsets] = True
    values = np.flatnonzero(there)
    if 2 * len(values) > array.size:
        return None
    ranks = np.cumsum(there, dtype=np.intp) - 1
    return values.astype(np.float64) + low, ranks[offsets]
