"""Scans, convolutions and rows spread over units: chunks of a sequence in turn, channels and rows walked."""

from __future__ import annotations

from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import ConvolutionShape, RowShape, ScanShape
from roofline.number import Number, as_float, ceil_div, maximum
from roofline.timing.kernels.tiles import units_of
from roofline.timing.rates import Rates


def in_turn_s(cost: Cost, rates: Rates, corrections: Corrections, seconds: Number) -> Number:
    """``seconds`` of work with what goes one after the other: chunks of a sequence, tokens of a channel, a row's. [s]

    Waves of heads hold their work: the longer of both. Other operators take what they are given.
    """
    shape = cost.shape
    if isinstance(shape, ScanShape) and corrections.scan_chunks:
        return seconds + corrections.scan_chunks.chain_s(_chunks(shape))
    if isinstance(shape, ScanShape) and corrections.scan_waves:
        heads = as_float(shape.heads)
        return maximum(seconds, corrections.scan_waves.seconds(_chunks(shape), heads, units_of(rates)))
    if isinstance(shape, ConvolutionShape) and corrections.channel_walk:
        walk = corrections.channel_walk
        return seconds + walk.seconds(as_float(shape.tokens), as_float(shape.channels), units_of(rates))
    if isinstance(shape, RowShape) and corrections.row_walk:
        walked = corrections.row_walk.seconds(as_float(shape.rows), as_float(shape.row_bytes), units_of(rates))
        return seconds + walked
    return seconds


def chunks_s(cost: Cost, rates: Rates, corrections: Corrections) -> Number:
    """Seconds of the chunks of all heads and sequences on all units; 0 for other operators."""
    if not isinstance(cost.shape, ScanShape) or corrections.scan_chunks is None:
        return 0.0
    return corrections.scan_chunks.spread_s(_chunks(cost.shape), as_float(cost.shape.heads), units_of(rates))


def issued_s(cost: Cost, rates: Rates, corrections: Corrections, seconds: Number) -> Number:
    """``seconds`` of traffic, or what units take to issue it, where that is longer. [s]"""
    if corrections.unit_rate is None:
        return seconds
    issued = corrections.unit_rate.seconds(as_float(cost.bytes), units_of(rates), rates.cycles_per_s)
    return maximum(seconds, issued)


def _chunks(shape: ScanShape) -> Number:
    return as_float(ceil_div(shape.tokens, shape.chunk))
