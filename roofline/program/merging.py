"""What an engine makes of a program: matmuls of one input as one, neighbours as one kernel. Applied by name.

Counts stay those of the statements: contractions, parameters and caches are the same, and bytes never rise, since one
kernel reads its input once and what lies inside it is not written. Applied to a program as it is stored, so that what a
recipe leaves in 16 bits is not merged with what it quantises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from roofline.classes import frozen
from roofline.engines.engine import Engine
from roofline.number import Number
from roofline.program.axes import Binding, Sizes, resolve
from roofline.program.op import Op, Tensor, fuse
from roofline.program.program import Group, Program

QUANTIZE = ".quantize"
"""How the operator is named that writes the narrow copy of an activation: after the matmul that it is for."""

_PRODUCERS = {"norm_quantize": "norm", "activation_quantize": "elementwise"}


def run_by(engine: Engine, program: Program, beside: Callable[[Program], Program] | None = None) -> Program:
    """A program, as it is stored, with what ``engine`` merges, folds, sends; ``beside`` adds to what is merged."""
    if beside is None:
        found = merged(program, engine.merges, engine.folds)
    else:
        found = merged(beside(merged(program, engine.merges, ())), {}, engine.folds)
    found = replace(found, dispatches=tuple(engine.dispatches))
    if engine.beside:
        found = replace(found, groups=tuple(_with_beside(each, engine.beside) for each in found.groups))
    if not engine.reduce_norm or (engine.reduce_norm_of == "mixtures" and not _has_experts(found)):
        return found
    groups = (replace(each, ops=tuple(_joining(each.ops, op) for op in each.ops)) for each in found.groups)
    return replace(found, groups=tuple(groups))


def _with_beside(group: Group, names: Collection[str]) -> Group:
    """A group with those operators marked that run beside others, and what narrows their inputs alone."""
    return replace(
        group,
        ops=tuple(replace(op, beside=op.name.removesuffix(QUANTIZE) in names or op.name in names) for op in group.ops),
    )


def _has_experts(program: Program) -> bool:
    """Whether a token is sent to some of several experts."""
    return any("X" in tensor.letters for group in program.groups for op in group.ops for tensor in op.reads)


def _joining(ops: Sequence[Op], op: Op) -> Op:
    """A norm that adds a residual, or what narrows what such a norm wrote, asks for the all-reduce before it.

    What narrows the input of a layer comes behind the last norm of the layer before.
    """
    norm = op
    if op.name.endswith(QUANTIZE):
        others = [each for each in ops if each is not op]
        norm = _writer(ops, op.reads[0], before=op) or _writer([*others, op], op.reads[0], before=op) or op
    adds = norm.kind == "norm" and sum(tensor.role == "activation" for tensor in norm.reads) > 1
    return replace(op, joins="asked") if adds else op


def merged(program: Program, merges: Mapping[str, Sequence[str]], folds: Collection[str]) -> Program:
    """``program`` with ``merges``, the name of the whole and the operators that it is made of, and ``folds``.

    A merge takes place in each group that has all its parts, where they read one input and are stored alike.

    >>> from roofline.models.model import load_model
    >>> program = load_model("llama-3.1-8b").program()
    >>> one = merged(program, {"qkv_proj": ["q_proj", "k_proj", "v_proj"]}, ())
    >>> [op.name for group in one.groups for op in group.ops if group.name == "layers"][:3]
    ['qkv_proj', 'rotary', 'attention']
    >>> one.parameters() == program.parameters()
    True
    """
    read = [name for group in program.groups for name in _read_from_outside(group)]
    groups = tuple(replace(group, ops=_run(group.ops, merges, folds, read)) for group in program.groups)
    return replace(program, groups=groups)


def _run(
    ops: tuple[Op, ...], merges: Mapping[str, Sequence[str]], folds: Collection[str], outside: Collection[str]
) -> tuple[Op, ...]:
    """The operators of a group as an engine runs them; others read ``outside``."""
    for whole, parts in merges.items():
        ops = _merge(ops, whole, parts)
    for fold, kind in _PRODUCERS.items():
        if fold in folds:
            ops = _fold_quantize(ops, kind, outside)
    return _fold_activations(ops, outside) if "matmul_activation" in folds else ops


# Merges


def _merge(ops: tuple[Op, ...], whole: str, names: Sequence[str]) -> tuple[Op, ...]:
    """``ops`` with those of ``names`` as one at the place of the first; as they are where that would not do."""
    parts = [op for op in ops if op.name in names]
    if len(parts) != len(names) or not _alike(parts) or not _may_move(ops, parts):
        return ops
    one = _as_one(parts, whole)
    spread = {len(part.shared) for part in parts}
    if one is None or spread not in ({0}, {1}):
        return ops
    if spread == {1}:  # on devices that share them
        part_of = _as_one([part.shared[0] for part in parts], whole)
        if part_of is None:
            return ops
        one = replace(one, shared=(part_of,))
    return tuple(one if op is parts[0] else op for op in ops if op is parts[0] or op not in parts)


def _as_one(parts: Sequence[Op], whole: str) -> Op | None:
    """Matmuls of one input as one; None where what they bind differs."""
    local = _joined([part.local for part in parts], summed="z")
    if local is None:
        return None
    one = fuse(whole, [replace(part, local=local) for part in _with_one_scale(parts)], kind="matmul")
    return replace(one, parts=tuple(leaf for part in one.parts for leaf in part.parts or (part,)))


def _alike(parts: Sequence[Op]) -> bool:
    """Whether matmuls contract one input with weights that are stored alike."""
    pairs = [part.contracted for part in parts]
    inputs = {(tensor.name, tensor.dtype) for pair in pairs for tensor in pair[::2]}
    stored = {(tensor.role, tensor.dtype, tensor.share) for pair in pairs for tensor in pair[1::2]}
    return len(inputs) == 1 and len(stored) == 1 and all(part.kind == "matmul" for part in parts)


def _may_move(ops: Sequence[Op], parts: Sequence[Op]) -> bool:
    """Whether ``parts`` may run at the place of the first: nothing between depends on them, nor they on it, and no
    other operator has a weight of theirs."""
    first, last = (ops.index(part) for part in (parts[0], parts[-1]))
    between = [op for op in ops[first:last] if op not in parts]
    wrote, read = _names(op.writes for op in between), _names(op.reads for op in between)
    later = parts[1:]
    free = not (_names(op.reads + op.writes for op in later) & wrote) and not (_names(op.writes for op in later) & read)
    weights = {tensor.name for part in parts for tensor in part.reads if tensor.role == "weight"}
    others = _names(op.reads for op in ops if op not in parts)
    return free and not weights & others


@frozen
class Together:
    """The sum of several bindings: groups with a scale of all parts of a matmul."""

    parts: tuple[Binding, ...]

    def __call__(self, sizes: Sizes) -> Number:
        """The sum."""
        return sum(resolve(part, sizes) for part in self.parts)


def _joined(locals_: Sequence[Mapping[str, Binding]], summed: str = "") -> dict[str, Binding] | None:
    """What one kernel binds for several; None where they differ.

    Small letters are groups with a scale of one operator's own; those that are ``summed`` count together.
    """
    joined: dict[str, Binding] = {}
    for letter in dict.fromkeys(letter for local in locals_ for letter in local):
        found = [local[letter] for local in locals_ if letter in local]
        if all(each == found[0] for each in found) and (letter.islower() or len(found) == len(locals_)):
            joined[letter] = found[0]
        elif letter == summed and len(found) == len(locals_):
            joined[letter] = Together(tuple(found))
        else:
            return None
    return joined


def _with_one_scale(parts: Sequence[Op]) -> list[Op]:
    """Where groups are summed, the scales of the first stand for those of all."""
    if all(part.local.get("z") == parts[0].local.get("z") for part in parts):
        return list(parts)
    kept = [tuple(tensor for tensor in part.reads if "z" not in tensor.letters) for part in parts[1:]]
    return [parts[0], *(replace(part, reads=reads) for part, reads in zip(parts[1:], kept, strict=True))]


# Folds


def _fold_quantize(ops: tuple[Op, ...], kind: str, outside: Collection[str]) -> tuple[Op, ...]:
    """What narrows an activation joins the operator of ``kind`` that wrote it."""
    for op in [op for op in ops if op.name.endswith(QUANTIZE)]:
        producer = _writer(ops, op.reads[0], before=op)
        if producer is not None and producer.kind == kind and not producer.name.endswith(QUANTIZE):
            ops = _fold(ops, producer, op, outside, kind)
    return ops


def _fold_activations(ops: tuple[Op, ...], outside: Collection[str]) -> tuple[Op, ...]:
    """An activation function joins the matmul that wrote all that it reads."""
    for op in [op for op in ops if _is_activation(op)]:
        first, *others = (_writer(ops, tensor, before=op) for tensor in op.reads)
        if first is not None and first.kind == "matmul" and all(other is first for other in others):
            ops = _fold(ops, first, op, outside, "matmul")
    return ops


def _is_activation(op: Op) -> bool:
    """Whether an operator computes a function element by element."""
    same = all(tensor.letters == op.writes[0].letters for tensor in op.reads)
    return bool(op.function) and op.kind == "elementwise" and same and not (op.linear or op.mixes)


def _fold(ops: tuple[Op, ...], producer: Op, op: Op, outside: Collection[str], kind: str) -> tuple[Op, ...]:
    """``op`` as a part of what wrote its input, whose other readers keep what they read."""
    local = _joined([producer.local, op.local])
    if local is None:
        return ops
    kept = [tensor.name for tensor in producer.writes if _is_read(ops, tensor, producer, op, outside)]
    pair = [replace(each, local=local) for each in (producer, op)]
    one = fuse(producer.name, pair, kind=kind, keep=kept)
    one = replace(one, parts=tuple(leaf for part in pair for leaf in part.parts or (part,)))
    return tuple(one if each is producer else each for each in ops if each is not op)


def _is_read(ops: Sequence[Op], tensor: Tensor, producer: Op, reader: Op, outside: Collection[str]) -> bool:
    """Whether another operator than ``reader`` reads what ``producer`` wrote, before it is written anew."""
    place = next(place for place, op in enumerate(ops) if op is producer)
    for op in ops[place + 1 :]:
        if op is not reader and any(read.name == tensor.name for read in op.reads):
            return True
        if any(written.name == tensor.name for written in op.writes):
            return False
    return tensor.name in outside


def _writer(ops: Sequence[Op], tensor: Tensor, *, before: Op) -> Op | None:
    """The last operator before ``before`` that writes a tensor; None where it comes from outside."""
    found = None
    for op in ops:
        if op is before:
            return found
        if any(written.name == tensor.name for written in op.writes):
            found = op
    return None


def _names(tensors: Iterable[Iterable[Tensor]]) -> set[str]:
    return {tensor.name for each in tensors for tensor in each}


def _read_from_outside(group: Group) -> set[str]:
    """What a group reads before it writes it: the groups around it, or its last repeat, leave that."""
    found: set[str] = set()
    written: set[str] = set()
    for op in group.ops:
        found |= {tensor.name for tensor in op.reads} - written
        written |= {tensor.name for tensor in op.writes}
    return found
