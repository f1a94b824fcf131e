"""What a kernel moves: an operator's bytes, and those that it reads in vain or again."""

from __future__ import annotations

from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import AttentionShape, MatmulShape, RowShape, ScanShape
from roofline.number import Number, as_float
from roofline.timing.kernels.attention_tiles import new_bytes, query_bytes
from roofline.timing.kernels.work import spill_factor


def moved_bytes(cost: Cost, corrections: Corrections) -> Number:
    """Bytes that the kernel of an operator moves. [B]"""
    moved, shape = as_float(cost.bytes), cost.shape
    if isinstance(shape, ScanShape) and corrections.scan_chunks:
        states = as_float(shape.state_bytes)
        return corrections.scan_chunks.moved_bytes(moved - states, states)
    if isinstance(shape, AttentionShape):
        return moved + _attention_bytes(cost, shape, corrections)
    if isinstance(shape, MatmulShape) and (corrections.repack or corrections.extra_depth):
        return moved + _weights_again(shape, corrections) * as_float(shape.weight_bytes)
    if isinstance(shape, RowShape) and corrections.long_rows:
        again = corrections.long_rows.again(as_float(shape.row_bytes))
        return moved + again * as_float(shape.rows * shape.row_bytes)
    return moved


def _attention_bytes(cost: Cost, shape: AttentionShape, corrections: Corrections) -> Number:
    """What moves beside q, output and keys: a packed pass, the cache written, or keys read in vain. [B]"""
    if corrections.packed_pass:
        return corrections.packed_pass.extra_bytes(query_bytes(cost, shape), new_bytes(shape))
    if corrections.cache_write and not shape.bidirectional:
        return corrections.cache_write.traffic * new_bytes(shape)
    if corrections.extra_reads:
        return corrections.extra_reads.extra_bytes(as_float(shape.cache_bytes), as_float(shape.keys))
    return 0.0


def _weights_again(shape: MatmulShape, corrections: Corrections) -> Number:
    """The part of the weights' traffic that comes once more: packing, and prefetching anew. [x traffic]"""
    again: Number = 0.0
    if corrections.repack:
        again = corrections.repack.again(as_float(shape.rows)) * spill_factor(shape, corrections)
    if corrections.extra_depth:
        again = again + corrections.extra_depth.again(as_float(shape.depth))
    return again
