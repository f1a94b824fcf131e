"""What a graph compiler saves of a traced training step: the fewest bytes from which the backward pass can be run.

Eager autograd keeps what each operation asks for. A graph compiler sees both passes: elementwise work is made again in
the kernels that read it, which costs them no traffic, and what is kept is a minimum cut between both passes. A value
weighs its bytes, and twice as many where nothing else would have it in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import inf

from roofline.models.traced.calls import Access, Call, Recording, Value, Visit
from roofline.number import exact
from roofline.program.axes import Sizes

_REMADE = ("pointwise", "softmax", "reduction", "fill", "gather")
_RANDOM = ("native_dropout", "bernoulli", "normal", "uniform", "rand", "randn", "randint", "randperm", "rand_like",
           "randn_like", "rrelu_with_noise")  # fmt: skip
_REDUCED = 4
"""What is so many times smaller than what it is made of is kept: norms are not computed again."""

_BYTES = {"fp32": 4, "int8": 1}


def compiled(recording: Recording, sizes: Sizes) -> Recording:
    """A recording of both passes as a graph compiler runs them: what it does not save the backward pass makes again.

    ``sizes``: of all letters, at which bytes are compared. Source: ``min_cut_rematerialization_partition`` of
    torch/_functorch/partitioners.py, torch 2.13, without its preference for values near the backward pass.
    """
    forward, behind = recording.passes
    if not behind:
        return recording
    made = {access.value: call for call in forward for access in call.writes if not recording.values[access.value].name}
    needed = {access.value for call in behind for access in call.reads if access.value in made}
    kept = _kept(recording, sizes, made, needed)
    return _Remade(recording, made, kept).recording()


def _kept(recording: Recording, sizes: Sizes, made: Mapping[int, Call], needed: set[int]) -> set[int]:
    """The values that are saved."""
    forward, behind = recording.passes
    heavily = {access.value for call in behind if call.heavy for access in call.reads}
    held = {access.value for call in forward if call.heavy for access in (*call.reads, *call.writes)}
    held |= recording.returned
    rewritten, apart = _rewritten(recording, forward), _far_apart(forward)
    weight, sources = dict[int, float](), dict[int, tuple[int, ...]]()
    for value, call in made.items():
        own = recording.values[value]
        elements = float(exact(own.whole(sizes)))
        width = 8 if own.role == "index" else _BYTES.get(own.dtype, 2)
        weight[value] = elements * width * (1 if value in held else 2)
        read = max((float(exact(access.elements(sizes))) for access in call.reads), default=0.0)
        again = call.kind in _REMADE and call.name not in _RANDOM and _REDUCED * elements >= read
        again = again and call.place not in apart
        if again and value not in heavily and own.storage not in rewritten:
            sources[value] = tuple({access.value for access in call.reads if access.value in made})
    return _cut(weight, sources, sorted(needed))


def _rewritten(recording: Recording, calls: Sequence[Call]) -> set[int]:
    """Storages that calls write more than once: what lies in them is not made of what the last call reads alone."""
    once, more = set[int](), set[int]()
    for call in calls:
        for storage in {recording.values[access.value].storage for access in call.writes}:
            (more if storage in once else once).add(storage)
    return more


def _far_apart(calls: Sequence[Call]) -> set[int]:
    """The places of light calls that read a value behind a heavy one that needs it too: residual sums are kept.

    From there on a kernel would read again all that the sum was made of.
    """
    readers: dict[int, list[Call]] = {}
    for call in calls:
        for access in call.reads:
            readers.setdefault(access.value, []).append(call)
    found = set[int]()
    for own in readers.values():
        if len(own) > 1:
            first = _first_heavy(own, readers)
            found |= {call.place for call in own if call.place > first and not call.heavy}
    return found


def _first_heavy(calls: Sequence[Call], readers: Mapping[int, Sequence[Call]]) -> int:
    """The place of the first heavy call among some and the light ones behind them, up to the last of the some."""
    last, left, seen = calls[-1].place, [(call.place, call) for call in calls], set[int]()
    heapify(left)
    while left:
        place, call = heappop(left)
        if call.heavy:
            return place
        for each in (each for access in call.writes for each in readers.get(access.value, ())):
            if each.place <= last and each.place not in seen:
                seen.add(each.place)
                heappush(left, (each.place, each))
    return last


_Node = tuple[int, bool]
"""A value, as it comes in, and as it goes out behind what it weighs."""


def _cut(weight: Mapping[int, float], sources: Mapping[int, tuple[int, ...]], needed: Sequence[int]) -> set[int]:
    """The lightest values through which all that is ``needed`` is made, the last ones of equals.

    Those without ``sources`` cannot be made again.

    >>> made_of = {2: (1,), 3: (1,)}
    >>> _cut({1: 5.0, 2: 4.0, 3: 4.0}, made_of, [2, 3]), _cut({1: 9.0, 2: 4.0, 3: 4.0}, made_of, [2, 3])
    ({1}, {2, 3})
    """
    flow = _Flow(weight, sources)
    for value in needed:
        flow.fill((value, True))
    reached = {(value, True): (value, True) for value in needed}
    for value in needed:
        flow.source((value, True), reached)
    return {value for value, out in reached if out and (value, False) not in reached}


class _Flow:
    """A flow to what is needed, augmented backwards, so that only what that is made of is looked at (Ford, Fulkerson).

    ``through`` a value no more flows than it weighs; ``between`` values there is no bound.
    """

    def __init__(self, weight: Mapping[int, float], sources: Mapping[int, tuple[int, ...]]) -> None:
        self.weight, self.sources = weight, sources
        self.through: dict[int, float] = {}
        self.between: dict[tuple[int, int], float] = {}
        self.users: dict[int, list[int]] = {}
        for value, parts in sources.items():
            for part in parts:
                self.users.setdefault(part, []).append(value)

    def fill(self, end: _Node) -> None:
        """Augment until no more flows to ``end``."""
        while True:
            behind = {end: end}
            node = self.source(end, behind)
            if node is None:
                return
            way = [node]
            while way[-1] != end:
                way.append(behind[way[-1]])
            self._push(way)

    def source(self, end: _Node, behind: dict[_Node, _Node]) -> _Node | None:
        """A value that cannot be made again from which more flows to ``end``, with the way there in ``behind``."""
        left = [end]
        while left:
            node = left.pop()
            if not node[1] and node[0] not in self.sources:
                return node
            for other, room in self._before(node):
                if room > 0 and other not in behind:
                    behind[other] = node
                    left.append(other)
        return None

    def _before(self, node: _Node) -> list[tuple[_Node, float]]:
        """The nodes from which more can flow to this one, and how much."""
        value, out = node
        through = self.through.get(value, 0.0)
        if out:
            back = [((user, False), self.between.get((value, user), 0.0)) for user in self.users.get(value, ())]
            return [((value, False), self.weight[value] - through), *back]
        return [*(((part, True), inf) for part in self.sources.get(value, ())), ((value, True), through)]

    def _push(self, way: Sequence[_Node]) -> None:
        steps = list(pairwise(way))
        room = min(next(room for other, room in self._before(then) if other == first) for first, then in steps)
        for (value, out), (other, other_out) in steps:
            if value == other:
                self.through[value] = self.through.get(value, 0.0) + (room if other_out else -room)
            elif out:
                self.between[value, other] = self.between.get((value, other), 0.0) + room
            else:
                self.between[other, value] -= room


class _Remade:
    """Writes a recording in which the backward pass makes again what is not kept, before what reads it first."""

    def __init__(self, recording: Recording, made: Mapping[int, Call], kept: set[int]) -> None:
        self.old, self.made, self.kept = recording, made, kept
        self.calls: list[Call] = list(recording.passes[0])
        self.values: list[Value] = list(recording.values)
        self.again: set[int] = set()
        self._storage = max(value.storage for value in recording.values)
        self._known: dict[tuple[int, tuple[Visit, ...]], int] = {}

    def recording(self) -> Recording:
        """The recording."""
        for call in self.old.passes[1]:
            reads = tuple(replace(access, value=self._value(access.value, call)) for access in call.reads)
            self.calls.append(replace(call, place=len(self.calls), reads=reads))
        return replace(self.old, calls=tuple(self.calls), values=tuple(self.values), again=frozenset(self.again))

    def _value(self, value: int, reader: Call) -> int:
        """The value as ``reader`` has it: as it is, or made again where that call runs."""
        if value not in self.made or value in self.kept:
            return value
        key = (value, reader.inside)
        if key not in self._known:
            self._make(self.made[value], reader)
        return self._known[key]

    def _make(self, call: Call, reader: Call) -> None:
        reads = tuple(replace(access, value=self._value(access.value, reader)) for access in call.reads)
        writes = tuple(self._written(access, reader) for access in call.writes)
        self.again.add(len(self.calls))
        self.calls.append(
            replace(call, place=len(self.calls), path=reader.path, inside=reader.inside, leaf=False, reads=reads,
                    writes=writes)
        )  # fmt: skip

    def _written(self, access: Access, reader: Call) -> Access:
        self._storage += 1
        self.values.append(replace(self.old.values[access.value], storage=self._storage))
        self._known[access.value, reader.inside] = len(self.values) - 1
        return replace(access, value=len(self.values) - 1)
