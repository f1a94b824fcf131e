"""What of a network learns: all of it, some weights, or low-rank adapters beside projections; how the rest is kept.

A frozen weight has no gradient and no states of an optimizer; what a matmul reads is not saved for it, and no gradient
is pushed to where nothing learns. Frozen matrices of layers may be kept in fewer bits: each pass widens each of them
before it multiplies, and the backward pass widens them anew.

Sources: Hu et al. 2021, LoRA (arXiv 2106.09685), section 4; Dettmers et al. 2023, QLoRA (arXiv 2305.14314), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from roofline.classes import frozen
from roofline.compression.adapters import MOST_RANK, Adapters, adapted
from roofline.compression.formats import FORMATS, Format
from roofline.compression.weight_matmuls import contracted_per_head, layer_matrices, mapped
from roofline.errors import UsageError, WorkloadError, near_matches, shown
from roofline.options.verbs.training import TrainOptions
from roofline.program.op import Op, PerElement, Tensor, elementwise
from roofline.program.program import Group, Program
from roofline.program.workload import DTYPE_BYTES

WIDEN = "widen"
"""The function of what turns a stored matrix into what is multiplied with."""

_WIDEN_FLOPS = 2  # a value looked up, times its scale


@frozen
class Learning:
    """What learns: adapters of a ``rank``, or weights; of the operators that ``words`` mean, else of all.

    ``stored``: the format of frozen matrices of layers; None for what is computed in.
    """

    rank: int | None = None
    words: tuple[str, ...] = ()
    stored: Format | None = None

    @property
    def whole(self) -> bool:
        """Whether all weights learn."""
        return self.rank is None and not self.words

    @property
    def note(self) -> str:
        """What learns, for people; empty where all does."""
        where = ", ".join(self.words)
        kept = f"; frozen matrices in {self.stored.name}, {float(self.stored.bits):.4g} bits" if self.stored else ""
        if self.rank is not None:
            return f"LoRA of rank {self.rank} beside {where or 'all projections of the layers'}{kept}"
        return f"{where}, the rest is frozen{kept}" if self.words else ""

    def apply(self, program: Program) -> Program:
        """A forward pass with adapters, and with what widens frozen matrices. Raises WorkloadError or UsageError."""
        meant = self._meant(program)
        if self.rank is not None:
            names = frozenset(part.name for part in meant)
            program = adapted(program, Adapters(1, self.rank), lambda part: part.name in names)
        learns = self.trained(program)
        return program if self.stored is None else _stored(program, self.stored, lambda tensor: not learns(tensor))

    def trained(self, program: Program) -> Callable[[Tensor], bool]:
        """Whether a weight of what ``apply`` gives learns."""
        if self.rank is not None:
            return lambda tensor: tensor.adapts
        if not self.words:
            return lambda _: True
        names = frozenset(t.name for part in self._meant(program) for t in part.reads if t.role == "weight")
        return lambda tensor: tensor.name in names

    def _meant(self, program: Program) -> list[Op]:
        """The operators with weights that words mean. Raises UsageError for a word that means none."""
        parts = [(group, part) for group in program.groups for op in group.ops for part in op.parts or (op,)]
        weighted = [(g, part) for g, part in parts if any(tensor.role == "weight" for tensor in part.reads)]
        for word in self.words:
            if not any(_means(word, *each) for each in weighted):
                known = [name for name, means in _WORDS.items() if any(means(*each) for each in weighted)]
                msg = f"trained {shown(word)}: {near_matches(word, [*known, *_names(weighted)])}"
                raise UsageError(msg)
        return [each[1] for each in weighted if not self.words or any(_means(word, *each) for word in self.words)]


EVERYTHING = Learning()
"""All weights."""


def read_learning(asked: TrainOptions) -> Learning:
    """What options ask for. Raises UsageError for no rank, no format, or a format where nothing is frozen."""
    rank, text, stored = asked["lora"], asked["trained"], asked["weight_dtype"]
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= MOST_RANK):
        msg = f"lora {shown(rank)}: expected the rank of adapters, a whole number from 1 to {MOST_RANK:,}"
        raise UsageError(msg)
    words = tuple(word for word in (text or "all").split(",") if word != "all")
    if rank is None and not words and stored is not None:
        msg = f"weight-dtype {stored}: the format of frozen weights, and all learn; give --lora RANK or --trained"
        raise UsageError(msg)
    return Learning(rank, words, None if stored is None else _format(stored))


def _format(name: str) -> Format:
    known = [each.name for each in FORMATS.values() if each.depth and each.breadth == 1 and not each.block]
    if name not in known:
        msg = f"weight-dtype {shown(name)}: {near_matches(name, known)}"
        raise UsageError(msg)
    return FORMATS[name]


# Words


def _names(parts: list[tuple[Group, Op]]) -> Iterator[str]:
    yield from dict.fromkeys(part.name for _, part in parts)


def _reads(op: Op) -> set[str]:
    return {letter for tensor in op.reads if tensor.role == "weight" for letter in tensor.letters}


def _is_embedding(group: Group, op: Op) -> bool:
    return op.kind == "embedding" or (group.name == "embedding" and op.kind == "matmul")


def _is_head(group: Group, op: Op) -> bool:
    return group.name == "head" and op.kind != "norm"


def _is_feed_forward(group: Group, op: Op) -> bool:
    return group.stacked and op.kind == "matmul" and "F" in _reads(op)


def _is_attention(group: Group, op: Op) -> bool:
    return group.stacked and op.kind == "matmul" and bool({"K", "R", "Q"} & _reads(op)) and "F" not in _reads(op)


_WORDS: Mapping[str, Callable[[Group, Op], bool]] = {
    "attention": _is_attention,
    "ffn": _is_feed_forward,
    "embedding": _is_embedding,
    "head": _is_head,
    "norms": lambda _, op: op.kind == "norm",
}
"""Words that mean several operators, by where they stand and what they read."""


def _means(word: str, group: Group, op: Op) -> bool:
    return _WORDS[word](group, op) if word in _WORDS else op.name == word


# Frozen matrices in fewer bits


def _stored(program: Program, form: Format, frozen_of: Callable[[Tensor], bool]) -> Program:
    """A program whose frozen matrices lie in fewer bits, with their scales, and are widened before they are read."""
    fixed, groups, several = contracted_per_head(program.groups), [], 0
    for group in program.groups:
        ops: list[Op] = []
        for op in group.ops:
            matrices = layer_matrices(group, op, fixed) if group.stacked else []
            wide = {m.weight.name: _widened(m.weight) for m in matrices if frozen_of(m.weight)}
            narrow = [_narrow(m.weight, form) for m in matrices if m.weight.name in wide]
            ops += [_widening(each, wide[each.name]).rebound(**op.local) for each in narrow]
            ops.append(mapped(op, lambda tensor: wide.get(tensor.name, tensor)) if wide else op)  # noqa: B023
            several += len(wide)
        groups.append(replace(group, ops=tuple(ops)))
    if not several:
        msg = f"weight-dtype {form.name}: no matrix of the layers is frozen; leave it out"
        raise WorkloadError(msg)
    return replace(program, groups=tuple(groups))


def _widened(weight: Tensor) -> Tensor:
    return Tensor(f"{weight.name}_wide", weight.axes, "widened", weight.stored)


def _narrow(weight: Tensor, form: Format) -> Tensor:
    """A matrix whose bytes include its scales."""
    return replace(weight, dtype=form.dtype, weighs=form.bits / 8 / DTYPE_BYTES[form.dtype])


def _widening(narrow: Tensor, wide: Tensor) -> Op:
    return elementwise(f"{narrow.name}_widen", [narrow], wide, PerElement(_WIDEN_FLOPS), function=WIDEN)
