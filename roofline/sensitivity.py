"""What ten percent more of each resource would buy: the time of each phase, evaluated anew, not linearised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import Any, cast

from roofline.calibration import Constants, ConstantSet
from roofline.hardware import HardwareSpec
from roofline.prediction import Prediction
from roofline.program import Phase
from roofline.provenance import on_edited

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


def _more_bandwidth(device: HardwareSpec) -> HardwareSpec:
    name, level = next(iter(device.memory.items()))
    wider = level.model_copy(update={"bandwidth": device.bandwidth * (1 + STEP)})
    return device.model_copy(update={"memory": {**device.memory, name: wider}})


def _more_flops(device: HardwareSpec) -> HardwareSpec:
    units = {
        unit: {
            dtype: peak.model_copy(update={"value": peak.value * (1 + STEP)})
            for dtype, peak in getattr(device.peak, unit).items()
        }
        for unit in ("matrix", "vector", "special")
    }
    return device.model_copy(update={"peak": device.peak.model_copy(update=units)})


def _same(device: HardwareSpec) -> HardwareSpec:
    return device


@dataclass(frozen=True, slots=True)
class _LessLatency:
    """A set of constants whose latencies are 10 % shorter."""

    constants: ConstantSet

    def of(self, *operator: Any) -> Constants:
        usual = self.constants.of(*operator)
        seconds = {part.name: getattr(usual, part.name) for part in dataclass_fields(usual) if part.name[-2:] == "_s"}
        return replace(usual, **{name: value * (1 - STEP) for name, value in seconds.items()})

    def unfused(self, dtype: str) -> bool:
        return self.constants.unfused(dtype)


RESOURCES: Mapping[str, Callable[[HardwareSpec], HardwareSpec]] = {
    "bandwidth": _more_bandwidth,
    "FLOP/s": _more_flops,
    "link": _same,  # a network's, not the device's; one device waits for no link
    "latency": _same,  # a constant, not a fact of the device
}
"""What there may be more of, latency less of -> the device then."""


def gains(prediction: Prediction) -> dict[Phase, tuple[Gain, ...]]:
    """For each phase, what 10 % more bandwidth, FLOP/s of all units and link, and 10 % less latency buy.

    >>> from roofline import predict
    >>> decode = gains(predict("llama-3.1-8b", "h100", context=2048))["decode"]
    >>> [(gain.resource, round(gain.saved, 3)) for gain in decode]
    [('bandwidth', 0.066), ('FLOP/s', 0.0), ('link', 0.0), ('latency', 0.027)]
    """
    return {
        phase: tuple(_gain(prediction, phase, name, change) for name, change in RESOURCES.items())
        for phase in prediction.phases
    }


def _gain(prediction: Prediction, phase: Phase, resource: str, change: Callable[[HardwareSpec], HardwareSpec]) -> Gain:
    device, network = change(prediction.hardware), prediction.steps.network
    constants = on_edited(prediction.constants, device)
    if resource == "latency":
        constants = cast("ConstantSet", _LessLatency(constants))  # it answers all that timing asks
    if network is not None and resource in ("link", "latency"):
        network = network.scaled(**{resource: 1 + STEP if resource == "link" else 1 - STEP})
    steps = replace(prediction.steps, device=device, constants=constants, network=network)
    time_s = steps.seconds(phase)
    before = prediction.phases[phase].figures.time_s
    return Gain(resource, time_s, max(0.0, 1 - time_s / before))
