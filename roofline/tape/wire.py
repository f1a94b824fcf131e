"""A tape as data: what a few lines of JavaScript play on a page where no text may be run as code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from roofline.tape.operations import Constant
from roofline.tape.tape import Tape
from roofline.tape.trace import STEP, Node

OPERATIONS = (
    *("sum", "product", "quotient", "maximum", "minimum", "power", "ceil_div", "floor_div", "remainder", "ratio"),
    *("where", "less", "at_most", "equal"),
)
"""An operation is its place here."""


def wire(tape: Tape) -> dict[str, Any]:
    """A tape as plain lists of numbers.

    Values stand in one row: the ``letters``, the step, then what each statement makes, ``before`` the steps, in each
    (``inner``), the means over them, and ``after``. Statements follow each other as an operation and its operands: how
    far back in the row each lies, or -1 - its place among ``numbers``. A sum says how many terms it has, the place of
    its constant, and of each term the operand and the place of its factor. ``means`` are the operands of the means,
    ``results`` and ``guards``, which must have the value beside them, are places in the row, or -1 - those of numbers.
    ``steps`` is null where a letter says how many.

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
        letters = [
            {"name": each.name, "low": each.low, "high": each.high, "whole": each.whole} for each in tape.letters
        ]
        return {
            "letters": letters,
            "before": before,
            "inner": inner,
            "means": means,
            "after": after,
            "results": {name: self._result(value) for name, value in tape.results.items()},
            "guards": [[self._absolute(place), float(value)] for place, value in tape.guards.items()],
            "steps": tape.steps,
            "numbers": list(self.numbers),
        }

    def _statements(self, places: Iterable[int]) -> list[int]:
        """Those nodes that are neither letters nor numbers, one after the other."""
        found: list[int] = []
        for place in places:
            node = self.tape.nodes[place]
            if node.operation != "letter" and not _is_number(node):
                found += self._statement(node)
                self._add(place)
        return found

    def _statement(self, node: Node) -> list[int]:
        operands = [self._relative(place) for place in node.operands]
        if node.operation != "sum":
            return [OPERATIONS.index(node.operation), *operands]
        constant, *factors = (self._number(each) for each in node.constants)
        terms = [part for pair in zip(operands, factors, strict=True) for part in pair]
        return [0, len(operands), constant, *terms]

    def _add(self, place: int) -> None:
        self.places[place] = self.made
        self.made += 1

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


def _is_number(node: Node) -> bool:
    return node.operation == "sum" and not node.operands
