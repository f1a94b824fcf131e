"""Normalisation, and the residual addition that it is fused with."""

from __future__ import annotations

from typing import Literal, TypeAlias

from roofline.op import Op, Tensor, elementwise, fuse, weight

Norm: TypeAlias = Literal["layer", "rms"]

_FLOPS_PER_ELEMENT: dict[Norm, int] = {
    "layer": 7,  # sum, subtract the mean, square, sum, scale, gain, shift
    "rms": 4,  # square, sum, scale, gain
}


def norm(name: str, x: Tensor, y: Tensor, *, kind: Norm, axis: str = "D") -> Op:
    """LayerNorm or RMSNorm of ``x`` over ``axis``.

    Statement: ``x[B T D], gain[D], (shift[D]) -> y[B T D]``; LayerNorm has gain and shift, RMSNorm a gain.
    FLOPs per element are counted from the formula: 7 for LayerNorm, 4 for RMSNorm.

    >>> h = Tensor("h", "B T D")
    >>> norm("norm", Tensor("x", "B T D"), h, kind="rms").vector_flops({"B": 1, "T": 2, "D": 8})
    64
    >>> [t.name for t in norm("norm", Tensor("x", "B T D"), h, kind="layer").reads]
    ['x', 'norm_gain', 'norm_shift']

    Assumes: one pass over ``x``; the statistics stay on chip.
    Source: Ba et al. 2016, Layer Normalization (arXiv 1607.06450), eq. 3; Zhang and Sennrich 2019, RMSNorm
    (arXiv 1910.07467), eq. 4.
    """
    names = ("gain", "shift") if kind == "layer" else ("gain",)
    gains = [weight(f"{name}_{part}", axis) for part in names]
    return elementwise(name, [x, *gains], y, flops=_FLOPS_PER_ELEMENT[kind], kind="norm")


def residual(name: str, branch: Tensor, stream: Tensor, y: Tensor) -> Op:
    """The residual addition: one add per element.

    Statement: ``branch[B T D], x[B T D] -> y[B T D]``.

    >>> x, a = Tensor("x", "B T D"), Tensor("a", "B T D")
    >>> residual("residual", a, x, x).vector_flops({"B": 1, "T": 2, "D": 8})
    16

    Source: He et al. 2015, Deep Residual Learning (arXiv 1512.03385), eq. 1.
    """
    return elementwise(name, [branch, stream], y, flops=1)


def residual_norm(name: str, branch: Tensor, *, kind: Norm, placement: Literal["pre", "post"]) -> Op:
    """The residual addition and the norm behind it, in one kernel.

    ``pre``: the sum goes back to the stream ``x`` and the norm of it to ``h``, which the next branch reads.
    ``post``: only the norm of the sum is stored, as ``x``; it is both the stream and what the next branch reads.

    >>> print(residual_norm("ffn_norm", Tensor("a", "B T D"), kind="rms", placement="pre"))
    ffn_norm: a[B T D], x[B T D], ffn_norm_gain[D] -> x[B T D], h[B T D]
    >>> print(residual_norm("attention_norm", Tensor("a", "B T D"), kind="layer", placement="post"))
    attention_norm: a[B T D], x[B T D], attention_norm_gain[D], attention_norm_shift[D] -> x[B T D]

    Source: Xiong et al. 2020, On Layer Normalization in the Transformer Architecture (arXiv 2002.04745), table 1.
    """
    x, h, total = Tensor("x", "B T D"), Tensor("h", "B T D"), Tensor("sum", "B T D")
    add = residual(f"{name}.residual", branch, x, x if placement == "pre" else total)
    normed = norm(name, *((x, h) if placement == "pre" else (total, x)), kind=kind)
    return fuse(name, [add, normed], kind="norm", keep=["x"])
