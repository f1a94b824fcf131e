"""A tape as data: what a few lines of JavaScript play on a page where no text may be run as code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from roofline.kept import PLACES
from roofline.tape.operations import KEPT, Constant
from roofline.tape.sums import Sums
from roofline.tape.tape import Tape
from roofline.tape.trace import STEP, Node, Sum

_Value: TypeAlias = int | Constant
"""A result: a place among nodes, or a number."""

OPERATIONS = (
    *("product", "quotient", "maximum", "minimum", "power", "ceil_div", "floor_div", "remainder", "ratio"),
    *("where", "less", "at_most", "equal", *KEPT, "sum"),
)
"""An operation is its place here; a sum of n terms, the last of them, is n more."""

NEAR = 32
"""Operands up to so many values back are told by how far, others by their place: what is used often is one number."""

_LONG = 9
"""Numbers of more letters are looked for as multiples of others."""


def wire(tape: Tape) -> dict[str, Any]:
    """A tape as plain lists of numbers.

    Values stand in one row: the ``letters``, the step, then what each statement makes, ``before`` the steps, in each
    (``inner``), the means over them, and ``after``. Statements are told by their ``operations``, their ``operands``
    one after the other, what of ``numbers`` they have, and ``tables``. An operand is how far back in the row it lies,
    up to NEAR; more, its place and NEAR + 1; or a number, as -1 - it. A sum has its constant among the numbers, and of
    each term the factor; what is kept whole (``roofline.kept``) has a table, and makes all its values.

    A number is 0 where it is the next one that was not met before, else 1 + its place among all ``numbers``, in the
    order of this text. There it is itself or, where that is shorter, ``[back, factor]``: the one so many before, times
    the factor, exactly. ``means`` are the operands of the means, ``results`` and ``guards``, which must have the value
    beside them, are places in the row, or -1 - numbers. Results that are numbered, ``decode.0.time_s`` and so on, are
    ``rows`` of ``names``: twice how far in the row each lies behind the one before it, or twice a number and 1.
    ``tables`` are lists of numbers. ``steps`` is null where a letter says how many.

    >>> from roofline import record
    >>> tape = record("gpt2", "a10", context=100).only("kv_cache_bytes")
    >>> found = wire(tape)
    >>> [each["name"] for each in found["letters"]], found["results"]
    (['batch', 'context'], {'kv_cache_bytes': 6})
    """
    return _Writer(tape).written()


@dataclass(slots=True)
class _Statements:
    """Statements that are being written."""

    operations: list[int] = field(default_factory=list)
    operands: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Writer:
    """A tape that is being written: where each node stands in the row, and the numbers met so far."""

    tape: Tape
    places: dict[int, int] = field(default_factory=dict)
    numbers: dict[float, int] = field(default_factory=dict)
    tables: dict[tuple[Constant, ...], int] = field(default_factory=dict)
    sums: Sums = field(default_factory=Sums)
    made: int = 0

    def written(self) -> dict[str, Any]:
        tape, script = self.tape, self.tape.script
        names = [*(letter.name for letter in tape.letters), STEP]
        nodes = enumerate(tape.nodes)
        self.places = {place: names.index(script.name(place)) for place, node in nodes if node.operation == "letter"}
        self.made = len(names)
        before, inner = self._statements(script.before), self._statements(script.inner)
        means = [self._absolute(tape.nodes[place].operands[0]) for place in script.means]
        for place in script.means:
            self._add(place)
        after = self._statements(script.after)
        plain, rows = _numbered(tape.results)
        found = {
            "letters": [{"name": each.name, "low": each.low, "high": each.high} for each in tape.letters],
            "before": before,
            "inner": inner,
            "means": means,
            "after": after,
            "results": {name: self._result(value) for name, value in plain.items()},
            "rows": {name: self._rows(columns) for name, columns in rows.items()},
            "guards": [[self._absolute(place), float(value)] for place, value in tape.guards.items()],
            "steps": tape.steps,
            "tables": [list(map(self._number, table)) for table in self.tables],
        }
        return {**found, "numbers": as_multiples(list(self.numbers))}

    def _statements(self, places: Iterable[int]) -> dict[str, list[int]]:
        """Those nodes that are neither letters nor numbers, one after the other."""
        found = _Statements()
        for place in places:
            node = self.tape.nodes[place]
            if node.operation in PLACES:
                self.places[place] = self.places[node.operands[0]] + PLACES.index(node.operation)
            elif node.operation != "letter" and not _is_number(node):
                self._state(found, place, node)
                self._add(place, KEPT[node.operation].values if node.operation in KEPT else 1)
        return asdict(found)

    def _state(self, found: _Statements, place: int, node: Node) -> None:
        if node.operation == "sum":
            self._sum(found, place, _sum_of(node))
            return
        found.operations.append(OPERATIONS.index(node.operation))
        found.operands += map(self._operand, node.operands)
        if node.operation in KEPT:
            found.tables.append(self.tables.setdefault(node.constants, len(self.tables)))

    def _sum(self, found: _Statements, place: int, whole: Sum) -> None:
        given = self.sums.shortened(whole)
        self.sums.add(place, whole)
        found.operations.append(OPERATIONS.index("sum") + len(given.terms))
        found.numbers.append(self._number(given.constant))
        for inner, factor in given.terms.items():
            found.operands.append(self._operand(inner))
            found.numbers.append(self._number(factor))

    def _rows(self, columns: Mapping[str, Sequence[_Value]]) -> dict[str, list[Any]]:
        """Rows of results, each place as what it is more than the one before, which numbers do not count as."""
        found, last = [], 0
        for value in (value for row in zip(*columns.values(), strict=True) for value in row):
            place = self._result(value)
            found.append(2 * (place - last) if place >= 0 else -2 * place - 1)
            last = place if place >= 0 else last
        return {"names": list(columns), "places": found}

    def _add(self, place: int, values: int = 1) -> None:
        self.places[place] = self.made
        self.made += values

    def _result(self, value: _Value) -> int:
        return self._absolute(value) if type(value) is int else -1 - self._number(value)

    def _absolute(self, place: int) -> int:
        node = self.tape.nodes[place]
        return -1 - self._number(node.constants[0]) if _is_number(node) else self.places[place]

    def _operand(self, place: int) -> int:
        found = self._absolute(place)
        back = self.made - found
        return found if found < 0 else back if back <= NEAR else NEAR + 1 + found

    def _number(self, value: Constant) -> int:
        """0 where a number was not met before, else 1 + its place."""
        known = self.numbers.get(float(value))
        if known is None:
            self.numbers[float(value)] = len(self.numbers)
            return 0
        return 1 + known


def as_multiples(numbers: Sequence[float]) -> list[float | list[float]]:
    """Numbers, the long ones as short multiples of earlier long ones where these are exactly the same.

    A multiple is ``[back, factor]``.
    """
    long: list[tuple[int, float]] = []
    found: list[float | list[float]] = []
    for place, number in enumerate(numbers):
        plain = int(number) if number.is_integer() else number
        written = repr(plain)
        if len(written) <= _LONG:
            found.append(plain)
            continue
        multiples = ([place - other, float(f"{number / value:.7g}")] for other, value in long)
        exact = [each for each in multiples if numbers[place - int(each[0])] * each[1] == number]
        shortest = min(exact, key=lambda each: len(repr(each)), default=None)
        found.append(shortest if shortest and len(repr(shortest)) < len(written) - 4 else plain)
        long.append((place, number))
    return found


def _numbered(results: Mapping[str, _Value]) -> tuple[dict[str, _Value], dict[str, dict[str, list[_Value]]]]:
    """Results by name, and those that are numbered from 0 without a gap, as columns of the same length."""
    columns: dict[str, dict[str, list[_Value]]] = {}
    for name, value in results.items():
        parts = name.split(".")
        if len(parts) == 3:
            columns.setdefault(parts[0], {}).setdefault(parts[2], []).append(value)
    rows = {name: each for name, each in columns.items() if len({len(column) for column in each.values()}) == 1}
    inside = {
        f"{phase}.{place}.{name}"
        for phase, each in rows.items()
        for name, column in each.items()
        for place in range(len(column))
    }
    assert inside <= results.keys(), "numbered results have a gap"
    return {name: value for name, value in results.items() if name not in inside}, rows


def _sum_of(node: Node) -> Sum:
    return Sum(node.constants[0], dict(zip(node.operands, node.constants[1:], strict=True)))


def _is_number(node: Node) -> bool:
    return node.operation == "sum" and not node.operands
