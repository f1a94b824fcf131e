"""Bytes of training steps in arrays: layouts with microbatches, policies and shardings, an axis of each, in this order.

Nothing is timed here: what only asks whether a step fits asks this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import reduce
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.number import Number, Truth, added, as_float, maximum, where
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import Pipeline, layer_count
from roofline.parallelism.sharded_backward import shard_training
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.recompute import NOTHING, Recompute
from roofline.training.activations import Activations, Holding
from roofline.training.at_rest import POLICY_AXIS, AtRest, joined
from roofline.training.question import TrainingQuestion
from roofline.training.resting import LocalWeight, Resting, Sharding, local_weights

STAGES = (0, 1, 2)
"""The first stage, the fullest inner one, the last; of places, before the layers, in them, behind them."""

MOMENTS = ("as the backward pass of the head begins", "as gradients of the head are split",
           "as a layer runs backward", "as the first layer runs backward", "as the backward pass ends")  # fmt: skip
"""When memory may be fullest."""

_AXES = (..., None, None)
"""Of layouts, policies and shardings."""

_NO_ACTIVATIONS = Activations((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


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
class MemoryOfSteps:
    """The memory of training steps of layouts that have the same collectives, each with a microbatch.

    ``layouts`` and ``microbatch`` have axes of policies and of ``shardings`` of one place, which results fill; ``held``
    are the activations under each of ``policies``, ``rest`` is what rests under each of ``shardings``. With one policy
    and one sharding they may be plain numbers, or ones that remember, and so are results.
    """

    question: TrainingQuestion
    layouts: Layout
    microbatch: Any
    policies: tuple[Recompute, ...]
    shardings: tuple[Sharding, ...]
    layers: int
    held: tuple[Activations, ...]
    weights: tuple[LocalWeight, ...]
    rest: AtRest

    @property
    def count(self) -> Any:
        """Microbatches of a step of a replica."""
        return self.question.batch / self.layouts.dp / self.microbatch

    @property
    def sizes(self) -> dict[str, Number]:
        """What a pass of a microbatch reads."""
        return {"B": self.microbatch, **{letter: as_float(size) for letter, size in self.question.lengths.items()}}

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

    def of(self, stage: int) -> MemoryByCause:
        """The bytes of a stage at its fullest; 0 of one that a layout does not have."""
        gradients, saved, working, gathered = _fullest(self._moments(stage))[0]
        weights, states = self._at_rest(stage)
        found = MemoryByCause(weights, gradients, states, saved, working, gathered)
        return found.each(lambda size: where(self._there(stage), size, 0.0))

    def most_bytes(self) -> Any:
        """The bytes of the stage that holds most: the total of ``fullest``, in arrays alone."""
        most: Any = -np.inf
        for stage in STAGES:
            weights, states = self._at_rest(stage)
            there, under_shardings = self._there(stage), weights + states
            for gradients, saved, working, gathered in self._moments(stage):
                resting = where(there, under_shardings + gradients + gathered, -np.inf)
                most = maximum(most, resting + (saved + working))
        return most

    def _there(self, stage: int) -> Truth:
        """Whether layouts have a stage."""
        there: Truth = (self.layouts.pp > 0, self.layouts.pp > 2, self.layouts.pp > 1)[stage]
        return there

    def _at_rest(self, stage: int) -> tuple[Any, Any]:
        """Bytes of weights and of optimizer states that a device of a stage has itself."""
        states = self._states(stage)
        return self.of_devices(self.rest.weights)[stage], 0.0 * states if self.question.host is not None else states

    def _states(self, stage: int) -> Any:
        return self.of_devices(self.rest.states)[stage]

    def on_host(self) -> Any:
        """The most bytes of optimizer states that any device has in the host's memory; 0 where they are its own."""
        if self.question.host is None:
            return 0.0
        return reduce(maximum, (self._states(stage) for stage in STAGES))

    def activations(self) -> Any:
        """The most bytes of activations, saved and worked on, that any stage holds at once."""
        most: Any = 0.0
        for stage in STAGES:
            for _, saved, working, _ in self._moments(stage):
                most = maximum(most, saved + working)
        return most

    def fullest_moment(self, stage: int) -> Any:
        """Which of ``MOMENTS`` a stage is fullest at, of equals the first."""
        return _fullest(self._moments(stage))[1]

    def _moments(self, stage: int) -> list[tuple[Any, Any, Any, Any]]:
        """Bytes of gradients, of what is saved, worked on and gathered at each of ``MOMENTS``.

        When the backward pass of the layers begins, what is behind them is no longer held.
        """
        gradients = self._gradients(stage)
        held = [self._activations(each, stage) for each in self.held]
        parts = [tuple(joined(values, POLICY_AXIS) for values in zip(*moment, strict=True))
                 for moment in zip(*held, strict=True)]  # fmt: skip
        gathered = self._gathered(stage)
        return [(there, *part, whole) for there, part, whole in zip(gradients, parts, gathered, strict=True)]

    def _activations(self, held: Activations, stage: int) -> list[tuple[Any, Any]]:
        """Bytes that are saved on a stage, and worked on, at each of ``MOMENTS``."""
        pp = self.layouts.pp
        numbered = (0, 1, pp - 1)[stage]
        flight = self.question.schedule.in_flight(numbered, pp, self.count)
        whole = self.of_devices(held.saved)[stage] * flight
        ends = self.of_devices((0.0, 0.0, held.saved[2]))[stage]
        last = self.of_devices((held.saved[0], 0.0, 0.0))[stage] + held.saved[1] / self.layers
        behind = where(ends > 0, held.working[2], 0.0)
        layer = held.working[1]
        return [(whole, behind), (whole - ends, 0.0), (whole - ends, layer), (last, layer), (0.0, held.working[0])]

    def _gradients(self, stage: int) -> list[Any]:
        """Bytes of gradients at each of ``MOMENTS``: all of them where microbatches add them up, or a buffer is there.

        Else they come with the backward pass; a table that is the head's too has three when it ends: that of the head,
        its own, and their sum. Where weights are gathered, those of a tied table are not split before all ends.
        """
        rest, pp = self.rest, self.layouts.pp
        before, layers, behind = rest.gradients
        all_of, first, heads, tables, late = (
            self.of_devices(each)[stage]
            for each in (
                (before, layers, behind),
                (before, 0.0, 0.0),
                (0.0, 0.0, behind),
                (rest.table * (pp == 1) * (1 - rest.unsplit), 0.0, 0.0),
                (before * rest.unsplit, 0.0, 0.0),
            )
        )
        held = (self.count > 1) | self.question.recipe.holds_gradients
        came = [0.0, heads + tables, heads + tables, all_of - first + tables, all_of - late + 2 * tables]
        return [where(held, all_of, each) for each in came]

    def _gathered(self, stage: int) -> list[Any]:
        """Bytes of weights that are brought together, and of gradients that are not split yet, at each of ``MOMENTS``.

        Two layers are there, one at work and one being fetched, with the gradients of one as they were computed, and of
        the one before it as they are sent. A head's weights stay from its forward pass, and beside them is what they
        arrived in. A table that is the head's too stays all the time, and so does its gradient, three times at the end.
        Source: torch's FSDP2, as torchtitan wraps it, and as its FSDPMemTracker counts it.
        """
        nothing, rest = 0.0 * self.microbatch, self.rest
        if all(sharding.zero != 3 for sharding in self.shardings):
            return [nothing] * len(MOMENTS)
        (w0, layers_w, w2), (c0, layers_c, _), (g0, layers_g, g2) = rest.gathered, rest.computed, rest.summed
        wl, cl, gl = (size / self.layers for size in (layers_w, layers_c, layers_g))
        table = rest.gathered_table
        tied = table > 0
        ends = [self.of_devices(part)[stage] > 0 for part in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))]
        root = where(tied, w0 + w2, 0.0)
        begins = where(tied, root + wl, where(ends[1], w2, 0.0))
        sent = where(tied, root + 2 * wl, where(ends[1], 2 * w2 + g2, 0.0))
        layers = root + table + 2 * wl + cl + gl
        last = where(tied, root + gl + c0 + 2 * table, where(ends[0], c0 + g0, 0.0))
        return [nothing + each for each in (begins, sent, layers, layers, last)]

    def fullest(self) -> MemoryByCause:
        """The memory of the stage that holds most."""
        names = [field.name for field in fields(MemoryByCause)]
        stages = [self.of(stage) for stage in STAGES]
        return MemoryByCause(*_fullest([tuple(getattr(stage, name) for name in names) for stage in stages])[0])


def _fullest(several: Sequence[tuple[Any, ...]]) -> tuple[tuple[Any, ...], Any]:
    """What has the largest sum, of equals the first, and its place."""
    most: tuple[Any, ...] = several[0]
    place: Any = 0.0
    for number, parts in enumerate(several[1:], 1):
        more = added(parts) > added(most)
        most = tuple(where(more, new, old) for new, old in zip(parts, most, strict=True))
        place = where(more, float(number), place)
    return most, place


def _spread(layouts: Layout) -> Layout:
    """Layouts in arrays of one axis with those of policies and shardings; a layout of numbers as it is."""
    return layouts.at(_AXES) if isinstance(layouts.tp, np.ndarray) else layouts


_SUMS = Sharding(1)


def sharded_step(question: TrainingQuestion, layouts: Layout, sharding: Sharding = _SUMS) -> Program:
    """A step on one device of layouts, in arrays of one axis or of numbers, both passes."""
    network, rows = question.network, _spread(layouts)
    sharded = shard_training(network.step, rows, zero=sharding.zero, replicate=sharding.replicate)
    return network.loss.summed(sharded if network.narrow is None else network.narrow.sent(sharded))


def saves_nothing(
    question: TrainingQuestion,
    layouts: Layout,
    microbatch: Any,
    policy: Recompute,
    shardings: tuple[Sharding, ...],
) -> Truth:
    """Whether what a policy holds at most of activations is no less than without any."""
    sharded = sharded_step(question, layouts)
    kept, dropped = (
        memory_of(question, layouts, microbatch, (each,), shardings, sharded).activations()
        for each in (NOTHING, policy)
    )
    nothing: Truth = dropped >= kept
    return nothing


def memory_of(
    question: TrainingQuestion, layouts: Layout, microbatch: Any, policies: tuple[Recompute, ...],
    shardings: tuple[Sharding, ...], sharded: Program | None = None,
) -> MemoryOfSteps:  # fmt: skip
    """The memory of layouts in arrays of one axis, which have the same collectives, each with its microbatch.

    Of one layout in numbers the microbatch is one number. ``sharded`` is their ``sharded_step``, where it is there
    already.
    """
    least = least_memory_of(question, layouts, microbatch, shardings)
    sharded = sharded or sharded_step(question, layouts)
    holding = Holding.of(question.network, sharded, least.layouts, least.sizes, question.recipe.precision)
    return replace(least, policies=policies, held=holding.under(policies))


def least_memory_of(
    question: TrainingQuestion, layouts: Layout, microbatch: Any, shardings: tuple[Sharding, ...]
) -> MemoryOfSteps:
    """The same without any activations: what no policy goes below."""
    rows, each, network = _spread(layouts), microbatch, question.network
    if rows is not layouts:
        each = np.asarray(microbatch, dtype=np.float64)[:, None, None]
    weights = tuple(local_weights(network.forward, rows, network.trained, network.narrow_names))
    layers = max(layer_count(network.program), 1)  # what has none is one stage
    rest = AtRest.of(Resting(question.recipe, question.optimizer), weights, shardings, rows)
    return MemoryOfSteps(question, rows, each, (NOTHING,), shardings, layers, (_NO_ACTIVATIONS,), weights, rest)
