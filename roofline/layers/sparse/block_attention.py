"""Block-sparse attention: each query sees e blocks of x keys, its own block among them, which an indexer picks.

The formula: ``index[B T n S] = q[B T n d] k[B S d]``, n small heads that share one cached key of width d a token; the
best score of a block is the block's, and each head picks its e best blocks for the queries of one key/value head. The
work of attention then grows with e x, that of the indexer with the context.
"""

from __future__ import annotations

from roofline.layers.attention import ROTARY_FLOPS, SOFTMAX_FLOPS, attention, causal_pairs
from roofline.layers.normalization import norm
from roofline.number import Number, exact, floor_div, maximum, minimum
from roofline.program.axes import Binding, Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, Work, contract, elementwise, fuse, weight

_INDEX = Tensor("index_cache", "B S d", "kv_cache")


def mean_keys_in_blocks(sizes: Sizes) -> Number:
    """Keys that each of the last T of S tokens sees, on average: those of e blocks of x, its own up to itself.

    >>> mean_keys_in_blocks({"S": 6, "T": 6, "x": 2, "e": 2})  # 1 2 3 4 3 4
    Fraction(17, 6)

    Source: ``MiniMaxM3VLIndexer`` of transformers: the block of the query is always picked.
    """
    tokens, length, block, picked = (exact(size_of(letter, sizes)) for letter in "TSxe")

    def up_to(last: Number) -> Number:
        whole = minimum(last, block * picked)
        beyond = maximum(last - whole, whole - whole)
        blocks = floor_div(beyond, block)
        rest = beyond - blocks * block
        in_own = (blocks * block * (block + 1) + rest * (rest + 1)) / 2
        return whole * (whole + 1) / 2 + beyond * (picked - 1) * block + in_own

    return (up_to(length) - up_to(length - tokens)) / tokens


def _distinct(sizes: Sizes) -> Number:
    """Keys that T tokens read between them: e blocks, and one key more for each further token."""
    tokens, length, block, picked = (size_of(letter, sizes) for letter in "TSxe")
    return minimum(length, picked * block + tokens - 1)


def block_indexer(*, square: bool = False, source: str = "h") -> tuple[Op, ...]:
    """The indexer of a layer: queries and a key of width d, scores of all keys, the best e blocks for each head.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTSDnd", symbols("B T S D n d")))
    >>> [(op.name, op.flops(sizes | {"T": 1})) for op in block_indexer() if op.kind == "matmul"]
    [('index_q', 2*B*D*d*n), ('index_k', 2*B*D*d), ('index_scores', 2*B*S*d*n)]

    Assumes: one pass over the scores to find the best of each block, one comparison each; the cache in the dtype of
    keys and values; the whole head is rotated, also where a model rotates a part of it.
    Source: ``MiniMaxM3VLIndexer`` of transformers.
    """
    pairs = None if square else causal_pairs
    h, q, key = Tensor(source, "B T D"), Tensor("index_q", "B T n d"), Tensor(_INDEX.name, "B T d", "kv_cache", "B S d")
    scores, picks = Tensor("index_scores", "B T n S"), Tensor("block_picks", "B T n e")
    norms = [norm(f"index_{name}_norm", x, x, kind="rms", axis="d") for name, x in (("q", q), ("k", key))]
    turned = [
        elementwise(f"index_{name}_rotary", [x], x, PerElement(ROTARY_FLOPS), linear=True)
        for name, x in (("q", q), ("k", key))
    ]
    best = PerElement(1, over=scores, pairs=pairs)
    return (
        contract("index_q", h, weight("w_index_q", "D n d"), q),
        contract("index_k", h, weight("w_index_k", "D d"), key),
        fuse("index_norm", norms, kind="norm"),
        fuse("index_rotary", turned, kind="elementwise"),
        contract("index_scores", q, _INDEX, scores, pairs=pairs),
        elementwise("index_pick", [scores], picks, best, kind="softmax", mixes="S"),
    )


def block_attention(*, fused: bool = True, square: bool = False) -> tuple[Op, ...]:
    """Attention of grouped queries to the keys of the picked blocks; scores that are materialised are all, masked.

    >>> (op,) = block_attention()
    >>> sizes = {"B": 1, "T": 1, "S": 100_000, "K": 4, "G": 16, "H": 128, "x": 128, "e": 16}
    >>> op.flops(sizes) == 4 * 64 * 128 * (15 * 128 + 100_000 % 128)
    True

    Source: ``MiniMaxM3VLAttention`` of transformers.
    """
    if square or not fused:
        return attention(mask="causal", fused=fused, square=square)
    q, c = Tensor("q", "B T K G H"), Tensor("context", "B T K G H")
    k, v = (Tensor(f"{name}_cache", "B S K H", "kv_cache") for name in "kv")
    s, p = (Tensor(name, "B K G T k") for name in ("scores", "probabilities"))
    work = (Work("matrix", 2, tuple("BTKGHk")),)
    parts = (
        Op("scores", "matmul", (q, k), (s,), work),
        elementwise(
            "softmax",
            [s, Tensor("block_picks", "B T n e")],
            p,
            PerElement(SOFTMAX_FLOPS, special=1),
            kind="softmax",
            mixes="k",
        ),
        Op("context", "matmul", (p, v), (c,), work),
    )
    seen: dict[str, Binding] = {"S": _distinct, "k": mean_keys_in_blocks}
    return (fuse("attention", parts, kind="attention").rebound(**seen),)
