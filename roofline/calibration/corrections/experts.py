"""Corrections of a mixture of experts: tiles of its groups, what moves between its kernels, sorting of tokens."""

from __future__ import annotations

from typing import Annotated, ClassVar

from roofline.calibration.corrections.correction import Correction, OfBandwidth, OfTile, OfTraffic, Prior, Rows, Time
from roofline.classes import frozen
from roofline.kept import padded
from roofline.number import Number, ceil_div, maximum, minimum

_LEAST_TILE, _BLOCK_ROWS, _BLOCK_COLUMNS = 16, 64, 128
_TILES = (8.0, 16.0, 32.0, 64.0, 128.0, 256.0)  # rows, of TensorRT-LLM's batched GEMM


@frozen
class GroupTail(Correction):
    """Grouped GEMM tail: in the mean half of a tile is computed in vain for each expert that is touched.

    FLOPs x (1 + tile / 2 x groups / rows of all groups), where a tile is as high as an expert has rows, of 16 that an
    instruction of a matrix unit takes to ``rows``; weights are not read more often.

    >>> GroupTail(64.0).factor(groups=8, rows=512), GroupTail(64.0).factor(groups=8, rows=1024)
    (1.5, 1.25)
    >>> GroupTail(64.0).factor(groups=8, rows=8)
    9.0
    """

    rows: Annotated[Rows, Prior(64.0, 0.7)]

    source: ClassVar = (
        "NVIDIA, Matrix Multiplication Background, tile quantization; PTX ISA, mma.m16n8k16; vLLM, fused_moe (tiles of "
        "16 rows for few tokens, 64 else). Of 16 to 128 rows no number is better than "
        "another by more than 0.1 points of median error (TensorRT-LLM, Triton, FlashInfer, bf16 and fp8, 5 devices)"
    )
    explained: ClassVar = "half of a tile of 16 to {rows} rows is computed in vain for each expert"

    def factor(self, groups: Number, rows: Number) -> Number:
        """How often the FLOPs of ``rows`` in so many groups count."""
        tile = minimum(self.rows, maximum(_LEAST_TILE, rows / groups))
        return 1.0 + tile / 2 * groups / rows


@frozen
class PairTiles(Correction):
    """Grouped GEMM tiles by all pairs: the tile of a step is the power of two that all its pairs would fill.

    Pairs of a token and an expert, wherever that is, over the experts at hand; 8 rows to ``rows``. Under expert
    parallelism a device has a part of the pairs, and computes the rest of each expert's tile in vain. Beside these,
    ``tail`` of a tile idles on every unit.

    >>> tiles = PairTiles(rows=128.0, tail=0.5)
    >>> tiles.tile(pairs=33.0), tiles.tile(pairs=1000.0)
    (64.0, 128.0)
    >>> tiles.factor(groups=8, rows=64, tile=64.0, columns=256, units=32)  # 512 rows, 16 blocks
    16.0
    """

    rows: Annotated[Rows, Prior(128.0, 0.7)]
    tail: Annotated[OfTile, Prior(0.5, 1.0)]

    source: ClassVar = (
        "TensorRT-LLM, computeSelectedTileN (num_tokens x top_k / num_local_experts, rounded up to a power of two) and "
        "FlashInfer's launchers of the same kernels, which tell the largest tiles: 64 rows for bf16 with 4-bit "
        "weights, 128 for bf16, fp8 and its blocks, 256 for fp4 and for fp8 with 4-bit weights. Sizes not fitted, "
        "balanced load, on a B200, in that order: 10.2, 9.9, 7.1, 9.0, 14.2 and 22.7 % with group_tail, 9.7, 9.5, 7.0, "
        "7.4, 8.3 and 15.2 % with it"
    )
    explained: ClassVar = (
        "tiles are as high as all pairs of the step would fill, {rows} rows at most, and {tail} of one idles on every "
        "unit"
    )

    def tile(self, pairs: Number) -> Number:
        """Rows of a tile where so many pairs come to each expert at hand."""
        return minimum(padded(pairs, _TILES), self.rows)

    def factor(self, groups: Number, rows: Number, tile: Number, columns: Number, units: Number) -> Number:
        """How often the FLOPs of ``rows`` in so many groups count."""
        blocks = GroupBlocks.count(groups, rows, columns, tile)
        return _computed(groups, rows, tile) / rows * (1.0 + self.tail * units / blocks)


def _computed(groups: Number, rows: Number, tile: Number) -> Number:
    """Rows that are computed: at least a tile for each expert, and half of one more in the mean."""
    return maximum(groups * tile, rows + groups * tile / 2)


@frozen
class GroupBlocks(Correction):
    """Grouped GEMM blocks: each tile of an expert's rows and of columns takes its unit ``each`` beside its traffic.

    A block starts its loads anew: it looks up its expert, fills its pipeline, and writes when that has run empty.
    Seconds = ``each`` x blocks / units, with an expert's rows in at least one tile, of 64 where none is told, and half
    of one more in the mean, and columns in tiles of 128.

    >>> GroupBlocks.count(groups=8, rows=8, columns=300), GroupBlocks.count(groups=8, rows=1024, columns=256)
    (24.0, 40.0)
    >>> GroupBlocks(1e-6).seconds(blocks=264, units=132)
    2e-06
    """

    each: Annotated[Time, Prior(1e-6, 1.5)]

    source: ClassVar = (
        "CUTLASS, Efficient GEMM (prologue and epilogue of a threadblock's main loop); vLLM, fused_moe (a program for "
        "each tile of an expert). Sizes not fitted, balanced and skewed loads: FlashInfer's CUTLASS on a B200 19.4 "
        "and 17.9 % median error without it, 4.5 and 4.2 % with it; Triton on an H100 5.9 and 7.0, then 8.5 and 9.1 % "
        "(benchmarks/expert_board.py --without group_blocks)"
    )
    explained: ClassVar = "a block of an expert's tile takes its unit {each} more"

    @staticmethod
    def count(groups: Number, rows: Number, columns: Number, tile: Number = _BLOCK_ROWS) -> Number:
        """Blocks of ``rows`` in so many groups, over all ``columns``."""
        return _computed(groups, rows, tile) / tile * ceil_div(columns, _BLOCK_COLUMNS)

    def seconds(self, blocks: Number, units: Number) -> Number:
        """What so many blocks on so many units take. [s]"""
        return self.each * blocks / units


@frozen
class RoutedPasses(Correction):
    """Routed activations: what a mixture hands from kernel to kernel moves at ``share`` x bandwidth, hidden by none.

    Seconds = bytes / (``share`` x bandwidth), beside the corner of work and weights. The first matmul reads copies of
    its tokens, in the order of their experts, which the permutation before it has written: as much twice more. Above 1
    where the last-level cache still holds what the kernel before wrote.

    >>> RoutedPasses(0.5).seconds(moved=100.0, bandwidth=200.0), RoutedPasses.copied_bytes(rows=8, row_bytes=32)
    (1.0, 512)
    """

    share: Annotated[OfBandwidth, Prior(0.6, 0.7)]

    source: ClassVar = (
        "the kernels of TensorRT-LLM's and vLLM's fused_moe (permute, grouped GEMM, activation, grouped GEMM, sum), "
        "timed whole in aiconfigurator (ai-dynamo, commit 095f58a)"
    )
    explained: ClassVar = "activations pass between the experts' kernels at {share} x bandwidth"

    def seconds(self, moved: Number, bandwidth: Number) -> Number:
        """What so many bytes take. [s]"""
        return moved / (self.share * bandwidth)

    @staticmethod
    def copied_bytes(rows: Number, row_bytes: Number) -> Number:
        """What sorted copies of so many rows move, written and read. [B]"""
        return 2 * rows * row_bytes


@frozen
class GatheredRows(Correction):
    """Gathered rows: the first matmul reads tokens where they lie, and no copies of them are sorted by expert.

    What stands between the kernels has a row for each pair of a token and an expert at hand, and for ``others`` of the
    pairs whose expert another device has: their rows are written as zeros, pass through the activation and are summed.

    >>> GatheredRows(1.0).added(moved=8.0, spread=4), GatheredRows(0.0).added(moved=8.0, spread=4)
    (24.0, 0.0)
    """

    others: Annotated[OfTraffic, Prior(1.0, 0.5)]

    source: ClassVar = (
        "vLLM, fused_moe (TritonExperts.apply: intermediate_cache1 to 3 and moe_sum over num_tokens x top_k; "
        "moe_align_block_size and write_zeros_to_output where expert_map says -1); FlashInfer, TensorRT-LLM's batched "
        "GEMM routes its input by an index of tokens"
    )
    explained: ClassVar = "tokens are read where they lie, and rows of other devices' pairs pass {others} x"

    def added(self, moved: Number, spread: Number) -> Number:
        """What passes of other devices' pairs: those at hand move ``moved``, all are ``spread`` times as many. [B]"""
        return self.others * (spread - 1.0) * moved


@frozen
class Dispatch(Correction):
    """MoE dispatch: sorting tokens by their experts, and a schedule over experts, before the first grouped GEMM.

    Latency + ``token`` x tokens of the step + ``expert`` x experts at hand.

    >>> Dispatch(token=2e-9, expert=1e-7).latency_s(tokens=0, experts=10)
    1e-06
    """

    token: Annotated[Time, Prior(2e-9, 1.5)]
    expert: Annotated[Time, Prior(2e-8, 1.5)]

    source: ClassVar = (
        "aiconfigurator (ai-dynamo, commit 095f58a): its rows of a mixture hold routing and sorting beside the grouped "
        "GEMMs"
    )
    explained: ClassVar = "sorting takes {token} for each token and {expert} for each expert"

    def latency_s(self, tokens: Number, experts: Number) -> Number:
        """How long it takes. [s]"""
        return self.token * tokens + self.expert * experts
