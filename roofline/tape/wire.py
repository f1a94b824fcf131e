"""A tape as data: what a few lines of JavaScript play on a page where no text may be run as code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

from roofline.kept import PLACES
from roofline.tape.operations import KEPT, Constant
from roofline.tape.sums import Sums
from roofline.tape.tape import Tape
from roofline.tape.trace import STEP, Node, Sum

_Value: TypeAlias = int | Constant
"""A result: a place among nodes, or a number."""

OPERATIONS = (
    *("sum", "product", "quotient", "maximum", "minimum", "power", "ceil_div", "floor_div", "remainder", "ratio"),
    *("where", "less", "at_most", "equal", *KEPT),
)
"""An operation is its place here."""


def wire(tape: Tape) -> dict[str, Any]:
    """A tape as plain lists of numbers.

    Values stand in one row: the ``letters``, the step, then what each statement makes, ``before`` the steps, in each
    (``inner``), the means over them, and ``after``. Statements follow each other as an operation and its operands: how
    far back in the row each lies, or -1 - its place among ``numbers``. A sum says how many terms it has, the place of
    its constant, and of each term the operand and the place of its factor; what is kept whole (``roofline.kept``) has
    its place among ``tables``, lists of places of numbers, behind its operands, and makes all its values. ``means`` are
    the operands of the means,
    ``results`` and ``guards``, which must have the value beside them, are places in the row, or -1 - those of numbers.
    Results that are numbered, ``decode.0.time_s`` and so on, are ``columns``: of ``decode`` the places of each
    ``time_s``, each as its difference to the one before. ``steps`` is null where a letter says how many.

    >>> from roofline import record
    >>> tape = record("gpt2", "a10", context=100).only("kv_cache_bytes")
    >>> found = wire(tape)
    >>> [each["name"] for each in found["letters"]], found["results"]
    (['batch', 'context'], {'kv_cache_bytes': 6})
    """
    return _Writer(tape).written()


@dataclass(slots=True)
class _Writer:
    """A tape that is being written: where each node stands in the row, and the numbers met so far."""

    tape: Tape
    places: dict[int, int] = field(default_factory=dict)
    numbers: dict[float, int] = field(default_factory=dict)
    tables: dict[tuple[int, ...], int] = field(default_factory=dict)
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
        plain, listed = _listed(tape.results)
        letters = [
            {"name": each.name, "low": each.low, "high": each.high, "whole": each.whole} for each in tape.letters
        ]
        return {
            "letters": letters,
            "before": before,
            "inner": inner,
            "means": means,
            "after": after,
            "results": {name: self._result(value) for name, value in plain.items()},
            "columns": {
                name: {key: self._differences(column) for key, column in columns.items()}
                for name, columns in listed.items()
            },
            "guards": [[self._absolute(place), float(value)] for place, value in tape.guards.items()],
            "steps": tape.steps,
            "tables": [list(table) for table in self.tables],
            "numbers": list(self.numbers),
        }

    def _statements(self, places: Iterable[int]) -> list[int]:
        """Those nodes that are neither letters nor numbers, one after the other."""
        found: list[int] = []
        for place in places:
            node = self.tape.nodes[place]
            if node.operation in PLACES:
                self.places[place] = self.places[node.operands[0]] + PLACES.index(node.operation)
            elif node.operation != "letter" and not _is_number(node):
                found += self._statement(place, node)
                self._add(place, KEPT[node.operation].values if node.operation in KEPT else 1)
        return found

    def _statement(self, place: int, node: Node) -> list[int]:
        if node.operation == "sum":
            return self._sum(place, _sum_of(node))
        operands = [self._relative(inner) for inner in node.operands]
        if node.operation in KEPT:
            table = tuple(map(self._number, node.constants))
            return [OPERATIONS.index(node.operation), *operands, self.tables.setdefault(table, len(self.tables))]
        return [OPERATIONS.index(node.operation), *operands]

    def _sum(self, place: int, whole: Sum) -> list[int]:
        given = self.sums.shortened(whole)
        self.sums.add(place, whole)
        constant, *factors = (self._number(each) for each in (given.constant, *given.terms.values()))
        terms = [part for pair in zip(map(self._relative, given.terms), factors, strict=True) for part in pair]
        return [0, len(given.terms), constant, *terms]

    def _differences(self, column: Sequence[int | Constant]) -> list[int]:
        """The places of some results, each as what it is more than the one before."""
        places = [self._result(value) for value in column]
        return [place - before for before, place in pairwise([0, *places])]

    def _add(self, place: int, values: int = 1) -> None:
        self.places[place] = self.made
        self.made += values

    def _result(self, value: int | Constant) -> int:
        return self._absolute(value) if type(value) is int else -1 - self._number(value)

    def _absolute(self, place: int) -> int:
        node = self.tape.nodes[place]
        return -1 - self._number(node.constants[0]) if _is_number(node) else self.places[place]

    def _relative(self, place: int) -> int:
        found = self._absolute(place)
        return found if found < 0 else self.made - found

    def _number(self, value: Constant) -> int:
        return self.numbers.setdefault(float(value), len(self.numbers))


def _listed(results: Mapping[str, _Value]) -> tuple[dict[str, _Value], dict[str, dict[str, list[_Value]]]]:
    """Results by name, and those whose names are numbered from 0 without a gap, as columns."""
    plain: dict[str, _Value] = {}
    columns: dict[str, dict[str, list[_Value]]] = {}
    for name, value in results.items():
        parts = name.split(".")
        column = columns.setdefault(parts[0], {}).setdefault(parts[2], []) if len(parts) == 3 else None
        if column is not None and parts[1] == str(len(column)):
            column.append(value)
        else:
            plain[name] = value
    return plain, {name: each for name, each in columns.items() if each}


def _sum_of(node: Node) -> Sum:
    return Sum(node.constants[0], dict(zip(node.operands, node.constants[1:], strict=True)))


def _is_number(node: Node) -> bool:
    return node.operation == "sum" and not node.operands
