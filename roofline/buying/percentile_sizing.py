"""Sizing by percentiles: the fewest units of which one replica, simulated, keeps them.

Requests go round the replicas in turn, so that one of ``n`` meets every n-th of a Poisson process: gaps of a gamma
distribution of shape ``n``. One replica is simulated in place of all, with its equal part of a tier that all share, in
which it finds what it wrote itself: sessions stay with their replica. Queues are in its times, so that no capacity has
to be kept free for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from roofline.buying.load import InFlight, Load
from roofline.buying.sizing import Miss, Order, Simulated, Sizing, order_by_means, order_of, sizing_of
from roofline.buying.terms import Terms
from roofline.classes import frozen
from roofline.errors import RooflineError, UsageError
from roofline.options.keywords import part
from roofline.options.verbs.predicting import StepClockOptions
from roofline.serving.batch_sweep import curves
from roofline.serving.curve import Curve, Served
from roofline.serving.hardware_choice import Hardware, growing
from roofline.serving.operating_points import Targets
from roofline.serving.scenario import Question
from roofline.simulation.deployment import Deployment, clock_of, deployment_of, speculating
from roofline.simulation.load import Offered
from roofline.simulation.simulate import serve
from roofline.simulation.statistics import reached
from roofline.simulation.workload import Workload, read_workload

_LEAST, _BEYOND, _FULL = 1000, 20, 4  # requests: at least, beyond the percentile, times those in flight
_LEAST_OF_SESSIONS = 8000  # sessions that begin at a rate: it takes hundreds of turns until as many end
_MOST_REQUESTS, _MOST_SHAPE = 20_000, 1000
_ALONE = 10  # replicas for each request in flight: nobody waits for another
_ANY = Targets()


@frozen
class Asked:
    """What all hardware is asked."""

    question: Question
    load: Load
    targets: Targets
    terms: Terms
    offload: str | None = None

    def requests(self, in_flight: float) -> int:
        """How many requests tell the percentiles of a replica with so many in flight."""
        percentiles = [each.percentile or 50.0 for each in (self.targets.ttft, self.targets.tpot) if each]
        sessions_gather = self.question.traffic.shared and not isinstance(self.load, InFlight)
        least = _LEAST_OF_SESSIONS if sessions_gather else _LEAST
        wanted = max(least, _BEYOND / (1 - max(percentiles) / 100), _FULL * in_flight)
        return int(min(wanted, _MOST_REQUESTS))

    def offered(self, replicas: int, requests: int) -> Offered:
        """What one of so many replicas meets."""
        if isinstance(self.load, InFlight):
            return Offered("poisson", None, ceil(self.load.requests / replicas), requests, 0, "round-robin")
        shape = f"gamma:{min(replicas, _MOST_SHAPE)}"
        return Offered(shape, self.load.requests_per_s / replicas, None, requests, 0, "round-robin")


def replica_of(curve: Curve, question: Question, longest: int, offload: str | None = None) -> Deployment:
    """One replica of a curve, to be simulated with requests of ``longest`` tokens at most, and tiers below its memory.

    Raises RooflineError for what is not simulated, and for requests that its cache does not hold.
    """
    name, replicas = curve.hardware.holding(curve.devices)
    options = {**part(StepClockOptions, question.asked), **curve.split.to_dict(), "dp": replicas * int(curve.split.dp)}
    if curve.who.dtype:
        options["dtype"] = curve.who.dtype
    clock, _ = clock_of(question.model, name, part(StepClockOptions, options))
    alone = deployment_of(clock, 1, longest, question.asked, offload, question.traffic.shown)
    found = speculating(alone, question.speculation, name, part(StepClockOptions, options))
    found.room.check(longest)
    return found


@dataclass(eq=False)
class Trials:
    """One replica of a curve, simulated under its part of the load: each number of replicas once at each pace."""

    curve: Curve
    asked: Asked
    workload: Workload
    deployment: Deployment
    found: dict[tuple[int, float], Simulated] = field(default_factory=dict)

    @classmethod
    def of(cls, curve: Curve, asked: Asked, in_flight: float) -> Trials:
        """Those of a curve of whose replicas each has so many in flight.

        Raises RooflineError for what is not simulated.
        """
        question = asked.question
        workload = read_workload(
            question.asked, asked.requests(in_flight), question.model.lengths.output, 0, question.adapters
        ).showing(question.traffic.shown)
        if isinstance(asked.load, InFlight):  # it says how many, whatever the users do between their turns
            workload = replace(workload, think=np.zeros_like(workload.think))
        longest = int((workload.prompt + workload.generate).max()) - 1
        return cls(curve, asked, workload, replica_of(curve, question, longest, asked.offload))

    def at(self, replicas: int, pace: float) -> Simulated:
        """What the requests of one of so many replicas wait, every step at ``pace`` times its time."""
        if (replicas, pace) not in self.found:
            ledger, offered = self.workload.ledger(), self.asked.offered(replicas, len(self.workload.prompt))
            own = tuple(tier.of_one_in(replicas) for tier in self.deployment.tiers)
            one = replace(self.deployment, tiers=own)
            outcome = serve(one, self.workload, ledger, offered, self.asked.targets, [pace])
            self.found[replicas, pace] = Simulated(reached(ledger, self.asked.targets, warm=True), outcome)
        return self.found[replicas, pace]

    def keep(self, replicas: int, pace: float) -> bool:
        """Whether the targets are kept."""
        return self._excess(self.at(replicas, pace)) <= 1

    def misses(self, replicas: int) -> Miss:
        """What so many miss."""
        own = self.at(replicas, 1.0)
        times = own.reached.ttft_s or 0.0, own.reached.tpot_s or 0.0
        return Miss(self.curve.hardware, self.curve.who, tuple(self.asked.targets.misses(*times)), self._excess(own))

    def _excess(self, own: Simulated) -> float:
        return float(self.asked.targets.excess(own.reached.ttft_s or 0.0, own.reached.tpot_s or 0.0))


def size_by_percentiles(
    question: Question,
    hardware: Sequence[Hardware],
    load: Load,
    targets: Targets,
    terms: Terms,
    offload: str | None = None,
) -> Sizing:
    """The fewest units of each hardware for a load whose simulated requests keep the targets, in its best layout.

    Layouts that need more devices for their mean alone than another needs in all are not simulated, and pipelines are
    not where requests share prompts, show images or have tiers or drafts. Raises UsageError for headroom, since queues
    are in the times. ``offload`` names tiers below the memory of each replica.
    """
    if load.headroom:
        msg = f"headroom {load.headroom:g}: percentiles have the queues in them and take none; leave it out"
        raise UsageError(msg)
    plain = offload is None and question.speculation is None and not question.traffic.shared
    question = replace(question, staged=plain and not question.traffic.shown.phases)
    asked = Asked(question, load, targets, terms, offload)
    found: dict[Served, list[Curve]] = {}
    for curve in curves(question, [growing(each) for each in hardware]):
        found.setdefault(curve.who, []).append(curve)
    return sizing_of(question, load, targets, terms, [_best(own, asked) for own in found.values()])


def _best(own: Sequence[Curve], asked: Asked) -> Order | Miss:
    """The order of the fewest devices among the layouts of one hardware, or the miss of the nearest."""
    stable = [order_by_means(curve, asked.question, asked.load, _ANY, asked.terms) for curve in own]
    misses, best = [each for each in stable if isinstance(each, Miss)], None
    for least in sorted((each for each in stable if isinstance(each, Order)), key=lambda order: order.devices):
        if best is not None and least.devices >= best.devices:
            break
        found = _Layout.of(least, asked)
        if isinstance(found, Miss):
            misses.append(found)
        elif best is None or found.devices < best.devices:
            best = found
    return best.order if best else min(misses, key=lambda miss: miss.excess)


@frozen(eq=False)
class _Layout:
    """A layout whose simulated times keep the targets in so many units, ``least`` of which its mean alone takes."""

    least: Order
    trials: Trials
    units: int

    @classmethod
    def of(cls, least: Order, asked: Asked) -> _Layout | Miss:
        """The fewest units; or what so many miss that each replica is next to idle."""
        try:
            trials = Trials.of(least.curve, asked, float(least.point.batch))
            found = cls(least, trials, least.units)
            units = found.fewest(1.0, least.units)
        except RooflineError as failure:
            return Miss(least.hardware, least.curve.who, (str(failure),), float("inf"))
        return trials.misses(found.replicas(_most(least, asked))) if units is None else replace(found, units=units)

    @property
    def devices(self) -> int:
        """How many devices the units hold."""
        return self.units * self.least.unit

    def replicas(self, units: int) -> int:
        """How many replicas so many units hold."""
        return max(1, units * self.least.unit // self.least.curve.devices)

    def fewest(self, pace: float, start: int) -> int | None:
        """The fewest units that keep the targets where every step takes ``pace`` times its time; None where none do."""
        most = _most(self.least, self.trials.asked)
        return fewest_that(lambda units: self.trials.keep(self.replicas(units), pace), start, max(most, start))

    @property
    def order(self) -> Order:
        """The order, with its units at both ends of the band."""
        curve, asked = self.least.curve, self.trials.asked
        column = int(curve.of("requests_per_s").argmax())
        low, high = (float(curve.of(end)[column]) for end in ("low", "high"))
        band = (min(self.fewest(low, self.least.units_low) or self.units, self.units), self.fewest(high, self.units))
        order = order_of(curve, asked.question, asked.load, _ANY, asked.terms, self.units, band)
        return replace(order, simulated=self.trials.at(self.replicas(self.units), 1.0))


def _most(least: Order, asked: Asked) -> int:
    """The units of which each replica serves next to nothing: if they miss, all do."""
    curve, load = least.curve, asked.load
    alone = float(curve.of("ttft_s")[0] + (curve.generated - 1) * curve.of("tpot_s")[0])
    replicas = load.requests if isinstance(load, InFlight) else _ALONE * load.requests_per_s * alone
    return max(least.units, ceil(replicas * curve.devices / least.unit))


def fewest_that(keeps: Callable[[int], bool], start: int, most: int) -> int | None:
    """The fewest from ``start`` to ``most`` that keep something which more of them keep too; None where none does.

    Of many, some that are at most 3 % more.

    >>> fewest_that(lambda units: units >= 17, 3, 100), fewest_that(lambda units: False, 3, 100)
    (17, None)
    """
    fails, found = start - 1, start
    while not keeps(found):
        if found >= most:
            return None
        fails, found = found, min(most, 2 * found)
    while found - fails > max(1, 0.03 * found):
        middle = (fails + found) // 2
        fails, found = (fails, middle) if keeps(middle) else (middle, found)
    return found
