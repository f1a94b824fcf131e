"""A step of a phase on a device, or on all stages of a pipeline, operator by operator."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roofline.calibration.constants import ConstantSet, Execution
from roofline.cost.cost import Cost, step_cost
from roofline.hardware.spec import HardwareSpec
from roofline.number import exact
from roofline.parallelism.divisibility import check_layout
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import microbatches, pipeline_of
from roofline.parallelism.sharding import shard
from roofline.prediction.figures import Figures, Operator, PhasePrediction, figures_of, mean_over_steps
from roofline.prediction.request import Request
from roofline.program.axes import Sizes
from roofline.program.program import Phase, Program
from roofline.program.workload import Precision, Workload
from roofline.timing.collectives import Network
from roofline.timing.operator import Timing, banded, time_step


@dataclass(frozen=True, slots=True)
class Steps:
    """A program as a device of a layout sees it, with all that its times depend on."""

    program: Program
    workload: Workload
    precision: Precision
    device: HardwareSpec
    constants: ConstantSet
    execution: Execution
    layout: Layout
    network: Network | None = None

    def parts(self, phase: Phase) -> int:
        """Into how many microbatches a replica's batch is cut."""
        return int(microbatches(self.workload.batch // self.layout.dp, self.layout.pp, phase))

    def sizes(self, phase: Phase) -> Sizes:
        """B, T and S of one step: B is a microbatch of a replica."""
        whole = self.workload.sizes(phase)
        return {**whole, "B": exact(self.workload.batch // self.layout.dp // self.parts(phase))}

    def costs(self, phase: Phase) -> tuple[Cost, ...]:
        """What each operator of one step costs on a device; the stages of a pipeline one after the other."""
        return step_cost(self.program, phase, self.sizes(phase), self.precision)

    def timings(self, phase: Phase) -> list[Timing]:
        """The time of each operator of one step."""
        costs, decoding = self.costs(phase), phase == "decode"
        return time_step(costs, self.device, self.constants, self.execution, decoding, self.network)

    def seconds(self, phase: Phase) -> float:
        """The time of one step. [s]"""
        return self.predict(phase).figures.time_s

    def predict(self, phase: Phase) -> PhasePrediction:
        """Figures of one step, of its operators, and of the stages of its pipeline."""
        steps = self.workload.decode_steps if phase == "decode" else 1
        pairs = list(zip(self.costs(phase), self.timings(phase), strict=True))
        twice = {name for name, times in Counter(cost.name for cost, _ in pairs).items() if times > 1}
        operators = tuple(
            Operator(
                f"{cost.group}.{cost.name}" if cost.name in twice else cost.name,
                cost.kind,
                int(cost.count),
                figures_of([pair], self.device),
                form=form_of(pair[1]),
            )
            for pair in pairs
            for cost in pair[:1]
        )
        whole = figures_of(pairs, self.device)
        return (
            PhasePrediction(steps, whole, operators)
            if self.layout.pp == 1
            else self._staged(phase, PhasePrediction(steps, whole, operators), pairs)
        )

    def _staged(self, phase: Phase, alone: PhasePrediction, pairs: list[tuple[Cost, Timing]]) -> PhasePrediction:
        """The same with what other microbatches add, an operator of its own, and the stages."""
        pipeline, where = pipeline_of(self.program, phase, self.layout.pp, self.parts(phase))
        by_place = [[pair for pair, place in zip(pairs, where, strict=True) if place == wanted] for wanted in range(4)]

        def step(value: Any) -> float:
            sums = [sum(cost.count * mean_over_steps(value(t)) for cost, t in group) for group in by_place]
            return float(pipeline.step(*(float(total) for total in sums)))

        figures = alone.figures
        ends = (lambda t: t.time_s, lambda t: banded(t)[0], lambda t: banded(t)[1], lambda t: banded(t)[2])
        time, bound, low, high = (step(value) for value in ends)
        counts = {name: getattr(figures, name) * pipeline.parts for name in _COUNTS}
        filled = pipeline.parts / self.layout.pp * figures.time_s / time
        used = {"mfu": figures.mfu * filled, "mbu": figures.mbu * filled}
        whole = replace(figures, time_s=time, bound_s=bound, low_s=low, high_s=high, **used, **counts)
        others = _others(figures, pipeline.parts - 1, time, bound, low, high)
        sums = [float(sum(c.count * mean_over_steps(t.time_s) for c, t in group)) for group in by_place[:3]]
        first, inner, last = (float(value) for value in pipeline.stage_values(*sums))
        stages = (first, *([inner] if self.layout.pp > 2 else []), last)
        more = (Operator("other_microbatches", "pipeline", pipeline.parts - 1, others),) if pipeline.parts > 1 else ()
        return PhasePrediction(alone.steps, whole, (*alone.operators, *more), pipeline.parts, stages)


def steps_of(request: Request, layout: Layout) -> Steps:
    """The steps of what is asked in a layout. Raises WorkloadError for one that cannot split it, or without links."""
    r = request
    check_layout(layout, r.program, r.phases, r.workload, r.model.name)
    program = shard(r.program, layout) if layout.devices > 1 else r.program
    network = r.fleet.network(r.device, layout.devices, r.constants)
    return Steps(program, r.workload, r.precision, r.device, r.constants, r.execution, layout, network)


_COUNTS = ("flops", "vector_flops", "bytes", "link_bytes")


def _others(figures: Figures, parts: int, time: float, bound: float, low: float, high: float) -> Figures:
    """All microbatches but the first: their counts, and the time that they take beyond its own."""
    counts = {name: getattr(figures, name) * parts for name in _COUNTS}
    return Figures(
        time_s=max(0.0, time - figures.time_s),
        bound_s=max(0.0, bound - figures.bound_s),
        low_s=max(0.0, low - figures.low_s),
        high_s=max(0.0, high - figures.high_s),
        shares=figures.shares,
        **counts,
        mfu=0.0,
        mbu=0.0,
    )


def form_of(timing: Timing) -> str:
    """The form of a collective: the most frequent one over the steps."""
    names, counts = np.unique(np.asarray(timing.form), return_counts=True)
    return str(names[np.argmax(counts)])
