"""What a simulation found: percentiles of what requests waited, rates, goodput, how full replicas were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from roofline.classes import frozen
from roofline.number import Grid
from roofline.serving.curve import groups_of
from roofline.serving.operating_points import Target, Targets
from roofline.simulation.ledger import Ledger
from roofline.simulation.pools import EncodeQueue
from roofline.simulation.scheduler import Replica

PERCENTILES = (50, 90, 95, 99)
TIMES = {"queued_s": "queueing", "ttft_s": "TTFT", "tpot_s": "TPOT", "request_s": "end to end"}
"""What is told of each request, in words."""

_MOST_DONE = 90
"""The percentage of requests behind whose end the tail of a run begins."""

WARM_UP = 0.1
"""The part of the requests that come first and are not counted: they meet empty replicas."""


@frozen
class Distribution:
    """Mean, percentiles and largest of a time. [s]"""

    mean: float
    percentiles: Mapping[int, float]
    most: float

    @classmethod
    def of(cls, times: Grid) -> Distribution | None:
        """That of some times, without those that are none (NaN); None of none at all."""
        known = times[~np.isnan(times)]
        if not len(known):
            return None
        found = np.percentile(known, PERCENTILES)
        return cls(float(known.mean()), dict(zip(PERCENTILES, map(float, found), strict=True)), float(known.max()))

    def to_dict(self) -> dict[str, float]:
        """As JSON has it."""
        return {"mean": self.mean, **{f"p{each}": value for each, value in self.percentiles.items()}, "max": self.most}


@frozen
class TierUse:
    """What a tier below the devices' memory did: the part of all prompt tokens that was loaded from it, and the parts
    of the replicas' time in which it was read and written.
    """

    name: str
    loaded: float
    reading: float
    writing: float


@frozen
class PoolUse:
    """What the replicas of a pool did: means over their time, what was most, and the part of it in which links took
    caches over.
    """

    role: str
    replicas: int
    sequences: float
    busy: float
    steps: int
    cache: float
    most_cache: float
    linked: float

    @classmethod
    def of(cls, role: str, replicas: Sequence[Replica], seconds: float) -> PoolUse:
        """That of replicas in so much time."""
        meters, whole = [replica.meter for replica in replicas], seconds * len(replicas)
        groups = _groups(replicas)
        return cls(
            role, len(replicas) // groups, groups * sum(meter.running_s for meter in meters) / whole,
            sum(meter.busy_s for meter in meters) / whole, sum(meter.steps for meter in meters),
            sum(meter.cache_s for meter in meters) / whole, max(meter.most_cache for meter in meters),
            sum(meter.linked_s for meter in meters) / whole,
        )  # fmt: skip

    @classmethod
    def encoding(cls, encoders: EncodeQueue, seconds: float) -> PoolUse:
        """That of devices which encode, one request a step, and keep nothing."""
        busy = encoders.busy_s / (seconds * len(encoders.free))
        return cls("encode", len(encoders.free), busy, busy, encoders.requests, 0.0, 0.0, 0.0)


def _groups(replicas: Sequence[Replica]) -> int:
    """The groups of sequences of a replica, each of which is scheduled apart: as many as stages, or ranks."""
    return groups_of(replicas[0].clock.replica.layout)


ROLES = {1: ("both",), 2: ("prefill", "decode")}
"""What pools do, by how many there are."""


@frozen
class Outcome:
    """One run: distributions by name, what was served in a second, the part of it within targets, how full it was.

    Times and ``within`` are of requests that came after ``WARM_UP``, of all where everything was there at the start.
    The tail is what the last tenth of the requests to end takes behind all others. Rates are until the last request
    came, or ended where all came at the start. ``sequences``, ``busy`` and ``cache`` are means over the replicas' time
    from the first to the last request. ``encode``: what a pool did that encodes alone.
    """

    times: Mapping[str, Distribution]
    requests: int
    counted: int
    makespan_s: float
    tail_s: float
    requests_per_s: float
    output_tokens_per_s: float
    input_tokens_per_s: float
    within: float
    sequences: float
    most_sequences: int
    busy: float
    steps: int
    cache: float
    most_cache: float
    preempted: int
    cached: float
    pools: tuple[PoolUse, ...]
    encode: PoolUse | None = None
    tiers: tuple[TierUse, ...] = ()

    @property
    def goodput(self) -> float:
        """Requests per second within the targets."""
        return self.within * self.requests_per_s


def outcome(
    ledger: Ledger, pools: Sequence[Sequence[Replica]], targets: Targets, *, warm: bool,
    encoders: EncodeQueue | None = None,
) -> Outcome:  # fmt: skip
    """The figures of a run that is over; without ``warm`` all requests count."""
    replicas = [replica for pool in pools for replica in pool]
    counted = counted_of(ledger, warm=warm)
    found = {name: Distribution.of(getattr(counted, name)) for name in TIMES}
    start, end = float(counted.arrived.min()), float(ledger.arrived.max() if warm else ledger.finished.max())
    ended = (ledger.finished > start) & (ledger.finished <= end)
    seconds = max(end - start, 1e-12)
    whole = float(ledger.finished.max()) * len(replicas)
    meters = [replica.meter for replica in replicas]
    return Outcome(
        times={name: each for name, each in found.items() if each is not None},
        requests=len(ledger),
        counted=len(counted),
        makespan_s=float(ledger.finished.max() - ledger.arrived.min()),
        tail_s=float(ledger.finished.max() - np.percentile(ledger.finished, _MOST_DONE)),
        requests_per_s=float(np.count_nonzero(ended) / seconds),
        output_tokens_per_s=float(ledger.generate[ended].sum() / seconds),
        input_tokens_per_s=float(ledger.prompt[ended].sum() / seconds),
        within=float(within(counted, targets).mean()),
        sequences=_groups(replicas) * sum(meter.running_s for meter in meters) / whole,
        most_sequences=_groups(replicas) * max(meter.most_running for meter in meters),
        busy=sum(meter.busy_s for meter in meters) / whole,
        steps=sum(meter.steps for meter in meters),
        cache=sum(meter.cache_s for meter in meters) / whole,
        most_cache=max(meter.most_cache for meter in meters),
        preempted=int(ledger.preempted.sum()),
        cached=float(ledger.cached.sum() / ledger.prompt.sum()),
        pools=tuple(
            PoolUse.of(role, pool, float(ledger.finished.max()))
            for role, pool in zip(ROLES[len(pools)], pools, strict=True)
        ),
        encode=PoolUse.encoding(encoders, float(ledger.finished.max())) if encoders else None,
        tiers=_tiers(pools[0], float(ledger.prompt.sum()), float(ledger.finished.max()) * len(pools[0])),
    )


def _tiers(replicas: Sequence[Replica], prompts: float, whole_s: float) -> tuple[TierUse, ...]:
    """What each tier did, of so many prompt tokens in so much time of all replicas."""
    return tuple(
        TierUse(
            each[0].shelf.tier.name,
            sum(channel.tokens for channel in each) / prompts,
            sum(channel.read_bytes / channel.shelf.tier.read for channel in each) / whole_s,
            sum(channel.written_bytes / channel.shelf.tier.write for channel in each) / whole_s,
        )
        for each in zip(*(replica.channels for replica in replicas), strict=True)
    )


def counted_of(ledger: Ledger, *, warm: bool) -> Ledger:
    """The requests that count: after a warm-up, or all."""
    return ledger.part(slice(int(WARM_UP * len(ledger)) if warm else 0, None))


def reached(ledger: Ledger, targets: Targets, *, warm: bool) -> Targets:
    """The statistics that targets are of, as the requests that count have them; without any time, that of none."""
    counted = counted_of(ledger, warm=warm)
    pairs = ((targets.ttft, counted.ttft_s), (targets.tpot, counted.tpot_s))
    return Targets(*(None if target is None else _reached(target, times) for target, times in pairs))


def _reached(target: Target, times: Grid) -> Target:
    known = times[~np.isnan(times)]
    if not len(known):
        return Target(0.0, target.percentile)
    found = known.mean() if target.percentile is None else np.percentile(known, target.percentile)
    return Target(float(found), target.percentile)


def within(ledger: Ledger, targets: Targets) -> Grid:
    """1 for each request that meets the targets, 0 for others; a lone token has no time per further one."""
    tpot = np.where(np.isnan(ledger.tpot_s), 0.0, ledger.tpot_s)
    return np.asarray(targets.excess(ledger.ttft_s, tpot) <= 1, dtype=np.float64)
