"""Multi-head latent attention: keys and values are kept as one latent of rank R per token, and J rotated elements.

The formula, expanded: ``k[B S K H], v[B S K U] = latent[B S R] w_k_up[R K H], w_v_up[R K U]``, then attention over K
heads of H + J. Absorbed: ``q[B T K R] = q[B T K H] w_k_up[R K H]``, attention of all heads over the one latent, and
``context[B T K U] = context[B T K R] w_v_up[R K U]``. Both give the same numbers; expanded is less work for many new
tokens, absorbed for one, which then reads R + J elements per token of context, whatever K is.

Sparse, each query attends to W keys alone, which a lightning indexer picks: ``index[B T S] = sum over n of
gate[B T n] relu(q[B T n d] k[B S d])``, n small heads that share one cached key of width d a token. The work of
attention then grows with W, that of the indexer with the context.
"""

from __future__ import annotations

from roofline.layers.attention import (
    ROTARY_FLOPS,
    SOFTMAX_FLOPS,
    causal_pairs,
    kept_in_chunk,
    window_keys,
    window_pairs,
)
from roofline.layers.normalization import norm
from roofline.program.op import Count, Op, PerElement, Tensor, contract, elementwise, fuse, weight

_LATENT, _ROTATED = Tensor("latent_cache", "B S R", "kv_cache"), Tensor("k_rotary_cache", "B S J", "kv_cache")
_INDEX = Tensor("index_cache", "B S d", "kv_cache")
_PICKS = Tensor("picks", "B T W")
_Q, _Q_ROTATED = Tensor("q", "B T K H"), Tensor("q_rotary", "B T K J")


def latent_projections(
    *, query_latent: bool, bias: bool = False, source: str = "h", turned: bool = True
) -> tuple[Op, ...]:
    """Queries, by way of a normed latent of rank Q or not, and the cached latent and rotated part of the keys.

    Where it is not ``turned``, that part is a key that all heads share, without positions (Kimi Linear).

    >>> [op.name for op in latent_projections(query_latent=True)]
    ['q_down', 'q_latent_norm', 'q_up', 'kv_down', 'kv_latent_norm', 'rotary']
    >>> print(latent_projections(query_latent=False)[1])
    kv_down: h[B T D], w_kv_down[D R], w_k_rotary[D J] -> latent_cache[B T R], k_rotary_cache[B T J]

    Source: DeepSeek-V2 (arXiv 2405.04434), eq. 9 to 15.
    """
    h, latent, rotated = Tensor(source, "B T D"), _slice(_LATENT), _slice(_ROTATED)
    keys = fuse("kv_down", [_down(h, latent, "kv_down", bias), _down(h, rotated, "k_rotary", bias)], kind="matmul")
    turns = [
        elementwise(f"rotary_{x.name[0]}", [x], x, PerElement(ROTARY_FLOPS), linear=True) for x in (_Q_ROTATED, rotated)
    ]
    return (
        *_queries(h, query_latent, bias),
        keys,
        norm("kv_latent_norm", latent, latent, kind="rms", axis="R"),
        *([fuse("rotary", turns, kind="elementwise")] * turned),
    )


def indexer(*, square: bool = False, source: str = "h") -> tuple[Op, ...]:
    """The indexer of a layer, behind the latent of its queries: projections, scores of all keys, the W best of them.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTSDQJnd", symbols("B T S D Q J n d")))
    >>> [(op.name, op.flops(sizes | {"T": 1})) for op in indexer() if op.kind == "matmul"]
    [('index_q', 2*B*Q*d*n), ('index_k', 2*B*D*d), ('index_gate', 2*B*D*n), ('index_scores', 2*B*S*d*n + 2*B*S*n)]

    Assumes: one pass over the scores to pick, one comparison each; the cache in the dtype of keys and values, though
    DeepSeek's own kernels keep it in FP8 with one scale a key; in training, where a loss of its own teaches it, the
    gradient of that loss in place of one of the picks.
    Source: DeepSeek-V3.2-Exp report (2025), eq. 1 and 2; ``DeepseekV32Indexer`` of transformers.
    """
    pairs = None if square else causal_pairs
    h, key = Tensor(source, "B T D"), _slice(_INDEX)
    q, gates = Tensor("index_q", "B T n d"), Tensor("index_gates", "B T n")
    each, scores = Tensor("index_head_scores", "B T n S"), Tensor("index_scores", "B T S")
    turned = [
        elementwise(f"{name}_rotary", [x], x, PerElement(ROTARY_FLOPS, over=Tensor("turned", axes)), linear=True)
        for name, x, axes in (("index_q", q, "B T n J"), ("index_k", key, "B T J"))
    ]
    scored = [
        contract("index_products", q, _INDEX, each, pairs=pairs),
        elementwise("index_relu", [each], each, PerElement(1, pairs=pairs), function="relu"),
        contract("index_sum", gates, each, scores, pairs=pairs),
    ]
    pick = elementwise(
        "index_pick", [scores], _PICKS, PerElement(1, over=scores, pairs=pairs), kind="softmax", mixes="S"
    )
    return (
        contract("index_q", Tensor("q_latent", "B T Q"), weight("w_index_q", "Q n d"), q),
        contract("index_k", h, weight("w_index_k", "D d"), key),
        norm("index_k_norm", key, key, kind="layer", axis="d"),
        fuse("index_rotary", turned, kind="elementwise"),
        contract("index_gate", h, weight("w_index_gate", "D n"), gates),
        fuse("index_scores", scored, kind="matmul"),
        pick.rebound(W=kept_in_chunk),
    )


def latent_attention(
    *, absorbed: bool, fused: bool = True, square: bool = False, picked: bool = False
) -> tuple[Op, ...]:
    """Causal attention over the cached latents, with the up-projections expanded before it or absorbed around it.

    ``picked``: each query sees the W keys that an indexer picked, as many pairs as under a window of W; scores that are
    materialised are those of all keys, masked. Its traffic is that of distinct keys: W, and one more for each further
    query.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTSKHJRU", symbols("B T S K H J R U")))
    >>> {op.name: op.flops(sizes | {"T": 1}) for op in latent_attention(absorbed=True)}
    {'k_absorb': 2*B*H*K*R, 'attention': 2*B*J*K*S + 4*B*K*R*S, 'v_up': 2*B*K*R*U}
    >>> {op.name: op.flops(sizes | {"T": 1}) for op in latent_attention(absorbed=False)}
    {'kv_up': 2*B*H*K*R*S + 2*B*K*R*S*U, 'attention': 2*B*H*K*S + 2*B*J*K*S + 2*B*K*S*U}

    Source: DeepSeek-V2 (arXiv 2405.04434), eq. 16 to 19 and section 2.1.2.
    """
    pairs = (window_pairs if picked else causal_pairs) if fused and not square else None
    k_up, v_up = weight("w_k_up", "R K H"), weight("w_v_up", "R K U")
    context = Tensor("context", "B T K U")
    if not absorbed:
        k, v = Tensor("k", "B S K H"), Tensor("v", "B S K U")
        up = [contract("k_up", _LATENT, k_up, k), contract("v_up", _LATENT, v_up, v)]
        return fuse("kv_up", up, kind="matmul"), *_core(_Q, k, v, context, pairs, fused, picked)
    q, mixed = Tensor("q_absorbed", "B T K R"), Tensor("latent_context", "B T K R")
    core = _core(q, _LATENT, _LATENT, mixed, pairs, fused, picked)
    return contract("k_absorb", _Q, k_up, q), *core, contract("v_up", mixed, v_up, context)


def latent_gate(*, source: str = "h") -> tuple[Op, Op]:
    """The projection of a score for each head, and what the heads say times its sigmoid (Ling 3.0).

    >>> [str(op) for op in latent_gate()][0]
    'attention_gate_proj: h[B T D], w_attention_gate[D K] -> attention_gate[B T K]'

    Assumes: the sigmoid is computed for each element, as kernels that fuse it do.

    Source: Qiu et al. 2025, Gated Attention for Large Language Models (arXiv 2505.06708), section 2.2;
    ``BailingHybridAttention`` of transformers.
    """
    gate, context = Tensor("attention_gate", "B T K"), Tensor("context", "B T K U")
    project = contract("attention_gate_proj", Tensor(source, "B T D"), weight("w_attention_gate", "D K"), gate)
    return project, elementwise("attention_gate", [gate, context], context, PerElement(3, special=1))


def latent_output_projection(*, bias: bool = False) -> Op:
    """The projection of the concatenated heads, U wide each, back to the hidden size.

    >>> print(latent_output_projection())
    out_proj: context[B T K U], w_out[K U D] -> a[B T D]

    Source: DeepSeek-V2 (arXiv 2405.04434), eq. 19.
    """
    offset = weight("b_out", "D") if bias else None
    return contract(
        "out_proj", Tensor("context", "B T K U"), weight("w_out", "K U D"), Tensor("a", "B T D"), bias=offset
    )


def _core(
    q: Tensor, k: Tensor, v: Tensor, context: Tensor, pairs: Count | None, fused: bool, picked: bool
) -> tuple[Op, ...]:
    """Scores, the sum of a part with and one without rotation, softmax, and the context."""
    s, p = Tensor("scores", "B K T S"), Tensor("probabilities", "B K T S")
    scores = [
        contract("scores_plain", q, k, s, pairs=pairs),
        contract("scores_rotary", _Q_ROTATED, _ROTATED, s, pairs=pairs),
    ]
    softmax = elementwise(
        "softmax",
        [s, *([_PICKS] if picked else [])],
        p,
        PerElement(SOFTMAX_FLOPS, special=1, pairs=pairs),
        kind="softmax",
        mixes="S",
    )
    last = contract("context", p, v, context, pairs=pairs)
    if fused:
        whole = fuse("attention", [*scores, softmax, last], kind="attention")
        return (whole.rebound(S=window_keys, W=kept_in_chunk) if picked and pairs else whole,)
    return fuse("scores", scores, kind="matmul"), softmax.rebound(W=kept_in_chunk) if picked else softmax, last


def _queries(h: Tensor, latent: bool, bias: bool) -> tuple[Op, ...]:
    if not latent:
        parts = [contract("q", h, weight("w_q", "D K H"), _Q), contract("r", h, weight("w_qr", "D K J"), _Q_ROTATED)]
        return (fuse("q_proj", parts, kind="matmul"),)
    low = Tensor("q_latent", "B T Q")
    parts = [contract("q", low, weight("w_q", "Q K H"), _Q), contract("r", low, weight("w_qr", "Q K J"), _Q_ROTATED)]
    return (
        _down(h, low, "q_down", bias),
        norm("q_latent_norm", low, low, kind="rms", axis="Q"),
        fuse("q_up", parts, kind="matmul"),
    )


def _down(h: Tensor, y: Tensor, name: str, bias: bool) -> Op:
    rank = y.letters[-1]
    return contract(name, h, weight(f"w_{name}", f"D {rank}"), y, bias=weight(f"b_{name}", rank) if bias else None)


def _slice(cache: Tensor) -> Tensor:
    """What the new tokens write of a cache."""
    return Tensor(cache.name, cache.axes.replace("S", "T"), "kv_cache", cache.axes)
