"""A recording as text: one statement a node, in the words of numpy, of plain Python, of JavaScript."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from roofline.classes import frozen
from roofline.kept import PLACES
from roofline.number import ratio
from roofline.tape.operations import KEPT, Constant
from roofline.tape.trace import STEP, Node


@frozen
class Dialect:
    """How a language writes operations, by the names of their operands; infinity, a statement, an indent, a table.

    What runs one point has besides the loop over the steps of a request, the zero that a sum over them begins with, and
    how it ends; and ``check``, which refuses a ``{value}`` that is not the ``{expected}`` one.
    """

    operations: Mapping[str, str]
    infinity: str
    assign: str
    indent: str
    table: str = "({})"
    loop: str = ""
    zero: str = ""
    end: str = ""
    check: str = ""


_SHARED = {
    "product": "{0} * {1}",
    "quotient": "{0} / {1}",
    "less": "{0} < {1}",
    "at_most": "{0} <= {1}",
    **{name: f"{{0}}[{place}]" for place, name in enumerate(PLACES)},
}

NUMPY = Dialect(
    {
        **_SHARED,
        "maximum": "numpy.maximum({0}, {1})",
        "minimum": "numpy.minimum({0}, {1})",
        "power": "{0} ** {1}",
        "ceil_div": "numpy.ceil({0} / {1})",
        "floor_div": "numpy.floor({0} / {1})",
        "remainder": "numpy.mod({0}, {1})",
        "ratio": "ratio({0}, {1})",
        "where": "numpy.where({0}, {1}, {2})",
        "equal": "{0} == {1}",
        "mean": "mean({0})",
    },
    "numpy.inf",
    "{name} = {value}",
    "    ",
)

PYTHON = Dialect(
    {
        **_SHARED,
        "maximum": "max({0}, {1})",
        "minimum": "min({0}, {1})",
        "power": "{0} ** {1}",
        "ceil_div": "math.ceil({0} / {1})",
        "floor_div": "math.floor({0} / {1})",
        "remainder": "{0} % {1}",
        "ratio": "({0} / {1} if {1} > 0 else 0.0)",
        "where": "({1} if {0} else {2})",
        "equal": "{0} == {1}",
    },
    "math.inf",
    "{name} = {value}",
    "    ",
    loop=f"for {STEP} in range(1, int(steps) + 1):",
    zero="{name} = 0.0",
    check='if {value} != {expected}: raise ArithmeticError("{problem}")',
)

SPACE = {"numpy": np, "math": math, "ratio": ratio, **{name: kept.function for name, kept in KEPT.items()}}
"""What statements in numpy and in Python call, by its name there."""

JAVASCRIPT = Dialect(
    {
        **_SHARED,
        "maximum": "Math.max({0}, {1})",
        "minimum": "Math.min({0}, {1})",
        "power": "{0} ** {1}",
        "ceil_div": "Math.ceil({0} / {1})",
        "floor_div": "Math.floor({0} / {1})",
        "remainder": "{0} % {1}",
        "ratio": "({1} > 0 ? {0} / {1} : 0)",
        "where": "({0} ? {1} : {2})",
        "equal": "{0} === {1}",
    },
    "Infinity",
    "const {name} = {value};",
    "  ",
    table="[{}]",
    loop=f"for (let {STEP} = 1; {STEP} <= steps; {STEP}++) {{",
    zero="let {name} = 0;",
    end="}",
    check='if (Number({value}) !== {expected}) throw new RangeError("{problem}");',
)


_CHOSEN = ("maximum", "minimum", "less", "at_most", "equal")
_ROUNDED = ("ceil_div", "floor_div", "remainder", "padded", "least_waves")


@frozen
class Script:
    """The nodes that some results need, in order: before the steps of a request, in each step, after them.

    ``alone``: of a letter, those before the steps that it alone decides; ``kept``: those of them that others need.
    """

    nodes: Sequence[Node]
    before: tuple[int, ...]
    inner: tuple[int, ...]
    after: tuple[int, ...]
    means: tuple[int, ...]
    alone: Mapping[str, tuple[int, ...]]
    kept: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, nodes: Sequence[Node], results: Iterable[int]) -> Script:
        """The statements that ``results`` need and no other."""
        asked = list(results)
        needed: set[int] = set()
        waiting = [*asked]
        while waiting:
            place = waiting.pop()
            if place not in needed:
                needed.add(place)
                waiting += nodes[place].operands
        late: set[int] = set()
        parts: dict[str, list[int]] = {"before": [], "inner": [], "after": [], "means": []}
        for place in sorted(needed):
            node = nodes[place]
            if node.operation == "mean":
                late.add(place)
                parts["means"].append(place)
            elif STEP in node.letters:
                parts["inner"].append(place)
            elif late & set(node.operands):
                late.add(place)
                parts["after"].append(place)
            else:
                parts["before"].append(place)
        order = {name: tuple(places) for name, places in parts.items()}
        alone = _alone(nodes, order["before"])
        return cls(nodes, **order, alone=alone, kept=_kept(nodes, needed, set(asked), alone))

    @property
    def given(self) -> tuple[int, ...]:
        """What steps use of what is the same in all of them."""
        used = {place for inner in self.inner for place in self.nodes[inner].operands}
        own = {*self.inner, *(place for place in used if self._is_number(place))}
        return tuple(sorted(used - own))

    @property
    def smooth(self) -> bool:
        """Whether what is averaged over steps is smooth but where a choice turns: nothing in it is rounded."""
        return not any(self.nodes[place].operation in _ROUNDED for place in self.inner)

    def choices(self, dialect: Dialect) -> list[str]:
        """Numbers whose sign decides a choice in a step."""
        chosen = [self.nodes[place] for place in self.inner if self.nodes[place].operation in _CHOSEN]
        pairs = [sorted(node.operands) for node in chosen]
        wholes = [self.nodes[place].operands[1] for place in self.inner if self.nodes[place].operation == "ratio"]
        differences = [f"{self.operand(dialect, a)} - {self.operand(dialect, b)}" for a, b in pairs]
        return [*dict.fromkeys([*differences, *(self.operand(dialect, whole) for whole in wholes)])]

    def lines(self, dialect: Dialect, places: Iterable[int]) -> list[str]:
        """A statement for each node that is no letter."""
        return [
            dialect.assign.format(name=self.name(place), value=self.value(dialect, place))
            for place in places
            if self.nodes[place].operation != "letter" and not self._is_number(place)
        ]

    def name(self, place: int) -> str:
        """What a node is called."""
        node = self.nodes[place]
        return next(iter(node.letters - {STEP}), STEP) if node.operation == "letter" else f"x{place}"

    def value(self, dialect: Dialect, place: int) -> str:
        """The statement of a node in terms of others."""
        node = self.nodes[place]
        if node.operation == "sum":
            return self._sum(dialect, node)
        if node.operation in KEPT:
            table = dialect.table.format("".join(f"{literal(each, dialect)}, " for each in node.constants))
            return f"{node.operation}({''.join(f'{self.operand(dialect, each)}, ' for each in node.operands)}{table})"
        return dialect.operations[node.operation].format(*(self.operand(dialect, inner) for inner in node.operands))

    def operand(self, dialect: Dialect, place: int) -> str:
        """A node where it is used: by its name, or the number that it is."""
        return literal(self.nodes[place].constants[0], dialect) if self._is_number(place) else self.name(place)

    def _is_number(self, place: int) -> bool:
        return self.nodes[place].operation == "sum" and not self.nodes[place].operands

    @staticmethod
    def _terms(node: Node) -> list[tuple[int, Constant]]:
        coefficients: tuple[Constant, ...] = node.constants[1:]
        return list(zip(node.operands, coefficients, strict=True))

    def _sum(self, dialect: Dialect, node: Node) -> str:
        parts: list[str] = []
        for place, coefficient in self._terms(node):
            size = literal(-coefficient if coefficient < 0 else coefficient, dialect)
            factor = "" if size == "1.0" else f"{size} * "
            parts.append(f"{'- ' if coefficient < 0 else '+ '}{factor}{self.operand(dialect, place)}")
        if constant := node.constants[0]:
            parts.append(f"{'- ' if constant < 0 else '+ '}{literal(-constant if constant < 0 else constant, dialect)}")
        return " ".join(parts).removeprefix("+ ").replace("- ", "-", 1 if parts[0].startswith("-") else 0)


def _alone(nodes: Sequence[Node], places: Iterable[int]) -> dict[str, tuple[int, ...]]:
    """Those of some nodes that one letter decides, by that letter."""
    found: dict[str, list[int]] = {}
    for place in places:
        if nodes[place].operation != "letter" and len(nodes[place].letters) == 1:
            (letter,) = nodes[place].letters
            found.setdefault(letter, []).append(place)
    return {letter: tuple(its) for letter, its in found.items()}


def _kept(
    nodes: Sequence[Node], needed: set[int], asked: set[int], alone: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Of each letter's own nodes those that are asked for, or that others use."""
    others = needed.difference(*alone.values())
    used = asked.union(*(nodes[place].operands for place in others))
    return {letter: tuple(place for place in its if place in used) for letter, its in alone.items()}


def literal(value: Constant, dialect: Dialect) -> str:
    """A plain number as a float64 has it, in full."""
    found = float(value)
    return repr(found) if math.isfinite(found) else f"{'-' if found < 0 else ''}{dialect.infinity}"


def kept_in_javascript() -> str:
    """The text of the functions that are kept whole, which stands before a script that calls them."""
    text = (Path(__file__).parent / "kept.js").read_text(encoding="utf-8")
    return text.replace("export function", "function") + "\n"
