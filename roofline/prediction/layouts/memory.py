"""What each of several layouts keeps in memory: weights and caches, which rest, and the activations of a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from roofline.cost.residency import FloatWidths, Step, alive_along, longest_step, touched_bytes
from roofline.number import maximum
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import Pipeline, layer_count, places
from roofline.parallelism.sharding import PIPELINE, shard
from roofline.prediction.layouts.programs import PhaseRows, floats
from roofline.prediction.overflow import resident_bytes
from roofline.prediction.request import Request
from roofline.program.axes import rebind
from roofline.program.op import CARRIED, Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.timing.machine import Machine

_ROUNDING = 1e-6
"""How far sums of floats may be from the whole bytes that ``predict`` counts, as a part of them."""

Held: TypeAlias = tuple[int, str, str]
"""What rests in memory, once: the place in the pipeline, the group but of what is tied, the name."""


def rest_rows(request: Request, layouts: Layout, batch: Any, phases: Sequence[PhaseRows]) -> Any:
    """Bytes that rest on a device of the fullest stage between steps, a number per row."""
    sums, seen = [np.zeros(len(batch)) for _ in range(4)], set[Held]()
    for rows in phases:
        sums = [held + more for held, more in zip(sums, _rest(request, rows, layouts, batch, seen), strict=True)]
        seen |= {key for key, *_ in resting(request.program, rows.phase)}
    before, layers, after, everywhere = sums
    pipeline = Pipeline(layer_count(request.program), layouts.pp, 1, Phase.PREFILL)
    stages = (np.asarray(held) for held in pipeline.stage_values(before, layers, after))
    fullest: Any = np.maximum.reduce(np.broadcast_arrays(*stages)) + everywhere
    return fullest


def peak_rows(
    request: Request, layouts: Layout, batch: Any, phases: Sequence[PhaseRows], *, layers: bool = False
) -> Any:
    """The most bytes of activations on a device at any operator, or at any of layers, a number per row."""
    asked = [rows for rows in phases if rows.phase in request.phases]
    peaks: Any = np.maximum.reduce([_peaks(request, rows, batch / layouts.dp, layers=layers) for rows in asked])
    return peaks


def fit_rows(
    machine: Machine, request: Request, layouts: Layout, batch: Any, phases: Sequence[PhaseRows], held: tuple[Any, Any]
) -> Any:
    """Whether each row fits, as ``predict`` says it; ``held``: what rests, and that with the activations.

    Each stage of a pipeline has the activations of layers, and none has more than all stages together: where the room
    is between them, ``predict`` is asked.
    """
    room = machine.room_bytes
    if room is None:
        return np.full(len(batch), True)
    rest, most = held
    fits, unsure = most <= room, (most > room * (1 - _ROUNDING)) & (rest <= room) & (layouts.pp > 1)
    if unsure.any():
        least = rest + peak_rows(request, layouts, batch, phases, layers=True)
        unsure &= least <= room * (1 + _ROUNDING)
    for row in np.flatnonzero(unsure | (np.abs(most - room) <= room * _ROUNDING)):
        asked = replace(request, workload=replace(request.workload, batch=int(batch[row])))
        layout = layouts.at(int(row))
        fits[row] = machine.fits(resident_bytes(asked, layout, shard(request.program, layout)))
    return fits


def resting(program: Program, phase: Phase) -> Iterator[tuple[Held, Group, Op, Tensor]]:
    """What a phase keeps in memory between steps, weights and caches, each once, with its place in the pipeline."""
    seen: set[Held] = set()
    groups = [group for group in program.groups if phase in group.phases]
    for group, place in zip(groups, places(groups), strict=True):
        for op in group.ops if place < 3 else ():
            for tensor in (*op.reads, *op.writes):
                key = (place, "" if tensor.tied else group.name, tensor.name)
                if tensor.role not in ("activation", "index", "input") and not tensor.borrowed and key not in seen:
                    seen.add(key)
                    yield key, group, op, tensor


def _rest(request: Request, rows: PhaseRows, layouts: Layout, batch: Any, seen: set[Held]) -> list[Any]:
    """Bytes that rest on a device before the layers, in all of them, after them, in each stage, and were not ``seen``.

    Weights that layers share are whole in each stage.
    """
    widths, work = FloatWidths(request.precision), request.workload
    held = floats(request.program.sizes) | floats(work.step(Phase.DECODE, work.batch, work.held))
    held["B"] = (batch / layouts.dp)[:, None]
    found: list[list[Any]] = [[], [], [], []]
    for program in rows.programs:
        sums: list[Any] = [0.0] * 4
        tensors = list(resting(program, rows.phase))
        first = seen | {key for key, *_ in tensors}
        for key, group, op, tensor in tensors:
            if key not in seen:
                size = np.ravel(np.asarray(program.resident(group, op, tensor, held))) * widths.width(tensor)
                size = size if tensor.role in CARRIED else np.asarray(program.held(size))
                again = tensor.tied and key[0] == 2 and (0, "", tensor.name) in first
                place = 3 if group.shared and key[0] == 1 else key[0]
                sums[place] = sums[place] + size * (layouts.pp > 1 if again else 1)
        for parts, held_by in zip(found, sums, strict=True):
            parts.append(held_by)
    return [rows.joined(parts) for parts in found]


def _peaks(request: Request, rows: PhaseRows, replica: Any, *, layers: bool) -> Any:
    """The most bytes of activations at any operator of a phase, a number per row."""
    step = floats(request.program.sizes) | floats(longest_step(request.workload, rows.phase, replica[:, None]))
    widths = FloatWidths(request.precision)
    touched = [touched_bytes(op, rebind(group.sizes(step), op.local), widths) for group, op in rows.stated]
    peaks = []
    for program, stated in zip(rows.programs, rows.places, strict=True):
        steps, place = list[Step](), iter(stated)
        for group in program.groups:
            own = [touched[next(place)] for _ in group.ops]
            if group.name != PIPELINE and (group.stacked or not layers):
                steps += own * (1 if layers else 1 + (int(group.times(program.sizes)) > 1))
        peaks.append(np.ravel(np.asarray(reduce(maximum, [*alive_along(steps), 0.0]))))
    return rows.joined(peaks)
