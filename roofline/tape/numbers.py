"""Numbers that remember: what the product's own arithmetic makes of them is recorded in a trace.

Constants fold as they are met, exactly where they are exact; an answer that no letter changes is a plain number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.kept import PLACES
from roofline.number import Number, Operand, Remembering
from roofline.tape.operations import KEPT, OPERATIONS, Constant
from roofline.tape.trace import STEP, Letter, Sum, Trace

_EXPANDED = 4
"""Products of sums of letters are expanded up to so many terms, so that like ones meet."""


def letter(trace: Trace, one: Letter) -> Remembered:
    """An input of a recording."""
    return Remembered(trace, trace.letter(one))


@frozen(eq=False)
class Remembered(Remembering):
    """A number of a trace, by its place there."""

    trace: Trace
    place: int

    __array_ufunc__ = None  # numpy leaves what it is asked to do with one to this class

    def __add__(self, other: Operand) -> Number:
        return self._plus(other, 1)

    __radd__ = __add__

    def __sub__(self, other: Operand) -> Number:
        return self._plus(other, -1)

    def __rsub__(self, other: Operand) -> Number:
        return _number(self.trace, _sum(self.trace, other).plus(self._sum, -1))

    def __neg__(self) -> Number:
        return _number(self.trace, self._sum.times(-1))

    def __mul__(self, other: Operand) -> Number:
        if not isinstance(other, Remembering):
            return _number(self.trace, self._sum.times(_constant(other)))
        return _product(self.trace, self._sum, _sum(self.trace, other))

    __rmul__ = __mul__

    def __truediv__(self, other: Operand) -> Number:
        return _quotient(self.trace, self, other)

    def __rtruediv__(self, other: Operand) -> Number:
        return _quotient(self.trace, other, self)

    def __floordiv__(self, other: Operand) -> Number:
        return _rounded(self.trace, "floor_div", self, other)

    def __mod__(self, other: Operand) -> Number:
        if self.trace.nodes[self.place].whole and not isinstance(other, Remembered) and _constant(other) == 1:
            return 0
        return _recorded(self.trace, "remainder", self, other)

    def __pow__(self, other: Operand) -> Number:
        return _power(self.trace, self, other)

    def __rpow__(self, other: Operand) -> Number:
        return _power(self.trace, other, self)

    def __lt__(self, other: Operand) -> bool:
        return _less(self.trace, "less", self, other)

    def __le__(self, other: Operand) -> bool:
        return _less(self.trace, "at_most", self, other)

    def __gt__(self, other: Operand) -> bool:
        return _less(self.trace, "less", other, self)

    def __ge__(self, other: Operand) -> bool:
        return _less(self.trace, "at_most", other, self)

    def __eq__(self, other: object) -> bool:
        return _equal(self.trace, self, other)

    def __and__(self, other: Operand) -> bool:
        return _both(self.trace, self, other)

    __rand__ = __and__

    def __or__(self, other: Operand) -> bool:
        return _either(self.trace, self, other)

    __ror__ = __or__

    def __hash__(self) -> int:
        return hash(self.place)

    def __bool__(self) -> bool:
        return bool(self.trace.decide(self.place))

    def __int__(self) -> int:
        return int(self.trace.decide(self.place))

    __index__ = __int__

    def __float__(self) -> float:
        msg = "a number of a recording has no one value; the arithmetic that asks for it cannot be recorded"
        raise TypeError(msg)

    def apply(self, function: str, *operands: object) -> Number:
        """What a function of ``roofline.number`` makes of numbers, of which this is one."""
        return _FUNCTIONS[function](self.trace, *operands)

    @property
    def _sum(self) -> Sum:
        return self.trace.sum_of(self.place)

    def _plus(self, other: Operand, factor: int) -> Number:
        trace = self.trace
        return _number(trace, trace.opaque(self._sum).plus(trace.opaque(_sum(trace, other)), factor))


def _constant(number: object) -> Constant:
    """A plain number. Raises TypeError for an array: a recording has letters where there might be one."""
    if isinstance(number, bool | np.bool_):
        return int(number)
    if isinstance(number, int | Fraction):
        return number
    if isinstance(number, float | np.floating | np.integer) or (isinstance(number, np.ndarray) and number.ndim == 0):
        return float(number)
    msg = f"{type(number).__name__} beside a number of a recording, expected a plain number"
    raise TypeError(msg)


def _sum(trace: Trace, number: object) -> Sum:
    return trace.sum_of(number.place) if isinstance(number, Remembered) else Sum(_constant(number), {})


def _number(trace: Trace, given: Sum) -> Number:
    """A sum as a number of the trace, or as the plain one that it is."""
    found = trace.total(given)
    if not given.terms:
        return found
    assert isinstance(found, int)
    return Remembered(trace, found)


def _place(trace: Trace, number: object) -> int:
    return number.place if isinstance(number, Remembered) else trace.constant(_constant(number))


def _recorded(trace: Trace, operation: str, *operands: object) -> Number:
    """An operation of any operands as a node; of plain numbers alone, the number."""
    if not any(isinstance(operand, Remembered) for operand in operands):
        found: Number = OPERATIONS[operation].function(*map(_constant, operands))
        return found
    return Remembered(trace, trace.apply(operation, *(_place(trace, operand) for operand in operands)))


def _factored(trace: Trace, given: Sum) -> tuple[Constant, int]:
    """A sum as a coefficient and one node."""
    if given.constant == 0 and len(given.terms) == 1:
        ((place, coefficient),) = given.terms.items()
        return coefficient, place
    found = trace.total(given)
    assert isinstance(found, int)
    return 1, found


def _product(trace: Trace, a: Sum, b: Sum) -> Number:
    """Two sums multiplied; term by term where both are few letters, so that like terms fold."""
    few = (len(a.terms) + (a.constant != 0)) * (len(b.terms) + (b.constant != 0)) <= _EXPANDED
    if few and all(map(trace.polynomial, (*a.terms, *b.terms))):
        found = Sum(a.constant * b.constant, {}).plus(Sum(0, a.terms), b.constant).plus(Sum(0, b.terms), a.constant)
        for x, c in a.terms.items():
            for y, d in b.terms.items():
                found = found.plus(Sum(0, {trace.multiply((x, y)): c * d}))
        return _number(trace, found)
    (c, x), (d, y) = _factored(trace, a), _factored(trace, b)
    return _number(trace, Sum(0, {trace.multiply((x, y)): c * d}))


def _quotient(trace: Trace, above: object, below: object) -> Number:
    if not isinstance(below, Remembered):
        divisor = _constant(below)
        inverse = Fraction(1) / divisor if isinstance(divisor, int | Fraction) else 1 / divisor
        return _number(trace, _sum(trace, above).times(inverse))
    d, under = _factored(trace, _sum(trace, below))
    if not isinstance(above, Remembered):
        share = _recorded(trace, "quotient", 1, Remembered(trace, under))
        return share * _divided(_constant(above), d)
    c, over = _factored(trace, _sum(trace, above))
    left, right = trace.divide(over, under)
    top: Number = Remembered(trace, trace.multiply(left)) if left else 1
    if not right:
        return top * _divided(c, d)
    return _recorded(trace, "quotient", top, Remembered(trace, trace.multiply(right))) * _divided(c, d)


def _divided(a: Constant, b: Constant) -> Constant:
    exact = isinstance(a, int | Fraction) and isinstance(b, int | Fraction)
    return Fraction(a) / Fraction(b) if exact else float(a) / float(b)


def _difference(trace: Trace, a: object, b: object) -> tuple[float, float]:
    """The range of ``a - b``, in which what both have in common cancels."""
    return trace.range_of(_sum(trace, a).plus(_sum(trace, b), -1))


def _extreme(trace: Trace, operation: str, a: object, b: object) -> Number:
    """The largest or the smallest of numbers, and of those that these are the largest or the smallest of.

    One that another always goes beyond is left out.
    """
    kept = _members(trace, operation, a)
    for new in _members(trace, operation, b):
        if not any(_beyond(trace, operation, old, new) for old in kept):
            kept = [old for old in kept if not _beyond(trace, operation, new, old)] + [new]
    found, *others = sorted(kept, key=lambda one: _place(trace, one))
    for other in others:
        found = _recorded(trace, operation, found, other)
    return _as_number(found)


def _members(trace: Trace, operation: str, number: object) -> list[object]:
    if not isinstance(number, Remembered) or trace.nodes[number.place].operation != operation:
        return [number]
    inner = (Remembered(trace, place) for place in trace.nodes[number.place].operands)
    return [member for each in inner for member in _members(trace, operation, each)]


def _beyond(trace: Trace, operation: str, a: object, b: object) -> bool:
    """Whether ``a`` is never less than ``b``, or never more where the smallest is sought."""
    low, high = _difference(trace, a, b)
    return low >= 0 if operation == "maximum" else high <= 0


def _as_number(number: object) -> Number:
    return number if isinstance(number, Remembered) else _constant(number)


def _less(trace: Trace, operation: str, a: object, b: object) -> bool:
    """A comparison: a plain truth where the ranges decide it, else a number that remembers and stands for one."""
    if any(isinstance(each, float) and math.isinf(each) for each in (a, b)):
        return bool(OPERATIONS[operation].function(*(0.0 if isinstance(each, Remembered) else each for each in (a, b))))
    low, high = _difference(trace, a, b)
    strict = operation == "less"
    if high < 0 or (high == 0 and not strict):
        return True
    if low > 0 or (low == 0 and strict):
        return False
    truth: bool = _recorded(trace, operation, a, b)  # type: ignore[assignment]  # as an array's is an array
    return truth


def _equal(trace: Trace, a: object, b: object) -> bool:
    low, high = _difference(trace, a, b)
    if low > 0 or high < 0 or low == high == 0:
        return low == high == 0
    truth: bool = _recorded(trace, "equal", a, b)  # type: ignore[assignment]
    return truth


def _both(trace: Trace, a: Remembered, b: object) -> bool:
    both: object = _recorded(trace, "minimum", a, b) if isinstance(b, Remembered) else a if b else False
    return both  # type: ignore[return-value]


def _either(trace: Trace, a: Remembered, b: object) -> bool:
    either: object = _recorded(trace, "maximum", a, b) if isinstance(b, Remembered) else True if b else a
    return either  # type: ignore[return-value]


def _rounded(trace: Trace, operation: str, above: object, below: object) -> Number:
    """A whole part of a quotient; a whole number that something divides, where the recording holds, is exact."""
    if _exactly(trace, above, below):
        return _quotient(trace, above, below)
    return _recorded(trace, operation, above, below)


def _exactly(trace: Trace, above: object, below: object) -> bool:
    if not isinstance(above, Remembered) or isinstance(below, Remembered):
        return False
    if _constant(below) == 1:
        return trace.nodes[above.place].whole
    rest = _recorded(trace, "remainder", above, below)
    assert isinstance(rest, Remembered)
    divides: object = _equal(trace, rest, 0)
    return isinstance(divides, Remembered) and trace.guards.get(divides.place) == 1.0


def _power(trace: Trace, base: object, exponent: object) -> Number:
    if isinstance(base, Remembered) and not isinstance(exponent, Remembered) and _constant(exponent) in (1, 2):
        return base if _constant(exponent) == 1 else base * base
    return _recorded(trace, "power", base, exponent)


def _counting(trace: Trace, count: object) -> Number:
    """The letter of the steps; as many of them as there may be at most."""
    return letter(trace, Letter(STEP, 1, 1, trace.nodes[_place(trace, count)].range[1], whole=True))


def _ratio(trace: Trace, part: object, whole: object) -> Number:
    if _difference(trace, whole, 0)[0] > 0:
        return _quotient(trace, part, whole)
    return _recorded(trace, "ratio", part, whole)


def _where(trace: Trace, condition: object, a: object, b: object) -> Number:
    same = not isinstance(a, Remembered) and not isinstance(b, Remembered) and _constant(a) == _constant(b)
    if same or (isinstance(a, Remembered) and isinstance(b, Remembered) and a.place == b.place):
        return _as_number(a)
    if isinstance(condition, Remembered) and trace.nodes[condition.place].operation in ("less", "at_most"):
        compared = trace.nodes[condition.place].operands
        if compared == (_place(trace, a), _place(trace, b)):
            return _extreme(trace, "minimum", a, b)
    return _recorded(trace, "where", condition, a, b)


def _floor(trace: Trace, number: object) -> Number:
    return _rounded(trace, "floor_div", number, 1)


def _mean(trace: Trace, number: object) -> Number:
    """The mean over the steps: of a sum, term by term; of what no step changes, itself."""
    given = _sum(trace, number)
    found: Number = given.constant
    for place, coefficient in given.terms.items():
        found = found + _mean_of_node(trace, place) * coefficient
    return found


def _mean_of_node(trace: Trace, place: int) -> Number:
    outer = [factor for factor in trace.factors(place) if STEP not in trace.nodes[factor].letters]
    inner = [factor for factor in trace.factors(place) if STEP in trace.nodes[factor].letters]
    if not inner:
        return Remembered(trace, place)
    averaged = Remembered(trace, trace.apply("mean", trace.multiply(inner)))
    return averaged * Remembered(trace, trace.multiply(outer)) if outer else averaged


def _kept(name: str, trace: Trace, *operands: Any) -> Number:
    *numbers, table = operands
    return Remembered(trace, trace.kept(name, tuple(_place(trace, number) for number in numbers), table))


def _value(name: str, trace: Trace, whole: Remembered) -> Number:
    return Remembered(trace, trace.value_of(name, whole.place))


_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "maximum": lambda trace, a, b: _extreme(trace, "maximum", a, b),
    "minimum": lambda trace, a, b: _extreme(trace, "minimum", a, b),
    "ceil_div": lambda trace, a, b: _rounded(trace, "ceil_div", a, b),
    "power": _power,
    "ratio": _ratio,
    "where": _where,
    "floor": _floor,
    "mean": _mean,
    "counting": _counting,
    **{name: partial(_kept, name) for name in KEPT},
    **{name: partial(_value, name) for name in PLACES},
}
