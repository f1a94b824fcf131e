"""Encoding apart in means: what images and sound cost on a pool of devices beside the replicas that read prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

import numpy as np

from roofline.buying.serving_costs import ServingCost, encoders_cost
from roofline.buying.terms import Terms
from roofline.classes import frozen
from roofline.errors import UsageError, WorkloadError
from roofline.prediction.request import Request
from roofline.program.traffic.lengths import NOTHING
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import Hardware
from roofline.serving.kv_cache_transfer import End
from roofline.serving.pools.encode_pool import EncodeDeployment, EncodePool
from roofline.serving.scenario import Question


@frozen(eq=False)
class EncodingApart:
    """What encodes for all that is compared: hardware, and the request that it answers in a dtype by its words."""

    hardware: Hardware
    request: Callable[[str], Request]

    def rest(self, question: Question) -> Question:
        """The question without it: prompts have the tokens of what is shown, replicas have no towers.

        Raises UsageError where nothing is shown.
        """
        if not question.traffic.shown.phases:
            msg = "encode_on: requests show nothing that is encoded; give images, video or audio too, or leave it out"
            raise UsageError(msg)
        traffic = replace(question.traffic, shown=NOTHING)
        return replace(question, model=question.model.of_text_alone(), traffic=traffic)

    def joined(self, curves: Sequence[Curve], question: Question, *, bounded: bool) -> list[Curve]:
        """Curves of the rest with what is encoded before; ``bounded``: by as many devices as the hardware has.

        Those that it encodes too little for, or that no link joins it to, have a problem that says so.
        """
        return [self._joined(curve, question, bounded=bounded) for curve in curves]

    def _joined(self, curve: Curve, question: Question, *, bounded: bool) -> Curve:
        if curve.problem or curve.state is None or curve.running is None:
            return curve
        first = curve.pools.prefill.curve if curve.pools else curve
        assert first.constants is not None, "a curve with a state has constants"
        receiver = End(first.hardware.fleet, first.hardware.device, first.constants, first.devices, int(first.split.dp))
        request = self.request(curve.who.dtype)
        shown, reserve = question.traffic.shown, curve.running.reserve
        try:
            pool = EncodePool.of(request, shown, reserve, receiver, curve.hardware.count)
        except WorkloadError as failure:
            return replace(curve, problem=str(failure))
        encoders = EncodeDeployment(self.hardware, pool)
        most = pool.requests_per_s / curve.replicas if bounded else np.inf
        pools = replace(curve.pools, encode_s=encoders.seconds[0]) if curve.pools else None
        found = replace(curve, state=curve.state.after(encoders.seconds, most), encoders=encoders, pools=pools)
        if bounded and curve.holds.any() and not found.holds.any():
            asked = float(curve.of("requests_per_s")[curve.holds].min()) * curve.replicas
            need = ceil(asked * pool.seconds)
            few = f"{pool.requests_per_s:.3g} requests/s are encoded at most, and the smallest batch serves {asked:.3g}"
            return replace(found, problem=f"encode_on {pool.words}: {few}; give {need} devices or more")
        return found


def encoders_needed(encoders: EncodeDeployment, requests_per_s: float, headroom: float, unit: int) -> int:
    """The devices, whole units of them, that encode so many requests a second with a part of the time left free."""
    return ceil(ceil(requests_per_s * encoders.pool.seconds / (1 - headroom) * (1 - 1e-9)) / unit) * unit


def with_encoders(
    cost: ServingCost | None, why: str, encoders: EncodeDeployment, devices: int, terms: Terms
) -> tuple[ServingCost | None, str]:
    """The cost of replicas and of the devices that encode for them, or None and why there is none."""
    if cost is None:
        return cost, why
    found = encoders_cost(encoders, devices, terms)
    if isinstance(found, str):
        return None, found
    offer, hourly = found
    part = cost.input_part * float(cost.hourly.at(1.0)) + float(hourly.at(1.0))
    both = cost.hourly.beside(hourly)
    return replace(
        cost, offers=(*cost.offers, offer), devices=cost.devices + devices, hourly=both,
        input_part=part / float(both.at(1.0)) if both.at(1.0) else cost.input_part,
    ), ""  # fmt: skip
