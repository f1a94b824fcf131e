"""The scoreboard of the devices with a folder of rows: by device, kind and kernel library, fitted and left out.

python benchmarks/device_board.py --data DIR [--write] [--kinds KIND ...]

Fitted: the mean of five seeded splits, each with constants from rows that share no model dimension with the rows
judged, and a band from judged rows that share none either. Left out: constants and band of the class as it would be
without the device, judged on all of its rows.
Beside both the naive roofline, max(FLOPs / peak, bytes / bandwidth), and the rows measured below the printed bound.
--write renews docs/accuracy.json, from which docs/accuracy.md has its table. A kind enters by its entry of
fit_devices.FITS.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from class_attention import KINDS
from device_bands import ends_unseen
from fit_classes import class_without
from fit_devices import FITS, Fit, devices, first_sets, judged, sets_of
from measured_sets import MeasuredSet, load_sets
from scipy.stats import norm as normal

from roofline.calibration.constants import DATASHEET, Constants, ConstantSet
from roofline.calibration.kernels import Kernels
from roofline.files.atomic import atomic_writer
from roofline.hardware.spec import HardwareSpec
from roofline.timing.operator import time_operator
from roofline.timing.timing import Timing

COPY = Path(__file__).resolve().parent.parent / "docs" / "accuracy.json"
PERCENTS = ("median", "mean", "p90", "cover", "below_bound", "naive_median", "naive_mean")
LEVELS = (50, 80, 95)
"""Levels of bands [%] beside the 90 % that are told."""
HEADING = ("device", "kind", "constants", "n", "median", "mean", "p90", "bias", "cover", "below bound", "naive median",
           "naive mean")  # fmt: skip


def figures_of(sets: Sequence[MeasuredSet], constants: Constants, ends: Any = None) -> dict[str, float]:
    """The figures of rows that these constants did not see, nor their band; ``ends``: ln of another, [2, rows]."""
    told, naive, measured = told_beside_naive(sets, constants)
    if ends is not None:
        low, high = told.time_s * np.exp(ends)
        told = Timing(told.time_s, told.bound_s, low, high)
    return figures(told, naive, measured)


def told_beside_naive(sets: Sequence[MeasuredSet], constants: Constants) -> tuple[Timing, Any, Any]:
    """Each row as it is predicted, by the naive roofline, and as it was measured. [s]"""
    found: list[list[Any]] = []
    for timed in (timed for rows in sets for timed in rows.timed()):
        cost = replace(timed.cost, alone=True)
        told = time_operator(cost, timed.hardware, constants)
        naive = time_operator(cost, timed.hardware, DATASHEET).time_s
        parts = (told.time_s, told.bound_s, told.low_s, told.high_s, naive)
        found.append([np.broadcast_to(part, len(timed.measured_s)) for part in parts] + [timed.measured_s])
    time, bound, low, high, naive, measured = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Timing(time, bound, low, high), naive, measured


def figures(told: Timing, naive: Any, measured: Any) -> dict[str, float]:
    """The figures of a prediction beside the naive roofline: errors and shares of rows as fractions. [s]

    Of the band, in logarithms: its mean width, its interval score (the width, and 20 times what a row lies outside:
    Gneiting and Raftery 2007), and coverage of bands of other levels, whose ends are scaled as a normal's.
    """
    error, naive_error = np.abs(told.time_s / measured - 1), np.abs(naive / measured - 1)
    logs, low, high = (np.log(each / told.time_s) for each in (measured, told.low_s, told.high_s))
    outside = np.maximum(low - logs, 0) + np.maximum(logs - high, 0)
    return {
        "n": len(measured),
        "median": float(np.median(error)),
        "mean": float(error.mean()),
        "p90": float(np.quantile(error, 0.9)),
        "bias": float(np.exp(np.log(told.time_s / measured).mean())),
        "cover": float(((told.low_s <= measured) & (measured <= told.high_s)).mean()),
        "below_bound": float((measured < told.bound_s).mean()),
        "naive_median": float(np.median(naive_error)),
        "naive_mean": float(naive_error.mean()),
        **{f"cover_{level}": _within(logs, low, high, level / 100) for level in LEVELS},
        "width": float((high - low).mean()),
        "score": float((high - low + 20 * outside).mean()),
        **shares(logs, np.zeros(len(logs))),
    }


def _within(logs: Any, low: Any, high: Any, level: float) -> float:
    times = normal.ppf((1 + level) / 2) / normal.ppf(0.95)
    return float(((times * low <= logs) & (logs <= times * high)).mean())


def shares(logs: Any, groups: Any) -> dict[str, float]:
    """What rows of like dimensions have in common of ln(measured / predicted), beside their scatter, as deviations.

    ``groups``: the dimensions of each row; ``draws`` is how many there are. What scatter adds to means is taken off.
    """
    _, place = np.unique(groups, axis=0, return_inverse=True)
    place = place.reshape(-1)
    counts = np.bincount(place)
    means = np.bincount(place, logs) / counts
    scatter = float(np.var(logs - means[place]))
    common = max(0.0, float((means**2 - scatter / counts).mean()))
    return {"shared": common**0.5, "scatter": scatter**0.5, "draws": len(counts)}


def fitted(fit: Fit, device: HardwareSpec, data: Path) -> dict[str, float]:
    """The mean over the seeds."""
    seeds = judged(fit, sets_of(data, fit, device), first_sets(data, fit, device))
    each = [
        figures_of(seed.rows, seed.constants, ends)
        for seed, ends in zip(seeds, ends_unseen(seeds, fit.kind), strict=True)
    ]
    common = shares(-np.concatenate([seed.logs for seed in seeds]), np.concatenate([seed.values for seed in seeds]))
    return mean_of(each) | common


def mean_of(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of some figures, such as those of seeds."""
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


def left_out(fit: Fit, device: HardwareSpec, sets: Sequence[MeasuredSet], data: Path) -> dict[str, float]:
    """All rows of a device by the class that has not seen it."""
    alike = [kind for kind in KINDS if ("attention" in kind) == ("attention" in fit.kind)] if fit.kind in KINDS else []
    calibration = class_without(device, data, only=alike)
    unseen = ConstantSet.from_calibration(calibration).using(Kernels.all_of(fit.library))
    return figures_of(sets, unseen.of(fit.kind, "graph", dtype=fit.dtype))


def board(data: Path, only: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """A record for each device, kind and library, fitted and left out; an A100's matmuls left out beside them.

    Where some are named, of ``only`` these kinds.
    """
    for fit in FITS:
        if only and not fit.among(only):
            continue
        for device in devices(data):
            sets = [each.rows for each in sets_of(data, fit, device)]
            if sets:
                yield _record(fit, device, "fitted", fitted(fit, device, data))
                yield _record(fit, device, "left out", left_out(fit, device, sets, data))
        if fit is FITS[0]:
            older = [rows for rows in load_sets(data) if rows.name.startswith("GEMM bf16") and rows.fit_values]
            older = [rows for rows in older if not rows.host_time]
            yield _record(fit, older[0].device, "left out", left_out(fit, older[0].device, older, data))


def table(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The records in Markdown."""
    yield "| " + " | ".join(HEADING) + " |"
    yield "|---" * 3 + "|--:" * (len(HEADING) - 3) + "|"
    for record in sorted(records, key=lambda one: (one["kind"], one["dtype"], one["library"], one["device"])):
        kind = " ".join((record["kind"], record["dtype"], record["library"])).strip()
        shown = {name: f"{100 * record[name]:.1f} %" for name in PERCENTS}
        told = (record["device"], kind, record["constants"], f"{record['n']:,.0f}", shown["median"], shown["mean"],
                shown["p90"], f"{record['bias']:.2f}", *(shown[name] for name in PERCENTS[3:]))  # fmt: skip
        yield "| " + " | ".join(told) + " |"


def stored(subject: str = "operators") -> list[dict[str, Any]]:
    """The records of docs/accuracy.json of a subject."""
    found: list[dict[str, Any]] = json.loads(COPY.read_text(encoding="utf-8"))[subject]
    return found


def store(subject: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Renew the records of a subject in docs/accuracy.json."""
    every = json.loads(COPY.read_text(encoding="utf-8")) | {subject: records}
    with atomic_writer(COPY) as file:
        file.write(json.dumps(every, indent=1) + "\n")


def _place(record: Mapping[str, Any]) -> int:
    """Where a record stands: by the fits."""
    named = (record["kind"], record["dtype"], record["library"])
    return [(fit.kind, fit.dtype, fit.library) for fit in FITS].index(named)


def _record(fit: Fit, device: HardwareSpec, constants: str, told: Mapping[str, float]) -> dict[str, Any]:
    named = {"device": device.name, "kind": fit.kind, "dtype": fit.dtype, "library": fit.library}
    return named | {"constants": constants} | {name: round(value, 4) for name, value in told.items()}


def main() -> int:
    """Print the table, and write the copy if asked to."""
    parser = argparse.ArgumentParser(description="Errors by device, kind and kernel library.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write docs/accuracy.json")
    parser.add_argument("--kinds", nargs="+", default=(), help="judge these alone: KIND[:LIBRARY[:DTYPE]]")
    asked = parser.parse_args()
    records = list(board(asked.data, asked.kinds))
    print("\n".join(table(records)))
    if asked.write:
        kept = [one for one in stored() if asked.kinds and not FITS[_place(one)].among(asked.kinds)]
        store("operators", sorted([*kept, *records], key=_place))
    return 0


if __name__ == "__main__":
    sys.exit(main())
