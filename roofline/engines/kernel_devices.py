"""Which devices an engine or a kernel library runs on, by the words that a device is known by."""

from __future__ import annotations

import re
from collections.abc import Collection

KERNEL_DEVICES: dict[str, tuple[str, ...]] = {
    "fa1": ("nvidia sm_75+",),
    "fa1-triton": ("nvidia sm_70+", "amd gpu", "amd apu"),
    "flash-attn-triton": ("nvidia sm_70+", "amd gpu", "amd apu"),
    "fa2": ("nvidia sm_80+", "amd gpu", "amd apu"),
    "fa3": ("nvidia hopper",),
    "fa4": ("nvidia hopper", "nvidia sm_100", "nvidia sm_103", "nvidia sm_110"),
    "flashinfer": ("nvidia sm_75+",),
    "flashinfer-cutlass": ("nvidia sm_75+",),
    "trtllm": ("nvidia sm_80+",),
    "trtllm-gen": ("nvidia sm_100", "nvidia sm_103"),
    "cudnn": ("nvidia sm_80+",),
    "triton": ("nvidia sm_70+", "amd gpu", "amd apu", "amd soc", "intel gpu"),
    "deepgemm": ("nvidia hopper", "nvidia sm_100", "nvidia sm_103"),
    "vllm": ("nvidia sm_70+",),
    "aiter": ("amd cdna",),
}
"""Kernel library -> what it runs on; a library that is not here runs on all devices.

As their own pages say it: FlashAttention's README (1 from Turing on; 2 from Ampere on, and on AMD; 3 on Hopper; 4 on
Hopper and data-centre Blackwell), FlashInfer's (from Turing on), DeepGEMM's (SM90 or SM100), TensorRT-LLM's support
matrix (from Ampere on), cuDNN's fused attention (from Ampere on), AITER's (AMD Instinct). vLLM runs its Triton kernels
from Volta on.
"""

_AT_LEAST = re.compile(r"sm_([0-9]+)\+")
_CAPABILITY = re.compile(r"sm_([0-9]+)")


def runs_on(entries: Collection[str], device: Collection[str]) -> bool:
    """Whether a device that is known by words such as nvidia, gpu, hopper, sm_90 meets one of ``entries``.

    An entry is words, all of which must hold. ``sm_80+`` holds for a compute capability of 8.0 or more, and where a
    device states none. No entries: any device.

    >>> [runs_on(["nvidia sm_80+", "amd gpu"], words) for words in ({"nvidia", "sm_90"}, {"nvidia", "sm_75"}, {"amd"})]
    [True, False, False]
    """
    return not entries or any(all(_holds(word, device) for word in each.split()) for each in entries)


def _holds(word: str, device: Collection[str]) -> bool:
    if least := _AT_LEAST.fullmatch(word):
        stated = [int(found[1]) for each in device if (found := _CAPABILITY.fullmatch(each))]
        return all(number >= int(least[1]) for number in stated)
    return word in device
