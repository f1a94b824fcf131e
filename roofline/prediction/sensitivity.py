"""Sensitivity: what more of each resource would buy, the time of a step evaluated anew, never linearised.

A device with other peaks takes the constants of its class as they are on that device, so that ``--sensitivity``,
``plot sensitivity`` and an edit with ``--set`` give one answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from roofline.calibration.constants import Constants, ConstantSet, Execution
from roofline.calibration.provenance import on_edited
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.hardware.spec import HardwareSpec
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase
from roofline.timing.machine import ConstantSource, Machine

STEP = 0.1
"""How much more of a rate, and how much less of the latency."""

Edit: TypeAlias = Callable[[HardwareSpec, float], HardwareSpec]
"""A device with a rate times a factor."""


@frozen
class Resource:
    """Something that there may be more of: a rate of the device, its links, or less latency.

    ``part`` is what the time that it shortens is called.
    """

    name: str
    part: str
    edit: Edit | None = None

    def better(self, change: float) -> float:
        """The factor that ``change`` more of it is: 10 % less latency are 1/0.9 as many launches in a second."""
        return 1 / (1 - change) if self.part == "latency" else 1 + change

    def machine(self, now: Machine, hardware: HardwareSpec, constants: ConstantSet, factor: float) -> Machine:
        """A machine with so many times of it; ``hardware`` with its ``constants`` is what the machine is."""
        if self.edit is not None:
            device = self.edit(hardware, factor)
            return replace(now, rates=device, constants=on_edited(constants, device))
        if self.part == "link":
            return replace(now, network=now.network.scaled(link=factor) if now.network else None)
        network = now.network.scaled(latency=1 / factor) if now.network else None
        return replace(now, constants=_Quicker(now.constants, factor), network=network, host=now.host / factor)


@frozen
class Sensitivity:
    """The time of one step as it is, with more of a resource, and with as much less of it. [s]

    ``elasticity`` is the percentage that the time falls by for one percent more, over that range.
    """

    resource: Resource
    time_s: float
    better_s: float
    worse_s: float
    factor: float

    @property
    def saved(self) -> float:
        """The part of the time that more of it saves."""
        return max(0.0, 1 - self.better_s / self.time_s)

    @property
    def speed(self) -> float:
        """How many times as fast a step is with more of it."""
        return self.time_s / self.better_s

    @property
    def elasticity(self) -> float:
        """- d ln(time) / d ln(resource), between both ends."""
        return math.log(self.worse_s / self.better_s) / (2 * math.log(self.factor))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"time_s": self.better_s, "saved": self.saved}


def _bandwidth(device: HardwareSpec, factor: float) -> HardwareSpec:
    name, level = next(iter(device.memory.items()))
    wider = level.model_copy(update={"bandwidth": device.bandwidth * factor})
    return device.model_copy(update={"memory": {**device.memory, name: wider}})


def _peaks(*units: str) -> Edit:
    """The peaks of these units, matrix, vector or special."""

    def edit(device: HardwareSpec, factor: float) -> HardwareSpec:
        faster = {
            unit: {
                dtype: one.model_copy(update={"value": one.value * factor})
                for dtype, one in getattr(device.peak, unit).items()
            }
            for unit in units
        }
        return device.model_copy(update={"peak": device.peak.model_copy(update=faster)})

    return edit


_LATENCY = Resource("latency", "latency")

RESOURCES = (
    Resource("bandwidth", "memory", _bandwidth),
    Resource("FLOP/s", "compute", _peaks("matrix", "vector", "special")),
    Resource("link", "link"),
    _LATENCY,
)
"""What a buyer may get more of."""

RATES = (
    Resource("memory bandwidth", "memory", _bandwidth),
    Resource("matrix peak", "compute", _peaks("matrix")),
    Resource("vector peak", "compute", _peaks("vector")),
    Resource("exponential unit", "compute", _peaks("special")),
    Resource("link bandwidth", "link"),
    _LATENCY,
)
"""The same, unit by unit."""


def sensitivities(
    prediction: Prediction, phase: str, resources: tuple[Resource, ...] = RESOURCES, change: float = STEP
) -> list[Sensitivity]:
    """What ``change`` more, and as much less, of each resource makes of one step of ``phase``.

    Raises UsageError for a change that is not between 0 and 1, or for a phase that was not predicted.

    >>> from roofline.prediction.predict import predict
    >>> found = sensitivities(predict("llama-3.1-8b", "h100", context=2048), "decode")
    >>> [(one.resource.name, round(one.saved, 3)) for one in found]
    [('bandwidth', 0.068), ('FLOP/s', 0.005), ('link', 0.0), ('latency', 0.018)]
    """
    if not 0 < change < 1:
        msg = f"change {change!r}: expected a part between 0 and 1, such as 0.1 for ten percent"
        raise UsageError(msg)
    if phase not in prediction.phases:
        msg = f"the prediction has no {phase} phase; it has {', '.join(prediction.phases)}"
        raise UsageError(msg)
    steps, step, p = prediction.steps, Phase(phase), prediction
    costs, now = steps.costs(step), prediction.phases[step].figures.time_s  # a machine changes no cost

    def seconds(resource: Resource, factor: float) -> float:
        times = resource.machine(steps.machine, p.hardware, p.constants, factor).times(costs)
        return float(steps.timing(step, zip(costs, times, strict=True)).time_s)

    return evaluated(resources, change, now, seconds)


def evaluated(
    resources: tuple[Resource, ...], change: float, now: float, seconds: Callable[[Resource, float], float]
) -> list[Sensitivity]:
    """What ``change`` more and as much less of each makes of ``now``; ``seconds`` of a resource times a factor. [s]"""
    factors = ((resource, resource.better(change)) for resource in resources)
    return [Sensitivity(each, now, seconds(each, more), seconds(each, 1 / more), more) for each, more in factors]


Gains: TypeAlias = Mapping[Phase, list[Sensitivity]]
"""For each phase, what more of each resource buys."""


def gains(prediction: Prediction) -> Gains:
    """For each phase, what 10 % more bandwidth, FLOP/s of all units and link, and 10 % less latency buy."""
    return {phase: sensitivities(prediction, phase) for phase in prediction.phases}


def with_gains(prediction: Prediction, found: Gains) -> dict[str, Any]:
    """The JSON of ``predict``, with a block ``sensitivity`` where gains were asked for."""
    told = {phase: {gain.resource.name: gain.to_dict() for gain in some} for phase, some in found.items()}
    return prediction.to_dict() | ({"sensitivity": told} if told else {})


def find_elasticities(prediction: Prediction, phase: str, change: float = STEP) -> list[Sensitivity]:
    """Each rate that matters to one step of ``phase``, the most important first."""
    found = sensitivities(prediction, phase, RATES, change)
    return sorted((one for one in found if one.elasticity > 1e-6), key=lambda one: -one.elasticity)


@frozen
class _Quicker:
    """Constants whose times are divided by a factor."""

    constants: ConstantSource
    factor: float

    def of(self, kind: str, execution: Execution, name: str = "", dtype: str = "") -> Constants:
        return self.constants.of(kind, execution, name, dtype).with_times_divided(self.factor)

    def unfused(self, dtype: str) -> bool:
        return self.constants.unfused(dtype)
