"""How wrong the predictions are, on public timings that no constant was fitted to; beside them the naive roofline.

python benchmarks/accuracy.py --data DIR [--constants datasheet|class|published|calibrated] [--brief|--short] [--band]

Columns as in scores.py. A regime is what the prediction says binds; rows of 50 us and more stand apart too, since
launch time rules the shorter ones. A star marks a device without a calibration whose constants (memory share, latency,
and what of long rows is read again) are fitted in this run, to other shapes of its set; a device without either has the
constants of its class, fitted without the device. --brief leaves out the regimes, --short joins the sets of one kind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fit_calibrations import calibration_fields, fit_kind
from fit_classes import stored_class_without
from grouped_sets import judged_mixture, load_grouped, step_of
from measured_sets import MeasuredSet, assert_disjoint, load_sets
from scores import FIGURES, Scored, joined, markdown, table

from roofline.calibration.calibration_file import Calibration
from roofline.calibration.constants import ConstantSet, device_names, load_device
from roofline.calibration.kernels import Kernels
from roofline.calibration.provenance import constants_of, load_published
from roofline.hardware.spec import HardwareSpec
from roofline.operators.predict_op import OperatorClock, OperatorPrediction
from roofline.timing.engine_choice import read_engine
from roofline.timing.operator import time_operator


def predict(every: MeasuredSet, constants: Any) -> OperatorPrediction:
    """The prediction of the rows to judge by; a runtime whose kernels were timed has its own calibration."""
    rows = every.held_out()
    engine = read_engine({"engine": None, "constants": None}, rows.device, None)
    known = constant_set(every, constants)
    found = OperatorClock(rows.device, engine, known, rows.dtype, rows.operator).time(rows.kind, rows.dtype, rows.sizes)
    if not rows.recipe:
        return found
    told = time_operator(rows.cost(), rows.device, known.of(rows.kind, "graph", dtype=rows.timed_dtype))
    return replace(found, time_s=told.time_s, low_s=told.low_s, high_s=told.high_s)


def constant_set(rows: MeasuredSet, constants: Any) -> ConstantSet:
    """What ``constants`` asks for, or the best there is.

    A device without a calibration has constants fitted here to other shapes of its set, if the set has any, else those
    of its class as it would be without the device: no class is judged on rows that it was fitted to.
    """
    if constants in (None, "calibrated") and is_fitted_here(rows):
        kind = rows.constants_kind
        rereads = ("long_rows.capacity", "long_rows.reread") if kind in ("norm", "softmax") else ()
        fitted = fit_kind(kind, [rows], ("memory", "latency_s", *rereads))
        fields = calibration_fields(rows.device.name, rows.device.name, rows.name, {kind: fitted}, fitted.constants)
        fields["measured_dtypes"] = [rows.dtype]
        return ConstantSet.from_calibration(Calibration.model_validate(fields))
    runtime = f"{rows.device.name}-{rows.runtime.lower()}"
    if constants in (None, "calibrated") and runtime in device_names():
        return ConstantSet.from_calibration(load_device(runtime))
    if constants == "datasheet" or (rows.device.name in device_names() and constants != "class"):
        return constants_of(rows.device, constants)
    if constants == "published" and rows.device.name in load_published().devices:
        return constants_of(rows.device, constants)
    return ConstantSet.from_calibration(stored_class_without(rows.device))


def is_fitted_here(rows: MeasuredSet) -> bool:
    """Whether a set has rows to fit and its device no calibration."""
    return bool(rows.fit_values) and rows.device.name not in device_names()


def regimes(rows: MeasuredSet, predicted: OperatorPrediction) -> Iterator[tuple[str, Any]]:
    """Name and mask of each part of a set that is told apart and has rows."""
    parts = {
        "all": np.ones(len(rows), bool),
        ">= 50 us": rows.measured_s >= 50e-6,
        **{f"{name}-bound": predicted.bound_by == name for name in ("latency", "compute", "memory")},
    }
    if rows.kind == "attention" and np.all(rows.sizes["query"] == 1):
        parts["> 200 MB of cache"] = predicted.bytes > 200e6
    yield from ((name, mask) for name, mask in parts.items() if mask.any())


@cache
def board(data: Path, constants: Any) -> tuple[tuple[Scored, list[tuple[str, Any]]], ...]:
    """Each set and its regimes. Raises AssertionError if a judged shape was fitted."""
    return tuple(scored(data, constants))


def scored(data: Path, constants: Any) -> Iterator[tuple[Scored, list[tuple[str, Any]]]]:
    """One after the other, what ``board`` has."""
    sets = load_sets(data)
    assert_disjoint([rows.fitted() for rows in sets if rows.fit_values], [rows.held_out() for rows in sets])
    for every in sets:
        rows, predicted = every.held_out(), predict(every, constants)
        name = rows.name + ("*" if constants is None and is_fitted_here(rows) else "")
        yield Scored.of(name, group_of(every), predicted, rows.measured_s), list(regimes(rows, predicted))
    for every_grouped in load_grouped(data):
        grouped, whose = every_grouped, "device left out"
        if len(grouped.costs) > 1 and constants in (None, "calibrated"):
            grouped, whose = judged_mixture(data), "A100"
        kind = "mixture of experts" if len(grouped.costs) > 1 else "grouped matmul"
        known = grouped_constants(grouped.device, constants)
        mixed = Scored.of(grouped.name, f"{kind} {grouped.costs[0].dtype}, {whose}", step_of(grouped, known),
                           grouped.measured_s)  # fmt: skip
        yield mixed, [("all", np.ones(len(grouped.measured_s), bool))]


def grouped_constants(device: HardwareSpec, constants: Any) -> ConstantSet:
    """What ``constants`` asks for: TensorRT-LLM's calibration of an A100, a class as it would be without the device."""
    if constants == "datasheet":
        return constants_of(device, constants)
    runtime = f"{device.name}-tensorrt-llm"
    if constants in (None, "calibrated") and runtime in device_names():
        return ConstantSet.from_calibration(load_device(runtime))
    lone = device.name != "a100-sxm-80gb"  # InferSim's are no part of a chain
    kernels = Kernels.all_of("deepgemm" if lone else "trtllm")
    return ConstantSet.from_calibration(stored_class_without(device)).using(kernels)


def group_of(rows: MeasuredSet) -> str:
    """The line of a set in the short table: kind, dtype, and where its constants come from."""
    kind = {f"attention_{x}": f"{x} attention" for x in ("prefill", "decode")}.get(rows.constants_kind,
                                                                                   rows.constants_kind)  # fmt: skip
    if rows.host_time:
        return f"{kind}, A100, host time in"
    if rows.device.name in device_names():
        streams = kind not in ("matmul", "prefill attention", "decode attention")
        return "norms, elementwise, embedding, A100" if streams else f"{kind} 16-bit, A100"
    if is_fitted_here(rows):
        return f"{kind} fp32, A100 PCIe, V100, P100*"
    return f"{kind} {rows.timed_dtype}, device left out"


def band(data: Path, constants: Any) -> tuple[int, float, float]:
    """Rows, and 5th and 95th percentile of measured / predicted, over the A100's matmuls and attention.

    Sets weigh alike; rows with host time in them are left out.
    """
    found = []
    for every in load_sets(data):
        if every.device.name == "a100-sxm-80gb" and every.kind in ("matmul", "attention") and not every.host_time:
            measured = every.held_out().measured_s
            found.append(np.sort(measured / predict(every, constants).time_s))
    ratios, weights = np.concatenate(found), np.concatenate([np.full(len(part), 1 / len(part)) for part in found])
    order = np.argsort(ratios)
    share = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    low, high = np.interp([0.05, 0.95], share, ratios[order])
    return len(ratios), float(low), float(high)


def page(data: Path, constants: Any, *, regimes_too: bool) -> Iterator[str]:
    """The table of all sets in Markdown."""
    found = board(data, constants)
    if not regimes_too:
        return table(rows for rows, _ in found)
    lines = [("" if number else rows.name, regime, *rows.figures(mask)) for rows, parts in found
             for number, (regime, mask) in enumerate(parts)]  # fmt: skip
    return markdown(("set", "rows", *FIGURES), lines)


def short(data: Path, constants: Any) -> Iterator[str]:
    """The table with the sets of one kind joined; sets with host time in them are left to the whole table."""
    return table(rows for rows in joined(rows for rows, _ in board(data, constants)) if "host time" not in rows.name)


def main() -> int:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description="Errors on public measurements.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--constants", choices=("datasheet", "class", "published", "calibrated"))
    parser.add_argument("--brief", action="store_true", help="whole sets, without their regimes")
    parser.add_argument("--short", action="store_true", help="the sets of one kind joined")
    parser.add_argument("--band", action="store_true", help="the band over the A100's matmuls and attention instead")
    asked = parser.parse_args()
    if asked.band:
        rows, low, high = band(asked.data, asked.constants)
        print(f"{rows} rows: 90 % of measured / predicted from {low:.2f} to {high:.2f}")
        return 0
    lines = (
        short(asked.data, asked.constants)
        if asked.short
        else page(asked.data, asked.constants, regimes_too=not asked.brief)
    )
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
