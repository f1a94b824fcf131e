"""Packed sequences: documents of several lengths in one sequence, of which each attends to itself alone.

All else runs over the tokens of the sequence. Attention of documents of l tokens has the pairs of each of them, causal
sum of l (l + 1)/2: the sum of the squares, not the square of the sum. Its kernel runs over documents, which count as
equally long where it spreads over the units of a device.

Source: Krell et al. 2021 (arXiv 2107.02027), section 3.2.4; FlashAttention's kernels of variable lengths.
"""

from __future__ import annotations

from dataclasses import replace

from roofline.classes import frozen
from roofline.errors import UsageError, WorkloadError, shown
from roofline.number import Number, added
from roofline.program.axes import Binding, Sizes, resolve, size_of
from roofline.program.op import Count, Op, Work
from roofline.program.program import Group, Program


@frozen
class Documents:
    """The documents of all sequences: so many in each."""

    count: int

    def __call__(self, sizes: Sizes) -> Number:
        """How many there are."""
        return size_of("B", sizes) * self.count


@frozen
class MeanLength:
    """Tokens of a document, in the mean, of a sequence of a length."""

    length: Binding
    count: int

    def __call__(self, sizes: Sizes) -> Number:
        """How many there are."""
        return resolve(self.length, sizes) / self.count


@frozen
class PackedPairs:
    """Attended pairs of a document, in the mean; ``whole`` are those of a sequence, None where all attend to all."""

    whole: Count | None
    lengths: tuple[int, ...]

    def __call__(self, sizes: Sizes) -> Number:
        """The pairs of all documents, divided by their number."""
        every = [
            length * length if self.whole is None else self.whole({**sizes, "T": length, "S": length})
            for length in self.lengths
        ]
        return added(every) / len(self.lengths)


_MOST = 4096
"""Documents of a sequence that are read."""


def read_lengths(text: str) -> tuple[int, ...]:
    """Tokens of the documents of a sequence: 512,512,1024 or 512x2,1024. Raises UsageError.

    >>> read_lengths("512x2,1024")
    (512, 512, 1024)
    """
    found: list[int] = []
    for word in text.split(","):
        length, _, times = word.partition("x")
        if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in (length, times or "1")):
            msg = f"sequence-lengths {shown(text)}: expected tokens of documents such as 512,1024 or 512x4,2048"
            raise UsageError(msg)
        if len(found) + int(times or 1) > _MOST:
            msg = f"sequence-lengths {shown(text)}: expected at most {_MOST:,} documents"
            raise UsageError(msg)
        found += [int(length)] * int(times or 1)
    return tuple(found)


def packed(program: Program, lengths: tuple[int, ...]) -> Program:
    """``program`` over sequences of documents of these lengths. Raises WorkloadError where scores are written out.

    >>> from roofline.models.model import load_model
    >>> from roofline.program.axes import rebind
    >>> program = packed(load_model("gpt2").program(), (1, 3))
    >>> attention = next(op for group in program.groups for op in group.ops if op.kind == "attention")
    >>> sizes = {**program.sizes, "B": 1, "T": 4, "S": 4}
    >>> attention.flops(sizes) / (4 * 768)  # 1 + 6 pairs of 10
    7.0
    """
    return replace(program, groups=tuple(_packed_group(group, lengths) for group in program.groups))


def _packed_group(group: Group, lengths: tuple[int, ...]) -> Group:
    return replace(group, ops=tuple(_packed_op(op, lengths) for op in group.ops))


def _packed_op(op: Op, lengths: tuple[int, ...]) -> Op:
    if not any(_of_pairs(work) for work in op.work):
        return op
    if op.kind != "attention" or not op.parts:
        msg = (
            f"{op.name} works on every pair of tokens of a sequence, and packed documents take fused attention; "
            "leave --sequence-lengths out, or give kernels that fuse it such as --kernels fa2"
        )
        raise WorkloadError(msg)
    count = len(lengths)
    local: dict[str, Binding] = {"B": Documents(count), **{x: MeanLength(op.local.get(x, x), count) for x in "TS"}}
    parts = tuple(replace(part, work=_packed_work(part, lengths)) for part in op.parts)
    return replace(op, work=_packed_work(op, lengths), parts=parts).rebound(**local)


def _packed_work(op: Op, lengths: tuple[int, ...]) -> tuple[Work, ...]:
    return tuple(replace(work, pairs=PackedPairs(work.pairs, lengths)) if _of_pairs(work) else work for work in op.work)


def _of_pairs(work: Work) -> bool:
    return {"T", "S"} <= set(work.axes)
