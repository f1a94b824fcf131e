"""A step with more of one resource, all constants as they were: its time is then evaluated anew, not linearised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, cast

from roofline.calibration.constants import Constants, ConstantSet
from roofline.prediction.step import Steps

Change: TypeAlias = Callable[[Steps, float], Steps]
"""The steps with so many times of a resource."""


def more_bandwidth(steps: Steps, factor: float) -> Steps:
    """The memory's bandwidth times ``factor``."""
    name, level = next(iter(steps.device.memory.items()))
    wider = level.model_copy(update={"bandwidth": steps.device.bandwidth * factor})
    return replace(steps, device=steps.device.model_copy(update={"memory": {**steps.device.memory, name: wider}}))


def more_flops(*units: str) -> Change:
    """The peaks of these units, matrix, vector or special, times a factor."""

    def change(steps: Steps, factor: float) -> Steps:
        peak = steps.device.peak
        faster = {
            unit: {
                dtype: one.model_copy(update={"value": one.value * factor})
                for dtype, one in getattr(peak, unit).items()
            }
            for unit in units
        }
        return replace(steps, device=steps.device.model_copy(update={"peak": peak.model_copy(update=faster)}))

    return change


def wider_link(steps: Steps, factor: float) -> Steps:
    """The bandwidth of the link times ``factor``; one device waits for no link."""
    return replace(steps, network=steps.network.scaled(link=factor)) if steps.network else steps


def shorter_latency(steps: Steps, factor: float) -> Steps:
    """All latencies, those of the network too, divided by ``factor``."""
    constants = cast("ConstantSet", _Quicker(steps.constants, factor))
    network = steps.network.scaled(latency=1 / factor) if steps.network else None
    return replace(steps, constants=constants, network=network)


@dataclass(frozen=True, slots=True)
class _Quicker:
    """A set of constants whose times are divided by a factor; it answers all that timing asks of one."""

    constants: ConstantSet
    factor: float

    def of(self, *operator: Any) -> Constants:
        usual = self.constants.of(*operator)
        times = [part.name for part in fields(usual) if part.name.endswith("_s")]
        return replace(usual, **{name: getattr(usual, name) / self.factor for name in times})

    def unfused(self, dtype: str) -> bool:
        return self.constants.unfused(dtype)
