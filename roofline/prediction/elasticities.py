"""Ten percent more, and ten percent less, of each rate: the step evaluated anew, exactly, with one rate changed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from roofline.errors import UsageError
from roofline.prediction.predict import Prediction
from roofline.prediction.what_if import Change, more_bandwidth, more_flops, shorter_latency, wider_link
from roofline.program.program import Phase


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


_RATES: dict[str, tuple[str, Change]] = {
    "memory bandwidth": ("memory", more_bandwidth),
    "matrix peak": ("compute", more_flops("matrix")),
    "vector peak": ("compute", more_flops("vector")),
    "exponential unit": ("compute", more_flops("special")),
    "link bandwidth": ("link", wider_link),
    "latency": ("latency", shorter_latency),
}


def find_elasticities(prediction: Prediction, phase: Phase, change: float = 0.1) -> list[Elasticity]:
    """Each rate that matters to one step of ``phase``, the most important first; better latency is shorter latency.

    The rates are taken times and over ``1 + change``. Raises UsageError for a change that is not between 0 and 1, or
    for a phase that was not predicted.

    >>> from roofline.prediction.predict import predict
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
    now, found = steps.seconds(phase), []
    for rate, (part, turn) in _RATES.items():
        better, worse = (turn(steps, times).seconds(phase) for times in (factor, 1 / factor))
        elasticity = math.log(worse / better) / (2 * math.log(factor))
        found.append(Elasticity(rate, part, now, better, worse, elasticity))
    return sorted((one for one in found if one.elasticity > 1e-6), key=lambda one: -one.elasticity)
