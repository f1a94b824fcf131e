"""Layouts in arrays, a row each: their times, step by step, and what they keep in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import methodcaller
from typing import Any, TypeAlias

import numpy as np

from roofline.cost.chunks import going_on
from roofline.cost.cost import Cost, costs_of
from roofline.number import Number
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import microbatches, pipeline_of
from roofline.prediction.layouts.memory import fit_rows, peak_rows, rest_rows
from roofline.prediction.layouts.programs import PhaseRows, floats
from roofline.prediction.request import Request
from roofline.prediction.step import by_place, pipelined
from roofline.program.phases import Phase
from roofline.timing.machine import Machine, waits
from roofline.timing.timing import SECONDS, Timing, total
from roofline.timing.two_batches import exposed

Look: TypeAlias = Callable[[Timing], Timing]
"""What is taken of the steps of a request: their mean, or one of them."""

_EVERY = slice(None)
_ENDS = [0, -1]
"""Of the steps of a request: all, or the first and the last."""

_ROUNDING = 1e-9
"""How far sums that are equal may be apart, as a part of them."""


@dataclass(frozen=True, eq=False)
class LayoutTable:
    """Layouts x batches, a row each, as int and float64 arrays.

    Times [s]; tokens/s of all devices; low and high, factors of the request's time; bytes on a device of the fullest
    stage, where activations are the most that any stage of a pipeline keeps: as many as ``predict`` counts or, of
    pipelines, more. What a model does not have, such as decode steps, is NaN. Times are worked out when they are asked
    for: where nothing fits, none is.
    """

    request: Request
    machine: Machine
    layouts: Layout
    batch: Any
    phases: Mapping[Phase, PhaseRows]
    memory_bytes: Any
    fits: Any

    @classmethod
    def of(cls, request: Request, machine: Machine, layouts: Layout, batch: Any) -> LayoutTable:
        """A row for each layout and its batch."""
        phases = {phase: PhaseRows.of(request, phase, layouts) for phase in request.program.phases}
        asked = request, layouts, batch, list(phases.values())
        rest = rest_rows(*asked)
        memory = rest + peak_rows(*asked)
        fits = fit_rows(machine, *asked, (rest, memory))
        return cls(request, machine, layouts, batch, phases, memory, fits)

    def __len__(self) -> int:
        return len(self.batch)

    def layout(self, row: int) -> Layout:
        """The layout of a row."""
        return self.layouts.at(row)

    def at(self, rows: Any) -> LayoutTable:
        """Some of the rows, by a mask."""
        layouts = self.layouts.at(rows)
        phases = {phase: PhaseRows.of(self.request, phase, layouts) for phase in self.phases}
        held = self.memory_bytes[rows], self.fits[rows]
        return LayoutTable(self.request, self.machine, layouts, self.batch[rows], phases, *held)

    @property
    def ttft_s(self) -> Any:
        """The time of a prefill."""
        return self._timings[Phase.PREFILL].time_s if Phase.PREFILL in self._timings else self._nothing

    @property
    def tpot_s(self) -> Any:
        """The mean time of a decode step."""
        return self._timings[Phase.DECODE].time_s if Phase.DECODE in self._timings else self._nothing

    @property
    def request_s(self) -> Any:
        """The time of all steps of a request."""
        return self._whole.time_s

    @property
    def tokens_per_s(self) -> Any:
        """Tokens generated, or read where none is, by all devices."""
        work, phases = self.request.workload, self.request.phases
        decodes = Phase.DECODE in phases
        tokens = work.steps(Phase.DECODE) + (Phase.PREFILL in phases) if decodes else work.prompt
        return self.batch * tokens / self.request_s

    @property
    def low(self) -> Any:
        """The low end of the band, as a part of the request's time."""
        return self._whole.low_s / self._whole.time_s

    @property
    def high(self) -> Any:
        """The high end of the band, as a multiple of the request's time."""
        return self._whole.high_s / self._whole.time_s

    @property
    def _nothing(self) -> Any:
        return np.full(len(self), np.nan)

    @cached_property
    def _timings(self) -> dict[Phase, Timing]:
        """One step of each phase that is asked for, the mean of several."""
        return {phase: _step_rows(self, phase)[0] for phase in self._asked}

    @cached_property
    def _whole(self) -> Timing:
        return self._all_steps(self._timings)

    @property
    def _asked(self) -> list[Phase]:
        return [phase for phase in self.phases if phase in self.request.phases]

    def _all_steps(self, timings: Mapping[Phase, Timing]) -> Timing:
        """The time of a request of such steps."""
        return total((self.request.workload.steps(phase), timing) for phase, timing in timings.items())

    def contenders(self) -> LayoutTable:
        """The rows of which each batch's best is one: a request is as fast at most as if no decode step attended to
        more than the first, and no slower than if all attended to what the last does.
        """
        found = {phase: _step_rows(self, phase) * 2 for phase in self._asked if not phase.one_token}
        for phase in (phase for phase in self._asked if phase.one_token):
            found[phase] = _step_rows(self, phase, _ENDS, [methodcaller("at", end) for end in _ENDS])
        ends = [self._all_steps({phase: both[end] for phase, both in found.items()}).time_s for end in range(2)]
        least_s, most_s = (np.where(self.fits, np.asarray(end), np.inf) for end in ends)
        kept = np.zeros(len(self), dtype=bool)
        for batch in np.unique(self.batch):
            own = self.batch == batch
            if self.fits[own].any():
                kept |= own & (least_s <= most_s[own].min() * (1 + _ROUNDING))
            else:
                kept |= own & (self.memory_bytes == self.memory_bytes[own].min())
        return self.at(kept)

    def order(self, batch: int | None = None) -> list[int]:
        """Rows of a batch, or all, best first: those that fit, by tokens/s; then the others, by their memory."""
        rows = np.arange(len(self)) if batch is None else np.flatnonzero(self.batch == batch)
        fits = self.fits[rows]
        rate = np.where(fits, -self.tokens_per_s[rows], 0.0) if fits.any() else np.zeros(len(rows))
        size = np.where(fits, 0.0, self.memory_bytes[rows])
        degrees = [np.asarray(degree) for flag, degree in self.layouts.to_dict().items() if flag not in ("tp", "dp")]
        spread = np.sum(degrees, axis=0)[rows]
        return [int(row) for row in rows[np.lexsort((spread, np.round(rate, 9), size, ~fits))]]

    def best(self, batch: int | None = None) -> int:
        """The row with the most tokens/s of those that fit; where none fits, the one that needs the least memory."""
        return self.order(batch)[0]


def _step_rows(
    table: LayoutTable, phase: Phase, steps: slice | list[int] = _EVERY, looks: Sequence[Look] = (Timing.mean,)
) -> list[Timing]:
    """A step of ``phase``, a number per row, as each of ``looks`` sees these ``steps``. [s]

    Operators that programs have in common are timed once.
    """
    request, rows, layouts = table.request, table.phases[phase], table.layouts
    work, fixed, replica = request.workload, request.program.sizes, table.batch // layouts.dp
    parts = np.maximum(microbatches(replica, layouts.pp, phase), np.asarray(work.passes(phase, replica)))
    pieces = work.pieces if phase is Phase.PREFILL else 1
    sizes = {**floats(work.sizes(phase)), "B": (table.batch / layouts.dp * pieces / parts)[:, None]}
    sizes = {letter: size[..., steps] if letter == "S" and np.ndim(size) else size for letter, size in sizes.items()}
    costs = costs_of(rows.stated, fixed, phase, sizes, request.precision, request.engine)
    if phase is Phase.PREFILL:
        costs = going_on(rows.stated, fixed, costs, sizes, request.precision)
    timings = [table.machine.time(cost) for cost in costs]
    return [_summed(table, rows, parts, list(zip(costs, timings, strict=True)), look) for look in looks]


def _summed(table: LayoutTable, rows: PhaseRows, parts: Any, timed: list[tuple[Cost, Timing]], look: Look) -> Timing:
    """A step of a phase in so many parts, of its operators and of what the host does, as ``look`` sees its steps."""
    phase, fixed, layouts = rows.phase, table.request.program.sizes, table.layouts
    timings, hosts = [timing for _, timing in timed], timed[len(rows.stated) :]
    means, found = [look(timing) for timing in timings], list[Timing]()
    for program, places in zip(rows.programs, rows.places, strict=True):
        pipeline, where = pipeline_of(program, phase, layouts.pp, parts)
        counts: list[Number] = [group.times(fixed) for group, _ in program.in_phase(phase)]
        costs, seen = [timed[place][0] for place in places], [timings[place] for place in places]
        with np.errstate(invalid="ignore"):  # rows of other kinds, which are dropped
            if table.request.engine.two_batches:
                counts = [count * cost.halves for count, cost in zip(counts, costs, strict=True)]
                seen = exposed(costs, seen, [group.name for group, _ in program.in_phase(phase)], counts)
                own = [look(timing) for timing in seen]
            else:
                own = [means[place] for place in places]
            waited = waits(hosts, zip(counts, seen, strict=True))
            each = [(np.ravel(np.asarray(count)), mean) for count, mean in zip(counts, own, strict=True)]
            host = [(cost.count, look(wait)) for (cost, _), wait in zip(hosts, waited, strict=True)]
            found.append(pipelined(pipeline, by_place([*each, *host], where)))
    seconds = zip(*(timing.all_seconds for timing in found), strict=True)
    return Timing(**{name: rows.joined(each) for name, each in zip(SECONDS, seconds, strict=True)})
