"""Disaggregated serving beside chunked prefill on the same hardware: which wins, by how much, and why."""

from __future__ import annotations

from typing import Any

from roofline.classes import frozen
from roofline.serving.curve import Curve, Served
from roofline.serving.disaggregated_serving import ideal_rate
from roofline.serving.operating_points import Targets

_SAME = 1e-6
"""How near two costs are, as a part of one, for neither to win."""


@frozen
class PoolsOrMixed:
    """Disaggregated against aggregated serving: prefill and decode pools, and mixed steps on the same hardware.

    ``cost`` and ``other`` are what each takes, in ``unit``. The rates are those of a device at the best batch within
    the targets, of pools that are split without a rest. [requests/s]
    """

    who: Served
    cost: float
    other: float
    unit: str
    requests_per_s: float
    other_requests_per_s: float
    why: str

    @property
    def winner(self) -> str:
        """What costs less: pools, mixed, or neither."""
        if abs(self.cost / self.other - 1) < _SAME:
            return "neither"
        return "pools" if self.cost < self.other else "mixed"

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return {
            "pools": str(self.who), "winner": self.winner, "pools_cost": self.cost, "mixed_cost": self.other,
            "cost_unit": self.unit, "pools_requests_per_s": self.requests_per_s,
            "mixed_requests_per_s": self.other_requests_per_s, "why": self.why,
        }  # fmt: skip


def pools_or_mixed(
    pooled: Curve, mixed: Curve, costs: tuple[float, float], unit: str, targets: Targets
) -> PoolsOrMixed:
    """Pools against mixed steps; ``costs`` are what each takes, in ``unit``, pools first."""
    rates = ideal_rate(pooled, targets), ideal_rate(mixed, targets)
    won = costs[0] < costs[1] or abs(costs[0] / costs[1] - 1) < _SAME
    return PoolsOrMixed(pooled.who, *costs, unit, *rates, _why(pooled, won, rates))


def _why(pooled: Curve, won: bool, rates: tuple[float, float]) -> str:
    assert pooled.pools is not None
    if rates[0] >= rates[1]:
        more = "no prompt stands between decode steps, so that more sequences keep the TPOT"
        apart = pooled.pools.prefill.curve.hardware.name != pooled.pools.decode.curve.hardware.name
        lost = "its devices cost more" if apart else "whole replicas in whole units do not split so evenly"
        return more if won else f"{more}, but {lost}"
    used = float(pooled.pools.decode.curve.of("mfu").max())
    less = f"decoding by itself uses {used:.0%} of the compute at most, which chunked prefill fills with prompts"
    return less if not won else f"{less}, but aggregated serving takes as many whole units"
