"""Pipeline stages: which layers are where, and what a step takes that runs through all of them.

Layers of each kind are spread evenly; where the number of stages does not divide that of the layers, some stages have
one more, inner ones first, since the first has the embedding and the last the head. A step of m microbatches takes

    prefill, encode    path + (m - 1) slowest       fill, run, drain: one request after another
    decode             max(path, m slowest)         the last stage's token starts the first stage anew

of which the slowest stage works m times: the rest of the time of a stage is the bubble.

Source: Huang et al. 2018, GPipe (arXiv 1811.06965), section 2; Narayanan et al. 2021 (arXiv 2104.04473), section 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import reduce

import numpy as np

from roofline.classes import frozen
from roofline.cost.memory_fit import Limits, MemoryFit
from roofline.cost.residency import Footprint, footprint
from roofline.number import Number, Truth, maximum, where
from roofline.parallelism.dimensions import Degree
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharding import PIPELINE
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.workload import Precision, Workload

MICROBATCHES = 4
"""Microbatches of a prefill per stage, at most: then a bubble is at most a fifth (GPipe, section 2)."""


def layers_of(layers: int, stages: Degree) -> tuple[Degree, Degree, Degree]:
    """How many layers the first stage has, the fullest inner one, and the last; numbers or arrays.

    >>> [int(count) for count in layers_of(126, 4)]
    [31, 32, 31]
    """
    least, more = layers // stages, layers % stages
    return least + ((more == stages - 1) & (more > 0)), least + (more > 0), least


def alike_between(layers: int, stages: Degree) -> Truth:
    """Whether all stages between the first and the last have equally many layers, as ``layers_of`` deals them out.

    >>> [bool(alike_between(layers, 4)) for layers in (124, 125, 126, 127)]
    [True, False, True, True]
    """
    more = layers % stages
    alike: Truth = (more == 0) | (more >= stages - 2)
    return alike


def microbatches(batch: Degree, stages: Degree, phase: Phase) -> Degree:
    """Into how many equal parts a replica's batch is cut: as many as there are stages in decode, more in prefill.

    >>> [int(microbatches(*asked)) for asked in ((12, 4, Phase.DECODE), (7, 4, Phase.DECODE), (64, 4, Phase.PREFILL))]
    [4, 1, 16]
    """
    most = stages * (1 if phase.one_token else MICROBATCHES) * (stages > 1) + (stages == 1)
    if isinstance(most, np.ndarray) or isinstance(batch, np.ndarray):
        found: Degree = np.vectorize(_parts, otypes=[int])(batch, most)[()]
        return found
    return _parts(batch, most)


def _parts(batch: int, most: int) -> int:
    """The largest divisor of ``batch`` up to ``most``."""
    return next(parts for parts in range(int(most), 0, -1) if batch % parts == 0)


@frozen
class Pipeline:
    """The stages of a phase: how many layers in all, stages, and microbatches in a step; numbers or arrays."""

    layers: int
    stages: Degree
    parts: Number
    phase: Phase

    def step(self, first: Number, layers: Number, last: Number, sends: Number) -> Number:
        """A step's value, of the values of one microbatch: before the layers, in all, after them, handing on. [s]"""
        path = first + layers + last + sends
        slowest = reduce(maximum, self.stage_values(first, layers, last))
        if self.phase.one_token:
            return maximum(path, self.parts * slowest)
        return path + (self.parts - 1) * slowest

    def stage_values(self, first: Number, layers: Number, last: Number) -> tuple[Number, Number, Number]:
        """The values of the first, the fullest inner and the last stage."""
        counts = [count / self.layers for count in layers_of(self.layers, self.stages)]
        several = self.stages > 1
        inner = where(self.stages > 2, counts[1] * layers, 0.0)
        return first + counts[0] * layers + last * (1 - several), inner, (last + counts[2] * layers) * several


def places(groups: Sequence[Group]) -> list[int]:
    """For each group of a phase: 0 before the layers, 1 a layer, 2 after them, 3 handing on."""
    found, seen = [], False
    for group in groups:
        seen = seen or group.stacked
        found.append(3 if group.name == PIPELINE else 1 if group.stacked else 2 if seen else 0)
    return found


def pipeline_of(program: Program, phase: Phase, stages: Degree, parts: Number) -> tuple[Pipeline, list[int]]:
    """The pipeline of a phase of a program, and the place of each of its operators."""
    groups = [group for group in program.groups if phase in group.phases]
    where = places(groups)
    layers = sum(int(group.times(program.sizes)) for group, place in zip(groups, where, strict=True) if place == 1)
    by_op = [place for group, place in zip(groups, where, strict=True) for _ in group.ops]
    return Pipeline(layers, stages, parts, phase), by_op


def layer_count(program: Program) -> int:
    """How many layers a pipeline can deal out: those of the phase that has the most."""
    return max(pipeline_of(program, phase, 1, 1)[0].layers for phase in program.phases)


def stage_program(program: Program, layout: Layout, index: int) -> Program:
    """What is on stage ``index`` of a sharded program: 0 the first, 1 the fullest inner one, 2 the last.

    It starts with what the stage before it hands on.
    """
    if layout.pp == 1:
        return program
    groups: list[Group] = []
    for phase in program.phases:
        own = [group for group in program.groups if phase in group.phases]
        layers = sum(group.times(program.sizes) for group in own if group.stacked)
        part = Fraction(int(layers_of(int(layers), layout.pp)[index]), int(layers))
        for group, place in zip(own, places(own), strict=True):
            if place == 1:
                groups.append(replace(group, repeat=int(group.times(program.sizes)) * part))
            elif place == index and place != 3:
                groups.append(group)
            elif place == 3 and index > 0:
                groups.insert(_start(groups, phase), _received(group))
    return replace(program, groups=tuple(groups))


def stage_programs(program: Program, layout: Layout) -> list[Program]:
    """The stages that differ: the first, the fullest inner one, the last."""
    return [stage_program(program, layout, index) for index in {1: (0,), 2: (0, 2)}.get(int(layout.pp), (0, 1, 2))]


def fullest_stage(
    program: Program, layout: Layout, workload: Workload, phases: tuple[Phase, ...], precision: Precision
) -> Footprint:
    """What resides on a device of the stage of a sharded program that holds most."""
    own = replace(workload, batch=workload.batch // int(layout.dp))
    held = (footprint(stage, own, phases, precision) for stage in stage_programs(program, layout))
    return max(held, key=lambda each: each.total_bytes)


def fit_layout(
    program: Program,
    layout: Layout,
    workload: Workload,
    phases: tuple[Phase, ...],
    precision: Precision,
    capacity: float | None,
    positions: int,
) -> MemoryFit:
    """What resides on a device of the fullest stage of a sharded program; the largest batch is that of all devices."""
    own = replace(workload, batch=workload.batch // int(layout.dp))
    held = [(stage, footprint(stage, own, phases, precision)) for stage in stage_programs(program, layout)]
    held.sort(key=lambda each: -each[1].total_bytes)
    fullest = held[0][1]
    if capacity is None:
        return MemoryFit(fullest, None, None)
    limits = Limits(tuple(stage for stage, _ in held), own, phases, precision, capacity, positions, int(layout.dp))
    return MemoryFit(fullest, int(capacity), limits)


def _start(groups: list[Group], phase: Phase) -> int:
    return next((index for index, group in enumerate(groups) if phase in group.phases), len(groups))


def _received(sends: Group) -> Group:
    ops = tuple(replace(op, name=op.name.replace("send", "receive"), reads=()) for op in sends.ops)
    return replace(sends, name="received", ops=ops, repeat=1)
