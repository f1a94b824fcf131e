"""Sound as a sequence: frames of a spectrogram, I elements each, through two convolutions over time.

The formula: ``y[t] = bias + sum over z of w[z] x[t + z]`` for Z neighbouring frames, all elements of which go into each
of D outputs: 2 Z I D FLOPs per frame. The second convolution takes every other place, which halves the length.
"""

from __future__ import annotations

from roofline.layers.feed_forward import activation
from roofline.number import Number
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, Work, elementwise, weight

_TAPS = 3


def frames(sizes: Sizes) -> Number:
    """Frames of a spectrogram that T tokens stand for: two each.

    >>> frames({"T": 1500})
    3000
    """
    return 2 * size_of("T", sizes)


def two_frames(sizes: Sizes) -> Number:
    """Elements of the two frames that one step of the second convolution adds: 2 D."""
    return 2 * size_of("D", sizes)


def sound_embedding() -> tuple[Op, ...]:
    """Two convolutions with GELU, the second one with stride 2, and a position added to each of the T tokens.

    Statement: ``frames[B T I], w_conv_1[Z I D] -> c[B T D]`` for 2 T frames, ``c[B T I], w_conv_2[Z D F] -> x[B T F]``
    where I is the two frames of a token and F stands for D, ``x[B T D], position_table[T D] -> x[B T D]``.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTID", symbols("B T I D")))
    >>> [(op.name, op.flops(sizes)) for op in sound_embedding() if op.kind == "matmul"]
    [('conv_1', 12*B*D*I*T), ('conv_2', 6*B*D**2*T)]

    Assumes: what neighbouring steps share is read once; edges count as if padding were work, as torch does.
    Source: Radford et al. 2022, Whisper (arXiv 2212.04356), section 2.2.
    """
    c, x, y = Tensor("c", "B T D"), Tensor("x", "B T D"), Tensor("x", "B T F")
    first = _convolution("conv_1", Tensor("frames", "B T I", "input"), "Z I D", c, "D")
    second = _convolution("conv_2", Tensor("c", "B T I"), "Z D F", y, "F")
    table = weight("position_table", "T D", stored="P D")
    return (
        first.rebound(T=frames, Z=_TAPS),
        activation("conv_1_act", c, c, "gelu").rebound(T=frames),
        second.rebound(I=two_frames, F="D", Z=_TAPS),
        activation("conv_2_act", x, x, "gelu"),
        elementwise("position_sum", [x, table], x, PerElement(1), linear=True, function="add"),
    )


def _convolution(name: str, x: Tensor, axes: str, y: Tensor, width: str) -> Op:
    """A convolution over time; the letters of the work are the tokens written and the weights."""
    matrix, offset = weight(f"w_{name}", axes), weight(f"b_{name}", width)
    work = Work("matrix", 2, ("B", "T", *axes.split()))
    return Op(name, "matmul", (x, matrix, offset), (y,), (work,), mixes="T")
