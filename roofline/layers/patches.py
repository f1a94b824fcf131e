"""Images as sequences: patches of I elements, each projected to the hidden size, and a class token before them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from roofline.number import Number
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, contract, elementwise, weight

_RESAMPLED_FLOPS = 7  # four products and three sums


def patches(sizes: Sizes) -> Number:
    """Patches of an image of T tokens: all but the class token.

    >>> patches({"T": 197})
    196
    """
    return size_of("T", sizes) - 1


Positions: TypeAlias = Literal["table", "resampled", "none"]


def patch_embedding(*, bias: bool = True, class_token: bool = True, positions: Positions = "table") -> tuple[Op, ...]:
    """Projection of each patch, a class token before them, and a learned position added to each.

    Without a ``class_token`` all T tokens are patches. ``positions``: of a ``table`` of as many rows, or ``resampled``
    from a table of P rows for another size of image, four rows a patch (bilinear), or ``none``, where they are rotated.

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
    return (*first, add) if positions != "none" else first
