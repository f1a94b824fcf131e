"""One kind of number for formulas: int, Fraction, float, float64 array, sympy expression, or one that remembers.

Formula bodies use ``+ - * / **`` and the functions below, nothing else, so that one source serves symbols, exact
counts, sweeps and recordings. sympy is never imported here: a symbol can only arrive where sympy is loaded already.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_LONGEST_POWER = 512

Grid: TypeAlias = NDArray[np.float64]
"""An array of numbers: a sweep, steps of a request, devices side by side."""

Truth: TypeAlias = bool | np.bool_ | NDArray[np.bool_]
"""What a comparison of numbers says; of an array, element by element."""

Operand: TypeAlias = Any
"""The other side of an operator. An argued Any: an int takes ints, an array what numpy takes, and no type says both."""


class Number(Protocol):
    """int | Fraction | float | numpy float64 array | sympy expression; arithmetic is all that is asked of it."""

    def __add__(self, other: Operand, /) -> Number: ...
    def __radd__(self, other: Operand, /) -> Number: ...
    def __sub__(self, other: Operand, /) -> Number: ...
    def __rsub__(self, other: Operand, /) -> Number: ...
    def __mul__(self, other: Operand, /) -> Number: ...
    def __rmul__(self, other: Operand, /) -> Number: ...
    def __truediv__(self, other: Operand, /) -> Number: ...
    def __rtruediv__(self, other: Operand, /) -> Number: ...
    def __pow__(self, other: Operand, /) -> Number: ...
    def __rpow__(self, other: Operand, /) -> Number: ...
    def __neg__(self) -> Number: ...
    def __lt__(self, other: Operand, /) -> Truth: ...
    def __le__(self, other: Operand, /) -> Truth: ...
    def __gt__(self, other: Operand, /) -> Truth: ...
    def __ge__(self, other: Operand, /) -> Truth: ...
    def __int__(self) -> int: ...
    def __float__(self) -> float: ...


class Remembering:
    """A number that remembers how it came about (``roofline.tape``): what a function makes of it, it says itself."""

    __slots__ = ()

    def apply(self, function: str, *operands: object) -> Number:
        """What ``function`` makes of numbers and truths, of which this is one."""
        raise NotImplementedError


def is_remembering(*numbers: Number) -> bool:
    """Whether any of ``numbers`` remembers how it came about."""
    for number in numbers:  # noqa: SIM110  (a generator takes three times as long, and each operator asks)
        if isinstance(number, Remembering):
            return True
    return False


def remembered(function: str, *operands: object) -> Number:
    """What ``function`` makes of its operands, one of which remembers."""
    return next(number for number in operands if isinstance(number, Remembering)).apply(function, *operands)


def is_symbolic(*numbers: Number) -> bool:
    """Whether any of ``numbers`` is a sympy expression."""
    sympy = sys.modules.get("sympy")
    return sympy is not None and any(isinstance(number, sympy.Basic) for number in numbers)


def maximum(a: Number, b: Number) -> Number:
    """The larger of two numbers, elementwise for arrays, ``Max`` for symbols.

    >>> maximum(2, 3)
    3
    """
    if type(a) is float and type(b) is float:
        return max(a, b)
    if is_symbolic(a, b):
        symbols: tuple[object, object] = (a, b)
        return _symbolic_maximum(*symbols)
    if is_remembering(a, b):
        return remembered("maximum", a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        larger: Number = np.maximum(np.asarray(_plain(a)), np.asarray(_plain(b)))
        return larger
    return max(*_alike(a, b))


@functools.lru_cache(maxsize=4096, typed=True)
def _symbolic_maximum(a: Operand, b: Operand) -> Number:
    """``Max`` without what another argument covers, for which sympy's own search takes a hundred times as long."""
    sympy = sys.modules["sympy"]
    best: list[Operand] = []
    for option in (part for one in (a, b) for part in sympy.Max.make_args(sympy.sympify(one))):
        if not any(covers(other, option) for other in best):
            best = [other for other in best if not covers(option, other)] + [option]
    found: Number = sympy.Max(*best, evaluate=False) if len(best) > 1 else best[0]
    return found


@functools.lru_cache(maxsize=4096, typed=True)
def covers(large: Operand, small: Operand) -> bool:
    """Whether ``large`` is at least ``small`` for all positive integers, seen term by term; False where it is not seen.

    A term pays for those that divide it: 3 B S for 2 B and for B S.

    >>> from sympy import symbols
    >>> B, S = symbols("B S", positive=True, integer=True)
    >>> covers(3 * B * S + 1, B * S + 2 * B), covers(2 * B, S)
    (True, False)
    """
    left = dict(_terms(large))
    for term, owed in _terms(small).items():
        left[term] = left.get(term, 0) - owed
    for term in [term for term, count in left.items() if count < 0]:
        if not term.is_nonnegative:
            return False
        for other in [other for other, count in left.items() if count > 0 and _divides(term, other)]:
            paid = min(left[other], -left[term])
            left[term], left[other] = left[term] + paid, left[other] - paid
    return all(count == 0 or (count > 0 and term.is_nonnegative) for term, count in left.items())


@functools.lru_cache(maxsize=4096)
def _terms(expression: Operand) -> dict[Operand, Operand]:
    """The terms of a sum, each with its number; none for nothing."""
    terms = sys.modules["sympy"].expand(expression).as_coefficients_dict()
    return {term: count for term, count in terms.items() if not (term * count).is_zero}


@functools.lru_cache(maxsize=4096)
def _divides(term: Operand, other: Operand) -> bool:
    """Whether ``other`` is ``term`` times positive integers."""
    factors = (other / term).as_powers_dict().items()
    return all(base.is_integer and base.is_positive and power.is_Integer and power >= 0 for base, power in factors)


def minimum(a: Number, b: Number) -> Number:
    """The smaller of two numbers, elementwise for arrays, ``Min`` for symbols.

    >>> minimum(2, 3)
    2
    """
    if type(a) is float and type(b) is float:
        return min(a, b)
    if is_symbolic(a, b):
        symbols: tuple[object, object] = (a, b)
        return _symbolic_minimum(*symbols)
    if is_remembering(a, b):
        return remembered("minimum", a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        smaller: Number = np.minimum(np.asarray(_plain(a)), np.asarray(_plain(b)))
        return smaller
    return min(*_alike(a, b))


@functools.lru_cache(maxsize=4096, typed=True)
def _symbolic_minimum(a: object, b: object) -> Number:
    """``Min``, which takes milliseconds to see whether one always wins; operators of a network recur."""
    return _in_symbols("Min", a, b)


def least(numbers: Sequence[Number]) -> Number:
    """The smallest of several numbers, elementwise for arrays; ``Min`` for symbols, left as it is written.

    >>> least([3, 1, 2])
    1
    """
    if is_symbolic(*numbers):
        return _in_symbols("Min", *dict.fromkeys(numbers), evaluate=False)
    return functools.reduce(minimum, numbers)


def ceil_div(a: Number, b: Number) -> Number:
    """``a / b`` rounded up.

    >>> ceil_div(7, 2)
    4
    """
    if type(a) is float and isinstance(b, int | float):
        return math.ceil(a / b)  # as of arrays
    if is_symbolic(a, b):
        return _in_symbols("ceiling", a / b)
    if is_remembering(a, b):
        return remembered("ceil_div", a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        whole: Number = np.ceil(np.asarray(_plain(a) / _plain(b)))
        return whole
    if isinstance(a, int | Fraction) and isinstance(b, int | Fraction):
        return -(-a // b)
    return math.ceil(as_fraction(a) / as_fraction(b))


def floor_div(a: Number, b: Number) -> Number:
    """``a / b`` rounded down.

    >>> floor_div(7, 2), floor_div(8.0, 2)
    (3, 4)
    """
    return _in_symbols("floor", a / b) if is_symbolic(a, b) else -ceil_div(-a, b)


def power(base: Number, exponent: Number) -> Number:
    """``base`` to the power of ``exponent``: exact up to the 512th of a fraction, a float beyond.

    The exact power of a fraction has as many digits as its exponent is large.

    >>> power(Fraction(3, 4), 2), power(Fraction(1, 2), 1000)
    (Fraction(9, 16), 9.332636185032189e-302)
    """
    if is_symbolic(base, exponent) or isinstance(base, np.ndarray) or isinstance(exponent, np.ndarray):
        return _plain(base) ** _plain(exponent) if not is_symbolic(base, exponent) else base**exponent
    if is_remembering(base, exponent):
        return remembered("power", base, exponent)
    return exact(base) ** exponent if exponent <= _LONGEST_POWER else float(base) ** float(exponent)


def product(factors: Iterable[Number]) -> Number:
    """The product of ``factors``; 1 if there are none.

    Fractions are reduced once, at the end: most of a count is products of sizes.
    """
    factors = tuple(factors)
    numerator = denominator = 1
    for factor in factors:
        if type(factor) is not Fraction:
            break
        above, below = factor.as_integer_ratio()
        numerator, denominator = numerator * above, denominator * below
    else:
        if factors:
            return Fraction(numerator) if denominator == 1 else Fraction(numerator, denominator)
    total: Number = 1
    for factor in factors:
        total = total * factor
    return total


def added(numbers: Iterable[Number]) -> Number:
    """The sum of ``numbers``; 0 if there are none. ``sum`` starts from 0, which costs a Fraction one addition more.

    >>> added([Fraction(1, 2), 3]), added([])
    (Fraction(7, 2), 0)
    """
    first, *others = (*numbers,) or (0,)
    return functools.reduce(operator.add, others, first)


def ratio(part: Number, whole: Number) -> Number:
    """``part / whole``, and 0 where there is nothing.

    >>> float(ratio(1.0, 4.0)), float(ratio(0.0, 0.0))
    (0.25, 0.0)
    """
    if isinstance(part, float) and isinstance(whole, float):
        return part / whole if whole > 0 else 0.0
    if is_symbolic(part, whole):
        return part / whole
    if is_remembering(part, whole):
        return remembered("ratio", part, whole)
    parts, wholes = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    found: Grid = np.zeros(np.broadcast(parts, wholes).shape)
    np.divide(parts, wholes, out=found, where=wholes > 0)
    return found[()]


def where(condition: Truth, a: Number, b: Number) -> Number:
    """``a`` where ``condition`` holds, else ``b``; element by element for arrays.

    >>> where(True, 1.0, 2.0), where(np.array([True, False]), 1.0, 2.0)
    (1.0, array([1., 2.]))
    """
    if isinstance(condition, Remembering):
        return condition.apply("where", condition, a, b)
    if isinstance(condition, bool):
        return a if condition else b
    if is_remembering(a, b):
        return a if np.all(condition) else b  # what does not depend on a letter is one truth
    picked: Number = np.where(condition, np.asarray(a), np.asarray(b))
    return picked


def whole(number: Number) -> Number:
    """A number without its fractional part, as int() cuts it off."""
    return remembered("floor", number) if is_remembering(number) else int(number)


def mean(value: Number) -> Number:
    """The mean over the last axis of an array, the steps of a request; a number is its own."""
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, np.ndarray):
        return remembered("mean", value) if isinstance(value, Remembering) else value
    if value.ndim == 0:
        return value
    averaged = np.add.reduce(value, axis=-1) / value.shape[-1]  # np.mean, without its detours
    return averaged if np.ndim(averaged) else float(averaged)  # a reduced array of Python's numbers is one of these


def counting(count: Number) -> Number:
    """1, 2 ... ``count`` as an array, 1 alone as it is; of a number that remembers, a letter that stands for each.

    >>> counting(3), counting(1)
    (array([1., 2., 3.]), 1)
    """
    if is_remembering(count):
        return remembered("counting", count)
    if count == 1:
        return 1
    numbers: Number = np.arange(1, int(count) + 1, dtype=np.float64)
    return numbers


def grid(number: Number) -> Number:
    """``number`` as a float64 array, of no axes where it is one number; what remembers stays as it is."""
    return number if is_remembering(number) else np.asarray(number, dtype=np.float64)


def exact(number: Number) -> Number:
    """``number`` ready for exact arithmetic: an int becomes a Fraction, so that ``T*(T-1)/2`` stays rational."""
    return Fraction(number) if isinstance(number, int) else number


def as_float(number: Number) -> Number:
    """An int or a Fraction as a float; arrays, symbols and what remembers as they are.

    >>> as_float(Fraction(1, 2)), as_float(3)
    (0.5, 3.0)
    """
    if isinstance(number, float | np.ndarray | Remembering) or is_symbolic(number):
        return number
    return float(number)


def as_fraction(number: Number) -> Fraction:
    """A whole number, a Fraction or a float, exactly, as a Fraction.

    >>> as_fraction(3), as_fraction(0.5)
    (Fraction(3, 1), Fraction(1, 2))
    """
    return Fraction(number) if isinstance(number, int | float | Fraction) else Fraction(int(number))


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
    if type(number) is Fraction:
        return int(number) if number.denominator == 1 else float(number)
    return number


def short(number: Number) -> Number:
    """A Fraction without a fractional part as an int, which adds up much faster; the rest is left alone.

    >>> short(Fraction(6, 2)), short(Fraction(1, 2))
    (3, Fraction(1, 2))
    """
    return number.numerator if type(number) is Fraction and number.denominator == 1 else number


def _alike(a: Number, b: Number) -> tuple[Number, Number]:
    """Both as floats where one is: a Fraction that comes back would make arrays of objects of the arrays it meets."""
    return (float(a), float(b)) if isinstance(a, float) or isinstance(b, float) else (a, b)


def _plain(number: Number) -> Number:
    return float(number) if type(number) is Fraction else number


def _in_symbols(function: str, *numbers: object, evaluate: bool = True) -> Number:
    """What sympy's ``function`` makes of ``numbers``; a symbol among them has loaded it."""
    found: Number = getattr(sys.modules["sympy"], function)(*numbers, evaluate=evaluate)
    return found
