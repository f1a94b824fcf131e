"""Prefill and decode pools: what a replica does that only reads prompts, or only decodes.

A replica that prefills reads whole prompts, P of like length in a step, and encodes their images before; one that
decodes holds N sequences, and no prompt ever stands between two of its steps. Both are steady states with all slots
full, without queues:

    prefill  time to the end of a prompt = half a step, until one ends, + a step      requests/s = P / step
    decode   TPOT = a step                                                  requests/s = N / (decode steps x TPOT)

Source: Zhong et al. 2024, DistServe (arXiv 2401.09670); Patel et al. 2024, Splitwise (arXiv 2311.18677).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.engines.engine import Engine
from roofline.number import Grid
from roofline.program.program import Program
from roofline.program.traffic.traffic import Traffic
from roofline.program.workload import Precision
from roofline.serving.batched_steps import StepTimer, StepTimes, added
from roofline.serving.continuous_batching import (
    Drafts,
    SteadyState,
    decoding_costs,
    encoding_costs,
    reading_costs,
    state_of,
    whole_prompts,
)

PROMPTS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
"""The numbers of prompts in a step that are looked at."""


@frozen(eq=False)
class PrefillLoad:
    """The steps of prompts alone, as costs: for each number of prompts in a step, each length of theirs.

    ``encode``: the images of a request, which the tower reads before its prompt.
    """

    traffic: Traffic
    batches: Grid
    costs: tuple[Cost, ...]
    encode: tuple[Cost, ...] = ()

    @classmethod
    def of(
        cls,
        program: Program,
        precision: Precision,
        traffic: Traffic,
        batches: Sequence[float],
        drafts: Drafts | None = None,
        engine: Engine | None = None,
    ) -> PrefillLoad:
        """The steps of ``batches`` prompts at once; a draft reads them too."""
        one, columns = whole_prompts(traffic), np.asarray(batches, dtype=np.float64)
        points = (np.asarray(each) for each in (one.weights, one.new, one.context))
        weights, new, context = (np.tile(each, (len(columns), 1)) for each in points)
        sequences = np.repeat(columns, len(traffic.prompt.tokens))
        many = replace(one, sequences=sequences, weights=weights, new=new, context=context)
        seen = encoding_costs(program, precision, traffic.shown, engine)
        return cls(traffic, columns, reading_costs(program, precision, many, drafts, engine), seen)

    def state(self, timer: StepTimer) -> SteadyState:
        """Devices that only read prompts; TPOT stands for the time of a step."""
        step = self._mean(timer.times(self.costs))
        if self.encode:
            step = added((step, 1.0), (timer.times(self.encode), self.batches))
        whole = np.ones_like(step.time_s)
        return state_of(timer, step, added((step, 1.5)), self.batches, 1.0, 1.0, whole, whole)

    def _mean(self, times: StepTimes) -> StepTimes:
        """The mean over the lengths of prompts."""
        weights = np.asarray(self.traffic.prompt.weights)
        rows, shape = len(times.time_s), (len(self.batches), len(weights))

        def mean(seconds: Grid) -> Grid:
            every = np.broadcast_to(seconds, (rows, shape[0] * shape[1])).reshape(rows, *shape)
            return np.asarray(np.sum(every * weights, axis=-1))

        return times.each(mean)


@frozen(eq=False)
class DecodeLoad:
    """The steps of decoding alone, as costs, each of which yields ``yielded`` tokens."""

    traffic: Traffic
    batches: Grid
    costs: tuple[Cost, ...]
    yielded: float = 1.0

    @classmethod
    def of(
        cls,
        program: Program,
        precision: Precision,
        traffic: Traffic,
        batches: Sequence[float],
        drafts: Drafts | None = None,
        engine: Engine | None = None,
    ) -> DecodeLoad:
        """The steps with each of ``batches`` sequences in flight, whose prompts others have read."""
        columns = np.asarray(batches, dtype=np.float64)
        costs = decoding_costs(program, precision, traffic, columns, drafts, engine)
        return cls(traffic, columns, costs, drafts.yielded if drafts else 1.0)

    def state(self, timer: StepTimer) -> SteadyState:
        """Devices that only decode; TTFT stands for the wait until a step ends, which then takes a sequence in."""
        step = timer.times(self.costs)
        none, whole = np.zeros_like(step.time_s), np.ones_like(step.time_s)
        steps = self.traffic.decode_steps / self.yielded
        return state_of(timer, step, added((step, 0.5)), self.batches, steps, self.yielded, none, whole)
