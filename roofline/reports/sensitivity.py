"""What more of each resource would buy, as people read it."""

from __future__ import annotations

from roofline.prediction.sensitivity import STEP, Gains
from roofline.reports.prediction import quantity, table


def text(gains: Gains) -> str:
    """A table a phase: the time with 10 % more, and the part of the time that this saves."""
    lines = [f"what {STEP:.0%} would buy, evaluated anew"]
    for phase, found in gains.items():
        rows = [
            (
                f"{STEP:.0%} {'less' if gain.resource.name == 'latency' else 'more'} {gain.resource.name}",
                quantity(gain.better_s, "time_s"),
                f"{gain.saved:.1%}",
                f"{gain.speed:.3f} x",
            )
            for gain in found
        ]
        lines += ["", *table((f"{phase}, one step", "time", "saved", "speed"), rows)]
    return "\n".join(lines)
