"""Fits the classes of NVIDIA GPUs with tensor cores to public timings: calibrations/classes/, benchmarks/left_out/.

python benchmarks/fit_classes.py --data DIR [--write [--kinds KIND ...]]

A class is for devices that it has not seen. So each device is left out in turn, constants are fitted to the others, and
the errors on the device left out, pooled over all devices, each weighing alike, are the band of every class. In
benchmarks/left_out/ are the classes without a device, which its rows are judged by. Without
--write the left-out errors are printed: with constants of the device's own generation and with constants of all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from class_attention import KINDS, attention_fields, lone_matmuls
from class_campaigns import Campaign, load_campaigns, weighted
from expert_fits import KINDS as EXPERTS
from expert_fits import class_kinds
from fit_calibrations import PRIORS, kept_kinds, written
from fit_devices import PARTITION, USUAL
from grouped_sets import GroupedSet, load_grouped
from measured_sets import load_sets

from roofline.calibration.calibration_file import Calibration
from roofline.calibration.constants import NO_CORRECTIONS, Constants, device_names
from roofline.calibration.corrections.correction import Prior
from roofline.calibration.corrections.matmuls import GroupRows
from roofline.calibration.corrections.registry import Corrections
from roofline.calibration.power import powered_shares
from roofline.calibration.provenance import on_device
from roofline.files.atomic import atomic_writer
from roofline.files.library import data_folder, read_yaml
from roofline.fitting.operators import band_of, solve
from roofline.hardware.spec import HardwareSpec
from roofline.timing.operator import time_operator

CLASSES = {
    "nvidia-ampere": "NVIDIA A100 and A30 (Ampere with HBM)",
    "nvidia-hopper": "NVIDIA H100, H200, GH200, H20 (Hopper)",
    "nvidia-tensor-core": "NVIDIA GPUs with tensor cores, HBM and no tight power cap, of other generations",
    "nvidia-gddr": "NVIDIA cards with tensor cores and GDDR memory (GeForce, workstation, L40S, A40, A10G)",
}
LEFT_OUT = Path(__file__).resolve().parent / "left_out"
_A100 = "a100-sxm-80gb"
_KIN = {"nvidia-gddr": "nvidia-ampere"}
"""Whose kernels a generation without rows of its own runs: FlashAttention-2, where Hopper has its own."""
_UNTAILED = ("fp64", "fp32", "tf32")
"""Dtypes whose slow tiles are cut finer: fp32 rows on V100 and A100 PCIe ask for no tail."""
_HALF_RATE = {"nvidia-gddr": {"compute": 1.08, "boost": 1.23}}
"""GeForce cards: what their best matmuls reach (best_matmuls.py), and the highest clock seen of the one rated at."""
_CACHED = "nvidia-gddr"  # its last cache is faster than its memory
_MATMUL = ("compute", "flop_energy", "memory", "latency_cycles", "tail.share", "tail.depth", "last_cache.rate",
           "kept_weights.rate")  # fmt: skip
_QUANTISED = ("matmul fp8 trtllm", "matmul fp8 vllm", "matmul fp8_block trtllm")
"""Matmuls timed with what quantises before them, by dtype and library."""
_UNCUT = "matmul fp8_block trtllm"
"""Those that cut no depth: of tiles, the smallest of which is told, in place of a smooth tail."""
FREE = {
    "matmul": _MATMUL,
    "matmul fp8_block": (),
    **dict.fromkeys(_QUANTISED, ("quantize.latency", "quantize.traffic")),
    _UNCUT: ("tiles", "least_tile", "quantize.latency", "quantize.traffic"),
    "matmul fp32": ("compute",),
    "attention_prefill": ("compute", "memory", "latency_s"),
    "attention_decode": ("compute", "memory", "latency_s"),
    "norm": ("memory",),
    "softmax": ("memory",),
    "elementwise": ("memory",),
}
GROUPED = {"nvidia-hopper": Corrections(group_rows=GroupRows(64.0))}
"""Rows of a group's tile at least: those of Hopper's matmul instruction. On an A100 no number is better than none."""

BY_GENERATION = ("attention_prefill",)
"""Kinds whose left-out errors are less with constants of the device's generation than with those of all."""

_PRIORS = {
    **PRIORS,
    "flop_energy": Prior(0.25e-12, 0.5),  # of a 16-bit FLOP at 1 GHz [J]
    "latency_cycles": Prior(4500.0, 0.7),
}
CLOCK = 1.41e9
"""The slowest clock among the devices measured, an A100's: cycles are at it where a device states none. [Hz]"""
MOST_OF_CACHE = 14.7
"""What an L40 reads from its L2, per cycle and unit, in gpu-benches. [B/cycle]"""

_START = Constants(compute=0.73, vector=0.65, special=0.9, memory=0.78, latency_s=3e-6, p=2.0)
_EAGER_S = 5e-6


@dataclass(frozen=True, slots=True)
class Found:
    """The free constants of a kind, by name; ``on`` makes them those of one device."""

    values: Mapping[str, float]

    def on(self, device: HardwareSpec, dtype: str) -> Constants:
        """The constants of the kind on a device."""
        plain = dict(self.values)
        if energy := plain.pop("flop_energy", None):
            plain["compute"] = powered_shares(plain["compute"], energy, device).get(dtype, plain["compute"])
        if cycles := plain.pop("latency_cycles", None):
            plain["latency_s"] = cycles / (device.clock or CLOCK)
        if "last_cache.rate" in plain:
            plain["last_cache.most"] = MOST_OF_CACHE
        if "kept_weights.rate" in plain:
            plain["kept_weights.part"] = _part(device.calibration_class)
        return _START.replaced(plain)


def fit(
    campaigns: Sequence[Campaign], names: Sequence[str] | None = None, known: Mapping[str, float] | None = None
) -> Found:
    """The constants ``names``, or those that are free for the campaigns' kind, but for those that are known."""
    known = known or {}
    free = tuple(name for name in names or FREE[campaigns[0].kind] if name not in known)
    return _fit(tuple(campaigns), free, tuple(known.items()))


@cache
def _fit(campaigns: tuple[Campaign, ...], names: tuple[str, ...], fixed: tuple[tuple[str, float], ...]) -> Found:
    """Once for the same campaigns: the order in which two devices are left out does not matter."""
    free, known = {name: _PRIORS[name] for name in names}, dict(fixed)
    rows = weighted(campaigns)
    counts = np.array([len(timed.measured_s) for timed in rows])
    weights = np.concatenate([np.full(n, timed.weight / n) for n, timed in zip(counts, rows, strict=True)])

    def log_errors(logs: Any) -> Any:
        return errors_of(campaigns, Found({**known, **dict(zip(free, np.exp(logs).tolist(), strict=True))}))

    found = solve(log_errors, free, weights / weights.sum() * counts.sum(), starts=2)
    return Found({**known, **{name: float(f"{interval.value:.3g}") for name, interval in found.items()}})


def errors_of(campaigns: Sequence[Campaign], found: Found) -> Any:
    """ln(predicted / measured), row by row."""
    logs = []
    for rows in (rows for campaign in campaigns for rows in campaign.rows):
        constants = found.on(rows.hardware, rows.cost.dtype)
        logs.append(np.log(time_operator(rows.cost, rows.hardware, constants).time_s / rows.measured_s))
    return np.concatenate(logs)


def fit_for(kind: str, generation: str, campaigns: Sequence[Campaign]) -> Found:
    """The constants of a kind for a generation: its own campaigns where it matters and there are any, else all.

    Generations share the latency, which the long rows of some do not show.
    """
    of_kind = [campaign for campaign in campaigns if campaign.kind == kind]
    if kind == "matmul fp8_block":
        found = fit_for(_UNCUT, generation, campaigns).values
        return Found({name: value for name, value in found.items() if not name.startswith("quantize.")})
    if kind.startswith("matmul fp8"):  # what runs before a matmul is fitted; the matmul is that of 16 bits
        known = dict(fit_for("matmul", generation, campaigns).values)
        if kind == _UNCUT:
            known = {name: value for name, value in known.items() if not name.startswith("tail.")}
        return fit(of_kind, known=known)
    every = fit(of_kind)
    own = [campaign for campaign in of_kind if campaign.generation == _KIN.get(generation, generation)]
    if kind not in BY_GENERATION or not own:
        return every
    return fit(own, known={"latency_s": every.values["latency_s"]})


def left_out(kind: str, campaigns: Sequence[Campaign]) -> dict[str, Any]:
    """For every device: ln(measured / predicted) of its rows with constants that other devices were fitted to."""
    of_kind = [campaign for campaign in campaigns if campaign.kind == kind]
    found = {}
    for device in dict.fromkeys(campaign.device.name for campaign in of_kind):
        own = [campaign for campaign in of_kind if campaign.device.name == device]
        others = [campaign for campaign in campaigns if campaign.device.name != device]
        needed = kind if FREE[kind] else _UNCUT
        if any(campaign.kind == needed for campaign in others):
            found[device] = -errors_of(own, fit_for(kind, own[0].generation, others))
    return found


def grouped_left_out(campaigns: Sequence[Campaign], grouped: Sequence[GroupedSet]) -> dict[str, Any]:
    """The same for grouped matmuls, to which nothing is fitted: they take the matmul constants of the other devices."""
    found: dict[str, Any] = {}
    for rows in grouped:
        others = [c for c in campaigns if c.kind == "matmul" and c.device.name != rows.device.name]
        matmul = fit(others).on(rows.device, rows.costs[0].dtype)
        constants = replace(matmul, corrections=GROUPED.get(rows.device.calibration_class, NO_CORRECTIONS))
        times = [time_operator(c, rows.device, constants if c.kind == "matmul" else _START).time_s for c in rows.costs]
        found.setdefault(rows.device.name, []).append(np.log(rows.measured_s / sum(times)))
    return {device: np.concatenate(parts) for device, parts in found.items()}


def band(errors: Mapping[str, Any]) -> dict[str, Any]:
    """The band of a kind, as a class file has it: devices that were left out weigh alike."""
    weights = np.concatenate([np.full(len(rows), 1 / len(rows)) for rows in errors.values()])
    low, high = band_of(np.concatenate(list(errors.values())), weights)
    rows = sum(len(part) for part in errors.values())
    return {"low": round(low, 2), "high": round(high, 2),
            "evidence": f"{rows:,} timings on {len(errors)} devices, each left out in turn"}  # fmt: skip


def class_fields(
    name: str,
    campaigns: Sequence[Campaign],
    grouped: Sequence[GroupedSet],
    data: Path,
    without: str = "",
    kept: Mapping[str, Any] | None = None,
    anew: Collection[str] = (),
) -> dict[str, Any]:
    """The fields of a class, as its file has them; ``without`` is a device that nothing is from.

    ``kept``: kinds of which attention, scans and experts stay as they are, where these are given, but for those that
    are fitted ``anew``.
    """
    found = {kind: fit_for(kind, name, campaigns) for kind in FREE}
    bands = {kind: band(left_out(kind, campaigns)) for kind in FREE}
    blocked = left_out("matmul fp8_block", campaigns) | left_out("matmul fp8_block trtllm", campaigns)
    bands["matmul fp8_block"] = band(blocked)
    bands["grouped_matmul"] = band(grouped_left_out(campaigns, grouped))
    matmul = found["matmul"].values
    plain = {kind: _kind(found[kind].values) | {"band": bands[kind]} for kind in FREE if not kind.startswith("matmul")}
    plain = {f"any_{kind}" if kind.startswith("attention") else kind: fields for kind, fields in plain.items()}
    attention = attention_fields(name, data, without, KINDS if kept is None else anew)
    if kept is not None:
        attention = _among(kept, KINDS) | attention
    kinds = attention | plain
    corrections = GROUPED.get(name, NO_CORRECTIONS).written()
    grouped_fields = {"latency": _matmul_latency(matmul), **corrections, "band": bands["grouped_matmul"]}
    lone = grouped_fields if name in GROUPED else {}
    mixture = _among(kept, EXPERTS) if kept is not None else class_kinds(name, lone, data, without)
    if lone and mixture:
        mixture["grouped_matmul"]["libraries"]["deepgemm"] = {"dtypes": {"fp8": dict(lone)}}
    kinds = {"matmul": _matmul_fields(name, found, bands), **kinds, **mixture}
    for library, fields in lone_matmuls(name, data, without).items():
        kinds["matmul"]["libraries"][library]["dtypes"]["fp4"] = fields | {"band": bands[_UNCUT]}
    usual = [found for kind, found in bands.items() if "fp8" not in kind]
    for fields in (fields for kind, fields in attention.items() if kind.startswith(USUAL)):
        usual += [fields["band"], *(other["band"] for other in fields.get("libraries", {}).values())]
    devices = sorted({campaign.device.name for campaign in campaigns if campaign.kind in FREE})
    return {
        "name": name,
        "title": CLASSES[name],
        "p": 2,
        "clock": f"{CLOCK / 1e6:.0f} MHz",
        "compute": matmul["compute"],
        "flop_energy": f"{matmul['flop_energy'] * 1e12:.3g} pJ/FLOP",
        **({"half_rate": _HALF_RATE[name]} if name in _HALF_RATE else {}),
        "memory": matmul["memory"],
        "vector": _START.vector,
        "special": _START.special,
        "latency": _latency(_START.latency_s),
        "dtypes": {"fp32": found["matmul fp32"].values["compute"]},
        "kinds": kinds,
        "band": {
            "low": min(found["low"] for found in usual),
            "high": max(found["high"] for found in usual),
            "evidence": f"timings on {len(devices)} devices, each left out in turn; "
            "each kind of operator has a band of its own",
        },
        "source": SOURCE + (BOOSTED if name in _HALF_RATE else ""),
    }


def _among(kinds: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: kinds[name] for name in names if name in kinds}


def _part(name: str) -> float:
    """What of its last cache a unit of a class's devices keeps weights in."""
    return 1.0 if name == _CACHED else PARTITION


def _matmul_fields(name: str, found: Mapping[str, Found], bands: Mapping[str, Any]) -> dict[str, Any]:
    """The matmul of a class: shares are the class's own; where a library quantises before fp8, with its kernels.

    Kernels of other libraries have the band of vLLM's with one scale, and of all that were timed with scales by block.
    """
    values = found["matmul"].values
    cached = {"last_cache": {"rate": f"{values['last_cache.rate']:.3g} B/cycle", "most": f"{MOST_OF_CACHE} B/cycle"}}
    plain = {
        "latency": _matmul_latency(values),
        "tail": {"share": values["tail.share"], "depth": values["tail.depth"]},
        **(cached if name == _CACHED else {}),
        "kept_weights": {"rate": f"{values['kept_weights.rate']:.3g} B/cycle", "part": _part(name)},
    }
    libraries: dict[str, Any] = {}
    for kind in _QUANTISED:
        _, dtype, library = kind.split()
        took = found[kind].values
        quantize = {"latency": f"{took['quantize.latency'] * 1e6:.3g} us", "traffic": took["quantize.traffic"]}
        form = _uncut(took, plain) if kind == _UNCUT else plain
        own = libraries.setdefault(library, {"dtypes": {}})["dtypes"]
        own[dtype] = {**form, "quantize": quantize, "band": bands[kind]}
    wide = {dtype: {"latency": plain["latency"], "band": bands["matmul fp32"]} for dtype in _UNTAILED}
    alone = {"fp8": "matmul fp8 vllm", "fp8_block": "matmul fp8_block"}
    dtypes = {**{dtype: {**plain, "band": bands[kind]} for dtype, kind in alone.items()}, **wide}
    dtypes["fp8_block"] = _uncut(found[_UNCUT].values, plain) | {"band": bands["matmul fp8_block"]}
    return {**plain, "band": bands["matmul"], "dtypes": dtypes, "libraries": libraries}


def _uncut(values: Mapping[str, float], plain: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of matmuls that cut no depth."""
    named = {name: value for name, value in values.items() if name.split(".")[0] in ("tiles", "least_tile")}
    return {name: value for name, value in plain.items() if name != "tail"} | NO_CORRECTIONS.replaced(named).written()


def _matmul_latency(values: Mapping[str, float]) -> dict[str, str]:
    graph = f"{values['latency_cycles'] / 1e3:.3g} kcycle"
    return {"graph": graph, "eager": f"{graph} + {_EAGER_S * 1e6:.0f} us"}


def _kind(values: Mapping[str, float]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: values[name] for name in ("compute", "memory") if name in values}
    return fields | ({"latency": _latency(values["latency_s"])} if "latency_s" in values else {})


def _latency(seconds: float) -> dict[str, str]:
    return {"graph": f"{seconds * 1e6:.3g} us", "eager": f"{(seconds + _EAGER_S) * 1e6:.3g} us"}


def class_without(device: HardwareSpec, data: Path, *, only: Collection[str] | None = None) -> Calibration:
    """The class of a device, on it, as it would be without it: constants and bands from the others alone.

    ``only``: of attention, scans and experts these kinds alone, whose fits take longest.
    """
    chosen = None if only is None else tuple(only)
    return _on(device, _fields_without(device.name, device.calibration_class, data, chosen))


def stored_class_without(device: HardwareSpec) -> Calibration:
    """The same, as ``--write`` left it; a whole fit takes a minute a device. Raises OSError where it left none."""
    return _on(device, yaml.safe_load((LEFT_OUT / f"{device.name}.yaml").read_text(encoding="utf-8")))


def _on(device: HardwareSpec, fields: dict[str, Any]) -> Calibration:
    return on_device(Calibration.model_validate(fields, context={"clock": device.clock or CLOCK}), device)


@cache
def _fields_without(device: str, generation: str, data: Path, only: tuple[str, ...] | None) -> dict[str, Any]:
    return _made_without(device, generation, data, None if only is None else {}, only or ())


def _made_without(
    device: str, generation: str, data: Path, kept: Mapping[str, Any] | None, anew: Collection[str] = ()
) -> dict[str, Any]:
    others = [campaign for campaign in class_campaigns(data) if campaign.device.name != device]
    name = generation if generation in CLASSES else "nvidia-tensor-core"
    grouped = [rows for rows in load_grouped(data) if rows.device.name != device]
    return class_fields(name, others, grouped, data, device, kept, anew)


def class_campaigns(data: Path) -> list[Campaign]:
    """The campaigns on devices of these classes."""
    return [campaign for campaign in load_campaigns(data) if campaign.generation in CLASSES]


def report(campaigns: Sequence[Campaign]) -> Iterator[str]:
    """A Markdown table: for each kind and device, the errors left out, from its generation and from all."""
    yield "| kind | device | from | n | median | mean | bias |\n|---|---|---|--:|--:|--:|--:|"
    for kind in FREE:
        of_kind = [campaign for campaign in campaigns if campaign.kind == kind]
        for own in of_kind:
            others = [campaign for campaign in campaigns if campaign.device.name != own.device.name]
            kin = [campaign for campaign in others if campaign.generation == own.generation]
            for title, members in (("its generation", kin), ("all others", others)):
                if found := _from(kind, members):
                    logs = errors_of([own], found)
                    apes = 100 * np.abs(np.expm1(logs))
                    values = ", ".join(f"{name} {value:.3g}" for name, value in found.values.items())
                    yield (f"| {kind} | {own.name} | {title}: {values} | {len(logs)} | {np.median(apes):.1f} % "
                           f"| {apes.mean():.1f} % | {np.exp(logs.mean()):.2f} |")  # fmt: skip


def _from(kind: str, campaigns: Sequence[Campaign]) -> Found | None:
    """The constants of a kind from these campaigns alone; those of a narrow matmul from matmuls in 16 bits too."""
    needed = {kind if FREE[kind] else _UNCUT} | ({"matmul"} if kind.startswith("matmul fp8") else set())
    of_kind = [campaign for campaign in campaigns if campaign.kind in needed]
    if {campaign.kind for campaign in of_kind} != needed:
        return None
    return fit_for(kind, "", of_kind) if kind.startswith("matmul fp8") else fit(of_kind)


SOURCE = (
    "fitted by benchmarks/fit_classes.py to timings of aiconfigurator (A100, H100, H200, B200, L40S), vidur (A100), "
    "InferSim (H800, H20) and NeuSight (A100 PCIe, V100); vector and most of a last cache: gpu-benches; eager latency: "
    "graph + 5 us, the middle of what whole models of FasterTransformer and ONNX Runtime show (0 to 9 us)"
)
BOOSTED = (
    "; half_rate: benchmarks/best_matmuls.py, best square matmuls of RTX 3090, 4090, 5070 Ti and 5090 (zzc0721/"
    "torch-performance-test-data at 9d82827), a clock of 2,952 MHz where 2,407 are rated (RTX 5090: NVIDIA/"
    "open-gpu-kernel-modules issue 1266; RTX 3090: 1,980 of 1,695, noonghunna/club-3090 issue 107)"
)


def write(
    name: str, campaigns: Sequence[Campaign], data: Path, *, plain: bool = False, anew: Collection[str] = ()
) -> None:
    """Write one class; of ``plain`` kinds and those ``anew`` alone, the others stay."""
    path = data_folder("calibrations") / "classes" / f"{name}.yaml"
    kept = read_yaml(path)["kinds"] if plain else None
    fields = class_fields(name, campaigns, load_grouped(data), data, kept=kept, anew=anew)
    fields["kinds"] |= kept_kinds(path)
    for kind, libraries in kept_libraries(path).items():
        fields["kinds"][kind].setdefault("libraries", {}).update(libraries)
    with atomic_writer(path) as file:
        file.write(written(fields))


def kept_libraries(path: Path) -> dict[str, dict[str, Any]]:
    """What ``llama_cpp.py`` fitted for a class, by kind."""
    kinds = yaml.safe_load(path.read_text(encoding="utf-8"))["kinds"]
    found = {
        kind: {name: own for name, own in fields.get("libraries", {}).items() if name.startswith("llama-cpp")}
        for kind, fields in kinds.items()
    }
    return {kind: libraries for kind, libraries in found.items() if libraries}


def judged(data: Path) -> dict[str, HardwareSpec]:
    """The devices whose rows accuracy.py judges classes by, by name: those without a calibration, and an A100."""
    devices = {rows.device.name: rows.device for rows in (*load_sets(data), *load_grouped(data))}
    return {name: devices[name] for name in sorted(devices) if name not in device_names() or name == _A100}


def write_without(device: HardwareSpec, data: Path, *, plain: bool = False, anew: Collection[str] = ()) -> None:
    """Write the class of a device as it would be without it, for the scoreboards of docs/accuracy.md."""
    path = LEFT_OUT / f"{device.name}.yaml"
    kept = read_yaml(path)["kinds"] if plain else None
    fields = _made_without(device.name, device.calibration_class, data, kept, anew)
    with atomic_writer(path) as file:
        file.write(written(fields))


def main() -> int:
    """Print the errors left out, or write the classes."""
    parser = argparse.ArgumentParser(description="Fit the classes of NVIDIA GPUs.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write calibrations/classes/ and benchmarks/left_out/")
    parser.add_argument("--plain", action="store_true", help="attention, scans and experts stay as the files have them")
    parser.add_argument("--kinds", nargs="+", default=(), choices=KINDS, help="but for these, as with --plain")
    parser.add_argument("--without", default="", help="a correction to leave out, such as tail, to see its worth")
    asked = parser.parse_args()
    campaigns = class_campaigns(asked.data)
    for kind, names in FREE.items():
        FREE[kind] = tuple(name for name in names if name.split(".")[0] != asked.without)
    if asked.without or not asked.write:
        print("\n".join(report(campaigns)))
        return 0
    for name in CLASSES:
        write(name, campaigns, asked.data, plain=asked.plain or bool(asked.kinds), anew=asked.kinds)
    for device in judged(asked.data).values():
        write_without(device, asked.data, plain=asked.plain or bool(asked.kinds), anew=asked.kinds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
