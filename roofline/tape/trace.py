"""A trace: the nodes of a recording, each there once, in the order in which they came about.

Sums are kept as ``constant + coefficient x node + ...``, products as sorted factors, so that like terms fold and what
is computed twice is one node. Of each node the range is known that it has over those of the letters; a maximum, a
minimum or a comparison that this decides is no node.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from roofline.classes import frozen
from roofline.kept import PLACES, Table
from roofline.tape.operations import EVERYTHING, KEPT, OPERATIONS, TRUTH, Constant, Range

STEP = "step"
"""The letter that counts the decode steps of a request; a mean is over all of them."""

_FLATTENED = 6
"""Sums of sums are one sum up to so many terms: more would be added up twice."""


@frozen
class Node:
    """An operation and its operands, by their places; of a sum, the constant and the coefficients of its terms.

    ``letters``: what it depends on. ``example``: its value where the recording was made. ``whole``: always an integer.
    """

    operation: str
    operands: tuple[int, ...]
    constants: tuple[Constant, ...]
    letters: frozenset[str]
    range: Range
    example: float
    whole: bool = False


@frozen
class Letter:
    """An input: its name, the value that the recording was made at, the least and the most that it may be.

    ``stepwise``: it is another in each step, so that a mean is over its values.
    """

    name: str
    example: float
    low: float
    high: float
    whole: bool = False
    stepwise: bool = False


@frozen
class Sum:
    """``constant + coefficient x node + ...``"""

    constant: Constant
    terms: dict[int, Constant]

    def plus(self, other: Sum, factor: Constant = 1) -> Sum:
        """This sum and ``factor`` times another; terms that cancel are gone."""
        terms = dict(self.terms)
        for place, coefficient in other.terms.items():
            terms[place] = terms.get(place, 0) + factor * coefficient
        return Sum(self.constant + factor * other.constant, {p: c for p, c in terms.items() if c})

    def times(self, factor: Constant) -> Sum:
        """All of it ``factor`` times."""
        return Sum(0, {}).plus(self, factor)


@dataclass(slots=True)
class Trace:
    """The nodes of one recording, its letters, and the choices among integers or forms that were made on the way."""

    nodes: list[Node] = field(default_factory=list)
    letters: dict[str, Letter] = field(default_factory=dict)
    guards: dict[int, float] = field(default_factory=dict)
    _places: dict[tuple[object, ...], int] = field(default_factory=dict)

    def letter(self, letter: Letter) -> int:
        """The place of an input."""
        self.letters[letter.name] = letter
        span = (letter.low, letter.high)
        depends = frozenset((letter.name, STEP)) if letter.stepwise else frozenset((letter.name,))
        made = Node("letter", (), (), depends, span, letter.example, letter.whole)
        return self._place(("letter", letter.name), made)

    def decide(self, place: int) -> float:
        """The value of a node as a choice that was made: the recording holds where it is the same."""
        return self.guards.setdefault(place, self.nodes[place].example)

    def sum_of(self, place: int) -> Sum:
        """A node as a sum, of itself alone where it is none."""
        node = self.nodes[place]
        if node.operation != "sum":
            return Sum(0, {place: 1})
        return Sum(node.constants[0], dict(zip(node.operands, node.constants[1:], strict=True)))

    def opaque(self, given: Sum) -> Sum:
        """A long sum as one term, so that what it is part of does not add it up again."""
        return given if len(given.terms) <= _FLATTENED else Sum(0, {self._sum(given): 1})

    def total(self, given: Sum) -> int | Constant:
        """The place of a sum, or the number that it is."""
        if not given.terms:
            return given.constant
        if given.constant == 0 and list(given.terms.values()) == [1]:
            return next(iter(given.terms))
        return self._sum(given)

    def range_of(self, given: Sum) -> Range:
        """The range of a sum."""
        low = high = float(given.constant)
        for place, coefficient in given.terms.items():
            ends = [float(coefficient) * end for end in self.nodes[place].range]
            low, high = low + min(ends), high + max(ends)
        return EVERYTHING if math.isnan(low) or math.isnan(high) else (low, high)

    def multiply(self, factors: Iterable[int]) -> int:
        """The place of a product of nodes."""
        flat = sorted(inner for place in factors for inner in self.factors(place))
        product = flat[0]
        for place in flat[1:]:
            product = self._binary("product", product, place)
        return product

    def factors(self, place: int) -> tuple[int, ...]:
        """What a product is made of; another node alone."""
        node = self.nodes[place]
        if node.operation != "product":
            return (place,)
        return (*self.factors(node.operands[0]), *self.factors(node.operands[1]))

    def divide(self, above: int, below: int) -> tuple[list[int], list[int]]:
        """The factors of a quotient that do not cancel."""
        over, under = Counter(self.factors(above)), Counter(self.factors(below))
        return [*(over - under).elements()], [*(under - over).elements()]

    def polynomial(self, place: int) -> bool:
        """Whether a node is a product of letters."""
        return all(self.nodes[factor].operation == "letter" for factor in self.factors(place))

    def apply(self, operation: str, *operands: int) -> int:
        """The place of any other operation."""
        if (known := self._places.get((operation, *operands))) is not None:
            return known
        nodes = [self.nodes[place] for place in operands]
        found = OPERATIONS[operation]
        example = float(found.function(*(node.example for node in nodes)))
        letters = frozenset[str]().union(*(node.letters for node in nodes))
        truth = operation in ("less", "at_most", "equal")
        if operation == "where":
            span = min(nodes[1].range[0], nodes[2].range[0]), max(nodes[1].range[1], nodes[2].range[1])
        else:
            span = TRUTH if truth else found.range_of([node.range for node in nodes])
        whole = operation in ("ceil_div", "floor_div") or truth
        whole |= operation in ("maximum", "minimum", "remainder") and all(node.whole for node in nodes)
        if operation == "mean":
            letters -= {STEP}
        return self._place((operation, *operands), Node(operation, operands, (), letters, span, example, whole))

    def kept(self, name: str, operands: tuple[int, ...], table: Table) -> int:
        """The place of a function that is kept whole; of several values it has the first."""
        if (known := self._places.get((name, operands, table))) is not None:
            return known
        nodes, found = [self.nodes[place] for place in operands], KEPT[name]
        example = found.value(0, [node.example for node in nodes], table)
        span = found.span(0, [node.range for node in nodes], table)
        letters = frozenset[str]().union(*(node.letters for node in nodes))
        whole = name == "padded" and all(node.whole for node in nodes) and all(map(_is_whole, table))
        return self._place((name, operands, table), Node(name, operands, table, letters, span, example, whole))

    def value_of(self, name: str, place: int) -> int:
        """The place of one of the values of such a function."""
        kept, which = self.nodes[place], PLACES.index(name)
        nodes, table = [self.nodes[inner] for inner in kept.operands], tuple(map(float, kept.constants))
        example = KEPT[kept.operation].value(which, [node.example for node in nodes], table)
        span = KEPT[kept.operation].span(which, [node.range for node in nodes], table)
        return self._place((name, place), Node(name, (place,), (), kept.letters, span, example))

    def constant(self, number: Constant) -> int:
        """The place of a number as an operand."""
        return self._sum(Sum(number, {}))

    def _binary(self, operation: str, a: int, b: int) -> int:
        if (known := self._places.get((operation, a, b))) is not None:
            return known
        one, two = self.nodes[a], self.nodes[b]
        ends = [x * y for x in one.range for y in two.range]
        span = EVERYTHING if any(map(math.isnan, ends)) else (min(ends), max(ends))
        example = one.example * two.example
        made = Node(operation, (a, b), (), one.letters | two.letters, span, example, one.whole and two.whole)
        return self._place((operation, a, b), made)

    def _sum(self, given: Sum) -> int:
        places = tuple(sorted(given.terms))
        coefficients = tuple(given.terms[place] for place in places)
        key = ("sum", places, given.constant, coefficients)
        if (known := self._places.get(key)) is not None:
            return known
        nodes = [self.nodes[place] for place in places]
        example = float(given.constant) + sum(float(c) * n.example for c, n in zip(coefficients, nodes, strict=True))
        letters = frozenset[str]().union(*(node.letters for node in nodes))
        whole = all(map(_is_whole, (given.constant, *coefficients))) and all(node.whole for node in nodes)
        made = Node("sum", places, (given.constant, *coefficients), letters, self.range_of(given), example, whole)
        return self._place(key, made)

    def _place(self, key: tuple[object, ...], node: Node) -> int:
        """Where a node is, which is there once; an input may be asked for again."""
        if key not in self._places:
            self._places[key] = len(self.nodes)
            self.nodes.append(node)
        return self._places[key]


def _is_whole(number: Constant) -> bool:
    return math.isfinite(number) and Fraction(number).denominator == 1
