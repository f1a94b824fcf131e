"""A step of a phase on a device, or on all stages of a pipeline, operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from roofline.classes import frozen
from roofline.cost.chunks import going_on
from roofline.cost.cost import Cost, step_cost
from roofline.engines.engine import Engine
from roofline.identity import Same
from roofline.number import Number, exact, maximum
from roofline.parallelism.divisibility import check_layout
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import Pipeline, microbatches, pipeline_of
from roofline.parallelism.sharding import shard
from roofline.prediction.figures import COUNTS, Figures, Operator, PhasePrediction, figures_of
from roofline.prediction.request import Request
from roofline.program.axes import Sizes
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import Precision, Workload
from roofline.timing.machine import Machine
from roofline.timing.timing import PARTS, SECONDS, Timing, total


@frozen
class Listed:
    """The operators of a step, of their costs and the time of one execution each, and what comes ``more``."""

    pairs: tuple[tuple[Cost, Timing], ...]
    machine: Machine
    more: tuple[Operator, ...] = ()

    @property
    def costs(self) -> tuple[Cost, ...]:
        """What each operator costs."""
        return tuple(cost for cost, _ in self.pairs)

    def __call__(self) -> tuple[Operator, ...]:
        """The operators; those of one name are told apart by their groups."""
        twice = {name for name, times in Counter(cost.name for cost, _ in self.pairs).items() if times > 1}
        named = (f"{cost.group}.{cost.name}" if cost.name in twice else cost.name for cost, _ in self.pairs)
        return (*(self._operator(name, *pair) for name, pair in zip(named, self.pairs, strict=True)), *self.more)

    def _operator(self, name: str, cost: Cost, timing: Timing) -> Operator:
        figures = figures_of([(cost, timing)], self.machine)
        return Operator(name, cost.kind, int(cost.count), figures, form=str(timing.mean().form))


@frozen
class Steps:
    """A program as a device of a layout sees it, with all that its times depend on."""

    program: Program
    workload: Workload
    precision: Precision
    machine: Machine
    layout: Layout
    engine: Engine

    def passes(self, phase: Phase) -> Number:
        """The forward passes of one step of a replica: more than one where prompts are read in chunks."""
        return self.workload.passes(phase, self.workload.batch // self.layout.dp)

    def parts(self, phase: Phase) -> Number:
        """Into how many microbatches a replica's step is cut: in a pipeline each forward pass is one."""
        if self.layout.pp == 1:
            return 1
        return maximum(microbatches(self.workload.batch // self.layout.dp, self.layout.pp, phase), self.passes(phase))

    def sizes(self, phase: Phase) -> Sizes:
        """B, T and S of one forward pass: B is a microbatch of a replica, or what a chunk holds of prompts."""
        whole, batch = self.workload.sizes(phase), exact(self.workload.batch // self.layout.dp)
        pieces = self.workload.pieces if phase is Phase.PREFILL else 1
        shown = self.workload.shown.sizes(phase)
        batch *= 1 if shown is None else shown["B"]
        return {**whole, "B": batch * pieces / maximum(self.parts(phase), self.passes(phase))}

    def costs(self, phase: Phase) -> tuple[Cost, ...]:
        """What each operator of one step costs on a device; the stages of a pipeline one after the other.

        On one stage all forward passes of a step count; in a pipeline one, as a microbatch.
        """
        return self.costs_at(phase, self.sizes(phase))

    def costs_at(self, phase: Phase, sizes: Sizes) -> tuple[Cost, ...]:
        """The same of forward passes of these sizes."""
        found = step_cost(self.program, phase, sizes, self.precision, self.engine)
        if phase is Phase.PREFILL:
            found = going_on(self.program.in_phase(phase), self.program.sizes, found, sizes, self.precision)
        passes = self.passes(phase) if self.layout.pp == 1 else 1
        if isinstance(passes, int) and passes == 1:
            return found
        return tuple(replace(cost, count=cost.count * passes) for cost in found)

    def timed(self, phase: Phase) -> list[tuple[Cost, Timing]]:
        """Each operator of one step, with the time of one execution."""
        costs = self.costs(phase)
        return list(zip(costs, self.machine.times(costs), strict=True))

    def hidden(self, pairs: Iterable[tuple[Cost, Timing]]) -> float | None:
        """The part of dispatch and combine that computation of the other half hides; None where no step is cut so."""
        sends = [pair for pair in pairs if (sent := pair[0].transfer) is not None and sent.dispatches]
        cut = [(cost, timing) for cost, timing in sends if cost.halves != 1]
        if not cut:
            return None
        seen, whole = (
            float(np.asarray(total((cost.count, timing.mean()) for cost, timing in each).time_s))
            for each in (cut, [(cost, self.machine.time(cost)) for cost, _ in cut])
        )
        return 1 - seen / whole

    def timing(self, phase: Phase, pairs: Iterable[tuple[Cost, Timing]]) -> Timing:
        """The time of one step of operators with their times: on one device, or on all stages of a pipeline."""
        if self.layout.pp == 1:
            return total((cost.count, timing.mean()) for cost, timing in pairs)
        return pipelined(*self._stages(phase, pairs))

    def predict(self, phase: Phase) -> PhasePrediction:
        """Figures of one step, of its operators, and of the stages of its pipeline."""
        pairs = tuple(self.timed(phase))
        steps, several = self.workload.steps(phase), int(self.layout.stage_devices)
        listing, chunks = Listed(pairs, self.machine), int(self.passes(phase))
        alone = PhasePrediction(steps, figures_of(pairs, self.machine), listing, chunks, stage_devices=several)
        return alone if self.layout.pp == 1 else self._staged(phase, alone, listing)

    def _stages(self, phase: Phase, pairs: Iterable[tuple[Cost, Timing]]) -> tuple[Pipeline, list[Timing]]:
        """The pipeline of a phase, and the time of one microbatch by place."""
        pipeline, where = pipeline_of(self.program, phase, int(self.layout.pp), self.parts(phase))
        means = [(cost.count, timing.mean()) for cost, timing in pairs]
        return pipeline, by_place(means, where * (len(means) // len(where)))

    def _staged(self, phase: Phase, alone: PhasePrediction, listing: Listed) -> PhasePrediction:
        """The same with what other microbatches add, an operator of its own, and the stages."""
        parts, pp = int(self.parts(phase)), int(self.layout.pp)
        pipeline, sums = self._stages(phase, listing.pairs)
        figures = alone.figures
        timing = pipelined(pipeline, sums)
        counts = {name: getattr(figures, name) * parts for name in COUNTS}
        filled = parts / pp * figures.time_s / float(timing.time_s)
        whole = Figures(timing.as_float(), mfu=figures.mfu * filled, mbu=figures.mbu * filled, **counts)
        first, inner, last = (float(value) for value in pipeline.stage_values(*(part.time_s for part in sums[:3])))
        stages = (first, *([inner] if pp > 2 else []), last)
        others = Operator("other_microbatches", "pipeline", parts - 1, _others(figures, whole))
        more = (others,) if parts > 1 else ()
        return replace(alone, figures=whole, listing=replace(listing, more=more), microbatches=parts, stages=stages)


def steps_of(request: Request, layout: Layout) -> Steps:
    """The steps of what is asked in a layout. Raises WorkloadError for one that cannot split it, or without links."""
    r = request
    check_layout(layout, r.program, r.phases, r.workload, r.model.name)
    program = _sharded(Same(r.program), layout) if layout.devices > 1 else r.program
    return Steps(program, r.workload, r.precision, r.machine(int(layout.devices)), layout, r.engine)


@lru_cache(maxsize=64)
def _sharded(program: Same[Program], layout: Layout) -> Program:
    """What a device runs of a program, once for each layout: its costs are kept as the program's are."""
    return shard(program.it, layout)


def by_place(means: Iterable[tuple[Number, Timing]], where: Sequence[int]) -> list[Timing]:
    """The time of one microbatch before the layers, in all of them, after them, and of handing it on.

    ``means``: how often each operator runs, and the mean of its time over the steps.
    """
    placed = list(zip(means, (*where, 0), strict=False))  # the host's time, which is no operator's, comes first
    return [total(each for each, place in placed if place == wanted) for wanted in range(4)]


def pipelined(pipeline: Pipeline, sums: Sequence[Timing]) -> Timing:
    """A step of a pipeline, of the times of one microbatch by place; it is made of what a microbatch is made of."""
    path = total((1, part) for part in sums)
    ends = {name: pipeline.step(*(getattr(part, name) for part in sums)) for name in SECONDS[:4]}
    grown = ends["time_s"] / path.time_s
    return Timing(**ends, **{f"{part}_s": path.seconds(part) * grown for part in PARTS}, form="")


def _others(one: Figures, whole: Figures) -> Figures:
    """All microbatches but the first: their counts, and the time that they take beyond its own."""
    counts = {name: getattr(whole, name) - getattr(one, name) for name in COUNTS}
    beyond = {name: max(0.0, getattr(whole.timing, name) - getattr(one.timing, name)) for name in SECONDS}
    return Figures(Timing(**beyond), mfu=0.0, mbu=0.0, **counts)
