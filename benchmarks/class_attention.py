"""Attention of classes by kernel library: constants fitted to donors, devices whose kernels are of the generation.

A class takes the first group of donors that has rows; who leaves a device out takes the next. Times carry over in
cycles, but where two generations of clocks showed microseconds to fit better.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from device_sets import of_kind
from fit_calibrations import log_errors_of
from fit_devices import FITS, Fit, chunked, fitted, in_cycles, judged
from measured_sets import MeasuredSet, load_sets

from roofline.calibration.constants import Constants
from roofline.calibration.corrections.registry import Corrections
from roofline.fitting.operators import band_of
from roofline.hardware.loading import load_hardware

_A, _B, _L = ("a100-sxm-80gb",), ("b200-180gb",), ("l40s",)
_H = ("h100-sxm-80gb", "h200-sxm-141gb")
_MOST = 1000  # rows of one set
DONORS = {
    "nvidia-ampere": {"fa2": (_A, _L), "vllm": (_L, _H), "trtllm": (_A, _L), "sglang": (_A, _L, _H),
                      "triton": (_L, _B)},
    "nvidia-hopper": {"fa3": (_H,), "vllm": (_H, _B), "trtllm": (_H, _B), "sglang": (_H, _B),
                      "triton": (_B, _L)},
    "nvidia-tensor-core": {"flashinfer": (_B,), "fa4": (_B,), "vllm": (_B, _H), "trtllm": (_B, _H), "sglang": (_B, _H),
                           "triton": (_B, _L)},
    "nvidia-gddr": {"fa2": (_L, _A), "vllm": (_L, _H), "trtllm": (_L, _A), "sglang": (_L, _H, _A),
                    "triton": (_L, _B)},
}  # fmt: skip
"""Of each class and library the groups of donors, the first library that has any is the default."""
_LATENT = ("latent_attention_prefill", "latent_attention_decode")
_SCANS = ("convolution_prefill", "convolution_decode", "delta_rule_prefill", "delta_rule_decode", "mamba2_prefill")
_OTHERS = {
    # an A100 has no sound rows of grouped heads, and none of latents
    **{(name, "trtllm", kind): (_L, _H) for name in ("nvidia-ampere", "nvidia-gddr") for kind in
       ("attention_decode", *_LATENT)},
    ("nvidia-gddr", "trtllm", "latent_attention_prefill"): (_L,),
    **{("nvidia-ampere", "trtllm", kind): (_A, _L, _H, _B) for kind in (*_SCANS, "quantize")},
    # an A100's scans are of an older release
    **{("nvidia-gddr", "trtllm", kind): (_L, _H, _A, _B) for kind in (*_SCANS, "quantize")},
    **{(name, "vllm", "delta_rule_prefill"): (_L,) for name in ("nvidia-ampere", "nvidia-gddr")},
    **{("nvidia-tensor-core", "fa3", kind): (_H,) for kind in ("attention_prefill", "attention_encoder")},
}  # fmt: skip
_SAME_KERNEL = {(name, "vllm", "delta_rule_prefill"): "sglang" for name in ("nvidia-ampere", "nvidia-gddr")}
"""Before Hopper vLLM runs the Triton kernel of flash-linear-attention, as SGLang does everywhere."""
_SUCCESSORS = {
    ("nvidia-tensor-core", "flashinfer", "attention_prefill"): "fa3",
    ("nvidia-tensor-core", "fa4", "attention_encoder"): "fa3",
}
"""What vLLM runs on Blackwell in place of FlashAttention 3, whose constants they take where no Blackwell was timed:
tiles of 128 queries as well, and no pass that packs queries, keys and values, as TensorRT-LLM has.
"""
_SAME_TILES = {("nvidia-gddr", "trtllm", "latent_attention_prefill"): "attention_prefill"}
"""Before Hopper TensorRT-LLM's prefill over latents is the granular kernel of fmha_v2, 192 and 128 wide, as that of an
A100 is for any head (fmhaRunner.cpp). Neither a packed pass nor a window goes with it.
"""
_UNSPLIT = {("nvidia-gddr", "trtllm", "latent_attention_decode"): 6.78}
"""And its decode the same kernel, 576 and 512 wide, a tile of 64 heads for each sequence, which goes through all keys:
2 x 576 bytes while a unit multiplies 64 x (576 + 512), 1,024 FLOP a cycle, at the 0.8 of its peak that all decode is
given. [B/cycle]
"""
_LONE = "fp4"
KINDS = ("attention_prefill", "attention_decode", "attention_encoder", *_LATENT, *_SCANS, "quantize")
_ANOTHER_RELEASE = [("l40s", kind) for kind in _LATENT]
"""Rows of a release whose kernels no other device was timed with: no band is from leaving them out."""
_SHOWN = ("spilled_tiles",)
"""Corrections whose constants are read from a kernel and the device, not fitted."""
_ALIKE = {"mamba2_prefill": "delta_rule_prefill"}
"""Whose constants a kind has that one device alone was timed in, where that one is left out."""
_SHARED = [("mamba2_prefill", "trtllm")]
_FUSED = {("mamba2_prefill", "trtllm"): "nvidia-tensor-core"}
"""Kernels that are fused on one generation alone, and the class that has them: elsewhere heads are spread evenly."""
_SIBLINGS = {"nvidia-hopper": _H}
"""Classes that are one generation: a device that was not timed has donors of its own architecture there."""
_CACHED = "nvidia-gddr"
_RESIDENT = {"nvidia-gddr": 1536}
"""Threads that a unit holds at once, where they are not 2,048 (CUDA C++ Programming Guide, compute capabilities)."""
_IN_FLIGHT = ("working_set.rate", "unit_rate")
"""Rates of scans and convolutions that waiting threads limit; of rows the blocks that a unit holds are limited."""
_RUNTIMES = {"fa2": "vLLM", "trtllm": "TensorRT-LLM"}
_CHAINS = (("attention_decode", "trtllm"), ("quantize", "trtllm"))
"""Whose latency is that of kernels which wait for one another, and does not follow the clock: a fill, what finds the
largest element and what rounds take 8.6 us on H100 and H200, 8.9 on an L40S.
"""
_IN_SECONDS = {
    "fa2": ("key_growth", "regroup", "query_tiles.each", "decode_blocks.each"),
    "trtllm": ("key_growth",),
    "": ("key_growth",),
}
"""Times that do not follow the clock: between an A100 and an L40S they are alike in seconds."""


def attention_fields(name: str, data: Path, without: str = "", only: Collection[str] = KINDS) -> dict[str, Any]:
    """The attention kinds of a class, as its file has them, with ``without`` left out of donors and bands."""
    kinds = {}
    for kind in (kind for kind in KINDS if kind in only):
        found = [(library, _donated(name, library, kind, data, without)) for library in DONORS[name]]
        entries = {library: fields for library, fields in found if fields}
        if entries:
            (first, own), *others = entries.items()
            kinds[kind] = {"library": first, **own, **({"libraries": dict(others)} if others else {})}
    return kinds


def lone_matmuls(name: str, data: Path, without: str = "") -> dict[str, dict[str, Any]]:
    """The fields of matmuls in formats that one generation alone multiplies, by library: its class has its kernels'.

    Empty where the class is another's or the donor is left out.
    """
    (donor,) = _B
    if load_hardware(donor).calibration_class != name or donor == without:
        return {}
    clock, plain = load_hardware(donor).cycles_per_s, fitted(FITS[0], _rows(FITS[0], donor, data))
    fits = [fit for fit in FITS if (fit.kind, fit.dtype) == ("matmul", _LONE)]
    return {fit.library: in_cycles(fitted(fit, _rows(fit, donor, data), plain), clock, ()) for fit in fits}


def _donated(name: str, library: str, kind: str, data: Path, without: str) -> dict[str, Any]:
    """The fields of one library's kernels, in each dtype that they were timed in; none where no donor has rows."""
    plain = _donated_in("bf16", name, library, kind, data, without)
    narrow = _donated_in("fp8", name, library, kind, data, without) if plain else {}
    narrow = narrow or _narrowed(name, library, kind, plain, data, without)
    return plain | ({"dtypes": {"fp8": narrow}} if narrow else {})


def _donated_in(dtype: str, name: str, library: str, kind: str, data: Path, without: str) -> dict[str, Any]:
    """The fields in one dtype, from the first group of donors that has rows; none where none has."""
    fit, donors = _donors(name, library, kind, data, {without}, dtype)
    if not donors:
        shared = (kind, library) in _SHARED and dtype == "bf16"
        return _donated_in(dtype, name, library, _ALIKE[kind], data, without) if shared else {}
    if _FUSED.get((kind, library), name) != name:
        fit = chunked(kind, library, fit.devices, passes=1.0)
    found, clock = _fitted(name, fit, donors, data), load_hardware(donors[0]).cycles_per_s
    if fit.kind != kind:
        found = found.without("packed_pass").without("window_edge")
    if (unsplit := _UNSPLIT.get((name, library, kind))) and donors != _L:
        found = found.replaced({"unsplit": unsplit})
    kept = _IN_SECONDS.get(library, _IN_SECONDS[""])
    seconds = (kind, library) in _CHAINS
    siblings = set(donors) <= set(_SIBLINGS.get(name, ()))
    band = _band_of_siblings(name, fit, donors, data) if siblings else _band_of_others(kind, data, without)
    return in_cycles(found, clock, kept, latency=not seconds) | {"band": band}


def _narrowed(name: str, library: str, kind: str, plain: dict[str, Any], data: Path, without: str) -> dict[str, Any]:
    """The fields in fp8 where no donor was timed in it: those in 16 bits, with the shares that others reach of theirs.

    And what the kernels themselves show. None where they show nothing.
    """
    own = [dict(fit.known) for fit in _fits(kind, library, "fp8", DONORS[name][library][0][0]) if fit.devices]
    shown = {of: value for each in own for of, value in each.items() if of.startswith(_SHOWN)}
    pairs = list(_in_both(kind, library, data, without)) if shown else []
    if not pairs:
        return {}
    shares = {
        share: plain[share] * np.exp(np.mean([np.log(fp8.value(share) / bf16.value(share)) for bf16, fp8 in pairs]))
        for share in ("compute", "memory")
    }
    written = {share: float(f"{value:.3g}") for share, value in shares.items()}
    return plain | written | Corrections().replaced(shown).written()


def _in_both(kind: str, library: str, data: Path, without: str) -> Iterator[tuple[Constants, Constants]]:
    """The constants of each device that was timed in 16 bits and in fp8."""
    for device in (*_H, *_B, *_L):
        fits = [fit for dtype in ("bf16", "fp8") for fit in _fits(kind, library, dtype, device)]
        if device != without and len(fits) == 2 and all(_rows(fit, device, data) for fit in fits):
            bf16, fp8 = (_fitted("", fit, (device,), data) for fit in fits)
            yield bf16, fp8


def _fits(kind: str, library: str, dtype: str, device: str) -> list[Fit]:
    """The fits of a kind, library and dtype that hold for a device."""
    named = [fit for fit in FITS if (fit.kind, fit.library, fit.dtype) == (kind, library, dtype)]
    return [fit for fit in named if not fit.devices or device in fit.devices]


def _donors(
    name: str, library: str, kind: str, data: Path, without: set[str], dtype: str = "bf16"
) -> tuple[Fit, tuple[str, ...]]:
    """A fit, and the donors that it is to."""
    groups = _OTHERS.get((name, library, kind)) or DONORS[name][library]
    for group in groups:
        for fit in _fits(kind, library, dtype, group[0]):
            donors = tuple(each for each in group if each not in without and _rows(fit, each, data))
            if donors:
                return fit, donors
    if alike := (_SAME_KERNEL | _SUCCESSORS).get((name, library, kind)):
        return _donors(name, alike, kind, data, without, dtype)
    if alike := _SAME_TILES.get((name, library, kind)):
        return _donors(name, library, alike, data, without, dtype)
    return FITS[0], ()


@cache
def _fitted(name: str, fit: Fit, donors: tuple[str, ...], data: Path) -> Constants:
    """The constants of donors; a class has a rate of the last cache where that is faster than its devices' memory."""
    cached = name == _CACHED
    found = fitted(fit, [rows for donor in donors for rows in _rows(fit, donor, data)], cached=cached)
    if fit.kind in (*_SCANS, "quantize"):
        found = _held_by_fewer(found, name, donors, ("row_walk.held",) if fit.kind == "quantize" else _IN_FLIGHT)
    return found if cached or "attention" not in fit.kind else found.without("working_set")


def _held_by_fewer(found: Constants, name: str, donors: tuple[str, ...], limited: tuple[str, ...]) -> Constants:
    """Constants of donors on a class whose units hold fewer threads, and have as many fewer bytes on their way at once.

    Nothing moves faster where units hold more: no rows show that it does.
    """
    held, of_donors = (_RESIDENT.get(each, 2048) for each in (name, load_hardware(donors[0]).calibration_class))
    rates = {each: found.value(each) for each in limited if found.has(each)}
    return found.replaced({each: float(f"{rate * min(held / of_donors, 1):.3g}") for each, rate in rates.items()})


@cache
def _rows(fit: Fit, device: str, data: Path) -> tuple[MeasuredSet, ...]:
    """The rows of a device, at most so many of each set."""
    if device in _A and fit.kind.startswith("attention") and fit.dtype == "bf16":
        runtime = _RUNTIMES.get(fit.library)
        every = [rows for rows in load_sets(data) if rows.kind == "attention" and rows.runtime == runtime]
        sets = [rows for rows in every if rows.device.name == device and rows.constants_kind == fit.kind]
    else:
        sets = [each.rows for each in of_kind(data, fit.kind, fit.dtype, fit.library).get(device, ())]
    return tuple(rows.where(np.arange(len(rows)) % -(-len(rows) // _MOST) == 0) for rows in sets)


def _band_of_siblings(name: str, fit: Fit, donors: tuple[str, ...], data: Path) -> dict[str, Any]:
    """The band of a device whose architecture was timed: donors' rows that were not fitted, and donors left out."""
    logs = []
    for donor in donors:
        seeds = judged(fit, tuple(of_kind(data, fit.kind, fit.dtype, fit.library)[donor]))
        logs.append(-np.concatenate([seed.logs for seed in seeds]))
        if others := tuple(each for each in donors if each != donor):
            found = moved_to(_fitted(name, fit, others, data), others[0], donor, fit.library, fit.kind)
            logs.append(_logs(_rows(fit, donor, data), found))
    return _banded(logs, f"rows not fitted of {' and '.join(donors)}, and each left out where there are two")


def _band_of_others(kind: str, data: Path, without: str) -> dict[str, Any]:
    """The band of a device whose architecture was not: each generation left out in turn, all kinds that are alike.

    One kind has four generations at most, too few to say how far another lies off.
    """
    alike = [each for each in KINDS if is_attention(each) == is_attention(kind)]
    logs = [one.logs for each in alike for one in unseen(each, data, without)]
    kinds = "attention" if is_attention(kind) else "scans, convolutions and quantising"
    return _banded(logs, f"each generation left out in turn, all kinds and libraries of {kinds}")


def is_attention(kind: str) -> bool:
    """Whether a kind is of attention, over latents or not."""
    return kind.startswith(("attention", "latent_attention"))


def _banded(logs: Sequence[Any], evidence: str) -> dict[str, Any]:
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in logs])
    low, high = band_of(np.concatenate(logs), weights)
    return {"low": round(low, 2), "high": round(high, 2), "evidence": f"{len(weights):,} timings: {evidence}"}


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """A library's rows of a kind on a device, by donors of other generations: ln(measured / predicted) of each row.

    donors: the same of the rows that the constants were fitted to.
    """

    kind: str
    library: str
    device: str
    logs: Any
    donors: Any


@cache
def unseen(kind: str, data: Path, without: str) -> tuple[Unseen, ...]:
    """Each library's rows on each device, with nothing of ``without``."""
    return tuple(_unseen(kind, data, without))


def _unseen(kind: str, data: Path, without: str) -> Iterator[Unseen]:
    for name, libraries in DONORS.items():
        own = {device for device in (*_A, *_H, *_B, *_L) if load_hardware(device).calibration_class == name}
        for library in libraries:
            for device in sorted(own - {without}):
                fit, donors = _donors(name, library, kind, data, {without, *own})
                rows = _rows(replace(fit, library=library), device, data) if donors else ()
                if not rows or (device, kind) in _ANOTHER_RELEASE or (name, library, kind) in _SUCCESSORS:
                    continue
                found = _fitted(name, fit, donors, data)
                parts = [(_rows(fit, one, data), moved_to(found, donors[0], one, library, kind)) for one in donors]
                logs = _logs(rows, moved_to(found, donors[0], device, library, kind))
                yield Unseen(kind, library, device, logs, np.concatenate([_logs(*part) for part in parts]))


def _logs(rows: Sequence[MeasuredSet], found: Constants) -> Any:
    """ln(measured / predicted), row by row."""
    return np.concatenate([-log_errors_of(timed, found) for each in rows for timed in each.timed()])


def moved_to(found: Constants, donor: str, device: str, library: str, kind: str) -> Constants:
    """Constants of a donor on another device: its cycles at the other clock."""
    factor = load_hardware(donor).cycles_per_s / load_hardware(device).cycles_per_s
    kept = {name: found.value(name) for name in _IN_SECONDS.get(library, _IN_SECONDS[""]) if found.has(name)}
    if (kind, library) in _CHAINS:
        kept["latency_s"] = found.latency_s
    return found.with_times_divided(1 / factor).replaced(kept)
