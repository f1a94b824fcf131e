"""Mixtures of experts fitted by kernel library and dtype: the kinds grouped_matmul and routed of devices and classes.

Timed is a chain of kernels: half of its latency is that of each of its matmuls. What passes in 16 bits does so as in
the library's bf16, whatever the weights are stored in. Constants are fitted to all rows; errors and bands are from five
seeded splits that share no hidden size, or no width where there is one hidden size alone. expert_board.py writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from class_attention import KINDS as KINDS_ALIKE
from class_attention import is_attention, unseen
from device_bands import band_fields
from device_sets import SEEDS
from expert_sets import RECIPES, ExpertSet, load_experts
from fit_devices import has_fast_cache, kind_fields

from roofline.calibration.constants import Constants
from roofline.calibration.corrections.correction import Prior
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import GroupedShape
from roofline.fitting.operators import band_of, solve
from roofline.hardware.spec import HardwareSpec
from roofline.timing.operator import time_operator
from roofline.timing.timing import Timing, total

TILE = 64.0
"""Rows of a tile; of 16 to 128 none fits better. [rows]"""
PAIR_TILES = {"bf16": 128.0, "bf16_w4": 64.0, "fp8": 128.0, "fp8_block": 128.0, "fp8_w4": 256.0, "fp4": 256.0}
"""Rows of the largest tile of TensorRT-LLM's batched GEMM (mxFp4BlockScaleMoe.cpp; FlashInfer's
trtllm_fused_moe_kernel_launcher.cu). [rows]"""
MOST_OF_CACHE = 14.7
"""What an L40 reads from its L2, per cycle and unit, in gpu-benches. [B/cycle]"""
KINDS = ("grouped_matmul", "routed")
"""The kinds of a chain of experts."""
FREE = {
    "compute": Prior(0.6, 0.5, 1.0),
    "memory": Prior(0.85, 0.3, 1.0),
    "latency_s": Prior(12e-6, 0.7),
    "routed_passes": Prior(0.6, 0.7),
    "dispatch.token": Prior(2e-9, 1.5),
    "dispatch.expert": Prior(2e-8, 1.5),
    "group_blocks": Prior(1e-6, 1.5),
}
CACHED = {"kept_weights.rate": MOST_OF_CACHE, "kept_weights.part": 1.0}
"""Given where the last cache is faster than the memory."""
GATHERED = {"triton": 1.0, "trtllm-gen": 0.0}
"""Libraries whose first matmul reads tokens where they lie, and what of other devices' pairs passes between kernels."""
_ALIKE = 0.3
"""How far ln(routed_passes) of another dtype lies from that of bf16: sorting by tokens costs alike, and hides it."""
SPREAD_POWER = 0.75
"""How rows that are not fitted spread, beside those that are: by the interval score of rows that were not fitted."""
CLASSES = ("nvidia-ampere", "nvidia-hopper", "nvidia-tensor-core", "nvidia-gddr")
DEFAULTS = {"b200-180gb": "trtllm-gen"}
DEFAULT = "triton"
"""Whose kernels vLLM takes: Triton's, on Blackwell those that FlashInfer has of TensorRT-LLM."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The constants of a chain's grouped matmuls, and of what is elementwise in it."""

    grouped: Constants
    routed: Constants

    def of(self, cost: Cost) -> Constants:
        """The constants of one of its operators."""
        return self.grouped if isinstance(cost.shape, GroupedShape) else self.routed

    def banded(self, low: float, high: float) -> Chain:
        """The same with a band."""
        return Chain(replace(self.grouped, low=low, high=high), replace(self.routed, low=low, high=high))


def timing_of(rows: ExpertSet, chain: Chain) -> Timing:
    """The prediction of all rows, as arrays. [s]"""
    parts = {name: np.empty(len(rows)) for name in ("time_s", "bound_s", "low_s", "high_s")}
    for costs, where in rows.timed():
        found = total((1, time_operator(cost, rows.device, chain.of(cost))) for cost in costs)
        for name, values in parts.items():
            values[where] = getattr(found, name)
    return Timing(**parts)


def logs_of(rows: ExpertSet, chain: Chain) -> Any:
    """ln(measured / predicted), row by row."""
    return np.log(rows.measured_s / timing_of(rows, chain).time_s)


def fitted(sets: Sequence[ExpertSet], passes: float | None = None) -> Chain:
    """The constants that the rows ask for, rounded as they are written; latency is that on the first set's device.

    Each device has as many cycles of it. ``passes``: the share at which bf16 passes between kernels, where these rows
    are of another dtype.
    """
    timed = [(costs, rows.device, rows.measured_s[where]) for rows in sets for costs, where in rows.timed()]
    measured = np.concatenate([part for *_, part in timed])

    free = FREE if passes is None else {**FREE, "routed_passes": Prior(passes, _ALIKE)}
    library = sets[0].library
    gathered = {"gathered_rows": GATHERED[library]} if library in GATHERED else {}
    if library == "trtllm-gen":
        tiles, free = {"pair_tiles.rows": PAIR_TILES[sets[0].dtype]}, {**free, "pair_tiles.tail": Prior(0.5, 1.0)}
    else:
        tiles = {"group_tail": TILE}

    def chain_with(values: Mapping[str, float]) -> Chain:
        grouped = Constants(vector=0.65, special=0.9).replaced({"p": 2.0, **tiles, **gathered, **values})
        chain = chain_of(grouped, values["routed_passes"] if passes is None else passes)
        return moved(chain, sets[0].device, sets[0].device)

    def log_errors(logs: Any) -> Any:
        now = chain_with(dict(zip(free, np.exp(logs).tolist(), strict=True)))
        times = [_seconds(costs, device, moved(now, sets[0].device, device)) for costs, device, _ in timed]
        return np.log(np.concatenate(times) / measured)

    found = solve(log_errors, free, np.ones(len(measured)), starts=1)
    return chain_with({name: float(f"{interval.value:.3g}") for name, interval in found.items()})


def chain_of(grouped: Constants, passes: float) -> Chain:
    """A chain whose elementwise kernels have no latency of their own: it is in that of the matmuls."""
    gathered = {"gathered_rows": grouped.value("gathered_rows")} if grouped.has("gathered_rows") else {}
    routed = Constants(vector=0.65, special=0.9, p=grouped.p).replaced({"routed_passes": passes, **gathered})
    return Chain(grouped, routed)


def moved(chain: Chain, donor: HardwareSpec, device: HardwareSpec) -> Chain:
    """The chain of one device on another: as many cycles of latency; the cache where it is faster than the memory."""
    latency_s = chain.grouped.latency_s * donor.cycles_per_s / device.cycles_per_s
    grouped = replace(chain.grouped, latency_s=latency_s).without("kept_weights")
    if has_fast_cache(device):
        grouped = grouped.replaced(CACHED)
    return Chain(grouped, chain.routed)


def _seconds(costs: Iterable[Cost], device: HardwareSpec, chain: Chain) -> Any:
    return sum(time_operator(cost, device, chain.of(cost)).time_s for cost in costs)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Rows of one seed that were not fitted, and constants that did not see them.

    spread: the mean |ln(measured / predicted)| of the rows that were.
    """

    rows: ExpertSet
    chain: Chain
    spread: float

    @property
    def logs(self) -> Any:
        """ln(measured / predicted), row by row."""
        return logs_of(self.rows, self.chain)


def passes_of(rows: ExpertSet, data: Path) -> float | None:
    """At which share bf16 passes between these kernels: the library's, or the default's of the device; None for bf16.

    It is known from all rows in bf16.
    """
    if rows.dtype == "bf16":
        return None
    plain = {each.library: each for each in load_experts(data) if each.device == rows.device and each.dtype == "bf16"}
    alike = default_of(rows.device) if rows.library in GATHERED else "trtllm"  # others copy tokens as it does
    return whole(plain.get(rows.library, plain[alike]), data).routed.value("routed_passes")


def default_of(device: HardwareSpec) -> str:
    """The library that a device's kind has its own constants from."""
    return DEFAULTS.get(device.name, DEFAULT)


@cache
def whole(rows: ExpertSet, data: Path) -> Chain:
    """The constants of all rows."""
    return fitted([rows], passes_of(rows, data))


@cache
def judged(rows: ExpertSet, data: Path) -> tuple[Judged, ...]:
    """Every seed: constants from half of the values, and the rows of the other half."""
    passes, splits = passes_of(rows, data), [rows.split(seed) for seed in SEEDS]
    found = []
    for own, others in splits:
        chain = fitted([own], passes)
        found.append(Judged(others, chain, spread_of(own, chain)))
    return tuple(found)


def spread_of(rows: ExpertSet, chain: Chain) -> float:
    """The mean |ln(measured / predicted)| of rows."""
    return float(np.abs(logs_of(rows, chain)).mean())


def others_of(rows: ExpertSet, data: Path) -> list[ExpertSet]:
    """The same kernels in the same dtype on other devices."""
    return [each for each in load_experts(data) if each is not rows and each.kernel == rows.kernel]


def band_unseen(spread: float, kernel: tuple[str, str], data: Path) -> tuple[tuple[float, float], int]:
    """The band of constants whose fitted rows have this spread, for sizes that they did not see, and of how many rows.

    A set has two hidden sizes or three, so that it cannot say itself how far another one lies off. The band is from
    what other kernels err, on any device, on rows that their seeds did not fit, as parts of a power of their spreads:
    nothing of how these kernels err on rows that were not fitted is in it.
    """
    sets = [each for each in load_experts(data) if each.kernel != kernel]
    others = [judged(each, data) for each in sets]
    logs = [np.concatenate([seed.logs / seed.spread**SPREAD_POWER for seed in every]) for every in others]
    low, high = np.log(_band(logs)) * spread**SPREAD_POWER
    return (float(np.exp(low)), float(np.exp(high))), sum(map(len, sets))


def left_out(rows: ExpertSet, data: Path) -> Chain | None:
    """The constants that other devices have for these kernels, with a band that knows nothing of the device.

    Where one of them is of its generation, it is from that one's rows not fitted, and from each of the others left
    out; else ``band_elsewhere``.
    """
    others = others_of(rows, data)
    if not others:
        return None
    found = moved(_pooled(tuple(others), data), others[0].device, rows.device)
    if not (alike := [each for each in others if _of_one(each, rows)]):
        return found.banded(*band_elsewhere(data, rows.device.name)[0])
    return found.banded(*_band([*_not_fitted(alike, data), *_each_left_out(others, data)]))


def band_elsewhere(data: Path, without: str) -> tuple[tuple[float, float], int]:
    """The band on an architecture that was not timed, with nothing of ``without``, and how many rows it is from.

    It is from what experts and attention err there: three generations have such experts, and an L40S left out lies
    twice as far off as the others do by each other.
    """
    attention = [one.logs for kind in KINDS_ALIKE if is_attention(kind) for one in unseen(kind, data, without)]
    logs = [*unseen_generations(data, without), *attention]
    return _band(logs), sum(map(len, logs))


@cache
def unseen_generations(data: Path, without: str) -> tuple[Any, ...]:
    """ln(measured / predicted) of each device by constants of other generations, with nothing of ``without``.

    Of the libraries that classes have: one kernel has two generations or three, too few to say how far another lies.
    """
    found = []
    for rows in (each for each in load_experts(data) if each.library in _OF_CLASSES and each.device.name != without):
        others = tuple(
            each for each in others_of(rows, data) if each.device.name != without and not _of_one(each, rows)
        )
        if others:
            found.append(logs_of(rows, moved(_pooled(others, data), others[0].device, rows.device)))
    return tuple(found)


def _not_fitted(sets: Iterable[ExpertSet], data: Path) -> list[Any]:
    """ln(measured / predicted) of the rows of each that its seeds did not fit."""
    return [np.concatenate([seed.logs for seed in judged(each, data)]) for each in sets]


def _each_left_out(sets: Sequence[ExpertSet], data: Path) -> list[Any]:
    """ln(measured / predicted) of each by the constants of the others."""
    found = []
    for each in sets if len(sets) > 1 else ():
        rest = tuple(other for other in sets if other is not each)
        found.append(logs_of(each, moved(_pooled(rest, data), rest[0].device, each.device)))
    return found


def _of_one(one: ExpertSet, other: ExpertSet) -> bool:
    """Whether two devices are of one generation."""
    return one.device.calibration_class == other.device.calibration_class


@cache
def _pooled(sets: tuple[ExpertSet, ...], data: Path) -> Chain:
    shares = [share for each in sets if (share := passes_of(each, data)) is not None]
    return fitted(sets, float(np.exp(np.mean(np.log(shares)))) if shares else None)


def _band(logs: Sequence[Any]) -> tuple[float, float]:
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in logs])
    return band_of(np.concatenate(logs), weights)


# Calibrations


def with_experts(fields: Mapping[str, Any], device: HardwareSpec, data: Path) -> dict[str, Any]:
    """The fields of a device's calibration with its kinds grouped_matmul and routed, and where they are from."""
    sets = [rows for rows in load_experts(data) if rows.device.name == device.name]
    sets.sort(key=lambda rows: (rows.library != default_of(device), rows.dtype != "bf16"))
    kinds: dict[str, Any] = {"grouped_matmul": {}, "routed": {}}
    for rows in sets:
        chain = whole(rows, data)
        ends, count = band_unseen(spread_of(rows, chain), rows.kernel, data)
        band = band_fields(ends, f"{count:,} {EVIDENCE}")
        _put(kinds["grouped_matmul"], rows, kind_fields(chain.grouped, device, band))
        if rows.dtype == "bf16":
            _put(kinds["routed"], rows, kind_fields(chain.routed, device, band))
    tables = sorted({f"{rows.table.framework} {rows.table.version} ({rows.table.digest})" for rows in sets})
    count = sum(map(len, sets))
    source = f"{fields['source'].split(_EXPERTS)[0]}{_EXPERTS} {count:,} timings: {', '.join(tables)}"
    return {**fields, "kinds": {**fields["kinds"], **kinds}, "source": source}


def with_old_experts(fields: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a device's calibration with these kinds as ``old`` ones have them."""
    kinds = {name: kind for name, kind in old["kinds"].items() if name in KINDS}
    source = _EXPERTS.join([fields["source"], *old["source"].split(_EXPERTS)[1:]])
    return {**fields, "kinds": {**fields["kinds"], **kinds}, "source": source}


EVIDENCE = "rows of other kernels of experts that were not fitted, by how far fitted ones scatter"
_EXPERTS = "; grouped_matmul and routed: by benchmarks/expert_fits.py to"


def _put(kind: dict[str, Any], rows: ExpertSet, fields: dict[str, Any]) -> None:
    """The fields of a set where a file has them: the first is the default."""
    if not kind:
        kind.update({"library": rows.library, **fields})
        return
    place = kind if kind["library"] == rows.library else kind.setdefault("libraries", {}).setdefault(rows.library, {})
    place.update(fields if rows.dtype == "bf16" else {"dtypes": {**place.get("dtypes", {}), rows.dtype: fields}})


# Classes

_OF_CLASSES = ("triton", "trtllm")
_ONE_GENERATION = "nvidia-hopper"
_CACHED = "nvidia-gddr"  # its last cache is faster than its memory
_GENERATIONS = {"nvidia-hopper": "h", "nvidia-tensor-core": "b", "nvidia-gddr": "l"}
"""How the names of the devices begin that are of a class's generation; where none is left, all others serve."""


def class_kinds(name: str, lone: Mapping[str, Any], data: Path, without: str = "") -> dict[str, Any]:
    """The kinds grouped_matmul and routed of a class, from all devices but ``without``; its own generation first.

    The kernels of the usual library are the class's, so that others inherit them. ``lone``: what a grouped matmul takes
    that is no part of a chain, as DeepGEMM's was timed; empty where it was not.
    """
    every = [rows for rows in load_experts(data) if rows.device.name != without]
    without = without if len(every) < len(load_experts(data)) else ""  # what is left out has no rows here
    kin = [rows for rows in every if rows.device.name.startswith(_GENERATIONS.get(name, "-"))]
    usual = default_of(kin[0].device) if kin else DEFAULT
    grouped: dict[str, Any] = {}
    routed: dict[str, Any] = {}
    for library, dtype in ((lib, dtype) for lib in (usual, "trtllm") for dtype, _ in RECIPES.values()):
        near = [rows for rows in kin if rows.library == library] or every
        donors = tuple(rows for rows in near if (rows.library, rows.dtype) == (library, dtype))
        if not donors:
            continue
        chain, device = _pooled(donors, data), donors[0].device
        band = _class_band(name, donors, data, without)
        if name != _CACHED:
            chain = replace(chain, grouped=chain.grouped.without("kept_weights"))
        place = grouped if library == usual else grouped.setdefault("libraries", {}).setdefault(library, {})
        fields = kind_fields(chain.grouped, device, band)
        place.update(fields if dtype == "bf16" else {"dtypes": {**place.get("dtypes", {}), dtype: fields}})
        if dtype == "bf16":
            own = kind_fields(chain.routed, device, band)
            routed.update(own if library == usual else {"libraries": {library: own}})
    if lone:
        grouped["libraries"]["deepgemm"] = {"dtypes": {"fp8": dict(lone)}}
    return {"grouped_matmul": grouped, "routed": routed}


def _class_band(name: str, donors: Sequence[ExpertSet], data: Path, without: str) -> dict[str, Any]:
    """The band of a class that is one generation, of donors of its own; of another, that of unseen generations."""
    if {rows.device.calibration_class for rows in donors} == {_ONE_GENERATION} == {name}:
        logs = [*_not_fitted(donors, data), *_each_left_out(donors, data)]
        ends, count = _band(logs), sum(map(len, logs))
        told = "rows not fitted, and each device left out where there are two"
    else:
        ends, count = band_elsewhere(data, without)
        told = "each generation left out in turn, experts of Triton and TensorRT-LLM, and attention"
    return band_fields(ends, f"{count:,} timings, {told}")
