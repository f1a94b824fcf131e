"""How often an operator's FLOPs count: rows, keys and columns that its kernel computes in vain, or slowly."""

from __future__ import annotations

from roofline.calibration.corrections.experts import PairTiles
from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import AttentionShape, GroupedShape, MatmulShape
from roofline.number import Number, as_float
from roofline.timing.kernels.tiles import units_of
from roofline.timing.rates import Rates


def work_factor(cost: Cost, rates: Rates, corrections: Corrections) -> Number:
    """By how much a kernel's work takes longer than its FLOPs say."""
    shape = cost.shape
    if isinstance(shape, GroupedShape) and corrections.group_rows:
        return corrections.group_rows.factor(as_float(shape.groups), as_float(shape.rows))
    if isinstance(shape, GroupedShape) and corrections.pair_tiles:
        return _pair_factor(shape, rates, corrections.pair_tiles)
    if isinstance(shape, GroupedShape) and corrections.group_tail:
        return corrections.group_tail.factor(as_float(shape.groups), as_float(shape.rows))
    if isinstance(shape, MatmulShape):
        return spill_factor(shape, corrections) * _tail_factor(shape, rates, corrections)
    if isinstance(shape, AttentionShape):
        return _attention_factor(cost, shape, corrections)
    return 1.0


def _pair_factor(shape: GroupedShape, rates: Rates, tiles: PairTiles) -> Number:
    groups, rows, columns = (as_float(size) for size in (shape.groups, shape.rows, shape.columns))
    return tiles.factor(groups, rows, pair_tile(shape, tiles), columns, units_of(rates))


def pair_tile(shape: GroupedShape, tiles: PairTiles) -> Number:
    """Rows of a tile of a grouped matmul, which all pairs of the step choose."""
    return tiles.tile(as_float(shape.rows) * as_float(shape.spread) / as_float(shape.held))


def _attention_factor(cost: Cost, shape: AttentionShape, corrections: Corrections) -> Number:
    """How often the work of attention counts that is not timed in tiles of queries."""
    factor: Number = 1.0
    if corrections.extra_keys or corrections.key_block:
        factor = _computed(as_float(cost.flops), shape, corrections) / as_float(cost.flops)
    if corrections.masked_work:
        factor = factor * corrections.masked_work.factor(bidirectional=shape.bidirectional)
    return factor


def width_factor(shape: AttentionShape, corrections: Corrections) -> Number:
    """How often the FLOPs of a head count, by its width and by the pass."""
    factor: Number = 1
    for width in (corrections.head_padding, corrections.slow_width, corrections.kernel_widths):
        if width:
            factor = factor * width.factor(as_float(shape.head_dim))
    if corrections.backward_work:
        factor = factor * corrections.backward_work.factor(backward=shape.backward)
    return factor


def spill_factor(shape: MatmulShape, corrections: Corrections) -> Number:
    """How often the work of a matmul, and the packing of its weights, count for its wide output."""
    return corrections.spill_columns.factor(as_float(shape.columns)) if corrections.spill_columns else 1.0


def _tail_factor(shape: MatmulShape, rates: Rates, corrections: Corrections) -> Number:
    """How often the work of a matmul counts for its last tiles."""
    if corrections.tail is None:
        return 1.0
    rows, columns, depth = (as_float(size) for size in (shape.rows, shape.columns, shape.depth))
    return corrections.tail.factor(rows, columns, depth, rates.unit_count)


def _computed(attended: Number, shape: AttentionShape, corrections: Corrections) -> Number:
    """FLOPs of attention with what it computes in vain, where those of the attended pairs are ``attended``."""
    each = as_float(shape.queries * shape.pair_flops)
    flops = attended
    if corrections.key_block:
        flops = corrections.key_block.computed_flops(attended, each, as_float(shape.keys))
    if corrections.extra_keys:
        flops = flops + corrections.extra_keys.extra_flops(each)
    return flops
