"""Corrections of scans and convolutions: what units issue, chunks one after the other, channels walked."""

from __future__ import annotations

from typing import Annotated, ClassVar

from roofline.calibration.corrections.correction import Correction, OfTraffic, Prior, Time, Width
from roofline.classes import frozen
from roofline.number import Number, ceil_div

_WALKED = 1024  # tokens that a block of a convolution takes at a time


@frozen
class UnitRate(Correction):
    """Issue rate: units load and store no more than ``rate`` per cycle each, however fast the memory is.

    A roof beside that of the memory, whose time is the longer one of both.

    >>> UnitRate(10.0).seconds(2e9, units=100, clock=2e9)
    0.001
    """

    rate: Annotated[Width, Prior(10.0, 0.7)]

    source: ClassVar = (
        "streaming kernels of few bytes a thread, such as Triton's causal_conv1d: 8 to 10 B per cycle and SM on A100, "
        "H100, H200, B200 and L40S; llama.cpp's matmuls of one row, which unpack what they load: 4.6 B on GeForce and "
        "workstation cards, 7.5 B per core of Apple's GPUs"
    )
    explained: ClassVar = "units load and store at most {rate} each"

    def seconds(self, moved: Number, units: Number, clock: Number) -> Number:
        """What so many bytes take. [s]"""
        return moved / (self.rate * units * clock)


@frozen
class ScanChunks(Correction):
    """Chunked scan: several kernels, each of which passes over the tokens, and a state that goes from chunk to chunk.

    A chunk of a head costs a unit ``each``; then all that is no state moves ``passes`` times. Beside it the chunks of a
    sequence follow one another, ``chain`` each: compute.

    >>> chunks = ScanChunks(each=8e-6, chain=3e-6, passes=4.0)
    >>> chunks.chain_s(chunks=2), chunks.spread_s(chunks=2, heads=50, units=100)
    (6e-06, 8e-06)
    >>> chunks.moved_bytes(tokens=1000, states=100)
    4100.0
    """

    each: Annotated[Time, Prior(1e-5, 1.0)]
    chain: Annotated[Time, Prior(2e-6, 1.0)]
    passes: Annotated[OfTraffic, Prior(3.0, 1.0)]

    source: ClassVar = (
        "Yang et al. 2024, Gated Delta Networks (arXiv 2412.06464), section 3: the state goes from chunk to chunk"
    )
    explained: ClassVar = (
        "a chunk of a head costs a unit {each}, {passes} passes, the chunks of a sequence {chain} each in turn"
    )

    def chain_s(self, chunks: Number) -> Number:
        """The chunks of one sequence, one after the other. [s]"""
        return self.chain * chunks

    def spread_s(self, chunks: Number, heads: Number, units: Number) -> Number:
        """``chunks`` of each sequence for ``heads`` of all sequences, on all units. [s]"""
        return self.each * chunks * heads / units

    def moved_bytes(self, tokens: Number, states: Number) -> Number:
        """What all kernels move of the tokens and of the states. [B]"""
        return self.passes * tokens + states


@frozen
class ScanWaves(Correction):
    """Waves of a fused scan: a unit takes a head of a sequence, chunk by chunk, before it takes the next.

    Waves x (``start`` + ``chain`` x chunks of a sequence), waves = heads of all sequences / units, rounded up.

    >>> round(1e6 * ScanWaves(start=1e-5, chain=3e-6).seconds(chunks=2, heads=150, units=100), 3)
    32.0
    """

    start: Annotated[Time, Prior(1e-5, 1.0)]
    chain: Annotated[Time, Prior(3e-6, 1.0)]

    source: ClassVar = (
        "FlashInfer's prefill of gated delta rules (gdn_kernels/blackwell/gated_delta_net_tile_scheduler.py: a tile is "
        "a head of a sequence, whose chunks one block goes through) and its SSDCombined of Mamba-2. Heads not fitted, "
        "H100, H200, B200: 9.4, 10.9 and 7.7 % median error with heads spread evenly (ScanChunks), 4.4, 2.9 and 2.1 "
        "% in waves; Mamba-2 on B200 12.1, then 4.0 %"
    )
    explained: ClassVar = "a wave of heads, one on a unit, takes {start}, and {chain} for every chunk of a sequence"

    def seconds(self, chunks: Number, heads: Number, units: Number) -> Number:
        """``chunks`` of each sequence for ``heads`` of all sequences, on so many units. [s]"""
        return (self.start + self.chain * chunks) * ceil_div(heads, units)


@frozen
class ChannelWalk(Correction):
    """Channel walk: a convolution's block has a channel of a sequence, and goes through its tokens by 1,024.

    Compute + (``first`` + ``each`` x blocks of tokens) x sequences x channels / units.

    >>> ChannelWalk(first=2e-7, each=1e-7).seconds(tokens=2000, channels=1000, units=100)
    4e-06
    """

    first: Annotated[Time, Prior(6e-8, 0.7)]
    each: Annotated[Time, Prior(8e-8, 0.7)]

    source: ClassVar = (
        "causal-conv1d's CUDA kernel (Dao), in TensorRT-LLM 1.3 and SGLang 0.5. Prompts that were not fitted, on H100, "
        "H200, B200 and L40S: 58, 50, 49 and 67 % median error without it, 4, 4, 5 and 6 % with it "
        "(benchmarks/fit_devices.py --without channel_walk)"
    )
    explained: ClassVar = "a channel of a sequence costs a unit {first}, and {each} for every 1,024 tokens"

    def seconds(self, tokens: Number, channels: Number, units: Number) -> Number:
        """``channels`` of all sequences, of so many tokens each. [s]"""
        return (self.first + self.each * ceil_div(tokens, _WALKED)) * channels / units
