"""What a kernel moves: an operator's bytes, and those that it reads in vain or again."""

from __future__ import annotations

from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import AttentionShape, MatmulShape, RowShape
from roofline.number import Number, as_float
from roofline.timing.kernels.attention_tiles import new_bytes, query_bytes
from roofline.timing.kernels.work import spill_factor


def moved_bytes(cost: Cost, corrections: Corrections) -> Number:
    """Bytes that the kernel of an operator moves. [B]"""
    moved, shape = as_float(cost.bytes), cost.shape
    if isinstance(shape, AttentionShape) and corrections.packed_pass:
        return moved + corrections.packed_pass.extra_bytes(query_bytes(cost, shape), new_bytes(shape))
    if isinstance(shape, AttentionShape) and corrections.cache_write:
        return moved + corrections.cache_write.traffic * new_bytes(shape)
    if isinstance(shape, AttentionShape) and corrections.extra_reads:
        return moved + corrections.extra_reads.extra_bytes(as_float(shape.cache_bytes), as_float(shape.keys))
    if isinstance(shape, MatmulShape) and (corrections.repack or corrections.extra_depth):
        return moved + _weights_again(shape, corrections) * as_float(shape.weight_bytes)
    if isinstance(shape, RowShape) and corrections.long_rows:
        again = corrections.long_rows.again(as_float(shape.row_bytes))
        return moved + again * as_float(shape.rows * shape.row_bytes)
    return moved


def _weights_again(shape: MatmulShape, corrections: Corrections) -> Number:
    """The part of the weights' traffic that comes once more: packing, and prefetching anew. [x traffic]"""
    again: Number = 0.0
    if corrections.repack:
        again = corrections.repack.again(as_float(shape.rows)) * spill_factor(shape, corrections)
    if corrections.extra_depth:
        again = again + corrections.extra_depth.again(as_float(shape.depth))
    return again
