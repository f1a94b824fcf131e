"""Collectives of several devices, timed by torch's own library (NCCL on GPUs, gloo on CPUs), and their constants.

A process for each device. Sizes with an even power of two of bytes are fitted, on two devices and on all; the band is
made of those with an odd power, on numbers of devices that were not fitted where there are such.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roofline.calibration.calibration_file import CollectiveConstants
from roofline.classes import frozen
from roofline.fitting.collectives import TimedCollective, fit_collective
from roofline.fitting.operators import Interval
from roofline.program.transfers import PASSES, bus_bytes
from roofline.validation.devices import load_torch

POWERS = range(12, 29)
"""Messages of 4 KiB to 256 MiB."""

BACKENDS = {"cuda": "nccl", "cpu": "gloo"}
_BURSTS, _MOST_CALLS = 5, 200


@frozen
class LinkRow:
    """One collective that was timed: bytes of the whole message, seconds at the median of several bursts."""

    operation: str
    devices: int
    message_bytes: int
    seconds: float


@frozen
class MeasuredLinks:
    """What was timed, the rate of the link that constants are shares of [B/s per direction], and the constants."""

    rows: tuple[LinkRow, ...]
    link: float
    constants: Mapping[str, CollectiveConstants]
    intervals: Mapping[str, Mapping[str, Interval]]

    @property
    def devices(self) -> int:
        """How many were joined."""
        return max(row.devices for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """As ``calibrate --json`` prints it."""
        named = {
            operation: {name: [i.value, i.low, i.high] for name, i in found.items()}
            for operation, found in self.intervals.items()
        }
        rows = [[row.operation, row.devices, row.message_bytes, row.seconds] for row in self.rows]
        return {"link_bytes_per_s": self.link, "intervals": named, "rows": rows}


def measure_links(
    kind: str, devices: int, budget_s: float, *, link: float | None = None, powers: Sequence[int] = POWERS
) -> MeasuredLinks:
    """Time every collective that the library has between 2 and ``devices`` devices, and fit constants.

    ``link`` is the rated bandwidth per direction; without it the best rate measured is the roof. Operations that the
    library refuses are left out. Raises what torch raises where processes cannot find each other.
    """
    rows = timed_collectives(kind, devices, budget_s, powers)
    rate = link or best_link(rows)
    constants, intervals = {}, {}
    for operation in dict.fromkeys(row.operation for row in rows):
        own = [row for row in rows if row.operation == operation]
        fitted = [row for row in own if _even(row) and row.devices in (2, devices)]
        between = [row for row in own if row not in fitted]
        if devices > 2:  # neither their size nor their number of devices was fitted, where there are such
            between = [row for row in between if not (_even(row) or row.devices in (2, devices))] or between
        constants[operation], intervals[operation] = fit_collective(_arrays(fitted, rate), _arrays(between, rate))
    return MeasuredLinks(tuple(rows), rate, constants, intervals)


def best_link(rows: Sequence[LinkRow]) -> float:
    """The most bytes per second that any collective sent over the link of a device."""
    return float(max(bus_bytes(row.operation, row.message_bytes, row.devices) / row.seconds for row in rows))


def timed_collectives(kind: str, devices: int, budget_s: float, powers: Sequence[int] = POWERS) -> list[LinkRow]:
    """All operations x numbers of devices x sizes, in one process for each device."""
    torch = load_torch()
    counts = sorted({2, devices, *(2**power for power in range(1, devices.bit_length()) if 2**power <= devices)})
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        asked = (devices, kind, str(place), counts, list(powers), budget_s)
        torch.multiprocessing.spawn(_process, asked, nprocs=devices)
        return [LinkRow(*row) for row in json.loads((place / "rows.json").read_text(encoding="utf-8"))]


def _process(
    rank: int, devices: int, kind: str, folder: str, counts: Sequence[int], powers: Sequence[int], budget_s: float
) -> None:
    """What the process of one device does; the first one writes down what it timed."""
    torch, place = load_torch(), Path(folder)
    if kind == "cuda":
        torch.cuda.set_device(rank)
    torch.set_num_threads(1)
    meeting = f"file://{place / 'meeting'}"
    torch.distributed.init_process_group(BACKENDS[kind], init_method=meeting, rank=rank, world_size=devices)
    try:
        groups = {count: torch.distributed.new_group(list(range(count))) for count in counts}
        each = budget_s / (len(counts) * len(PASSES) * len(powers))
        rows: list[tuple[str, int, int, float]] = []
        for count, group in groups.items():
            if rank < count:
                watch = _Watch(torch, kind, group, each)
                rows += watch.rows(count, powers)
        if rank == 0:
            (place / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        torch.distributed.barrier()
    finally:
        torch.distributed.destroy_process_group()


@dataclass(slots=True)
class _Watch:
    """Times the collectives of one group, all its processes in step."""

    torch: Any
    kind: str
    group: Any
    budget_s: float

    def rows(self, count: int, powers: Sequence[int]) -> list[tuple[str, int, int, float]]:
        """Every operation that the library has, at every size."""
        found = []
        for operation in PASSES:
            for power in powers:
                whole = self.torch.rand(2**power // 4, device=self.kind)
                part = self.torch.rand(2**power // 4 // count, device=self.kind)
                whole = whole[: part.numel() * count]  # numbers of devices need not be powers of two
                try:
                    call = self._call(operation, whole, part)
                    call()
                except RuntimeError:
                    break  # the library has no such collective
                found.append((operation, count, whole.numel() * 4, self._seconds(call)))
        return found

    def _call(self, operation: str, whole: Any, part: Any) -> Callable[[], object]:
        dist, group, other = self.torch.distributed, self.group, self.torch.empty_like(whole)
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # its newer name first
        scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
        calls: Mapping[str, Callable[[], object]] = {
            "all_reduce": lambda: dist.all_reduce(whole, group=group),
            "all_gather": lambda: gather(whole, part, group=group),
            "reduce_scatter": lambda: scatter(part, whole, group=group),
            "all_to_all": lambda: dist.all_to_all_single(other, whole, group=group),
        }
        return calls[operation]

    def _seconds(self, call: Callable[[], object]) -> float:
        """The median of bursts; how long a burst is, the first process decides for all."""
        once = self._burst(call, 3)
        calls = self.torch.tensor(max(2, min(_MOST_CALLS, round(self.budget_s / _BURSTS / once))), device=self.kind)
        self.torch.distributed.broadcast(calls, 0, group=self.group)
        return statistics.median(self._burst(call, int(calls)) for _ in range(_BURSTS))

    def _burst(self, call: Callable[[], object], calls: int) -> float:
        self.torch.distributed.barrier(group=self.group)
        self._wait()
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        self._wait()
        return (time.perf_counter() - begun) / calls

    def _wait(self) -> None:
        if self.kind == "cuda":
            self.torch.cuda.synchronize()


def _even(row: LinkRow) -> bool:
    return round(math.log2(row.message_bytes)) % 2 == 0


def _arrays(rows: Sequence[LinkRow], link: float) -> TimedCollective:
    columns = ([row.message_bytes for row in rows], [row.devices for row in rows], [row.seconds for row in rows])
    operation = rows[0].operation if rows else "collective"
    return TimedCollective(operation, link, *(np.array(column, float) for column in columns))
