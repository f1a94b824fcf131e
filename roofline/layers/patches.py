"""Images as sequences: patches of I elements, and a class token before them; and as the tokens of a decoder behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from roofline.classes import frozen
from roofline.layers.feed_forward import Activation, activation
from roofline.layers.normalization import Norm, norm
from roofline.number import Number
from roofline.program.axes import Binding, Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, contract, elementwise, fuse, weight

_RESAMPLED_FLOPS = 7  # four products and three sums
IMAGE_TOKENS = "image_tokens"

_LETTERS = {1: (("I", "O"),), 2: (("I", "F"), ("F", "O")), 3: (("I", "O"), ("O", "F"), ("F", "O"))}
"""What so many matmuls in a row read and write; F is split over devices, and the last one writes O."""


def patches(sizes: Sizes) -> Number:
    """Patches of an image of T tokens: all but the class token.

    >>> patches({"T": 197})
    196
    """
    return size_of("T", sizes) - 1


def window_of(sizes: Sizes) -> Number:
    """The patches that a patch sees in a layer of windows: w, or all of them where no size of image is known.

    >>> window_of({"S": 1036, "w": 56}), window_of({"S": 1036})
    (56, 1036)
    """
    return size_of("w" if "w" in sizes else "S", sizes)


Positions: TypeAlias = Literal["table", "resampled", "axes", "none"]


def patch_embedding(*, bias: bool = True, class_token: bool = True, positions: Positions = "table") -> tuple[Op, ...]:
    """Projection of each patch, a class token before them, and a learned position added to each.

    Without a ``class_token`` all T tokens are patches. ``positions``: of a ``table`` of as many rows, or ``resampled``
    from a table of P rows for another size of image, four rows a patch (bilinear), or of two tables, of rows and of
    columns (``axes``), or ``none``, where they are rotated.

    Statement: ``pixels[B T I], w_patch[I D], b_patch[D] -> x[B T D]`` for the T - 1 patches, ``class_token[D] ->
    x[B T D]`` for one token, ``x[B T D], position_table[T D] -> x[B T D]`` for all. A convolution whose stride is its
    width reads each pixel once, which is a contraction.

    >>> project, token, add = patch_embedding()
    >>> project.flops({"B": 2, "T": 197, "I": 768, "D": 8})  # 2 B (T - 1) I D
    4816896
    >>> from sympy import symbols
    >>> project.flops(dict(zip("BTID", symbols("B T I D"))))
    2*B*D*I*(T - 1)

    Source: Dosovitskiy et al. 2020, An Image is Worth 16x16 Words (arXiv 2010.11929), section 3.1, eq. 1.
    """
    x, offset = Tensor("x", "B T D"), weight("b_patch", "D") if bias else None
    project = contract("patch_embedding", Tensor("pixels", "B T I", "input"), weight("w_patch", "I D"), x, bias=offset)
    token = elementwise("class_token", [weight("class_token", "D")], x, PerElement(0))
    table = weight("position_table", "T D", stored="P D")
    four = _RESAMPLED_FLOPS if positions == "resampled" else 0
    add = elementwise("position_sum", [x, table], x, PerElement(1 + four), linear=True, function="add")
    first = (project.rebound(T=patches), token.rebound(T=1)) if class_token else (project,)
    if positions == "axes":
        columns = weight("column_table", "T D", stored="P D")
        add = elementwise("position_sum", [x, table, columns], x, PerElement(2), linear=True, function="add")
    return (*first, add) if positions != "none" else first


@frozen
class Merged:
    """T tokens of an image, ``skipped`` ones left out, ``patches`` of them made one.

    >>> Merged(4)({"T": 64}), Merged(4, skipped=1)({"T": 577})
    (16.0, 144.0)
    """

    patches: int
    skipped: int = 0

    def __call__(self, sizes: Sizes) -> Number:
        """The tokens that are left."""
        kept: Number = size_of("T", sizes) - self.skipped
        return kept if self.patches == 1 else kept / self.patches


@frozen
class Dense:
    """A matmul of a projector: the width that it writes, its bias, and the activation behind it, if there is one.

    ``gated``: it makes as many elements again, whose activation the others are multiplied by.
    """

    width: int
    bias: bool = True
    function: Activation | None = None
    gated: bool = False


def average_pool(patches: int, width: int, tokens: Binding | None = None, source: str = "h") -> Op:
    """The mean of each square of ``patches`` patches of ``width`` elements; ``tokens``: how many means there are.

    >>> average_pool(16, 8).vector_flops({"B": 1, "T": 4096, "D": 8})  # a sum for each element
    32768.0

    Source: ``Gemma3MultiModalProjector`` of transformers.
    """
    read, pooled = Tensor(source, "B T I"), Tensor("pooled", "B T D")
    mean = elementwise("average_pool", [read], pooled, PerElement(1, over=read), function="mean")
    return mean.rebound(T=Merged(patches) if tokens is None else tokens, I=patches * width)


def gated_tail(inner: int, function: Activation, *, width: int, tokens: Merged) -> tuple[Op, ...]:
    """A norm, an activation and a gated feed-forward layer on the ``width`` elements of an image's tokens.

    >>> ops = gated_tail(16, "silu", width=8, tokens=Merged(4))
    >>> sum(op.flops({"B": 1, "T": 64}) for op in ops)  # 6 x 16 tokens x 8 x 16
    12288.0

    Source: ``Glm4vVisionPatchMerger`` of transformers; gated: Shazeer 2020 (arXiv 2002.05202), eq. 6.
    """
    x, h, g = Tensor(IMAGE_TOKENS, "B T O"), Tensor("normed_tokens", "B T O"), Tensor("token_gate", "B T F")
    up, down = Tensor("token_up", "B T F"), weight("w_token_down", "F O")
    ops = (
        norm("token_norm", x, h, kind="layer", axis="O"),
        activation("token_act", h, h, "gelu"),
        contract("token_gate", h, weight("w_token_gate", "O F"), g),
        contract("token_up", h, weight("w_token_up", "O F"), up),
        activation("token_product", g, g, function, gate=up),
        contract("token_down", g, down, x),
    )
    return tuple(_of(op, tokens, {"O": width, "F": inner}) for op in ops)


def projector(
    chain: Sequence[Dense],
    *,
    width: int,
    tokens: Binding,
    normed: Norm | None = None,
    prefix: str = "",
    source: str = "h",
    output: str = IMAGE_TOKENS,
) -> tuple[Op, ...]:
    """Matmuls in a row on the tokens of an image, of which each is ``width`` elements of merged patches.

    Statement: ``h[B t I], w[I F] -> F``, an activation, ``[F O] -> image_tokens[B t O]``, with t = T / patches that are
    merged. ``normed``: a norm of all I elements before. ``prefix`` tells it from another one of the same tower.

    >>> ops = projector([Dense(16, function="gelu"), Dense(8)], width=16, tokens=Merged(4))
    >>> [(op.name, op.flops({"B": 1, "T": 64})) for op in ops]
    [('projector_1', 8192.0), ('projector_act_1', 0), ('projector_2', 4096.0)]
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
        gate = Tensor(f"{name}_gate", f"B T {b}") if dense.gated else None
        if gate is not None:
            own = weight(f"b_{name}_gate", b) if dense.bias else None
            beside = contract(
                f"{name}_gate", Tensor(read.name, f"B T {a}"), weight(f"w_{name}_gate", f"{a} {b}"), gate, bias=own
            )
            matmul = fuse(name, [matmul, beside], kind="matmul")
        ops.append(_of(matmul, tokens, {a: inputs, b: dense.width}))
        if dense.function is not None:
            act_name = f"{prefix}projector_act_{number}"
            acted = activation(act_name, gate or written, written, dense.function, gate=written if gate else None)
            ops.append(_of(acted, tokens, {b: dense.width}))
        read, inputs = written, dense.width
    return tuple(ops)


def _of(op: Op, tokens: Binding, widths: Mapping[str, int]) -> Op:
    return op.rebound(T=tokens, **widths)
