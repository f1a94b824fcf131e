"""The Pareto front of cost against TPOT over batches, layouts, dtypes and hardware: what nothing else beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from roofline.buying.serving_costs import cost_over_batches
from roofline.buying.terms import Terms
from roofline.classes import frozen
from roofline.number import Grid
from roofline.program.traffic.traffic import Traffic
from roofline.serving.curve import Curve
from roofline.serving.operating_points import Targets


@frozen
class FrontPoint:
    """A choice on the front: hardware, dtype, layout, batch of a replica; its times and its cost under full load.

    ``usd_per_million`` is that of a million tokens of the traffic, prompts and answers alike. [s, USD] Where requests
    generate nothing, ``reads`` says what they are: the front is that of cost against the time of a pass.
    """

    hardware: str
    dtype: str
    layout: str
    batch: int
    ttft_s: float
    tpot_s: float
    low: float
    high: float
    usd_per_million: float
    reads: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The point as JSON."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        if told.pop("reads"):
            told |= {"latency_s": told.pop("ttft_s"), "pass_s": told.pop("tpot_s")}
        return told


def unbeaten(times: Grid, costs: Grid) -> Any:
    """The places of the points that no other beats in both, the fastest first.

    >>> unbeaten(np.array([3.0, 1.0, 2.0, 2.5]), np.array([1.0, 9.0, 4.0, 5.0])).tolist()
    [1, 2, 0]
    """
    order = np.lexsort((costs, times))
    cheapest = np.minimum.accumulate(costs[order])
    before = np.concatenate(([np.inf], cheapest[:-1]))
    return order[costs[order] < before]


def pareto_front(curves: Sequence[Curve], traffic: Traffic, targets: Targets, terms: Terms) -> tuple[FrontPoint, ...]:
    """The front of all curves that have a price, within the targets; the fastest point first."""
    owners: list[int] = []
    columns: list[Any] = []
    prices: list[Any] = []
    for place, curve in enumerate(curves):
        if curve.state is None or curve.problem:
            continue
        cost = cost_over_batches(curve, traffic, terms)
        if cost is None:
            continue
        met = np.flatnonzero(curve.holds & (targets.excess(curve.of("ttft_s"), curve.of("tpot_s")) <= 1))
        owners += [place] * len(met)
        columns.append(met)
        prices.append(cost[met])
    if not owners:
        return ()
    whole, usd = np.concatenate(columns), np.concatenate(prices)
    times = np.array([curves[owner].of("tpot_s")[column] for owner, column in zip(owners, whole, strict=True)])
    return tuple(_point(curves[owners[at]], int(whole[at]), float(usd[at])) for at in unbeaten(times, usd))


def _point(curve: Curve, column: int, usd: float) -> FrontPoint:
    assert curve.state is not None
    ttft, tpot, low, high = (float(curve.of(name)[column]) for name in ("ttft_s", "tpot_s", "low", "high"))
    batch = int(curve.state.batches[column])
    return FrontPoint(curve.hardware.name, curve.dtype, curve.layout, batch, ttft, tpot, low, high, usd, curve.reads)
