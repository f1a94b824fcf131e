"""What ``doctor`` finds, and what ``calibrate`` found, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from roofline.calibration.fields import MOST_SHARE
from roofline.fitting.calibrating import Calibrated
from roofline.fitting.operators import Interval
from roofline.fitting.timed_collectives import MeasuredLinks
from roofline.reports.prediction import band_words, quantity, table
from roofline.validation.doctor import Findings
from roofline.validation.environment import OPTIONAL, installed

WHY = {
    "OMP_WAIT_POLICY": "threads that spin while they wait make others miss whole ticks on small machines",
    "KMP_BLOCKTIME": "the same, for Intel's OpenMP",
    "OMP_NUM_THREADS": "as many threads as are timed",
    "MKL_NUM_THREADS": "as many threads as are timed",
    "MALLOC_MMAP_MAX_": "tensors above 32 MiB too come from memory that is there already, not from new pages",
    "MALLOC_TRIM_THRESHOLD_": "freed memory stays; else each page of the next tensor costs microseconds",
    "MALLOC_TOP_PAD_": "the heap grows in large steps",
}


_SEVERAL_NODES = (
    "cores read the memory of other nodes more slowly: time one node, numactl --cpunodebind=0 --membind=0, with its "
    "cores as --threads"
)


def _nodes(environment: Mapping[str, Any]) -> str:
    nodes = environment.get("numa_nodes", 0)
    return f", {nodes} NUMA node{'' if nodes == 1 else 's'}" if nodes else ""


def findings_text(found: Findings) -> str:
    """What is there, whether threads stall, what to set and why."""
    e = found.environment
    lines = [
        f"device        {e['device']} ({e['device_kind']}), {e['cores']} cores seen, {e['threads']} used",
        f"memory        {quantity(e['memory_bytes'], 'bytes')}, last cache {quantity(e['cache_bytes'], 'bytes')}",
        f"instructions  {e['instructions']}, as torch uses them",
        f"software      {e['torch']}, Python {e['python']}, {e['system']}",
    ]
    lines[1] += _nodes(e)
    if e.get("numa_nodes", 0) > 1:
        lines.append(f"NUMA          {_SEVERAL_NODES}")
    if "driver" in e:
        lines.append(f"driver        {e['driver']}, CUDA {e['cuda']}, power limit {e['power_limit']}")
    optional = ", ".join(f"{name} {installed(name) or 'missing'}" for name in OPTIONAL)
    lines += [f"optional      {optional}", f"stall test    {found.test.words}"]
    if found.missing:
        lines.append("set before torch loads (calibrate and validate start themselves anew with these):")
        lines += [f"  {name}={value}  {WHY[name]}" for name, value in found.missing.items()]
    return "\n".join(lines)


def calibration_text(found: Calibrated, budget_s: float) -> str:
    """The roofs, the constants of each kind with their intervals, and how far off they are on shapes kept out.

    ``budget_s``: what was asked for; a slow machine takes longer, which is said.
    """
    widths = ", ".join(f"{kind} {quantity(rate, 'bytes_per_s')}" for kind, rate in found.bandwidths.items())
    lines = [
        f"{found.fields['title']}: {found.seconds:.0f} s, {found.rounds} rounds{_threads(found.environment)}",
        f"bandwidth {widths}; best matmul {quantity(found.rate, 'flops_per_s')}; "
        f"the host adds {quantity(found.host_s, 'time_s')} to a launch",
        "",
        *table(("kind", "shapes", "off, fitted", "kept out", "off", "worst", "constants (90 % interval)"), _rows(found),
               left=(0, 6)),
        "",
        band_words(**found.fields["band"]),
    ]  # fmt: skip
    if found.seconds > 1.1 * budget_s:
        lines.append(
            f"note: longer than its budget of {quantity(budget_s, 'time_s')}: every kernel is timed once at least; "
            "other work on this machine makes that slow, and the constants unsure"
        )
    if found.environment.get("numa_nodes", 0) > 1:
        lines.append(f"note: {_SEVERAL_NODES}")
    if above := [f"{name} ({share})" for name, group in found.fitted.items() for share in group.at_most]:
        lines.append(
            f"{', '.join(above)}: at {MOST_SHARE:g} x the roof, the most that a calibration states; the roof is low: "
            "calibrate without --extends, or with a spec of this device"
        )
    if found.links is not None:
        rate = quantity(found.links.link, "bytes_per_s")
        lines += ["", f"collectives of {found.links.devices} devices, links of {rate} per direction"]
        lines += table(
            ("collective", "rows", "band", "constants (90 % interval)"), _link_rows(found.links), left=(0, 3)
        )
    if found.interrupted:
        lines.append("interrupted: fitted to what was measured until then")
    return "\n".join(lines)


def _threads(environment: Mapping[str, Any]) -> str:
    """On how many cores of a CPU, with which instructions and nodes of memory; nothing of a GPU."""
    e = environment
    if e["device_kind"] != "cpu":
        return ""
    return f"; {e['threads']} threads on {e['cores']} cores, {e['instructions']}{_nodes(e)}"


def _link_rows(found: MeasuredLinks) -> Iterator[tuple[str, ...]]:
    for operation, constants in found.constants.items():
        rows = sum(row.operation == operation for row in found.rows)
        band = f"{constants.band.low:g} to {constants.band.high:g} x"
        yield operation, str(rows), band, _words(found.intervals[operation])


def _words(intervals: Mapping[str, Interval]) -> str:
    return ", ".join(f"{name} {i.value:.3g} ({i.low:.3g} to {i.high:.3g})" for name, i in intervals.items())


def _rows(found: Calibrated) -> Iterator[tuple[str, ...]]:
    for name, group in found.fitted.items():
        errors = np.abs(group.errors)
        off = (f"{np.median(errors):.1%}", f"{errors.max():.1%}") if len(errors) else ("-", "-")
        yield (
            name,
            str(group.fit.rows),
            f"{group.fit.median_ape:.1%}",
            str(len(errors)),
            *off,
            _words(group.fit.intervals),
        )
