"""Corrections of fused attention by kernel library: tiles of queries, windows, caches written, blocks of decode."""

from __future__ import annotations

from typing import Annotated, ClassVar

from roofline.calibration.corrections.correction import (
    Columns,
    Correction,
    OfPeak,
    OfTile,
    OfTraffic,
    Prior,
    Rows,
    Size,
    Time,
    Width,
)
from roofline.calibration.corrections.memory import cache_bandwidth
from roofline.classes import frozen
from roofline.number import Number, ceil_div, maximum, minimum

_CORNER = 1.5  # of two parts of a tile, or of a kernel, that hide half of each other
_MANY = 1024  # keys from which on decode's kernels are as large as they get
_NARROW = 64  # the widest head that narrow tiles serve
_UNSPILLED = 192  # the widest head whose tile fits the registers of its threads
_THREADS = 128  # of a tile
_NARROW_TILE, _WIDE_TILE = 128 * 128, 64 * 32  # queries x keys


def half_hidden(a: Number, b: Number) -> Number:
    """Two times of which the shorter is half hidden: (a^1.5 + b^1.5)^(2/3).

    >>> half_hidden(1.0, 0.0), round(half_hidden(1.0, 1.0), 3)
    (1.0, 1.587)
    """
    total: Number = (a**_CORNER + b**_CORNER) ** (1 / _CORNER)
    return total


@frozen
class QueryTiles(Correction):
    """Query tiles of fused attention: ``rows`` queries of a head at once, ``narrow_rows`` of one of 64 or narrower.

    ``packed`` is 1 where the query heads of a key/value head share tiles, else 0. A tile costs ``each`` beside its
    work. Either all units are busy, or the longest tile runs on alone: ``tail`` of it counts.

    >>> tiles = QueryTiles(rows=128.0, narrow_rows=192.0, packed=1.0, each=2e-6, tail=1.0)
    >>> tiles.rows_of(head_dim=128), tiles.rows_of(head_dim=64), tiles.together(groups=4)
    (128.0, 192.0, 4.0)
    >>> tiles.count(heads=64, queries=100, groups=4, head_dim=128)
    64.0
    >>> round(tiles.seconds(4e-6, tiles=64.0, longest_s=1e-6, units=128) * 1e6, 2)
    6.45
    >>> round(tiles.work_s(4e-6, tiles=64.0, longest_s=1e-6, units=128) * 1e6, 2)
    4.2
    """

    rows: Annotated[Rows, Prior(128.0, 0.01)]
    narrow_rows: Annotated[Rows, Prior(128.0, 0.01)]
    packed: Annotated[OfTile, Prior(1.0, 0.01)]
    each: Annotated[Time, Prior(3e-6, 1.0)]
    tail: Annotated[OfTile, Prior(0.7, 1.0)]

    source: ClassVar = (
        "FlashAttention-2 and -3 (Dao 2023, arXiv 2307.08691, section 3; Shah et al. 2024, arXiv 2407.08608), which "
        "hide the softmax behind the matmuls in part. Prefill of TensorRT-LLM on heads not fitted: H100 5.1 %, "
        "H200 4.9 %, B200 4.5 % and L40S 8.2 % median error"
    )
    explained: ClassVar = (
        "tiles of {rows} queries, {narrow_rows} of narrow heads, grouped heads {packed} x packed, cost {each} each; "
        "{tail} of the longest runs alone"
    )

    def rows_of(self, head_dim: Number) -> Number:
        """Queries of one tile."""
        narrow = minimum(maximum(_NARROW + 1 - head_dim, 0), 1)
        return self.rows + (self.narrow_rows - self.rows) * narrow

    def together(self, groups: Number) -> Number:
        """Query heads that share a tile, of so many that share keys."""
        return 1.0 + self.packed * (groups - 1)

    def count(self, heads: Number, queries: Number, groups: Number, head_dim: Number) -> Number:
        """Tiles of all query heads of all sequences."""
        together = self.together(groups)
        return heads / together * ceil_div(queries * together, self.rows_of(head_dim))

    def seconds(self, work_s: Number, tiles: Number, longest_s: Number, units: Number) -> Number:
        """All tiles on all units, or the longest alone: its work takes ``longest_s``. [s]"""
        return half_hidden(work_s + tiles * self.each / units, self.tail * (longest_s + self.each))

    def work_s(self, work_s: Number, tiles: Number, longest_s: Number, units: Number) -> Number:
        """What of these seconds is work: by how much a rate of work shortens them. The rest is as fixed as ``each``."""
        even, last = work_s + tiles * self.each / units, self.tail * (longest_s + self.each)
        slope = even ** (_CORNER - 1) * work_s + last ** (_CORNER - 1) * self.tail * longest_s
        found: Number = slope / half_hidden(even, last) ** (_CORNER - 1)
        return found


@frozen
class WindowEdge(Correction):
    """Ragged window: where a window cuts keys off, a tile computes ``share`` x its queries more keys than each sees.

    >>> WindowEdge(2.0).extra_keys(tokens=128.0)
    256.0
    """

    share: Annotated[OfTile, Prior(1.0, 1.0)]

    source: ClassVar = (
        "blocks that a mask leaves out are skipped whole (Dao 2023, arXiv 2307.08691, section 3.1), and the windows of "
        "a tile's queries differ. Fitted to TensorRT-LLM's and FlashAttention-3's prefill"
    )
    explained: ClassVar = "a window computes {share} x a tile's queries more keys"

    def extra_keys(self, tokens: Number) -> Number:
        """Keys beyond those that a query sees, in a tile of so many tokens."""
        return self.share * tokens


@frozen
class PackedPass(Correction):
    """Packed QKV pass: before attention, a kernel moves ``traffic`` x the packed q, k and v, rotated and cached.

    >>> PackedPass(2.0).extra_bytes(query_bytes=400.0, new_bytes=100.0)
    900.0
    """

    traffic: Annotated[OfTraffic, Prior(2.0, 0.01)]

    source: ClassVar = (
        "TensorRT-LLM 1.3's attention takes q, k and v packed and writes the cache itself: read once, written once"
    )
    explained: ClassVar = "packed q, k and v move {traffic} x before attention"

    def extra_bytes(self, query_bytes: Number, new_bytes: Number) -> Number:
        """What moves beside q, output and keys: the pass, less the new keys and values, which it leaves near. [B]"""
        return self.traffic * (query_bytes + new_bytes) - new_bytes


@frozen
class CacheWrite(Correction):
    """KV cache write: before attention, a kernel copies new keys and values to the cache, a block for each token.

    Bytes + ``traffic`` x those of the new keys and values; latency + ``each`` x tokens / units. Encoders write none.

    >>> CacheWrite(traffic=2.0, each=1e-7).latency_s(tokens=1000, units=100)
    1e-06
    """

    traffic: Annotated[OfTraffic, Prior(2.0, 0.01)]
    each: Annotated[Time, Prior(1e-7, 1.0)]

    source: ClassVar = "vLLM's reshape_and_cache (Kwon et al. 2023, arXiv 2309.06180), timed with its attention"
    explained: ClassVar = "new keys and values move {traffic} x more, each token costs a unit {each}"

    def latency_s(self, tokens: Number, units: Number) -> Number:
        """The latency of the kernel's blocks. [s]"""
        return self.each * tokens / units


@frozen
class HeadPadding(Correction):
    """Padded head width: a head wider than 64 is computed as one of ``width``, where that is wider.

    >>> [HeadPadding(96.0).factor(head_dim) for head_dim in (64, 72.0, 128)]
    [1.0, 1.3333333333333333, 1.0]
    """

    width: Annotated[Columns, Prior(96.0, 0.01)]

    source: ClassVar = (
        "kernels are compiled for some widths: 64, 96, 128 ... (FlashAttention's hdim). Encoders of 72 and 80"
    )
    explained: ClassVar = "heads wider than 64 are computed as {width} wide"

    def factor(self, head_dim: Number) -> Number:
        """How often the FLOPs of a head count."""
        wide = minimum(maximum(head_dim - _NARROW, 0), 1)
        return 1.0 + wide * maximum(self.width / head_dim - 1, 0.0)


@frozen
class SlowWidth(Correction):
    """A head width without a kernel of its generation: matmuls of ``width`` take ``times`` as long.

    >>> [SlowWidth(72.0, 7.0).factor(head_dim) for head_dim in (64, 72, 80)]
    [1.0, 7.0, 1.0]
    """

    width: Annotated[Columns, Prior(72.0, 0.01)]
    times: Annotated[OfPeak, Prior(5.0, 1.0)]

    source: ClassVar = "encoders of TensorRT-LLM on a B200: heads of 72 take as long as an older generation's kernel"
    explained: ClassVar = "heads of {width} take {times} as long"

    def factor(self, head_dim: Number) -> Number:
        """How often the FLOPs of a head count."""
        other = minimum(maximum(head_dim - self.width, self.width - head_dim), 1)
        return self.times - (self.times - 1) * other


@frozen
class KernelWidths(Correction):
    """Head widths that have a kernel of their dtype, ``least`` to ``most``; matmuls of others take ``times`` as long.

    >>> [KernelWidths(128.0, 192.0, 3.0).factor(head_dim) for head_dim in (64, 128, 192, 256)]
    [3.0, 1.0, 1.0, 3.0]
    """

    least: Annotated[Columns, Prior(128.0, 0.01)]
    most: Annotated[Columns, Prior(192.0, 0.01)]
    times: Annotated[OfPeak, Prior(2.5, 0.7)]

    source: ClassVar = (
        "training on an A100 (flash-attention, commit 0251105): heads of 128 of FlashAttention in Triton, which has "
        "kernels for widths of 16 to 64 (benchmarks/fit_training_attention.py)"
    )
    explained: ClassVar = "heads narrower than {least} or wider than {most} take {times} as long"

    def factor(self, head_dim: Number) -> Number:
        """How often the FLOPs of a head count."""
        outside = minimum(maximum(self.least - head_dim, 0.0) + maximum(head_dim - self.most, 0.0), 1.0)
        return 1.0 + (self.times - 1.0) * outside


@frozen
class SpilledTiles(Correction):
    """Spilled registers: what a thread keeps outside of its 255 registers goes out and in with each tile of keys.

    Of heads of 64 or narrower ``narrow`` bytes in tiles of 128 queries x 128 keys, of wider ones than 192 ``wide``
    bytes in tiles of 64 x 32, none between; 128 threads a tile. At ``rate`` per cycle and unit, half hidden.

    >>> spilled = SpilledTiles(narrow=728.0, wide=496.0, rate=14.7)
    >>> [spilled.pair_bytes(head_dim) for head_dim in (64, 128, 192, 256)]
    [11.375, 0.0, 0.0, 62.0]
    >>> round(spilled.seconds(256, units=100, clock=2e9) * 1e12, 1)
    21.1
    """

    narrow: Annotated[Size, Prior(728.0, 0.01)]
    wide: Annotated[Size, Prior(496.0, 0.01)]
    rate: Annotated[Width, Prior(14.7, 0.01)]

    source: ClassVar = (
        "TensorRT-LLM's kernels in e4m3 for compute capability 8.9 (cpp/kernels/fmha_v2/setup.py, "
        "enumerate_qmma_flash_kernels: tiles, no granular ones) as it ships them: 255 registers a thread and a frame "
        "of 728 bytes for heads of 64, 496 for 256 (.nv.info of the causal kernels' cubins). A unit of an L40 reads "
        "14.7 bytes a cycle of its last cache (gpu-benches)"
    )
    explained: ClassVar = "spilled registers of {narrow} a thread in narrow heads, {wide} in wide ones, at {rate}"

    def pair_bytes(self, head_dim: Number) -> Number:
        """Bytes out and in for one query and key of a head."""
        narrow = minimum(maximum(_NARROW + 1 - head_dim, 0), 1)
        wide = minimum(maximum(head_dim - _UNSPILLED, 0), 1)
        return 2 * _THREADS * (narrow * self.narrow / _NARROW_TILE + wide * self.wide / _WIDE_TILE)

    def seconds(self, head_dim: Number, units: Number, clock: Number) -> Number:
        """Seconds of one query and key of a head, on all units. [s]"""
        return self.pair_bytes(head_dim) / cache_bandwidth(self.rate, units, clock)


@frozen
class MaskedWork(Correction):
    """Uneven blocks under a mask: the work of attention that a mask cuts takes ``times`` as long for what it computes.

    Blocks of early queries see few keys and end first, so that units wait for those of the last ones.

    >>> [MaskedWork(1.2).factor(bidirectional=full) for full in (True, False)]
    [1.0, 1.2]
    """

    times: Annotated[OfPeak, Prior(1.1, 0.3)]

    source: ClassVar = (
        "training on an A100 (flash-attention, commit 0251105), widths of heads with and without a mask left out in "
        "turn: FlashAttention 2 5.1 % median error without it, 2.2 % with it; 1 in Triton 19.8 % and 3.5 %"
    )
    explained: ClassVar = "what a mask leaves takes {times} as long"

    def factor(self, *, bidirectional: bool) -> float:
        """How often the work counts."""
        return 1.0 if bidirectional else float(self.times)


@frozen
class BackwardWork(Correction):
    """Backward pass of fused attention: its matmuls take ``times`` as long for their FLOPs as those of the forward one.

    It has five matmuls where the forward pass has two, keeps more tiles at hand, and adds gradients of queries up in
    memory.

    >>> [BackwardWork(1.5).factor(backward=each) for each in (False, True)]
    [1.0, 1.5]
    """

    times: Annotated[OfPeak, Prior(1.3, 0.3)]

    source: ClassVar = (
        "FlashAttention 2 reaches up to 73 % of an A100's peak forward and 63 % backward, 1 50 and 35 % (Dao 2023, "
        "arXiv 2307.08691, section 1). Training steps of MPT on A100 of 80 GB, 1 in Triton: 90 % of them within 22 % "
        "where both passes reached the same shares, within 8 % with one fitted to those of 40 GB"
    )
    explained: ClassVar = "backward, FLOPs take {times} as long"

    def factor(self, *, backward: bool) -> float:
        """How often the FLOPs of a pass count."""
        return float(self.times) if backward else 1.0


@frozen
class DecodeBlocks(Correction):
    """Decode blocks: each sequence and key/value head has a block for every ``rows`` of its query heads.

    Compute + ``each`` x blocks / units.

    >>> DecodeBlocks(each=2e-6, rows=16.0).seconds(blocks=6, units=4)
    3e-06
    >>> DecodeBlocks(each=2e-6, rows=16.0).count(batch=2, kv_heads=4, groups=17)
    16
    """

    each: Annotated[Time, Prior(2e-6, 1.0)]
    rows: Annotated[Rows, Prior(16.0, 0.01)]

    source: ClassVar = (
        "grouped query heads are the rows of a matmul instruction, 16 at least (XQA in TensorRT-LLM; Flash-Decoding, "
        "Dao et al. 2023). Fitted to decode of each library"
    )
    explained: ClassVar = "each block of {rows} query heads costs {each}"

    def count(self, batch: Number, kv_heads: Number, groups: Number) -> Number:
        """Blocks of all sequences."""
        return batch * kv_heads * ceil_div(groups, self.rows)

    def seconds(self, blocks: Number, units: Number) -> Number:
        """What so many blocks cost. [s]"""
        return self.each * blocks / units


@frozen
class HeadBlocks(Correction):
    """Multi-head decode kernel: query heads that share no keys, or of which more than 32 do, have a block each.

    Each costs ``each``; where more than 32 share keys, each reads them again, at ``rate`` per cycle and unit.

    >>> blocks = HeadBlocks(each=1e-6, rate=20.0)
    >>> [blocks.alone(groups) for groups in (1, 8, 64)], [blocks.beyond(groups) for groups in (1, 8, 64)]
    ([1, 0, 1], [0, 0, 1])
    >>> blocks.again_s(2e9, units=100, clock=2e9)
    0.0005
    """

    each: Annotated[Time, Prior(1.5e-6, 1.0)]
    rate: Annotated[Width, Prior(20.0, 1.0)]

    source: ClassVar = (
        "TensorRT-LLM: XQA serves 2 to 32 query heads of a key/value head, masked multi-head attention the others"
    )
    explained: ClassVar = "query heads by themselves cost {each} each and read keys at {rate} and unit"

    def beyond(self, groups: Number) -> Number:
        """1 for more query heads than share a block, else 0."""
        return minimum(maximum(groups - 32, 0), 1)

    def alone(self, groups: Number) -> Number:
        """1 where each query head has a block, else 0."""
        return 1 - minimum(groups - 1, 1) + self.beyond(groups)

    def again_s(self, moved: Number, units: Number, clock: Number) -> Number:
        """Seconds of keys and values that all query heads read, ``moved`` in all. [s]"""
        return moved / cache_bandwidth(self.rate, units, clock)


@frozen
class Unsplit(Correction):
    """Unsplit decode: without groups, or under a window, each query head has a block, which reads its keys alone.

    At ``rate`` per cycle, or wave by wave where there are more blocks than units. Over latents a block has all heads.

    >>> Unsplit(20.0).alone(groups=4, windowed=0), Unsplit(20.0).alone(groups=4, windowed=1)
    (0, 1)
    >>> Unsplit(20.0).seconds(4e5, blocks=200, units=100, clock=2e9)
    2e-05
    """

    rate: Annotated[Width, Prior(15.0, 1.0)]

    source: ClassVar = (
        "FlashAttention-2 in vLLM: keys are split over blocks only for grouped heads without a window. Latents on an "
        "L40S, TensorRT-LLM 1.0, heads not fitted: 17.6 % median error without it, 4.3 % with it (benchmarks/"
        "fit_devices.py --without unsplit)"
    )
    explained: ClassVar = "without groups, or under a window, a block reads its keys at {rate}"

    def alone(self, groups: Number, windowed: Number) -> Number:
        """1 where each query head has a block, else 0."""
        return 1 - minimum(groups - 1, 1) * (1 - windowed)

    def seconds(self, moved: Number, blocks: Number, units: Number, clock: Number) -> Number:
        """Seconds of keys and values, ``moved`` by each block. [s]"""
        return maximum(blocks / units, 1.0) * moved / (self.rate * clock)


@frozen
class KeyGrowth(Correction):
    """Decode's growth with keys: up to 1,024 keys, the latency grows by ``seconds``: more blocks, and their reduction.

    >>> KeyGrowth(4e-6).latency_s(keys=512), KeyGrowth(4e-6).latency_s(keys=4096)
    (2e-06, 4e-06)
    """

    seconds: Annotated[Time, Prior(2e-6, 1.0)]

    source: ClassVar = "split keys need a reduction (Flash-Decoding, Dao et al. 2023). Fitted to decode of each library"
    explained: ClassVar = "{seconds} more from 1,024 keys on"

    def latency_s(self, keys: Number) -> Number:
        """What is added for so many keys. [s]"""
        return self.seconds * minimum(keys / _MANY, 1.0)


@frozen
class WorkingSet(Correction):
    """Attention out of the last-level cache: a working set that fits it moves at ``rate`` per cycle and unit.

    All of it does up to the capacity, nothing from 5/4 on: a cyclic read misses all at once. ``most`` is what a
    streaming read reaches of the cache: the bound's.

    >>> [WorkingSet(10.0, 15.0).near(held, cache=100.0) for held in (80.0, 112.5, 200.0)]
    [1.0, 0.5, 0.0]
    """

    rate: Annotated[Width, Prior(10.0, 1.0)]
    most: Annotated[Width, Prior(15.0, 0.01)]

    source: ClassVar = (
        "gpu-benches, gpu-l2-cache (an L40 reads 14.7 B per cycle and SM from its L2). L40S, TensorRT-LLM, heads not "
        "fitted: prefill 20.2 % median error without it, 8.2 % with it, decode 15.2, then 8.7 % (benchmarks/"
        "fit_devices.py --without working_set)"
    )
    explained: ClassVar = "a working set that fits the last cache moves at {rate} and unit, at most at {most}"

    def near(self, held: Number, cache: Number) -> Number:
        """The share of the traffic that the cache serves."""
        return minimum(maximum(5.0 - 4.0 * held / cache, 0.0), 1.0)

    def held(self, cache: Number) -> Number:
        """What of an operator's traffic a cache of so many bytes may serve. [B]"""
        return 1.25 * cache
