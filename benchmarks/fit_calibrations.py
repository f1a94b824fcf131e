"""Fits the calibrations of devices to public timings and writes calibrations/devices/.

python benchmarks/fit_calibrations.py --data DIR [--write | --without]

Without --write the fits are printed with their intervals; --without refits without each term of the kernels, and prints
what that does to the rows to judge by. Bands come from rows that were not fitted; the scoreboard,
accuracy.py, judges by yet others.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fit_mixture import fit_mixture
from measured_sets import MeasuredSet, load_sets

from roofline.calibration.constants import Constants, load_constants
from roofline.calibration.corrections.correction import Prior
from roofline.calibration.corrections.registry import CORRECTIONS, named_constants
from roofline.files.atomic import atomic_writer
from roofline.files.library import data_folder
from roofline.fitting.operators import Fit, Interval, Timed, band_of, fit_constants, held_out_band
from roofline.timing.operator import time_operator

PRIORS = {
    "compute": Prior(0.75, 0.26),
    "memory": Prior(0.78, 0.18),
    "latency_s": Prior(3e-6, 0.7),
    "p": Prior(2.0, 0.4),
    **{name: constant.prior for name, (_, constant) in named_constants().items()},
    "extra_keys": Prior(100.0, 1.0),  # of an A100's kernels
    "extra_reads": Prior(100.0, 1.0),
}
EAGER_S = 5e-6  # more than from a graph, as in the class; not measured here

_TILES = ("tiles", "split_k.reduction", "split_k.partial")
_STREAM = ("memory", "latency_s", "block_bandwidth", "cache_bandwidth")
_RUNTIMES = {"a100-sxm-80gb": ("", "vLLM"), "a100-sxm-80gb-tensorrt-llm": ("", "TensorRT-LLM")}
_FREE = {
    "matmul": ("compute", "memory", "latency_s", "p", *_TILES),
    "attention_prefill": ("compute", "memory", "latency_s", "extra_keys"),
    "attention_decode": ("compute", "memory", "latency_s", "extra_reads", "block_bandwidth", "regroup"),
    "norm": _STREAM,
    "elementwise": ("memory", "latency_s", "cache_bandwidth"),
    "rotary": _STREAM,
    "act": _STREAM,
    "embedding": ("memory", "latency_s", "cache_bandwidth"),
}
_UNGROUPED = ("memory", "latency_s")  # all sound rows of decode attention in TensorRT-LLM have one head per kv head


@dataclass(frozen=True, slots=True)
class Fitted:
    """The constants of one kind, rounded as they are written, and their band."""

    fit: Fit
    constants: Constants
    band: tuple[float, float]
    band_rows: int
    evidence: str


def fit_kind(kind: str, sets: Sequence[MeasuredSet], free: Sequence[str]) -> Fitted:
    """Fit the free constants of a kind to the fitted rows of its sets; campaigns weigh alike."""
    fit, rounded = fit_rows(kind, [rows.fitted() for rows in sets], free)
    between = [timed for rows in sets for timed in rows.between().timed()]
    count = sum(len(rows.between()) for rows in sets)
    return Fitted(fit, rounded, held_out_band(between, rounded), count, f"{count} rows not fitted")


def fit_rows(kind: str, sets: Sequence[MeasuredSet], free: Sequence[str]) -> tuple[Fit, Constants]:
    """The fit to all rows of the sets, and its constants rounded."""
    plain = f"any_{kind}" if kind.startswith("attention") else kind  # a class's attention is a library's
    start = load_constants("nvidia-tensor-core").of(plain, "graph")
    campaigns = [timed for rows in sets for timed in rows.timed()]
    fit = fit_constants(campaigns, start, {name: PRIORS[name] for name in free})
    return fit, fit.constants.replaced({name: _rounded(fit.constants.value(name)) for name in free})


def fit_streams(kinds: Mapping[str, Sequence[MeasuredSet]]) -> dict[str, Fitted]:
    """Fit kinds whose sets have one model dimension, the width, and give them one band.

    Each width is left out in turn and predicted by constants fitted to the others. The rows of one width err alike, so
    widths weigh alike; one kind has too few of them (two to twelve) to tell its own 5th percentile.
    """
    logs = [part for kind, sets in kinds.items() for part in _left_out(kind, [rows.fitted() for rows in sets])]
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in logs])
    band = band_of(np.concatenate(logs), weights)
    evidence = f"{len(weights)} rows of norms, elementwise operators and gathers, each width left out in turn"
    return {kind: _banded(kind, [rows.fitted() for rows in sets], band, evidence) for kind, sets in kinds.items()}


def fit_grouped(data: Path, elementwise: Constants) -> Fitted:
    """The grouped matmuls of TensorRT-LLM; vLLM's were not timed and are taken to be alike."""
    free = ("compute", "memory", "latency_s", "p")
    fit, logs = fit_mixture(data, elementwise, {name: PRIORS[name] for name in free})
    band = band_of(logs, np.ones(len(logs)))
    return Fitted(fit, fit.constants, band, len(logs), f"{len(logs)} mixtures of experts not fitted")


def _banded(kind: str, sets: Sequence[MeasuredSet], band: tuple[float, float], evidence: str) -> Fitted:
    fit, constants = fit_rows(kind, sets, _FREE[kind])
    return Fitted(fit, constants, band, fit.rows, evidence)


def _left_out(kind: str, sets: Sequence[MeasuredSet]) -> Iterator[Any]:
    """ln(measured / predicted) of the rows of each width, which was left out."""
    for width in np.unique(np.concatenate([rows.sizes["columns"] for rows in sets])):
        _, constants = fit_rows(kind, [rows.where(rows.sizes["columns"] != width) for rows in sets], _FREE[kind])
        own = [timed for rows in sets for timed in rows.where(rows.sizes["columns"] == width).timed()]
        yield np.concatenate([-log_errors_of(timed, constants) for timed in own])


def by_kind(sets: Sequence[MeasuredSet]) -> Mapping[str, list[MeasuredSet]]:
    """The sets that share constants."""
    found: dict[str, list[MeasuredSet]] = {}
    for rows in sets:
        found.setdefault(rows.operator or rows.constants_kind, []).append(rows)
    return found


def kind_fields(found: Fitted) -> dict[str, Any]:
    """The fields of one kind, as the file has them."""
    c = found.constants
    fields: dict[str, Any] = {"compute": c.compute, "memory": c.memory, "latency": {
        "graph": _us(c.latency_s), "eager": _us(c.latency_s + EAGER_S)}, "p": c.p}  # fmt: skip
    fields |= c.corrections.written()
    low, high = math.floor(1000 * found.band[0]) / 1000, math.ceil(1000 * found.band[1]) / 1000  # never narrower
    fields["band"] = {"low": low, "high": high, "evidence": found.evidence}
    return fields


def main() -> int:
    """Fit, print, and write if asked to."""
    parser = argparse.ArgumentParser(description="Fit the calibrations of devices.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write calibrations/devices/")
    parser.add_argument("--without", action="store_true", help="what each term of the kernels earns")
    asked = parser.parse_args()
    sets = [s for s in load_sets(asked.data) if s.device.name == "a100-sxm-80gb" and not s.host_time]
    if asked.without:
        print("\n".join(ablations([s for s in sets if s.runtime in _RUNTIMES["a100-sxm-80gb"]])))
        return 0
    for name, runtimes in _RUNTIMES.items():
        own = by_kind([s for s in sets if s.runtime in runtimes])
        streams = {kind: members for kind, members in own.items() if len(members[0].fit_values) == 1}
        kinds = {}
        for kind, members in own.items():
            if kind not in streams:
                ungrouped = kind == "attention_decode" and runtimes[1] == "TensorRT-LLM"
                kinds[kind] = fit_kind(kind, members, _UNGROUPED if ungrouped else _FREE[kind])
        kinds |= fit_streams(streams)
        kinds["grouped_matmul"] = fit_grouped(asked.data, kinds["elementwise"].constants)
        for kind, found in kinds.items():
            report(name, kind, own.get(kind, []), found)
        if asked.write:
            write(name, kinds)
    return 0


_TERMS = {"all terms": ()} | {
    f"no {name}": tuple(each for each, (of, _) in named_constants().items() if of == name) for name in CORRECTIONS
}


def ablations(sets: Sequence[MeasuredSet]) -> Iterator[str]:
    """A Markdown table: kind, set, term left out and the rest refitted, median and mean APE of the rows to judge by."""
    yield "| kind | set | terms | median | mean |\n|---|---|---|--:|--:|"
    for kind, members in by_kind(sets).items():
        for title, left_out in _TERMS.items():
            if not set(left_out) <= set(_FREE[kind]):
                continue
            free = [name for name in _FREE[kind] if name not in left_out]
            _, constants = fit_rows(kind, [rows.fitted() for rows in members], free)
            for rows in members:
                apes = 100 * np.concatenate([errors(timed, constants) for timed in rows.held_out().timed()])
                yield f"| {kind} | {rows.name} | {title} | {np.median(apes):.1f} % | {apes.mean():.1f} % |"


def errors(timed: Timed, constants: Constants) -> Any:
    """APE of every row, as a fraction."""
    return np.abs(np.expm1(log_errors_of(timed, constants)))


def log_errors_of(timed: Timed, constants: Constants) -> Any:
    """ln(predicted / measured) of every row."""
    return np.log(time_operator(timed.cost, timed.hardware, constants).time_s / timed.measured_s)


def report(name: str, kind: str, members: Sequence[MeasuredSet], found: Fitted) -> None:
    """One paragraph for each kind."""
    print(f"{name} {kind}: {found.fit.rows} rows {', '.join(s.name for s in members)}")
    print_intervals(found.fit.intervals)
    low, high = found.band
    print(f"  fitted rows: median APE {100 * found.fit.median_ape:.1f} %, mean {100 * found.fit.mean_ape:.1f} %")
    print(f"  band {low:.2f} to {high:.2f} on {found.evidence}")


def print_intervals(intervals: Mapping[str, Interval]) -> None:
    """One line for each constant."""
    for constant, interval in intervals.items():
        print(f"  {constant} = {interval.value:.4g} ({interval.low:.4g} to {interval.high:.4g})")


def write(name: str, kinds: Mapping[str, Fitted]) -> None:
    """Write one file, or leave the old one."""
    title = f"NVIDIA A100 SXM 80GB, as measured with {_RUNTIMES[name][1]} and cuBLAS"
    fields = calibration_fields(name, "a100-sxm-80gb", title, kinds, kinds["matmul"].constants)
    path = data_folder("calibrations") / "devices" / f"{name}.yaml"
    fields["kinds"] |= kept_kinds(path)
    with atomic_writer(path) as file:
        file.write(written(fields))


def kept_kinds(path: Path) -> dict[str, Any]:
    """The kinds of a file that ``fit_training_attention.py`` wrote."""
    kinds = yaml.safe_load(path.read_text(encoding="utf-8"))["kinds"]
    return {kind: fields for kind, fields in kinds.items() if kind == "attention_training"}


class _Plain(yaml.SafeDumper):
    """Writes what stands in two places twice: our reader refuses references."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(fields: Mapping[str, Any]) -> str:
    """The fields of a calibration as its file."""
    return yaml.dump(fields, Dumper=_Plain, sort_keys=False, width=118, default_flow_style=None)


def calibration_fields(
    name: str, device: str, title: str, kinds: Mapping[str, Fitted], rest: Constants
) -> dict[str, Any]:
    """The fields of the calibration of a device; kinds that were not fitted take the shares of ``rest``."""
    rows = sum(found.band_rows for found in kinds.values())
    return {
        "name": name,
        "extends": device,
        "title": title,
        "p": 2,
        "compute": rest.compute,
        "memory": rest.memory,
        "vector": rest.vector,
        "special": rest.special,
        "latency": {"graph": "3 us", "eager": "8 us"},
        "measured_dtypes": ["bf16", "fp16"],
        "kinds": {kind: kind_fields(found) for kind, found in kinds.items()},
        "band": {
            "low": math.floor(1000 * min(found.band[0] for found in kinds.values())) / 1000,
            "high": math.ceil(1000 * max(found.band[1] for found in kinds.values())) / 1000,
            "evidence": f"{rows} operator timings, each with constants that did not see it",
        },
        "source": SOURCE,
    }


SOURCE = (
    "fitted by benchmarks/fit_calibrations.py to timings of aiconfigurator (ai-dynamo, commit 095f58a51c4c: "
    "TensorRT-LLM 1.0.0, vLLM 0.14.0) and vidur (microsoft, commit 7d4751336); vector and special from the class; "
    "grouped matmuls: TensorRT-LLM's; eager latency: graph + 5 us, not measured"
)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} us"


if __name__ == "__main__":
    sys.exit(main())
