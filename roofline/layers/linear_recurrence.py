"""The RG-LRU of Griffin: a recurrence of each channel by itself, its state one number per channel.

The formula: ``a = exp(-8 r softplus(rate))`` and ``h = a h + sqrt(1 - a^2) i x``, where the gates r and i are
projections of the channel's block of H: ``i[B T K U] = x[B T K H] w[K H U]``, U being H. Decode reads and writes B K H
elements of state.

And lightning attention, attention without a softmax, whose decay is one number per head: ``state = decay state + k v``
and ``y = q state``. A prompt goes chunk by chunk of W tokens, as Mamba-2's does: within a chunk as attention, between
chunks by the state of K heads of N x H elements.
"""

from __future__ import annotations

from dataclasses import replace

from roofline.layers.attention import chunk_pairs
from roofline.layers.convolution import causal_convolution
from roofline.layers.feed_forward import Activation, activation
from roofline.layers.mamba2 import chunk_states, padded_pairs
from roofline.layers.normalization import norm
from roofline.program.op import Count, Op, PerElement, Tensor, Work, contract, elementwise, fuse, weight

_X, _SIDE, _Y = (Tensor(f"lru_{part}", "B T K H") for part in ("x", "side", "y"))
_INPUT, _RECURRENCE = (Tensor(f"lru_{part}_gate", "B T K U") for part in ("input", "recurrence"))
_STATE = Tensor("lru_state", "B K H", "state")

_QUERY, _KEY = (Tensor(f"linear_{part}", "B T K N") for part in ("q", "k"))
_VALUE, _SAID, _GATE = (Tensor(f"linear_{part}", "B T K G H") for part in ("v", "y", "gate"))
_SUM = Tensor("linear_state", "B K G N H", "state")


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


def lightning_scan(*, square: bool = False) -> Op:
    """Lightning attention over a prompt in chunks, in one kernel; all pairs of a chunk count if ``square``.

    >>> from sympy import expand, symbols
    >>> sizes = dict(zip("BTKGHNW", symbols("B T K G H N W", integer=True, positive=True)))
    >>> whole = {**sizes, "T": 7 * sizes["W"]}  # seven whole chunks
    >>> expand(lightning_scan().flops(whole) / whole["T"])  # per token: the state twice, and (W + 1) / 2 pairs
    4*B*G*H*K*N + B*G*H*K*W + B*G*H*K + B*K*N*W + B*K*N

    Assumes: one pass, states of chunks stay on chip; powers of the decays are read from tables. It is timed as the scan
    of Mamba-2, which is the same matmuls.
    Source: Qin et al. 2024, Lightning Attention-2 (arXiv 2401.04658), algorithm 1; MiniMax-01 (arXiv 2501.08313),
    section 2.2.1.
    """
    pairs: Count = padded_pairs if square else chunk_pairs
    s, keys, values = Tensor("chunk_scores", "B K T S"), Tensor(_KEY.name, "B S K N"), Tensor(_VALUE.name, "B S K G H")
    parts = (
        elementwise("decay_keys", [_KEY], _KEY, PerElement(1)),
        contract("state", _KEY, _VALUE, _SUM),
        Op("pass_on", "scan", (_SUM,), (_SUM,), (Work("vector", 2, (), formula=chunk_states),), mixes="T"),
        contract("scores", _QUERY, keys, s, pairs=pairs),
        elementwise("mask", [s], s, PerElement(1, pairs=pairs)),
        contract("within", s, values, _SAID, pairs=pairs),
        contract("between", _QUERY, _SUM, _SAID),
        elementwise("decay_said", [_SAID], _SAID, PerElement(2)),
    )
    return replace(fuse("scan", parts, kind="scan"), function="mamba2").rebound(S="T")


def lightning_step() -> Op:
    """Lightning attention of one token, which goes on from the state.

    FLOPs per element of the state: decay, the product of key and value, their sum, and what it says of the query (2).

    >>> from sympy import symbols
    >>> op, sizes = lightning_step(), dict(zip("BTKGHN", symbols("B T K G H N")))
    >>> op.vector_flops(sizes), op.flops(sizes)
    (5*B*G*H*K*N*T, 0)

    Source: Qin et al. 2024, Lightning Attention-2 (arXiv 2401.04658), eq. 3.
    """
    element = tuple("BTKGHN")
    update = Op("update", "scan", (_KEY, _VALUE, _SUM), (_SUM,), (Work("vector", 3, element),))
    read = Op("read", "scan", (_QUERY, _SUM), (_SAID,), (Work("vector", 2, element),))
    return replace(fuse("scan", [update, read], kind="scan"), function="mamba2")


def lightning_attention(
    *, step: bool, square: bool = False, function: Activation = "silu", source: str = "h", output: str = "a"
) -> tuple[Op, ...]:
    """The whole mixer: queries, keys and values behind an activation, scan, a norm over all heads, a gate, back to D.

    >>> [op.name for op in lightning_attention(step=False)]
    ['linear_qkv_proj', 'linear_act', 'scan', 'state_norm', 'linear_gate_proj', 'state_gate', 'linear_out_proj']

    Source: MiniMax-01 (arXiv 2501.08313), section 2.2.1 and figure 3; ``MiniMaxLightningAttention`` of transformers.
    """
    h, read = Tensor(source, "B T D"), (_QUERY, _KEY, _VALUE)

    def project(y: Tensor) -> Op:
        return contract(y.name, h, weight(f"w_{y.name}", f"D {' '.join(y.letters[2:])}"), y)

    acts = [activation(f"{x.name}_act", x, x, function) for x in read]
    return (
        fuse("linear_qkv_proj", [project(x) for x in read], kind="matmul"),
        fuse("linear_act", acts, kind="elementwise"),
        lightning_step() if step else lightning_scan(square=square),
        norm("state_norm", _SAID, _SAID, kind="rms", axis="K G H", mixes="K G H"),
        replace(project(_GATE), name="linear_gate_proj"),
        activation("state_gate", _GATE, _SAID, "sigmoid", gate=_SAID),
        contract("linear_out_proj", _SAID, weight("w_linear_out", "K G H D"), Tensor(output, "B T D")),
    )
