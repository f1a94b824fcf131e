"""The roofs of a device as measured: the best bandwidth of long streams, the best rate of large matmuls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from roofline.cost.cost import operator_cost
from roofline.fitting.campaign import Point, adamw_update
from roofline.fitting.timed_collectives import MeasuredLinks
from roofline.hardware.loading import spec_from_fields
from roofline.program.workload import Precision
from roofline.validation.devices import Call, Device
from roofline.validation.stopwatch import Samples

STREAMS = {"read": 2, "copy": 2, "triad": 3, "update": 7}
"""Long streams: how many tensors each moves. What is written where it was read leaves the caches beside further reads,
so that of a core, which waits for what it reads, an update moves most.
"""


def long_streams(device: Device) -> tuple[dict[str, Call], float]:
    """Read (a dot product), copy, triad and, where there is a kernel of it, an optimizer's update of tensors far beyond
    the cache; and the bytes of one tensor.
    """
    torch = device.torch
    elements = round(max(2.5 * device.cache_bytes, min(1e9, 0.01 * device.memory_bytes)) / 4)
    a, b, c = (device.random(elements) for _ in range(3))
    calls: dict[str, Call] = {
        "bandwidth read": lambda _: torch.dot(a, b),
        "bandwidth copy": lambda _: c.copy_(a),
        "bandwidth triad": lambda _: torch.add(a, b, alpha=0.5, out=c),
    }
    if device.kind != "mps":
        first, second, step = torch.zeros_like(a), torch.ones_like(a), torch.ones((), device=device.kind)
        calls["bandwidth update"] = lambda _: adamw_update(torch, ([a], [b], [first], [second]), step)
    return calls, 4.0 * elements


def measured_bandwidths(samples: Mapping[str, Samples], tensor_bytes: float) -> dict[str, float]:
    """Kernel -> bytes read and written per second, undisturbed. [B/s]"""
    return {
        kernel: tensors * tensor_bytes / samples[f"bandwidth {kernel}"].low_s
        for kernel, tensors in STREAMS.items()
        if f"bandwidth {kernel}" in samples
    }


def best_rate(points: Sequence[Point], samples: Mapping[str, Samples], dtype: str) -> float:
    """The most FLOP/s that any matmul reached, undisturbed."""
    rates = []
    for point in points:
        if point.group == "matmul" and point.name in samples:
            cost = operator_cost(
                point.op, {k: float(v) for k, v in point.sizes.items()}, Precision(dtype, dtype, dtype)
            )
            rates.append(float(cost.flops) / samples[point.name].low_s)
    return float(np.max(rates))


def measured_spec(
    name: str,
    device: Device,
    rates: Mapping[str, float],
    bandwidth: float,
    source: str,
    links: MeasuredLinks | None = None,
) -> dict[str, Any]:
    """The fields of a spec of a device that nobody has described: what was measured is the roof.

    Raises SpecError, from the loader's own checks, where the measurements contradict each other.
    """
    unit = "vector" if device.kind == "cpu" else "matrix"
    peaks: dict[str, Any] = {unit: {dtype: f"{rate / 1e9:.4g} GFLOP/s" for dtype, rate in rates.items()}}
    if unit == "matrix" and "fp32" in rates:
        peaks["vector"] = {"fp32": peaks["matrix"].pop("fp32")}
    memory: dict[str, Any] = {
        "dram" if device.kind == "cpu" else "vram": {
            "capacity": f"{device.memory_bytes / 2**30:.4g} GiB",
            "bandwidth": f"{bandwidth / 1e9:.4g} GB/s",
        },
        "llc" if device.kind == "cpu" else "l2": {"capacity": f"{device.cache_bytes / 2**20:.4g} MiB"},
    }
    fields: dict[str, Any] = {
        "name": name,
        "title": device.title,
        "kind": "cpu" if device.kind == "cpu" else "gpu",
        "class": "cpu" if device.kind == "cpu" else "nvidia-tensor-core",
        "source": source,
        "peak": peaks,
        "memory": memory,
    }
    if device.units:
        fields["units"] = dict(zip(("name", "count"), device.units, strict=True))
    if links is not None:
        rate = f"{links.link / 1e9:.4g} GB/s"
        fields["links"] = {"scale_up": {"bandwidth_per_direction": rate, "domain": links.devices}}
    spec_from_fields(fields, name)
    return fields


def slug(title: str) -> str:
    """A name for a file from what a machine calls itself.

    >>> slug("AMD EPYC 7763 64-Core Processor")
    'amd-epyc-7763-64-core-processor'
    """
    return re.sub(r"[^a-z0-9.]+", "-", title.lower()).strip("-.")[:50] or "device"
