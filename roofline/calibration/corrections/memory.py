"""Corrections of memory traffic: blocks that read alone, what the last-level cache holds, rows that are read twice."""

from __future__ import annotations

from typing import Annotated, ClassVar

from roofline.calibration.corrections.correction import (
    Correction,
    Count,
    OfBandwidth,
    OfCache,
    OfTraffic,
    Prior,
    ShareOfBandwidth,
    Size,
    Time,
    Unit,
    Width,
)
from roofline.classes import frozen
from roofline.number import Number, ceil_div, maximum, minimum

_ROOM = 0.08
"""Beyond its capacity by so much, a cache that is read in turns has nothing of a round left when the next begins."""


def cache_bandwidth(width: Number, units: Number, clock: Number) -> Number:
    """Bandwidth of a last-level cache: ``width`` bytes per cycle to each of so many units, at ``clock`` [Hz]. [B/s]

    >>> cache_bandwidth(5.0, units=100, clock=2e9)
    1000000000000.0
    """
    return width * units * clock


@frozen
class BlockBandwidth(Correction):
    """Bandwidth of a thread block by itself: ``share`` x its unit's part of the device's, wave by wave.

    Where one block reads a row, or a sequence's keys, by itself, units that have none idle as if they moved as much.

    >>> whole = BlockBandwidth.in_waves(blocks=9, slots=8)  # the second wave has one block, and takes as long
    >>> whole, BlockBandwidth(0.5).seconds(whole * 100.0, bandwidth=1600.0)
    (16, 2.0)
    """

    share: Annotated[OfBandwidth, Prior(1.0, 0.5)]

    source: ClassVar = (
        "one block keeps too few loads in flight (Little's law), and waves are whole. A100: norms 13.5 % "
        "median error without it, 4.6 and 5.4 % with it; activations 8.8, then 6.3 %; decode of vLLM 8.7, then 7.7 %"
    )
    explained: ClassVar = "a block by itself moves {share} x its unit's part of the bandwidth"

    @staticmethod
    def in_waves(blocks: Number, slots: Number) -> Number:
        """Blocks, if those that the last wave of ``slots`` lacks are counted too."""
        return ceil_div(blocks, slots) * slots

    def seconds(self, moved: Number, bandwidth: Number) -> Number:
        """Time for what all blocks move, those that idle too. [s]"""
        return moved / (bandwidth * self.share)


@frozen
class CacheBandwidth(Correction):
    """L2 residency: what fits half of the last-level cache, one partition of it, moves at ``share`` x bandwidth.

    Seconds = (near / ``share`` + (bytes - near) / memory's share) / bandwidth, near = min(bytes, cache / 2).

    >>> CacheBandwidth(1.4).near(80.0, cache=100.0)
    50.0
    """

    share: Annotated[ShareOfBandwidth, Prior(0.8, 0.5)]

    source: ClassVar = (
        "NVIDIA A100 Tensor Core GPU Architecture, L2 cache in two partitions. A100: additions 11.3 % median error "
        "without it, 5.2 % with it; norms 8.0 and 8.1, then 4.6 and 5.4 %; rotations 7.5, then 5.6 %; "
        "gathers 7.1, then 7.7 %"
    )
    explained: ClassVar = "what fits half of the last cache moves at {share} x bandwidth"

    def near(self, moved: Number, cache: Number) -> Number:
        """What of the bytes moved the cache serves. [B]"""
        return minimum(moved, cache / 2)


@frozen
class ReuseBandwidth(Correction):
    """Producer-consumer reuse: what the kernel before left in the last-level cache moves at ``share`` x bandwidth.

    Seconds as those of CacheBandwidth with near = min(bytes, max(0, 3/4 cache - bytes)): the program and others hold a
    quarter, and what is more than the cache pushes itself out.

    >>> [ReuseBandwidth(3.0).near(moved, cache=100.0) for moved in (30.0, 50.0, 80.0)]
    [30.0, 25.0, 0.0]
    """

    share: Annotated[OfBandwidth, Prior(2.0, 1.0)]

    source: ClassVar = (
        "three calibrations of a Zen 3 core, with inputs as the step before leaves them, found 2.99 to 3.57 for "
        "elementwise kernels (validation_results/amd-epyc-milan-one-thread)"
    )
    explained: ClassVar = "what the kernel before left in the last cache moves at {share} x bandwidth"

    def near(self, moved: Number, cache: Number) -> Number:
        """What of the bytes moved the cache serves. [B]"""
        return minimum(moved, maximum(0.75 * cache - moved, 0.0))


@frozen
class LastCache(Correction):
    """A last-level cache of its own rate: activations that fit it move at ``rate`` per cycle and unit.

    Weights, and what a sequence keeps, are read once a step, after all others, and are not in it. All of what is near
    fits up to 7/10 of the cache, nothing from 4/5 on. ``most`` is what a streaming read reaches of it: the bound's.

    >>> cache = LastCache(rate=5.0, most=15.0)
    >>> [round(cache.near(moved, cache=100.0), 1) for moved in (70.0, 75.0, 80.0)]
    [70.0, 40.0, 0.0]
    """

    rate: Annotated[Width, Prior(5.0, 0.5)]
    most: Annotated[Width, Prior(15.0, 0.01)]

    source: ClassVar = (
        "gpu-benches, gpu-l2-cache (an L40 reads 5.2 TB/s from its L2, 14.7 B per cycle and SM). L40S, matmuls "
        "in bf16, not fitted: 15.7 % median error without it, 9.3 % with it (benchmarks/fit_devices.py --without "
        "last_cache)"
    )
    explained: ClassVar = "activations that fit the last cache move at {rate} and unit, at most at {most}"

    def near(self, moved: Number, cache: Number) -> Number:
        """What of the activations moved the cache serves. [B]"""
        return minimum(moved, maximum(8 * (0.8 * cache - moved), 0.0))

    def held(self, cache: Number) -> Number:
        """What of a cache of so many bytes may hold an operator's. [B]"""
        return cache


@frozen
class KeptWeights(Correction):
    """L2 residency of weights: a matmul run again and again by itself finds them where all sets it reads in turns fit.

    ``part`` of the last-level cache holds them, one partition of it; they move at ``rate`` per cycle and unit, at the
    memory's at least. In a model other layers run in between, and nothing is kept.

    >>> kept = KeptWeights(rate=15.0, part=0.5)
    >>> [round(kept.near(weights, sets=2, cache=200.0), 1) for weights in (50.0, 52.0, 54.0)]
    [50.0, 26.0, 0.0]
    >>> kept.near(50.0, sets=0, cache=200.0)
    0.0
    """

    rate: Annotated[Width, Prior(15.0, 0.5)]
    part: Annotated[OfCache, Prior(0.5, 0.01)]

    source: ClassVar = (
        "aiconfigurator, collector/trtllm/collect_gemm.py: as many sets of weights as fill the last cache, five at "
        "most, take turns; vLLM's six. An L40S reads weights of 1/3, 1/2 and all of its cache 2.4 to 4.5 x as fast as "
        "its memory. Caches of HBM devices have two partitions, and a unit reads of its own. Not fitted, bf16: H100 "
        "6.4 % median error without it, 5.9 % with it; H200 6.6, then 6.0; B200 7.7, then 7.3; L40S 9.3, then 7.9 %"
    )
    explained: ClassVar = "run by itself, weights that {part} of the last cache kept move at {rate} and unit"

    def near(self, weights: Number, sets: Number, cache: Number) -> Number:
        """What of so many bytes of weights, of which ``sets`` are read in turns, the cache serves. [B]"""
        over = maximum(sets * weights / maximum(self.part * cache, 1.0) - 1.0, 0.0)
        return weights * minimum(sets, 1.0) * maximum(1.0 - over / _ROOM, 0.0)


@frozen
class Ramp(Correction):
    """Memory ramp: until enough reads are in flight, bytes come at a lower rate (Little's law).

    Seconds + ``seconds`` x bytes / (bytes + ``seconds`` x bandwidth): nothing for a few, all of it for many.

    >>> Ramp(2e-6).added_s(moved=6e6, bandwidth=3e12)
    1e-06
    """

    seconds: Annotated[Time, Prior(0.5e-6, 0.7)]

    source: ClassVar = (
        "Little's law (Little 1961). Matmuls in bf16, not fitted: H200 8.5 % median error without it, 6.6 % with it; "
        "B200 8.3, then 7.7 %; H100 6.4, then 6.3 % (benchmarks/fit_devices.py --without ramp)"
    )
    explained: ClassVar = "memory takes up to {seconds} to come to its rate"

    def added_s(self, moved: Number, bandwidth: Number) -> Number:
        """What the bytes moved take longer. [s]"""
        return self.seconds * moved / (moved + self.seconds * bandwidth)

    def waited_s(self, moved: Number, bandwidth: Number) -> Number:
        """What of it no bandwidth shortens: its share of bytes that came at the full rate. [s]"""
        return self.added_s(moved, bandwidth) * moved / (moved + self.seconds * bandwidth)


@frozen
class RowWalk(Correction):
    """Row walk: a block has a row, and goes through it by ``step`` bytes, ``each`` of which takes that long.

    ``each`` x steps of a row, rounded up, x rows / (``held`` x units), of which there is 1 at least: a unit holds so
    many blocks at once.

    >>> walk = RowWalk(each=1e-6, step=12e3, held=8.0)
    >>> [round(walk.seconds(rows, row_bytes=30e3, units=100) * 1e6, 1) for rows in (1, 800, 1200)]
    [3.0, 3.0, 4.5]
    """

    each: Annotated[Time, Prior(8e-7, 1.0)]
    step: Annotated[Size, Prior(12e3, 0.01)]
    held: Annotated[Count, Prior(8.0, 0.01), Unit("blocks")]

    source: ClassVar = (
        "vLLM's dynamic_per_token_scaled_fp8_quant_kernel: a block of 256 threads for a token, 16 elements a thread. "
        "Columns not fitted, H100, H200, B200 and L40S: 21, 16, 10 and 16 % median error with a time for each byte of "
        "a row, 3.6, 3.6, 4.5 and 6.3 % in steps and from the last cache"
    )
    explained: ClassVar = "a row costs its block {each} for every {step}, of which a unit holds {held} blocks at once"

    def seconds(self, rows: Number, row_bytes: Number, units: Number) -> Number:
        """What so many rows take, of so many bytes each. [s]"""
        return self.each * ceil_div(row_bytes, self.step) * maximum(rows / (self.held * units), 1.0)


@frozen
class LongRows(Correction):
    """Multi-pass norm and softmax: a row of more than ``capacity`` bytes does not stay on the unit and is read again.

    Bytes + ``reread`` x those of the part of the rows beyond it, which is all of a row from twice ``capacity`` on.

    >>> [LongRows(4000.0, 0.5).again(row_bytes) for row_bytes in (4000, 6000, 8000, 80000)]
    [0.0, 0.25, 0.5, 0.5]
    """

    capacity: Annotated[Size, Prior(30e3, 1.0)]
    reread: Annotated[OfTraffic, Prior(0.5, 0.5)]

    source: ClassVar = (
        "NeuSight's fp32 rows (docs/accuracy.md): layernorm on two A100 15.5 and 12.0 % median error "
        "without it, 2.8 and 1.8 % with it; softmax on both and a V100 13.3, 13.7 and 8.5, then 7.8, 5.9 and 6.1 %"
    )
    explained: ClassVar = "rows beyond {capacity} are read again, {reread} x their traffic from twice that on"

    def again(self, row_bytes: Number) -> Number:
        """The part of a row's traffic that comes once more. [x traffic]"""
        beyond = minimum(maximum(row_bytes / self.capacity - 1, 0.0), 1.0)
        return self.reread * beyond
