"""Fused attention spread over units: tiles of queries in prefill and encoders, blocks of heads in decode."""

from __future__ import annotations

from roofline.calibration.constants import Constants
from roofline.calibration.corrections.attention_by_library import QueryTiles, half_hidden
from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import AttentionShape
from roofline.number import Number, as_float, floor_div, maximum, minimum
from roofline.timing.kernels.tiles import units_of
from roofline.timing.kernels.work import width_factor
from roofline.timing.rates import Rates


def tiles_s(cost: Cost, shape: AttentionShape, rates: Rates, constants: Constants) -> tuple[Number, Number]:
    """Seconds of attention in tiles of queries, the softmax half hidden behind the matmuls; and what of them is work.

    A tile computes all of its rows, however few are queries, and under a window the keys of all of them.
    """
    corrections = constants.corrections
    tiles = corrections.query_tiles
    assert tiles is not None
    heads, queries, groups, head_dim = _floats(shape.heads, shape.queries, shape.groups, shape.head_dim)
    pairs = as_float(cost.flops) / (4 * head_dim)  # of all heads and sequences
    pair_s = _work_s(cost, shape, rates, constants) / pairs
    ragged = _ragged(shape, tiles, corrections)
    keys = pairs / (heads * queries) + ragged
    count, rows = tiles.count(heads, queries, groups, head_dim), tiles.rows_of(head_dim)
    units = units_of(rates)
    if corrections.key_time:  # of kernels in 16 bits: in fp32 a vector unit may take longer
        pair_s = maximum(corrections.key_time.seconds(head_dim) / (rows * units), pair_s)
    if corrections.spilled_tiles:
        pair_s = half_hidden(pair_s, corrections.spilled_tiles.seconds(head_dim, units, rates.cycles_per_s))
    longest = _longest(shape) + ragged
    work = (count * rows * keys * pair_s, count, rows * longest * pair_s * units, units)
    return tiles.seconds(*work), tiles.work_s(*work)


def blocks_s(shape: AttentionShape, rates: Rates, corrections: Corrections) -> Number:
    """Seconds that the blocks of a decode kernel cost beside their work and traffic."""
    blocks, alone = corrections.decode_blocks, corrections.head_blocks
    if blocks is None:
        return 0.0
    batch, kv_heads, groups, heads = _floats(shape.batch, shape.kv_heads, shape.groups, shape.heads)
    units, shared = units_of(rates), blocks.count(batch, kv_heads, groups)
    if corrections.unsplit and not shape.latent:
        apart = corrections.unsplit.alone(groups, as_float(shape.windowed))
        shared = apart * heads + (1 - apart) * shared
    if corrections.key_time and corrections.key_tiles and corrections.key_split:
        return _keys_in_turn(shape, shared, units, corrections)
    if alone is None:
        return blocks.seconds(shared, units)
    apart = alone.alone(groups)
    return apart * alone.each * heads / units + (1 - apart) * blocks.seconds(shared, units)


def _keys_in_turn(shape: AttentionShape, count: Number, units: Number, corrections: Corrections) -> Number:
    """Seconds of so many blocks, each of which goes through its keys: all units busy, or one block alone."""
    blocks, split = corrections.decode_blocks, corrections.key_split
    tiles, key = corrections.key_tiles, corrections.key_time
    assert blocks is not None
    assert split is not None
    assert tiles is not None
    assert key is not None
    keys, width = as_float(shape.keys), as_float(shape.head_dim)
    before = maximum(as_float(shape.context) - keys, 0.0)
    cut, cuts = minimum(before, 1.0), split.cuts(count)
    whole, parts, context = tiles.of_block(keys, cut), split.tiles(keys, cut), split.tiles(keys + before, 0.0)
    key_s = cuts * split.each * width + (1.0 - cuts) * key.seconds(width)
    gone = cuts * parts * split.keys + (1.0 - cuts) * whole
    own = cuts * split.own(parts, context) + (1.0 - cuts) * whole
    busy = count * (1.0 + cuts * (split.segments_of(context) - 1.0))
    spread = (count * gone * key_s + busy * blocks.each) / units
    alone = blocks.each + own * key_s
    searched = _searched_s(shape, blocks.rows, 1.0 + cuts * (split.segments - 1.0), units, corrections)
    return searched + half_hidden(spread, alone)


def _window_cuts(shape: AttentionShape) -> Number:
    """1 where there are more keys than a window spans; else 0."""
    keys, window = _floats(shape.keys, shape.window)
    return minimum(maximum(keys - window, 0.0), 1.0) * as_float(shape.windowed)


def _searched_s(
    shape: AttentionShape, rows: Number, segments: Number, units: Number, corrections: Corrections
) -> Number:
    """Seconds in which blocks of so many rows, each cut into segments, look for their sequences."""
    if corrections.block_search is None:
        return 0.0
    batch, queries, kv_heads, groups = _floats(shape.batch, shape.queries, shape.kv_heads, shape.groups)
    together = maximum(floor_div(rows, groups), 1.0)
    launched = corrections.block_search.launched(batch * queries, batch, together, kv_heads)
    return corrections.block_search.seconds(launched * segments, batch, units)


def heads_alone_s(shape: AttentionShape, rates: Rates, corrections: Corrections) -> Number:
    """Seconds of keys and values that query heads read by themselves in decode; 0 where they share the reading."""
    groups, cached = _floats(shape.groups, shape.cache_bytes)
    if again := corrections.head_blocks:
        seconds = again.again_s(cached * groups, units_of(rates), rates.cycles_per_s)
        return again.beyond(groups) * seconds
    if unsplit := corrections.unsplit:
        blocks, each = as_float(shape.readers), cached / as_float(shape.batch * shape.kv_heads)
        seconds = unsplit.seconds(each, blocks, units_of(rates), rates.cycles_per_s)
        return seconds if shape.latent else unsplit.alone(groups, as_float(shape.windowed)) * seconds
    return 0.0


def new_bytes(shape: AttentionShape) -> Number:
    """Of the keys and values, those of the new tokens. [B]"""
    queries, keys, cached = _floats(shape.queries, shape.keys, shape.cache_bytes)
    return cached * minimum(queries / keys, 1.0)


def query_bytes(cost: Cost, shape: AttentionShape) -> Number:
    """What the queries move; the output is as large. [B]"""
    return (as_float(cost.bytes) - as_float(shape.cache_bytes)) / 2


def _work_s(cost: Cost, shape: AttentionShape, rates: Rates, constants: Constants) -> Number:
    """Seconds of all attended pairs on all units: matmuls, and beside them what the softmax takes."""
    factor = width_factor(shape, constants.corrections)
    matmuls = as_float(cost.flops) * factor / (rates.contraction_unit(cost.dtype)[1] * constants.compute)
    softmax = as_float(cost.special) / rates.work_rate("special", "exp")
    return half_hidden(matmuls, softmax)


def _ragged(shape: AttentionShape, tiles: QueryTiles, corrections: Corrections) -> Number:
    """Keys that a tile computes beyond those that each of its queries sees: whole tiles, and where a window cuts."""
    edge, whole = corrections.window_edge, corrections.key_tiles
    if edge is None and whole is None:
        return 0.0
    cut, queries = _window_cuts(shape), as_float(shape.queries)
    tokens = minimum(tiles.rows_of(as_float(shape.head_dim)) / tiles.together(as_float(shape.groups)), queries)
    if whole is not None:
        return whole.ragged(queries, tokens, cut)
    assert edge is not None
    return cut * edge.extra_keys(tokens)


def _longest(shape: AttentionShape) -> Number:
    """The most keys that a query sees."""
    keys, window = _floats(shape.keys, shape.window)
    return keys - maximum(keys - window, 0.0) * as_float(shape.windowed)


def _floats(*counts: Number) -> tuple[Number, ...]:
    return tuple(as_float(count) for count in counts)
