"""Serving of networks that generate nothing: encoders, embedders, classifiers, traced modules. A request is one pass.

A replica reads N documents or images at once, of like length, and then the next N, all slots full, without queues:

    latency = half a pass, until the one that runs ends, + a pass        requests/s = N / pass

Under an engine whose forward passes hold a number of tokens at most, a pass is as many of them as its prompts fill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from roofline.classes import frozen
from roofline.cost.chunks import going_on
from roofline.cost.cost import Cost, step_cost
from roofline.engines.engine import Engine
from roofline.number import Grid, Number
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.traffic.traffic import Traffic
from roofline.program.workload import Precision, Workload
from roofline.serving.batched_steps import StepTimer, added
from roofline.serving.continuous_batching import SteadyState, state_of


@frozen(eq=False)
class PassLoad:
    """Passes as costs: of each length, in pieces where a forward pass does not hold it, with how many of it there are.

    The costs and the numbers are arrays over ``batches``; the numbers of all lengths add up to a mean pass.
    """

    batches: Grid
    passes: tuple[tuple[tuple[Cost, ...], Number], ...]

    @classmethod
    def of(
        cls, program: Program, precision: Precision, traffic: Traffic, batches: Sequence[float], phase: Phase,
        engine: Engine, chunk: int | None,
    ) -> PassLoad:  # fmt: skip
        """The passes of ``batches`` documents or images of ``traffic``; ``chunk`` is the engine's."""
        columns = np.asarray(batches, dtype=np.float64)
        lengths = zip(traffic.prompt.tokens, traffic.prompt.weights, strict=True)
        found = [
            (costs, many * weight)
            for tokens, weight in lengths
            for costs, many in _passes(program, precision, Workload(1, tokens, 1, chunk=chunk), columns, phase, engine)
        ]
        return cls(columns, tuple(found))

    def state(self, timer: StepTimer) -> SteadyState:
        """Devices that do nothing else: TPOT stands for the time of a pass, TTFT for the latency."""
        step = added(*((timer.times(costs), many) for costs, many in self.passes))
        whole = np.ones_like(step.time_s)
        return state_of(timer, step, added((step, 1.5)), self.batches, 1.0, 1.0, whole, whole)


def _passes(
    program: Program, precision: Precision, work: Workload, batches: Grid, phase: Phase, engine: Engine
) -> Iterator[tuple[tuple[Cost, ...], Number]]:
    """The forward passes that read so many prompts, of each piece of a prompt, and how many of them there are."""
    pieces = work.pieces if phase is Phase.PREFILL else 1
    new, many = work.prompt / pieces, np.asarray(work.passes(phase, batches), dtype=np.float64)
    for piece in range(1, pieces + 1):
        sizes: dict[str, Number] = {"B": batches * pieces / many, "T": new, "S": new * piece}
        costs = step_cost(program, phase, sizes, precision, engine)
        yield going_on(program.in_phase(phase), program.sizes, costs, sizes, precision), many / pieces
