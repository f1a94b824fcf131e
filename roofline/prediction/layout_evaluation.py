"""Layouts in arrays, a row each: their times, step by step, and what they keep in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roofline.cost.cost import step_cost
from roofline.cost.residency import activation_peak, longest_step
from roofline.parallelism.layout import DEGREES, Layout
from roofline.parallelism.pipeline import Pipeline, layer_count, microbatches, pipeline_of, places
from roofline.parallelism.sharding import PIPELINE, shard
from roofline.prediction.overflow import resident_bytes
from roofline.prediction.request import Request
from roofline.prediction.step import by_place, pipelined
from roofline.program.axes import Sizes
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import Workload
from roofline.timing.machine import Machine
from roofline.timing.timing import Timing, total

_NEAR = 0.05
"""How near to the limit, as a part of it, the memory of a row is counted as ``predict`` counts it."""


@dataclass(frozen=True, slots=True)
class LayoutTable:
    """Layouts x batches, a row each, as int and float64 arrays.

    Times [s]; tokens/s of all devices; low and high, factors of the request's time; bytes on a device of the fullest
    stage, where activations are the most that any layout of its kind and any stage keeps: up to two percent more than
    ``predict`` counts. What a model does not have, such as decode steps, is NaN.
    """

    tp: Any
    pp: Any
    dp: Any
    ep: Any
    cp: Any
    sp: Any
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
        degrees = {name: int(getattr(self, name)[row]) for name in DEGREES}
        return Layout.of(**degrees)

    def order(self, batch: int | None = None) -> list[int]:
        """Rows of a batch, or all, best first: those that fit, by tokens/s; then the others, by their memory."""
        rows = np.arange(len(self)) if batch is None else np.flatnonzero(self.batch == batch)
        rate = np.where(self.fits, -self.tokens_per_s, 0.0)[rows]
        size = np.where(self.fits, 0.0, self.memory_bytes)[rows]
        spread = (self.pp + self.cp + self.ep + self.sp)[rows]
        return [int(row) for row in rows[np.lexsort((spread, np.round(rate, 9), size, ~self.fits[rows]))]]

    def best(self, batch: int | None = None) -> int:
        """The row with the most tokens/s of those that fit; where none fits, the one that needs the least memory."""
        return self.order(batch)[0]


def layout_in(columns: Iterable[Any], split: bool) -> Layout:
    """The layouts whose tp, pp, dp, ep and cp are arrays or numbers, with sequences split or not."""
    tp, pp, dp, ep, cp = columns
    return Layout(tp, pp, dp, ep, cp, split)


def layout_rows(request: Request, rows: Any, machine: Machine) -> LayoutTable:
    """The rows of one kind: with sequences split, or not."""
    tp, pp, dp, ep, cp, split, batch = rows.T
    columns = (column[:, None] for column in (tp, pp, dp, ep, cp))
    program = shard(request.program, layout_in(columns, bool(split[0])))
    phases = {name: _phase(request, program, name, rows, machine) for name in request.phases}
    steps = {phase: request.workload.steps(phase) for phase in phases}
    whole = total((steps[name], timing) for name, timing in phases.items())
    tokens = steps[Phase.DECODE] + (Phase.PREFILL in phases) if Phase.DECODE in phases else request.workload.prompt
    memory = _memory(request, program, rows)
    nothing = np.full(len(rows), np.nan)
    return LayoutTable(
        tp, pp, dp, ep, cp, np.where(split > 0, tp, 1), batch,
        ttft_s=phases[Phase.PREFILL].time_s if Phase.PREFILL in phases else nothing,
        tpot_s=phases[Phase.DECODE].time_s if Phase.DECODE in phases else nothing,
        request_s=whole.time_s,
        tokens_per_s=batch * tokens / whole.time_s,
        low=whole.low_s / whole.time_s,
        high=whole.high_s / whole.time_s,
        memory_bytes=memory,
        fits=_fits(request, machine, rows, memory),
    )  # fmt: skip


def _fits(request: Request, machine: Machine, rows: Any, memory: Any) -> Any:
    """Whether each row fits, as ``predict`` says it: near the limit, its own count is asked."""
    room = machine.room_bytes
    if room is None:
        return np.full(len(rows), True)
    fits = memory <= room
    for row in np.flatnonzero(np.abs(memory / room - 1) < _NEAR if room else np.full(len(rows), False)):
        tp, pp, dp, ep, cp, split, batch = (int(number) for number in rows[row])
        asked = replace(request, workload=replace(request.workload, batch=batch))
        layout = layout_in((tp, pp, dp, ep, cp), bool(split))
        fits[row] = machine.fits(resident_bytes(asked, layout, shard(request.program, layout)))
    return fits


def _phase(request: Request, program: Program, phase: Phase, rows: Any, machine: Machine) -> Timing:
    """One step of ``phase``, a number per row. [s]"""
    pp, dp, batch = rows[:, 1], rows[:, 2], rows[:, 6]
    parts = np.asarray(microbatches(batch // dp, pp, phase))
    pipeline, where = pipeline_of(program, phase, pp, parts)
    costs = step_cost(program, phase, _sizes(request, phase, batch / dp / parts), request.precision)
    rowwise = [replace(cost, count=np.ravel(cost.count)) for cost in costs]
    timings = machine.times(costs)
    return pipelined(pipeline, by_place(zip(rowwise, timings, strict=True), where))


def _sizes(request: Request, phase: Phase, batch: Any) -> Sizes:
    """B, T and S of a step: B one number a row, the mean over the steps of S is taken along the other axis."""
    whole = request.workload.sizes(phase)
    return {**{letter: size if isinstance(size, np.ndarray) else float(size) for letter, size in whole.items()},
            "B": np.asarray(batch, dtype=np.float64)[:, None]}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Widths:
    """Bytes per element as floats, which go with arrays."""

    request: Request

    def width(self, tensor: Any) -> float:
        return float(self.request.precision.width(tensor))


def _memory(request: Request, program: Program, rows: Any) -> Any:
    """Bytes on a device of the fullest stage, a number per row."""
    pp, dp, batch = rows[:, 1], rows[:, 2], rows[:, 6]
    widths: Any = _Widths(request)
    whole = {letter: float(size) for letter, size in program.sizes.items()}
    replica: Any = (batch / dp)[:, None]
    resting = request.workload.step(Phase.DECODE, request.workload.batch, request.workload.held)
    held = whole | {letter: float(size) for letter, size in resting.items()} | {"B": replica}
    sums = [np.zeros(len(rows)) for _ in range(3)]
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
                    size = np.ravel(program.resident(group, op, tensor, held)) * widths.width(tensor)
                    again = tensor.tied and place == 2 and (0, "", tensor.name) in seen
                    sums[place] = sums[place] + size * (pp > 1 if again else 1)
    stages = Pipeline(layer_count(program), pp, 1, Phase.PREFILL).stage_values(*sums)
    bare = Program(tuple(group for group in program.groups if group.name != PIPELINE), program.sizes)
    peaks = [
        np.ravel(activation_peak(bare, phase, whole | _floats(request.workload, phase) | {"B": replica}, widths))
        for phase in request.phases
    ]
    return np.maximum.reduce(np.broadcast_arrays(*stages)) + np.maximum.reduce(np.broadcast_arrays(*peaks))


def _floats(workload: Workload, phase: Phase) -> dict[str, float]:
    return {letter: float(size) for letter, size in longest_step(workload, phase).items()}
