"""Feed-forward layers: two matrices, or three where a gate multiplies."""

from __future__ import annotations

from typing import Literal, TypeAlias

from roofline.program.op import Op, PerElement, Tensor, contract, elementwise, fuse, weight

Activation: TypeAlias = Literal[
    "relu", "gelu", "gelu_new", "silu", "clamped_silu", "tanh", "quick_gelu", "relu2", "xielu", "sigmoid"
]

_WORK: dict[Activation, tuple[int, int]] = {  # vector FLOPs and transcendental operations per element
    "relu": (1, 0),  # max(x, 0)
    "gelu": (7, 1),  # 0.5 x (1 + tanh(a (x + b x^3))): 5 products and 2 sums beside the tanh, or as many beside the erf
    "gelu_new": (7, 1),  # the form with tanh, which transformers writes out, one kernel for each operation
    "silu": (3, 1),  # x / (1 + exp(-x))
    "clamped_silu": (8, 1),  # silu of a bounded and scaled gate, times a bounded other side plus 1 (gpt-oss)
    "tanh": (0, 1),
    "relu2": (2, 0),  # max(x, 0), squared (Primer, Nemotron)
    "sigmoid": (2, 1),  # 1 / (1 + exp(-x))
    "quick_gelu": (4, 1),  # x / (1 + exp(-1.702 x)) (CLIP)
    "xielu": (9, 1),  # a x^2 + b x, or a (exp(x) - 1 - x) + b x, of which one is chosen by sign (arXiv 2411.13010)
}
_TRAINED: dict[Activation, tuple[str, ...]] = {"xielu": ("alpha_p", "alpha_n")}
"""Activations with numbers that are trained, one of each a layer."""


def activation(name: str, x: Tensor, y: Tensor, function: Activation, *, gate: Tensor | None = None) -> Op:
    """An activation function, and the multiplication by a gate in the same kernel if there is one.

    FLOPs per element are counted from the formulas: ReLU 1, GELU 7 and a tanh, SiLU 3 and an exponential.

    >>> u, m = Tensor("u", "B T F"), Tensor("m", "B T F")
    >>> op = activation("act", u, m, "silu", gate=Tensor("g", "B T F"))
    >>> op.vector_flops({"B": 1, "T": 1, "F": 10}), op.special({"B": 1, "T": 1, "F": 10})
    (40, 10)

    Source: Hendrycks and Gimpel 2016, GELU and SiLU (arXiv 1606.08415); Shazeer 2020, GLU variants (arXiv 2002.05202).
    """
    flops, special = _WORK[function]
    trained = [weight(f"{name}_{number}", "") for number in _TRAINED.get(function, ())]
    inputs = [x, *trained] if gate is None else [gate, x, *trained]
    return elementwise(name, inputs, y, PerElement(flops + (gate is not None), special=special), function=function)


def feed_forward(
    *,
    function: Activation,
    gated: bool,
    bias: bool = False,
    down_bias: bool = False,
    packed: bool = False,
    source: str = "h",
    output: str = "f",
    prefix: str = "",
) -> tuple[Op, ...]:
    """The feed-forward layer: ``down(act(up(h)))``, or ``down(act(gate(h)) * up(h))`` when gated.

    ``down_bias``: the last matrix alone has one. ``packed`` states gate and up as one matmul, which reads its input
    once. ``prefix`` tells it from another one beside it.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDF", symbols("B T D F")))
    >>> [(op.name, op.flops(sizes)) for op in feed_forward(function="relu", gated=False)]
    [('up', 2*B*D*F*T), ('act', 0), ('down', 2*B*D*F*T)]
    >>> sum(op.flops(sizes) for op in feed_forward(function="silu", gated=True))
    6*B*D*F*T

    Source: Vaswani et al. 2017 (arXiv 1706.03762), eq. 2; gated: Shazeer 2020 (arXiv 2002.05202), eq. 6.
    """
    h, g, u, m = Tensor(source, "B T D"), *(Tensor(f"{prefix}{x}", "B T F") for x in "gum")

    def project(name: str, x: Tensor, axes: str, y: Tensor) -> Op:
        biased = bias or (down_bias and name == "down")
        offset = weight(f"b_{prefix}{name}", axes.rsplit(maxsplit=1)[-1]) if biased else None
        return contract(f"{prefix}{name}", x, weight(f"w_{prefix}{name}", axes), y, bias=offset)

    up, down = project("up", h, "D F", u), project("down", m, "F D", Tensor(output, "B T D"))
    if gated:
        first: tuple[Op, ...] = (project("gate", h, "D F", g), up)
        first = (fuse(f"{prefix}gate_up", first, kind="matmul"),) if packed else first
        return *first, activation(f"{prefix}act", g, m, function, gate=u), down
    return up, activation(f"{prefix}act", u, m, function), down
