"""Public timings of collectives, split by devices and message size, and the constants fitted to them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roofline.calibration.calibration_file import CollectiveConstants
from roofline.fitting.collectives import TimedCollective, fit_collective
from roofline.fitting.operators import Interval
from roofline.hardware.loading import load_hardware
from roofline.timing.timing import Timing

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
    def timed(self) -> TimedCollective:
        """The rows as a fit takes them."""
        return TimedCollective(self.operation, LINK, self.message_bytes, self.devices, self.measured_s)

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

    def timing(self, constants: CollectiveConstants | None) -> Timing:
        """The prediction of every row."""
        return self.timed.timing(constants)

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


def fitted_constants(rows: CollectiveSet) -> tuple[CollectiveConstants, dict[str, Interval]]:
    """Constants from the fitted rows, their band from the rows between, and the intervals."""
    return fit_collective(rows.fitted().timed, rows.between().timed)
