"""From what a tower of images writes to the tokens of a decoder: patches merged or pooled, then matmuls."""

from __future__ import annotations

from collections.abc import Sequence

from roofline.classes import frozen
from roofline.layers.feed_forward import Activation, activation
from roofline.layers.normalization import Norm, norm
from roofline.number import Number
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, contract, elementwise, weight

IMAGE_TOKENS = "image_tokens"

_LETTERS = {1: ("IO",), 2: ("IF", "FO"), 3: ("IO", "OF", "FO")}
"""What so many matmuls in a row read and write; F is split over devices, and the last one writes O."""


@frozen
class Merged:
    """T tokens of an image, ``skipped`` ones left out, ``patches`` of them made one.

    >>> Merged(4)({"T": 64}), Merged(4, skipped=1)({"T": 577})
    (16, 144)
    """

    patches: int
    skipped: int = 0

    def __call__(self, sizes: Sizes) -> Number:
        """The tokens that are left."""
        kept: Number = size_of("T", sizes) - self.skipped
        return kept if self.patches == 1 else kept / self.patches


@frozen
class Dense:
    """A matmul of a projector: the width that it writes, its bias, and the activation behind it, if there is one."""

    width: int
    bias: bool = True
    function: Activation | None = None


def average_pool(patches: int, width: int) -> Op:
    """The mean of each square of ``patches`` patches of ``width`` elements.

    >>> average_pool(16, 8).vector_flops({"B": 1, "T": 4096, "D": 8})  # a sum for each element
    32768

    Source: ``Gemma3MultiModalProjector`` of transformers.
    """
    read, pooled = Tensor("h", "B T I"), Tensor("pooled", "B T D")
    mean = elementwise("average_pool", [read], pooled, PerElement(1, over=read), function="mean")
    return mean.rebound(T=Merged(patches), I=patches * width)


def projector(
    chain: Sequence[Dense],
    *,
    width: int,
    tokens: Merged,
    normed: Norm | None = None,
    prefix: str = "",
    source: str = "h",
    output: str = IMAGE_TOKENS,
) -> tuple[Op, ...]:
    """Matmuls in a row on the tokens of an image, of which each is ``width`` elements of merged patches.

    Statement: ``h[B t I], w[I F] -> F``, an activation, ``[F O] -> image_tokens[B t O]``, with t = T / patches that are
    merged. ``normed``: a norm of all I elements before. ``prefix`` tells it from another one of the same tower.

    >>> ops = projector([Dense(16, function="gelu"), Dense(8)], width=16, tokens=Merged(4))
    >>> [(op.name, op.flops({"B": 1, "T": 64, **{k: v for k, v in op.local.items() if k != "T"}})) for op in ops]
    [('projector_1', 32768), ('projector_act_1', 0), ('projector_2', 16384)]
    >>> print(ops[2])
    projector_2: p_1[B T F], w_projector_2[F O], b_projector_2[O] -> image_tokens[B T O]

    Source: Liu et al. 2023, Improved Baselines with Visual Instruction Tuning (arXiv 2310.03744), section 3.2; merging:
    Qwen2-VL (arXiv 2409.12191), section 2.1, InternVL 1.5 (arXiv 2404.16821), section 3.1.
    """
    ops: list[Op] = []
    read, inputs = Tensor(source, "B T I"), width
    if normed is not None:
        merged = Tensor(f"{prefix}merged", "B T I")
        ops.append(norm(f"{prefix}projector_norm", read, merged, kind=normed, axis="I").rebound(I=width, T=tokens))
        read = merged
    for number, (dense, (a, b)) in enumerate(zip(chain, _LETTERS[len(chain)], strict=True), 1):
        name = f"{prefix}projector_{number}"
        written = Tensor(output if number == len(chain) else f"{prefix}p_{number}", f"B T {b}")
        offset = weight(f"b_{name}", b) if dense.bias else None
        matmul = contract(name, Tensor(read.name, f"B T {a}"), weight(f"w_{name}", f"{a} {b}"), written, bias=offset)
        ops.append(matmul.rebound(**{a: inputs, b: dense.width, "T": tokens}))
        if dense.function is not None:
            act = activation(f"{prefix}projector_act_{number}", written, written, dense.function)
            ops.append(act.rebound(**{b: dense.width, "T": tokens}))
        read, inputs = written, dense.width
    return tuple(ops)
