"""Normalisation, and the residual addition that it is fused with."""

from __future__ import annotations

from typing import Literal, TypeAlias

from roofline.program.op import Op, PerElement, Tensor, elementwise, fuse, weight

Norm: TypeAlias = Literal["layer", "rms", "layer_gain", "layer_bare", "rms_bare"]
Placement: TypeAlias = Literal["pre", "post", "sandwich", "branch"]

_FLOPS_PER_ELEMENT: dict[Norm, int] = {
    "layer": 7,  # sum, subtract the mean, square, sum, scale, gain, shift
    "rms": 4,  # square, sum, scale, gain
    "layer_gain": 6,  # LayerNorm without the shift
    "layer_bare": 5,  # nor the gain
    "rms_bare": 3,  # RMSNorm without the gain
}
_WEIGHTS: dict[Norm, tuple[str, ...]] = {
    "layer": ("gain", "shift"),
    "rms": ("gain",),
    "layer_gain": ("gain",),
    "layer_bare": (),
    "rms_bare": (),
}


def norm(name: str, x: Tensor, y: Tensor, *, kind: Norm, axis: str = "D", mixes: str = "") -> Op:
    """LayerNorm or RMSNorm of ``x`` over the axes of ``mixes``, with gains for those of ``axis``, whose last it takes.

    Statement: ``x[B T D], gain[D], (shift[D]) -> y[B T D]``; LayerNorm has gain and shift, RMSNorm a gain. Some models
    leave LayerNorm's shift out (``layer_gain``), or both (``layer_bare``), or RMSNorm's gain (``rms_bare``).
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
    gains = [weight(f"{name}_{part}", axis) for part in _WEIGHTS[kind]]
    over = mixes or axis.rsplit(maxsplit=1)[-1]
    flops = _FLOPS_PER_ELEMENT[kind]
    return elementwise(name, [x, *gains], y, PerElement(flops), kind="norm", mixes=over, function=kind)


def residual(name: str, branch: Tensor, stream: Tensor, y: Tensor) -> Op:
    """The residual addition: one add per element.

    Statement: ``branch[B T D], x[B T D] -> y[B T D]``.

    >>> x, a = Tensor("x", "B T D"), Tensor("a", "B T D")
    >>> residual("residual", a, x, x).vector_flops({"B": 1, "T": 2, "D": 8})
    16

    Source: He et al. 2015, Deep Residual Learning (arXiv 1512.03385), eq. 1.
    """
    return elementwise(name, [branch, stream], y, PerElement(1), linear=True, function="add")


def residual_norm(name: str, branch: Tensor, *, kind: Norm, placement: Placement) -> Op:
    """The residual addition and the norms around it, in one kernel.

    ``pre``: the sum goes back to the stream ``x`` and the norm of it to ``h``, which the next branch reads.
    ``post``: only the norm of the sum is stored, as ``x``; it is both the stream and what the next branch reads.
    ``branch``: the branch is normed before it is added, the sum is not. ``sandwich``: ``branch`` and then ``pre``.

    >>> print(residual_norm("ffn_norm", Tensor("a", "B T D"), kind="rms", placement="pre"))
    ffn_norm: a[B T D], x[B T D], ffn_norm_gain[D] -> x[B T D], h[B T D]
    >>> print(residual_norm("attention_norm", Tensor("a", "B T D"), kind="layer", placement="post"))
    attention_norm: a[B T D], x[B T D], attention_norm_gain[D], attention_norm_shift[D] -> x[B T D]
    >>> print(residual_norm("ffn_norm", Tensor("a", "B T D"), kind="rms", placement="sandwich"))
    ffn_norm: a[B T D], ffn_norm_branch_gain[D], x[B T D], ffn_norm_gain[D] -> x[B T D], h[B T D]

    Source: Xiong et al. 2020, On Layer Normalization in the Transformer Architecture (arXiv 2002.04745), table 1;
    branch: OLMo et al. 2025 (arXiv 2501.00656), section 2.1; sandwich: Gemma 2 (arXiv 2408.00118), section 2.
    """
    x, h, total, normed = (Tensor(tensor, "B T D") for tensor in ("x", "h", "sum", "normed"))
    ops = []
    if placement in ("sandwich", "branch"):
        ops, branch = [norm(f"{name}_branch", branch, normed, kind=kind)], normed
    ops.append(residual(f"{name}.residual", branch, x, total if placement == "post" else x))
    if placement != "branch":
        ops.append(norm(name, *((total, x) if placement == "post" else (x, h)), kind=kind))
    return fuse(name, ops, kind="norm", keep=["x"])


def parallel_residual_norm(name: str, *, kind: Norm, branches: str = "af") -> Op:
    """Branches of the same input, attention and feed-forward, added to the stream; then the next norm, in one kernel.

    >>> print(parallel_residual_norm("output_norm", kind="layer_gain"))
    output_norm: a[B T D], x[B T D], f[B T D], output_norm_gain[D] -> x[B T D], h[B T D]

    Source: Wang and Komatsuzaki 2021, GPT-J-6B; Chowdhery et al. 2022, PaLM (arXiv 2204.02311), section 2.
    """
    x, h = Tensor("x", "B T D"), Tensor("h", "B T D")
    adds = [residual(f"{name}.residual_{branch}", Tensor(branch, "B T D"), x, x) for branch in branches]
    return fuse(name, [*adds, norm(name, x, h, kind=kind)], kind="norm", keep=["x"])
