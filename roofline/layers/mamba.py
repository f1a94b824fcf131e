"""Mamba: a selective scan of F channels, each with a state of N elements that does not grow with the context.

The formula, per channel and token: ``h = exp(dt A) h + dt x B`` and ``y = C h + skip x``, where dt, B and C are
projections of the token itself. No element of A is shared, so that the scan is no matmul: it runs on the vector unit, a
multiple of B T F N operations and as many exponentials. Decode is the same formula for one token, and reads and writes
B F N elements of state instead of keys and values.
"""

from __future__ import annotations

from roofline.layers.convolution import causal_convolution
from roofline.layers.normalization import Norm, norm
from roofline.program.op import Op, Tensor, Work, contract, fuse, weight

_X, _GATE, _DT, _Y = (Tensor(f"mamba_{part}", "B T F") for part in ("x", "gate", "dt", "y"))
_LOW, _B, _C = Tensor("mamba_dt_low", "B T R"), Tensor("mamba_b", "B T N"), Tensor("mamba_c", "B T N")
_STATE = Tensor("mamba_state", "B F N", "state")


def selective_projections(*, norms: Norm | None = None) -> tuple[Op, ...]:
    """B, C and, by way of rank R, the time step of each token and channel; ``norms`` of the three on the way (Jamba).

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTFNR", symbols("B T F N R")))
    >>> [(op.name, op.flops(sizes)) for op in selective_projections()]
    [('selection_proj', 4*B*F*N*T + 2*B*F*R*T), ('dt_proj', 2*B*F*R*T)]

    Source: Gu and Dao 2023, Mamba (arXiv 2312.00752), algorithm 2 and section 3.6; norms: Jamba (arXiv 2403.19887),
    section 6.4.
    """
    outputs = (_LOW, _B, _C)
    names = [tensor.name.removeprefix("mamba_") for tensor in outputs]
    parts = [
        contract(name, _X, weight(f"w_mamba_{name}", f"F {tensor.letters[-1]}"), tensor)
        for name, tensor in zip(names, outputs, strict=True)
    ]
    normed = [
        norm(f"{name}_norm", tensor, tensor, kind=norms, axis=tensor.letters[-1])
        for name, tensor in zip(names, outputs, strict=True)
        if norms is not None
    ]
    return (
        fuse("selection_proj", parts, kind="matmul"),
        *((fuse("selection_norm", normed, kind="norm"),) if normed else ()),
        contract("dt_proj", _LOW, weight("w_mamba_dt", "R F"), _DT),
    )


def selective_scan(*, step: bool) -> Op:
    """The scan over the tokens, the skip and the gate in one kernel; a ``step`` of decode goes on from the state.

    FLOPs per channel, token and state element: exp(dt A) is a product, dt x B another, the new state a product and a
    sum, C h a product and a sum: 6, and an exponential. Per channel and token: softplus of the time step (a sum with
    its bias, a sum, an exponential, a logarithm), dt x, the skip (2) and the gate (SiLU 3, product).

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTFN", symbols("B T F N")))
    >>> op = selective_scan(step=True)
    >>> op.vector_flops(sizes), op.special(sizes), op.flops(sizes)
    (6*B*F*N*T + 9*B*F*T, B*F*N*T + 3*B*F*T, 0)
    >>> [tensor.name for tensor in op.writes]
    ['mamba_state', 'mamba_y']

    Assumes: one pass, the states of all but the last token stay on chip; a prompt starts from an empty state; the state
    is kept in the dtype of the activations, as mamba-ssm and vLLM do unless told otherwise. Devices that split the
    tokens gather them first: that a state may be handed on instead is not modelled.
    Source: Gu and Dao 2023, Mamba (arXiv 2312.00752), eq. 2a and 4, section 3.3.2.
    """
    element, channel = ("B", "T", "F", "N"), ("B", "T", "F")
    rates, before = (weight("dt_bias", "F"), weight("a_log", "F N")), [_STATE] * step
    update = Op(
        "update",
        "scan",
        (_X, _DT, _B, *rates, *before),
        (_STATE,),
        (
            Work("vector", 4, element),
            Work("special", 1, element),
            Work("vector", 3, channel),
            Work("special", 2, channel),
        ),
        mixes="T",
    )
    read = Op(
        "read",
        "scan",
        (_C, _STATE, _X, weight("skip", "F"), _GATE),
        (_Y,),
        (Work("vector", 2, element), Work("vector", 6, channel), Work("special", 1, channel)),
    )
    return fuse("scan", [update, read], kind="scan")


def mamba(
    *,
    step: bool,
    bias: bool = False,
    conv_bias: bool = True,
    norms: Norm | None = None,
    source: str = "h",
    output: str = "a",
) -> tuple[Op, ...]:
    """The whole mixer: D to twice F, convolution, selection, scan, F to D.

    >>> [op.name for op in mamba(step=False)]
    ['mamba_in_proj', 'convolution', 'selection_proj', 'dt_proj', 'scan', 'mamba_out_proj']

    Source: Gu and Dao 2023, Mamba (arXiv 2312.00752), section 3.4 and figure 3.
    """
    h, before = Tensor(source, "B T D"), Tensor("mamba_x_in", "B T F")
    parts = (("x", "F"), ("gate", "F"), ("out", "D"))
    offsets = {part: weight(f"b_mamba_{part}", axis) if bias else None for part, axis in parts}
    into = [
        contract("x", h, weight("w_mamba_x", "D F"), before, bias=offsets["x"]),
        contract("gate", h, weight("w_mamba_gate", "D F"), _GATE, bias=offsets["gate"]),
    ]
    out = contract("mamba_out_proj", _Y, weight("w_mamba_out", "F D"), Tensor(output, "B T D"), bias=offsets["out"])
    return (
        fuse("mamba_in_proj", into, kind="matmul"),
        causal_convolution("convolution", before, _X, step=step, bias=conv_bias),
        *selective_projections(norms=norms),
        selective_scan(step=step),
        out,
    )
