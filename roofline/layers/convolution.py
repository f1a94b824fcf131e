"""Causal convolutions of each channel by itself, over its last Z tokens.

The formula: ``y[t] = f(bias + sum over z of taps[z] x[t - z])``, 2 Z FLOPs per element, on the vector unit: channels do
not mix, so that there is no matrix to multiply with. What decode needs of the past are the last Z - 1 inputs of a
channel, however long the sequence is.
"""

from __future__ import annotations

from roofline.layers.feed_forward import Activation, activation
from roofline.program.op import Op, PerElement, Tensor, Work, contract, elementwise, fuse, weight


def causal_convolution(
    name: str, x: Tensor, y: Tensor, *, step: bool, bias: bool = True, function: Activation | None = "silu"
) -> Op:
    """A causal convolution of each channel of ``x``, its activation, and the inputs that are kept, in one kernel.

    >>> x, y = Tensor("x", "B T F"), Tensor("y", "B T F")
    >>> print(causal_convolution("conv", x, y, step=True))
    conv: x[B T F], conv_taps[F Z], conv_bias[F], conv_inputs[B F c] -> y[B T F], conv_inputs[B F c]
    >>> from sympy import symbols
    >>> sizes = dict(zip("BTFZ", symbols("B T F Z")))
    >>> causal_convolution("conv", x, y, step=False, function=None).vector_flops(sizes)
    2*B*F*T*Z

    Assumes: a prompt starts with nothing before it; a ``step`` reads the last c = Z - 1 inputs and writes them moved
    by one, in the dtype of the activations, as vLLM keeps them (transformers keeps Z). Devices that split the tokens
    gather them first: that only Z - 1 of a neighbour's are needed is not modelled.
    Source: Gu and Dao 2023, Mamba (arXiv 2312.00752), section 3.4, and causal-conv1d, its published kernel.
    """
    channels = " ".join(x.letters[2:])
    taps, kept = weight(f"{name}_taps", f"{channels} Z"), Tensor(f"{name}_inputs", f"B {channels} c", "conv_state")
    offset, before = [weight(f"{name}_bias", channels)] * bias, [kept] * step
    convolve = Op(
        name, "elementwise", (x, taps, *offset, *before), (y,), (Work("vector", 2, (*x.letters, "Z")),), mixes="T"
    )
    keep = Op(f"{name}_keep", "elementwise", (x, *before), (kept,))
    bend = () if function is None else (activation(f"{name}_act", y, y, function),)
    return fuse(name, [convolve, *bend, keep], kind="elementwise")


def short_convolution(*, step: bool, bias: bool = False, source: str = "h", output: str = "a") -> tuple[Op, ...]:
    """LFM2's mixer of F channels: ``out(c * convolution(b * x))``, where b, c and x are projections of the input.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDFZ", symbols("B T D F Z")))
    >>> [(op.name, op.flops(sizes)) for op in short_convolution(step=False)]
    [('convolution_in_proj', 6*B*D*F*T), ('convolution', 0), ('convolution_out_proj', 2*B*D*F*T)]

    Source: LFM2 technical report (arXiv 2511.23404), section on gated short convolutions, and its published code.
    """
    b, c, x, y, z = (Tensor(f"convolution_{part}", "B T F") for part in "bcxyz")
    into = [_project(part, Tensor(source, "B T D"), "D F", to, bias) for part, to in zip("bcx", (b, c, x), strict=True)]
    inner = [
        elementwise("input_gate", [b, x], z, PerElement(1)),
        *causal_convolution("convolution", z, y, step=step, bias=bias, function=None).parts,
        elementwise("output_gate", [c, y], y, PerElement(1)),
    ]
    return (
        fuse("convolution_in_proj", into, kind="matmul"),
        fuse("convolution", inner, kind="elementwise"),
        _project("out_proj", y, "F D", Tensor(output, "B T D"), bias, name="convolution_out_proj"),
    )


def _project(part: str, x: Tensor, axes: str, y: Tensor, bias: bool, name: str = "") -> Op:
    offset = weight(f"b_convolution_{part}", axes.rsplit(maxsplit=1)[-1]) if bias else None
    return contract(name or f"convolution_{part}", x, weight(f"w_convolution_{part}", axes), y, bias=offset)
