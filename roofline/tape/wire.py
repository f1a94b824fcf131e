"""A tape as data: what a few lines of JavaScript play on a page where no text may be run as code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

from roofline.tape.multiples import as_multiples, shortened
from roofline.tape.operations import KEPT, Constant
from roofline.tape.statements import FORMS, Statement, is_number, stated
from roofline.tape.tape import Tape
from roofline.tape.trace import STEP

_Value: TypeAlias = int | Constant
"""A result: a place among nodes, or a number."""

OPERATIONS = (
    *("product", "quotient", "maximum", "minimum", "power", "ceil_div", "floor_div", "remainder", "ratio"),
    *("where", "less", "at_most", "equal", *KEPT, *FORMS, "sum"),
)
"""An operation is its place here; a sum, the last of them, of n terms is 2 n more, and 1 if it has a constant."""

NEAR = 32
"""Operands up to so many values back are told by how far, others by their place: what is used often is one number."""

_LETTERS = "".join(chr(code) for code in range(35, 127) if chr(code) != "\\")
_LAST = 64


def wire(tape: Tape) -> dict[str, Any]:
    """A tape as plain lists, most of them of whole numbers that are written as text (``as_text``).

    Values stand in one row: the ``letters``, the step, then what each statement makes, ``before`` the steps, in each
    (``inner``), the means over them, and ``after``. Statements are told by their ``operations``, their ``operands``
    one after the other, what of ``numbers`` they have, and ``tables``. An operand is 0 for a number that was not met
    before; how far back in the row it lies, up to NEAR; more, NEAR + 1 and twice a number, or its place twice and 1.
    A sum has its constant, if it has one, and the factor of each term among the numbers; ``FORMS`` have theirs there.

    A number is 0 where it is the next one that was not met before, else 1 + its place among all ``numbers``, in the
    order of this text. There it is itself or, where that is shorter, ``[back, factor]``: the one so many before, times
    the factor. ``means`` are the operands of the means, ``results`` and ``guards``, which must have the value beside
    them, are places in the row, or -1 - numbers. Results that are numbered, ``decode.0.time_s`` and so on, are
    ``rows`` of ``names``, the ``firsts`` apart: 0 and the ``others`` of a row, or 1 + which of the different rows
    before has the same. Each is 4 times how far in the row it lies behind the one before, less 2 and positive where
    it lies before that, or twice a number and 1. ``tables`` are 0 and numbers, or 1 and the steps between whole
    numbers that rise. ``steps`` is null where a letter says how many.

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
    made: int = 0

    def written(self) -> dict[str, Any]:
        tape, script = self.tape, self.tape.script
        names = [*(letter.name for letter in tape.letters), STEP]
        nodes = enumerate(tape.nodes)
        self.places = {place: names.index(script.name(place)) for place, node in nodes if node.operation == "letter"}
        self.made = len(names)
        plain, rows = _numbered(tape.results)
        results = [value for columns in rows.values() for row in zip(*columns.values(), strict=True) for value in row]
        wanted = [value for value in (*results, *plain.values()) if type(value) is int]
        whole = stated(tape, [*wanted, *tape.guards])
        before, inner = self._statements(whole.before), self._statements(whole.inner)
        means = [self._absolute(tape.nodes[place].operands[0]) for place in whole.means]
        self._add(whole.means)
        after = self._statements(whole.after)
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
            "tables": [as_text(self._table(table)) for table in self.tables],
        }
        return {**found, "numbers": as_multiples(list(self.numbers))}

    def _statements(self, statements: Iterable[Statement]) -> dict[str, str]:
        """Those nodes that are neither letters nor numbers, one after the other."""
        found = _Statements()
        for each in statements:
            self._state(found, each)
            self._add(each.values)
        return {name: as_text(numbers) for name, numbers in asdict(found).items()}

    def _state(self, found: _Statements, told: Statement) -> None:
        found.operands += map(self._operand, told.operands)
        numbers = told.numbers
        operation = OPERATIONS.index(told.operation)
        if told.operation == "sum":
            operation += 2 * len(told.operands) + (numbers[0] != 0)
            numbers = numbers if numbers[0] else numbers[1:]
        found.operations.append(operation)
        found.numbers += map(self._number, numbers)
        if told.table is not None:
            found.tables.append(self.tables.setdefault(told.table, len(self.tables)))

    def _rows(self, columns: Mapping[str, Sequence[_Value]]) -> dict[str, Any]:
        """Rows of results: the first column, and of the others a row, or which of those before has the same."""
        first, *others = columns
        alike: dict[tuple[tuple[_Value, bool], ...], int] = {}
        rows: list[int] = []
        last = 0
        for row in zip(*(columns[name] for name in others), strict=True):
            key = tuple((value, type(value) is int) for value in row)
            if key in alike:
                rows.append(1 + alike[key])
                continue
            alike[key] = len(alike)
            own, last = self._run(row, last)
            rows += [0, *own]
        return {"names": list(columns), "others": as_text(rows), "firsts": as_text(self._run(columns[first], 0)[0])}

    def _run(self, values: Iterable[_Value], last: int) -> tuple[list[int], int]:
        """Results one after the other: places as what they are more than the last one, or numbers."""
        found = []
        for place in map(self._result, values):
            back = place - last
            found.append(2 * (-1 - place) + 1 if place < 0 else 4 * back if back >= 0 else -4 * back - 2)
            last = place if place >= 0 else last
        return found, last

    def _table(self, table: Sequence[Constant]) -> list[int]:
        """1 and the steps between whole numbers that rise, or 0 and each of other numbers."""
        steps = [later - earlier for earlier, later in pairwise((0, *table))]
        if all(step >= 0 and step == int(step) for step in steps):
            return [1, *map(int, steps)]
        return [0, *map(self._number, table)]

    def _add(self, values: Iterable[int | None]) -> None:
        for place in values:
            if place is not None:
                self.places[place] = self.made
            self.made += 1

    def _result(self, value: _Value) -> int:
        return self._absolute(value) if type(value) is int else -1 - self._number(value)

    def _absolute(self, place: int) -> int:
        node = self.tape.nodes[place]
        return -1 - self._number(node.constants[0]) if is_number(node) else self.places[place]

    def _operand(self, place: int) -> int:
        found = self._absolute(place)
        back = self.made - found
        if found < 0:
            return NEAR + 2 * (-1 - found) + 1 if found < -1 else 0
        return back if back <= NEAR else NEAR + 2 * found + 2

    def _number(self, value: Constant) -> int:
        """0 where a number was not met before, else 1 + its place."""
        number = shortened(float(value))
        known = self.numbers.get(number)
        if known is None:
            self.numbers[number] = len(self.numbers)
            return 0
        return 1 + known


def as_text(numbers: Iterable[int]) -> str:
    """Whole numbers, none below zero, as text: a letter for each that is small, more letters for others.

    A letter stands for its place in _LETTERS. One below _LAST ends a number, others go on: what follows them counts
    as many times as there are of those.

    >>> as_text([0, 1, 63, 64, 2000])
    '#$cd#wk#'
    """
    return "".join(_LETTERS[digit] for number in numbers for digit in _digits(number))


def _digits(number: int) -> Iterator[int]:
    while number >= _LAST:
        number, digit = divmod(number - _LAST, len(_LETTERS) - _LAST)
        yield _LAST + digit
    yield number


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
