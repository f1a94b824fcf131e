"""Where a quantity that is quadratic in a whole number crosses a limit, in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt, lcm


def crossing(room: Fraction, curve: dict[int, Fraction]) -> int:
    """The largest whole number whose bytes stay within ``room``, on the rising parabola through three points.

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
    if square == 0:
        return (room - constant) // linear
    scale = lcm(square.denominator, linear.denominator, (constant - room).denominator)
    a, b, c = (int(number * scale) for number in (square, linear, constant - room))
    return (isqrt(b * b - 4 * a * c) - b) // (2 * a)
