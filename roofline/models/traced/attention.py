"""Attention that code writes out as a matmul, a softmax and a matmul, stated as the one kernel that it is run as.

A graph compiler takes chains of its own patterns: scores that are scaled, masked, cast or dropped from. What an engine
runs in their place changes scores in any elementwise way, such as a soft cap.

Source: torch/_inductor/fx_passes/fuse_attention.py, torch 2.13, whose patterns become scaled_dot_product_attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from roofline.classes import frozen
from roofline.models.traced.calls import Access, Attended, Call, Contraction, Recording, Value
from roofline.models.traced.extents import NOTHING, ONE, Extent, constant
from roofline.options.words import Fusion

_TAKEN: Mapping[Fusion, tuple[str, ...]] = {
    "inductor": ("mul", "div", "add", "sub", "where", "masked_fill", "_to_copy", "clone", "native_dropout", "dropout"),
}
"""Elementwise work between both matmuls that a graph compiler's patterns have; an engine's kernels take any."""

SOFTMAXES = ("_softmax", "_safe_softmax")
"""Of rows they are a kind of their own; one over another axis is a reduction."""

_PLAIN = ("mm", "bmm", "matmul")


@frozen
class Chain:
    """The calls of an attention that is written out, from its first matmul to its second; ``more``: masks they read."""

    calls: tuple[Call, ...]
    more: tuple[Access, ...]


def chains(recording: Recording, fusion: Fusion) -> list[Chain]:
    """The attentions that are written out and run as one kernel; none where calls run one by one."""
    if fusion == "none" or recording.backward is not None:
        return []
    found = _Finder(recording, fusion)
    softmaxes = (call for call in recording.calls if call.kind == "softmax" and call.name in SOFTMAXES)
    return [chain for call in softmaxes if (chain := found.around(call)) is not None]


def attending(recording: Recording, fusion: Fusion) -> Recording:
    """The same with each such attention as one call."""
    found = chains(recording, fusion)
    if not found:
        return recording
    copies = _Copies(_Finder(recording, fusion))
    ends = {chain.calls[-1].place: copies.without(_fused(chain)) for chain in found}
    inner = {call.place for chain in found for call in chain.calls[:-1]} | copies.places
    calls = tuple(ends.get(call.place, call) for call in recording.calls if call.place not in inner)
    return replace(recording, calls=calls)


class _Copies:
    """Copies that a matmul needs and a kernel of attention does not, which takes its operands as they lie."""

    def __init__(self, finder: _Finder) -> None:
        self.finder = finder
        self.places: set[int] = set()

    def without(self, call: Call) -> Call:
        """The same on what was copied for it alone, writing what its output alone was copied to."""
        reads = (*(self._source(each) for each in call.reads[:3]), *call.reads[3:])
        (made,) = call.writes
        if self.finder.for_one(made.value):
            (reader,) = self.finder.readers[made.value]
            if self._copies(reader):
                self.places.add(reader.place)
                made = reader.writes[0]
        return replace(call, reads=reads, writes=(made,))

    def _source(self, access: Access) -> Access:
        call = self.finder.writers.get(access.value)
        if call is None or not self._copies(call) or not self.finder.for_one(access.value):
            return access
        self.places.add(call.place)
        return call.reads[0]

    def _copies(self, call: Call) -> bool:
        return call.name == "clone" and call.reads[0].elements == call.writes[0].elements


def _fused(chain: Chain) -> Call:
    """One call that attends, where the second matmul was."""
    first, last = chain.calls[0], chain.calls[-1]
    assert isinstance(first.shape, Contraction)
    assert isinstance(last.shape, Contraction)
    batch, heads = _heads(first.shape.batch)
    shape = Attended(
        batch, first.shape.rows, first.shape.columns, heads, ONE, first.shape.depth, last.shape.columns, causal=False
    )
    reads = (*first.reads[:2], last.reads[1], *chain.more)
    return replace(
        last, name="attention", kind="attention", leaf=False, where=first.where, reads=reads, vector=NOTHING,
        special=NOTHING, shape=shape,
    )  # fmt: skip


def _heads(batch: Extent) -> tuple[Extent, Extent]:
    """Sequences, and heads: the numbers in the batch of a matmul."""
    parts = batch.parts if batch.operation == "product" else (batch,)
    numbers = [part.value for part in parts if part.operation == "number"]
    others = tuple(part for part in parts if part.operation != "number")
    sequences = ONE if not others else others[0] if len(others) == 1 else Extent("product", others)
    return sequences, constant(prod(numbers))


class _Finder:
    """Who writes and who reads each value of a recording."""

    def __init__(self, recording: Recording, fusion: Fusion) -> None:
        self.recording, self.fusion = recording, fusion
        self.taken = _TAKEN.get(fusion)
        self.writers: dict[int, Call] = {}
        self.readers: dict[int, list[Call]] = {}
        for call in recording.calls:
            for access in call.reads:
                self.readers.setdefault(access.value, []).append(call)
            self.writers.update({access.value: call for access in call.writes})

    def around(self, softmax: Call) -> Chain | None:
        """The chain that a softmax stands in the middle of."""
        up = self._up(softmax.reads[0])
        if up is None:
            return None
        before, more = up
        first = before[0]
        assert isinstance(first.shape, Contraction)
        if softmax.reads[0].columns != first.shape.columns:
            return None
        down = self._down(softmax)
        if down is None:
            return None
        behind, read = down
        last = behind[-1]
        assert isinstance(last.shape, Contraction)
        if last.shape.depth != first.shape.columns or last.shape.batch != first.shape.batch:
            return None
        return Chain((*before, softmax, *behind), (*more, *read)) if last.shape.rows == first.shape.rows else None

    def _up(self, access: Access) -> tuple[list[Call], list[Access]] | None:
        """The matmul that scores are made by, what changes them on the way, and what that reads beside."""
        call = self.writers.get(access.value)
        if call is None or not self.for_one(access.value):
            return None
        if call.kind == "matmul":
            plain = call.name in _PLAIN or (self.taken is None and call.name == "baddbmm")
            return ([call], list(call.reads[2:])) if plain and self._of_activations(call) else None
        if not self._passes(call):
            return None
        for each in (each for each in call.reads if each.elements == call.writes[0].elements):
            found = self._up(each)
            if found is not None:
                return [*found[0], call], [*found[1], *(read for read in call.reads if read is not each)]
        return None

    def _down(self, call: Call) -> tuple[list[Call], list[Access]] | None:
        """The calls from a softmax to the matmul with the values."""
        value = call.writes[0].value
        if not self.for_one(value):
            return None
        (reader,) = self.readers[value]
        if reader.kind == "matmul":
            weighs = reader.reads[0].value == value and reader.name in _PLAIN and self._of_activations(reader)
            return ([reader], []) if weighs else None
        if not self._passes(reader) or reader.writes[0].elements != call.writes[0].elements:
            return None
        found = self._down(reader)
        if found is None:
            return None
        return [reader, *found[0]], [*(each for each in reader.reads if each.value != value), *found[1]]

    def for_one(self, value: int) -> bool:
        """Whether one call alone reads a value, and nobody else."""
        named = self.recording.values[value].name
        return len(self.readers.get(value, ())) == 1 and value not in self.recording.returned and not named

    def _passes(self, call: Call) -> bool:
        """Whether scores or shares go through a call within the kernel."""
        return call.kind == "pointwise" and (self.taken is None or call.name in self.taken)

    def _of_activations(self, call: Call) -> bool:
        return all(self.recording.values[access.value].role != "weight" for access in call.reads[:2])


def in_place(recording: Recording) -> Recording:
    """The same with caches that are copied to append to them written in place, as an engine writes its own."""
    values = list(recording.values)
    calls = tuple(_appended(call, values) for call in recording.calls)
    return replace(recording, calls=calls, values=tuple(values))


def _appended(call: Call, values: list[Value]) -> Call:
    """A copy of a cache with new keys behind it, as these alone; what it made is the cache then."""
    cached = [access for access in call.reads if values[access.value].role == "kv_cache"]
    new = [access for access in call.reads if access not in cached]
    if call.name != "cat" or len(cached) != 1 or len(new) != 1:
        return call
    ((cache,), (own,), (made,)) = cached, new, call.writes
    held = values[cache.value]
    values[made.value] = replace(values[made.value], storage=held.storage, role=held.role, name=held.name)
    return replace(call, reads=(own,), writes=(replace(own, value=made.value, part=made.part),))
