"""What a tape is written as: statements in the order of their use, and what several always do together as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from roofline.classes import frozen
from roofline.kept import PLACES
from roofline.tape.operations import KEPT, Constant
from roofline.tape.sums import Sums
from roofline.tape.tape import Tape
from roofline.tape.trace import Node, Sum


@frozen
class Statement:
    """An operation on nodes and ``numbers`` that makes one value or several, each by its node, if it has one."""

    operation: str
    operands: tuple[int, ...]
    values: tuple[int | None, ...]
    numbers: tuple[Constant, ...] = ()
    table: tuple[Constant, ...] | None = None

    @property
    def scaled(self) -> int | None:
        """The node that it is a multiple of, if it is one."""
        alone = self.operation == "sum" and len(self.operands) == 1 and self.numbers[0] == 0
        return self.operands[0] if alone else None


FORMS = {"shared": 4, "band": 3, "softened": 2}
"""What stands for several statements, and how many values each makes.

``shared(a, b)``: a ``soft_corner``, and what of it is of ``a`` and of ``b``. ``band(a, b; c, d)``: ``m = min(a, b)``,
``max(m, c * a)`` and ``d * a``, a bound and the ends of a range whose low one is not below it.
``softened(a; p, c)``: ``y = (a**p + c)**(1/p)`` and ``a**p * y / (a**p + c)``, a corner with a constant.
"""


@frozen
class Stated:
    """The statements of a tape: before the steps of a request, in each step, after them; the means between."""

    before: tuple[Statement, ...]
    inner: tuple[Statement, ...]
    means: tuple[int, ...]
    after: tuple[Statement, ...]


def stated(tape: Tape, wanted: Iterable[int]) -> Stated:
    """The statements that some nodes of a tape need, each after its operands and as near to its use as can be."""
    script, sums = tape.script, Sums()
    segments = (script.before, script.inner, script.after)
    makers: dict[int, Statement] = {}
    found: list[list[Statement]] = [[] for _ in segments]
    where: dict[int, list[Statement]] = {}
    for segment, statements in zip(segments, found, strict=True):
        makers |= _with_forms(tape.nodes, _by_value(_plain(tape.nodes, segment, sums)))
        where |= dict.fromkeys(segment, statements)
    means: list[int] = []
    done: set[int] = set()
    for place in _after_operands(tape.nodes, makers, wanted):
        if place in makers and place not in done:
            where[place].append(makers[place])
            done.update(value for value in makers[place].values if value is not None)
        elif tape.nodes[place].operation == "mean":
            means.append(place)
    before, inner, after = (tuple(statements) for statements in found)
    return Stated(before, inner, tuple(means), after)


def _by_value(statements: Iterable[Statement]) -> dict[int, Statement]:
    return {value: each for each in statements for value in each.values if value is not None}


def _after_operands(nodes: Sequence[Node], makers: Mapping[int, Statement], wanted: Iterable[int]) -> Iterator[int]:
    """The nodes that are wanted and all that they need, each once, after what its statement needs."""
    seen: set[int] = set()
    for one in wanted:
        waiting = [(one, False)]
        while waiting:
            place, entered = waiting.pop()
            if entered:
                yield place
            elif place not in seen:
                seen.add(place)
                operands = makers[place].operands if place in makers else nodes[place].operands
                waiting.append((place, True))
                waiting += ((operand, False) for operand in reversed(operands))


def _plain(nodes: Sequence[Node], places: Sequence[int], sums: Sums) -> Iterator[Statement]:
    """A statement for each node that is neither a letter nor a number; sums in terms of earlier ones."""
    others = {
        (nodes[place].operands[0], PLACES.index(nodes[place].operation)): place
        for place in places
        if nodes[place].operation in PLACES
    }
    for place in places:
        node = nodes[place]
        if node.operation in KEPT:
            count = KEPT[node.operation].values
            values = (place,) if count == 1 else tuple(others.get((place, which)) for which in range(count))
            yield Statement(node.operation, node.operands, values, table=node.constants)
        elif node.operation == "sum" and node.operands:
            whole = Sum(node.constants[0], dict(zip(node.operands, node.constants[1:], strict=True)))
            short = sums.shortened(whole)
            sums.add(place, whole)
            yield Statement("sum", tuple(short.terms), (place,), (short.constant, *short.terms.values()))
        elif node.operation not in (*PLACES, "letter", "sum"):
            yield Statement(node.operation, node.operands, (place,))


def _with_forms(nodes: Sequence[Node], plain: dict[int, Statement]) -> dict[int, Statement]:
    """Statements by the nodes that they make, those of forms in place of what they stand for."""
    found = dict(plain)
    for form in _Forms.of(nodes, plain).all():
        values = [value for value in form.values if value is not None]
        if max(form.operands) < min(values) and all(found[value] is plain[value] for value in values):
            found |= dict.fromkeys(values, form)
    return found


@frozen
class _Forms:
    """Statements among which forms are looked for: by their node, by their operation and operands, multiples."""

    nodes: Sequence[Node]
    plain: Mapping[int, Statement]
    known: Mapping[tuple[str, tuple[int, ...]], int]
    multiples: Mapping[int, Sequence[tuple[Constant, int]]]

    @classmethod
    def of(cls, nodes: Sequence[Node], plain: Mapping[int, Statement]) -> _Forms:
        known = {(each.operation, each.operands): place for place, each in plain.items() if not each.numbers}
        known |= {("complement", each.operands): place for place, each in plain.items() if each.numbers == (1, -1)}
        multiples: dict[int, list[tuple[Constant, int]]] = {}
        for place, each in plain.items():
            if each.scaled is not None:
                multiples.setdefault(each.scaled, []).append((each.numbers[1], place))
        return cls(nodes, plain, known, multiples)

    def all(self) -> Iterator[Statement]:
        """Every form that is there, some of the same values."""
        found = {"maximum": self._band, "power": self._softened}
        for place, each in self.plain.items():
            if each.operation == "soft_corner" and place == each.values[0]:
                yield from self._shared(each)
            elif each.operation in found:
                yield from found[each.operation](place, *each.operands)

    def _shared(self, corner: Statement) -> Iterator[Statement]:
        """A corner with what is of its first side and what of its second, if that is there."""
        whole, share = corner.values
        if whole is not None and share is not None and (rest := self.known.get(("complement", (share,)))):
            sides = self._product(whole, share), self._product(whole, rest)
            if None not in sides:
                yield Statement("shared", corner.operands, (whole, share, *sides), (), corner.table)

    def _band(self, place: int, a: int, b: int) -> Iterator[Statement]:
        """``max(min(a, b), c * a)``, where a multiple of ``a`` that is larger than it is there as well."""
        for least, low in ((a, b), (b, a)):
            its, inner = self.plain.get(low), self.plain.get(least)
            if not (its and inner and its.scaled in inner.operands and inner.operation == "minimum"):
                continue
            (bound,) = set(inner.operands) - {its.scaled}
            above = [each for each in self.multiples[its.scaled] if each[0] > 1]
            if above:
                factor, high = min(above)
                yield Statement("band", (its.scaled, bound), (least, place, high), (its.numbers[1], factor))

    def _softened(self, place: int, base: int, root: int) -> Iterator[Statement]:
        """A power of a power and a constant, with the part of it that is the first's, if that is there."""
        maker = self.plain.get(base)
        if not (maker and maker.operation == "sum" and maker.numbers[1:] == (1,)):
            return
        (power,) = maker.operands
        inner = self.plain.get(power)
        if inner and inner.operation == "power" and self._number(root) == 1 / self._number(inner.operands[1]):
            above = self._product(power, place)
            part = None if above is None else self.known.get(("quotient", (above, base)))
            numbers = (self.nodes[inner.operands[1]].constants[0], maker.numbers[0])
            yield Statement("softened", inner.operands[:1], (place, part), numbers)

    def _product(self, a: int, b: int) -> int | None:
        return self.known.get(("product", (a, b)), self.known.get(("product", (b, a))))

    def _number(self, place: int) -> float:
        node = self.nodes[place]
        return float(node.constants[0]) if is_number(node) else 0.0


def is_number(node: Node) -> bool:
    """Whether a node is one number, wherever it is evaluated."""
    return node.operation == "sum" and not node.operands
