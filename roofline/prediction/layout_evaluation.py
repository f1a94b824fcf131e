"""Layouts in arrays, a row each: their times, step by step, and what they keep in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from roofline.cost.cost import step_cost
from roofline.cost.residency import activation_peak, longest_step
from roofline.parallelism.layout import DEGREES, Layout
from roofline.parallelism.pipeline import Pipeline, layer_count, microbatches, pipeline_of, places
from roofline.parallelism.sharding import PIPELINE, shard
from roofline.prediction.figures import mean_over_steps
from roofline.prediction.request import Request
from roofline.program.axes import Sizes
from roofline.program.program import Phase, Program
from roofline.program.workload import Workload
from roofline.timing.collectives import Network
from roofline.timing.operator import banded, time_step


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


def layout_rows(request: Request, rows: Any, network: Network | None) -> LayoutTable:
    """The rows of one kind: with sequences split, or not."""
    tp, pp, dp, ep, cp, split, batch = rows.T
    columns = (column[:, None] for column in (tp, pp, dp, ep, cp))
    program = shard(request.program, layout_in(columns, bool(split[0])))
    phases = {name: _phase(request, program, name, rows, network) for name in request.phases}
    steps = {name: request.workload.decode_steps if name == "decode" else 1 for name in phases}
    total, low, high = (sum(steps[name] * ends[place] for name, ends in phases.items()) for place in range(3))
    tokens = steps["decode"] + ("prefill" in phases) if "decode" in phases else request.workload.prompt
    memory = _memory(request, program, rows)
    capacity = request.device.capacity
    nothing = np.full(len(rows), np.nan)
    return LayoutTable(
        tp, pp, dp, ep, cp, np.where(split > 0, tp, 1), batch,
        ttft_s=phases["prefill"][0] if "prefill" in phases else nothing,
        tpot_s=phases["decode"][0] if "decode" in phases else nothing,
        request_s=total,
        tokens_per_s=batch * tokens / total,
        low=low / total,
        high=high / total,
        memory_bytes=memory,
        fits=np.full(len(rows), True) if capacity is None else memory <= capacity,
    )  # fmt: skip


def _phase(
    request: Request, program: Program, phase: Phase, rows: Any, network: Network | None
) -> tuple[Any, Any, Any]:
    """Time, low and high of one step of ``phase``, a number per row. [s]"""
    pp, dp, batch = rows[:, 1], rows[:, 2], rows[:, 6]
    parts = np.asarray(microbatches(batch // dp, pp, phase))
    pipeline, where = pipeline_of(program, phase, pp, parts)
    costs = step_cost(program, phase, _sizes(request, phase, batch / dp / parts), request.precision)
    timings = time_step(costs, request.device, request.constants, request.execution, phase == "decode", network)

    def step(end: int) -> Any:
        sums = [np.zeros(len(rows)) for _ in range(4)]
        for cost, timing, place in zip(costs, timings, where, strict=True):
            value = timing.time_s if end < 0 else banded(timing)[end]
            sums[place] = sums[place] + _mean(value) * np.ravel(cost.count)
        return pipeline.step(*sums)

    return step(-1), step(1), step(2)


def _sizes(request: Request, phase: Phase, batch: Any) -> Sizes:
    """B, T and S of a step: B one number a row, the mean over the steps of S is taken along the other axis."""
    whole = request.workload.sizes(phase)
    return {**{letter: size if isinstance(size, np.ndarray) else float(size) for letter, size in whole.items()},
            "B": np.asarray(batch, dtype=np.float64)[:, None]}  # fmt: skip


def _mean(value: Any) -> Any:
    """The mean over steps, a number per row."""
    return np.mean(value, axis=1) if np.ndim(value) == 2 else mean_over_steps(value)


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
    resting = request.workload.step("decode", request.workload.batch, request.workload.held)
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
    stages = Pipeline(layer_count(program), pp, 1, "prefill").stage_values(*sums)
    bare = Program(tuple(group for group in program.groups if group.name != PIPELINE), program.sizes)
    peaks = [
        np.ravel(activation_peak(bare, phase, whole | _floats(request.workload, phase) | {"B": replica}, widths))
        for phase in request.phases
    ]
    return np.maximum.reduce(np.broadcast_arrays(*stages)) + np.maximum.reduce(np.broadcast_arrays(*peaks))


def _floats(workload: Workload, phase: Phase) -> dict[str, float]:
    return {letter: float(size) for letter, size in longest_step(workload, phase).items()}
