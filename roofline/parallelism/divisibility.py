"""Which layouts can split a program: what each degree must divide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from roofline.errors import WorkloadError
from roofline.identity import Same
from roofline.number import Truth
from roofline.parallelism.layout import Layout, reads_positions
from roofline.parallelism.pipeline import layer_count
from roofline.parallelism.sharding import read_first
from roofline.parallelism.split_axes import Condition, axis_conditions, planned_conditions
from roofline.program.axes import rebind
from roofline.program.phases import Phase
from roofline.program.program import BOTH_PASSES, SEVERAL, Program
from roofline.program.workload import Workload

_TRIED = 1024
"""The largest degree that an error lists."""


def check_layout(layout: Layout, program: Program, phases: tuple[Phase, ...], workload: Workload, name: str) -> None:
    """Raises WorkloadError, with the degrees that would do, where ``layout`` cannot split the program of ``name``."""
    if layout == Layout():
        return
    found = list(conditions(program, phases, workload))
    for condition in found:
        if not condition.holds(layout):
            flag = condition.flag
            msg = f"{flag} {getattr(layout, flag)} {condition.problem} ({name}); {_alternatives(flag, layout, found)}"
            raise WorkloadError(msg)


def can_split(layouts: Layout, program: Program, phases: tuple[Phase, ...], workload: Workload) -> NDArray[np.bool_]:
    """Which of many layouts, in arrays, can split the program."""
    held = [np.asarray(condition.holds(layouts)) for condition in conditions(program, phases, workload)]
    every: NDArray[np.bool_] = np.logical_and.reduce(np.broadcast_arrays(layouts.tp > 0, *held))
    return every


def conditions(program: Program, phases: tuple[Phase, ...], workload: Workload) -> Iterator[Condition]:
    """All that a layout must satisfy, each once."""
    yield from _of_program(Same(program))
    batch, prompt = workload.batch, workload.prompt
    yield Condition("sp", "is neither 1 nor the tensor degree", lambda x: (x.sp == 1) | (x.sp == x.tp))
    yield Condition("dp", f"does not divide the batch {batch}", lambda x: batch % x.dp == 0)
    if all(phase.one_token for phase in phases):
        held = workload.longest
        attended = f"is more than the {held} tokens that are attended to"
        yield Condition("cp", attended, lambda x: x.cp <= held)
        yield Condition("dcp", attended, lambda x: x.dcp * x.cp <= held)
    else:
        yield Condition("cp", f"does not divide the prompt of {prompt} tokens", lambda x: prompt % x.cp == 0)
        part = f"does not divide the prompt of {prompt} tokens among the devices of cp"
        yield Condition("sp", part, lambda x: (x.sp == 1) | (prompt % (x.cp * x.tp) == 0))
    if (first := workload.decoder_start) is not None and workload.context is None:
        start = f"does not divide the {first} tokens that the decoder begins with"
        yield Condition("cp", start, lambda x: first % x.cp == 0)
        yield Condition("sp", start, lambda x: (x.sp == 1) | (first % (x.cp * x.tp) == 0))


@lru_cache(maxsize=64)
def _of_program(program: Same[Program]) -> tuple[Condition, ...]:
    """Those that depend on neither batch nor lengths."""
    return tuple(_conditions_of(program.it))


def _conditions_of(program: Program) -> Iterator[Condition]:
    if program.anonymous:
        yield from _conditions_of_traced(program)
        return
    yield from axis_conditions(program)
    yield from _caches(program)
    yield Condition("ep", "takes its devices from tp, then from dp, and must divide tp or be a multiple of it", _fits)
    layers = layer_count(program)
    yield Condition("pp", f"is more than the {layers} layers", lambda x: x.pp <= layers)
    for lost in _lost_between_stages(program):
        problem = f"cannot be: layers read {lost}, which no layer hands on to the next stage"
        yield Condition("pp", problem, lambda x: x.pp == 1)


def _conditions_of_traced(program: Program) -> Iterator[Condition]:
    """Those of a traced module: its plan says what tensor parallelism splits, a pipeline deals out its layers."""
    for flag in ("ep", "cp", "sp", "dcp"):
        yield Condition(flag, "cannot split a traced module, whose axes have no meaning; dp can", _unsplit(flag))
    if program.whole:
        yield Condition("tp", f"cannot split a traced module: {program.whole}; dp can", _unsplit("tp"))
    yield from planned_conditions(program)
    if program.whole in (BOTH_PASSES, SEVERAL):
        yield Condition("pp", f"cannot split a traced module: {program.whole}; dp can", _unsplit("pp"))
        return
    layers = layer_count(program)
    what = f"is more than the {layers} layers" if layers else "finds no list of layers in a traced module; dp can"
    yield Condition("pp", what, lambda x: x.pp <= max(layers, 1))


def _unsplit(flag: str) -> Callable[[Layout], Truth]:
    return lambda layout: getattr(layout, flag) == 1


def _lost_between_stages(program: Program) -> set[str]:
    """Activations that layers read and that the last of them does not write: a later stage would not have them."""
    lost: set[str] = set()
    for phase in program.phases:
        layers = [group for group in program.groups if phase in group.phases and group.stacked]
        tensors = {t.name: t for group in layers for op in group.ops for t in (*op.reads, *op.writes)}
        written = {tensor.name for group in layers[-1:] for op in group.ops for tensor in op.writes}
        read = set().union(*(read_first([group]) for group in layers))
        lost |= {name for name in read - written if tensors[name].role == "activation"}
    return lost


def _caches(program: Program) -> Iterator[Condition]:
    """What follows from the heads of the caches that attention reads: devices split what they would hold alike."""
    held = {heads for phase in program.phases if phase.one_token for heads in _cached_heads(program, phase)}
    if not held:
        yield Condition("dcp", "splits a cache, and attention reads none", lambda x: x.dcp == 1)
    yield from map(_held_alike, sorted(held))
    if any("s" in (tensor.stored or tensor.axes) for _, _, tensor in program.caches()):
        for flag in ("cp", "dcp"):
            yield Condition(flag, "splits a cache by position, not one of compressed entries", _unsplit(flag))


def _held_alike(heads: int) -> Condition:
    problem = f"does not divide the devices of tp that would hold a cache of {heads} heads alike"
    return Condition("dcp", problem, lambda x: (x.dcp == 1) | (x.tp % (heads * x.dcp) == 0))


def _cached_heads(program: Program, phase: Phase) -> Iterator[int]:
    """Of each cache that attention reads by position, its key/value heads; one where all heads share a latent."""
    for group, op in program.in_phase(phase):
        if reads_positions(op, group):
            sizes = rebind(group.sizes({"B": 1, "T": 1, "S": 1, "M": 1, **program.sizes}), op.local)
            for tensor in op.reads:
                if tensor.role == "kv_cache":
                    yield int(sizes["K"]) if "K" in tensor.letters else 1


def _fits(layout: Layout) -> Truth:
    across = np.maximum(layout.ep // layout.tp, 1)
    whole: Truth = (layout.ep % layout.tp == 0) & (layout.dp % across == 0)
    return (layout.tp % layout.ep == 0) | whole


def _alternatives(flag: str, layout: Layout, found: list[Condition]) -> str:
    """The degrees of ``flag`` that satisfy all its conditions, the rest of the layout as it is."""
    if flag == "sp":
        return "leave --sp out"
    degrees = np.arange(1, _TRIED + 1)
    tried = replace(layout, **{flag: degrees})
    held = [np.broadcast_to(condition.holds(tried), _TRIED) for condition in found if condition.flag == flag]
    good = [str(degree) for degree in degrees[np.logical_and.reduce(held)]]
    return (
        f"{flag} can be {', '.join(good[:12])}{' ...' if len(good) > 12 else ''}" if good else "change another degree"
    )
