"""llama.cpp as others timed it: decode and prefill of GGUF models on the devices that people have at home.

python benchmarks/llama_cpp.py --data DIR [--fit]

Rows are the fastest back end of each device, model, mix and length. Prefill is told by prompts of 512 tokens on and
below, which is how many a micro-batch has. Shares of the peak are fitted to each class but for the model that is
scored, and --fit prints those of all models as a class has them. Decode is fitted to nothing. Columns as in scores.py.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scores import Scored, table

from roofline.calibration.constants import load_class
from roofline.compression.mixes import MIXES
from roofline.errors import SpecError
from roofline.hardware.loading import load_hardware
from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.prediction.predict import predict

LIBRARY, KINDS = "llama-cpp", ("matmul", "grouped_matmul", "any_attention_prefill")
CLASSES = {
    "amd-rdna": ("strix-halo", "rx-7900-xtx"),
    "unified-memory": ("dgx-spark",),
    "apple-gpu": ("apple-m1-ultra", "apple-m2-max-30core", "apple-m2-ultra", "apple-m3-pro-18core", "apple-m3-ultra",
                  "apple-m4"),
}  # fmt: skip
"""Devices of a class whose prefill was timed, for more than two models or lengths."""

_PRESETS = {
    "llama-2-7b.Q4_K_M": "llama-2-7b",
    "llama-2-7b.Q4_0": "llama-2-7b",
    "shisa-v2-llama3.1-8b.i1-Q4_K_M": "llama-3.1-8b",
    "shisa-v2-llama3.3-70b.i1-Q4_K_M": "llama-3.1-70b",
}
_MIXES = {
    "mxfp4": "mxfp4_moe",
    "f16": "fp16",
    "q3_k_xl": "q3_k_l",
    "q4_k_xl": "q4_k_m",
    "q5_k_xl": "q5_k_m",
    "q6_k_xl": "q6_k",
    "q8_k_xl": "q8_0",
}
"""Unsloth's mixes -> the one of llama.cpp's that is nearest."""

MICRO_BATCH = 512
LATENCY = "{graph: 5 us, eager: 15 us}"
MATMUL, ATTENTION = (0.16, 0.2, 0.24, 0.28, 0.33, 0.4, 0.48, 0.58, 0.7), (0.03, 0.06, 0.12, 0.25, 0.5)
"""Shares of the peak that are tried."""

Shares = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """A timing: tokens of a prompt, or of the context of a decode step, of a micro-batch, and its time. [s]"""

    device: str
    model: str
    dtype: str
    phase: str
    batch: int
    tokens: int
    chunk: int
    measured_s: float

    def asked(self) -> dict[str, object]:
        """Keywords of ``predict``."""
        lengths = {"context": self.tokens} if self.phase == "decode" else {"prompt": self.tokens, "generate": 1}
        edits = {"set": {"engine.chunk": self.chunk}}
        return {"dtype": self.dtype, "batch": self.batch, "engine": LIBRARY, **edits, **lengths}


def rows_of(data: Path) -> list[Row]:
    """The fastest back end of each device, model, mix and length, one device each."""
    known, best = set(preset_names()), dict[tuple[str, str, str, str, int, int, int], float]()
    for file in sorted((data / "other").glob("*/whole_models.csv")):
        for line in csv.DictReader(file.open(encoding="utf-8")):
            model = line["params_or_preset"] or _PRESETS.get(line["model"], "")
            stated = line["metric"] == "throughput" and line["unit"] in ("tokens/s", "generated tokens/s")
            if model not in known or not stated or line["devices"] != "1" or "llama" not in line["engine"].lower():
                continue
            prompt, new, depth, batch = (int(line[name] or 0) for name in ("prompt", "generate", "depth", "batch"))
            mix = line["quantisation"].lower().replace(" ", "_")
            decodes = line["phase"] == "decode"
            mix = _MIXES.get(mix, mix)
            if mix not in MIXES and mix not in ("fp16", "bf16"):
                continue
            if (not decodes and (line["phase"] != "prefill" or depth)) or not _is_modelled(line["device"]):
                continue
            tokens = max(depth + prompt + new // 2, 1) if decodes else prompt
            if tokens >= load_model(model).lengths.positions:
                continue
            said = re.search(r"micro-batch (?:of )?(\d+)", line["note"])
            chunk = int(said[1]) if said else MICRO_BATCH
            key = (line["device"], model, mix, line["phase"], batch, tokens, chunk)
            best[key] = max(best.get(key, 0.0), float(line["value"]))
    return [
        Row(*key, measured_s=key[4] * (1 if key[3] == "decode" else key[5]) / rate)
        for key, rate in sorted(best.items())
    ]


@cache
def _is_modelled(device: str) -> bool:
    try:
        return bool(load_hardware(device))
    except SpecError:
        return False


def entries(shares: Shares, band: str = "") -> str:
    """The lines of a class's file that state these shares."""
    matmul, attention = shares
    found = ["kinds:"]
    for kind in KINDS:
        share = attention if "attention" in kind else matmul
        found += [f"  {kind}:", "    libraries:", f"      {LIBRARY}:", f"        compute: {share}"]
        found += [f"        latency: {LATENCY}", *([f"        band: {band}"] if band else [])]
    return "".join(f"{line}\n" for line in found)


@cache
def calibration(device: str, shares: Shares) -> str:
    """A calibration of a device: its class's general constants, with these shares of llama.cpp's kernels."""
    data = load_class(load_hardware(device).calibration_class)
    general = {name: getattr(data, name) for name in ("p", "compute", "memory", "vector", "special")}
    latency = f"{{graph: {data.latency.graph} s, eager: {data.latency.eager} s}}"
    stated = "".join(f"{name}: {value}\n" for name, value in general.items())
    file = Path(tempfile.mkdtemp()) / "llama-cpp.yaml"
    band = "band: {low: 0.5, high: 3.0, evidence: a fit}\nsource: a fit\n"
    head = f"name: {device}-llama-cpp\nextends: {device}\ntitle: a fit\n{stated}latency: {latency}\n"
    file.write_text(head + entries(shares) + band, encoding="utf-8")
    return str(file)


@cache
def seconds_of(row: Row, shares: Shares | None) -> tuple[float, float, float, float]:
    """Time, bound and the ends of the band of a row; by the constants as they are where no shares are given. [s]"""
    hardware = row.device if shares is None else calibration(row.device, shares)
    (phase,) = [each for name, each in predict(row.model, hardware, **row.asked()).by_phase if name == row.phase]
    figures = phase.figures
    return figures.time_s, figures.bound_s, figures.low_s, figures.high_s


def fitted(rows: Iterable[Row]) -> Shares:
    """The shares under which the models of some rows are off by least, each model counting alike."""

    def error(shares: Shares) -> float:
        models: dict[str, list[float]] = {}
        for row in rows:
            models.setdefault(row.model, []).append(abs(np.log(seconds_of(row, shares)[0] / row.measured_s)))
        return float(np.mean([np.mean(each) for each in models.values()]))

    rows = list(rows)
    return min(itertools.product(MATMUL, ATTENTION), key=error)


def scored(name: str, rows: list[Row], shares: dict[str, Shares | None]) -> Scored:
    """A line of the board; ``shares`` are those that each model is told by."""
    predicted = np.array([seconds_of(row, shares[row.model]) for row in rows]).T
    return Scored(name, name, *predicted, np.array([row.measured_s for row in rows]))


def unseen_shares(rows: list[Row]) -> dict[str, Shares | None]:
    """The shares by which each model is told: those fitted to the others, none where there is no other."""
    models = sorted({row.model for row in rows})
    others = {model: [row for row in rows if row.model != model] for model in models}
    return {model: fitted(kept) if kept else None for model, kept in others.items()}


def band_of(rows: list[Row]) -> str:
    """The ends between which nine in ten rows lie, 1 among them, each told by the shares of the other models."""
    unseen = unseen_shares(rows)
    ratios = [row.measured_s / seconds_of(row, unseen[row.model])[0] for row in rows]
    low, high = min(1.0, float(np.quantile(ratios, 0.05))), max(1.0, float(np.quantile(ratios, 0.95)))
    timed = f"{len(rows)} prefills of {len(unseen)} models under llama.cpp, each model left out in turn"
    return f"{{low: {low:.2f}, high: {high:.2f}, evidence: '{timed}'}}"


def board(rows: list[Row]) -> Iterator[Scored]:
    """Prefill of each class, each model by shares that are fitted to the others; decode as it is."""
    for name, devices in CLASSES.items():
        own = [row for row in rows if row.device in devices and row.phase == "prefill"]
        unseen = unseen_shares(own)
        for said, kept in (
            (f"{name}: prefill from {MICRO_BATCH} tokens", [row for row in own if row.tokens >= MICRO_BATCH]),
            (f"{name}: shorter prefill", [row for row in own if row.tokens < MICRO_BATCH]),
        ):
            if kept:
                yield scored(said, kept, unseen)
    told = [row for row in rows if row.device == "radeon-ai-pro-r9700" and row.phase == "prefill"]
    yield scored(
        "radeon-ai-pro-r9700: prefill, fitted to nothing", told, dict.fromkeys((row.model for row in told), None)
    )
    for name in sorted({load_hardware(row.device).calibration_class for row in rows}):
        own = [row for row in rows if row.phase == "decode" and load_hardware(row.device).calibration_class == name]
        yield scored(f"{name}: decode", own, dict.fromkeys((row.model for row in own), None))


def main() -> None:
    """Print the board, or what a class's file states."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--fit", action="store_true", help="print the shares that each class's file states")
    asked = parser.parse_args()
    rows = rows_of(asked.data)
    if not asked.fit:
        print("\n".join(table(board(rows))))
        return
    for name, devices in CLASSES.items():
        own = [row for row in rows if row.device in devices and row.phase == "prefill"]
        print(f"{name}:\n{entries(fitted(own), band_of(own))}", end="")


if __name__ == "__main__":
    main()
