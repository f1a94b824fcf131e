"""Ten percent more, and ten percent less, of each rate: the step evaluated anew, exactly, with one rate changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from roofline.calibration import Constants, ConstantSet
from roofline.errors import UsageError
from roofline.hardware import HardwareSpec
from roofline.prediction import Prediction
from roofline.program import Phase
from roofline.steps import Steps


@dataclass(frozen=True, slots=True)
class Elasticity:
    """A step's time as it is, and with one rate times and over a factor. [s]

    ``elasticity`` is the percentage that the time falls by for one percent more of the rate, over that range.
    """

    rate: str
    part: str
    time_s: float
    better_s: float
    worse_s: float
    elasticity: float


def _faster_memory(device: HardwareSpec, factor: float) -> HardwareSpec:
    name, level = next(iter(device.memory.items()))
    wider = level.model_copy(update={"bandwidth": device.bandwidth * factor})
    return device.model_copy(update={"memory": {**device.memory, name: wider}})


def _faster_unit(unit: str) -> Callable[[HardwareSpec, float], HardwareSpec]:
    def change(device: HardwareSpec, factor: float) -> HardwareSpec:
        peaks = getattr(device.peak, unit)
        faster = {dtype: peak.model_copy(update={"value": peak.value * factor}) for dtype, peak in peaks.items()}
        return device.model_copy(update={"peak": device.peak.model_copy(update={unit: faster})})

    return change


_RATES: dict[str, tuple[str, Callable[[HardwareSpec, float], HardwareSpec]]] = {
    "memory bandwidth": ("memory", _faster_memory),
    "matrix peak": ("compute", _faster_unit("matrix")),
    "vector peak": ("compute", _faster_unit("vector")),
    "exponential unit": ("compute", _faster_unit("special")),
}


@dataclass(frozen=True, slots=True)
class _Latency:
    """A set of constants whose times are divided by a factor; answers all that timing asks of one."""

    constants: ConstantSet
    factor: float

    def of(self, *operator: Any) -> Constants:
        usual = self.constants.of(*operator)
        times = [part.name for part in fields(usual) if part.name.endswith("_s")]
        return replace(usual, **{name: getattr(usual, name) / self.factor for name in times})

    def unfused(self, dtype: str) -> bool:
        return self.constants.unfused(dtype)


def find_elasticities(prediction: Prediction, phase: Phase, change: float = 0.1) -> list[Elasticity]:
    """Each rate that matters to one step of ``phase``, the most important first; better latency is shorter latency.

    The rates are taken times and over ``1 + change``. Raises UsageError for a change that is not between 0 and 1, or
    for a phase that was not predicted.

    >>> from roofline.prediction import predict
    >>> first = find_elasticities(predict("llama-3.1-8b", "h100", context=2048), "decode")[0]
    >>> first.rate
    'memory bandwidth'
    """
    if not 0 < change < 1:
        msg = f"change {change!r}: expected a part between 0 and 1, such as 0.1 for ten percent"
        raise UsageError(msg)
    if phase not in prediction.phases:
        msg = f"the prediction has no {phase} phase; it has {', '.join(prediction.phases)}"
        raise UsageError(msg)
    steps, factor = prediction.steps, 1 + change
    ends = (factor, 1 / factor)
    found = []
    for rate, (part, turn) in _RATES.items():
        found.append((rate, part, [replace(steps, device=turn(steps.device, k)).seconds(phase) for k in ends]))
    if steps.network is not None:
        wider = [replace(steps, network=steps.network.scaled(link=k)).seconds(phase) for k in ends]
        found.append(("link bandwidth", "link", wider))
    found.append(("latency", "latency", [_shorter(steps, k).seconds(phase) for k in ends]))
    now = steps.seconds(phase)
    results = [
        Elasticity(rate, part, now, better, worse, math.log(worse / better) / (2 * math.log(factor)))
        for rate, part, (better, worse) in found
    ]
    return sorted((one for one in results if one.elasticity > 1e-6), key=lambda one: -one.elasticity)


def _shorter(steps: Steps, factor: float) -> Steps:
    """The same with all latencies divided by ``factor``."""
    constants = cast("ConstantSet", _Latency(steps.constants, factor))
    network = steps.network.scaled(latency=1 / factor) if steps.network else None
    return replace(steps, constants=constants, network=network)
