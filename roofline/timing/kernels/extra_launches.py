"""What runs beside a kernel, and costs a launch of its own."""

from __future__ import annotations

from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import AttentionShape, GroupedShape, MatmulShape
from roofline.number import Number, as_float
from roofline.timing.kernels.tiles import units_of
from roofline.timing.rates import Rates


def launch_s(cost: Cost, rates: Rates, corrections: Corrections) -> Number:
    """The latency of the further kernels of an operator. [s]"""
    shape = cost.shape
    if corrections.quantize and cost.alone and isinstance(shape, MatmulShape):
        return corrections.quantize.latency
    if corrections.dispatch and isinstance(shape, GroupedShape):
        return corrections.dispatch.latency_s(as_float(shape.tokens), as_float(shape.experts))
    return _attention_s(shape, rates, corrections) if isinstance(shape, AttentionShape) else 0.0


def _attention_s(shape: AttentionShape, rates: Rates, corrections: Corrections) -> Number:
    """What is launched beside attention: a kernel that regroups queries, one that writes the cache, a reduction. [s]"""
    seconds: Number = 0.0
    if corrections.regroup:
        batch, kv_heads, groups, windowed = (
            as_float(count) for count in (shape.batch, shape.kv_heads, shape.groups, shape.windowed)
        )
        seconds = corrections.regroup.latency_s(batch, kv_heads, groups) * (1 - windowed)
    if corrections.key_growth:
        seconds = seconds + corrections.key_growth.latency_s(as_float(shape.keys))
    if corrections.key_split and corrections.decode_blocks:
        batch, kv_heads, groups = (as_float(count) for count in (shape.batch, shape.kv_heads, shape.groups))
        split = corrections.key_split
        seconds = seconds + split.cuts(corrections.decode_blocks.count(batch, kv_heads, groups)) * split.reduction
    if corrections.cache_write and not shape.bidirectional:
        tokens = as_float(shape.batch * shape.queries)
        seconds = seconds + corrections.cache_write.latency_s(tokens, units_of(rates))
    return seconds
