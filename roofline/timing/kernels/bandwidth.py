"""How long a kernel's traffic takes: at the memory's rate, at that of the last-level cache, block by block."""

from __future__ import annotations

from roofline.calibration.constants import Constants
from roofline.calibration.corrections.memory import (
    BlockBandwidth,
    CacheBandwidth,
    KeptWeights,
    ReuseBandwidth,
    cache_bandwidth,
)
from roofline.calibration.corrections.registry import Corrections
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import (
    AttentionShape,
    ConvolutionShape,
    GroupedShape,
    MatmulShape,
    RowShape,
    ScanShape,
    Shape,
)
from roofline.number import Number, as_float, is_symbolic, maximum, minimum, where
from roofline.timing.kernels.attention_tiles import heads_alone_s, new_bytes, query_bytes
from roofline.timing.kernels.scans import chunks_s, issued_s
from roofline.timing.kernels.tiles import units_of
from roofline.timing.kernels.traffic import moved_bytes
from roofline.timing.kernels.work import pair_tile
from roofline.timing.rates import Rates

_ALONE = (AttentionShape, ScanShape, ConvolutionShape, RowShape)  # what runs on its operands, again and again
_ROWS_AT_ONCE = 2  # blocks of 1,024 threads that a unit holds


def memory_s(cost: Cost, hardware: Rates, constants: Constants) -> Number:
    """Seconds of memory traffic at the rates reached, and of what does not overlap it.

    Where blocks read alone, attention takes the longer of both times, rows the root of the sum of their squares.
    """
    seconds = issued_s(cost, hardware, constants.corrections, _streamed_s(cost, hardware, constants))
    seconds = seconds + chunks_s(cost, hardware, constants.corrections) + _blocks_s(cost, hardware, constants)
    alone = constants.corrections.block_bandwidth
    if alone and isinstance(cost.shape, RowShape):
        return (seconds**2 + _rows_alone_s(cost.shape, alone, hardware) ** 2) ** 0.5
    if alone and isinstance(cost.shape, AttentionShape):
        moved = moved_bytes(cost, constants.corrections)
        return maximum(seconds, _heads_alone_s(cost.shape, moved, alone, hardware))
    if isinstance(cost.shape, AttentionShape):
        return maximum(seconds, heads_alone_s(cost.shape, hardware, constants.corrections))
    return seconds


def waited_s(cost: Cost, hardware: Rates, constants: Constants) -> Number:
    """Seconds of memory traffic that more bandwidth does not shorten: latency, by its elasticity."""
    ramp = constants.corrections.ramp
    if ramp is None:
        return chunks_s(cost, hardware, constants.corrections) + _blocks_s(cost, hardware, constants)
    moved, last = moved_bytes(cost, constants.corrections), constants.corrections.last_cache
    if last:
        moved = moved - last.near(_activation_bytes(cost), hardware.last_cache)
    if kept := constants.corrections.kept_weights:
        moved = moved - _kept_bytes(cost, kept, hardware)
    return ramp.waited_s(moved, hardware.bandwidth * constants.memory)


def _blocks_s(cost: Cost, hardware: Rates, constants: Constants) -> Number:
    """Seconds in which the blocks of a grouped matmul begin and write; 0 for others. [s]"""
    blocks, shape = constants.corrections.group_blocks, cost.shape
    if blocks is None or not isinstance(shape, GroupedShape):
        return 0
    sizes = as_float(shape.groups), as_float(shape.rows), as_float(shape.columns)
    by_pairs = constants.corrections.pair_tiles
    count = blocks.count(*sizes, pair_tile(shape, by_pairs)) if by_pairs else blocks.count(*sizes)
    return blocks.seconds(count, units_of(hardware))


def before_s(cost: Cost, hardware: Rates, constants: Constants) -> Number:
    """Seconds of traffic beside a matmul's own, before it or behind, which it does not hide."""
    quantize, last = constants.corrections.quantize, constants.corrections.last_cache
    if constants.corrections.routed_passes and isinstance(cost.shape, GroupedShape):
        passes, shape = constants.corrections.routed_passes, cost.shape
        if gathered := constants.corrections.gathered_rows:
            beside = gathered.added(as_float(shape.written_bytes), as_float(shape.spread))
        else:
            beside = passes.copied_bytes(as_float(shape.rows), as_float(shape.row_bytes))
        return passes.seconds(_activation_bytes(cost) + beside, hardware.bandwidth)
    if quantize is None or not cost.alone or not isinstance(cost.shape, MatmulShape):
        return 0.0
    moved = quantize.moved_bytes(as_float(cost.shape.rows), as_float(cost.shape.depth))
    bandwidth = hardware.bandwidth
    if last is None:
        return moved / bandwidth
    operand = as_float(2 * cost.shape.rows * cost.shape.depth)
    near = moved * last.near(operand, hardware.last_cache) / operand
    return near / _cache_rate(last.rate, hardware, bandwidth) + (moved - near) / bandwidth


def unpacked_s(cost: Cost, hardware: Rates, constants: Constants) -> tuple[Number, Number]:
    """What unpacking weights adds to a matmul, traffic before it or work in its tiles: the shorter, the other 0. [s]"""
    in_tiles, in_memory, shape = constants.corrections.unpack_tiles, constants.corrections.unpack_memory, cost.shape
    if not (in_tiles or in_memory) or not isinstance(shape, MatmulShape | GroupedShape):
        return 0.0, 0.0
    weights = shape.unpacked if isinstance(shape, GroupedShape) else shape.narrow * shape.columns * shape.depth
    narrow = minimum(weights, 1)
    if isinstance(narrow, int) and narrow == 0:
        return 0.0, 0.0
    rows = as_float(shape.rows) / (as_float(shape.groups) if isinstance(shape, GroupedShape) else 1.0)
    tiles_s: Number = float("inf")
    if in_tiles:
        peak_s = as_float(cost.flops) / hardware.contraction_unit(cost.dtype)[1]
        tiles_s = narrow * in_tiles.added_s(peak_s, constants.compute, rows, nested=shape.nested)
    if in_memory is None:
        return 0.0, tiles_s
    moved_s = in_memory.moved_bytes(as_float(weights), rows) / (hardware.bandwidth * constants.memory)
    if is_symbolic(moved_s, tiles_s):
        return minimum(moved_s, tiles_s), 0.0  # a formula asks for the time alone
    return where(moved_s < tiles_s, moved_s, 0.0), where(moved_s < tiles_s, 0.0, tiles_s)


def least_memory_s(cost: Cost, hardware: Rates, constants: Constants) -> Number:
    """Seconds that the compulsory traffic takes at least: the bound's.

    At the data sheet's bandwidth, or what is really reached where that is more. Where a last-level cache has a rate of
    its own, what fits it moves at the most that is read from it: activations, and by itself the whole of an operator.
    What passes between the kernels of experts does at the rate reached there.
    """
    moved, reused = as_float(cost.bytes), _activation_bytes(cost)
    bandwidth = hardware.bandwidth * _reached_share(constants)
    passed: Number = 0.0
    if passes := constants.corrections.routed_passes:
        passed = reused / (hardware.bandwidth * maximum(1.0, passes.share))
        moved, reused = moved - reused, 0.0
    corrections = constants.corrections
    last = corrections.last_cache or corrections.working_set
    if last is None and (kept := corrections.kept_weights):
        near = _kept_bytes(cost, kept, hardware)
        return passed + near / _cache_rate(kept.rate, hardware, bandwidth) + (moved - near) / bandwidth
    if last is None:
        return passed + moved / bandwidth
    most, again = last.held(hardware.last_cache), _moved_again(cost.shape) if cost.alone else 0.0
    near = minimum(moved if cost.alone else reused, most + minimum(again, most))
    return passed + near / _cache_rate(last.most, hardware, bandwidth) + (moved - near) / bandwidth


def _reached_share(constants: Constants) -> Number:
    """The largest share of the bandwidth that anything reaches, the cache too; 1 at least."""
    cache = _cache_share(constants.corrections)
    reached = maximum(1.0, constants.memory)
    return maximum(reached, cache.share) if cache else reached


def _streamed_s(cost: Cost, hardware: Rates, constants: Constants) -> Number:
    """Seconds where all units read together: what the cache serves at its rate, the rest at the memory's."""
    moved, corrections = moved_bytes(cost, constants.corrections), constants.corrections
    bandwidth = hardware.bandwidth * constants.memory
    if corrections.routed_passes and isinstance(cost.shape, RowShape):
        if gathered := corrections.gathered_rows:
            moved = moved + gathered.added(as_float(cost.shape.pair_bytes), as_float(cost.shape.spread))
        return corrections.routed_passes.seconds(moved, hardware.bandwidth)
    if cache := _cache_share(corrections):
        near = cache.near(moved, hardware.last_cache)
        return (near / cache.share + (moved - near) / constants.memory) / hardware.bandwidth
    seconds: Number = 0.0
    if corrections.routed_passes and isinstance(cost.shape, GroupedShape):
        moved = as_float(cost.shape.weight_bytes)  # what is routed passes beside it
    if corrections.working_set and isinstance(cost.shape, _ALONE):
        near = moved * _resident(cost, cost.shape, corrections, hardware.last_cache)
        rate = _cache_rate(corrections.working_set.rate, hardware, bandwidth)
        return near / rate + (moved - near) / bandwidth
    if last := corrections.last_cache:
        near = last.near(_activation_bytes(cost), hardware.last_cache)
        seconds = near / _cache_rate(last.rate, hardware, bandwidth)
        moved = moved - near
    if kept := corrections.kept_weights:
        near = _kept_bytes(cost, kept, hardware)
        seconds = seconds + near / _cache_rate(kept.rate, hardware, bandwidth)
        moved = moved - near
    if corrections.ramp:
        seconds = seconds + corrections.ramp.added_s(moved, bandwidth)
    return seconds + moved / bandwidth


def _resident(cost: Cost, shape: Shape, corrections: Corrections, cache: Number) -> Number:
    """The share of an operator's traffic that the last cache serves: in a model, nothing of earlier steps."""
    assert corrections.working_set is not None
    compulsory = held = as_float(cost.bytes)
    if corrections.packed_pass and isinstance(shape, AttentionShape):
        held = held + query_bytes(cost, shape) + new_bytes(shape)
    near = corrections.working_set.near(held - _moved_again(shape), cache)
    return near if cost.alone else near * _activation_bytes(cost) / compulsory


def _moved_again(shape: Shape) -> Number:
    """What of its traffic an operator has in a cache twice: a state is written where it was read. [B]"""
    if isinstance(shape, ConvolutionShape) or (isinstance(shape, ScanShape) and not shape.apart):
        return as_float(shape.state_bytes) / 2
    return 0.0


def _kept_bytes(cost: Cost, kept: KeptWeights, hardware: Rates) -> Number:
    """What of its weights a matmul that is run by itself again and again finds in the last cache. [B]"""
    if not cost.alone or not isinstance(cost.shape, (MatmulShape, GroupedShape)):
        return 0.0
    return kept.near(as_float(cost.shape.weight_bytes), as_float(cost.weight_sets), hardware.last_cache)


def _activation_bytes(cost: Cost) -> Number:
    """What of an operator's traffic the operators around it touch too: no weights, no cache of keys, no states. [B]"""
    if isinstance(cost.shape, (MatmulShape, GroupedShape)):
        return as_float(cost.bytes - cost.shape.weight_bytes)
    if isinstance(cost.shape, AttentionShape):
        return as_float(cost.bytes) - as_float(cost.shape.cache_bytes) + new_bytes(cost.shape)
    if isinstance(cost.shape, (ScanShape, ConvolutionShape)):
        return as_float(cost.bytes - cost.shape.state_bytes)
    return as_float(cost.bytes) if isinstance(cost.shape, RowShape) else 0.0


def _cache_rate(width: Number, hardware: Rates, bandwidth: Number) -> Number:
    """What a cache of so many bytes per cycle and unit serves at: the memory's ``bandwidth`` at least. [B/s]"""
    return maximum(cache_bandwidth(width, hardware.unit_count, hardware.cycles_per_s), bandwidth)


def _cache_share(corrections: Corrections) -> CacheBandwidth | ReuseBandwidth | None:
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
