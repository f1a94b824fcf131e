"""What to do where a model does not fit, as people read it."""

from __future__ import annotations

from roofline.prediction.overflow import Overflow
from roofline.units import format_quantity


def overflow_lines(found: Overflow | None) -> list[str]:
    """How many devices hold it, and what keeping weights in the host's memory costs; nothing where it fits."""
    if found is None:
        return []
    lines = ["no number of these devices holds it in tensor parallel or pipelines"]
    if found.layout is not None and found.fit is not None:
        devices = int(found.layout.devices)
        lines = [f"needs {devices} of these devices ({found.layout}): {_bytes(found.fit.total_bytes)} on each"]
    if found.narrower is not None:
        name, fit = found.narrower
        lines[0] += f"; or --dtype {name}: {_bytes(fit.total_bytes)}"
    if found.chunked_bytes is not None:
        step = f"chunked prefill of {found.chunk} tokens a step, as compare has it"
        lines.append(f"that reads all prompts at once; {step}, takes {_bytes(found.chunked_bytes)}")
    if host := found.offload:
        steps = (f"{name} {_seconds(low)} to {_seconds(high)} a step" for name, (low, high) in found.steps_s.items())
        rate = format_quantity(host.bandwidth, "bytes_per_s")
        lines.append(f"or keep {_bytes(host.bytes)} of its weights in the host's memory, read in every step over "
                     f"{host.link} at {rate}: {', '.join(steps)}")  # fmt: skip
    return lines


def _bytes(size: float) -> str:
    return format_quantity(size, "bytes")


def _seconds(time: float) -> str:
    return format_quantity(time, "time_s")
