"""Mamba-2: state-space duality, a scan whose decay is one number per head, so that a prompt is made of matmuls.

The formula, per head: ``h = exp(dt A) h + dt x b`` and ``y = c h + skip x``, where b and c, N wide, are shared by the G
heads of a group, as keys are by grouped queries: x is a value, b a key, c a query. A decode step does just that, on the
vector unit, and reads and writes B K G H N elements of state, however long the context is. A prompt goes chunk by
chunk of W tokens: attention without a softmax inside each chunk, ``scores[B K T S] = c[B T K N] b[B S K N]`` and
``y[B T K G H] = scores[B K G T S] x[B S K G H]``, and two matmuls with the state between them,
``state[B K G H N] = b[B T K N] x[B T K G H]`` and ``y[B T K G H] = c[B T K N] state[B K G H N]``.
"""

from __future__ import annotations

from dataclasses import replace

from roofline.layers.attention import chunk_pairs
from roofline.layers.convolution import causal_convolution
from roofline.layers.feed_forward import activation
from roofline.layers.normalization import norm
from roofline.number import Number, ceil_div
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Count, Op, PerElement, Tensor, Work, contract, elementwise, fuse, weight

_VALUES, _KEYS, _HEADS = "B T K G H", "B T K N", "B T K G"
_X, _Y, _GATE = (Tensor(f"ssm_{part}", _VALUES) for part in ("x", "y", "gate"))
_B, _C, _DT = Tensor("ssm_b", _KEYS), Tensor("ssm_c", _KEYS), Tensor("ssm_dt", _HEADS)
_STATE = Tensor("ssm_state", "B K G H N", "state")
_RATES = (weight("dt_bias", "K G"), weight("a_log", "K G"))
_SKIP = weight("skip", "K G")


def padded_pairs(sizes: Sizes) -> Number:
    """Pairs of all T tokens with their whole chunk of W, the last one filled up: what a kernel without a mask computes.

    >>> padded_pairs({"T": 10, "W": 8})
    128
    """
    chunk = size_of("W", sizes)
    return ceil_div(size_of("T", sizes), chunk) * chunk * chunk


def chunk_states(sizes: Sizes) -> Number:
    """Elements of the states of all chunks."""
    batch, tokens, groups, heads, width, state, chunk = (size_of(letter, sizes) for letter in "BTKGHNW")
    return ceil_div(tokens, chunk) * batch * groups * heads * width * state


def chunked_scan(*, square: bool = False) -> Op:
    """The scan of a prompt in chunks, in one kernel: within a chunk as attention, between chunks by the state.

    Within a chunk the attended pairs count, all pairs if ``square``.

    >>> from sympy import expand, symbols
    >>> sizes = dict(zip("BTKGHNW", symbols("B T K G H N W", integer=True, positive=True)))
    >>> whole = {**sizes, "T": 7 * sizes["W"]}  # seven whole chunks
    >>> expand(chunked_scan().flops(whole) / whole["T"])  # per token: the state twice, and (W + 1) / 2 pairs
    4*B*G*H*K*N + B*G*H*K*W + B*G*H*K + B*K*N*W + B*K*N
    >>> expand(chunked_scan(square=True).flops(whole) / whole["T"])
    4*B*G*H*K*N + 2*B*G*H*K*W + 2*B*K*N*W

    Assumes: one pass, states of chunks stay on chip (the published kernels write one per chunk to memory and read it
    again); a prompt starts from an empty state; the state is kept in the dtype of the activations, as mamba-ssm and
    vLLM do unless told otherwise; devices that split the tokens gather them first: that states may be handed on instead
    is not modelled. Vector FLOPs count decay, time step and skip.
    Source: Dao and Gu 2024, Transformers are SSMs (arXiv 2405.21060), section 6 and listing 1.
    """
    pairs: Count = padded_pairs if square else chunk_pairs
    decay, s, p = Tensor("decay", _HEADS), Tensor("chunk_scores", "B K T S"), Tensor("decayed_scores", "B K G T S")
    spread_b, spread_x = Tensor(_B.name, "B S K N"), Tensor(_X.name, "B S K G H")
    parts = (
        elementwise(
            "decay", [_DT, *_RATES], decay, PerElement(4, special=2)
        ),  # softplus; times A; summed up in the chunk
        elementwise("time_step", [_X, decay], _X, PerElement(2)),
        contract("state", _B, _X, _STATE),
        Op("pass_on", "scan", (_STATE,), (_STATE,), (Work("vector", 2, (), formula=chunk_states),), mixes="T"),
        contract("scores", _C, spread_b, s, pairs=pairs),
        elementwise(
            "mask", [s, decay], p, PerElement(2, special=1, pairs=pairs)
        ),  # exp of a difference, times the score
        contract("within", p, spread_x, _Y, pairs=pairs),
        contract("between", _C, _STATE, _Y),
        elementwise("skip", [_Y, _X, _SKIP], _Y, PerElement(4)),  # decay, sum, skip
    )
    return replace(fuse("scan", parts, kind="scan"), function="mamba2").rebound(S="T")


def recurrent_scan() -> Op:
    """The scan of one token, which goes on from the state.

    FLOPs per element of the state: decay, the product of x and b, their sum, and C h: 5.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTKGHN", symbols("B T K G H N")))
    >>> op = recurrent_scan()
    >>> op.vector_flops(sizes), op.flops(sizes)
    (5*B*G*H*K*N*T + 3*B*G*H*K*T + 3*B*G*K*T, 0)
    >>> [tensor.axes for tensor in op.reads + op.writes if tensor.role == "state"]
    ['B K G H N', 'B K G H N']

    Source: Dao and Gu 2024, Transformers are SSMs (arXiv 2405.21060), eq. 2; mamba-ssm's selective_state_update.
    """
    element = tuple("BTKGHN")
    update = Op(
        "update",
        "scan",
        (_X, _B, _DT, *_RATES, _STATE),
        (_STATE,),
        (Work("vector", 3, element), Work("vector", 1, tuple("BTKGH")), *_per_head()),
    )
    read = Op(
        "read", "scan", (_C, _STATE, _X, _SKIP), (_Y,), (Work("vector", 2, element), Work("vector", 2, tuple("BTKGH")))
    )
    return replace(fuse("scan", [update, read], kind="scan"), function="mamba2")


def _per_head() -> tuple[Work, Work]:
    """Softplus of the time step with its bias, its product with A, and the exponential of that."""
    return Work("vector", 3, tuple("BTKG")), Work("special", 3, tuple("BTKG"))


def gate_and_norm(*, normed: bool = True) -> Op:
    """The gate silu(z) and the norm of what the scan gave, group by group, in one kernel; some models have no norm.

    >>> print(gate_and_norm())
    state_norm: ssm_y[B T K G H], ssm_gate[B T K G H], state_norm_gain[K G H] -> ssm_y[B T K G H]

    Source: Dao and Gu 2024, Transformers are SSMs (arXiv 2405.21060), section 7.1 and figure 6.
    """
    gate = activation("state_gate", _GATE, _Y, "silu", gate=_Y)
    if not normed:
        return gate
    return fuse("state_norm", [gate, norm("state_norm", _Y, _Y, kind="rms", axis="K G H", mixes="G H")], kind="norm")


def mamba2(
    *,
    step: bool,
    bias: bool = False,
    out_bias: bool = False,
    conv_bias: bool = True,
    normed: bool = True,
    square: bool = False,
    source: str = "h",
    output: str = "a",
) -> tuple[Op, ...]:
    """The whole mixer: one projection to gate, x, b, c and time step, convolution, scan, gate and norm, back to D.

    >>> [op.name for op in mamba2(step=False)]
    ['ssm_in_proj', 'convolution', 'scan', 'state_norm', 'ssm_out_proj']

    Source: Dao and Gu 2024, Transformers are SSMs (arXiv 2405.21060), section 7.1 and figure 6.
    """
    h = Tensor(source, "B T D")
    before = [Tensor(f"{tensor.name}_in", tensor.axes) for tensor in (_X, _B, _C)]
    into = [_project(h, tensor, bias) for tensor in (_GATE, *before, _DT)]
    convolved = [
        causal_convolution(f"{after.name}_convolution", x, after, step=step, bias=conv_bias)
        for x, after in zip(before, (_X, _B, _C), strict=True)
    ]
    offset = weight("b_ssm_out", "D") if out_bias else None
    return (
        fuse("ssm_in_proj", into, kind="matmul"),
        fuse("convolution", convolved, kind="elementwise"),
        recurrent_scan() if step else chunked_scan(square=square),
        gate_and_norm(normed=normed),
        contract("ssm_out_proj", _Y, weight("w_ssm_out", "K G H D"), Tensor(output, "B T D"), bias=offset),
    )


def _project(h: Tensor, y: Tensor, bias: bool) -> Op:
    name, axes = y.name.removeprefix("ssm_"), " ".join(y.letters[2:])
    return contract(
        name, h, weight(f"w_ssm_{name}", f"D {axes}"), y, bias=weight(f"b_ssm_{name}", axes) if bias else None
    )
