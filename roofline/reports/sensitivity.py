"""What more of each resource would buy, as people and programs read it."""

from __future__ import annotations

from typing import Any

from roofline.prediction.predict import Prediction
from roofline.prediction.sensitivity import STEP, gains
from roofline.reports.prediction import quantity, table


def text(prediction: Prediction) -> str:
    """A table a phase: the time with 10 % more, and the part of the time that this saves."""
    lines = [f"what {STEP:.0%} would buy, evaluated anew"]
    for phase, found in gains(prediction).items():
        before = prediction.phases[phase].figures.time_s
        rows = [
            (
                f"{STEP:.0%} {'less' if gain.resource.name == 'latency' else 'more'} {gain.resource.name}",
                quantity(gain.better_s, "time_s"),
                f"{gain.saved:.1%}",
                f"{before / gain.better_s:.3f} x",
            )
            for gain in found
        ]
        lines += ["", *table((f"{phase}, one step", "time", "saved", "speed"), rows)]
    return "\n".join(lines)


def fields(prediction: Prediction) -> dict[str, Any]:
    """The block that ``--sensitivity`` adds to the JSON of ``predict``."""
    found = gains(prediction).items()
    return {"sensitivity": {phase: {gain.resource.name: gain.to_dict() for gain in some} for phase, some in found}}
