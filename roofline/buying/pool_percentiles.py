"""Sizing of pools by percentiles: so many replicas that prefill and that decode, all simulated, that keep the targets.

First come the fewest replicas that decode fast enough behind prompts that nobody waits for, then the fewest that read
the prompts in time before them. Layouts are those of the cheapest pools by their means, of which a few are simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from roofline.buying.load import Arriving
from roofline.buying.percentile_sizing import Asked, fewest_that, replica_of
from roofline.buying.pool_sizing import PairOrders, arriving, order_at, orders_of_pairs
from roofline.buying.sizing import Miss, Order, Simulated, Sizing, sizing_of
from roofline.errors import RooflineError
from roofline.serving.curve import Curve, Pools
from roofline.serving.hardware_choice import Hardware
from roofline.serving.operating_points import Target, Targets
from roofline.simulation.deployment import Deployment, disaggregated
from roofline.simulation.load import Offered
from roofline.simulation.simulate import serve
from roofline.simulation.statistics import reached
from roofline.simulation.workload import Workload, read_workload

_TRIED = 3
_ALONE = 10  # replicas for each request in flight: nobody waits for another

Counts = tuple[int, int]
"""Replicas that prefill, and that decode."""


def pools_by_percentiles(
    sizing: Sizing, pairs: Sequence[tuple[Hardware, Hardware]], offload: str | None = None
) -> Sizing:
    """The sizing with pools of each pair of hardware, to prefill and to decode, among its orders.

    Raises UsageError for a load that is no rate.
    """
    asked, load = Asked(sizing.question, sizing.load, sizing.targets, sizing.terms, offload), arriving(sizing.load)
    means = Targets(*(_mean(target) for target in (asked.targets.ttft, asked.targets.tpot)))
    pools = orders_of_pairs(asked.question, pairs, load, means, asked.terms)
    found = (*sizing.orders, *sizing.misses, *(_best(each, asked, load) for each in pools))
    return sizing_of(asked.question, asked.load, asked.targets, asked.terms, found)


def _mean(target: Target | None) -> Target | None:
    """A mean within the same time, which no percentile above the middle is below."""
    return None if target is None else Target(target.time_s)


def _best(pools: PairOrders, asked: Asked, load: Arriving) -> Order | Miss:
    """The order of the fewest devices among some of the layouts, or what the nearest of them misses."""
    misses: list[Miss] = list(pools.misses)
    best: tuple[int, Order, _Trials, Counts] | None = None
    for order in sorted(pools.orders, key=lambda order: order.devices)[:_TRIED]:
        if best is not None and order.devices >= best[0]:
            break
        assert order.curve.pools is not None
        try:
            trials = _Trials.of(order.curve.pools, asked, load, float(order.point.batch))
            counts = trials.fewest()
        except RooflineError as failure:
            misses.append(Miss(order.hardware, order.curve.who, (str(failure),), float("inf")))
            continue
        if counts is None:
            misses.append(trials.miss(order))
        elif best is None or trials.devices(counts) < best[0]:
            best = trials.devices(counts), order, trials, counts
    if best is None:
        return min(misses, key=lambda miss: miss.excess)
    _, order, trials, counts = best
    low, high = (trials.fewest(_end(trials.pools, name)) for name in ("rate_low", "rate_high"))
    sized = order_at(order, counts, (low or counts, high), asked.question, load, asked.terms)
    return replace(sized, simulated=trials.at(counts))


def _end(pools: Pools, name: str) -> tuple[float, float]:
    """An end of the band of the steps of both, as factors, where they serve most."""
    return _most(pools.prefill.curve, name), _most(pools.decode.curve, name)


def _most(curve: Curve, name: str) -> float:
    return float(curve.of(name)[int(curve.of("requests_per_s").argmax())])


@dataclass(eq=False)
class _Trials:
    """Pools of two layouts, simulated under the load: each numbers of replicas once at each pace."""

    pools: Pools
    asked: Asked
    load: Arriving
    workload: Workload
    sides: tuple[Deployment, Deployment]
    found: dict[tuple[Counts, tuple[float, float]], Simulated] = field(default_factory=dict)

    @classmethod
    def of(cls, pools: Pools, asked: Asked, load: Arriving, in_flight: float) -> _Trials:
        """Those of two curves. Raises RooflineError for what is not simulated."""
        question, many = asked.question, in_flight * pools.decode.replicas
        workload = read_workload(
            question.asked, asked.requests(many), question.model.lengths.output, 0, question.adapters
        )
        longest = int((workload.prompt + workload.generate).max()) - 1
        first = replica_of(pools.prefill.curve, question, longest, asked.offload)
        then = replica_of(pools.decode.curve, question, longest)
        return cls(pools, asked, load, workload, (first, then))

    def fewest(self, paces: tuple[float, float] = (1.0, 1.0)) -> Counts | None:
        """The fewest replicas of each pool that keep the targets, every step at these paces; None where none do."""
        idle = self._idle()
        least = self._least()
        decode = fewest_that(lambda many: self._keeps((idle[0], many), paces), least[1], idle[1])
        if decode is None:
            return None
        prefill = fewest_that(lambda many: self._keeps((many, decode), paces), least[0], idle[0])
        return None if prefill is None else (prefill, decode)

    def at(self, counts: Counts, paces: tuple[float, float] = (1.0, 1.0)) -> Simulated:
        """What requests wait in so many replicas of each pool."""
        if (counts, paces) not in self.found:
            first, then = (replace(side, replicas=many) for side, many in zip(self.sides, counts, strict=True))
            pools = disaggregated(first, then, int(self.workload.prompt.max()))
            ledger, own = self.workload.ledger(), len(self.workload.prompt)
            offered = Offered("poisson", self.load.requests_per_s, None, own, 0, "least-loaded")
            outcome = serve(pools, self.workload, ledger, offered, self.asked.targets, paces)
            self.found[counts, paces] = Simulated(reached(ledger, self.asked.targets, warm=True), outcome)
        return self.found[counts, paces]

    def devices(self, counts: Counts) -> int:
        """How many devices so many replicas have."""
        return counts[0] * self.pools.prefill.curve.devices + counts[1] * self.pools.decode.curve.devices

    def miss(self, order: Order) -> Miss:
        """What so many miss that each replica is next to idle."""
        own = self.at(self._idle()).reached
        times = own.ttft_s or 0.0, own.tpot_s or 0.0
        excess = float(self.asked.targets.excess(*times))
        return Miss(order.hardware, order.curve.who, tuple(self.asked.targets.misses(*times)), excess)

    def _keeps(self, counts: Counts, paces: tuple[float, float]) -> bool:
        own = self.at(counts, paces).reached
        return float(self.asked.targets.excess(own.ttft_s or 0.0, own.tpot_s or 0.0)) <= 1

    def _least(self) -> Counts:
        """The replicas without which one pool serves less than what arrives."""
        rate = self.load.requests_per_s
        first, then = (
            max(1, ceil(rate / float(pool.curve.of("requests_per_s")[pool.curve.holds].max())))
            for pool in (self.pools.prefill, self.pools.decode)
        )
        return first, then

    def _idle(self) -> Counts:
        """So many that next to nobody waits for another."""
        prefill, decode, least = self.pools.prefill.curve, self.pools.decode.curve, self._least()
        alone = float(prefill.of("ttft_s")[0]), (decode.generated - 1) * float(decode.of("tpot_s")[0])
        first, then = (
            max(2 * few, ceil(_ALONE * self.load.requests_per_s * time)) for few, time in zip(least, alone, strict=True)
        )
        return first, then
