"""Training steps in arrays: layouts with microbatches, policies and shardings, an axis of each, in this order.

What a microbatch takes depends on its size and on how layers are split; policies and shardings are arithmetic on top,
so that many combinations are a few array operations. A step of m microbatches takes

    m slowest stage  +  sends  +  bubble  +  exposed communication       +  update

of which the bubble is what ``schedules.py`` leaves of the other stages' passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.engines.engine import Engine
from roofline.number import Number, maximum, minimum, ratio
from roofline.parallelism.layout import Layout
from roofline.program.recompute import Recompute
from roofline.timing.machine import Machine
from roofline.timing.timing import NOTHING, PARTS, SECONDS, Timing, between_steps, total
from roofline.training.at_rest import POLICY_AXIS, SHARDING_AXIS, AtRest, joined
from roofline.training.memory import STAGES, MemoryOfSteps, memory_of, sharded_step
from roofline.training.microbatch import Microbatch, price_exchanges, price_microbatch
from roofline.training.question import TrainingQuestion
from roofline.training.resting import Sharding


@frozen
class TimeOfStep:
    """What a step takes: all of it, and what its parts add. [s] ``stages``: m times the slowest of them."""

    whole: Timing
    stages: Timing
    sends: Timing
    bubble: Timing
    exchanges: Timing
    update: Timing


@frozen
class Pieces:
    """What a step is made of, whatever its batch: times of one microbatch, of exchanges and of an update. [s]

    ``slowest``: of the stages; ``path``: all of them together; ``handed``: between all of them; ``forward_s``,
    ``weights_s``: what of the path is a forward pass, and gradients of weights. ``exchanges``: for each sharding those
    of one sum of gradients, and those around it; ``behind``: passes of the slowest stage that these may run behind.
    """

    slowest: Timing
    path: Timing
    handed: Timing
    forward_s: Number
    weights_s: Number
    exchanges: tuple[tuple[Timing, Timing], ...]
    behind: Timing
    update: Timing

    def time(self, memory: MemoryOfSteps) -> TimeOfStep:
        """What a step takes, whose batch, schedule and shardings are those of ``memory``."""
        m, schedule = memory.count, memory.question.schedule
        hops = maximum(memory.layouts.pp - 1, 1)
        stages, sends = self.slowest * m, total([(m * schedule.chunks / hops, self.handed), (1, self.handed)])
        part = self._bubble(memory)
        bubble = total([(part, self.path), (-part, self.slowest)])
        exchanges = self._exchanges(memory)
        whole = total((1, each) for each in (stages, sends, bubble, exchanges, self.update))
        return TimeOfStep(whole, stages, sends, bubble, exchanges, self.update)

    def _bubble(self, memory: MemoryOfSteps) -> Any:
        """The bubble as a part of what the passes of a microbatch take on all stages but the slowest."""
        passes = self.path.time_s
        left = memory.question.schedule.bubble(
            self.forward_s, passes - self.forward_s - self.weights_s, self.weights_s, memory.layouts.pp
        )
        return ratio(left, passes)

    def _exchanges(self, memory: MemoryOfSteps) -> Timing:
        """What data parallelism exchanges, but for what runs behind the passes.

        ZeRO 0 and 1 sum gradients up once a step, 2 in each microbatch; 3 gathers weights for both passes of each too.
        So do groups of replicas, which sum up between each other whenever gradients are split within a group.
        They are expected to cost the passes what they take, but for the share asked for: what runs beside takes units
        and bandwidth from them. At the low end of the band all that could run behind the passes does, at the high end
        nothing.
        """
        m, found = memory.count, []
        for sharding, (reduced, after) in zip(memory.shardings, self.exchanges, strict=True):
            zero = sharding.zero
            sent = total([(m if zero > 1 else 1, reduced), (2 * m if zero == 3 else 1, after)])
            behind = self.behind * (m if zero > 1 else 1)
            left = maximum(sent.time_s - behind.time_s, (1 - memory.question.hidden) * sent.time_s)
            least, low = (minimum(left, maximum(0.0, end - behind.time_s)) for end in (sent.bound_s, sent.low_s))
            found.append(Timing(left, least, low, sent.high_s, link_s=left))
        return _timings(found, SHARDING_AXIS)


@frozen
class Steps:
    """Training steps of layouts that have the same collectives, each with a microbatch: their memory and their time."""

    memory: MemoryOfSteps
    passes: Microbatch
    machine: Machine

    def time(self) -> TimeOfStep:
        """What a step takes."""
        return self.pieces().time(self.memory)

    def pieces(self) -> Pieces:
        """What of it no batch changes."""
        places = self._places()
        handed = total([(1, self.passes.forward[3]), (1, self.passes.backward[3])])
        forward = total((1, self.passes.forward[place]) for place in STAGES).time_s
        weights = total((1, each) for each in self.passes.weights[: len(STAGES)]).time_s
        both = [total([(1, self.passes.forward[at]), (1, self.passes.backward[at])]) for at in STAGES]
        return Pieces(
            self._most(places), total((1, each) for each in places), handed, forward, weights, self._exchanges(),
            self._most(both), self._update(),
        )  # fmt: skip

    def under(self, shardings: tuple[Sharding, ...]) -> Steps:
        """The same under some of its shardings."""
        memory, groups = self.memory, [each.replicate for each in shardings]
        rest = AtRest.of(memory.resting, memory.weights, shardings, memory.layouts)
        pairs = zip(_ways(memory.shardings), self.passes.exchanges, strict=True)
        kept = tuple(each for way, each in pairs if any(way[0].replicate is own for own in groups))
        passes = replace(self.passes, exchanges=kept)
        return Steps(replace(memory, shardings=shardings, rest=rest), passes, self.machine)

    def _places(self) -> list[Timing]:
        """What both passes of a microbatch take at each place, under each policy."""
        both = [total([(1, self.passes.forward[place]), (1, self.passes.backward[place])]) for place in STAGES]
        again = [total([(1, both[1]), (1, self.passes.again(policy))]) for policy in self.memory.policies]
        layers = _timings(again, POLICY_AXIS)
        return [both[0], self._beside(layers) if self.memory.question.schedule.paired else layers, both[2]]

    def _beside(self, layers: Timing) -> Timing:
        """The passes of layers whose tokens are sent to experts behind the other microbatch of a pair, beside which
        they take longer, by the units that send; at the high end of the band nothing is hidden.
        """
        sent = self.sent()
        bound, low = (maximum(end, whole - end) for end, whole in
                      ((sent.bound_s, layers.bound_s), (sent.low_s, layers.low_s)))  # fmt: skip
        time = maximum(low, layers.time_s - self.hidden_s(layers))
        link = layers.link_s - (layers.time_s - time)
        return replace(layers, time_s=time, bound_s=minimum(bound, low), low_s=low, link_s=link)

    def sent(self) -> Timing:
        """What a microbatch takes on all layers to send tokens to experts, and back."""
        own = [each for each in self.passes.operators if each.place == 1 and each.cause == "expert_parallel"]
        return total((each.cost.count, each.timing) for each in own)

    def hidden_s(self, layers: Timing) -> Any:
        """What of that is hidden behind the passes of layers under a schedule that pairs microbatches. [s]

        Source: DeepSeek-V3 (arXiv 2412.19437), sections 3.2.1 and 3.2.2: all of it, and 20 units of 132 send.
        """
        sent = self.sent().time_s
        units = self.machine.rates.unit_count
        own = (layers.time_s - sent) * units / maximum(units - _SENDING, 1.0)
        return maximum(layers.time_s - maximum(sent, own), 0.0)

    def _most(self, places: Sequence[Timing]) -> Timing:
        """The stage that takes longest, of what the three places take; it is made of what all of them are made of."""
        path = total((1, each) for each in places)
        ends = [self._of_times([getattr(each, name) for each in places]) for name in SECONDS[:4]]
        most: list[Any] = [maximum(maximum(first, inner), last) for first, inner, last in ends]
        part = ratio(most[0], path.time_s)
        return Timing(*most, *(path.seconds(name) * part for name in PARTS))

    def _of_times(self, values: Sequence[Number]) -> tuple[Any, Any, Any]:
        """The seconds of a microbatch by stage; paired stages have half of the microbatches each."""
        first, inner, last = self.memory.of_stages(values)
        both = (first + last) / 2
        return (both, inner, both) if self.memory.question.schedule.paired else (first, inner, last)

    def _exchanges(self) -> tuple[tuple[Timing, Timing], ...]:
        """For each sharding the exchanges of one sum of gradients, and those around it, of the slowest stage."""
        ways = _ways(self.memory.shardings)
        most = [
            [self._most(parts) for parts in (each.reduced, each.summed, each.gathered, each.fetched)]
            for each in self.passes.exchanges
        ]
        found = []
        for sharding in self.memory.shardings:
            own = next(place for place, way in enumerate(ways) if way[0].replicate is sharding.replicate)
            reduced, summed, gathered, fetched = most[own]
            found.append((reduced, fetched if sharding.zero == 3 else gathered if sharding.zero else summed))
        return tuple(found)

    def _update(self) -> Timing:
        """The update of the weights, on the stage that has most of them: one pass over them, and Muon's matmuls.

        All stages of ZeRO that split states of the same groups have the same.
        """
        made: dict[tuple[bool, int], Timing] = {}
        keys = [(each.zero > 0, id(each.replicate)) for each in self.memory.shardings]
        for key, each in zip(keys, self.memory.shardings, strict=True):
            made[key] = made[key] if key in made else self._update_under(each)
        return _timings([made[key] for key in keys], SHARDING_AXIS)

    def _update_under(self, sharding: Sharding) -> Timing:
        rest, weights, zero = self.memory.resting, sharding.of(self.memory.weights), sharding.zero
        moved, contracted, elementwise = (
            reduce(maximum, self.memory.of_stages([of(weights, zero, at) for at in STAGES]))
            for of in (rest.updated_bytes, rest.contracted_flops, rest.elementwise_flops)
        )
        update = _cost("elementwise", self.memory.question.recipe.updated, vector_flops=elementwise, bytes=moved)
        timing = self.machine.time(update, "optimizer_update")  # a calibration may have it
        if self.memory.question.optimizer.orthogonal:
            matmuls = _cost("matmul", self.memory.question.recipe.computes, flops=contracted)
            timing = total([(1, timing), (1, self.machine.time(matmuls))])
        if (host := self.memory.question.host) is None:
            return timing
        states, gradients, kept = (
            reduce(maximum, self.memory.of_stages([of(weights, max(zero, least), at) for at in STAGES]))
            for of, least in (
                (rest.state_bytes, 0),
                (rest.gradient_bytes, 2 * (zero > 0)),
                (rest.weight_bytes, 3 * (zero > 0)),
            )
        )
        return host.update(timing, states, gradients, kept, moved)


def steps_of(
    question: TrainingQuestion, layouts: Layout, microbatch: Any, policies: tuple[Recompute, ...],
    shardings: tuple[Sharding, ...], machine: Machine | None = None,
) -> Steps:  # fmt: skip
    """The steps of layouts in arrays of one axis, which have the same collectives, each with its microbatch.

    Of one layout in numbers the microbatch is one number. ``machine`` is the question's where none is given.
    """
    sharded, request = sharded_step(question, layouts), question.request
    memory = memory_of(question, layouts, microbatch, policies, shardings, sharded)
    machine = machine or request.machine(int(np.max(layouts.devices)))
    recipe, exchanges = question.recipe, []
    for way in _ways(shardings):
        summed = sharded if way[0].plain else sharded_step(question, layouts, replace(way[0], zero=1))
        narrow = recipe.narrow is not None and recipe.narrow.gathers
        apart = (narrow or not question.network.learns_whole) and any(each.zero == 3 for each in way)
        fetched = sharded_step(question, layouts, replace(way[0], zero=3)) if apart else None
        exchanges.append(
            price_exchanges(
                summed, memory.sizes, recipe.precision, machine, fetched, recipe.gradient_bytes / recipe.computed_bytes
            )
        )
    launch = _launch_of(request.engine, machine)
    passes = price_microbatch(sharded, memory.sizes, recipe.precision, machine, tuple(exchanges), launch)
    return Steps(memory, passes, machine)


_SENDING = 20
"""Streaming multiprocessors that send and receive while the others compute."""


def _launch_of(engine: Engine, machine: Machine) -> Timing:
    """What the host takes for each operator under an engine; nothing where it replays graphs."""
    if not engine.host_launch:
        return NOTHING
    return between_steps(engine.host_launch * machine.host, (engine.host_launch_low, engine.host_launch_high))


def _ways(shardings: Sequence[Sharding]) -> list[list[Sharding]]:
    """Shardings by their groups of replicas: those of one list send alike."""
    found: list[list[Sharding]] = []
    for each in shardings:
        same = next((way for way in found if way[0].replicate is each.replicate), None)
        if same is None:
            found.append([each])
        else:
            same.append(each)
    return found


def _timings(timings: Sequence[Timing], axis: int) -> Timing:
    columns = zip(*(timing.all_seconds for timing in timings), strict=True)
    return Timing(*(joined(column, axis) for column in columns))


_BARE = Cost("update", "update", "", "", count=1, flops=0, vector_flops=0, special=0, bytes=0)


def _cost(kind: str, dtype: str, **counts: Any) -> Cost:
    return replace(_BARE, kind=kind, dtype=dtype, **counts)
