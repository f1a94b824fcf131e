"""What ten percent more of each resource would buy: the time of each phase, evaluated anew, not linearised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from roofline.calibration import Constants
from roofline.cost import step_cost
from roofline.figures import figures_of
from roofline.prediction import Prediction
from roofline.program import Phase
from roofline.timing import kind_of, time_operator

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


def _more_compute(constants: Constants) -> Constants:
    rates = {name: getattr(constants, name) * (1 + STEP) for name in ("compute", "vector", "special")}
    return replace(constants, **rates)


# A rate of the device enters a time beside the share of it that is reached, so that more of one is more of the other.
RESOURCES: Mapping[str, Callable[[Constants], Constants]] = {
    "bandwidth": lambda constants: replace(constants, memory=constants.memory * (1 + STEP)),
    "FLOP/s": _more_compute,
    "link": lambda constants: constants,  # one device has no link that it waits for
    "latency": lambda constants: replace(constants, latency_s=constants.latency_s * (1 - STEP)),
}
"""What there may be more of, latency less of -> the constants then."""


def gains(prediction: Prediction) -> dict[Phase, tuple[Gain, ...]]:
    """For each phase, what 10 % more bandwidth, FLOP/s of all units and link, and 10 % less latency buy.

    >>> from roofline import predict
    >>> decode = gains(predict("llama-3.1-8b", "h100", context=2048))["decode"]
    >>> [(gain.resource, round(gain.saved, 3)) for gain in decode]
    [('bandwidth', 0.071), ('FLOP/s', 0.0), ('link', 0.0), ('latency', 0.022)]
    """
    return {
        phase: tuple(_gain(prediction, phase, name, change) for name, change in RESOURCES.items())
        for phase in prediction.phases
    }


def _gain(prediction: Prediction, phase: Phase, resource: str, change: Callable[[Constants], Constants]) -> Gain:
    program = prediction.model.program(prediction.conventions)
    costs = step_cost(program, phase, prediction.workload.sizes(phase), prediction.precision)
    device, parts = prediction.hardware, []
    for cost in costs:
        constants = prediction.constants.of(kind_of(cost, phase == "decode"), prediction.execution)
        parts.append((cost, time_operator(cost, device, change(constants))))
    time_s = figures_of(parts, device, prediction.constants).time_s
    before = prediction.phases[phase].figures.time_s
    return Gain(resource, time_s, max(0.0, 1 - time_s / before))
