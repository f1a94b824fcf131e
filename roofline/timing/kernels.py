"""What kernels add to an operator's work: tiles and waves, keys computed beyond the attended, blocks that work alone.

These terms make the plain form of ``operator.py`` sharper where a device was calibrated with them; a class of devices
has none. Work done in vain appears as more FLOPs or bytes, a second kernel as latency, so that the shares of the time
stay its elasticities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from roofline.calibration.constants import Constants
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import AttentionShape, GroupedShape, MatmulShape, RowShape, Shape
from roofline.errors import WorkloadError
from roofline.number import Number, ceil_div, is_symbolic, least, maximum, minimum
from roofline.timing.rates import Rates

TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64), (32, 64), (64, 32), (32, 32))
"""Rows and columns of the output that one block of a matmul kernel computes; libraries have all of these."""

SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
"""Into how many parts a matmul kernel cuts its depth, to occupy more units."""

_STEP = 32  # a block goes through its depth in steps of this many elements
_SIDE = 64  # of the tile that ``tile_feed`` is stated for
_PARTIAL_BYTES = 8  # a partial sum is an fp32, written and read
_CHUNK = 8192  # rows of a table at once
_ROWS_AT_ONCE = 2  # blocks of 1,024 threads that a unit holds


@dataclass(frozen=True, slots=True)
class Tiling:
    """A matmul cut into tiles: compute at the rates reached, the traffic of partial sums, their kernel. [s]"""

    compute_s: Number
    partial_s: Number
    latency_s: Number

    @property
    def total_s(self) -> Number:
        """All of it; the tiling with the least is picked, so that more work never takes less."""
        return self.compute_s + self.partial_s + self.latency_s


def tile(shape: MatmulShape, peak: float, hardware: Rates, constants: Constants) -> Tiling:
    """The fastest tiling of a matmul, as a library picks it.

    A wave is one tile on every unit; the last wave takes as long as a full one. A tile of tm x tn reads tm + tn
    elements for each of its tm tn products, so that a small tile is fed more slowly: at ``tile_feed`` x peak x
    tm tn / (tm + tn) / 64. A split depth adds partial sums, and a kernel that adds them up.
    """
    sizes = (shape.rows, shape.columns, shape.depth)
    if not is_symbolic(*sizes):
        return _tile_numbers(sizes, peak, hardware, constants)
    added = [sum(_added(split, shape.rows * shape.columns, hardware, constants)) for split in SPLITS]
    totals = [seconds + added[i] for i, seconds in _candidates(shape, peak, hardware, constants)]
    return Tiling(least(totals), 0.0, 0.0)  # which tiling it is, symbols do not tell


def _candidates(shape: MatmulShape, peak: float, hardware: Rates, constants: Constants) -> Iterator[tuple[int, Number]]:
    """For every split, by its place, and every tile: the seconds of compute."""
    units = _units(hardware)
    steps = [ceil_div(shape.depth, _STEP * split) for split in SPLITS]
    for rows, columns in TILES:
        share = minimum(constants.compute, constants.tile_feed * rows * columns / (rows + columns) / _SIDE)
        step_s = 2 * rows * columns * _STEP * units / (peak * share)
        blocks = ceil_div(shape.rows, rows) * ceil_div(shape.columns, columns)
        for place, split in enumerate(SPLITS):
            yield place, ceil_div(blocks * split, units) * steps[place] * step_s


def _added(split: Number, output: Number, hardware: Rates, constants: Constants) -> tuple[Number, Number]:
    """Seconds of the traffic of partial sums, and of the kernel that adds them up; nothing without a split."""
    cut = (split > 1) * 1.0
    return cut * split * output * _PARTIAL_BYTES * constants.partial / hardware.bandwidth, cut * constants.split_s


def _tile_numbers(sizes: tuple[Number, ...], peak: float, hardware: Rates, constants: Constants) -> Tiling:
    """The same for numbers and arrays, in chunks that stay in a cache."""
    columns = np.broadcast_arrays(*(np.asarray(size, dtype=np.float64) for size in sizes))
    flat = [np.ascontiguousarray(column).reshape(-1) for column in columns]
    whole = np.empty((3, flat[0].size))
    for start in range(0, flat[0].size, _CHUNK):
        part = MatmulShape(*(column[start : start + _CHUNK] for column in flat))
        output = part.rows * part.columns
        added = [sum(_added(split, output, hardware, constants)) for split in SPLITS]
        best, picked = np.full(len(output), np.inf), np.ones(len(output))
        for place, seconds in _candidates(part, peak, hardware, constants):
            total = seconds + added[place]
            wins = total < best
            np.copyto(best, total, where=wins)
            np.copyto(picked, SPLITS[place], where=wins)
        partial, late = _added(picked, output, hardware, constants)
        whole[:, start : start + _CHUNK] = best - partial - late, partial, late
    return Tiling(*(row.reshape(columns[0].shape)[()] for row in whole))


def work_factor(cost: Cost, constants: Constants) -> Number:
    """By how much a kernel's work takes longer than its FLOPs say.

    Attention: each query sees ``extra_keys`` more, and under a mask half of a ``key_block``, though not more than there
    are. Matmul: what :func:`spilled` says; grouped, no group has fewer than ``group_rows`` rows.
    """
    shape = cost.shape
    if isinstance(shape, GroupedShape):
        return maximum(1.0, constants.group_rows * _float(shape.groups) / _float(shape.rows))
    if constants.wide and isinstance(shape, MatmulShape):
        return spilled(shape, constants)
    if not isinstance(shape, AttentionShape) or not (constants.extra_keys or constants.key_block):
        return 1.0
    flops, each = _float(cost.flops), _float(shape.queries * shape.pair_flops)
    square = maximum(each * _float(shape.keys), flops)
    computed = minimum(flops + each * constants.key_block / 2, square) if constants.key_block else flops
    return (computed + constants.extra_keys * each) / flops


def spilled(shape: MatmulShape, constants: Constants) -> Number:
    """What a wide output costs, whose rows leave the near cache: 1 + columns / (columns + ``wide``)."""
    columns = _float(shape.columns)
    return 1.0 + columns / (columns + constants.wide) if constants.wide else 1.0


def launch_s(cost: Cost, constants: Constants) -> Number:
    """The latency of what runs beside the kernel: queries regrouped by key/value head, where there are several. [s]"""
    shape = cost.shape
    if not constants.regroup_s or not isinstance(shape, AttentionShape):
        return 0.0
    several = (minimum(number - 1, 1) for number in (shape.batch, shape.kv_heads, shape.groups))
    regrouped: Number = constants.regroup_s
    for flag in several:
        regrouped = regrouped * _float(flag)
    return regrouped


def memory_s(cost: Cost, hardware: Rates, constants: Constants) -> Number:
    """Seconds of memory traffic at the rates reached.

    Attention reads ``extra_reads`` keys and values more per sequence and key/value head: whole pages, tables. A
    matmul of several rows first rearranges its weights, which takes ``repack`` x their traffic once more (half of
    that for two rows); each column of weights costs as much as ``extra_depth`` more elements, since prefetching
    starts anew. Of a row that moves more than ``held`` bytes, ``again`` x its traffic comes once more, wholly from
    twice ``held`` on. What fits half of the last cache moves at ``cached`` x bandwidth. What the kernel before left in
    the last cache moves at ``warm`` x bandwidth; more than that cache holds pushes itself out. Where one block
    reads a row, or a sequence's keys, by itself, it has ``serial`` x its unit's part of the bandwidth, wave by
    wave: for attention the longer of both times, for rows the root of their squares.
    """
    moved = _float(cost.bytes)
    shape = cost.shape
    if constants.extra_reads and isinstance(shape, AttentionShape):
        moved = moved + constants.extra_reads * _float(shape.cache_bytes) / _float(shape.keys)
    if isinstance(shape, MatmulShape) and (constants.repack or constants.extra_depth):
        several = _float(minimum(shape.rows - 1, 2)) / 2
        again = constants.repack * several * spilled(shape, constants) + constants.extra_depth / _float(shape.depth)
        moved = moved + again * _float(shape.weight_bytes)
    if constants.held and isinstance(shape, RowShape):
        beyond = minimum(maximum(_float(shape.row_bytes) / constants.held - 1, 0.0), 1.0)
        moved = moved + constants.again * beyond * _float(shape.rows * shape.row_bytes)
    seconds = moved / (hardware.bandwidth * constants.memory)
    if constants.cached:
        near = minimum(moved, _half_cache(hardware))
        seconds = (near / constants.cached + (moved - near) / constants.memory) / hardware.bandwidth
    if constants.warm:
        held = 1.5 * _half_cache(hardware)  # three quarters of it: the rest is the program's, and others'
        near = minimum(moved, maximum(held - moved, 0.0))
        seconds = (near / constants.warm + (moved - near) / constants.memory) / hardware.bandwidth
    if constants.serial:
        alone = _alone_bytes(shape, moved, hardware) / (hardware.bandwidth * constants.serial)
        seconds = maximum(seconds, alone) if isinstance(shape, AttentionShape) else (seconds**2 + alone**2) ** 0.5
    return seconds


def _alone_bytes(shape: Shape, moved: Number, hardware: Rates) -> Number:
    """What moves if idle units are counted as busy, where blocks share no work; 0 where they do. [B]"""
    units = _units(hardware)
    if isinstance(shape, RowShape):
        slots = units * _ROWS_AT_ONCE
        return _float(ceil_div(shape.rows, slots) * slots * shape.row_bytes)
    if isinstance(shape, AttentionShape):
        blocks = shape.batch * shape.kv_heads
        ungrouped = 1.0 - _float(minimum(shape.groups - 1, 1))  # grouped heads run a kernel that splits the keys
        return ungrouped * moved * _float(ceil_div(blocks, units) * units) / _float(blocks)
    return 0.0


def _units(hardware: Rates) -> int:
    if hardware.units is None:
        msg = f"{hardware.name} states no units, which its calibration needs; add units: {{name: SM, count: ...}}"
        raise WorkloadError(msg)
    return hardware.units.count


def _half_cache(hardware: Rates) -> float:
    """Half of the last cache before device memory: what one partition of it holds. [B]"""
    _, *caches = (level for level in hardware.memory.values() if level.scope == "device")
    sizes = [level.capacity for level in caches if level.capacity]
    return max(sizes, default=0.0) / 2


def _float(number: Number) -> Number:
    return number if isinstance(number, np.ndarray) or is_symbolic(number) else float(number)
