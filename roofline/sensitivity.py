"""What ten percent more of each rate would buy: the step evaluated anew, exactly, with one constant changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from roofline.calibration import Constants
from roofline.cost import Cost, step_cost
from roofline.errors import UsageError
from roofline.figures import mean_over_steps
from roofline.prediction import Prediction
from roofline.program import Phase
from roofline.timing import kind_of, time_operator

Change = Callable[[Constants, float], Constants]

_KNOBS: dict[str, tuple[str, Change]] = {
    "memory bandwidth": ("memory", lambda c, k: replace(c, memory=c.memory * k)),
    "matrix peak": ("compute", lambda c, k: replace(c, compute=c.compute * k)),
    "vector peak": ("compute", lambda c, k: replace(c, vector=c.vector * k)),
    "exponential unit": ("compute", lambda c, k: replace(c, special=c.special * k)),
    "latency": ("latency", lambda c, k: replace(c, latency_s=c.latency_s / k)),
}


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A step's time with one rate better, or worse, by a factor. [s]

    ``elasticity`` is the percentage that the time falls by for one percent more of the rate, over the same range.
    """

    knob: str
    part: str
    time_s: float
    better_s: float
    worse_s: float
    elasticity: float


def find_sensitivities(prediction: Prediction, phase: Phase, change: float = 0.1) -> list[Sensitivity]:
    """Each rate that matters to one step of ``phase``, the most important first; better latency is shorter latency.

    The rates are times and over ``1 + change``. Raises UsageError for a change that is not between 0 and 1, or for a
    phase that was not predicted.

    >>> from roofline.prediction import predict
    >>> first = find_sensitivities(predict("llama-3.1-8b", "h100", context=2048), "decode")[0]
    >>> first.knob, round(first.elasticity, 2)
    ('memory bandwidth', 0.78)
    """
    if not 0 < change < 1:
        msg = f"change {change!r}: expected a part between 0 and 1, such as 0.1 for ten percent"
        raise UsageError(msg)
    if phase not in prediction.phases:
        msg = f"the prediction has no {phase} phase; it has {', '.join(prediction.phases)}"
        raise UsageError(msg)
    sizes = prediction.workload.sizes(phase)
    costs = step_cost(prediction.model.program(prediction.conventions), phase, sizes, prediction.precision)
    factor = 1 + change
    now = _seconds(prediction, phase, costs, lambda c, _: c, 1.0)
    found = []
    for knob, (part, turn) in _KNOBS.items():
        better, worse = (_seconds(prediction, phase, costs, turn, k) for k in (factor, 1 / factor))
        elasticity = math.log(worse / better) / (2 * math.log(factor))
        if elasticity > 1e-6:
            found.append(Sensitivity(knob, part, now, better, worse, elasticity))
    return sorted(found, key=lambda one: -one.elasticity)


def _seconds(prediction: Prediction, phase: Phase, costs: tuple[Cost, ...], turn: Change, factor: float) -> float:
    """The time of one step with every operator's constants turned by ``factor``. [s]"""
    total = 0.0
    for cost in costs:
        constants = prediction.constants.of(kind_of(cost, phase == "decode"), prediction.execution)
        timing = time_operator(cost, prediction.hardware, turn(constants, factor))
        total += float(cost.count) * float(mean_over_steps(timing.time_s))
    return total
