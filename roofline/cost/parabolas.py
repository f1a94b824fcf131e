"""Where a quantity that is quadratic in a whole number crosses a limit, in exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isqrt, lcm

NEVER = 10**18
"""Where what does not rise crosses a limit."""

_LINES = 3
"""After so many looks that a line says, one is halfway."""


def crossing(room: Fraction, curve: dict[int, Fraction]) -> int:
    """The largest whole number whose bytes stay within ``room``, on the rising parabola through three points.

    ``NEVER`` where they do not rise.

    >>> crossing(Fraction(70), {0: Fraction(0), 4: Fraction(32), 8: Fraction(128)})  # 2 n^2: 5 -> 50, 6 -> 72
    5
    """
    _, _, constant = _coefficients(curve)
    return -1 if constant > room else _last_root(room, curve)


def last_within(room: Fraction, curve: dict[int, Fraction]) -> int:
    """The largest whole length between the ends of ``curve``, of which the first fits, whose bytes are within ``room``.

    >>> last_within(Fraction(0), {2: Fraction(-1), 4: Fraction(-1), 6: Fraction(7)})  # n^2 - 6 n + 7
    4
    """
    last = max(curve)
    return last if curve[last] <= room else _last_root(room, curve)


def last_that_fits(size: Callable[[int], int], room: int, most: int) -> int:
    """The largest whole number up to ``most`` whose size is within ``room``, 0 if none is; no size may fall.

    Lines through two sizes say where to look next, which takes a few; halving ends it where sizes grow in steps.

    >>> last_that_fits(lambda n: 40 + isqrt(1000 * n), 1040, 10**7), last_that_fits(lambda n: n // 8, 2, 100)
    (1002, 23)
    """
    low, high, held = 1, most + 1, size(1)
    if held > room:
        return 0
    rise, looks = size(2) - held, 0
    while high - low > 1:
        looks += 1
        ahead = max(1, (room - held) // rise) if rise > 0 else high
        looked = (low + high) // 2 if looks % _LINES == 0 else min(low + ahead, high - 1)
        found = size(looked)
        rise = max(1, (found - held) // (looked - low)) if found > held else 0
        low, high, held = (looked, high, found) if found <= room else (low, looked, held)
    return low


def _coefficients(curve: dict[int, Fraction]) -> tuple[Fraction, Fraction, Fraction]:
    """Those of the square, of the number, and the constant, of the parabola through three points."""
    (low, f_low), (middle, f_middle), (high, f_high) = curve.items()
    rise = (f_middle - f_low) / (middle - low)
    square = ((f_high - f_middle) / (high - middle) - rise) / (high - low)
    linear = rise - square * (low + middle)
    return square, linear, f_low - low * (linear + square * low)


def _last_root(room: Fraction, curve: dict[int, Fraction]) -> int:
    """Where a parabola last rises beyond ``room``."""
    square, linear, constant = _coefficients(curve)
    if square == linear == 0:
        return NEVER
    if square == 0:
        return (room - constant) // linear
    scale = lcm(square.denominator, linear.denominator, (constant - room).denominator)
    a, b, c = (int(number * scale) for number in (square, linear, constant - room))
    return (isqrt(b * b - 4 * a * c) - b) // (2 * a)
