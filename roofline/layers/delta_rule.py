"""The gated delta rule: a state of N x H per value head, which each token decays, corrects and reads.

The formula, per head: ``S = a S + k beta (v - k a S)`` and ``y = q S``: where linear attention adds k v to the state,
the delta rule adds what the state does not say of k already. K heads of queries and keys, N wide, serve G heads of
values each, H wide. A decode step does just that, on the vector unit, and reads and writes B K G N H elements of state,
however long the context is. A prompt goes chunk by chunk of W tokens: the corrections inside a chunk depend on each
other as a triangular system, ``gram[B K G T S] = beta k[B T K G N] k[B S K N]``, which is solved for values and keys;
the rest are matmuls with the state and attention without a softmax inside the chunk.

Kimi's delta attention decays each of the N channels of a key by itself: ``S = diag(a) S + ...``. Its decay and its gate
come by way of a rank R, its gate is a sigmoid, and each head of values has a key of its own (G = 1).
"""

from __future__ import annotations

from dataclasses import replace

from roofline.layers.attention import chunk_pairs
from roofline.layers.convolution import causal_convolution
from roofline.layers.feed_forward import Activation, activation
from roofline.layers.mamba2 import chunk_states, padded_pairs
from roofline.layers.normalization import norm
from roofline.number import Number
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Count, Op, PerElement, Tensor, Work, contract, elementwise, fuse, weight

_Q, _K = (Tensor(f"delta_{part}", "B T K N") for part in "qk")
_V, _Y, _GATE = (Tensor(f"delta_{part}", "B T K G H") for part in ("v", "y", "gate"))
_BETA, _DECAY = Tensor("delta_beta", "B T K G"), Tensor("delta_decay", "B T K G")
_STATE = Tensor("delta_state", "B K G N H", "state")
_RATES = (weight("dt_bias", "K G"), weight("a_log", "K G"))
_CHANNEL_DECAY = Tensor("delta_decay", "B T K N")
_CHANNEL_RATES = (weight("dt_bias", "K N"), weight("a_log", "K"))


def earlier_pairs(sizes: Sizes) -> Number:
    """Pairs of each token with those before it in its chunk: what a triangular system of ones on the diagonal holds.

    >>> earlier_pairs({"T": 10, "S": 10, "W": 8})  # 28 in the first chunk, 1 in the second
    29.0
    """
    return chunk_pairs(sizes) - size_of("T", sizes)


def chunked_delta_rule(*, square: bool = False, channels: bool = False) -> Op:
    """The scan of a prompt in chunks, in one kernel; ``channels`` decay each by itself.

    Per token and value head, with p pairs: gram 2 p N; solving 2 (p - 1) (N + H); what the state says of the keys, what
    it gives the queries, and what is written to it, 2 N H each; scores 2 p N, per key head; values within the chunk
    2 p H. Attended pairs p count, W of them if ``square``.

    >>> from sympy import expand, symbols
    >>> sizes = dict(zip("BTKGHNW", symbols("B T K G H N W", integer=True, positive=True)))
    >>> whole = {**sizes, "T": 7 * sizes["W"]}  # seven whole chunks
    >>> expand(chunked_delta_rule(square=True).flops(whole) / whole["T"])
    6*B*G*H*K*N + 4*B*G*H*K*W + 4*B*G*K*N*W + 2*B*K*N*W

    Assumes: one pass, states of chunks stay on chip; a prompt starts from an empty state, kept in the dtype of the
    activations; devices that split the tokens gather them first; the system is solved, and not inverted first as
    flash-linear-attention does (about W^2 / 3 more per token and value head); the decay of ``channels`` is multiplied
    into queries and keys before they are contracted, once a token.
    Source: Yang et al. 2024, Gated Delta Networks (arXiv 2412.06464), section 3; the triangular form: Yang et al.
    2024, Parallelizing Linear Transformers with the Delta Rule (arXiv 2406.06484), section 3.
    """
    pairs: Count = padded_pairs if square else chunk_pairs
    solved: Count = padded_pairs if square else earlier_pairs
    gram, s, p = Tensor("gram", "B K G T S"), Tensor("chunk_scores", "B K T S"), Tensor("decayed_scores", "B K G T S")
    key, rest = Tensor("scaled_keys", "B T K G N"), Tensor("corrections", "B T K G H")
    old_k, old_v, erased = (
        Tensor(_K.name, "B S K N"),
        Tensor("scaled_values", "B S K G H"),
        Tensor("erased_keys", "B T K G N"),
    )
    decay, rates = (_CHANNEL_DECAY, _CHANNEL_RATES) if channels else (_DECAY, _RATES)
    decayed = (
        (elementwise("decay_tokens", [_Q, decay], _Q, PerElement(3, special=2)),)
        if channels
        else (elementwise("decay_gram", [gram, decay], gram, PerElement(2, special=1, pairs=pairs)),)
    )
    masked = [s] if channels else [s, decay]
    parts = (
        *_unit_length(),
        elementwise(
            "gates", [_BETA, decay, *rates], decay, PerElement(6, special=3)
        ),  # sigmoid; softplus; times A; sum
        elementwise("scale_keys", [_K, _BETA], key, PerElement(1)),
        elementwise("scale_values", [_V, _BETA], Tensor(old_v.name, _V.axes), PerElement(1)),
        contract("gram", key, old_k, gram, pairs=pairs),
        *decayed,
        contract("solve_values", gram, old_v, rest, pairs=solved),
        contract("solve_keys", gram, Tensor(key.name, "B S K G N"), erased, pairs=solved),
        contract("write", _K, rest, _STATE),
        Op("pass_on", "scan", (_STATE,), (_STATE,), (Work("vector", 2, (), formula=chunk_states),), mixes="T"),
        contract("correct", erased, _STATE, rest),
        contract("between", _Q, _STATE, _Y),
        contract("scores", _Q, old_k, s, pairs=pairs),
        elementwise("mask", masked, p, PerElement(1, pairs=pairs)),
        contract("within", p, Tensor(rest.name, "B S K G H"), _Y, pairs=pairs),
    )
    return replace(fuse("scan", parts, kind="scan"), function="delta_rule").rebound(S="T")


def recurrent_delta_rule(*, channels: bool = False) -> Op:
    """The delta rule for one token, which goes on from the state; ``channels`` decay each by itself.

    FLOPs per element of the state: decay, what it says of the key (2), the correction (2), what it gives the query (2).

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTKGHN", symbols("B T K G H N")))
    >>> recurrent_delta_rule().vector_flops(sizes)
    7*B*G*H*K*N*T + 2*B*G*H*K*T + 6*B*G*K*T + 8*B*K*N*T
    >>> op = recurrent_delta_rule()
    >>> [tensor.axes for tensor in op.reads + op.writes if tensor.role == "state"]
    ['B K G N H', 'B K G N H']

    Source: Yang et al. 2024, Gated Delta Networks (arXiv 2412.06464), section 3; flash-linear-attention's
    fused_recurrent_gated_delta_rule.
    """
    element, value, head = tuple("BTKGNH"), tuple("BTKGH"), tuple("BTKN" if channels else "BTKG")
    decay, rates = (_CHANNEL_DECAY, _CHANNEL_RATES) if channels else (_DECAY, _RATES)
    update = Op(
        "update",
        "scan",
        (_K, _V, _BETA, decay, *rates, _STATE),
        (_STATE,),
        (Work("vector", 5, element), Work("vector", 2, value), Work("vector", 6, head), Work("special", 4, head)),
    )
    read = Op("read", "scan", (_Q, _STATE), (_Y,), (Work("vector", 2, element),))
    return replace(fuse("scan", [*_unit_length(), update, read], kind="scan"), function="delta_rule")


def _unit_length() -> tuple[Op, Op]:
    """Queries and keys divided by their lengths: square, sum, scale, and the root's scale for queries."""
    queries, keys = (elementwise(f"unit_{x.name[-1]}", [x], x, PerElement(4)) for x in (_Q, _K))
    return queries, keys


def norm_and_gate(function: Activation = "silu") -> Op:
    """The norm of each value head, H gains for all of them, and the gate silu(z) or sigmoid(z), in one kernel.

    >>> print(norm_and_gate())
    state_norm: delta_y[B T K G H], state_norm_gain[H], delta_gate[B T K G H] -> delta_y[B T K G H]

    Source: Yang et al. 2024, Gated Delta Networks (arXiv 2412.06464), section 3.4 and figure 1.
    """
    gate = activation("state_gate", _GATE, _Y, function, gate=_Y)
    return fuse("state_norm", [norm("state_norm", _Y, _Y, kind="rms", axis="H"), gate], kind="norm")


def gated_delta_net(*, step: bool, square: bool = False, source: str = "h", output: str = "a") -> tuple[Op, ...]:
    """The whole mixer: queries, keys, values and gate, beta and decay, convolution, scan, norm and gate, back to D.

    >>> [op.name for op in gated_delta_net(step=True)]
    ['qkvz_proj', 'beta_decay_proj', 'convolution', 'scan', 'state_norm', 'delta_out_proj']

    Source: Yang et al. 2024, Gated Delta Networks (arXiv 2412.06464), section 3.4 and figure 1; Qwen3-Next's published
    code.
    """
    h, after = Tensor(source, "B T D"), (_Q, _K, _V)
    before = [Tensor(f"{tensor.name}_in", tensor.axes) for tensor in after]
    convolved = [
        causal_convolution(f"{y.name}_convolution", x, y, step=step, bias=False)
        for x, y in zip(before, after, strict=True)
    ]
    return (
        fuse("qkvz_proj", [_project(h, tensor) for tensor in (*before, _GATE)], kind="matmul"),
        fuse("beta_decay_proj", [_project(h, tensor) for tensor in (_BETA, _DECAY)], kind="matmul"),
        fuse("convolution", convolved, kind="elementwise"),
        recurrent_delta_rule() if step else chunked_delta_rule(square=square),
        norm_and_gate(),
        contract("delta_out_proj", _Y, weight("w_delta_out", "K G H D"), Tensor(output, "B T D")),
    )


def kimi_delta_attention(
    *, step: bool, square: bool = False, ranked: bool = True, source: str = "h", output: str = "a"
) -> tuple[Op, ...]:
    """Kimi's delta attention: queries, keys and values, beta, decay and gate by way of a rank, scan, norm, back to D.

    Where they are not ``ranked``, decay and gate are projected by whole matrices (Ling 3.0).

    >>> [op.name for op in kimi_delta_attention(step=True)][:4]
    ['qkv_beta_proj', 'low_rank_proj', 'decay_proj', 'gate_proj']
    >>> print(kimi_delta_attention(step=True, ranked=False)[1])
    decay_proj: h[B T D], w_delta_decay[D K N] -> delta_decay[B T K N]

    Source: Kimi Linear (arXiv 2510.26692), section 3; ``KimiLinearDeltaAttention`` and ``BailingHybridDeltaAttention``
    of transformers.
    """
    h, after = Tensor(source, "B T D"), (_Q, _K, _V)
    before = [Tensor(f"{tensor.name}_in", tensor.axes) for tensor in after]
    convolved = [
        causal_convolution(f"{y.name}_convolution", x, y, step=step, bias=False)
        for x, y in zip(before, after, strict=True)
    ]
    low = [Tensor(f"delta_{part}_low", "B T R") for part in ("decay", "gate")]
    first = (fuse("low_rank_proj", [_project(h, tensor) for tensor in low], kind="matmul"),) if ranked else ()
    (decays, gates), axis = (low, "R") if ranked else ([h, h], "D")
    return (
        fuse("qkv_beta_proj", [_project(h, tensor) for tensor in (*before, _BETA)], kind="matmul"),
        *first,
        contract("decay_proj", decays, weight("w_delta_decay", f"{axis} K N"), _CHANNEL_DECAY),
        contract("gate_proj", gates, weight("w_delta_gate", f"{axis} K G H"), _GATE),
        fuse("convolution", convolved, kind="elementwise"),
        recurrent_delta_rule(channels=True) if step else chunked_delta_rule(square=square, channels=True),
        norm_and_gate("sigmoid"),
        contract("delta_out_proj", _Y, weight("w_delta_out", "K G H D"), Tensor(output, "B T D")),
    )


def _project(h: Tensor, y: Tensor) -> Op:
    name = y.name.removesuffix("_in")
    return contract(name, h, weight(f"w_{name}", f"D {' '.join(y.letters[2:])}"), y)
