"""What to do where a model does not fit, as people read it and as JSON."""

from __future__ import annotations

from typing import Any

from roofline.prediction.overflow import needed_layout, offload
from roofline.prediction.predict import Prediction
from roofline.units import format_quantity


def overflow_lines(prediction: Prediction) -> list[str]:
    """How many devices hold it, and what keeping weights in the host's memory costs; nothing where it fits."""
    found = to_dict(prediction)
    if not found:
        return []
    lines = ["no number of these devices holds it in tensor parallel or pipelines"]
    if needs := found["devices"]:
        lines = [f"needs {needs['count']} of these devices ({needs['layout']}): {_bytes(needs['bytes'])} on each"]
    if host := found["offload"]:
        steps = (f"{name} {_seconds(low)} to {_seconds(high)} a step" for name, (low, high) in host["steps_s"].items())
        rate = format_quantity(host["bandwidth_bytes_per_s"], "bytes_per_s")
        lines.append(f"or {_bytes(host['bytes'])} of its weights in the host's memory, read in every step over "
                     f"{host['link']} at {rate}: {', '.join(steps)}")  # fmt: skip
    return lines


def to_dict(prediction: Prediction) -> dict[str, Any]:
    """The same as JSON, in SI base units; empty where it fits, or where several devices were asked for."""
    if prediction.memory.fits is not False or prediction.count > 1:
        return {}
    needed, moved = needed_layout(prediction.request), offload(prediction.request, prediction.memory)
    devices = None
    if needed is not None:
        layout, fit = needed
        devices = {"count": int(layout.devices), "layout": str(layout), "bytes": fit.total_bytes}
    host = None
    if moved is not None:
        steps = {name: list(moved.step_s(phase.figures.time_s)) for name, phase in prediction.phases.items()}
        host = {"bytes": moved.bytes, "link": moved.link, "bandwidth_bytes_per_s": moved.bandwidth, "steps_s": steps}
    return {"devices": devices, "offload": host}


def _bytes(size: float) -> str:
    return format_quantity(size, "bytes")


def _seconds(time: float) -> str:
    return format_quantity(time, "time_s")
