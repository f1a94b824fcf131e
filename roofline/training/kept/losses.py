"""How cross-entropy over a vocabulary runs: what of the scores it keeps, where their gradients go, in how many chunks.

Sources: torch.nn.functional.cross_entropy; flash-attention, losses/cross_entropy.py, ``inplace_backward``;
Liger-Kernel, ops/fused_linear_cross_entropy.py (arXiv 2410.10989, section 3.2), which runs the head's backward pass
beside its forward pass, chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from roofline.classes import frozen
from roofline.errors import UsageError, WorkloadError, shown
from roofline.number import Number, as_float, maximum, minimum
from roofline.program.axes import Sizes
from roofline.program.op import Op, PerElement, Tensor, elementwise
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import MAX_LENGTH

CHUNK = 1024
"""Tokens of a chunk where none are given."""

_CHUNKS = "c"
"""The axis of chunks, of those letters that no head has."""


@frozen
class Loss:
    """A way to run it. ``tokens``: those of a chunk of a microbatch on a device, where it runs in chunks."""

    name: str
    tokens: int | None = None

    @property
    def words(self) -> str:
        """As it is asked for."""
        return self.name if self.tokens is None else f"{self.name}:{self.tokens}"

    @property
    def written_out(self) -> bool:
        """Whether the logarithms of all probabilities are written out, in fp32, and kept."""
        return self.name == "eager"

    @property
    def in_place(self) -> bool:
        """Whether gradients of scores lie where the scores did."""
        return self.name in ("inplace", "chunked")

    def share(self, sizes: Sizes) -> Number:
        """The part of the scores of a microbatch that is there at once."""
        return 1.0 if self.tokens is None else minimum(1.0, self.tokens / as_float(sizes["B"] * sizes["T"]))

    def summed(self, sharded: Program) -> Program:
        """The step of a device, with what each chunk but the first adds its gradient of the head's weights to."""
        if self.tokens is None:
            return sharded
        groups = (
            replace(group, ops=tuple(each for op in group.ops for each in (op, *self._sums(op))))
            if Phase.BACKWARD in group.phases
            else group
            for group in sharded.groups
        )
        return replace(sharded, groups=tuple(groups))

    def _sums(self, op: Op) -> tuple[Op, ...]:
        out = op.writes[0]
        if "V" not in out.letters or "T" in out.letters or not any(map(of_scores, op.reads)):
            return ()
        tokens = self.tokens or 1

        def further(sizes: Sizes) -> Number:
            return maximum(0.0, as_float(sizes["B"] * sizes["T"]) / tokens - 1.0)

        each = Tensor(out.name, f"{_CHUNKS} {out.axes}", dtype=out.dtype, gradient_of=out.gradient_of)
        found = elementwise("loss_chunks", [each], each, PerElement(1), linear=True)
        return (replace(found, local={**op.local, _CHUNKS: further}),)


def of_scores(tensor: Tensor) -> bool:
    """Whether a tensor has a number for each token and entry of the vocabulary."""
    return {"T", "V"} <= set(tensor.letters)


def read_loss(word: str | None, usual: str, *, scored: bool) -> Loss:
    """The loss by its word: eager, fused, inplace, chunked or chunked:TOKENS; ``usual`` where none is given.

    Raises UsageError for another word, WorkloadError where the network has no scores over a vocabulary (``scored``).

    >>> read_loss("chunked", "fused", scored=True).words, read_loss(None, "eager", scored=True).in_place
    ('chunked:1024', False)
    """
    if word is None:
        return Loss(usual)
    if not scored:
        msg = f"loss {shown(str(word))}: the network gives no scores over a vocabulary; leave it out"
        raise WorkloadError(msg)
    name, colon, tokens = str(word).partition(":")
    if name not in WORDS or (colon and name != "chunked"):
        msg = f"loss {shown(str(word))}: expected {', '.join(WORDS)} or chunked:TOKENS"
        raise UsageError(msg)
    if name != "chunked":
        return Loss(name)
    if colon and not (tokens.isdecimal() and 1 <= int(tokens) <= MAX_LENGTH):
        msg = f"loss {shown(str(word))}: expected a whole number of tokens from 1 to {MAX_LENGTH}, such as chunked:1024"
        raise UsageError(msg)
    return Loss(name, int(tokens) if colon else CHUNK)


WORDS: Mapping[str, str] = {
    "eager": "the logarithms of all probabilities in fp32, kept",
    "fused": "one pass over the scores, which are kept, and one over them and their gradients",
    "inplace": "the same, gradients in place of the scores",
    "chunked": "head and loss for some tokens at a time, with their gradients: no scores are kept",
}
"""What each is, by its word."""
