"""Attention of classes by kernel library: constants fitted to donors, devices whose kernels are of the generation.

A class takes the first group of donors that has rows; who leaves a device out takes the next. Times carry over in
cycles, but where two generations of clocks showed microseconds to fit better.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from device_sets import of_kind
from fit_calibrations import log_errors_of
from fit_devices import FITS, Fit, fitted, in_cycles
from measured_sets import MeasuredSet, load_sets

from roofline.calibration.constants import Constants
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
    "nvidia-gddr": {"fa2": (_L, _A), "vllm": (_L, _H), "trtllm": (_L, _A), "sglang": (_L, _A, _H),
                    "triton": (_L, _B)},
}  # fmt: skip
"""Of each class and library the groups of donors, the first library that has any is the default."""
_LATENT = ("latent_attention_prefill", "latent_attention_decode")
_SCANS = ("convolution_prefill", "convolution_decode", "delta_rule_prefill", "delta_rule_decode", "mamba2_prefill")
_OTHERS = {
    # an A100 has no sound rows of grouped heads, and none of latents
    **{(name, "trtllm", kind): (_L, _H) for name in ("nvidia-ampere", "nvidia-gddr") for kind in
       ("attention_decode", *_LATENT)},
    **{("nvidia-ampere", "trtllm", kind): (_A, _L, _H, _B) for kind in (*_SCANS, "quantize")},
    **{("nvidia-gddr", "trtllm", kind): (_L, _A, _H, _B) for kind in (*_SCANS, "quantize")},
}  # fmt: skip
KINDS = ("attention_prefill", "attention_decode", "attention_encoder", *_LATENT, *_SCANS, "quantize")
_ANOTHER_RELEASE = [("l40s", kind) for kind in _LATENT]
"""Rows of a release whose kernels no other device was timed with: no band is from leaving them out."""
_ALIKE = {"mamba2_prefill": "delta_rule_prefill"}
"""Whose band a kind has that one device alone was timed in, and whose constants where that one is left out."""
_SHARED = [("mamba2_prefill", "trtllm")]
_CACHED = "nvidia-gddr"
_WIDENED = 1.3  # as classes of NVIDIA that inherit from another
_RUNTIMES = {"fa2": "vLLM", "trtllm": "TensorRT-LLM"}
_IN_SECONDS = {
    "fa2": ("key_growth", "regroup", "query_tiles.each", "decode_blocks.each"),
    "trtllm": ("key_growth",),
    "": ("key_growth",),
}
"""Times that do not follow the clock: between an A100 and an L40S they are alike in seconds."""


def attention_fields(name: str, data: Path, without: str = "") -> dict[str, Any]:
    """The attention kinds of a class, as its file has them, with ``without`` left out of donors and bands."""
    kinds = {}
    for kind in KINDS:
        found = [(library, _donated(name, library, kind, data, without)) for library in DONORS[name]]
        entries = {library: fields for library, fields in found if fields}
        if entries:
            (first, own), *others = entries.items()
            kinds[kind] = {"library": first, **own, **({"libraries": dict(others)} if others else {})}
    return kinds


def _donated(name: str, library: str, kind: str, data: Path, without: str) -> dict[str, Any]:
    """The fields of one library's kernels, from the first group of donors that has rows; none where none has."""
    fit, donors = _donors(name, library, kind, data, {without})
    if not donors:
        return _donated(name, library, _ALIKE[kind], data, without) if (kind, library) in _SHARED else {}
    found, clock = _fitted(name, fit, donors, data), load_hardware(donors[0]).cycles_per_s
    kept = _IN_SECONDS.get(library, _IN_SECONDS[""])
    seconds = kind == "attention_decode" and library == "trtllm"
    band = _band(kind, data, without)
    if not set(donors) <= set(DONORS[name][library][0]):
        band |= {"low": round(band["low"] / _WIDENED, 2), "high": round(band["high"] * _WIDENED, 2)}
        band["evidence"] += f"; {_WIDENED} x wider either way, from another generation"
    return in_cycles(found, clock, kept, latency=not seconds) | {"band": band}


def _donors(name: str, library: str, kind: str, data: Path, without: set[str]) -> tuple[Fit, tuple[str, ...]]:
    """A fit, and the donors that it is to."""
    groups = _OTHERS.get((name, library, kind), DONORS[name][library])
    for group in groups:
        for fit in FITS:
            if (fit.kind, fit.library) == (kind, library) and (not fit.devices or group[0] in fit.devices):
                donors = tuple(each for each in group if each not in without and _rows(fit, each, data))
                if donors:
                    return fit, donors
    return FITS[0], ()


@cache
def _fitted(name: str, fit: Fit, donors: tuple[str, ...], data: Path) -> Constants:
    """The constants of donors; a class has a rate of the last cache where that is faster than its devices' memory."""
    cached = name == _CACHED
    found = fitted(fit, [rows for donor in donors for rows in _rows(fit, donor, data)], cached=cached)
    return found if cached or "attention" not in fit.kind else found.without("working_set")


@cache
def _rows(fit: Fit, device: str, data: Path) -> tuple[MeasuredSet, ...]:
    """The rows of a device, at most so many of each set."""
    if device in _A and fit.kind.startswith("attention"):
        runtime = _RUNTIMES.get(fit.library)
        every = [rows for rows in load_sets(data) if rows.kind == "attention" and rows.runtime == runtime]
        sets = [rows for rows in every if rows.device.name == device and rows.constants_kind == fit.kind]
    else:
        sets = [each.rows for each in of_kind(data, fit.kind, fit.dtype, fit.library).get(device, ())]
    return tuple(rows.where(np.arange(len(rows)) % -(-len(rows) // _MOST) == 0) for rows in sets)


def _band(kind: str, data: Path, without: str) -> dict[str, Any]:
    """The band of a kind: all libraries and devices, each left out of its class in turn."""
    logs = list(_left_out(kind, data, without))
    if not logs:
        return _band(_ALIKE.get(kind, KINDS[0]), data, without)
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in logs])
    low, high = band_of(np.concatenate(logs), weights)
    return {"low": round(low, 2), "high": round(high, 2),
            "evidence": f"{len(weights):,} timings, each device left out in turn, all libraries"}  # fmt: skip


@cache
def _left_out(kind: str, data: Path, without: str) -> tuple[Any, ...]:
    """ln(measured / predicted) of each library's rows on each device, by donors without it."""
    return tuple(_each_left_out(kind, data, without))


def _each_left_out(kind: str, data: Path, without: str) -> Iterator[Any]:
    for name, libraries in DONORS.items():
        own = {device for device in (*_A, *_H, *_B, *_L) if load_hardware(device).calibration_class == name}
        for library in libraries:
            for device in sorted(own - {without}):
                fit, donors = _donors(name, library, kind, data, {without, device})
                if (device, kind) in _ANOTHER_RELEASE:
                    continue
                rows = _rows(fit, device, data) if donors else ()
                if rows:
                    found = moved_to(_fitted(name, fit, donors, data), donors[0], device, library, kind)
                    yield np.concatenate([-log_errors_of(timed, found) for each in rows for timed in each.timed()])


def moved_to(found: Constants, donor: str, device: str, library: str, kind: str) -> Constants:
    """Constants of a donor on another device: its cycles at the other clock."""
    factor = load_hardware(donor).cycles_per_s / load_hardware(device).cycles_per_s
    kept = {name: found.value(name) for name in _IN_SECONDS.get(library, _IN_SECONDS[""]) if found.has(name)}
    if kind == "attention_decode" and library == "trtllm":
        kept["latency_s"] = found.latency_s
    return found.with_times_divided(1 / factor).replaced(kept)
