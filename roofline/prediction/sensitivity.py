"""What ten percent more of each resource would buy: the time of each phase, evaluated anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from roofline.calibration.provenance import on_edited
from roofline.prediction.predict import Prediction
from roofline.prediction.what_if import Change, more_bandwidth, more_flops, shorter_latency, wider_link
from roofline.program.program import Phase

STEP = 0.1
"""How much more, and of the latency how much less."""


@dataclass(frozen=True, slots=True)
class Gain:
    """The time of one step of a phase with more of a resource [s], and the part of the time that this saves."""

    resource: str
    time_s: float
    saved: float

    def to_dict(self) -> dict[str, Any]:
        """The gain as JSON."""
        return {"time_s": self.time_s, "saved": self.saved}


RESOURCES: Mapping[str, tuple[Change, float]] = {
    "bandwidth": (more_bandwidth, 1 + STEP),
    "FLOP/s": (more_flops("matrix", "vector", "special"), 1 + STEP),
    "link": (wider_link, 1 + STEP),
    "latency": (shorter_latency, 1 / (1 - STEP)),
}
"""What there may be more of -> the change, and by what factor."""


def gains(prediction: Prediction) -> dict[Phase, tuple[Gain, ...]]:
    """For each phase, what 10 % more bandwidth, FLOP/s of all units and link, and 10 % less latency buy.

    >>> from roofline import predict
    >>> decode = gains(predict("llama-3.1-8b", "h100", context=2048))["decode"]
    >>> [(gain.resource, round(gain.saved, 3)) for gain in decode]
    [('bandwidth', 0.066), ('FLOP/s', 0.0), ('link', 0.0), ('latency', 0.027)]
    """
    return {phase: tuple(_gain(prediction, phase, resource) for resource in RESOURCES) for phase in prediction.phases}


def _gain(prediction: Prediction, phase: Phase, resource: str) -> Gain:
    change, factor = RESOURCES[resource]
    steps = change(prediction.steps, factor)
    if steps.device is not prediction.steps.device:  # another device: the constants of a class follow it
        steps = replace(steps, constants=on_edited(steps.constants, steps.device))
    time_s = steps.seconds(phase)
    return Gain(resource, time_s, max(0.0, 1 - time_s / prediction.phases[phase].figures.time_s))
