"""A decoder that was traced twice, as it reads a prompt and as it takes a decode step: both passes as one program.

What the first does to S tokens it does to any piece of T new ones behind others: each operator is stated in T, and only
what looks at pairs of tokens in S too. An operator that does to one token what a decode step does is the same one in
both phases, so that a step with prompts and sequences that decode reads its weights once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from roofline.errors import WorkloadError
from roofline.models.traced.extents import Extent
from roofline.models.traced.statements import Reached
from roofline.number import Number, exact
from roofline.program.axes import Binding, Sizes, rebind
from roofline.program.op import Op, Tensor, Work
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

Change: TypeAlias = Callable[[Extent], Extent]

_NEW = Extent("letter", name="T")
_PLACES = ({"B": 3, "T": 1, "S": 101}, {"B": 7, "T": 1, "S": 1009})
"""Batches and contexts at which a decode step is compared with the reading of one token."""


def joined(prefill: Program, step: Program, name: str) -> Program:
    """The program of both phases. Raises WorkloadError where the passes do not name the same weights."""
    steps = {group.name: group for group in step.groups if group.phases}
    groups: list[Group] = []
    for read in prefill.groups:
        other = steps.pop(read.name, None)
        again = {op.name for op in other.ops if op.sees_context} if other else set[str]()
        ops = tuple(_in_new(op, _pairs if op.name in again else _new_tokens) for op in read.ops)
        own = replace(read, ops=ops, phases=(Phase.PREFILL,) if read.phases else ())
        if other is None or not read.phases:
            groups.append(own)
            continue
        own = _cached(own, other)
        groups += [own, replace(other, ops=_as_in(own, other, prefill.sizes))]
    program = Program((*groups, *steps.values()), prefill.sizes, whole=prefill.whole or step.whole)
    if program.parameters() != prefill.parameters():
        msg = (
            f"{name}: its decode step reads weights in other places than the pass that reads a prompt; predict takes "
            "each by itself"
        )
        raise WorkloadError(msg)
    return program


def _in_new(op: Op, change: Change) -> Op:
    """An operator of a prompt in the T tokens of a piece of it; one that works on a token of each sequence says so."""
    if op.kind == "attention":
        return _attending(op)
    own = _mapped(op, change)
    letters = {letter for size in own.local.values() if isinstance(size, Extent) for letter in size.letters}
    last = "B" in letters and letters.isdisjoint("TS") and own.kind != "collective"
    return own.rebound(T=1) if last else own


def _attending(op: Op) -> Op:
    """Attention of T tokens to S, which the letters are that the statement has."""
    whole = {letter: Extent("letter", name=letter) for letter in "BTS"}
    kept = {x: size for x, size in op.local.items() if x not in whole}
    own = {x: _changed(size, _new_tokens) if x == "T" else size for x, size in op.local.items() if x in whole}
    bound = {x: size for x, size in own.items() if size != whole[x]}
    more = {x: _changed(size, _new_tokens) for x, size in kept.items()}
    shared = tuple(_in_new(each, _new_tokens) for each in op.shared)
    return replace(op, local={**bound, **more}, shared=shared)


def _cached(group: Group, step: Group) -> Group:
    """A group that reads prompts, whose keys and values are those that a decode step finds in its cache."""
    theirs = [op for op in step.ops if op.kind == "attention" and any(t.role == "kv_cache" for t in op.reads)]
    ours = [op for op in group.ops if op.kind == "attention"]
    if len(theirs) != len(ours):
        return group
    held: dict[str, tuple[Op, int]] = {}
    for read, decoded in zip(ours, theirs, strict=True):
        for place in (1, 2):
            if read.reads[place].role == "activation" and decoded.reads[place].role == "kv_cache":
                held[read.reads[place].name] = decoded, place
    return replace(group, ops=tuple(_holding(op, held) for op in group.ops))


def _holding(op: Op, held: Mapping[str, tuple[Op, int]], *, shared: bool = False) -> Op:
    """An operator whose activations are caches: those that the attention reads that they are ``held`` by.

    ``shared``: on one of the devices that share it.
    """
    more: dict[str, Binding] = {}

    def cache(tensor: Tensor) -> Tensor:
        if tensor.name not in held:
            return tensor
        reader, place = held[tensor.name]
        reader = reader.shared[0] if shared and reader.shared else reader
        other = reader.reads[place]
        more[other.stored] = reader.local[other.stored]
        return replace(tensor, name=other.name, role=other.role, stored=other.stored)

    reads, writes = (tuple(map(cache, side)) for side in (op.reads, op.writes))
    if not more:
        return op
    parts = tuple(_holding(each, held, shared=shared) for each in op.parts)
    apart = tuple(_holding(each, held, shared=True) for each in op.shared)
    return replace(op, reads=reads, writes=writes, local={**op.local, **more}, parts=parts, shared=apart)


def _as_in(read: Group, step: Group, sizes: Sizes) -> tuple[Op, ...]:
    """The operators of a decode step, of which those that the reading of prompts has too are that very operator."""
    known = {_key(op): op for op in read.ops}
    found = []
    for op in step.ops:
        own = known.get(_key(op))
        alike = (
            own is not None
            and not op.sees_context
            and all(_counts(own, read, place, sizes) == _counts(op, step, place, sizes) for place in _PLACES)
        )
        found.append(own if own is not None and alike else op)
    return tuple(found)


def _key(op: Op) -> object:
    """What two operators have in common that may be one: tensors by name, role and dtype, and what runs."""
    sides = tuple(tuple((t.name, t.role, t.tied, t.dtype) for t in side) for side in (op.reads, op.writes))
    return op.name, op.kind, op.function, sides


def _counts(op: Op, group: Group, place: Sizes, sizes: Sizes) -> list[Number]:
    """Elements of all tensors, and all work, of a batch and a context."""
    outer = group.sizes({**sizes, **place})
    bound = rebind(outer, op.local)
    moved = [exact(tensor.elements(bound)) for tensor in (*op.reads, *op.writes)]
    return [*moved, op.flops(outer), op.vector_flops(outer), op.special(outer)]


def _mapped(op: Op, change: Change) -> Op:
    """An operator with other sizes, its parts and what it is on devices that share it likewise."""
    local: dict[str, Binding] = {x: _changed(size, change) for x, size in op.local.items()}
    work = tuple(_worked(each, change) for each in op.work)
    parts = tuple(_mapped(each, change) for each in op.parts)
    return replace(op, local=local, work=work, parts=parts, shared=tuple(_in_new(each, change) for each in op.shared))


def _worked(work: Work, change: Change) -> Work:
    return replace(work, formula=change(work.formula)) if isinstance(work.formula, Extent) else work


def _changed(size: Binding, change: Change) -> Binding:
    if isinstance(size, Reached):
        return replace(size, rows=change(size.rows))
    return change(size) if isinstance(size, Extent) else size


def _new_tokens(extent: Extent) -> Extent:
    """A size of a prompt of S tokens, of T tokens that attend to S: of a product one of them, the others stay.

    >>> batch, length = Extent("letter", name="B"), Extent("letter", name="S")
    >>> str(_new_tokens(Extent("product", (batch, length, length))))
    'B*T*S'
    """
    if "S" not in extent.letters:
        return extent
    if extent.operation == "letter":
        return _NEW
    parts = extent.parts
    if extent.operation == "power" and parts[1].operation == "number":
        rest = parts[1].value - 1
        more = () if rest == 0 else (parts[0],) if rest == 1 else (replace(extent, parts=(parts[0], _less(parts[1]))),)
        return Extent("product", (_new_tokens(parts[0]), *more))
    if extent.operation in ("sum", "max", "min"):
        return replace(extent, parts=tuple(map(_new_tokens, parts)))
    first = next(place for place, part in enumerate(parts) if "S" in part.letters)
    return replace(extent, parts=(*parts[:first], _new_tokens(parts[first]), *parts[first + 1 :]))


def _pairs(extent: Extent) -> Extent:
    """The same of what a decode step does to the whole context: pairs of tokens are of T, all else is of S."""
    return extent if _degree(extent) < 2 else _new_tokens(extent)


def _degree(extent: Extent) -> int:
    """How often S is multiplied."""
    if extent.operation == "letter":
        return int(extent.name == "S")
    inner = [_degree(part) for part in extent.parts]
    if extent.operation == "power":
        return inner[0] * extent.parts[1].value
    return sum(inner) if extent.operation == "product" else max(inner, default=0)


def _less(number: Extent) -> Extent:
    return replace(number, value=number.value - 1)
