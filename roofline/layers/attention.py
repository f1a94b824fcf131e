"""Attention: projections, scores, softmax, context.

The formula: ``scores[B K G T S] = q[B T K G H] k[B S K H]`` and ``context[B T K G H] = p[B K G T S] v[B S K H]``,
2 B K G H T S FLOPs each, with the attended pairs in place of T S under a mask. K key/value heads serve G query heads
each: G = 1 is multi-head, K = 1 multi-query, anything between grouped-query attention, and none of them is a branch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

from roofline.classes import frozen
from roofline.layers.normalization import Norm, norm
from roofline.number import Number, ceil_div, exact, maximum, minimum
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, PerElement, Role, Tensor, contract, elementwise, fuse, weight

SOFTMAX_FLOPS = 5  # scale, running maximum, subtract, sum, divide; the exponential is special work
_ALIBI_FLOPS = 2  # slope times distance, added to the score
_CAP_FLOPS = 2  # divide, multiply; the tanh between them is special work
_PICK_FLOPS = 2  # a scale and a sum
ROTARY_FLOPS = 3  # two multiplications and an addition

_HEADS = "B T K G H"

Mask: TypeAlias = Literal["causal", "sliding", "chunked", "local", "full"]


def causal_pairs(sizes: Sizes) -> Number:
    """Attended (query, key) pairs under a causal mask: each of the last T of S positions sees itself and all before it.

    >>> causal_pairs({"T": 3, "S": 3})  # 1 + 2 + 3
    6.0
    >>> from sympy import symbols
    >>> T, S = symbols("T S")
    >>> causal_pairs({"T": T, "S": S})
    S*T - T*(T - 1)/2
    """
    queries, keys = size_of("T", sizes), size_of("S", sizes)
    return queries * keys - queries * (queries - 1) / 2


def window_keys(sizes: Sizes) -> Number:
    """Keys that the last T of S positions reach, each itself and the W - 1 before it: what S is under a window.

    >>> window_keys({"T": 1, "S": 100, "W": 16}), window_keys({"T": 4, "S": 100, "W": 16})
    (16, 19)
    """
    return minimum(size_of("S", sizes), size_of("W", sizes) + size_of("T", sizes) - 1)


def window_pairs(sizes: Sizes) -> Number:
    """Attended pairs under a causal mask and a window: each of the last T of S positions sees at most W.

    The causal pairs, less the n(n+1)/2 that a window cuts off n positions beyond it.

    >>> window_pairs({"T": 5, "S": 5, "W": 2})  # 1 + 2 + 2 + 2 + 2
    9.0
    >>> from sympy import symbols
    >>> T, S, W = symbols("T S W", positive=True)
    >>> window_pairs({"T": 1, "S": S, "W": S}), window_pairs({"T": T, "S": T, "W": T})
    (S, T**2 - T*(T - 1)/2)

    Source: Beltagy et al. 2020, Longformer (arXiv 2004.05150), section 3.1; Mistral 7B (arXiv 2310.06825), section 2.
    """
    queries, keys, window = (size_of(letter, sizes) for letter in "TSW")
    last, before = (maximum(length - window, exact(0)) for length in (keys, keys - queries))
    return causal_pairs(sizes) - last * (last + 1) / 2 + before * (before + 1) / 2


def chunk_keys(sizes: Sizes) -> Number:
    """Keys that the last T of S positions reach when each sees its own chunk of W positions up to itself.

    >>> chunk_keys({"T": 1, "S": 10, "W": 8}), chunk_keys({"T": 3, "S": 10, "W": 8})
    (2, 10)

    Source: Llama 4 model card, chunked attention; its published code.
    """
    queries, keys, chunk = (size_of(letter, sizes) for letter in "TSW")
    return keys - chunk * (ceil_div(keys - queries + 1, chunk) - 1)


def chunk_pairs(sizes: Sizes) -> Number:
    """Attended pairs of the last T of S positions within their chunks of W: whole triangles and the last one's part.

    >>> chunk_pairs({"T": 10, "S": 10, "W": 8})  # 36 in the first chunk, 1 + 2 in the second
    39.0
    """
    queries, keys, chunk = (size_of(letter, sizes) for letter in "TSW")

    def up_to(length: Number) -> Number:
        whole = ceil_div(length, chunk) - 1
        rest = length - whole * chunk
        return (whole * chunk * (chunk + 1) + rest * (rest + 1)) / 2

    return up_to(keys) - up_to(keys - queries)


def kept_in_chunk(sizes: Sizes) -> Number:
    """Tokens whose keys and values a chunked layer has room for: one chunk, or the whole sequence if it is shorter."""
    return minimum(size_of("S", sizes), size_of("W", sizes))


def local_pairs(sizes: Sizes) -> Number:
    """Attended pairs where each of T tokens sees itself and W/2 on either side, as far as there are so many.

    >>> local_pairs({"T": 5, "W": 2})  # 2 + 3 + 3 + 3 + 2
    13.0
    >>> local_pairs({"T": 5, "W": 8})  # all
    25.0

    Source: Beltagy et al. 2020, Longformer (arXiv 2004.05150), section 3.1; ModernBERT (arXiv 2412.13663), section 2.1.
    """
    tokens, window = size_of("T", sizes), size_of("W", sizes)
    cut = maximum(tokens - 1 - window / 2, exact(0))
    return tokens * tokens - cut * (cut + 1)


_PAIRS = {"causal": causal_pairs, "sliding": window_pairs, "chunked": chunk_pairs, "local": local_pairs}
POSITION_BIAS = Tensor("position_bias", "K G T S")


@frozen
class Scores:
    """What is added to the scores of attention, and what bounds them.

    ``alibi`` adds a slope times the distance, ``cap`` bounds them by a tanh, ``sinks`` are a trained score per head
    that only the sum of the softmax sees. ``position_bias`` adds what
    :func:`roofline.layers.relative_position.position_bias` wrote, the same for all sequences. ``picked`` are further
    scores, of distances, of which each pair takes one each, scales and adds it.
    """

    alibi: bool = False
    cap: bool = False
    sinks: bool = False
    position_bias: bool = False
    picked: tuple[Tensor, ...] = ()


PLAIN = Scores()


def attention(
    *,
    mask: Mask,
    fused: bool = True,
    square: bool = False,
    cached: bool = True,
    scores: Scores = PLAIN,
    cache: str = "",
    values: str = "H",
    windows: bool = False,
) -> tuple[Op, ...]:
    """Scaled dot-product attention, softmax(Q K^T / sqrt(H)) V.

    Fused, it is one operator that reads q, k, v and writes the context; a causal mask counts the attended pairs unless
    ``square``. Materialised (``fused=False``), scores and probabilities are stored and T S is computed.
    ``cached`` keys and values are a KV cache of S tokens, else activations. Under a ``sliding`` mask S is what
    :func:`window_keys` gives: whoever states the layer rebinds it; the same holds of :func:`chunk_keys` under a
    ``chunked`` mask. ``scores`` says what becomes of them before the softmax. ``cache`` tells the keys and values of a
    second attention from those of the first: ``cross_``. ``values``: the letter of a value's width, U where it is not
    a key's. ``windows``: the T tokens are windows side by side, each of which sees itself; S is what a token sees.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTSKGH", symbols("B T S K G H")))
    >>> (op,) = attention(mask="full")
    >>> op.flops(sizes)
    4*B*G*H*K*S*T
    >>> op.bytes(sizes, lambda tensor: 2)
    4*B*G*H*K*T + 4*B*H*K*S
    >>> [op.name for op in attention(mask="full", fused=False)]
    ['scores', 'softmax', 'context']

    Assumes: one pass over keys and values per step; 5 vector FLOPs and one exponential per attended pair.
    Source: Vaswani et al. 2017 (arXiv 1706.03762), eq. 1; fused: Dao et al. 2022, FlashAttention (arXiv 2205.14135);
    grouped: Ainslie et al. 2023 (arXiv 2305.13245); ALiBi: Press et al. 2021 (arXiv 2108.12409), section 3; capped
    scores: Gemma 2 (arXiv 2408.00118), section 2; sinks: Xiao et al. 2023 (arXiv 2309.17453).
    """
    pairs = _PAIRS.get(mask) if fused and not square else None
    work = (
        SOFTMAX_FLOPS
        + _ALIBI_FLOPS * scores.alibi
        + _CAP_FLOPS * scores.cap
        + scores.position_bias
        + _PICK_FLOPS * len(scores.picked)
    )
    q, c = Tensor("q", _HEADS), Tensor("context", f"B T K G {values}")
    k, _ = _keys_values("B S K H", cached, prefix=cache)
    _, v = _keys_values(f"B S K {values}", cached, f"B S K {values}", cache)
    s, p = Tensor("scores", "B K G T S"), Tensor("probabilities", "B K G T S")
    further = [weight("sinks", "K G")] * scores.sinks + [POSITION_BIAS] * scores.position_bias + list(scores.picked)
    parts = (
        contract("scores", q, k, s, pairs=pairs),
        elementwise(
            "softmax",
            [s, *further],
            p,
            PerElement(work, special=1 + scores.cap, pairs=pairs),
            kind="softmax",
            mixes="S",
        ),
        contract("context", p, v, c, pairs=pairs),
    )
    ops = tuple(map(_of_all_tokens, parts)) if windows else parts
    return (replace(fuse("attention", ops, kind="attention"), mask=mask),) if fused else ops


def _of_all_tokens(op: Op) -> Op:
    """An operator of windows, which reads the keys and values of all T tokens, a window's at a time."""
    reads = (replace(x, axes=x.axes.replace("S", "T")) if x.name in ("k", "v") else x for x in op.reads)
    return replace(op, reads=tuple(reads))


def projections(
    *,
    bias: bool = False,
    key_bias: bool = True,
    packed: bool = False,
    cached: bool = True,
    source: str = "h",
    held: str = "B S K H",
    made: str = "qkv",
    value: str = "H",
) -> tuple[Op, ...]:
    """The query, key and value projections; a cached key or value is written as a slice of B T K H.

    ``packed`` states them as one matmul, which reads its input once. ``held`` are the axes of the cache that stays.
    Without ``key_bias`` only queries and values have the ``bias``: one of the keys cancels in the softmax. ``made``:
    those that are projected: values may be made of the keys (:func:`value_norm`), and where a layer borrows the keys
    and values of another there are queries alone. ``value``: the letter of a value's width, U where it is not a key's.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDKGH", symbols("B T D K G H")))
    >>> [op.flops(sizes) for op in projections()]
    [2*B*D*G*H*K*T, 2*B*D*H*K*T, 2*B*D*H*K*T]
    >>> [op.name for op in projections(packed=True)]
    ['qkv_proj']

    Source: Vaswani et al. 2017 (arXiv 1706.03762), section 3.2.2.
    """
    h = Tensor(source, "B T D")
    k, _ = _keys_values("B T K H", cached, held)
    _, v = _keys_values(f"B T K {value}", cached, held if value == "H" else f"B S K {value}")
    outputs = (("q", "K G H", Tensor("q", _HEADS)), ("k", "K H", k), ("v", f"K {value}", v))
    ops = tuple(
        contract(
            f"{x}_proj",
            h,
            weight(f"w_{x}", f"D {axes}"),
            y,
            bias=weight(f"b_{x}", axes) if bias and (key_bias or x != "k") else None,
        )
        for x, axes, y in outputs
        if x in made
    )
    return (fuse("qkv_proj", ops, kind="matmul"),) if packed else ops


def factored_queries(*, source: str = "h") -> tuple[Op, ...]:
    """Queries by way of a normed latent of rank Q that all heads share; keys and values are projected as ever.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDQKGH", symbols("B T D Q K G H")))
    >>> [(op.name, op.flops(sizes)) for op in factored_queries() if op.kind == "matmul"]
    [('q_down', 2*B*D*Q*T), ('q_up', 2*B*G*H*K*Q*T)]

    Source: Step-3 (arXiv 2507.19427), section 3.1; multi-matrix factorization attention (arXiv 2412.19255), section 3.
    """
    low = Tensor("q_latent", "B T Q")
    return (
        contract("q_down", Tensor(source, "B T D"), weight("w_q_down", "D Q"), low),
        norm("q_latent_norm", low, low, kind="rms", axis="Q"),
        contract("q_up", low, weight("w_q", "Q K G H"), Tensor("q", _HEADS)),
    )


def query_key_norm(
    *, kind: Norm = "rms", per_head: bool = False, across: bool = False, cached: bool = True, keys: bool = True
) -> Op:
    """Normalisation of queries and keys before the rotation, in one kernel.

    One gain of H for all heads, or, ``per_head``, a gain for each element of each head. ``across``: the statistics are
    those of all heads together (OLMo 2), not of each. Without ``keys`` queries alone are normed.

    >>> print(query_key_norm())
    qk_norm: q[B T K G H], q_norm_gain[H], k_cache[B T K H], k_norm_gain[H] -> q[B T K G H], k_cache[B T K H]

    Source: Henry et al. 2020, Query-Key Normalization (arXiv 2010.04245); Qwen3 report (arXiv 2505.09388), section 2.
    """
    q, (k, _) = Tensor("q", _HEADS), _keys_values("B T K H", cached)
    gains = (("q", q, "K G H" if per_head else "H"), ("k", k, "K H" if per_head else "H"))
    norms = [norm(f"{name}_norm", x, x, kind=kind, axis=axes, mixes=axes if across else "H") for name, x, axes in gains]
    return fuse("qk_norm", norms if keys else norms[:1], kind="norm")


def value_norm(*, of_keys: bool = False, cached: bool = True) -> Op:
    """The norm of values, without a gain, in place, or ``of_keys``: of the keys as they were projected.

    >>> print(value_norm(of_keys=True))
    v_norm: k_cache[B T K H] -> v_cache[B T K H]

    Source: ``Gemma4TextAttention`` of transformers.
    """
    k, v = _keys_values("B T K H", cached)
    return norm("v_norm", k if of_keys else v, v, kind="rms_bare", axis="H")


def rotary(*, cached: bool = True, keys: bool = True) -> Op:
    """Rotary position embedding of queries and keys, or of queries alone, in one kernel, in place.

    >>> rotary().vector_flops({"B": 1, "T": 2, "K": 1, "G": 4, "H": 8})  # 3 per element of q and k
    240

    Assumes: the tables of sines and cosines (T H elements, the same for all layers) stay in cache and do not count; the
    whole head is rotated, also where a model rotates a part of it.
    Source: Su et al. 2021, RoFormer (arXiv 2104.09864), eq. 34.
    """
    q, (k, _) = Tensor("q", _HEADS), _keys_values("B T K H", cached)
    turned = (q, k) if keys else (q,)
    ops = [elementwise(f"rotary_{x.name[0]}", [x], x, PerElement(ROTARY_FLOPS), function="rotary") for x in turned]
    return fuse("rotary", ops, kind="elementwise")


def output_projection(*, bias: bool = False, value: str = "H") -> Op:
    """The projection of the concatenated heads, as wide as their values, back to the hidden size.

    >>> print(output_projection())
    out_proj: context[B T K G H], w_out[K G H D] -> a[B T D]

    Source: Vaswani et al. 2017 (arXiv 1706.03762), section 3.2.2.
    """
    offset = weight("b_out", "D") if bias else None
    context = Tensor("context", f"B T K G {value}")
    return contract("out_proj", context, weight("w_out", f"K G {value} D"), Tensor("a", "B T D"), bias=offset)


def _keys_values(axes: str, cached: bool, held: str = "B S K H", prefix: str = "") -> tuple[Tensor, Tensor]:
    """Keys and values: the slice written or the context read, of one cache by name."""
    role: Role = "kv_cache" if cached else "activation"
    stored = held if cached and axes != held else ""
    k, v = (Tensor(f"{prefix}{x}_cache" if cached else x, axes, role, stored) for x in "kv")
    return k, v
