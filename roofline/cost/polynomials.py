"""Exact polynomials of batch and lengths: what most counts of a step are, in place of arithmetic on each of its sizes.

A count that is none, such as the keys under a window or the experts that are touched, raises TypeError where it stops
being one: :class:`Polynomial` has ``+ - *``, division by numbers, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from operator import add
from typing import NoReturn, TypeAlias

from roofline.classes import frozen
from roofline.number import Number, Operand, as_fraction

Powers: TypeAlias = tuple[int, ...]
"""The exponent of each letter."""

Whole: TypeAlias = int | Fraction

_EXACT = 2**50
"""Below it floats multiply and add whole numbers exactly, whatever is doubled or halved on the way."""


@frozen(eq=False)
class Polynomial:
    """``coefficient x letter^power ... + ...`` of letters in a fixed order.

    >>> x, y = polynomials(2)
    >>> Evaluation.of(x * (x - 1) / 2 + 3 * y)([5, 7])
    31
    """

    terms: Mapping[Powers, Whole]

    def __add__(self, other: Operand) -> Polynomial:
        return self._plus(other, 1)

    __radd__ = __add__

    def __sub__(self, other: Operand) -> Polynomial:
        return self._plus(other, -1)

    def __rsub__(self, other: Operand) -> Polynomial:
        return (self * -1)._plus(other, 1)

    def __neg__(self) -> Polynomial:
        return self * -1

    def __mul__(self, other: Operand) -> Polynomial:
        if isinstance(other, int | Fraction):
            number = _least(other)
            return Polynomial({powers: coefficient * number for powers, coefficient in self.terms.items()})
        found: dict[Powers, Whole] = {}
        for powers, coefficient in self.terms.items():
            for others, factor in self._terms(other).items():
                both = tuple(map(add, powers, others))
                found[both] = found.get(both, 0) + coefficient * factor
        return Polynomial(found)

    __rmul__ = __mul__

    def __truediv__(self, other: Operand) -> Polynomial:
        return self * (Fraction(1) / other) if isinstance(other, int | Fraction) else _refused()

    def __rtruediv__(self, other: Operand) -> Polynomial:
        return _refused()

    def __pow__(self, other: Operand) -> Polynomial:
        return _refused() if other not in (1, 2) else self * self if other == 2 else self

    def __rpow__(self, other: Operand) -> Polynomial:
        return _refused()

    def __lt__(self, other: Operand) -> bool:
        return _refused()

    __le__ = __gt__ = __ge__ = __lt__

    def __eq__(self, other: object) -> bool:
        return _refused()

    def __hash__(self) -> int:
        return _refused()

    def __bool__(self) -> bool:
        return _refused()

    def __int__(self) -> int:
        return _refused()

    def __float__(self) -> float:
        return _refused()

    def _plus(self, other: Operand, factor: int) -> Polynomial:
        found = dict(self.terms)
        for powers, coefficient in self._terms(other).items():
            found[powers] = found.get(powers, 0) + factor * coefficient
        return Polynomial(found)

    def _terms(self, other: Operand) -> Mapping[Powers, Whole]:
        """What another number is as a polynomial. Raises TypeError for one that is not exact."""
        if isinstance(other, Polynomial):
            return other.terms
        if isinstance(other, int | Fraction):
            return {(0,) * len(next(iter(self.terms))): _least(other)}
        msg = f"{type(other).__name__} beside a polynomial, expected an exact number"
        raise TypeError(msg)


def _least(number: Whole) -> Whole:
    """A whole number as an int, whose arithmetic is many times faster."""
    return number.numerator if number.denominator == 1 else number


def _refused() -> NoReturn:
    msg = "a polynomial is added and multiplied alone"
    raise TypeError(msg)


def polynomials(count: int) -> list[Number]:
    """So many letters, each as a polynomial."""
    return [Polynomial({tuple(int(i == place) for i in range(count)): 1}) for place in range(count)]


@frozen
class Evaluation:
    """How to evaluate a number: of a polynomial, the terms of ``scale`` times it, each with the places of its letters.

    Whole numbers come out as ints; a ``plain`` int is one without letters, and stays one beside floats.
    """

    number: Number
    terms: tuple[tuple[int, tuple[int, ...]], ...] = ()
    scale: int = 0
    plain: bool = False

    @classmethod
    def of(cls, number: Number) -> Evaluation:
        """How to evaluate ``number``, which is itself where it is no polynomial."""
        given: object = number
        if not isinstance(given, Polynomial):
            whole = isinstance(given, Fraction) and given.denominator == 1
            return cls(int(number) if whole else number, plain=not isinstance(given, Fraction))
        scale = lcm(*(coefficient.denominator for coefficient in given.terms.values()))
        terms = ((int(coefficient * scale), _factors(powers)) for powers, coefficient in given.terms.items())
        return cls(number, tuple(term for term in terms if term[0]), scale)

    @property
    def letters(self) -> frozenset[int]:
        """The places of the letters that it has."""
        return frozenset(place for _, factors in self.terms for place in factors)

    @property
    def dyadic(self) -> bool:
        """Whether floats have its coefficients exactly."""
        scale = self.scale or (1 if self.plain else as_fraction(self.number).denominator)
        return scale & (scale - 1) == 0

    def as_float(self, values: Sequence[Whole]) -> Number:
        """The number at values of the letters as arithmetic on floats has it, which is exact as long as it is small.

        Raises OverflowError where it is not.
        """
        found = self(values)
        if not self.plain and not -_EXACT < found * max(1, self.scale) < _EXACT:
            msg = "more digits than a float has: it depends on the order of the factors"
            raise OverflowError(msg)
        return found if self.plain else float(found)

    def __call__(self, values: Sequence[Whole]) -> Number:
        """The number at values of the letters."""
        if not self.scale:
            return self.number
        total: Whole = 0
        for coefficient, factors in self.terms:
            product: Whole = coefficient
            for place in factors:
                product *= values[place]
            total += product
        if self.scale != 1:
            total = Fraction(total, self.scale)
            return total.numerator if total.denominator == 1 else total
        return total


def _factors(powers: Powers) -> tuple[int, ...]:
    """The place of each letter, as often as its power says."""
    return tuple(place for place, power in enumerate(powers) for _ in range(power))
