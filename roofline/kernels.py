"""What kernels add to an operator's work: tiles and waves, keys computed beyond the attended, blocks that work alone.

These terms make the plain form of ``timing.py`` sharper where a device was calibrated with them; a class of devices
has none. Work done in vain appears as more FLOPs or bytes, a second kernel as latency, so that the shares of the time
stay its elasticities.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from roofline.calibration import Constants
from roofline.cost import Cost
from roofline.errors import WorkloadError
from roofline.hardware import HardwareSpec
from roofline.kernel_shapes import AttentionShape, MatmulShape, RowShape, Shape
from roofline.number import Number, ceil_div, is_symbolic, least, maximum, minimum

TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64), (32, 64), (64, 32), (32, 32))
"""Rows and columns of the output that one block of a matmul kernel computes; libraries have all of these."""

SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
"""Into how many parts a matmul kernel cuts its depth, to occupy more units."""

_STEP = 32  # a block goes through its depth in steps of this many elements
_SIDE = 64  # of the tile that ``tile_feed`` is stated for
_PARTIAL_BYTES = 8  # a partial sum is an fp32, written and read
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


def tile(shape: MatmulShape, peak: float, hardware: HardwareSpec, constants: Constants) -> Tiling:
    """The fastest tiling of a matmul, as a library picks it.

    A wave is one tile on every unit; the last wave takes as long as a full one. A tile of tm x tn reads tm + tn
    elements for each of its tm tn products, so that a small tile is fed more slowly: at ``tile_feed`` x peak x
    tm tn / (tm + tn) / 64. A split depth adds partial sums, and a kernel that adds them up.
    """
    units, output = _units(hardware), _float(shape.rows * shape.columns)
    tilings: list[Tiling] = []
    for rows, columns in TILES:
        share = minimum(constants.compute, constants.tile_feed * rows * columns / (rows + columns) / _SIDE)
        element_s = 2 * rows * columns * units / (peak * share)
        blocks = ceil_div(shape.rows, rows) * ceil_div(shape.columns, columns)
        for split in SPLITS:
            waves = ceil_div(blocks * split, units)
            seconds = _float(waves * ceil_div(shape.depth, _STEP * split) * _STEP) * element_s
            cut = float(split > 1)
            partial = cut * split * output * _PARTIAL_BYTES * constants.partial / hardware.bandwidth
            tilings.append(Tiling(seconds, partial, cut * constants.split_s))
    if is_symbolic(tilings[0].total_s):
        return Tiling(least([tiling.total_s for tiling in tilings]), 0.0, 0.0)  # which it is, symbols do not tell
    return functools.reduce(_faster, tilings)


def work_factor(cost: Cost, constants: Constants) -> Number:
    """By how much an attention kernel's work exceeds the attended pairs: each query sees ``extra_keys`` more."""
    shape = cost.shape
    if not constants.extra_keys or not isinstance(shape, AttentionShape):
        return 1.0
    return 1.0 + constants.extra_keys * _float(shape.queries * shape.pair_flops) / _float(cost.flops)


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


def memory_s(cost: Cost, hardware: HardwareSpec, constants: Constants) -> Number:
    """Seconds of memory traffic at the rates reached.

    Attention reads ``extra_reads`` keys and values more per sequence and key/value head: whole pages, tables. What
    fits half of the last cache moves at ``cached`` x bandwidth. Where one block reads a row, or a sequence's keys, by
    itself, it has ``serial`` x its unit's part of the bandwidth, wave by wave: for attention the longer of both times,
    for rows the root of their squares.
    """
    moved = _float(cost.bytes)
    shape = cost.shape
    if constants.extra_reads and isinstance(shape, AttentionShape):
        moved = moved + constants.extra_reads * _float(shape.cache_bytes) / _float(shape.keys)
    seconds = moved / (hardware.bandwidth * constants.memory)
    if constants.cached:
        near = minimum(moved, _half_cache(hardware))
        seconds = (near / constants.cached + (moved - near) / constants.memory) / hardware.bandwidth
    if constants.serial:
        alone = _alone_bytes(shape, moved, hardware) / (hardware.bandwidth * constants.serial)
        seconds = maximum(seconds, alone) if isinstance(shape, AttentionShape) else (seconds**2 + alone**2) ** 0.5
    return seconds


def _alone_bytes(shape: Shape, moved: Number, hardware: HardwareSpec) -> Number:
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


def _faster(best: Tiling, other: Tiling) -> Tiling:
    """The faster of two tilings, elementwise."""
    wins = other.total_s < best.total_s
    if not isinstance(wins, np.ndarray):
        return other if wins else best
    return Tiling(
        np.where(wins, other.compute_s, best.compute_s),
        np.where(wins, other.partial_s, best.partial_s),
        np.where(wins, other.latency_s, best.latency_s),
    )


def _units(hardware: HardwareSpec) -> int:
    if hardware.units is None:
        msg = f"{hardware.name} states no units, which its calibration needs; add units: {{name: SM, count: ...}}"
        raise WorkloadError(msg)
    return hardware.units.count


def _half_cache(hardware: HardwareSpec) -> float:
    """Half of the last cache before device memory: what one partition of it holds. [B]"""
    _, *caches = (level for level in hardware.memory.values() if level.scope == "device")
    sizes = [level.capacity for level in caches if level.capacity]
    return max(sizes, default=0.0) / 2


def _float(number: Number) -> Number:
    return number if isinstance(number, np.ndarray) or is_symbolic(number) else float(number)
