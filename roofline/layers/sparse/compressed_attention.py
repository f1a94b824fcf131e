"""Compressed sparse attention: a window of recent tokens, and one entry for each so many tokens of the whole context.

The formula: a compressor sums x tokens up to an entry, element by element, ``entry[B s H] = sum over the tokens of
softmax(gate + bias) kv``; K G heads attend to the window's tokens and to entries together, in one softmax with a sink.
There is one key a token or entry, which is the value too. Where x is small (4), entries overlap, two series b of each
token, and an indexer like that of latent attention picks e of them; where it is large (128), all are seen. A sequence
keeps W tokens, S / x entries, and the rows y of the window that is still open.

The output projection is low-rank: each of K groups of G heads to o elements, then all of them to the hidden size.
"""

from __future__ import annotations

from dataclasses import replace

from roofline.layers.attention import ROTARY_FLOPS, SOFTMAX_FLOPS, window_keys, window_pairs
from roofline.layers.normalization import norm
from roofline.number import Number, exact, floor_div, maximum, minimum
from roofline.program.axes import Binding, Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, Work, contract, elementwise, fuse, weight

_Q, _CONTEXT = Tensor("q", "B T K G H"), Tensor("context", "B T K G H")
_WINDOW = Tensor("window_cache", "B S H", "kv_cache")
_POOL_FLOPS = SOFTMAX_FLOPS + 3  # the bias, the product with the gate, the sum


def entries(sizes: Sizes) -> Number:
    """Compressed entries of a context of S tokens, one for each x tokens that are complete.

    >>> entries({"S": 11, "x": 4})
    2
    """
    return floor_div(size_of("S", sizes), size_of("x", sizes))


def mean_entries(sizes: Sizes, most: Number | None = None) -> Number:
    """Entries that each of the last T of S tokens sees, on average: those complete before it, ``most`` of them.

    The sum over tokens up to n is x q (q - 1) / 2 + q (r + 1), with q whole entries and r tokens besides.

    >>> float(mean_entries({"S": 8, "T": 8, "x": 4}))  # 0 0 0 1 1 1 1 2
    0.75
    >>> float(mean_entries({"S": 8, "T": 1, "x": 4}, most=1))
    1.0

    Source: ``DeepseekV4HCACompressor`` of transformers: the token at position t sees entries before (t + 1) / x.
    """
    tokens, length, rate = (size_of(letter, sizes) for letter in "TSx")

    def seen_up_to(last: Number) -> Number:
        kept = last if most is None else minimum(last, most * rate)
        whole = exact(floor_div(kept, rate))  # a Fraction, but an array where the workload is one
        below = rate * whole * (whole - 1) / 2 + whole * (kept - whole * rate + 1)
        return below if most is None else below + most * maximum(last - kept, kept - kept)

    return (seen_up_to(length) - seen_up_to(length - tokens)) / tokens


def _picked(sizes: Sizes) -> Number:
    return mean_entries(sizes, size_of("e", sizes))


def _distinct(sizes: Sizes) -> Number:
    """Entries that T tokens read between them: e, and one more for each further token."""
    return minimum(entries(sizes), size_of("e", sizes) + size_of("T", sizes) - 1)


def _completed(sizes: Sizes) -> Number:
    """Entries that T new tokens complete, on average."""
    return exact(size_of("T", sizes)) / size_of("x", sizes)


_GROWING: dict[str, Binding] = {"s": entries, "t": _completed}


def compressed_projections(*, source: str = "h") -> tuple[Op, ...]:
    """Queries by way of a normed latent, and the one key of a token, which is its value too.

    >>> [op.name for op in compressed_projections()]
    ['q_down', 'q_latent_norm', 'q_up', 'q_norm', 'kv_proj', 'kv_norm', 'rotary']

    Source: ``DeepseekV4Attention`` of transformers; DeepSeek-V4 report (2026), section 2.3.
    """
    h, low, key = Tensor(source, "B T D"), Tensor("q_latent", "B T Q"), Tensor("window_key", "B T H")
    kept = Tensor(_WINDOW.name, "B T H", "kv_cache", "B S H")
    turned = [
        elementwise("rotary_q", [_Q], _Q, PerElement(ROTARY_FLOPS, over=Tensor("turned", "B T K G J"))),
        elementwise("rotary_k", [key], kept, PerElement(ROTARY_FLOPS, over=Tensor("turned", "B T J"))),
    ]
    return (
        contract("q_down", h, weight("w_q_down", "D Q"), low),
        norm("q_latent_norm", low, low, kind="rms", axis="Q"),
        contract("q_up", low, weight("w_q", "Q K G H"), _Q),
        norm("q_norm", _Q, _Q, kind="rms_bare", axis="H"),
        contract("kv_proj", h, weight("w_kv", "D H"), key),
        norm("kv_norm", key, key, kind="rms", axis="H"),
        fuse("rotary", turned, kind="elementwise").rebound(S=window_keys),
    )


def compressor(*, step: bool, width: str = "H", cache: str = "compressed", source: str = "h") -> tuple[Op, ...]:
    """The projections of a compressor, b series of a value and of a gate for each token, and what sums them to entries.

    ``width``: the letter of an entry's width; ``cache``: what the entries are called. A ``step`` of decode goes on from
    the rows of the open window, y of them, which are read once for each entry.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDHbx", symbols("B T D H b x")))
    >>> [(op.name, op.flops(sizes)) for op in compressor(step=True)]
    [('compressed_proj', 4*B*D*H*T*b), ('compressed_pool', 0)]

    Assumes: entries complete evenly over the tokens; the open window is kept in the dtype of states, fp32 in DeepSeek's
    own code; the rotation of an entry counts for its whole width.
    Source: ``DeepseekV4CSACompressor`` and ``DeepseekV4HCACompressor`` of transformers; DeepSeek-V4 report (2026),
    eq. 9 to 12 and 20 to 23; rows of the open window: the model.py published with DeepSeek-V4.
    """
    h, entry = Tensor(source, "B T D"), Tensor(f"{cache}_cache", f"B t {width}", "kv_cache", f"B s {width}")
    parts = [Tensor(f"{cache}_{part}", f"B T b {width}") for part in ("kv", "gate")]
    into = [contract(x.name, h, weight(f"w_{x.name}", f"D b {width}"), x) for x in parts]
    held = f"B y b {width}"
    before = [Tensor(f"{x.name}_rows", f"B t y b {width}", "state", held) for x in parts] * step
    after = [Tensor(f"{x.name}_rows", f"B T b {width}" if step else held, "state", held) for x in parts]
    bias, gain = weight(f"{cache}_position_bias", f"x b {width}"), weight(f"{cache}_norm_gain", width)
    work = (
        Work("vector", _POOL_FLOPS, ("B", "T", "b", width)),
        Work("special", 1, ("B", "T", "b", width)),
        Work("vector", 4 + ROTARY_FLOPS, ("B", "t", width)),
    )
    pool = Op(f"{cache}_pool", "elementwise", (*parts, *before, bias, gain), (entry, *after), work, _GROWING, mixes="T")
    return fuse(f"{cache}_proj", into, kind="matmul"), pool


def entry_indexer(*, step: bool, square: bool = False, source: str = "h") -> tuple[Op, ...]:
    """The indexer of a layer: a compressor of its own, d wide, scores of all entries, the e best of them.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTDQndbxSye", symbols("B T D Q n d b x S y e")))
    >>> [op.name for op in entry_indexer(step=True)][2:]
    ['index_q', 'index_rotary', 'index_gate', 'index_scores', 'index_pick']

    Assumes: one pass over the scores to pick, one comparison each.
    Source: ``DeepseekV4Indexer`` of transformers; DeepSeek-V4 report (2026), eq. 13 to 17.
    """
    h, q, gates = Tensor(source, "B T D"), Tensor("index_q", "B T n d"), Tensor("index_gates", "B T n")
    each, scores = Tensor("index_head_scores", "B T n k"), Tensor("index_scores", "B T k")
    keys = Tensor("index_entry_cache", "B s d", "kv_cache")
    products = Op("index_products", "matmul", (q, keys), (each,), (Work("matrix", 2, tuple("BTndk")),))
    summed = elementwise("index_sum", [each, gates], scores, PerElement(3, over=each))
    seen: dict[str, Binding] = {"s": entries, "k": entries if square else mean_entries}
    pick = elementwise(
        "index_pick", [scores], Tensor("picks", "B T e"), PerElement(1, over=scores), kind="softmax", mixes="k"
    )
    turned = PerElement(ROTARY_FLOPS, over=Tensor("turned", "B T n J"))
    return (
        *compressor(step=step, width="d", cache="index_entry", source=source),
        contract("index_q", Tensor("q_latent", "B T Q"), weight("w_index_q", "Q n d"), q),
        elementwise("index_rotary", [q], q, turned, linear=True),
        contract("index_gate", h, weight("w_index_gate", "D n"), gates),
        fuse("index_scores", [products, summed], kind="matmul").rebound(**seen),
        pick.rebound(k=seen["k"], e=_fewer),
    )


def _fewer(sizes: Sizes) -> Number:
    return minimum(entries(sizes), size_of("e", sizes))


def compressed_attention(
    *, compressed: bool, picked: bool = False, fused: bool = True, square: bool = False
) -> tuple[Op, ...]:
    """Attention of all heads over the window and, if ``compressed``, over entries, those ``picked`` or all of them.

    Scores that are materialised are those of all entries, masked.

    >>> from sympy import symbols
    >>> (op,) = compressed_attention(compressed=True, picked=True)
    >>> sizes = {"B": 1, "T": 1, "S": 4000, "W": 128, "x": 4, "e": 512, "K": 8, "G": 8, "H": 512}
    >>> op.flops(sizes) == 4 * 64 * 512 * (128 + 512)
    True

    Source: ``DeepseekV4Attention`` of transformers; DeepSeek-V4 report (2026), section 2.3; sinks: Xiao et al. 2023
    (arXiv 2309.17453).
    """
    pairs = window_pairs if fused and not square else None
    s, p = Tensor("scores", "B K G T S"), Tensor("probabilities", "B K G T S")
    far, far_p = Tensor("entry_scores", "B K G T k"), Tensor("entry_probabilities", "B K G T k")
    keys, work = Tensor("compressed_cache", "B s H", "kv_cache"), (Work("matrix", 2, tuple("BTKGHk")),)
    softmax = PerElement(SOFTMAX_FLOPS, special=1)
    sinks, chosen = weight("sinks", "K G"), [Tensor("picks", "B T e")] * picked
    scored = [contract("window_scores", _Q, _WINDOW, s, pairs=pairs)]
    weighed = [
        elementwise(
            "window_softmax", [s, sinks], p, PerElement(SOFTMAX_FLOPS, 1, pairs=pairs), kind="softmax", mixes="S"
        )
    ]
    summed = [contract("window_context", p, _WINDOW, _CONTEXT, pairs=pairs)]
    bound: dict[str, Binding] = {"S": window_keys}
    if compressed:
        scored.append(Op("entry_scores", "matmul", (_Q, keys), (far,), work))
        weighed.append(elementwise("entry_softmax", [far, *chosen], far_p, softmax, kind="softmax", mixes="k"))
        summed.append(Op("entry_context", "matmul", (far_p, keys), (_CONTEXT,), work))
        bound |= {"s": _distinct if picked and pairs else entries, "k": entries}
        if pairs:
            bound["k"] = _picked if picked else mean_entries
        if picked:
            bound["e"] = _fewer
    if fused:
        whole = fuse("attention", [*scored, *weighed, *summed], kind="attention").rebound(**bound)
        return (whole if compressed else replace(whole, mask="sliding"),)
    kinds = (("scores", scored, "matmul"), ("softmax", weighed, "softmax"), ("context", summed, "matmul"))
    return tuple(fuse(name, ops, kind=kind).rebound(**bound) for name, ops, kind in kinds)


def grouped_output() -> tuple[Op, ...]:
    """What the heads say, turned back by its position, each group projected to o elements, and all to the hidden size.

    >>> from sympy import symbols
    >>> sizes = dict(zip("BTKGHDo", symbols("B T K G H D o")))
    >>> [(op.name, op.flops(sizes)) for op in grouped_output()]
    [('context_rotary', 0), ('out_down', 2*B*G*H*K*T*o), ('out_proj', 2*B*D*K*T*o)]

    Source: ``DeepseekV4GroupedLinear`` of transformers; DeepSeek-V4 report (2026), section 2.3.1.
    """
    low, turned = Tensor("out_latent", "B T K o"), PerElement(ROTARY_FLOPS, over=Tensor("turned", "B T K G J"))
    return (
        elementwise("context_rotary", [_CONTEXT], _CONTEXT, turned, linear=True),
        contract("out_down", _CONTEXT, weight("w_out_down", "K G H o"), low),
        contract("out_proj", low, weight("w_out", "K o D"), Tensor("a", "B T D")),
    )
