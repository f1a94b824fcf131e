"""Layouts in arrays, a row each: their times, step by step, and what they keep in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.cost.chunks import going_on
from roofline.cost.cost import step_cost
from roofline.cost.residency import FloatWidths, activation_peak, longest_step
from roofline.number import Number
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import Pipeline, layer_count, microbatches, pipeline_of, places
from roofline.parallelism.sharding import PIPELINE, shard
from roofline.prediction.overflow import resident_bytes
from roofline.prediction.request import Request
from roofline.prediction.step import by_place, pipelined
from roofline.program.axes import Sizes
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.timing.machine import Machine
from roofline.timing.timing import Timing, total

_NEAR = 0.05
"""How near to the limit, as a part of it, the memory of a row is counted as ``predict`` counts it."""


@frozen
class LayoutTable:
    """Layouts x batches, a row each, as int and float64 arrays.

    Times [s]; tokens/s of all devices; low and high, factors of the request's time; bytes on a device of the fullest
    stage, where activations are the most that any layout of its kind and any stage keeps: up to two percent more than
    ``predict`` counts. What a model does not have, such as decode steps, is NaN.
    """

    layouts: Layout
    batch: Any
    ttft_s: Any
    tpot_s: Any
    request_s: Any
    tokens_per_s: Any
    low: Any
    high: Any
    memory_bytes: Any
    fits: Any

    def __len__(self) -> int:
        return len(self.batch)

    def layout(self, row: int) -> Layout:
        """The layout of a row."""
        return self.layouts.at(row)

    @classmethod
    def joined(cls, tables: Sequence[LayoutTable]) -> LayoutTable:
        """The rows of several tables, one table after the other."""
        names = [field.name for field in fields(cls) if field.name != "layouts"]
        columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
        return cls(Layout.stacked([table.layouts for table in tables]), **columns)

    def order(self, batch: int | None = None) -> list[int]:
        """Rows of a batch, or all, best first: those that fit, by tokens/s; then the others, by their memory."""
        rows = np.arange(len(self)) if batch is None else np.flatnonzero(self.batch == batch)
        rate = np.where(self.fits, -self.tokens_per_s, 0.0)[rows]
        size = np.where(self.fits, 0.0, self.memory_bytes)[rows]
        degrees = [np.asarray(degree) for flag, degree in self.layouts.to_dict().items() if flag not in ("tp", "dp")]
        spread = np.sum(degrees, axis=0)[rows]
        return [int(row) for row in rows[np.lexsort((spread, np.round(rate, 9), size, ~self.fits[rows]))]]

    def best(self, batch: int | None = None) -> int:
        """The row with the most tokens/s of those that fit; where none fits, the one that needs the least memory."""
        return self.order(batch)[0]


def layout_rows(request: Request, layouts: Layout, batch: Any, machine: Machine) -> LayoutTable:
    """A row for each layout and its batch, of layouts that have the same collectives."""
    program = shard(request.program, layouts.at((..., None)))
    phases = {name: _phase(request, program, name, layouts, batch, machine) for name in request.phases}
    steps = {name: request.workload.steps(name) for name in phases}
    whole = total((steps[name], timing) for name, timing in phases.items())
    tokens = steps[Phase.DECODE] + (Phase.PREFILL in phases) if Phase.DECODE in phases else request.workload.prompt
    memory = _memory(request, program, layouts, batch)
    nothing = np.full(len(batch), np.nan)
    return LayoutTable(
        layouts,
        batch,
        ttft_s=phases[Phase.PREFILL].time_s if Phase.PREFILL in phases else nothing,
        tpot_s=phases[Phase.DECODE].time_s if Phase.DECODE in phases else nothing,
        request_s=whole.time_s,
        tokens_per_s=batch * tokens / whole.time_s,
        low=whole.low_s / whole.time_s,
        high=whole.high_s / whole.time_s,
        memory_bytes=memory,
        fits=_fits(request, machine, layouts, batch, memory),
    )


def _fits(request: Request, machine: Machine, layouts: Layout, batch: Any, memory: Any) -> Any:
    """Whether each row fits, as ``predict`` says it: near the limit, its own count is asked."""
    room = machine.room_bytes
    if room is None:
        return np.full(len(batch), True)
    fits = memory <= room
    for row in np.flatnonzero(np.abs(memory / room - 1) < _NEAR if room else np.full(len(batch), False)):
        asked = replace(request, workload=replace(request.workload, batch=int(batch[row])))
        layout = layouts.at(int(row))
        fits[row] = machine.fits(resident_bytes(asked, layout, shard(request.program, layout)))
    return fits


def _phase(request: Request, program: Program, phase: Phase, layouts: Layout, batch: Any, machine: Machine) -> Timing:
    """One step of ``phase``, a number per row. [s]"""
    pp, dp = layouts.pp, layouts.dp
    passes = np.asarray(request.workload.passes(phase, batch // dp))
    parts = np.maximum(microbatches(batch // dp, pp, phase), passes)
    pipeline, where = pipeline_of(program, phase, pp, parts)
    pieces = request.workload.pieces if phase is Phase.PREFILL else 1
    sizes = _sizes(request, phase, batch / dp * pieces / parts)
    costs = step_cost(program, phase, sizes, request.precision, request.engine)
    if phase is Phase.PREFILL:
        costs = going_on(program, costs, sizes, request.precision)
    rowwise = [replace(cost, count=np.ravel(np.asarray(cost.count))) for cost in costs]
    timings = machine.times(costs)
    return pipelined(pipeline, by_place(zip(rowwise, timings, strict=True), where))


def _sizes(request: Request, phase: Phase, batch: Any) -> Sizes:
    """B, T and S of a step: B one number a row, the mean over the steps of S is taken along the other axis."""
    whole = request.workload.sizes(phase)
    return {**_floats(whole), "B": np.asarray(batch, dtype=np.float64)[:, None]}


def _memory(request: Request, program: Program, layouts: Layout, batch: Any) -> Any:
    """Bytes on a device of the fullest stage, a number per row."""
    pp, dp = layouts.pp, layouts.dp
    widths = FloatWidths(request.precision)
    whole = {letter: float(size) for letter, size in program.sizes.items()}
    replica: Any = (batch / dp)[:, None]
    resting = request.workload.step(Phase.DECODE, request.workload.batch, request.workload.held)
    held = whole | {letter: float(size) for letter, size in resting.items()} | {"B": replica}
    sums = [np.zeros(len(batch)) for _ in range(3)]
    seen: set[tuple[Any, ...]] = set()
    for phase in program.phases:
        groups = [group for group in program.groups if phase in group.phases]
        for group, place in zip(groups, places(groups), strict=True):
            for op in group.ops if place < 3 else ():
                for tensor in (*op.reads, *op.writes):
                    key = (place, "" if tensor.tied else group.name, tensor.name)
                    if tensor.role in ("activation", "index", "input") or key in seen:
                        continue
                    seen.add(key)
                    size = np.ravel(np.asarray(program.resident(group, op, tensor, held))) * widths.width(tensor)
                    again = tensor.tied and place == 2 and (0, "", tensor.name) in seen
                    sums[place] = sums[place] + size * (pp > 1 if again else 1)
    stages = (np.asarray(held) for held in Pipeline(layer_count(program), pp, 1, Phase.PREFILL).stage_values(*sums))
    bare = Program(tuple(group for group in program.groups if group.name != PIPELINE), program.sizes)
    steps = {phase: whole | _floats(longest_step(request.workload, phase, replica)) for phase in request.phases}
    peaks = [np.ravel(np.asarray(activation_peak(bare, phase, step, widths))) for phase, step in steps.items()]
    return np.maximum.reduce(np.broadcast_arrays(*stages)) + np.maximum.reduce(np.broadcast_arrays(*peaks))


def _floats(sizes: Sizes) -> dict[str, Number]:
    return {letter: size if isinstance(size, np.ndarray) else float(size) for letter, size in sizes.items()}
