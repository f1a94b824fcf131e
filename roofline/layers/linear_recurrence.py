"""The RG-LRU of Griffin: a recurrence of each channel by itself, its state one number per channel.

The formula: ``a = exp(-8 r softplus(rate))`` and ``h = a h + sqrt(1 - a^2) i x``, where the gates r and i are
projections of the channel's block of H: ``i[B T K U] = x[B T K H] w[K H U]``, U being H. Decode reads and writes B K H
elements of state.
"""

from __future__ import annotations

from roofline.layers.convolution import causal_convolution
from roofline.layers.feed_forward import Activation, activation
from roofline.program.op import Op, Tensor, Work, contract, fuse, weight

_X, _SIDE, _Y = (Tensor(f"lru_{part}", "B T K H") for part in ("x", "side", "y"))
_INPUT, _RECURRENCE = (Tensor(f"lru_{part}_gate", "B T K U") for part in ("input", "recurrence"))
_STATE = Tensor("lru_state", "B K H", "state")


def block_gates() -> Op:
    """The two gates of each channel, from the channels of its block, as one grouped matmul.

    >>> from sympy import symbols
    >>> block_gates().flops(dict(zip("BTKHU", symbols("B T K H U"))))
    4*B*H*K*T*U

    Source: De et al. 2024, Griffin (arXiv 2402.19427), eq. 1 and 2; blocks: RecurrentGemma's published code.
    """
    gates = [
        contract(name, _X, weight(f"w_{name}", "K H U"), gate, bias=weight(f"b_{name}", "K U"))
        for name, gate in (("input_gate", _INPUT), ("recurrence_gate", _RECURRENCE))
    ]
    return fuse("gates", gates, kind="matmul")


def linear_recurrence(*, step: bool) -> Op:
    """The recurrence over the tokens; a ``step`` of decode goes on from the state.

    FLOPs per channel and token: two sigmoids (4, 2 exponentials), the exponent (2), its exponential and that of its
    double (1), 1 - a^2 (1) and its root, two products with x, a h, a sum: 12, and 5 of the special unit.

    >>> from sympy import symbols
    >>> op = linear_recurrence(step=True)
    >>> op.vector_flops(dict(zip("BTKHU", symbols("B T K H U"))))
    12*B*H*K*T
    >>> [tensor.axes for tensor in op.reads + op.writes if tensor.role == "state"]
    ['B K H', 'B K H']

    Assumes: one pass; a prompt starts from an empty state; the state is kept in the dtype of the activations; devices
    that split the tokens gather them first.
    Source: De et al. 2024, Griffin (arXiv 2402.19427), section 2.4, eq. 3 and 4.
    """
    reads, before = (_X, _INPUT, _RECURRENCE, weight("rate", "K H")), [_STATE] * step
    work = (Work("vector", 12, tuple("BTKH")), Work("special", 5, tuple("BTKH")))
    update = Op("update", "scan", (*reads, *before), (_STATE,), work, mixes="T")
    return fuse("scan", [update, Op("read", "scan", (_STATE,), (_Y,))], kind="scan")


def recurrent_block(
    *, step: bool, function: Activation = "gelu", source: str = "h", output: str = "a"
) -> tuple[Op, ...]:
    """Griffin's recurrent block: two projections, one to a convolution and the recurrence, one to a gate; back to D.

    >>> [op.name for op in recurrent_block(step=False)]
    ['lru_in_proj', 'convolution', 'gates', 'scan', 'output_gate', 'lru_out_proj']

    Source: De et al. 2024, Griffin (arXiv 2402.19427), section 2.3 and figure 2.
    """
    h, before = Tensor(source, "B T D"), Tensor("lru_x_in", "B T K H")
    into = [
        contract(name, h, weight(f"w_{name}", "D K H"), y, bias=weight(f"b_{name}", "K H"))
        for name, y in (("lru_x", before), ("lru_side", _SIDE))
    ]
    out = weight("w_lru_out", "K H D")
    return (
        fuse("lru_in_proj", into, kind="matmul"),
        causal_convolution("convolution", before, _X, step=step, function=None),
        block_gates(),
        linear_recurrence(step=step),
        activation("output_gate", _SIDE, _Y, function, gate=_Y),
        contract("lru_out_proj", _Y, out, Tensor(output, "B T D"), bias=weight("b_lru_out", "D")),
    )
