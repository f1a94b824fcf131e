"""Public timings of collectives on 2 to 8 devices: NCCL on A100, H100, H200, B200, L40S, and all-reduces of libraries.

Messages are the whole, in bytes. A split draws sizes of messages, half to fit and half to judge by, on any number of
devices and of every operation.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from roofline.calibration.link_constants import LinkConstants
from roofline.calibration.provenance import constants_of
from roofline.hardware.loading import load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.timing.collectives import time_transfer
from roofline.timing.networks import Network, Served, Tier, network_of
from roofline.timing.timing import Timing

FOLDERS = {"h100_sxm": "h100", "h200_sxm": "h200", "b200_sxm": "b200", "l40s": "l40s"}
LIBRARIES = {
    "NCCL": "nccl",
    "TRTLLM": "trtllm",
    "vLLM_custom_graph": "vllm",
    "vLLM_custom_eager": "vllm-eager",
    "nccl-2.27.3": "nccl",
    "trtllm-custom-1.0.0": "trtllm",
}
RING = ("all_gather", "reduce_scatter", "all_reduce")
"""NCCL's operations that share their constants."""
_NAMES = {"alltoall": "all_to_all"}
_WIDTHS = {"half": 2, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True, slots=True, eq=False)
class CollectiveSet:
    """One collective of one library on one device: message bytes, devices, seconds. ``table``: its file and digest."""

    device: HardwareSpec
    library: str
    operation: str
    message_bytes: Any
    devices: Any
    measured_s: Any
    table: str

    def where(self, rows: Any) -> CollectiveSet:
        """The rows that a mask picks."""
        arrays = {name: getattr(self, name)[rows] for name in ("message_bytes", "devices", "measured_s")}
        return replace(self, **arrays)

    def of_sizes(self, sizes: Any) -> CollectiveSet:
        """The rows whose messages have one of these sizes. [B]"""
        return self.where(np.isin(self.message_bytes, sizes))

    @property
    def kind(self) -> str:
        """The kind of its links."""
        up = self.device.links.get("scale_up")
        return "host" if up is None else up.topology or "switch"

    def timing(self, constants: LinkConstants | None) -> Timing:
        """The prediction of every row; without constants the data sheet's."""
        near = replace(_rated(self.device.name), constants=constants, served=Served(self.library))
        return time_transfer(self.operation, self.message_bytes, self.devices, 1, Network((near,)))


@cache
def _rated(device: str) -> Tier:
    """The links among eight devices, as rated."""
    spec = load_hardware(device)
    return network_of(spec, 8, {}, constants_of(spec, "datasheet")).near


def splits(sets: tuple[CollectiveSet, ...], seeds: range = range(5)) -> list[tuple[Any, Any]]:
    """For each seed the sizes of messages to fit and those to judge by. [B]"""
    sizes = np.unique(np.concatenate([rows.message_bytes for rows in sets]))
    drawn = [np.random.default_rng(seed).permutation(sizes) for seed in seeds]
    half = (len(sizes) + 1) // 2
    return [(each[:half], each[half:]) for each in drawn]


@cache
def load_collectives(data: Path) -> tuple[CollectiveSet, ...]:
    """Every collective of every library on every device."""
    return tuple(_sets(data))


def _sets(data: Path) -> Iterator[CollectiveSet]:
    yield from _of_table(data / "aiconfigurator/comm.csv", load_hardware("a100"))
    for folder, device in FOLDERS.items():
        for family in ("nccl", "custom_allreduce"):
            for path in sorted((data / "devices" / folder).glob(f"{family}_*.csv")):
                yield from _of_table(path, load_hardware(device))


def _of_table(path: Path, device: HardwareSpec) -> Iterator[CollectiveSet]:
    text = path.read_bytes()
    table = f"{path.stem} ({hashlib.sha256(text).hexdigest()[:12]})"
    rows = list(csv.DictReader(text.decode().splitlines()))
    libraries = [_first(row, "kernel_source", "lib") for row in rows]
    operations = [_first(row, "op_name", "collective") for row in rows]
    widths = [_WIDTHS[_first(row, "nccl_dtype", "allreduce_dtype", "dtype")] for row in rows]
    elements = [float(_first(row, "message_size", "message_elements")) for row in rows]
    message, devices = np.array(elements) * widths, np.array([float(row["num_gpus"]) for row in rows])
    seconds = np.array([float(row["latency_ms"]) * 1e-3 for row in rows])
    for library, operation in dict.fromkeys(zip(libraries, operations, strict=True)):
        own = (np.array(libraries) == library) & (np.array(operations) == operation)
        yield CollectiveSet(device, LIBRARIES[library], _NAMES.get(operation, operation), message[own], devices[own],
                            seconds[own], table)  # fmt: skip


def _first(row: dict[str, str], *names: str) -> str:
    """The column of the first of these names that a table has."""
    return next(row[name] for name in names if name in row)
