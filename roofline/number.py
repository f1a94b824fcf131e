"""One kind of number for formulas: int, Fraction, float, float64 array or sympy expression.

Formula bodies use ``+ - * / **`` and the functions below, nothing else, so that one source serves symbols, exact
counts and sweeps. sympy is never imported here: a symbol can only arrive where sympy is loaded already.
"""

from __future__ import annotations

import functools
import math
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_LONGEST_POWER = 512

Number: TypeAlias = Any
"""int | Fraction | float | numpy float64 array | sympy expression; arithmetic is all that is asked of it."""


def is_symbolic(*numbers: Number) -> bool:
    """Whether any of ``numbers`` is a sympy expression."""
    sympy = sys.modules.get("sympy")
    return sympy is not None and any(isinstance(number, sympy.Basic) for number in numbers)


def maximum(a: Number, b: Number) -> Number:
    """The larger of two numbers, elementwise for arrays, ``Max`` for symbols.

    >>> maximum(2, 3)
    3
    """
    if is_symbolic(a, b):
        return _symbolic_maximum(a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.maximum(_plain(a), _plain(b))
    return max(*_alike(a, b))


@functools.lru_cache(maxsize=4096, typed=True)
def _symbolic_maximum(a: Number, b: Number) -> Number:
    """``Max``, which takes milliseconds to see whether one always wins; operators of a network recur."""
    return sys.modules["sympy"].Max(a, b)


def minimum(a: Number, b: Number) -> Number:
    """The smaller of two numbers, elementwise for arrays, ``Min`` for symbols.

    >>> minimum(2, 3)
    2
    """
    if is_symbolic(a, b):
        return sys.modules["sympy"].Min(a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.minimum(_plain(a), _plain(b))
    return min(*_alike(a, b))


def least(numbers: Sequence[Number]) -> Number:
    """The smallest of several numbers, elementwise for arrays; ``Min`` for symbols, left as it is written.

    >>> least([3, 1, 2])
    1
    """
    if is_symbolic(*numbers):
        return sys.modules["sympy"].Min(*dict.fromkeys(numbers), evaluate=False)
    return functools.reduce(minimum, numbers)


def ceil_div(a: Number, b: Number) -> Number:
    """``a / b`` rounded up.

    >>> ceil_div(7, 2)
    4
    """
    if is_symbolic(a, b):
        return sys.modules["sympy"].ceiling(a / b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.ceil(_plain(a) / _plain(b))
    return math.ceil(Fraction(a) / Fraction(b))


def power(base: Number, exponent: Number) -> Number:
    """``base`` to the power of ``exponent``: exact up to the 512th of a fraction, a float beyond.

    The exact power of a fraction has as many digits as its exponent is large.

    >>> power(Fraction(3, 4), 2), power(Fraction(1, 2), 1000)
    (Fraction(9, 16), 9.332636185032189e-302)
    """
    if is_symbolic(base, exponent) or isinstance(base, np.ndarray) or isinstance(exponent, np.ndarray):
        return _plain(base) ** _plain(exponent) if not is_symbolic(base, exponent) else base**exponent
    return exact(base) ** exponent if exponent <= _LONGEST_POWER else float(base) ** float(exponent)


def product(factors: Iterable[Number]) -> Number:
    """The product of ``factors``; 1 if there are none.

    Fractions are reduced once, at the end: most of a count is products of sizes.
    """
    factors = tuple(factors)
    if factors and all(type(factor) is Fraction for factor in factors):
        return Fraction(
            math.prod(factor.numerator for factor in factors), math.prod(factor.denominator for factor in factors)
        )
    total: Number = 1
    for factor in factors:
        total = total * factor
    return total


def ratio(part: Number, whole: Number) -> Number:
    """``part / whole``, and 0 where there is nothing.

    >>> float(ratio(1.0, 4.0)), float(ratio(0.0, 0.0))
    (0.25, 0.0)
    """
    if is_symbolic(part, whole):
        return part / whole
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=np.asarray(whole) > 0)[()]


def exact(number: Number) -> Number:
    """``number`` ready for exact arithmetic: an int becomes a Fraction, so that ``T*(T-1)/2`` stays rational."""
    return Fraction(number) if isinstance(number, int) else number


def as_float(number: Number) -> Number:
    """An int or a Fraction as a float; arrays and symbols as they are.

    >>> as_float(Fraction(1, 2)), as_float(3)
    (0.5, 3.0)
    """
    return number if isinstance(number, np.ndarray) or is_symbolic(number) else float(number)


def uniform(*, like: Iterable[Number]) -> Callable[[Number], Number]:
    """How to bind further numbers beside ``like``: as float64 where there is an array among them, else exactly.

    A Fraction times an array would be an array of objects.
    """
    return float if any(isinstance(number, np.ndarray) for number in like) else exact


def settled(number: Number) -> Number:
    """A Fraction without a fractional part becomes an int, another Fraction a float; the rest is left alone.

    >>> settled(Fraction(6, 2)), settled(Fraction(1, 2))
    (3, 0.5)
    """
    if isinstance(number, Fraction):
        return int(number) if number.denominator == 1 else float(number)
    return number


def _alike(a: Number, b: Number) -> tuple[Number, Number]:
    """Both as floats where one is: a Fraction that comes back would make arrays of objects of the arrays it meets."""
    return (float(a), float(b)) if isinstance(a, float) or isinstance(b, float) else (a, b)


def _plain(number: Number) -> Number:
    return float(number) if isinstance(number, Fraction) else number
