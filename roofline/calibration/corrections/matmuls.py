"""Corrections of matmuls: tiles and waves, packed weights, prefetching, wide outputs, the rows of an expert's group."""

from __future__ import annotations

from typing import Annotated, ClassVar

from roofline.calibration.corrections.correction import (
    Columns,
    Correction,
    Elements,
    OfPeak,
    OfTraffic,
    Prior,
    Rows,
    Time,
)
from roofline.classes import frozen
from roofline.number import Number, maximum, minimum

_TILE = 128  # rows and columns of a tile in the mean
_SIDE = 64  # rows x columns / (rows + columns) of the tile that ``feed`` is stated for, 128 x 128
_STREAMED_ROWS = 8  # of an operand that kernels of a matrix times vectors take at most
_PARTIAL_BYTES = 8  # a partial sum is an fp32, written and read


@frozen
class Tiles(Correction):
    """Tile and wave quantisation: a matmul is computed in whole tiles, wave by wave.

    A tile of tm x tn reads tm + tn elements for each of its tm tn products, so that a small one is fed more slowly:
    at ``feed`` x peak x tm tn / (tm + tn) / 64, which is ``feed`` for 128 x 128.

    >>> Tiles(1.0).share(128, 128), Tiles(1.0).share(32, 32)
    (1.0, 0.25)
    """

    feed: Annotated[OfPeak, Prior(1.0, 0.5)]

    source: ClassVar = (
        "NVIDIA, Matrix Multiplication Background, tile and wave quantization. A100, bf16, beside split_k: "
        "10.5 % median error without it, 7.6 % with it"
    )
    explained: ClassVar = "128 x 128 is fed at {feed} x peak"

    def share(self, rows: int, columns: int) -> float:
        """The share of the peak at which a tile of so many rows and columns is fed."""
        return self.feed * rows * columns / (rows + columns) / _SIDE


@frozen
class SplitK(Correction):
    """Split-K: the depth of a matmul in tiles is cut in parts, to keep more units busy; without it kernels cut none.

    s parts cost ``partial`` of the traffic of s partial sums, and a kernel of ``reduction`` that adds them up.

    >>> split = SplitK(reduction=2.5e-6, partial=0.5)
    >>> split.partial_bytes(4, output=1000), split.added_s(4), split.added_s(1)
    (16000.0, 2.5e-06, 0.0)
    """

    reduction: Annotated[Time, Prior(3e-6, 0.7)]
    partial: Annotated[OfTraffic, Prior(0.5, 0.7)]

    source: ClassVar = (
        "Osama et al. 2023 (Stream-K, arXiv 2301.03598). A100, bf16, beside tiles: 10.5 % median error without it, "
        "7.6 % with it"
    )
    explained: ClassVar = "a split depth costs {reduction} and {partial} x its partial sums"

    def partial_bytes(self, parts: Number, output: Number) -> Number:
        """Traffic of the partial sums of ``output`` elements, of a depth in so many parts; 0 for one part. [B]"""
        return _cut(parts) * parts * output * _PARTIAL_BYTES * self.partial

    def added_s(self, parts: Number) -> Number:
        """The kernel that adds up partial sums; 0 for one part. [s]"""
        return _cut(parts) * self.reduction


@frozen
class LeastTile(Correction):
    """The smallest tile of a matmul's kernels: one of fewer elements than ``side`` x ``side`` takes as long as that.

    >>> LeastTile(64.0).filled(32, 32), LeastTile(64.0).filled(128, 64)
    (0.25, 1.0)
    """

    side: Annotated[Rows, Prior(64.0, 0.5)]

    source: ClassVar = (
        "matrix instructions take 64 rows (wgmma of Hopper) or 128 (tcgen05.mma of Blackwell; NVIDIA PTX ISA), and "
        "DeepGEMM and CUTLASS cut no depth, so that a narrow, deep matmul waits for one tile. Of TensorRT-LLM, median "
        "errors on rows not fitted: B200, fp8 by block 38 % without it, 5 % with it, fp4 87 and 5 %; H100 14 and 8 %"
    )
    explained: ClassVar = "a tile has {side} x {side} elements at least"

    def filled(self, rows: int, columns: int) -> float:
        """The share of the smallest tile that one of so many rows and columns fills; 1 for larger ones."""
        return min(1.0, rows * columns / self.side**2)


def _cut(parts: Number) -> Number:
    return (parts > 1) * 1.0


@frozen
class Tail(Correction):
    """Wave quantisation in the mean: ``share`` of a last tile, 128 x 128 of ``depth`` at most, idles on every unit.

    FLOPs x (1 + ``share`` x units / tiles), where tiles = max(1, rows / 128) max(1, columns / 128) max(1, the matmul's
    depth / ``depth``). A class has it in place of Tiles: smooth, for devices side by side and in formulas.

    >>> Tail(0.25, 1000.0).factor(rows=1280, columns=1280, depth=1000, units=100)
    1.25
    """

    share: Annotated[OfTraffic, Prior(0.3, 0.5)]
    depth: Annotated[Elements, Prior(1250.0, 0.5)]

    source: ClassVar = (
        "NVIDIA, Matrix Multiplication Background, wave quantization. Each device left out of the fit in turn, "
        "median errors of TensorRT-LLM's and of vLLM's rows: A100 12.7 and 14.2 % without it, 10.7 and 12.0 % with it; "
        "H100 5.9 and 10.6, then 6.0 and 9.8; H200 6.7 and 7.9, then 6.8 and 7.9; B200 8.1 and 10.0, then 7.8 and 9.6; "
        "L40S 12.5 and 8.6, then 11.8 and 8.1 (benchmarks/fit_classes.py --without tail)"
    )
    explained: ClassVar = "{share} of a last tile of {depth} elements' depth idles on every unit"

    def factor(self, rows: Number, columns: Number, depth: Number, units: Number) -> Number:
        """How often the FLOPs of a matmul count on so many units; once where none are stated."""
        tiles = maximum(rows / _TILE, 1.0) * maximum(columns / _TILE, 1.0) * maximum(depth / self.depth, 1.0)
        return 1.0 + self.share * units / tiles


@frozen
class Quantize(Correction):
    """Dynamic quantisation: before a narrow matmul, kernels of their own find the scales of its activations and round.

    Latency + ``latency``; then ``traffic`` x the activations in 16 bits move, before the matmul starts.

    >>> Quantize(latency=10e-6, traffic=4.0).moved_bytes(rows=16, depth=4096)
    524288.0
    """

    latency: Annotated[Time, Prior(8e-6, 0.7)]
    traffic: Annotated[OfTraffic, Prior(3.0, 0.7)]

    source: ClassVar = (
        "one pass for the largest value, one that rounds (Micikevicius et al. 2022, arXiv 2209.05433); "
        "aiconfigurator's fp8 rows of TensorRT-LLM hold both"
    )
    explained: ClassVar = "quantising takes {latency} and moves {traffic} x the activations"

    def moved_bytes(self, rows: Number, depth: Number) -> Number:
        """What the kernels of quantisation move. [B]"""
        return self.traffic * 2 * rows * depth


@frozen
class Repack(Correction):
    """Weight packing: before a matmul of several rows, a CPU's library rearranges its weights.

    Bytes + ``share`` x those of the weights; half of that for two rows, nothing for one.

    >>> [Repack(1.4).again(rows) for rows in (1, 2, 3, 100)]
    [0.0, 0.7, 1.4, 1.4]
    """

    share: Annotated[OfTraffic, Prior(1.0, 0.7)]

    source: ClassVar = (
        "Goto and van de Geijn 2008, Anatomy of High-Performance Matrix Multiplication; three calibrations "
        "of a Zen 3 core found 1.29 to 1.45 (validation_results/amd-epyc-milan-one-thread)"
    )
    explained: ClassVar = "several rows pack the weights first, {share} x their traffic"

    def again(self, rows: Number) -> Number:
        """The part of the weights' traffic that comes once more. [x traffic]"""
        return self.share * (minimum(rows - 1, 2) / 2)


@frozen
class UnpackTiles(Correction):
    """Dequantisation in tiles: kernels of several rows turn blocks of weights into numbers each time they read them.

    Such a kernel reaches ``blocks`` x peak, or ``super_blocks`` where scales have scales of their own (the 256 weights
    of a K-quant). Kernels of up to eight rows, of an expert too, stream what they read: nothing is added.

    >>> unpack = UnpackTiles(blocks=0.1, super_blocks=0.05)
    >>> [unpack.added_s(2.0, share=0.2, rows=rows, nested=False) for rows in (8, 512)]
    [0.0, 10.0]
    """

    blocks: Annotated[OfPeak, Prior(0.2, 0.5)]
    super_blocks: Annotated[OfPeak, Prior(0.2, 0.5)]

    source: ClassVar = (
        "llama.cpp, ggml/src/ggml-metal (kernel_mul_mm: tiles of 64 x 32) and ggml/src/ggml-cuda/mmq.cu, mmvq.cu "
        "(MMVQ_MAX_BATCH_SIZE 8). M2 Ultra, llama-2-7b, 512 tokens (pull request 3084): 1,266 tokens/s of F16, 1,164 "
        "of Q4_0, 1,028 of Q4_K_M, 978 of Q6_K"
    )
    explained: ClassVar = (
        "a kernel that unpacks blocks of weights reaches {blocks} x peak, of super-blocks {super_blocks} x peak"
    )

    def added_s(self, peak_s: Number, share: float, rows: Number, *, nested: bool) -> Number:
        """By how much it takes longer than a kernel of wide weights that reaches ``share`` x peak. [s]"""
        own = self.super_blocks if nested else self.blocks
        return peak_s * max(1 / own - 1 / share, 0.0) * _several(rows)


@frozen
class UnpackMemory(Correction):
    """Dequantisation in memory: weights become 16 bits there before a matmul of several rows, which reads them again.

    ``traffic`` x the weights in 16 bits move before it: 2 where they are written once and read once. Beside UnpackTiles
    the faster way is taken.

    >>> [UnpackMemory(2.0).moved_bytes(1000, rows) for rows in (8, 512)]
    [0.0, 4000.0]
    """

    traffic: Annotated[OfTraffic, Prior(2.0, 0.5)]

    source: ClassVar = (
        "llama.cpp, ggml/src/ggml-cuda/ggml-cuda.cu, ggml_cuda_op_mul_mat_cublas: to_fp16_cuda, then cublasGemmEx. "
        "Each model left out of the fit in turn, prompts from 512 tokens on Strix Halo under builds before December "
        "2025: median error 39.6 % where weights are unpacked neither in memory nor in tiles, 21.4 % with both "
        "(benchmarks/llama_cpp.py)"
    )
    explained: ClassVar = "weights are unpacked in memory first, {traffic} x their size in 16 bits"

    def moved_bytes(self, weights: Number, rows: Number) -> Number:
        """What unpacking so many weights for so many rows of each moves. [B]"""
        return self.traffic * 2 * weights * _several(rows)


def _several(rows: Number) -> Number:
    """1 for a kernel of several rows, 0 for one that streams a matrix."""
    return minimum(maximum(rows - _STREAMED_ROWS, 0.0), 1.0)


@frozen
class ExtraDepth(Correction):
    """Prefetch restart: each column of weights costs as much as ``elements`` more, since prefetching starts anew.

    Bytes + ``elements`` / depth x those of the weights.

    >>> ExtraDepth(400.0).again(depth=800)
    0.5
    """

    elements: Annotated[Elements, Prior(300.0, 1.0)]

    source: ClassVar = (
        "three calibrations of a Zen 3 core found 337 to 406, with cold weights (validation_results/"
        "amd-epyc-milan-one-thread)"
    )
    explained: ClassVar = "each column of weights costs {elements} elements more"

    def again(self, depth: Number) -> Number:
        """The part of the weights' traffic that comes once more. [x traffic]"""
        return self.elements / depth


@frozen
class SpillColumns(Correction):
    """Cache spill of a wide output: its rows leave the near cache while the depth is summed up.

    Work and packing x (1 + columns / (columns + ``columns``)): up to twice as much, half of that at ``columns``.

    >>> SpillColumns(4000.0).factor(4000), SpillColumns(4000.0).factor(0)
    (1.5, 1.0)
    """

    columns: Annotated[Columns, Prior(3000.0, 0.7)]

    source: ClassVar = (
        "three calibrations of a Zen 3 core found 4,180 to 5,560 (validation_results/amd-epyc-milan-one-thread)"
    )
    explained: ClassVar = "outputs of {columns} columns take 1.5 x the work, wider ones up to 2 x"

    def factor(self, columns: Number) -> Number:
        """How often the work of an output of so many columns counts."""
        return 1.0 + columns / (columns + self.columns)


@frozen
class GroupRows(Correction):
    """Grouped GEMM padding: no expert's group has fewer rows than a tile, of which the rest is computed in vain.

    FLOPs x max(1, ``rows`` x groups / rows of all groups); weights are not read more often.

    >>> GroupRows(64.0).factor(groups=8, rows=256), GroupRows(64.0).factor(groups=8, rows=4096)
    (2.0, 1.0)
    """

    rows: Annotated[Rows, Prior(64.0, 0.7)]

    source: ClassVar = (
        "the 64 rows of Hopper's matmul instruction (NVIDIA, PTX ISA, wgmma.mma_async); decode on an H20: 30 and 33 % "
        "median error without it, 17 % with it; on an H800, which has compute to spare, 14 and 12, then 17 and 14 %"
    )
    explained: ClassVar = "no expert computes fewer than {rows} rows"

    def factor(self, groups: Number, rows: Number) -> Number:
        """How often the FLOPs of ``rows`` in so many groups count."""
        return maximum(1.0, self.rows * groups / rows)
