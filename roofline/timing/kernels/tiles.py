"""Tile quantisation of a matmul: the fastest of the tiles, and of the splits of its depth, that libraries have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from roofline.calibration.corrections.matmuls import LeastTile, Tiles
from roofline.classes import frozen
from roofline.cost.kernel_shapes import MatmulShape
from roofline.errors import WorkloadError
from roofline.kept import Waves, least_waves
from roofline.number import Grid, Number, as_float, ceil_div, is_remembering, is_symbolic, least, minimum, where
from roofline.timing.rates import Rates

TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64), (32, 64), (64, 32), (32, 32))
"""Rows and columns of the output that one block of a matmul kernel computes; libraries have all of these."""

SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
"""Into how many parts a matmul kernel cuts its depth, to occupy more units."""

_SIDES, _PARTS = np.array(TILES, dtype=np.float64).T[:, :, None], np.array(SPLITS, dtype=np.float64)
_STEP = 32  # a block goes through its depth in steps of this many elements
_FEW = min(rows for rows, _ in TILES)  # rows that fill no tile
_CHUNK = 8192  # rows of a table at once
_AT_ONCE = 256  # rows of which all tilings stay in a cache side by side

_Tile: TypeAlias = tuple[float, float, float]
"""Rows of a tile, how many of them lie across, and the seconds of a step."""
_Known: TypeAlias = tuple[Tiles, LeastTile | None, float, float, float, float]
"""The tiles' constants, the smallest, peak, share, bandwidth and units of a :class:`TiledMatmul` in plain numbers."""


@frozen
class Tiling:
    """A matmul cut into tiles: compute at the rates reached, the traffic of partial sums, their kernel. [s]"""

    compute_s: Number
    partial_s: Number
    latency_s: Number

    @property
    def total_s(self) -> Number:
        """All of it; the tiling with the least is picked, so that more work never takes less."""
        return self.compute_s + self.partial_s + self.latency_s


@frozen
class TiledMatmul:
    """What tilings are made with: the tiles' constants, the peak [FLOP/s], the share that large matmuls reach of it.

    ``streams``: kernels that unpack narrow weights on the way take few rows as they are, without tiles. ``least``: the
    smallest tile.
    """

    tiles: Tiles
    peak: Number
    share: float
    hardware: Rates
    streams: bool = False
    least: LeastTile | None = None

    def fastest(self, shape: MatmulShape) -> Tiling:
        """The fastest tiling of a matmul, as a library picks it.

        A wave is one tile on every unit; the last wave takes as long as a full one.
        """
        tiled = self._tiled(shape)
        if not self.streams or is_symbolic(shape.rows, shape.columns, shape.depth):
            return tiled
        alone = 2 * as_float(shape.rows) * as_float(shape.columns) * as_float(shape.depth) / (self.peak * self.share)
        streamed = shape.rows <= _FEW
        return Tiling(
            where(streamed, alone, tiled.compute_s),
            where(streamed, 0.0, tiled.partial_s),
            where(streamed, 0.0, tiled.latency_s),
        )

    def _tiled(self, shape: MatmulShape) -> Tiling:
        sizes = (shape.rows, shape.columns, shape.depth)
        numbers = (*sizes, self.peak, self.hardware.bandwidth, self.hardware.unit_count)
        if all(map(_is_plain, numbers)):
            known = (self.tiles, self.least, float(self.peak), self.share, float(self.hardware.bandwidth))
            return _fastest_of_plain((*known, float(units_of(self.hardware))), *map(float, sizes))
        if is_remembering(*numbers):
            return self._fastest_of_one(shape) if is_remembering(*numbers[1:]) else self._fastest_of_rows(shape)
        if not is_symbolic(*sizes):
            return self._fastest_of_numbers(sizes)
        added = [sum(self._added(split, shape.rows * shape.columns)) for split in SPLITS]
        totals = [seconds + added[i] for i, seconds in self._candidates(shape)]
        return Tiling(least(totals), 0.0, 0.0)  # which tiling it is, symbols do not tell

    def _candidates(self, shape: MatmulShape) -> Iterator[tuple[int, Number]]:
        """For every split, by its place, and every tile: the seconds of compute."""
        units = units_of(self.hardware)
        steps = [ceil_div(shape.depth, _STEP * split) for split in SPLITS]
        for rows, columns in TILES:
            share = _filled(self.least, rows, columns) * minimum(self.share, self.tiles.share(rows, columns))
            step_s = 2 * rows * columns * _STEP * units / (self.peak * share)
            blocks = ceil_div(shape.rows, rows) * ceil_div(shape.columns, columns)
            for place, split in enumerate(SPLITS):
                yield place, ceil_div(blocks * split, units) * steps[place] * step_s

    def _added(self, split: Number, output: Number) -> tuple[Number, Number]:
        """Seconds of the traffic of partial sums, and of the kernel that adds them up; nothing without a split."""
        return self.tiles.partial_bytes(split, output) / self.hardware.bandwidth, self.tiles.added_s(split)

    def _fastest_of_one(self, shape: MatmulShape) -> Tiling:
        """The same for one matmul in numbers that remember."""
        compute: list[Number] = [math.inf] * len(SPLITS)
        for place, seconds in self._candidates(shape):
            compute[place] = minimum(compute[place], seconds)
        best: tuple[Number, ...] = (math.inf, 0.0, 0.0)
        for split, seconds in zip(SPLITS, compute, strict=True):
            partial, late = self._added(split, shape.rows * shape.columns)
            total = seconds + (partial + late)
            best = tuple(where(total < best[0], a, b) for a, b in zip((total, partial, late), best, strict=True))
        total, partial, late = best
        return Tiling(total - partial - late, partial, late)

    def _fastest_of_rows(self, shape: MatmulShape) -> Tiling:
        """The same where the rows alone remember: a search that they keep whole."""
        units, columns, depth = (float(each) for each in (units_of(self.hardware), shape.columns, shape.depth))
        step_s = _step_s(self.tiles, self.least, float(self.peak), self.share, units)[:, 0].tolist()
        sides = [(float(rows), float(ceil_div(columns, across))) for rows, across in TILES]
        tiles = _worth([(*side, seconds) for side, seconds in zip(sides, step_s, strict=True)])
        cut = SPLITS if self.tiles.cuts else SPLITS[:1]
        splits = [(float(split), float(ceil_div(depth, _STEP * split))) for split in cut]
        partial_s, late_s = self._added(2, columns) if len(cut) > 1 else (0.0, 0.0)
        waves = Waves(units, tiles, splits, float(partial_s) / 2, float(late_s))
        total, partial, late = least_waves(shape.rows, waves.table)
        return Tiling(total - partial - late, partial, late) if len(cut) > 1 else Tiling(total, 0.0, 0.0)

    def _fastest_of_numbers(self, sizes: tuple[Number, ...]) -> Tiling:
        """The same for numbers and arrays, in chunks that stay in a cache."""
        columns = np.broadcast_arrays(*(np.asarray(size, dtype=np.float64) for size in sizes))
        flat = [np.ascontiguousarray(column).reshape(-1) for column in columns]
        rates = (self.peak, self.hardware.bandwidth, self.hardware.unit_count)
        if flat[0].size <= _AT_ONCE and all(map(_is_plain, rates)):
            known = (self.tiles, self.least, float(self.peak), self.share, float(self.hardware.bandwidth))
            found = _fastest_of_few((*known, float(units_of(self.hardware))), np.array(flat))
            return Tiling(*(row.reshape(columns[0].shape)[()] for row in found))
        whole = np.empty((3, flat[0].size))
        for start in range(0, flat[0].size, _CHUNK):
            rows, outputs, depth = (column[start : start + _CHUNK] for column in flat)
            part = MatmulShape(rows, outputs, depth)
            output = np.asarray(part.rows * part.columns)
            added = [sum(self._added(split, output)) for split in SPLITS]
            best, picked = np.full(len(output), np.inf), np.ones(len(output))
            for place, seconds in self._candidates(part):
                total = seconds + added[place]
                wins = total < best
                np.copyto(best, np.asarray(total), where=wins)
                np.copyto(picked, SPLITS[place], where=wins)
            partial, late = self._added(picked, output)
            whole[:, start : start + _CHUNK] = best - partial - late, partial, late
        return Tiling(*(row.reshape(columns[0].shape)[()] for row in whole))


@lru_cache(maxsize=16_384)
def _fastest_of_plain(known: _Known, rows: float, columns: float, depth: float) -> Tiling:
    """The same for one matmul in plain numbers: all tilings at once; operators of a network and its batches recur."""
    tiles, _, _, _, bandwidth, _ = known
    compute = _compute_at_once(known, rows, columns, depth).min(axis=0)
    partial, late = tiles.partial_bytes(_PARTS, rows * columns) / bandwidth, tiles.added_s(_PARTS)
    totals = np.array([compute + (partial + late), partial, late])
    total, partial_s, late_s = totals[:, totals[0].argmin()].tolist()
    return Tiling(total - partial_s - late_s, partial_s, late_s)


def _fastest_of_few(known: _Known, sizes: Grid) -> Grid:
    """The same for few matmuls of so many rows, columns and depth, row by row of the result as in a tiling."""
    rows, columns, depth = sizes[:, :, None, None]
    compute = _compute_at_once(known, rows, columns, depth).min(axis=1)
    tiles, _, _, _, bandwidth, _ = known
    partial, late = np.asarray(tiles.partial_bytes(_PARTS, (rows * columns)[:, 0])) / bandwidth, tiles.added_s(_PARTS)
    totals = compute + (partial + late)
    each, picked = np.arange(len(totals)), totals.argmin(axis=1)
    partial, late = partial[each, picked], np.asarray(late)[picked]
    return np.array((totals[each, picked] - partial - late, partial, late))


def _compute_at_once(known: _Known, rows: float | Grid, columns: float | Grid, depth: float | Grid) -> Grid:
    """Seconds of compute of every tile, and in the last axis of every split."""
    tiles, smallest, peak, share, _, units = known
    blocks = np.ceil(rows / _SIDES[0]) * np.ceil(columns / _SIDES[1])
    steps = np.ceil(depth / (_STEP * _PARTS))
    compute: Grid = np.ceil(blocks * _PARTS / units) * steps * _step_s(tiles, smallest, peak, share, units)
    return compute


@lru_cache(maxsize=256)
def _step_s(tiles: Tiles, smallest: LeastTile | None, peak: float, share: float, units: float) -> Grid:
    """Seconds of a step of one block of each tile, with one on every unit, in a column."""
    shares = [_filled(smallest, *tile) * min(share, tiles.share(*tile)) for tile in TILES]
    seconds = [2 * r * c * _STEP * units / (peak * fed) for (r, c), fed in zip(TILES, shares, strict=True)]
    return np.array(seconds)[:, None]


def _worth(tiles: list[_Tile]) -> list[_Tile]:
    """Tiles but those that another covers, of as many rows, fewer of them across, in no more time."""
    found = dict.fromkeys(tiles)
    return [
        one
        for one in found
        if not any(other != one and other[0] >= one[0] and other[1] <= one[1] and other[2] <= one[2] for other in found)
    ]


def _filled(smallest: LeastTile | None, rows: int, columns: int) -> float:
    return smallest.filled(rows, columns) if smallest else 1.0


def _is_plain(size: Number) -> bool:
    return isinstance(size, (int, float, Fraction))


def units_of(hardware: Rates) -> Number:
    """How many units a device has. Raises WorkloadError where its spec does not say."""
    units = hardware.unit_count
    if not units if isinstance(units, int | float) else np.any(units == 0):
        msg = f"{hardware.name} states no units, which its calibration needs; add units: {{name: SM, count: ...}}"
        raise WorkloadError(msg)
    return units
