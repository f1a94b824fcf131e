"""Layouts in arrays, a row each: their times, step by step, and what they keep in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.cost.chunks import going_on
from roofline.cost.cost import costs_of
from roofline.cost.residency import FloatWidths, activation_peak, longest_step
from roofline.identity import alike
from roofline.number import Number
from roofline.parallelism.dimensions import Steps, kinds
from roofline.parallelism.layout import Layout, stored_letters
from roofline.parallelism.pipeline import Pipeline, layer_count, microbatches, pipeline_of, places
from roofline.parallelism.sharding import PIPELINE, shard, shard_phase
from roofline.prediction.overflow import resident_bytes
from roofline.prediction.request import Request
from roofline.prediction.step import by_place, pipelined
from roofline.program.axes import Binding, Sizes
from roofline.program.op import CARRIED, Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.timing.machine import Machine, with_waits
from roofline.timing.timing import NOTHING, SECONDS, Timing, total

_ROUNDING = 1e-6
"""How far sums of floats may be from the whole bytes that ``predict`` counts, as a part of them."""


@frozen
class LayoutTable:
    """Layouts x batches, a row each, as int and float64 arrays.

    Times [s]; tokens/s of all devices; low and high, factors of the request's time; bytes on a device of the fullest
    stage, where activations are the most that any stage of a pipeline keeps: as many as ``predict`` counts or, of
    pipelines, more. What a model does not have, such as decode steps, is NaN.
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


Held: TypeAlias = tuple[int, str, str]
"""What rests in memory, once: the place in the pipeline, the group but of what is tied, the name."""

Rest: TypeAlias = tuple[Any, Any, Any, Any]
"""Bytes that rest on a device, a number per row: before the layers, in all of them, after them, in each stage."""


@frozen
class PhaseRows:
    """A phase in several layouts, a number each: a step; what rests on a device by place in the pipeline; activations.

    The last two are in bytes, as arrays.
    """

    timing: Timing
    rest: Rest
    peak: Any

    def at(self, mask: Any) -> PhaseRows:
        """Some of the rows, where what is one number is that of every row."""

        def rows(values: Any) -> Any:
            return np.broadcast_to(np.asarray(values, dtype=np.float64), len(mask))[mask]

        before, layers, after, everywhere = map(rows, self.rest)
        return PhaseRows(self.timing.each(rows), (before, layers, after, everywhere), rows(self.peak))

    @classmethod
    def joined(cls, parts: Sequence[PhaseRows], order: Any) -> PhaseRows:
        """The rows of several, in another order."""
        columns = zip(*(part.timing.all_seconds for part in parts), strict=True)
        seconds = (np.concatenate(column)[order] for column in columns)
        timing = Timing(**dict(zip(SECONDS, seconds, strict=True)))
        before, layers, after, everywhere = (
            np.concatenate(column)[order] for column in zip(*(part.rest for part in parts), strict=True)
        )
        peak = np.concatenate([part.peak for part in parts])[order]
        return cls(timing, (before, layers, after, everywhere), peak)


def layout_rows(request: Request, layouts: Layout, batch: Any, machine: Machine) -> LayoutTable:
    """A row for each layout and its batch."""
    found: dict[Phase, PhaseRows] = {}
    seen: set[Held] = set()
    for phase in request.program.phases:
        found[phase] = _phase_rows(request, phase, layouts, batch, machine, seen)
        seen |= {key for key, *_ in resting(request.program, phase)}
    phases = {name: rows.timing for name, rows in found.items() if name in request.phases}
    whole = total((request.workload.steps(name), timing) for name, timing in phases.items())
    decodes = Phase.DECODE in phases
    tokens = request.workload.steps(Phase.DECODE) + (Phase.PREFILL in phases) if decodes else request.workload.prompt
    least, memory = _memory(request, layouts, list(found.values()))
    nothing = np.full(len(batch), np.nan)
    return LayoutTable(
        layouts,
        batch,
        ttft_s=phases[Phase.PREFILL].time_s if Phase.PREFILL in phases else nothing,
        tpot_s=phases[Phase.DECODE].time_s if decodes else nothing,
        request_s=whole.time_s,
        tokens_per_s=batch * tokens / whole.time_s,
        low=whole.low_s / whole.time_s,
        high=whole.high_s / whole.time_s,
        memory_bytes=memory,
        fits=_fits(request, machine, layouts, batch, (least, memory)),
    )


def _fits(request: Request, machine: Machine, layouts: Layout, batch: Any, memory: tuple[Any, Any]) -> Any:
    """Whether each row fits, as ``predict`` says it: where the room is between the least and the most, it is asked."""
    room = machine.room_bytes
    if room is None:
        return np.full(len(batch), True)
    least, most = memory
    fits = most <= room
    for row in np.flatnonzero((least <= room * (1 + _ROUNDING)) & (most > room * (1 - _ROUNDING))):
        asked = replace(request, workload=replace(request.workload, batch=int(batch[row])))
        layout = layouts.at(int(row))
        fits[row] = machine.fits(resident_bytes(asked, layout, shard(request.program, layout)))
    return fits


def _phase_rows(
    request: Request, phase: Phase, layouts: Layout, batch: Any, machine: Machine, seen: set[Held]
) -> PhaseRows:
    """A phase in each layout: those that have the same collectives in it run the same program."""
    later = phase is Phase.PREFILL and request.workload.pieces > 1
    kind = kinds(layouts.to_dict(), Steps(phase.one_token, later))
    masks = [kind == each for each in np.unique(kind)]
    columns = layouts.at((..., None))
    programs = [shard_phase(request.program, columns, phase, layouts.at(mask)) for mask in masks]
    rests = [_rest(request, program, phase, layouts, batch, seen) for program in programs]
    asked = phase in request.phases
    timings = _timings(request, programs, phase, layouts, batch, machine) if asked else [NOTHING] * len(masks)
    peaks = [_peak(request, program, phase, batch / layouts.dp) if asked else 0.0 for program in programs]
    kept = zip(timings, rests, peaks, strict=True)
    parts = [PhaseRows(*each).at(mask) for each, mask in zip(kept, masks, strict=True)]
    return PhaseRows.joined(parts, np.argsort(np.concatenate([np.flatnonzero(mask) for mask in masks])))


def _timings(
    request: Request, programs: Sequence[Program], phase: Phase, layouts: Layout, batch: Any, machine: Machine
) -> list[Timing]:
    """One step of ``phase`` in each program, a number per row: operators that programs have in common once. [s]"""
    pp, dp = layouts.pp, layouts.dp
    passes = np.asarray(request.workload.passes(phase, batch // dp))
    parts = np.maximum(microbatches(batch // dp, pp, phase), passes)
    pieces = request.workload.pieces if phase is Phase.PREFILL else 1
    sizes, fixed = _sizes(request, phase, batch / dp * pieces / parts), request.program.sizes
    stated = Distinct()
    places_of = [[stated.place(*each) for each in program.in_phase(phase)] for program in programs]
    costs = costs_of(stated.found, fixed, phase, sizes, request.precision, request.engine)
    if phase is Phase.PREFILL:
        costs = going_on(stated.found, fixed, costs, sizes, request.precision)
    timings = [machine.time(cost) for cost in costs]
    means, several = [timing.mean() for timing in timings], len(stated.found)
    found: list[Timing] = []
    for program, at in zip(programs, places_of, strict=True):
        pipeline, where = pipeline_of(program, phase, pp, parts)
        counts = [group.times(fixed) for group, _ in program.in_phase(phase)]
        own = [replace(costs[place], count=count) for place, count in zip(at, counts, strict=True)]
        with np.errstate(invalid="ignore"):  # rows of other kinds, which are dropped
            waits = with_waits([*own, *costs[several:]], [*(timings[place] for place in at), *timings[several:]])
            each = [(np.ravel(np.asarray(count)), means[place]) for place, count in zip(at, counts, strict=True)]
            host = [(cost.count, wait.mean()) for cost, wait in zip(costs[several:], waits[len(at) :], strict=True)]
            found.append(pipelined(pipeline, by_place([*each, *host], where)))
    return found


_ROUTED = frozenset("AEXC")
"""Letters of experts: what they are bound to reads those of the group."""


@dataclass(slots=True)
class Distinct:
    """Operators of several programs with their groups: those that are split alike are one, in whichever group."""

    found: list[tuple[Group, Op]] = field(default_factory=list)
    named: dict[str, list[int]] = field(default_factory=dict)

    def place(self, group: Group, op: Op) -> int:
        """The place of an operator among those found, where it joins them if it is none of them."""
        known = self.named.setdefault(op.name, [])
        own = _bound(group, op)
        for place in known:
            one, other = self.found[place]
            if alike(op, other) and alike(own, _bound(one, other)):
                return place
        known.append(len(self.found))
        self.found.append((group, op))
        return known[-1]


def _bound(group: Group, op: Op) -> Mapping[str, Binding]:
    """What of a group's letters an operator has, in its tensors or in what it binds; of experts all."""
    own = {*stored_letters(op), *op.local, *(each for each in op.local.values() if isinstance(each, str))}
    if not _ROUTED.isdisjoint(own):
        return group.local
    return {letter: binding for letter, binding in group.local.items() if letter in own}


def _peak(request: Request, program: Program, phase: Phase, replica: Any) -> Any:
    """The most bytes of activations on a device of any stage."""
    bare = replace(program, groups=tuple(group for group in program.groups if group.name != PIPELINE))
    step = _numbers(program) | _floats(longest_step(request.workload, phase, replica[:, None]))
    return np.ravel(np.asarray(activation_peak(bare, phase, step, FloatWidths(request.precision))))


def _sizes(request: Request, phase: Phase, batch: Any) -> Sizes:
    """B, T and S of a step: B one number a row, the mean over the steps of S is taken along the other axis."""
    whole = request.workload.sizes(phase)
    return {**_floats(whole), "B": np.asarray(batch, dtype=np.float64)[:, None]}


def resting(program: Program, phase: Phase) -> Iterator[tuple[Held, Group, Op, Tensor]]:
    """What a phase keeps in memory between steps, weights and caches, each once, with its place in the pipeline."""
    seen: set[Held] = set()
    groups = [group for group in program.groups if phase in group.phases]
    for group, place in zip(groups, places(groups), strict=True):
        for op in group.ops if place < 3 else ():
            for tensor in (*op.reads, *op.writes):
                key = (place, "" if tensor.tied else group.name, tensor.name)
                if tensor.role not in ("activation", "index", "input") and key not in seen:
                    seen.add(key)
                    yield key, group, op, tensor


def _rest(request: Request, program: Program, phase: Phase, layouts: Layout, batch: Any, seen: set[Held]) -> Rest:
    """Bytes of what rests on a device and was not ``seen``; weights that layers share are whole in each stage."""
    widths, work = FloatWidths(request.precision), request.workload
    held = _numbers(program) | _floats(work.step(Phase.DECODE, work.batch, work.held))
    held["B"] = (batch / layouts.dp)[:, None]
    sums = [np.zeros(len(batch)) for _ in range(4)]
    found = list(resting(program, phase))
    first = seen | {key for key, *_ in found}
    for key, group, op, tensor in found:
        if key not in seen:
            size = np.ravel(np.asarray(program.resident(group, op, tensor, held))) * widths.width(tensor)
            size = size if tensor.role in CARRIED else np.asarray(program.held(size))
            again = tensor.tied and key[0] == 2 and (0, "", tensor.name) in first
            place = 3 if group.shared and key[0] == 1 else key[0]
            sums[place] = sums[place] + size * (layouts.pp > 1 if again else 1)
    before, layers, after, everywhere = sums
    return before, layers, after, everywhere


def _memory(request: Request, layouts: Layout, phases: Sequence[PhaseRows]) -> tuple[Any, Any]:
    """Bytes on a device of the fullest stage, at least and at most, a number per row; of one stage they are the same.

    Activations of the fullest of several may be fewer than those of all.
    """
    *sums, everywhere = (sum(each) for each in zip(*(rows.rest for rows in phases), strict=True))
    stages = (
        np.asarray(held)
        for held in Pipeline(layer_count(request.program), layouts.pp, 1, Phase.PREFILL).stage_values(*sums)
    )
    rest = np.maximum.reduce(np.broadcast_arrays(*stages)) + everywhere
    peaks = np.maximum.reduce([rows.peak for rows in phases])
    return rest + np.where(layouts.pp > 1, 0.0, peaks), rest + peaks


def _numbers(program: Program) -> dict[str, Number]:
    return {letter: float(size) for letter, size in program.sizes.items()}


def _floats(sizes: Sizes) -> dict[str, Number]:
    return {letter: size if isinstance(size, np.ndarray) else float(size) for letter, size in sizes.items()}
