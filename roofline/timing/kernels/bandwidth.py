"""How long a kernel's traffic takes: at the memory's rate, at that of the last-level cache, block by block."""

from __future__ import annotations

from roofline.calibration.constants import Constants
from roofline.calibration.corrections.memory import BlockBandwidth, CacheBandwidth, ReuseBandwidth
from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import AttentionShape, RowShape
from roofline.number import Number, as_float, maximum, minimum
from roofline.timing.kernels.tiles import units_of
from roofline.timing.kernels.traffic import moved_bytes
from roofline.timing.rates import Rates

_ROWS_AT_ONCE = 2  # blocks of 1,024 threads that a unit holds


def memory_s(cost: Cost, hardware: Rates, constants: Constants) -> Number:
    """Seconds of memory traffic at the rates reached.

    Where blocks read alone, attention takes the longer of both times, rows the root of the sum of their squares.
    """
    moved = moved_bytes(cost, constants.corrections)
    seconds = _streamed_s(moved, hardware, constants)
    alone = constants.corrections.block_bandwidth
    if alone and isinstance(cost.shape, RowShape):
        return (seconds**2 + _rows_alone_s(cost.shape, alone, hardware) ** 2) ** 0.5
    if alone and isinstance(cost.shape, AttentionShape):
        return maximum(seconds, _heads_alone_s(cost.shape, moved, alone, hardware))
    return seconds


def reached_share(constants: Constants) -> Number:
    """The largest share of the bandwidth that anything reaches, the cache too; 1 at least."""
    cache = _cache_rate(constants.corrections)
    reached = maximum(1.0, constants.memory)
    return maximum(reached, cache.share) if cache else reached


def _streamed_s(moved: Number, hardware: Rates, constants: Constants) -> Number:
    """Seconds where all units read together: what the cache serves at its rate, the rest at the memory's."""
    cache = _cache_rate(constants.corrections)
    if cache is None:
        return moved / (hardware.bandwidth * constants.memory)
    near = cache.near(moved, _last_cache(hardware))
    return (near / cache.share + (moved - near) / constants.memory) / hardware.bandwidth


def _cache_rate(corrections: Corrections) -> CacheBandwidth | ReuseBandwidth | None:
    return corrections.cache_bandwidth or corrections.reuse_bandwidth


def _rows_alone_s(shape: RowShape, alone: BlockBandwidth, hardware: Rates) -> Number:
    """Seconds where one block reads a row. [s]"""
    rows = alone.in_waves(shape.rows, units_of(hardware) * _ROWS_AT_ONCE)
    return alone.seconds(as_float(rows * shape.row_bytes), hardware.bandwidth)


def _heads_alone_s(shape: AttentionShape, moved: Number, alone: BlockBandwidth, hardware: Rates) -> Number:
    """Seconds where one block reads the keys of a sequence and head; 0 for grouped heads, whose kernel splits them."""
    blocks = shape.batch * shape.kv_heads
    ungrouped = 1.0 - as_float(minimum(shape.groups - 1, 1))
    idle_too = ungrouped * moved * as_float(alone.in_waves(blocks, units_of(hardware))) / as_float(blocks)
    return alone.seconds(idle_too, hardware.bandwidth)


def _last_cache(hardware: Rates) -> float:
    """The capacity of the last cache before device memory; 0 where none is stated. [B]"""
    _, *caches = (level for level in hardware.memory.values() if level.scope == "device")
    return max((level.capacity for level in caches if level.capacity), default=0.0)
