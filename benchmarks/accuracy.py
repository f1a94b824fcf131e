"""How wrong the predictions are, on public timings that no constant was fitted to; beside them the naive roofline.

python benchmarks/accuracy.py --data DIR [--constants datasheet|class|published|calibrated] [--brief] [--band]

APE is |predicted / measured - 1|; bias is the geometric mean of predicted / measured; cover is the share of rows whose
measured time lies inside the predicted band. The naive roofline is max(FLOPs / peak, bytes / bandwidth). A regime is
what the prediction says binds; rows of 50 us and more stand apart too, since launch time rules the shorter ones. A star
marks a device without a calibration whose memory share and latency are fitted in this run, to other shapes of its set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from collective_sets import load_collectives
from fit_calibrations import calibration_fields, fit_kind
from measured_sets import MeasuredSet, assert_disjoint, load_sets

from roofline.calibration import Calibration, ConstantSet, device_names, load_constants, load_device
from roofline.collectives import CollectiveTiming
from roofline.operators import OperatorClock, OperatorPrediction
from roofline.provenance import constants_of, load_published

COLUMNS = ("set", "rows", "n", "median", "mean", "p90", "bias", "cover", "naive median", "naive mean")


def predict(every: MeasuredSet, constants: Any) -> OperatorPrediction:
    """The prediction of the rows to judge by; a runtime whose kernels were timed has its own calibration."""
    rows = every.held_out()
    clock = OperatorClock(rows.device, "graph", constant_set(every, constants), rows.dtype, rows.operator)
    return clock.time(rows.kind, rows.dtype, rows.sizes)


def constant_set(rows: MeasuredSet, constants: Any) -> ConstantSet:
    """What ``constants`` asks for, or the best there is.

    A device that is no shipped spec has constants fitted here, to rows of the same set, or those of its class.
    """
    if constants in (None, "calibrated") and is_fitted_here(rows):
        kind = rows.constants_kind
        fitted = fit_kind(kind, [rows], ("memory", "latency_s"))
        fields = calibration_fields(rows.device.name, rows.device.name, rows.name, {kind: fitted}, fitted.constants)
        fields["measured_dtypes"] = [rows.dtype]
        return ConstantSet.from_calibration(Calibration.model_validate(fields))
    runtime = f"{rows.device.name}-{rows.runtime.lower()}"
    if constants in (None, "calibrated") and runtime in device_names():
        return ConstantSet.from_calibration(load_device(runtime))
    if constants == "calibrated" and rows.device.name not in device_names():
        return load_constants(rows.device.calibration_class)
    if constants == "published" and rows.device.name not in load_published().devices:
        return load_constants(rows.device.calibration_class)
    return constants_of(rows.device, constants)


def is_fitted_here(rows: MeasuredSet) -> bool:
    """Whether a set has rows to fit and its device no calibration."""
    return bool(rows.fit_values) and rows.device.name not in device_names()


def scores(predicted: OperatorPrediction | CollectiveTiming, measured: Any, rows: Any) -> tuple[str, ...]:
    """The figures of some rows: APE in percent, bias as a factor, coverage in percent."""
    seconds = measured[rows]
    ratio, naive = predicted.time_s[rows] / seconds, predicted.bound_s[rows] / seconds
    error, naive_error = 100 * np.abs(ratio - 1), 100 * np.abs(naive - 1)
    inside = (predicted.low_s[rows] <= seconds) & (seconds <= predicted.high_s[rows])
    figures = (np.median(error), error.mean(), np.quantile(error, 0.9))
    return (
        str(len(seconds)),
        *(f"{figure:.1f} %" for figure in figures),
        f"{np.exp(np.log(ratio).mean()):.2f}",
        f"{100 * inside.mean():.0f} %",
        f"{np.median(naive_error):.1f} %",
        f"{naive_error.mean():.1f} %",
    )


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


def board(data: Path, constants: Any) -> list[tuple[str, ...]]:
    """The rows of the table: each set, then its regimes. Raises AssertionError if a judged shape was fitted."""
    sets = load_sets(data)
    assert_disjoint([rows.fitted() for rows in sets if rows.fit_values], [rows.held_out() for rows in sets])
    lines = []
    for every in sets:
        rows, predicted = every.held_out(), predict(every, constants)
        if constants is None:
            rows = replace(rows, name=rows.name + ("*" if is_fitted_here(rows) else ""))
        for number, (regime, mask) in enumerate(regimes(rows, predicted)):
            lines.append(("" if number else rows.name, regime, *scores(predicted, rows.measured_s, mask)))
    return lines + collective_lines(data, constants)


def collective_lines(data: Path, constants: Any) -> list[tuple[str, ...]]:
    """The rows of the table for collectives, whose constants only a device's calibration has."""
    lines = []
    for rows in (every.held_out() for every in load_collectives(data)):
        name = "a100-sxm-80gb" if rows.library == "NCCL" else "a100-sxm-80gb-tensorrt-llm"
        known = load_device(name).collectives[rows.operation] if constants in (None, "calibrated") else None
        every_row = np.ones(len(rows.measured_s), bool)
        for regime, mask in (("all", every_row), (">= 50 us", rows.measured_s >= 50e-6)):
            figures = scores(rows.timing(known), rows.measured_s, mask)
            lines.append((rows.name if regime == "all" else "", regime, *figures))
    return lines


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


def table(lines: Iterable[tuple[str, ...]], *, brief: bool) -> Iterator[str]:
    """The lines in Markdown; ``brief`` leaves out the regimes."""
    shown = [line[:1] + line[2:] if brief else line for line in (COLUMNS, *lines) if line[0] or not brief]
    heading, *rest = ("| " + " | ".join(line) + " |" for line in shown)
    yield heading
    yield "|---" * (len(shown[0]) - 8) + "|--:" * 8 + "|"
    yield from rest


def main() -> int:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description="Errors on public measurements.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--constants", choices=("datasheet", "class", "published", "calibrated"))
    parser.add_argument("--brief", action="store_true", help="whole sets, without their regimes")
    parser.add_argument("--band", action="store_true", help="the band over the A100's matmuls and attention instead")
    asked = parser.parse_args()
    if asked.band:
        rows, low, high = band(asked.data, asked.constants)
        print(f"{rows} rows: 90 % of measured / predicted from {low:.2f} to {high:.2f}")
        return 0
    print("\n".join(table(board(asked.data, asked.constants), brief=asked.brief)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
