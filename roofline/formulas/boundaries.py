"""Where compute seconds overtake memory seconds in one variable: by closed form, else by a bracketed root."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

import sympy

from roofline.classes import frozen
from roofline.units import format_figures

Method: TypeAlias = Literal["closed form", "bracketed root"]

_WHOLE_RANGE = (1.0, 1e12)
_REAL_RANGE = (1e-12, 1e24)
_PER_DECADE = 40


class Side(NamedTuple):
    """What the corner of an operator joins, so many executions of it: seconds of compute and of memory, what of either
    is work and what is latency, and how sharp the corner is. Expressions, or numbers.
    """

    repeat: Any
    compute: Any
    memory: Any
    work: Any
    streamed: Any
    p: Any

    @classmethod
    def of(cls, count: Any, compute: Any, memory: Any, p: Any = 1) -> Side:
        """Compute and memory without latency."""
        repeat, x, y = (sympy.sympify(each) for each in (count, compute, memory))
        return cls(repeat, x, y, x, y, p)

    @property
    def is_work(self) -> bool:
        """Whether nothing of it is latency."""
        return bool(self.compute == self.work and self.memory == self.streamed)

    def put(self, values: Mapping[Any, Any]) -> Side:
        """The same with values for symbols."""
        return Side._make((*(part.xreplace(values) for part in self[:-1]), self.p))


@frozen(eq=False)
class Difference:
    """Compute seconds against memory seconds of operators, in one variable.

    What is compared are the times that the operators' shares stand for: each weighs with its corner.
    """

    sides: tuple[Side, ...]
    variable: Any

    def polynomial(self) -> Any | None:
        """The polynomial in the variable whose sign tells the two sides apart; None where there is none."""
        if len(self.sides) != 1 or not self.sides[0].is_work:
            return None
        _, compute, memory, *_ = self.sides[0]
        top = sympy.fraction(sympy.together(sympy.nsimplify(compute - memory, rational=True)))[0]
        return sympy.Poly(sympy.expand(top), self.variable) if top.is_polynomial(self.variable) else None

    def evaluator(self) -> Callable[[float], float]:
        """Compute over memory at a value of the variable: above 1 where compute binds."""
        parts = [sympy.lambdify(self.variable, tuple(side), "math") for side in self.sides]
        plain = len(self.sides) == 1 and self.sides[0].is_work

        def ratio(value: float) -> float:
            sides = [Side(*part(value)) for part in parts]
            if plain:
                compute, memory = sides[0].compute, sides[0].memory
            else:
                compute, memory = (sum(half) for half in zip(*map(_shared, sides), strict=True))
            return float(compute / memory) if memory else math.inf

        return ratio


def _shared(side: Side) -> tuple[float, float]:
    """The corner's time, as far as it is work, split by the shares of compute and memory."""
    x, y, p = float(side.compute), float(side.memory), float(side.p)
    larger, smaller = max(x, y), min(x, y)
    if not larger:
        return 0.0, 0.0
    power = (smaller / larger) ** p if smaller else 0.0
    time = side.repeat * larger * (1 + power) ** (1 / p - 1)
    compute, memory = (time, time * power) if x >= y else (time * power, time)
    return compute * (side.work / x if x else 1.0), memory * (side.streamed / y if y else 1.0)


@frozen
class Boundary:
    """Where a variable makes compute bind.

    ``spans``: from and to, both ends compute-bound, None for an open end; none at all where it never binds. ``root`` is
    the first real boundary, ``checks`` are compute over memory on both sides of each. ``extreme`` is the largest of
    these ratios over the range where it never binds, else the smallest.
    """

    variable: str
    method: Method
    spans: tuple[tuple[float | None, float | None], ...]
    root: float | None
    checks: tuple[tuple[float, float], ...]
    extreme: float

    def to_dict(self) -> dict[str, Any]:
        """The boundary as JSON."""
        return {
            "compute_bound": [{"from": low, "to": high} for low, high in self.spans],
            "root": self.root,
            "method": self.method,
            "checks": [{self.variable: value, "compute_over_memory": ratio} for value, ratio in self.checks],
        }

    def __str__(self) -> str:
        """``B >= 326  (closed form; compute / memory is 0.999 at 325, 1.001 at 326)``."""
        if not self.spans:
            return f"never  ({self._scan()}; compute / memory is at most {format_figures(self.extreme)})"
        if self.spans == ((None, None),):
            return f"always  ({self._scan()}; compute / memory is at least {format_figures(self.extreme)})"
        words = " or ".join(_span(self.variable, *span) for span in self.spans)
        checks = ", ".join(f"{ratio:.6g} at {_number(value)}" for value, ratio in self.checks)
        return f"{words}  ({self.method}; compute / memory is {checks})"

    def _scan(self) -> str:
        return "closed form" if self.method == "closed form" else "no closed form: the whole range was scanned"


def find_boundary(difference: Difference, variable: str, *, whole: bool) -> Boundary:
    """The values of the variable for which compute binds, each end evaluated on both sides.

    ``whole`` variables are whole numbers from 1 on. The closed form is the root of a polynomial of degree one or two;
    beyond that the sign is scanned over the range, 40 points a decade, and each change is bracketed and bisected.
    """
    ratio, polynomial = difference.evaluator(), difference.polynomial()
    low, high = _WHOLE_RANGE if whole else _REAL_RANGE
    points = round(math.log10(high / low) * _PER_DECADE)
    grid = [(value, ratio(value)) for value in (low * (high / low) ** (i / points) for i in range(points + 1))]
    closed = polynomial is not None and polynomial.degree() <= 2
    roots = _polynomial_roots(polynomial, low, high) if closed else _scanned_roots(ratio, grid)
    spans: list[tuple[float | None, float | None]] = []
    checks: list[tuple[float, float]] = []
    start: float | None = None
    binds = ratio(low) >= 1
    for root in roots:
        inside, tested = _end(ratio, root, binds, whole)
        checks += [(value, ratio(value)) for value in tested]
        if binds:
            spans.append((start, inside))
        start, binds = inside, not binds
    if binds:
        spans.append((start, None))
    method: Method = "closed form" if closed else "bracketed root"
    extreme = (min if spans else max)(found for _, found in grid)
    return Boundary(variable, method, tuple(spans), roots[0] if roots else None, tuple(checks), extreme)


def _end(ratio: Callable[[float], float], root: float, binds: bool, whole: bool) -> tuple[float, tuple[float, float]]:
    """The last value on the compute-bound side of a root, and the values below and above at which both are tried."""
    if not whole:
        return root, (root * 0.999, root * 1.001)
    first = max(2, math.floor(root) - 1)
    above = next((n for n in range(first, first + 4) if (ratio(n) >= 1) is not binds), first + 3)
    return (above - 1 if binds else above), (above - 1, above)


def _polynomial_roots(polynomial: Any, low: float, high: float) -> list[float]:
    """Where a polynomial of degree one or two changes its sign within the range."""
    found = [complex(root) for root in sympy.roots(polynomial, multiple=True)]
    real = sorted(root.real for root in found if abs(root.imag) <= 1e-12 * abs(root.real))
    return [root for root in real if low < root < high and real.count(root) == 1]


def _scanned_roots(ratio: Callable[[float], float], grid: list[tuple[float, float]]) -> list[float]:
    return [
        _bisected(ratio, low, high, rising=after >= 1)
        for (low, before), (high, after) in pairwise(grid)
        if (before >= 1) is not (after >= 1)
    ]


def _bisected(ratio: Callable[[float], float], low: float, high: float, *, rising: bool) -> float:
    for _ in range(200):
        middle = math.sqrt(low * high)
        if not low < middle < high:
            break
        low, high = (low, middle) if (ratio(middle) >= 1) is rising else (middle, high)
    return high


def _span(variable: str, low: float | None, high: float | None) -> str:
    if low is None:
        return f"{variable} <= {_number(high or 0)}"
    return f"{variable} >= {_number(low)}" + (f" up to {_number(high)}" if high is not None else "")


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and value < 1e15 else f"{value:.6g}"
