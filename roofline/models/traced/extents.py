"""Sizes of a trace as expressions of its letters: what torch says of a shape, in numbers of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.number import Number, added, floor_div, maximum, minimum, product
from roofline.program.axes import Sizes, size_of

Operation: TypeAlias = Literal["number", "letter", "sum", "product", "power", "floor", "remainder", "max", "min"]


@frozen
class Extent:
    """A size: a number, a letter, or what an operation makes of others. Called with the sizes of letters, its number.

    >>> batch, length = Extent("letter", name="B"), Extent("letter", name="S")
    >>> rows = Extent("product", (batch, length))
    >>> rows({"B": 2, "S": 3}), str(rows)
    (6, 'B*S')
    """

    operation: Operation
    parts: tuple[Extent, ...] = ()
    value: int = 0
    name: str = ""

    def __call__(self, sizes: Sizes) -> Number:
        """The number. Raises ShapeError for a letter without a size."""
        if self.operation == "number":
            return self.value
        if self.operation == "letter":
            return size_of(self.name, sizes)
        numbers = [part(sizes) for part in self.parts]
        return _apply(self.operation, numbers)

    def __str__(self) -> str:
        if not self.parts:
            return self.name or str(self.value)
        bare = ("max", "min", "product", "power") if self.operation == "sum" else ("max", "min")
        inner = [f"({part})" if part.parts and part.operation not in bare else str(part) for part in self.parts]
        signs = {"sum": " + ", "product": "*", "power": "**", "floor": "//", "remainder": " % "}
        if self.operation in signs:
            return signs[self.operation].join(inner)
        return f"{self.operation}({', '.join(str(part) for part in self.parts)})"

    @property
    def letters(self) -> frozenset[str]:
        """The letters that it depends on."""
        own = frozenset({self.name} if self.name else ())
        return own.union(*(part.letters for part in self.parts))


def _apply(operation: Operation, numbers: list[Number]) -> Number:
    if operation == "sum":
        return added(numbers)
    if operation == "product":
        return product(numbers)
    a, b, *more = numbers
    if operation == "power":
        return a**b
    if operation == "floor":
        return floor_div(a, b)
    if operation == "remainder":
        return a - b * floor_div(a, b)
    pick = maximum if operation == "max" else minimum
    found = pick(a, b)
    for each in more:
        found = pick(found, each)
    return found


def constant(value: int) -> Extent:
    """A size that depends on no letter."""
    return Extent("number", value=value)


ONE = constant(1)
NOTHING = constant(0)

_OPERATIONS: dict[str, Operation] = {
    "Add": "sum", "Mul": "product", "Pow": "power", "FloorDiv": "floor", "CleanDiv": "floor", "Mod": "remainder",
    "PythonMod": "remainder", "Max": "max", "Min": "min", "IntTrueDiv": "floor",
}  # fmt: skip


class Reader:
    """Reads torch's expressions of shapes; ``letters`` are its symbols by name, ``less`` what is taken off some.

    Each expression is read once.
    """

    __slots__ = ("_known", "_less", "_letters")

    def __init__(self, letters: Mapping[str, str], less: Mapping[str, int] | None = None) -> None:
        self._letters, self._known, self._less = dict(letters), dict[Any, Extent](), dict(less or {})

    def read(self, expression: Any) -> Extent:
        """An expression as an extent. Raises UsageError for an operation that has no formula here."""
        if expression not in self._known:
            self._known[expression] = self._read(expression)
        return self._known[expression]

    def _read(self, expression: Any) -> Extent:
        if isinstance(expression, int) or expression.is_Integer:
            return constant(int(expression))
        if expression.is_Symbol:
            name = str(expression)
            letter = Extent("letter", name=self._letters.get(name, name))
            return Extent("sum", (letter, constant(-self._less[name]))) if name in self._less else letter
        operation = _OPERATIONS.get(type(expression).__name__)
        if operation is None:
            msg = f"a size of the module is {expression}, and {type(expression).__name__} has no formula here"
            raise UsageError(msg)
        parts = tuple(self.read(part) for part in expression.args)
        return _sum(parts) if operation == "sum" and self._less else Extent(operation, parts)


def _sum(parts: Sequence[Extent]) -> Extent:
    """A sum with the sums among its parts opened, and their numbers as one."""
    terms = [term for part in parts for term in (part.parts if part.operation == "sum" else (part,))]
    number = sum(term.value for term in terms if term.operation == "number")
    others = tuple(term for term in terms if term.operation != "number")
    kept = (*others, *([constant(number)] if number or not others else []))
    return kept[0] if len(kept) == 1 else Extent("sum", kept)
