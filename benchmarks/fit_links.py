"""Fits what software reaches of links to timed collectives, and scores it: calibrations/links.yaml, docs/accuracy.json.

python benchmarks/fit_links.py --data DIR [--write | --proportion]

NCCL's all-gather, reduce-scatter and all-reduce share their constants; its all-to-all and the all-reduce of each
library have their own. Constants are fitted to all rows of a device. Errors are the mean of five seeded splits by the
size of the message, each with constants from other sizes; the band of a size is that of the errors at all others. Left
out: what the device would inherit from its relatives without rows of its own, judged on all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from collective_sets import RING, CollectiveSet, load_collectives, splits
from device_bands import widened
from device_board import figures, mean_of, shares, store, table
from fit_calibrations import written

from roofline.calibration.corrections.correction import Prior
from roofline.calibration.fields import Band
from roofline.calibration.link_constants import (
    LinkConstants,
    RingConstants,
    ShotConstants,
    latency_ratio,
    load_links,
)
from roofline.files.atomic import atomic_writer
from roofline.files.library import data_folder, read_yaml
from roofline.fitting.operators import band_of, solve
from roofline.hardware.spec import HardwareSpec
from roofline.timing.networks import generation_of, joined_by

NONE_YET = Band(low=1.0, high=1.0, evidence="none yet")
_ANY_RING = RingConstants.model_construct(first=0.0, each=0.0, bandwidth=1.0, sharpness=1.0, band=NONE_YET)
_RING_PRIORS = {
    "first": Prior(6e-6, 0.7),
    "each": Prior(1e-6, 0.7),
    "bandwidth": Prior(0.8, 0.2),
    "sharpness": Prior(0.6, 0.3),
    "own_copy": Prior(2.0, 0.5),
}
_SWITCH_PRIOR = {"in_switch": Prior(0.6, 0.3)}
_HOST_PRIOR = {"contention": Prior(2.0, 0.5)}
_SHOT_PRIORS = {
    "first": Prior(3e-6, 0.7),
    "each": Prior(0.2e-6, 0.7),
    "shot": Prior(0.7, 0.4),
    "bandwidth": Prior(0.75, 0.2),
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """What has constants of its own: NCCL's rings, its all-to-all, or a library's all-reduce."""

    library: str
    operations: tuple[str, ...]

    def priors(self, device: HardwareSpec, kind: str) -> dict[str, Prior]:
        """What is fitted, and where from."""
        if self.library != "nccl" and kind != "host":
            return _SHOT_PRIORS
        up = device.links.get("scale_up")
        adds = self.operations == RING and up is not None and up.reduces
        return _RING_PRIORS | (_HOST_PRIOR if kind == "host" else {}) | (_SWITCH_PRIOR if adds else {})

    def links(self, values: Mapping[str, float]) -> LinkConstants:
        """Constants of links that have these alone, unchecked, since a fit passes through many."""
        if "shot" in values:
            shot = ShotConstants.model_construct(**values, band=NONE_YET)
            return LinkConstants.model_construct(ring=_ANY_RING, all_reduce={self.library: shot})
        own = RingConstants.model_construct(**values, band=NONE_YET)
        if self.library != "nccl":
            return LinkConstants.model_construct(ring=_ANY_RING, all_reduce={self.library: own})
        return LinkConstants.model_construct(ring=own, all_to_all=own)


KERNELS = (
    Kernel("nccl", RING),
    Kernel("nccl", ("all_to_all",)),
    *(Kernel(library, ("all_reduce",)) for library in ("vllm", "trtllm", "vllm-eager")),
)
"""In the order of the file: the first all-reduce of a library is the one that an engine is taken to have."""


def fitted(kernel: Kernel, sets: Sequence[CollectiveSet]) -> dict[str, float]:
    """The constants that all rows of the sets of one device ask for, three digits of them."""
    priors = kernel.priors(sets[0].device, sets[0].kind)

    def log_errors(logs: Any) -> Any:
        return _logs(sets, kernel.links(dict(zip(priors, np.exp(logs), strict=True))))

    count = sum(len(rows.measured_s) for rows in sets)
    found = solve(log_errors, priors, np.ones(count), starts=1)
    return {name: float(f"{interval.value:.3g}") for name, interval in found.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Rows of one operation that a seed did not fit, its constants, and ln(predicted / measured)."""

    rows: CollectiveSet
    constants: LinkConstants
    logs: Any


@cache
def judged(kernel: Kernel, sets: tuple[CollectiveSet, ...]) -> tuple[Judged, ...]:
    """Every seed and operation."""
    found = []
    for fit, judge in splits(sets):
        known = kernel.links(fitted(kernel, [rows.of_sizes(fit) for rows in sets]))
        parts = [rows.of_sizes(judge) for rows in sets]
        found += [Judged(rows, known, _logs([rows], known)) for rows in parts]
    return tuple(found)


def band(found: Sequence[Judged], without: float = 0.0) -> Band:
    """The band of errors on rows that were not fitted, but for messages of one size. [B]

    What messages of one size share is made as wide as few sizes leave it.
    """
    sizes = np.concatenate([each.rows.message_bytes for each in found])
    logs, others = np.concatenate([each.logs for each in found]), sizes != without
    low, high = band_of(widened(-logs[others], sizes[others][:, None]), np.ones(others.sum()))
    return Band(low=round(low, 3), high=round(high, 3), evidence=f"{len(logs)} rows not fitted, in 5 splits")


def figures_unseen(found: Sequence[Judged], one: Judged) -> dict[str, float]:
    """The figures of rows, each held to the band that messages of other sizes give."""
    told, sizes = one.rows.timing(one.constants), one.rows.message_bytes
    known = {size: band(found, size) for size in np.unique(sizes)}
    low, high = (told.time_s * np.array([getattr(known[size], end) for size in sizes]) for end in ("low", "high"))
    return figures(replace(told, low_s=low, high_s=high), one.rows.timing(None).time_s, one.rows.measured_s)


def _logs(sets: Sequence[CollectiveSet], constants: LinkConstants) -> Any:
    return np.concatenate([np.log(rows.timing(constants).time_s / rows.measured_s) for rows in sets])


def _of_device(data: Path, kernel: Kernel) -> Iterator[tuple[CollectiveSet, ...]]:
    every = [rows for rows in load_collectives(data)
             if rows.library == kernel.library and rows.operation in kernel.operations]  # fmt: skip
    for name in dict.fromkeys(rows.device.name for rows in every):
        yield tuple(rows for rows in every if rows.device.name == name)


def board(data: Path) -> Iterator[dict[str, Any]]:
    """A record for each device, operation and library: fitted, and left out where a relative was measured."""
    for kernel in KERNELS:
        for sets in _of_device(data, kernel):
            seeds = judged(kernel, sets)
            for rows in sets:
                own = [one for one in seeds if one.rows.operation == rows.operation]
                common = shares(*(np.concatenate(parts) for parts in zip(*((-one.logs, one.rows.message_bytes)
                                                                           for one in own), strict=True)))  # fmt: skip
                yield _record(rows, "fitted", mean_of([figures_unseen(seeds, one) for one in own]) | common)
    yield from left_out(data)


def left_out(data: Path) -> Iterator[dict[str, Any]]:
    """A record for each device, operation and library of what its relatives' constants say, where it has any."""
    links = load_links()
    for kernel in KERNELS:
        for rows in (rows for sets in _of_device(data, kernel) for rows in sets):
            device = rows.device
            if len(links.measured[rows.kind]) > 1:
                told, naive = rows.timing(unseen_of(device, rows.kind)), rows.timing(None).time_s
                yield _record(rows, "left out", figures(told, naive, rows.measured_s))


def proportions(data: Path) -> Iterator[str]:
    """What is inherited across generations: errors of a library by another's latencies, as they are and in proportion.

    Below, how wide the bands of a device's relatives would have to be to hold nine of ten of its rows.
    """
    links = load_links()
    for kernel in KERNELS[2:4]:
        for (rows,) in _of_device(data, kernel):
            known = links.measured[rows.kind]
            own = known[rows.device.name]
            for name, other in known.items():
                if other.generation != own.generation and (shot := other.all_reduce.get(kernel.library)):
                    ratio = latency_ratio(own, other, without=kernel.library)
                    told = [rows.timing(kernel.links(_latencies(shot, factor))).time_s for factor in (1.0, ratio)]
                    plain, scaled = (100 * float(np.median(np.abs(each / rows.measured_s - 1))) for each in told)
                    yield (f"{rows.device.name} {kernel.library} by {name}: {plain:.1f} % as it is, "
                           f"{scaled:.1f} % at {ratio:.2f} x the latency")  # fmt: skip
    for name in links.measured["switch"]:
        asked = [_outside(rows) for kernel in KERNELS for sets in _of_device(data, kernel) for rows in sets
                 if rows.device.name == name]  # fmt: skip
        weights = np.concatenate([np.full(len(each), 1 / len(each)) for each in asked])
        order = np.argsort(every := np.concatenate(asked))
        place = np.searchsorted(np.cumsum(weights[order]) / weights.sum(), 0.9)
        yield f"{name}: its relatives' bands {every[order][place]:.3f} x as wide as they are told hold nine of ten rows"


def _latencies(shot: ShotConstants | RingConstants, factor: float) -> dict[str, float]:
    """The constants of an all-reduce, its latencies times a factor."""
    return {name: value * (factor if name in ("first", "each") else 1.0)
            for name in shot.stated if isinstance(value := getattr(shot, name), float)}  # fmt: skip


def _outside(rows: CollectiveSet) -> Any:
    """How far beyond the band of its relatives a device's rows lie, 1 at its ends, less within."""
    found = rows.timing(unseen_of(rows.device, rows.kind))
    return np.maximum(found.low_s / rows.measured_s, rows.measured_s / found.high_s)


def unseen_of(device: HardwareSpec, kind: str) -> LinkConstants:
    """What a device would inherit without rows of its own."""
    return load_links().of(kind, device.name, generation_of(device), joined_by(device), without=device.name)


def key(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a record is of."""
    return record["device"], record["kind"], record["library"]


def _record(rows: CollectiveSet, constants: str, told: Mapping[str, float]) -> dict[str, Any]:
    named = {"device": rows.device.name, "kind": rows.operation, "dtype": "", "library": rows.library}
    return named | {"constants": constants} | {name: round(value, 4) for name, value in told.items()}


def measured_fields(data: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Constants by kind of link and device, as the file has them."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kernel in KERNELS:
        for sets in _of_device(data, kernel):
            first = sets[0]
            fields = _fields(fitted(kernel, sets), band(judged(kernel, sets)))
            own = found.setdefault(first.kind, {}).setdefault(
                first.device.name, {"generation": generation_of(first.device), "joined": joined_by(first.device)}
            )
            if kernel.library != "nccl":
                own.setdefault("all_reduce", {})[kernel.library] = fields
            else:
                own["ring" if kernel.operations == RING else "all_to_all"] = fields
    return found


def _fields(values: Mapping[str, float], ends: Band) -> dict[str, Any]:
    times = {name: f"{values[name] * 1e6:.3g} us" for name in ("first", "each")}
    return times | {name: value for name, value in values.items() if name not in times} | {"band": ends.model_dump()}


def main() -> int:
    """Print the table, and write constants and records if asked to."""
    parser = argparse.ArgumentParser(description="Constants of links from timed collectives.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write calibrations/links.yaml and docs/accuracy.json")
    parser.add_argument("--proportion", action="store_true", help="print what is inherited across generations")
    asked = parser.parse_args()
    if asked.proportion:
        print("\n".join(proportions(asked.data)))
        return 0
    if asked.write:
        path = data_folder("calibrations") / "links.yaml"
        fields = read_yaml(path) | {"measured": measured_fields(asked.data)}
        with atomic_writer(path) as file:
            file.write(written(fields))
        load_links.cache_clear()
    records = list(board(asked.data))
    print("\n".join(table(records)))
    if asked.write:
        store("collectives", records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
