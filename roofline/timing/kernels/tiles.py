"""Tile quantisation of a matmul: the fastest of the tiles, and of the splits of its depth, that libraries have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from roofline.calibration.corrections.matmuls import LeastTile, SplitK, Tiles
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

_Known: TypeAlias = tuple[Tiles, SplitK | None, LeastTile | None, float, float, float, float]
"""The constants of tiles, splits and the smallest tile, peak, share, bandwidth and units of a :class:`TiledMatmul`."""


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

    ``split``: what cutting the depth costs, None for kernels that cut none. ``least``: the smallest tile. ``streams``:
    kernels that unpack narrow weights on the way take few rows as they are, without tiles.
    """

    tiles: Tiles
    peak: Number
    share: float
    hardware: Rates
    split: SplitK | None = None
    least: LeastTile | None = None
    streams: bool = False

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
            return _fastest_of_plain(self._known(), *map(float, sizes))
        if is_remembering(*numbers):
            return self._fastest_of_one(shape) if is_remembering(*numbers[1:]) else self._fastest_of_rows(shape)
        if not is_symbolic(*sizes):
            return self._fastest_of_numbers(sizes)
        added = [sum(self._added(parts, shape.rows * shape.columns)) for parts in self._splits]
        totals = [seconds + added[i] for i, seconds in self._candidates(shape)]
        return Tiling(least(totals), 0.0, 0.0)  # which tiling it is, symbols do not tell

    @property
    def _splits(self) -> tuple[int, ...]:
        """Into how many parts the kernels may cut a depth."""
        return SPLITS if self.split else SPLITS[:1]

    def _known(self) -> _Known:
        """All of it where it is plain numbers."""
        numbers = (float(self.peak), self.share, float(self.hardware.bandwidth), float(units_of(self.hardware)))
        return (self.tiles, self.split, self.least, *numbers)

    def _candidates(self, shape: MatmulShape) -> Iterator[tuple[int, Number]]:
        """For every split, by its place, and every tile: the seconds of compute."""
        units = units_of(self.hardware)
        steps = [ceil_div(shape.depth, _STEP * split) for split in self._splits]
        for rows, columns in TILES:
            share = _fed(self.tiles, self.least, self.share, rows, columns)
            step_s = 2 * rows * columns * _STEP * units / (self.peak * share)
            blocks = ceil_div(shape.rows, rows) * ceil_div(shape.columns, columns)
            for place, split in enumerate(self._splits):
                yield place, ceil_div(blocks * split, units) * steps[place] * step_s

    def _added(self, parts: Number, output: Number) -> tuple[Number, Number]:
        """Seconds of the traffic of partial sums, and of the kernel that adds them up; nothing without a split."""
        if self.split is None:
            return 0.0, 0.0
        return self.split.partial_bytes(parts, output) / self.hardware.bandwidth, self.split.added_s(parts)

    def _fastest_of_one(self, shape: MatmulShape) -> Tiling:
        """The same for one matmul in numbers that remember."""
        compute: list[Number] = [math.inf] * len(self._splits)
        for place, seconds in self._candidates(shape):
            compute[place] = minimum(compute[place], seconds)
        best: tuple[Number, ...] = (math.inf, 0.0, 0.0)
        for parts, seconds in zip(self._splits, compute, strict=True):
            partial, late = self._added(parts, shape.rows * shape.columns)
            total = seconds + (partial + late)
            best = tuple(where(total < best[0], a, b) for a, b in zip((total, partial, late), best, strict=True))
        total, partial, late = best
        return Tiling(total - partial - late, partial, late)

    def _fastest_of_rows(self, shape: MatmulShape) -> Tiling:
        """The same where the rows alone remember: a search that they keep whole."""
        units, columns, depth = (float(each) for each in (units_of(self.hardware), shape.columns, shape.depth))
        step_s = _step_s(self._known())[:, 0].tolist()
        sides = [(float(rows), float(ceil_div(columns, across))) for rows, across in TILES]
        tiles = [(*side, seconds) for side, seconds in zip(sides, step_s, strict=True)]
        splits = [(float(split), float(ceil_div(depth, _STEP * split))) for split in self._splits]
        partial_s, late_s = self._added(2, columns)
        waves = Waves(units, tiles, splits, float(partial_s) / 2, float(late_s)).pruned()
        total, partial, late = least_waves(shape.rows, waves.table)
        return Tiling(total - partial - late, partial, late) if self.split else Tiling(total, 0.0, 0.0)

    def _fastest_of_numbers(self, sizes: tuple[Number, ...]) -> Tiling:
        """The same for numbers and arrays, in chunks that stay in a cache."""
        columns = np.broadcast_arrays(*(np.asarray(size, dtype=np.float64) for size in sizes))
        flat = [np.ascontiguousarray(column).reshape(-1) for column in columns]
        rates = (self.peak, self.hardware.bandwidth, self.hardware.unit_count)
        if flat[0].size <= _AT_ONCE and all(map(_is_plain, rates)):
            found = _fastest_of_few(self._known(), np.array(flat))
            return Tiling(*(row.reshape(columns[0].shape)[()] for row in found))
        if all(map(_is_plain, rates)):
            every, places = flat, None
            if all(map(_is_plain, sizes[1:])):  # chunks and lengths that are tried often have the same rows
                once, places = np.unique(flat[0], return_inverse=True)
                every = [once, *(np.full(len(once), column[0]) for column in flat[1:])]
            whole = np.empty((3, len(every[0])))
            for start in range(0, len(every[0]), _CHUNK):
                chunk = slice(start, start + _CHUNK)
                _fastest_of_many(self._known(), [column[chunk] for column in every], whole[:, chunk])
            found = whole if places is None else whole[:, places]
            return Tiling(*(row.reshape(columns[0].shape)[()] for row in found))
        whole = np.empty((3, flat[0].size))
        for start in range(0, flat[0].size, _CHUNK):
            rows, outputs, depth = (column[start : start + _CHUNK] for column in flat)
            part = MatmulShape(rows, outputs, depth)
            output = np.asarray(part.rows * part.columns)
            added = [sum(self._added(parts, output)) for parts in self._splits]
            best, picked = np.full(len(output), np.inf), np.ones(len(output))
            for place, seconds in self._candidates(part):
                total = seconds + added[place]
                wins = total < best
                np.copyto(best, np.asarray(total), where=wins)
                np.copyto(picked, self._splits[place], where=wins)
            partial, late = self._added(picked, output)
            for row, seconds in zip(whole, (best - partial - late, partial, late), strict=True):
                row[start : start + _CHUNK] = seconds
        return Tiling(*(row.reshape(columns[0].shape)[()] for row in whole))


@lru_cache(maxsize=16_384)
def _fastest_of_plain(known: _Known, rows: float, columns: float, depth: float) -> Tiling:
    """The same for one matmul in plain numbers: all tilings at once; operators of a network and its batches recur."""
    _, split, _, _, _, bandwidth, _ = known
    compute = _compute_at_once(known, rows, columns, depth).min(axis=0)
    if split is None:
        return Tiling(float(compute[0]), 0.0, 0.0)
    partial, late = split.partial_bytes(_PARTS, rows * columns) / bandwidth, split.added_s(_PARTS)
    totals = np.array([compute + (partial + late), partial, late])
    total, partial_s, late_s = totals[:, totals[0].argmin()].tolist()
    return Tiling(total - partial_s - late_s, partial_s, late_s)


def _fastest_of_few(known: _Known, sizes: Grid) -> Grid:
    """The same for few matmuls of so many rows, columns and depth, row by row of the result as in a tiling."""
    rows, columns, depth = sizes[:, :, None, None]
    compute = _compute_at_once(known, rows, columns, depth).min(axis=1)
    _, split, _, _, _, bandwidth, _ = known
    if split is None:
        return np.array((compute[:, 0], *np.zeros((2, len(compute)))))
    partial, late = np.asarray(split.partial_bytes(_PARTS, (rows * columns)[:, 0])) / bandwidth, split.added_s(_PARTS)
    totals = compute + (partial + late)
    each, picked = np.arange(len(totals)), totals.argmin(axis=1)
    partial, late = partial[each, picked], np.asarray(late)[picked]
    return np.array((totals[each, picked] - partial - late, partial, late))


def _fastest_of_many(known: _Known, sizes: Sequence[Grid], found: Grid) -> None:
    """The same for many, written into rows as in a tiling: one array for all tiles of a split in place of one each."""
    (rows, columns, depth), (_, split, _, _, _, bandwidth, units) = sizes, known
    tiles = zip(TILES, _step_s(known)[:, 0].tolist(), strict=True)
    blocks = [(np.ceil(rows / tall) * np.ceil(columns / wide), seconds) for (tall, wide), seconds in tiles]
    best, partial, late = found
    best.fill(np.inf)
    partial.fill(0.0)
    late.fill(0.0)
    least_s, way = np.empty(len(rows)), np.empty(len(rows))
    for parts in SPLITS if split else SPLITS[:1]:
        steps = np.ceil(depth / (_STEP * parts))
        least_s.fill(np.inf)
        for many, seconds in blocks:
            np.multiply(many, parts, out=way)
            np.divide(way, units, out=way)
            np.ceil(way, out=way)
            np.multiply(way, steps, out=way)
            np.multiply(way, seconds, out=way)
            np.minimum(least_s, way, out=least_s)
        moved: Grid = np.asarray(split.partial_bytes(parts, rows * columns)) / bandwidth if split else np.zeros(1)
        added = float(split.added_s(parts)) if split else 0.0
        least_s += moved + added
        wins = least_s < best
        for row, value in ((best, least_s), (partial, moved), (late, added)):
            np.copyto(row, value, where=wins)
    np.subtract(best, partial, out=best)
    np.subtract(best, late, out=best)


def _compute_at_once(known: _Known, rows: float | Grid, columns: float | Grid, depth: float | Grid) -> Grid:
    """Seconds of compute of every tile, and in the last axis of every split."""
    _, split, _, _, _, _, units = known
    parts = _PARTS if split else _PARTS[:1]
    blocks = np.ceil(rows / _SIDES[0]) * np.ceil(columns / _SIDES[1])
    steps = np.ceil(depth / (_STEP * parts))
    compute: Grid = np.ceil(blocks * parts / units) * steps * _step_s(known)
    return compute


@lru_cache(maxsize=256)
def _step_s(known: _Known) -> Grid:
    """Seconds of a step of one block of each tile, with one on every unit, in a column."""
    tiles, _, smallest, peak, share, _, units = known
    shares = [_fed(tiles, smallest, share, *tile) for tile in TILES]
    seconds = [2 * r * c * _STEP * units / (peak * fed) for (r, c), fed in zip(TILES, shares, strict=True)]
    return np.array(seconds)[:, None]


def _fed(tiles: Tiles, smallest: LeastTile | None, share: float, rows: int, columns: int) -> float:
    """The share of the peak that a tile of so many rows and columns reaches; ``share``: that of a large matmul."""
    filled = smallest.filled(rows, columns) if smallest else 1.0
    return filled * min(share, tiles.share(rows, columns))


def _is_plain(size: Number) -> bool:
    return isinstance(size, (int, float, Fraction))


def units_of(hardware: Rates) -> Number:
    """How many units a device has. Raises WorkloadError where its spec does not say."""
    units = hardware.unit_count
    if not units if isinstance(units, int | float) else np.any(units == 0):
        msg = f"{hardware.name} states no units, which its calibration needs; add units: {{name: SM, count: ...}}"
        raise WorkloadError(msg)
    return units
