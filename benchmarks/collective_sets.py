"""Public timings of collectives, split by devices and message size, and the constants fitted to them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roofline.calibration import Band, CollectiveConstants
from roofline.collectives import CollectiveTiming, time_collective
from roofline.fitting import Interval, Prior, band_of, solve
from roofline.hardware import load_hardware

PRIORS = {
    "first": Prior(8e-6, 0.7),
    "each": Prior(1e-6, 1.0),
    "bandwidth": Prior(0.75, 0.3),
    "sharpness": Prior(0.6, 0.3),
}
DEVICES_FIT = (2, 8)
LIBRARIES = {"nccl-2.27.3": "NCCL", "trtllm-custom-1.0.0": "TensorRT-LLM"}
_NAMES = {"alltoall": "all_to_all"}
_WIDTHS = {"half": 2, "bfloat16": 2, "int8": 1}
LINK = load_hardware("a100").links["scale_up"].bandwidth_per_direction


@dataclass(frozen=True, slots=True, eq=False)
class CollectiveSet:
    """One collective of one library: message bytes, devices, seconds.

    Fitted are 2 and 8 devices with an even power of two of bytes, judged 4 devices with an odd one.
    """

    library: str
    operation: str
    message_bytes: Any
    devices: Any
    measured_s: Any

    @property
    def name(self) -> str:
        """Operation and library, for a table."""
        return f"{self.operation.replace('_', '-')}, {self.library}"

    def where(self, rows: Any) -> CollectiveSet:
        """The rows that a mask picks."""
        arrays = (self.message_bytes, self.devices, self.measured_s)
        return CollectiveSet(self.library, self.operation, *(array[rows] for array in arrays))

    def fitted(self) -> CollectiveSet:
        """The rows to fit."""
        return self.where(self._even() & np.isin(self.devices, DEVICES_FIT))

    def held_out(self) -> CollectiveSet:
        """The rows to judge by: neither their size nor their number of devices was fitted."""
        return self.where(~self._even() & ~np.isin(self.devices, DEVICES_FIT))

    def between(self) -> CollectiveSet:
        """The rows for the band."""
        return self.where(self._even() != np.isin(self.devices, DEVICES_FIT))

    def timing(self, constants: CollectiveConstants | None) -> CollectiveTiming:
        """The prediction of every row."""
        return time_collective(self.operation, self.message_bytes, self.devices, LINK, constants)

    def _even(self) -> Any:
        return np.log2(self.message_bytes) % 2 == 0


def load_collectives(data: Path) -> Iterator[CollectiveSet]:
    """Every collective of every library on A100s in one node."""
    with (data / "aiconfigurator/comm.csv").open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    for library, operation in dict.fromkeys((row["lib"], row["collective"]) for row in rows):
        own = [row for row in rows if (row["lib"], row["collective"]) == (library, operation)]
        moved = np.array([float(row["message_elements"]) * _WIDTHS[row["dtype"]] for row in own])
        devices = np.array([float(row["num_gpus"]) for row in own])
        seconds = np.array([float(row["latency_ms"]) * 1e-3 for row in own])
        yield CollectiveSet(LIBRARIES[library], _NAMES.get(operation, operation), moved, devices, seconds)


def fit_collective(rows: CollectiveSet) -> tuple[CollectiveConstants, dict[str, Interval]]:
    """Constants from the fitted rows, three digits of them, their band from the rows between, and the intervals."""
    fitted, between = rows.fitted(), rows.between()

    def log_errors(logs: Any) -> Any:
        return np.log(
            fitted.timing(_constants(dict(zip(PRIORS, np.exp(logs), strict=True)))).time_s / fitted.measured_s
        )

    intervals = solve(log_errors, PRIORS, np.ones(len(fitted.measured_s)))
    rounded = {name: float(f"{interval.value:.3g}") for name, interval in intervals.items()}
    logs = np.log(between.measured_s / between.timing(_constants(rounded)).time_s)
    low, high = band_of(logs, np.ones(len(logs)))
    band = Band(low=min(1.0, round(low, 2)), high=max(1.0, round(high, 2)), evidence=f"{len(logs)} rows not fitted")
    return _constants(rounded, band), intervals


def _constants(values: dict[str, float], band: Band | None = None) -> CollectiveConstants:
    """Unchecked, since a fit passes through many values."""
    return CollectiveConstants.model_construct(**values, band=band or Band(low=1.0, high=1.0, evidence="none yet"))
