"""Fits the calibrations of H100, H200, B200 and L40S to the rows of a folder and writes calibrations/devices/.

python benchmarks/fit_devices.py --data DIR [--write | --without CORRECTION] [--kinds KIND ...]

One entry of FITS for each kind, dtype and kernel library. Constants are fitted to all rows of a device; errors and
bands come from five seeded splits that share no model dimension (device_sets.py), each with constants of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from device_bands import band_of_seeds
from device_sets import COMMIT, SEEDS, DeviceSet, of_kind
from fit_calibrations import EAGER_S, PRIORS, log_errors_of, written
from measured_sets import MeasuredSet

from roofline.calibration.constants import Constants, load_class
from roofline.calibration.corrections.correction import Prior
from roofline.calibration.corrections.registry import named_constants
from roofline.files.atomic import atomic_writer
from roofline.files.library import data_folder, read_yaml
from roofline.fitting.operators import fit_constants
from roofline.hardware.loading import load_hardware
from roofline.hardware.spec import HardwareSpec

MOST_OF_CACHE = 14.7
"""What an L40 reads from its L2, per cycle and unit, in gpu-benches. [B/cycle]"""
PARTITION = 0.5
"""Last caches of HBM devices have two partitions, and a unit reads of its own, which copies the other's."""
_SLOW_MEMORY = 2.0
"""A last cache that reads so many times faster than the memory is told apart."""

USUAL = ("matmul", "attention")
"""The kinds whose bands are the band of all: those that every model has."""
_START = Constants(compute=0.8, vector=0.65, special=0.9, memory=0.8, latency_s=3e-6, p=3.0)
_PRIORS = {**PRIORS, "tiles": Prior(1.0, 0.5), "split_k.reduction": Prior(2.5e-6, 0.7)}
NO_PARTIAL = 1e-9
"""Partial sums stay in the last cache: fitted, their traffic is hardly any, and judged rows are better without it."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How the constants of one kind, dtype and kernel library are fitted.

    ``free`` are fitted; ``cached`` too where the last cache is much faster than the memory, ``uncached`` elsewhere.
    ``known`` are given. ``shared`` are those of the first fit, to the same device: its memory moves any dtype.
    ``priors`` are those of its own, ``p`` is the corner's. ``devices`` are those with such kernels, all if none.
    """

    kind: str
    dtype: str
    library: str
    free: tuple[str, ...]
    cached: tuple[str, ...] = ()
    uncached: tuple[str, ...] = ()
    known: tuple[tuple[str, float], ...] = ()
    shared: tuple[str, ...] = ()
    priors: tuple[tuple[str, Prior], ...] = ()
    p: float = 3.0
    devices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in a table."""
        return " ".join((self.kind, self.dtype, self.library)).strip()

    def among(self, chosen: Collection[str]) -> bool:
        """Whether its kind is among those chosen, or its kernels are, as ``attention_decode:triton``, its dtype too."""
        return any(":".join((self.kind, self.library, self.dtype)[:n]) in chosen for n in (1, 2, 3))

    def without(self, correction: str) -> Fit:
        """The same with nothing of a correction, to see what it is worth."""
        free, cached, uncached, shared = (
            tuple(name for name in names if name.split(".")[0] != correction)
            for names in (self.free, self.cached, self.uncached, self.shared)
        )
        known = tuple((name, value) for name, value in self.known if name.split(".")[0] != correction)
        return replace(self, free=free, cached=cached, uncached=uncached, shared=shared, known=known)


_SHARES = (("compute", Prior(0.75, 0.5, 1.0)), ("memory", Prior(0.8, 0.5, 1.0)))
_ROWS = {"trtllm": (128.0, 128.0, 0.0), "fa2": (64.0, 64.0, 0.0), "fa3": (128.0, 192.0, 1.0),
         "flashinfer": (128.0, 128.0, 0.0), "triton": (16.0, 16.0, 1.0), "fa4": (128.0, 128.0, 0.0)}  # fmt: skip
"""Rows of a tile, of a narrow head's, and whether query heads share tiles, as each library's kernels have it."""
_HBM = ("h100-sxm-80gb", "h200-sxm-141gb", "b200-180gb")
_SET = ("working_set.rate",)
_WRITTEN = (("cache_write.traffic", 2.0),)
_RATE = ("working_set.rate", Prior(10.0, 1.0, MOST_OF_CACHE))


def _tiles(library: str) -> tuple[tuple[str, float], ...]:
    names = ("query_tiles.rows", "query_tiles.narrow_rows", "query_tiles.packed")
    return tuple(zip(names, _ROWS[library], strict=True))


def _prefill(library: str, *free: str, known: tuple[tuple[str, float], ...] = ()) -> Fit:
    """Prefill attention: tiles of queries, then what moves, not overlapped."""
    tail = () if "query_tiles.tail" in free else (("query_tiles.tail", 1.0),)
    free = ("compute", "memory", "latency_s", "query_tiles.each", *free)
    priors = (*_SHARES, ("latency_s", Prior(10e-6, 1.0)), _RATE)
    return Fit("attention_prefill", "bf16", library, free, _SET, (), (*_tiles(library), *tail, *known), (), priors, 1.0)


_AMPERE = (("query_tiles.rows", 64.0), ("query_tiles.narrow_rows", 128.0))
"""Queries of a tile in TensorRT-LLM's fmha_v2 for compute capability 8.0, and in e4m3 for 8.9 (setup.py)."""

_ADA = (("query_tiles.rows", 64.0), ("query_tiles.narrow_rows", 64.0))
"""In 16 bits for 8.9, where kernels of heads narrower than 256 are not granular (fmhaRunner.cpp)."""

_SPILLED = (("spilled_tiles.narrow", 728.0), ("spilled_tiles.wide", 496.0), ("spilled_tiles.rate", MOST_OF_CACHE))
"""Bytes that a thread of TensorRT-LLM's kernels in e4m3 keeps outside of registers, on compute capability 8.9."""


def _packed_prefill(*devices: str, dtype: str = "bf16", known: tuple[tuple[str, float], ...] = ()) -> Fit:
    """Prefill by TensorRT-LLM."""
    fit = _prefill("trtllm", "window_edge", known=(("packed_pass", 2.0), *known))
    return replace(fit, dtype=dtype, devices=devices)


_TRITON_BLOCK = Prior(4e-7, 1.0)
"""What a block of Triton's costs that has nothing to do, as the idle ones of its decode have it."""


def _triton_decode() -> Fit:
    """Triton's decode, in which a key takes as long whatever the matrix unit's rate."""
    free = ("latency_s", "decode_blocks.each", "key_time", "key_split.each", "key_split.reduction", "block_search")
    known = (("compute", 0.8), ("memory", 0.8), ("decode_blocks.rows", 16.0), ("key_tiles", 32.0),
             ("key_split.segments", 16.0), ("key_split.blocks", 128.0), ("key_split.keys", 16.0))  # fmt: skip
    priors = (*_SHARES, ("latency_s", Prior(8e-6, 1.0)), _RATE)
    return Fit("attention_decode", "bf16", "triton", free, _SET, (), known, (), priors, 2.0)


def _triton_prefill() -> Fit:
    """Triton's prefill, likewise."""
    free = ("memory", "latency_s", "query_tiles.each", "key_time", "cache_write.each")
    known = (*_tiles("triton"), ("query_tiles.tail", 1.0), ("key_tiles", 32.0), ("compute", 0.8), *_WRITTEN)
    priors = (*_SHARES, ("latency_s", Prior(8e-6, 1.0)), ("cache_write.each", _TRITON_BLOCK), _RATE)
    return Fit("attention_prefill", "bf16", "triton", free, _SET, (), known, (), priors, 2.0)


def _decode(library: str, *free: str, rows: float) -> Fit:
    """Decode attention: blocks of heads beside what moves."""
    free = ("memory", "latency_s", "decode_blocks.each", "key_growth", *free)
    cached = _SET if library in ("trtllm", "fa2") else ()
    known = (("compute", 0.8), ("decode_blocks.rows", rows))
    priors = (*_SHARES, ("latency_s", Prior(8e-6, 1.0)), _RATE)
    return Fit("attention_decode", "bf16", library, free, cached, (), known, (), priors, 2.0)


def _latent_prefill(library: str, *devices: str, tiles: tuple[tuple[str, float], ...] = ()) -> Fit:
    """Prefill over the keys and values that are made of latents: tiles of queries, and the cache of latents written."""
    free = ("compute", "memory", "latency_s", "query_tiles.each", "query_tiles.tail", "cache_write.each")
    priors = (*_SHARES, ("latency_s", Prior(12e-6, 1.0)), _RATE)
    known = (*_tiles(library), *tiles, ("cache_write.traffic", 0.0))
    return Fit("latent_attention_prefill", "bf16", library, free, _SET, (), known, (), priors, 2.0, devices)


def _latent_decode(library: str, rows: float) -> Fit:
    """Decode over latents, which all heads share; where the last cache is fast, blocks go through keys alone."""
    free = ("compute", "memory", "latency_s", "decode_blocks.each", "key_growth")
    priors = (*_SHARES, ("latency_s", Prior(12e-6, 1.0)), _RATE)
    known = (("decode_blocks.rows", rows),)
    return Fit("latent_attention_decode", "bf16", library, free, (*_SET, "unsplit"), (), known, (), priors, 2.0)


_STREAM = ("memory", "latency_s")
_STREAM_PRIORS = (("memory", Prior(0.8, 0.2, 1.0)), ("latency_s", Prior(3e-6, 0.7)), _RATE)


def _streamed(kind: str, library: str, *free: str) -> Fit:
    """A kernel that streams: at the memory's rate, or at what units issue; out of the cache where it holds all."""
    known = (("compute", 0.8), ("working_set.rate", MOST_OF_CACHE))
    return Fit(kind, "bf16", library, (*_STREAM, *free), _SET, ("unit_rate",), known, (), _STREAM_PRIORS, 2.0)


_ROW_STEP = 4096 * 3.0 + 4.0
"""What a block of vLLM's moves at a time of a row in bf16: 16 elements for each of 256 threads, and a scale. [B]"""


def _quantized(library: str, held: float = 0.0, devices: tuple[str, ...] = ()) -> Fit:
    """Kernels that stream what the one before them left; a block for each row where units hold so many of them."""
    free, known = (*_STREAM, *_SET), (("compute", 0.8),)
    if held:
        free = (*free, "row_walk.each")
        known = (*known, ("row_walk.step", _ROW_STEP), ("row_walk.held", held))
    priors = (("memory", Prior(0.6, 0.5, 1.0)), ("latency_s", Prior(5e-6, 0.7)), _RATE)
    return Fit("quantize", "bf16", library, free, (), (), known, (), priors, 2.0, devices)


def chunked(kind: str, library: str, devices: tuple[str, ...] = (), passes: float = 0.0) -> Fit:
    """A scan in chunks, in ``passes`` over what it reads and writes, fitted where none are given."""
    free = ("latency_s", "scan_chunks.each", "scan_chunks.chain")
    known = (("compute", 0.8), ("memory", 0.8), ("working_set.rate", MOST_OF_CACHE))
    if passes:
        known = (*known, ("scan_chunks.passes", passes))
    else:
        free = (*free, "scan_chunks.passes")
    priors = (("latency_s", Prior(20e-6, 0.7)), _RATE)
    return Fit(kind, "bf16", library, free, _SET, (), known, (), priors, 2.0, devices)


def _waved(kind: str, library: str, devices: tuple[str, ...]) -> Fit:
    """A fused scan, whose blocks take heads of sequences in waves."""
    free = ("memory", "latency_s", "scan_waves.start", "scan_waves.chain")
    known = (("compute", 0.8), ("working_set.rate", MOST_OF_CACHE))
    priors = (*_SHARES, ("latency_s", Prior(3e-6, 0.7)), _RATE)
    return Fit(kind, "bf16", library, free, _SET, (), known, (), priors, 2.0, devices)


def _encoder(
    library: str,
    padded: float = 0.0,
    devices: tuple[str, ...] = (),
    slow: float = 0.0,
    tiles: tuple[tuple[str, float], ...] = (),
) -> Fit:
    """Attention of encoders: heads ``padded`` to a width; a ``slow`` one has a kernel of an older generation."""
    free = ("compute", "memory", "latency_s", "query_tiles.each", "query_tiles.tail")
    known = [*_tiles(library), *tiles]
    if library == "trtllm":
        known.append(("packed_pass", 2.0))
    if padded:
        known.append(("head_padding", padded))
    if slow:
        known.append(("slow_width.width", slow))
        free = (*free, "slow_width.times")
    priors = (*_SHARES, ("latency_s", Prior(10e-6, 1.0)), _RATE)
    return Fit("attention_encoder", "bf16", library, free, _SET, (), tuple(known), (), priors, 1.0, devices)


def _narrow_matmul(dtype: str, library: str, *, splits: bool = False) -> Fit:
    """A matmul of 8 bits or fewer with what quantises before it; memory and launches are those of 16 bits.

    Without ``splits`` a block walks the whole depth, as in DeepGEMM and CUTLASS's persistent kernels.
    """
    own = "split_k.reduction" if splits else "least_tile"
    free = ("compute", "tiles", own, "quantize.latency", "quantize.traffic")
    known = (("split_k.partial", NO_PARTIAL),) if splits else ()
    shared = ("memory", "latency_s", "last_cache.rate", "ramp", "kept_weights.rate")
    return Fit("matmul", dtype, library, free, known=known, shared=shared, priors=(_SHARES[0],))


_TILED = ("compute", "memory", "latency_s", "tiles", "split_k.reduction", "kept_weights.rate")
FITS = (
    Fit("matmul", "bf16", "", _TILED, ("last_cache.rate",), ("ramp",), (("split_k.partial", NO_PARTIAL),)),
    _narrow_matmul("fp8", "trtllm", splits=True),
    _narrow_matmul("fp8", "vllm"),
    _narrow_matmul("fp8_block", "trtllm"),
    _narrow_matmul("fp4", "trtllm"),
    _narrow_matmul("fp4", "vllm"),
    _prefill("fa3", "window_edge", "query_tiles.tail", "cache_write.each", known=_WRITTEN),
    _prefill("flashinfer", "cache_write.each", known=_WRITTEN),
    _prefill("fa2", "cache_write.each", known=_WRITTEN),
    _packed_prefill(*_HBM),
    _packed_prefill("a100-sxm-80gb", known=_AMPERE),
    _packed_prefill("l40s", known=_ADA),
    _encoder("fa3", 96.0),
    _encoder("fa4", 96.0),
    _encoder("fa2", 96.0),
    _encoder("trtllm", 128.0, ("h100-sxm-80gb", "h200-sxm-141gb")),
    _encoder("trtllm", slow=72.0, devices=("b200-180gb",)),
    _encoder("trtllm", devices=("l40s",), tiles=_ADA),
    _decode("fa3", rows=128.0),
    _decode("flashinfer", rows=16.0),
    _decode("fa2", "unsplit", "regroup", rows=128.0),
    _decode("trtllm", "head_blocks.each", "head_blocks.rate", rows=16.0),
    _packed_prefill(*_HBM, dtype="fp8"),
    _packed_prefill("l40s", dtype="fp8", known=(*_AMPERE, *_SPILLED)),
    _triton_prefill(),
    _triton_decode(),
    _latent_prefill("trtllm", *_HBM),
    _latent_prefill("trtllm", "l40s", tiles=_AMPERE),
    _latent_decode("trtllm", rows=64.0),
    *(_streamed("convolution_prefill", library) for library in ("vllm", "sglang")),
    _streamed("convolution_prefill", "trtllm", "channel_walk.first", "channel_walk.each"),
    *(_streamed("convolution_decode", library) for library in ("vllm", "sglang", "trtllm")),
    _waved("delta_rule_prefill", "vllm", ("h100-sxm-80gb", "h200-sxm-141gb", "b200-180gb")),
    chunked("delta_rule_prefill", "vllm", ("l40s",)),
    *(chunked("delta_rule_prefill", library) for library in ("sglang", "trtllm")),
    *(replace(_streamed("delta_rule_decode", library), uncached=()) for library in ("vllm", "sglang", "trtllm")),
    _waved("mamba2_prefill", "trtllm", ("b200-180gb",)),
    _quantized("vllm", 8.0, ("h100-sxm-80gb", "h200-sxm-141gb", "b200-180gb")),
    _quantized("vllm", 6.0, ("l40s",)),
    _quantized("trtllm"),
)  # fmt: skip
"""Each kind that has rows; the first of a kind is its default."""


def fitted(fit: Fit, sets: Sequence[MeasuredSet], first: Constants | None = None, *, cached: bool = False) -> Constants:
    """The constants that all rows of the sets ask for, rounded as they are written; ``first``: of the first fit.

    ``cached``: those of the last cache too, for devices where it is faster than the memory.
    """
    campaigns = [timed for rows in sets for timed in rows.timed()]
    cached = cached or has_fast_cache(sets[0].device)
    free = (*fit.free, *(fit.cached if cached else fit.uncached))
    shared = [name for name in fit.shared if first is not None and first.has(name)]
    known = {**dict(fit.known), **{name: first.value(name) for name in shared if first is not None}}
    for name in ("last_cache", "working_set"):
        if f"{name}.rate" in (*free, *known):
            known[f"{name}.most"] = MOST_OF_CACHE
    if "kept_weights.rate" in (*free, *known):
        known["kept_weights.part"] = 1.0 if cached else PARTITION
    priors = {name: {**_PRIORS, **dict(fit.priors)}[name] for name in free}
    start = _START.replaced({"p": fit.p, **{name: prior.median for name, prior in priors.items()}, **known})
    found = fit_constants(campaigns, start, priors).constants
    return found.replaced({name: float(f"{found.value(name):.3g}") for name in free})


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Rows that one seed judges, by constants that saw none of their dimensions; ln(predicted / measured) of each."""

    rows: tuple[MeasuredSet, ...]
    constants: Constants
    logs: Any

    @property
    def values(self) -> Any:
        """The model dimensions of each row: [rows, dimensions]."""
        return np.concatenate(
            [np.array([each.sizes[name] for name in each.fit_values]) for each in self.rows], axis=1
        ).T


@cache
def judged(fit: Fit, sets: tuple[DeviceSet, ...], first: tuple[DeviceSet, ...] = ()) -> tuple[Judged, ...]:
    """Every seed: constants from the rows to fit, errors on rows that share no dimension with them.

    ``first``: the sets of the first fit, where constants of it are shared.
    """
    found = []
    firsts = judged(FITS[0], first) if first else (None,) * len(SEEDS)
    for seed, known in zip(SEEDS, firsts, strict=True):
        parts = [each.split(seed) for each in sets]
        constants = fitted(fit, [part.fitted() for part in parts], known and known.constants)
        rows = tuple(part.held_out() for part in parts)
        found.append(Judged(rows, constants, _logs(rows, constants)))
    return tuple(found)


def device_fields(data: Path, device: HardwareSpec, only: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a device's calibration, as its file has them; what is not among ``only`` stays as it is."""
    old = read_yaml(_file(device))["kinds"] if only else {}
    kinds: dict[str, Any] = {}
    sources, count = set(), 0
    for fit in FITS:
        sets = sets_of(data, fit, device)
        if not sets:
            continue
        sources |= {f"{each.framework} {each.version} ({each.digest})" for each in sets}
        count += sum(len(each.rows) for each in sets)
        if only and fit.kind not in only:
            kinds.setdefault(fit.kind, old.get(fit.kind, {}))
        if only and not fit.among(only):
            continue
        first = first_sets(data, fit, device)
        known = fitted(FITS[0], [each.rows for each in first]) if first else None
        constants = fitted(fit, [each.rows for each in sets], known)
        _put(kinds, fit, kind_fields(constants, device, band_of_seeds(judged(fit, sets, first), fit.kind)))
    default = kinds[FITS[0].kind]
    rest = load_class(device.calibration_class).band
    bands = [kind["band"] for name, kind in kinds.items() if name.startswith(USUAL)]
    return {
        "name": device.name,
        "extends": device.name,
        "title": f"{device.title}, as measured with {' and '.join(sorted({s.split()[0] for s in sources}))}",
        "clock": f"{device.cycles_per_s / 1e6:.0f} MHz",
        "p": 2,
        "compute": default["compute"],
        "memory": default["memory"],
        "vector": _START.vector,
        "special": _START.special,
        "latency": {"graph": "3 us", "eager": "8 us"},
        "measured_dtypes": ["bf16", "fp16"],
        "kinds": kinds,
        "band": {
            "low": min(rest.low, *(band["low"] for band in bands)),
            "high": max(rest.high, *(band["high"] for band in bands)),
            "evidence": "timings not fitted; each kind of operator has a band of its own, or that of "
            f"{device.calibration_class}",
        },
        "source": SOURCE.format(count=f"{count:,}", commit=COMMIT, tables=", ".join(sorted(sources))),
    }  # fmt: skip


SOURCE = (
    "fitted by benchmarks/fit_devices.py to {count} timings of aiconfigurator (ai-dynamo, commit {commit}): {tables}, "
    "in brackets the digest of a table; vector and special from the class; eager latency: graph + 5 us, not measured"
)


def kind_fields(found: Constants, device: HardwareSpec, band: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of one kind, its latency in cycles."""
    return {**in_cycles(found, device.cycles_per_s, found.corrections.times()), "band": dict(band)}


def sets_of(data: Path, fit: Fit, device: HardwareSpec) -> tuple[DeviceSet, ...]:
    """The sets of a fit on a device; none where others have such kernels."""
    known = not fit.devices or device.name in fit.devices
    return tuple(of_kind(data, fit.kind, fit.dtype, fit.library).get(device.name, ())) if known else ()


def in_cycles(found: Constants, clock: float, kept: Sequence[str], *, latency: bool = True) -> dict[str, Any]:
    """The fields of one kind with its times in cycles at ``clock`` [Hz], but for those that are ``kept`` in seconds."""
    fields = found.corrections.written()
    for name in found.corrections.times():
        of, constant = named_constants()[name]
        text = f"{found.value(name) * clock / 1e3:.3g} kcycle"
        if name not in kept and isinstance(fields[of], dict):
            fields[of][constant.field] = text
        elif name not in kept:
            fields[of] = text
    graph = f"{found.latency_s * clock / 1e3:.3g} kcycle" if latency else f"{found.latency_s * 1e6:.3g} us"
    times = {"graph": graph, "eager": f"{graph} + {EAGER_S * 1e6:.0f} us"}
    return {"compute": found.compute, "memory": found.memory, "latency": times, "p": found.p, **fields}


def first_sets(data: Path, fit: Fit, device: HardwareSpec) -> tuple[DeviceSet, ...]:
    """The sets of the first fit, where constants of it are shared."""
    first = FITS[0]
    return tuple(of_kind(data, first.kind, first.dtype, first.library)[device.name]) if fit.shared else ()


def _put(kinds: dict[str, Any], fit: Fit, fields: dict[str, Any]) -> None:
    """The fields where a file has them: the kind itself, for its first fit, a dtype of it, or a library's."""
    own, plain = kinds.setdefault(fit.kind, {}), fit.dtype == FITS[0].dtype
    if not own or (plain and fit.library == own.get("library", "")):
        beside = {name: own[name] for name in ("dtypes", "libraries") if name in own}
        kinds[fit.kind] = ({"library": fit.library} if fit.library else {}) | fields | beside
        return
    place = own.setdefault("libraries", {}).setdefault(fit.library, {}) if fit.library else own
    if plain:
        place.update(fields)
    else:
        place.setdefault("dtypes", {})[fit.dtype] = fields


def _file(device: HardwareSpec) -> Path:
    return data_folder("calibrations") / "devices" / f"{device.name}.yaml"


def has_fast_cache(device: HardwareSpec) -> bool:
    rate = MOST_OF_CACHE * device.unit_count * device.cycles_per_s
    return rate > _SLOW_MEMORY * device.bandwidth


def _logs(sets: Sequence[MeasuredSet], constants: Constants) -> Any:
    return np.concatenate([log_errors_of(timed, constants) for rows in sets for timed in rows.timed()])


def devices(data: Path) -> list[HardwareSpec]:
    """The devices that have rows."""
    return [load_hardware(name) for name in of_kind(data, FITS[0].kind, FITS[0].dtype, FITS[0].library)]


def main() -> int:
    """Print the errors on rows not fitted, and write if asked to."""
    from expert_fits import with_experts, with_old_experts  # noqa: PLC0415  (it builds on this file)

    parser = argparse.ArgumentParser(description="Fit the calibrations of devices that have a folder of rows.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write calibrations/devices/")
    parser.add_argument("--without", default="", help="a correction to leave out, such as ramp: the fits that have it")
    parser.add_argument("--kinds", nargs="+", default=(), help="fit these alone: KIND[:LIBRARY[:DTYPE]]")
    asked = parser.parse_args()
    fits = [fit.without(asked.without) for fit in FITS]
    if asked.without:
        fits = [fit for fit, whole in zip(fits, FITS, strict=True) if fit != whole]
    for device in devices(asked.data):
        for fit in fits:
            sets = sets_of(asked.data, fit, device)
            if not sets or (asked.kinds and not fit.among(asked.kinds)):
                continue
            seeds = judged(fit, sets, first_sets(asked.data, fit, device))
            medians = [100 * float(np.median(np.abs(np.expm1(seed.logs)))) for seed in seeds]
            each = ", ".join(f"{median:.1f}" for median in medians)
            print(f"{device.name} {fit.name}: median APE {np.mean(medians):.1f} % ({each})")
        if asked.write and not asked.without:
            fields = device_fields(asked.data, device, asked.kinds)
            if asked.kinds:
                fields = with_old_experts(fields, read_yaml(_file(device)))
            else:
                fields = with_experts(fields, device, asked.data)
            with atomic_writer(_file(device)) as file:
                file.write(written(fields))
    return 0


if __name__ == "__main__":
    sys.exit(main())
