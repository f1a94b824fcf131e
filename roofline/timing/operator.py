"""The time of an operator: its bound, its expected time, and what that time is made of.

    bound = max(flops / peak, bytes / bandwidth)
    time  = latency + (x^p + y^p)^(1/p)      x = compute seconds, y = memory seconds, both at the rates really reached

A calibrated device may add what its kernels do in vain to x and y, and their further launches (``kernels``).

What the time is made of adds up to it, and its shares are its elasticities: the latency; of the corner,
x^p / (x^p + y^p) for compute; the rest for memory.
"""

from __future__ import annotations

import numpy as np

from roofline.calibration.constants import Constants
from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import AttentionShape, GroupedShape, MatmulShape
from roofline.kept import soft_corner
from roofline.number import Number, as_float, is_symbolic, maximum, ratio
from roofline.timing.kernels.attention_tiles import blocks_s, tiles_s
from roofline.timing.kernels.bandwidth import before_s, least_memory_s, memory_s, unpacked_s, waited_s
from roofline.timing.kernels.extra_launches import launch_s
from roofline.timing.kernels.scans import in_turn_s
from roofline.timing.kernels.tiles import TiledMatmul, Tiling
from roofline.timing.kernels.work import width_factor, work_factor
from roofline.timing.rates import Rates
from roofline.timing.timing import Timing, banded, banded_by_latency


@frozen
class Sides:
    """What the corner of an operator joins, and what of it is work: the rest is latency. [s]

    ``work_s`` is what a higher peak shortens of ``compute_s``, ``streamed_s`` what more bandwidth shortens of
    ``memory_s``; ``partial_s``, the traffic of partial sums, is within ``compute_s`` and memory's.
    """

    compute_s: Number
    memory_s: Number
    work_s: Number
    streamed_s: Number
    partial_s: Number


def sides_of(cost: Cost, rates: Rates, constants: Constants) -> Sides:
    """What the corner of an operator joins. Raises WorkloadError where the device cannot contract in this dtype."""
    tiling = _tiling(cost, rates, constants)
    kernel_s, work_s = _compute_s(cost, rates, constants, tiling)
    compute, memory = kernel_s + tiling.partial_s + tiling.latency_s, memory_s(cost, rates, constants)
    waited = waited_s(cost, rates, constants) if _waits(constants) else 0
    return Sides(compute, memory, work_s, memory - waited, tiling.partial_s)


def _waits(constants: Constants) -> bool:
    """Whether some of the seconds that memory takes are latency."""
    found = constants.corrections
    return bool(found.ramp or found.scan_chunks or found.group_blocks)


def bound_s(cost: Cost, rates: Rates, constants: Constants) -> Number:
    """The seconds below which one execution does not come, for numbers, float64 arrays, symbols. [s]

    Its rates are the data sheet's at the clock that cards boost to, or what is really reached where that is more.
    Raises WorkloadError where the device cannot contract in this dtype.
    """
    flops_s = _seconds(cost.flops, cost.dtype, rates, maximum(constants.boost, constants.compute))
    return maximum(flops_s, least_memory_s(cost, rates, constants))


def time_operator(cost: Cost, rates: Rates, constants: Constants) -> Timing:
    """The expected time, the band and the bound of one execution as one kernel, for numbers, float64 arrays, symbols.

    Raises WorkloadError where the device cannot contract in this dtype.
    """
    sides = sides_of(cost, rates, constants)
    x, y = sides.compute_s, sides.memory_s
    corner, part = _soft_corner(x, y, constants.p)
    unpacking, in_tiles = unpacked_s(cost, rates, constants)
    before = before_s(cost, rates, constants) + unpacking
    time = constants.latency_s + launch_s(cost, rates, constants.corrections) + before + in_tiles + corner
    bound = bound_s(cost, rates, constants)
    compute = in_tiles + corner * part * ratio(sides.work_s, x)
    streamed = ratio(sides.streamed_s, y) if _waits(constants) else 1
    sums = 0.0 if isinstance(sides.partial_s, float) and not sides.partial_s else part * ratio(sides.partial_s, x)
    memory = before + corner * ((1 - part) * streamed + sums)
    found = Timing(time, bound, time, time, time - compute - memory, compute, memory)
    if constants.by_latency:
        return banded_by_latency(found, constants.by_latency)
    return banded(found, constants.low, constants.high)


def _compute_s(cost: Cost, rates: Rates, constants: Constants, tiling: Tiling) -> tuple[Number, Number]:
    """Seconds of a kernel, with what it does in vain and what its blocks cost, and of its work alone."""
    if isinstance(cost.shape, AttentionShape) and constants.corrections.query_tiles:
        return tiles_s(cost, cost.shape, rates, constants)
    factor, others = work_factor(cost, rates, constants.corrections), _other_units(cost, rates, constants)
    padded = isinstance(cost.shape, GroupedShape)  # rows that fill up a tile are contracted, not their weights read
    compute_s = tiling.compute_s * factor + (others if padded else others * factor)
    if isinstance(cost.shape, AttentionShape):
        return compute_s + blocks_s(cost.shape, rates, constants.corrections), compute_s
    return in_turn_s(cost, rates, constants.corrections, compute_s), compute_s


def _soft_corner(x: Number, y: Number, p: float) -> tuple[Number, Number]:
    """(x^p + y^p)^(1/p), and compute's part in it."""
    return _corner_in_symbols(x, y, p) if is_symbolic(x, y) else soft_corner(x, y, (p,))


def _tiling(cost: Cost, rates: Rates, constants: Constants) -> Tiling:
    """The contractions at the rates reached: in tiles where the constants have them, else as they are."""
    if constants.corrections.tiles and isinstance(cost.shape, MatmulShape):
        _, peak = rates.contraction_unit(cost.dtype)
        narrow = cost.shape.narrow
        streams = narrow == 1 if isinstance(narrow, int) else bool(np.all(np.asarray(narrow) == 1))
        tiles, split = constants.corrections.tiles, constants.corrections.split_k
        least = constants.corrections.least_tile
        return TiledMatmul(tiles, peak, constants.compute, rates, split, least, streams).fastest(cost.shape)
    widths = width_factor(cost.shape, constants.corrections) if isinstance(cost.shape, AttentionShape) else 1
    return Tiling(_seconds(cost.flops, cost.dtype, rates, constants.compute) * widths, 0.0, 0.0)


def _corner_in_symbols(x: Number, y: Number, p: Number) -> tuple[Number, Number]:
    """The same for formulas, which have no underflow and are read by people."""
    if x == 0 or y == 0:
        return x + y, int(y == 0)
    if p == float("inf"):
        corner = maximum(x, y)
        return corner, x / corner  # 1 where compute is the larger one; a formula of a bound is not asked for shares
    total = x**p + y**p
    return total ** (1 / p), x**p / total


def _seconds(flops: Number, dtype: str, rates: Rates, share: Number) -> Number:
    if _is_nothing(flops):
        return 0.0
    return as_float(flops) / (rates.contraction_unit(dtype)[1] * share)


def _other_units(cost: Cost, rates: Rates, constants: Constants) -> Number:
    """Seconds of elementwise and transcendental work; the latter runs on the vector unit where there is no other."""
    seconds: Number = 0.0
    if not _is_nothing(cost.vector_flops):
        seconds = as_float(cost.vector_flops) / (rates.work_rate("vector", "fp32") * constants.vector)
    if not _is_nothing(cost.special):
        seconds = seconds + as_float(cost.special) / (rates.work_rate("special", "exp") * constants.special)
    return seconds


def _is_nothing(count: Number) -> bool:
    return isinstance(count, int) and count == 0
