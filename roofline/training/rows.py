"""Training steps in arrays: layouts with microbatches, policies and stages of ZeRO, an axis of each, in this order.

What a microbatch takes depends on its size and on how layers are split; policies and ZeRO are arithmetic on top, so
that many combinations are a few array operations. A step of m microbatches takes

    m slowest stage  +  sends  +  bubble  +  exchanges that nothing hides  +  update

of which the bubble is what ``schedules.py`` leaves of the other stages' passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.number import Number, added, maximum, minimum, ratio, where
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import Pipeline, layer_count
from roofline.parallelism.sharded_backward import shard_training
from roofline.program.phases import Phase
from roofline.program.recompute import Recompute
from roofline.timing.machine import Machine
from roofline.timing.timing import PARTS, SECONDS, Timing, total
from roofline.training.activations import Activations, Holding
from roofline.training.microbatch import Microbatch, price_microbatch
from roofline.training.question import TrainingQuestion
from roofline.training.resting import LocalWeight, Resting, local_weights

STAGES = (0, 1, 2)
"""The first stage, the fullest inner one, the last; of places, before the layers, in them, behind them."""

MOMENTS = ("as the backward pass of the head begins", "as a layer runs backward", "as the first layer runs backward",
           "as the backward pass ends")  # fmt: skip
"""When memory may be fullest."""

_POLICIES, _ZERO = 1, 2
"""Axes."""


@frozen
class MemoryByCause:
    """Bytes on a device of a stage by cause. [B]

    ``saved``: activations of all microbatches in flight. ``working``: what the backward pass works on. ``gathered``:
    weights that rest split, of the layers that are at work, with gradients that are not split yet.
    """

    weights: Any
    gradients: Any
    optimizer: Any
    saved: Any
    working: Any
    gathered: Any

    @property
    def total(self) -> Any:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.saved + self.working + self.gathered

    def each(self, change: Callable[[Any], Any]) -> MemoryByCause:
        """The same with every cause changed alike."""
        return MemoryByCause(*(change(getattr(self, field.name)) for field in fields(self)))

    def to_dict(self) -> dict[str, float]:
        """The bytes of one stage as JSON."""
        names = [*(field.name for field in fields(self)), "total"]
        return {f"{name}_bytes": float(getattr(self, name)) for name in names}


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
class Steps:
    """Training steps of layouts that have the same collectives, each with a microbatch.

    ``layouts`` and ``microbatch`` have axes of policies and of ``zero`` of one place, which results fill.
    """

    question: TrainingQuestion
    layouts: Layout
    microbatch: Any
    policies: tuple[Recompute, ...]
    zero: tuple[int, ...]
    layers: int
    passes: Microbatch
    held: tuple[Activations, ...]
    weights: tuple[LocalWeight, ...]
    machine: Machine

    @property
    def count(self) -> Any:
        """Microbatches of a step of a replica."""
        return self.question.batch / self.layouts.dp / self.microbatch

    @property
    def resting(self) -> Resting:
        """How weights rest."""
        return Resting(self.question.recipe, self.question.optimizer)

    def of_stages(self, values: Sequence[Number]) -> tuple[Any, Any, Any]:
        """The values of the first, the fullest inner and the last stage, of those of the three places."""
        pipeline = Pipeline(self.layers, self.layouts.pp, 1, Phase.FORWARD)
        first, inner, last = pipeline.stage_values(*(value + 0.0 * self.microbatch for value in values))
        return first, inner, last

    def of_devices(self, values: Sequence[Number]) -> tuple[Any, Any, Any]:
        """The same of devices, which have two stages each where a schedule pairs them."""
        first, inner, last = self.of_stages(values)
        return (first + last, 2 * inner, first + last) if self.question.schedule.paired else (first, inner, last)

    # Memory

    def memory(self, stage: int) -> MemoryByCause:
        """The bytes of a stage at its fullest; 0 of one that a layout does not have."""
        several = self._moments(stage)
        fullest = _fullest(several)
        rest = self.resting
        weights, states = (self._at_rest(of, stage) for of in (rest.weight_bytes, rest.state_bytes))
        gathered = _joined([self._gathered(zero) for zero in self.zero], _ZERO)
        there = (self.layouts.pp > 0, self.layouts.pp > 2, self.layouts.pp > 1)[stage]
        gradients, saved, working = (
            np.choose(fullest, [np.broadcast_to(part, fullest.shape) for part in parts])
            for parts in zip(*several, strict=True)
        )
        found = MemoryByCause(weights, gradients, states, saved, working, gathered)
        return found.each(lambda size: np.where(there, size, 0.0))

    def activations(self) -> Any:
        """The most bytes of activations, saved and worked on, that any stage holds at once."""
        most: Any = 0.0
        for stage in STAGES:
            for _, saved, working in self._moments(stage):
                most = np.maximum(most, saved + working)
        return most

    def fullest_moment(self, stage: int) -> Any:
        """Which of ``MOMENTS`` a stage is fullest at, of equals the first."""
        return _fullest(self._moments(stage))

    def _at_rest(self, of: Callable[[Sequence[LocalWeight], int, int], Number], stage: int) -> Any:
        found = [self.of_devices([of(self.weights, zero, place) for place in STAGES])[stage] for zero in self.zero]
        return _joined(found, _ZERO)

    def _moments(self, stage: int) -> list[tuple[Any, Any, Any]]:
        """Bytes of gradients, of what is saved and of what the backward pass works on, at each of ``MOMENTS``.

        When the backward pass of the layers begins, what is behind them is no longer held.
        """
        gradients = self._gradients(stage)
        held = [self._activations(each, stage) for each in self.held]
        parts = [tuple(_joined(values, _POLICIES) for values in zip(*moment, strict=True))
                 for moment in zip(*held, strict=True)]  # fmt: skip
        return [(there, saved, working) for there, (saved, working) in zip(gradients, parts, strict=True)]

    def _activations(self, held: Activations, stage: int) -> list[tuple[Any, Any]]:
        """Bytes that are saved on a stage, and worked on, at each of ``MOMENTS``."""
        pp = self.layouts.pp
        numbered = (0, 1, pp - 1)[stage]
        flight = self.question.schedule.in_flight(numbered, pp, self.count)
        whole = self.of_devices(held.saved)[stage] * flight
        ends = self.of_devices((0.0, 0.0, held.saved[2]))[stage]
        last = self.of_devices((held.saved[0], 0.0, 0.0))[stage] + held.saved[1] / self.layers
        behind = where(ends > 0, held.working[2], 0.0)
        return [(whole, behind), (whole - ends, held.working[1]), (last, held.working[1]), (0.0, held.working[0])]

    def _gradients(self, stage: int) -> list[Any]:
        """Bytes of gradients at each of ``MOMENTS``: all of them where microbatches add them up, or a buffer is there.

        Else they come with the backward pass; a table that is the head's too has three when it ends: that of the head,
        its own, and their sum.
        """
        bytes_of, pp = self.resting.gradient_bytes, self.layouts.pp
        tied = [weight for weight in self.weights if weight.tied and weight.place == 0]
        all_of, tables, heads = (
            self._at_rest(of, stage)
            for of in (
                bytes_of,
                lambda weights, zero, place: bytes_of(tied, zero, place) * (pp == 1),
                lambda weights, zero, place: bytes_of(weights, zero, place) * (place == 2),
            )
        )
        first = self._at_rest(lambda weights, zero, place: bytes_of(weights, zero, place) * (place == 0), stage)
        held = (self.count > 1) | self.question.recipe.holds_gradients
        came = [0.0, heads + tables, all_of - first + tables, all_of + 2 * tables]
        return [np.where(held, all_of, each) for each in came]

    def _gathered(self, zero: int) -> Any:
        """Two layers' weights, one being fetched while the other is at work, and gradients that are not split yet."""
        recipe, most = self.question.recipe, 0.0 * self.microbatch
        for place, at_once in ((0, 1), (1, 2), (2, 1)) if zero == 3 else ():
            each = at_once * recipe.computed_bytes + recipe.gradient_bytes
            own = [weight for weight in self.weights if weight.place == place]
            size = added(where(weight.replicas > 1, weight.elements * each, 0.0) for weight in own)
            most = maximum(most, size / (self.layers if place == 1 else 1))
        return most

    def fullest(self) -> MemoryByCause:
        """The memory of the stage that holds most."""
        stages = [self.memory(stage) for stage in STAGES]
        largest = np.argmax(np.stack(np.broadcast_arrays(*(stage.total for stage in stages))), axis=0)
        names = [field.name for field in fields(MemoryByCause)]
        several = ([np.broadcast_to(getattr(stage, name), largest.shape) for stage in stages] for name in names)
        return MemoryByCause(*(np.choose(largest, some) for some in several))

    # Time

    def time(self) -> TimeOfStep:
        """What a step takes."""
        m, schedule = self.count, self.question.schedule
        places = self._places()
        slowest, path = self._most(places), total((1, each) for each in places)
        handed = total([(1, self.passes.forward[3]), (1, self.passes.backward[3])])
        hops = np.maximum(self.layouts.pp - 1, 1)
        stages, sends = slowest * m, total([(m * schedule.chunks / hops, handed), (1, handed)])
        part = self._bubble(path.time_s)
        bubble = total([(part, path), (-part, slowest)])
        exchanges, update = self._exchanges(), self._update()
        whole = total((1, each) for each in (stages, sends, bubble, exchanges, update))
        return TimeOfStep(whole, stages, sends, bubble, exchanges, update)

    def _bubble(self, passes: Number) -> Any:
        """The bubble as a part of what the passes of a microbatch take on all stages but the slowest."""
        forward = total((1, self.passes.forward[place]) for place in STAGES).time_s
        weights = total((1, self.passes.weights[place]) for place in STAGES).time_s
        left = self.question.schedule.bubble(forward, passes - forward - weights, weights, self.layouts.pp)
        return ratio(left, passes)

    def _places(self) -> list[Timing]:
        """What both passes of a microbatch take at each place, under each policy."""
        both = [total([(1, self.passes.forward[place]), (1, self.passes.backward[place])]) for place in STAGES]
        again = [total([(1, both[1]), (1, self.passes.again(policy))]) for policy in self.policies]
        return [both[0], _timings(again, _POLICIES), both[2]]

    def _most(self, places: Sequence[Timing]) -> Timing:
        """The stage that takes longest, of what the three places take; it is made of what all of them are made of."""
        path = total((1, each) for each in places)
        ends = [self._of_times([getattr(each, name) for each in places]) for name in SECONDS[:4]]
        most = [np.maximum(np.maximum(first, inner), last) for first, inner, last in ends]
        part = ratio(most[0], path.time_s)
        return Timing(*most, *(path.seconds(name) * part for name in PARTS))

    def _of_times(self, values: Sequence[Number]) -> tuple[Any, Any, Any]:
        """The seconds of a microbatch by stage; paired stages have half of the microbatches each."""
        first, inner, last = self.of_stages(values)
        both = (first + last) / 2
        return (both, inner, both) if self.question.schedule.paired else (first, inner, last)

    def _exchanges(self) -> Timing:
        """What data parallelism exchanges, but for what runs behind the passes.

        ZeRO 0 and 1 sum gradients up once a step, 2 in each microbatch; 3 gathers weights for both passes of each too.
        They are expected to cost the passes what they take, but for the share asked for: what runs beside takes units
        and bandwidth from them. At the low end of the band all that could run behind the passes does, at the high end
        nothing.
        """
        reduced, gathered = (self._most(parts) for parts in (self.passes.reduced, self.passes.gathered))
        places = [total([(1, self.passes.forward[at]), (1, self.passes.backward[at])]) for at in STAGES]
        passes, m, found = self._most(places), self.count, []
        for zero in self.zero:
            sent = total([(m if zero > 1 else 1, reduced), (2 * m if zero == 3 else 1, gathered)])
            behind = passes * (m if zero > 1 else 1)
            left = maximum(sent.time_s - behind.time_s, (1 - self.question.hidden) * sent.time_s)
            least, low = (minimum(left, maximum(0.0, end - behind.time_s)) for end in (sent.bound_s, sent.low_s))
            found.append(Timing(left, least, low, sent.high_s, link_s=left))
        return _timings(found, _ZERO)

    def _update(self) -> Timing:
        """The update of the weights, on the stage that has most of them: one pass over them, and Muon's matmuls."""
        return _timings([self._update_under(zero) for zero in self.zero], _ZERO)

    def _update_under(self, zero: int) -> Timing:
        rest = self.resting
        moved, contracted, elementwise = (
            np.maximum.reduce(np.broadcast_arrays(*self.of_stages([of(self.weights, zero, at) for at in STAGES])))
            for of in (rest.updated_bytes, rest.contracted_flops, rest.elementwise_flops)
        )
        update = _cost("elementwise", self.question.recipe.updated, vector_flops=elementwise, bytes=moved)
        timing = self.machine.time(update)
        if not self.question.optimizer.orthogonal:
            return timing
        matmuls = _cost("matmul", self.question.recipe.computes, flops=contracted)
        return total([(1, timing), (1, self.machine.time(matmuls))])


def _fullest(moments: Sequence[Sequence[Any]]) -> Any:
    """The place of the largest sum."""
    return np.argmax(np.stack(np.broadcast_arrays(*(sum(moment) for moment in moments))), axis=0)


def steps_of(
    question: TrainingQuestion, layouts: Layout, microbatch: Any, policies: tuple[Recompute, ...],
    zero: tuple[int, ...],
) -> Steps:  # fmt: skip
    """The steps of layouts in arrays of one axis, which have the same collectives, each with its microbatch."""
    rows, each = layouts.at((..., None, None)), np.asarray(microbatch, dtype=np.float64)[:, None, None]
    network, length = question.network, float(question.sequence)
    sharded = shard_training(network.step, rows, zero=1)
    sizes: dict[str, Number] = {"B": each, "T": length, "S": length, "M": length}
    precision = question.recipe.precision
    machine = question.request.machine(int(np.max(layouts.devices)))
    return Steps(
        question, rows, each, policies, zero, layer_count(network.program),
        price_microbatch(sharded, sizes, precision, machine, question.request.engine.host_launch),
        Holding.of(network, sharded, rows, sizes, precision).under(policies),
        tuple(local_weights(network.forward, rows)), machine,
    )  # fmt: skip


def _joined(values: Sequence[Any], axis: int) -> Any:
    """Values along an axis, in which each of them has one place."""
    return np.concatenate(np.broadcast_arrays(*(np.asarray(value) + np.zeros((1, 1, 1)) for value in values)), axis)


def _timings(timings: Sequence[Timing], axis: int) -> Timing:
    columns = zip(*(timing.all_seconds for timing in timings), strict=True)
    return Timing(*(_joined(column, axis) for column in columns))


_BARE = Cost("update", "update", "", "", count=1, flops=0.0, vector_flops=0.0, special=0.0, bytes=0.0)


def _cost(kind: str, dtype: str, **counts: Any) -> Cost:
    return replace(_BARE, kind=kind, dtype=dtype, **counts)
