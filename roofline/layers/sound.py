"""Sound as a sequence: frames of a spectrogram, I elements each, through convolutions, and as tokens of a decoder.

The formula of a convolution over time: ``y[t] = bias + sum over z of w[z] x[t + z]`` for Z neighbouring frames, all
elements of which go into each of D outputs: 2 Z I D FLOPs per frame. Whisper's second one takes every other place,
which halves the length.
"""

from __future__ import annotations

from roofline.classes import frozen
from roofline.layers.feed_forward import activation
from roofline.number import Number, ceil_div
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, Work, contract, elementwise, weight

_TAPS = 3
_PLANE_TAPS, _PLANE_STEPS = 9, 3  # three convolutions of 3 x 3 taps, each with stride 2 both ways


def frames(sizes: Sizes) -> Number:
    """Frames of a spectrogram that T tokens stand for: two each.

    >>> frames({"T": 1500})
    3000
    """
    return 2 * size_of("T", sizes)


def frames_of_piece(sizes: Sizes) -> Number:
    """Frames that T places of a piece stand for: f of them, or two each where no length of sound is known.

    >>> frames_of_piece({"T": 1500}), frames_of_piece({"T": 51, "f": 101})
    (3000, 101)
    """
    return size_of("f", sizes) if "f" in sizes else frames(sizes)


def pieces(sizes: Sizes) -> Number:
    """Sequences that convolutions read, q of each sequence of the layers.

    >>> pieces({"B": 2, "q": 3}), pieces({"B": 2})
    (6, 2)
    """
    return size_of("B", sizes) * (size_of("q", sizes) if "q" in sizes else 1)


@frozen
class Halved:
    """Places of a piece after so many steps of stride 2; T where no length of sound is known, which ``steps`` make.

    >>> Halved(1)({"f": 101, "T": 700}), Halved(3)({"f": 100, "T": 700}), Halved(3)({"T": 700})
    (51, 13, 700)
    """

    steps: int

    def __call__(self, sizes: Sizes) -> Number:
        """The places."""
        if "f" not in sizes:
            return size_of("T", sizes)
        places: Number = size_of("f", sizes)
        for _ in range(self.steps):
            places = ceil_div(places, 2)
        return places


@frozen
class Heard:
    """Tokens of a sound to the decoder: a of each sequence, or one for ``each`` so many places.

    >>> Heard(2)({"T": 1500}), Heard(2)({"T": 1500, "a": 749})
    (750.0, 749)
    """

    each: int

    def __call__(self, sizes: Sizes) -> Number:
        """The tokens."""
        return size_of("a", sizes) if "a" in sizes else size_of("T", sizes) / self.each


def two_frames(sizes: Sizes) -> Number:
    """Elements of the two frames that one step of the second convolution adds: 2 D."""
    return 2 * size_of("D", sizes)


@frozen
class _Plane:
    """Places in time and frequency after so many steps of stride 2."""

    steps: int
    rows: int

    def __call__(self, sizes: Sizes) -> Number:
        """The places; where no length of sound is known, those of which T are left."""
        if "f" in sizes:
            columns: Number = Halved(self.steps)(sizes)
            return columns * self.rows
        last: Number = size_of("T", sizes) * self.rows
        return last * int(2 ** (_PLANE_STEPS - self.steps))


def sound_embedding(*, trained: bool = True, in_pieces: bool = False) -> tuple[Op, ...]:
    """Two convolutions with GELU, the second one with stride 2, and a position added to each of the T tokens.

    ``trained``: positions are a table of the network's, else they are computed. ``in_pieces``: T places are those of a
    piece of f frames, which may be odd.

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
    read = frames_of_piece if in_pieces else frames
    return (
        first.rebound(T=read, Z=_TAPS),
        activation("conv_1_act", c, c, "gelu").rebound(T=read),
        second.rebound(I=two_frames, F="D", Z=_TAPS),
        activation("conv_2_act", x, x, "gelu"),
        _positions(x, trained=trained),
    )


def spectrogram_embedding(mel: int, channels: int) -> tuple[Op, ...]:
    """Three convolutions of the spectrogram as an image of one channel, a matmul of each column, computed positions.

    Each has 3 x 3 taps, stride 2 in time and in frequency, and GELU; ``mel`` rows become a quarter of a half of them.
    Statement: ``frames[B T I], w_conv_1[Z D F] -> c_1[B T F]`` for T places of time and frequency, of which each adds I
    elements; the two behind it likewise; ``c_3[B T I], w_conv_out[I D] -> x[B T D]`` for T places of time.

    >>> ops = spectrogram_embedding(128, 480)
    >>> [op.flops({"B": 1, "T": 13, "f": 100, "D": 1280}) for op in ops if op.kind == "matmul"]
    [27648000, 3317760000, 862617600, 255590400]

    Source: Xu et al. 2025, Qwen3-Omni (arXiv 2509.17765), section 2.2; ``Qwen3OmniMoeAudioEncoder`` of transformers.
    """
    ops: list[Op] = []
    rows, inputs, read = mel, 1, Tensor("frames", "B T I", "input")
    for step in range(1, _PLANE_STEPS + 1):
        rows, name = int(ceil_div(rows, 2)), f"c_{step}"
        places, written = _Plane(step, rows), Tensor(name, "B T F")
        conv = _convolution(f"conv_{step}", read, "Z D F", written, "F")
        ops.append(conv.rebound(T=places, I=4 * inputs, Z=_PLANE_TAPS, D=inputs, F=channels))
        ops.append(activation(f"conv_{step}_act", written, written, "gelu").rebound(T=places, F=channels))
        inputs, read = channels, Tensor(name, "B T I")
    x = Tensor("x", "B T D")
    out = contract("conv_out", read, weight("w_conv_out", "I D"), x)
    return (*ops, out.rebound(I=rows * channels), _positions(x, trained=False))


def _positions(x: Tensor, *, trained: bool) -> Op:
    table = [weight("position_table", "T D", stored="P D")] if trained else []
    return elementwise("position_sum", [x, *table], x, PerElement(1), linear=True, function="add")


def _convolution(name: str, x: Tensor, axes: str, y: Tensor, width: str) -> Op:
    """A convolution over time; the letters of the work are the tokens written and the weights."""
    matrix, offset = weight(f"w_{name}", axes), weight(f"b_{name}", width)
    work = Work("matrix", 2, ("B", "T", *axes.split()))
    return Op(name, "matmul", (x, matrix, offset), (y,), (work,), mixes="T")
