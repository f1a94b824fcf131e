"""Long numbers as short multiples of others: what is a rate of a device is in many of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roofline.number import Grid

Told = float | tuple[int, float]
"""A number, or how far before it another stands and the factor that it is of that one."""

_LONG = 9
"""Numbers of more letters are looked for as multiples."""

_DIGITS = 9
"""Of a factor."""

_ALIKE = 4.5e-16
"""A number that is not whole may be told as one that differs from it by this share: two units in the last place."""


def as_multiples(numbers: Sequence[float]) -> list[Told]:
    """Numbers, the long ones as short multiples of earlier long ones where that is shorter.

    A multiple is ``(back, factor)``.

    >>> as_multiples([2.0, 1 / 7, 5 / 7])
    [2, 0.14285714285714285, (1, 5)]
    """
    found: list[Told] = []
    long: list[int] = []
    values = np.zeros(len(numbers))
    for place, number in enumerate(numbers):
        plain = shortened(number)
        written = len(repr(plain))
        found.append(plain)
        values[place] = plain
        if written > _LONG:
            factors = ((place - other, factor) for other, factor in _factors(number, values, np.asarray(long)))
            shortest = min(factors, key=lambda each: len(repr(each)), default=None)
            if shortest and len(repr(shortest)) < written:
                found[place] = shortest
                values[place] = values[place - shortest[0]] * shortest[1]
            long.append(place)
    return found


def shortened(number: float) -> float:
    """A number in few letters: another by less than it is rounded anyway, unless it is whole."""
    if float(number).is_integer():
        return int(number)
    short = (float(f"{number:.{digits}g}") for digits in (_DIGITS, 14, 15))
    return next((each for each in short if _same(each, number)), number)


def _digits(ratio: float) -> float:
    near = float(f"{ratio:.{_DIGITS}g}")
    return int(near) if near.is_integer() else near


def _same(given: float, number: float) -> bool:
    return given == number or (not float(number).is_integer() and abs(given - number) <= _ALIKE * abs(number))


def _factors(number: float, values: Grid, places: NDArray[np.int64]) -> list[tuple[int, float]]:
    """Those of some numbers of which another is a multiple by a factor of few digits, and the factor."""
    if not len(places):
        return []
    ratios = number / values[places]
    scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.abs(ratios))))
    near = np.abs(np.rint(ratios * scale) / scale - ratios) <= 1e-14 * np.abs(ratios)
    factors = [(int(place), _digits(ratio)) for place, ratio in zip(places[near], ratios[near], strict=True)]
    return [(place, factor) for place, factor in factors if _same(float(values[place]) * factor, number)]
