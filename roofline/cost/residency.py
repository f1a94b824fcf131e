"""Resident memory: weights, KV cache and states, and the peak of the activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache, reduce
from typing import Protocol, TypeAlias

from roofline.classes import frozen
from roofline.cost.kv_cache import cache_bytes
from roofline.identity import Same
from roofline.number import Number, exact, is_symbolic, maximum, short, whole
from roofline.program.axes import Sizes, rebind
from roofline.program.op import STATES, Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import Precision, Workload

Step: TypeAlias = tuple[dict[str, Number], dict[str, Number]]
"""Bytes by name of the activations that an operator reads, and of those that it writes."""


class Widths(Protocol):
    """What says how many bytes an element of a tensor takes."""

    def width(self, tensor: Tensor, /) -> Number:
        """Bytes per element."""


@frozen
class FloatWidths:
    """Bytes per element as floats, which go with arrays."""

    precision: Precision

    def width(self, tensor: Tensor) -> float:
        """Bytes per element."""
        return float(self.precision.width(tensor))


@frozen
class Footprint:
    """Bytes resident on the device while the workload runs, at its longest."""

    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    state_bytes: int = 0

    @property
    def carried_bytes(self) -> int:
        """What one step leaves for the next: keys and values of all tokens, and the states of recurrences."""
        return self.kv_cache_bytes + self.state_bytes

    @property
    def total_bytes(self) -> int:
        """Weights, cache, states and activations together."""
        return self.weights_bytes + self.carried_bytes + self.activation_bytes


def footprint(program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision) -> Footprint:
    """Weights (tied ones once), KV cache and states at the workload's longest, and the largest peak of the phases."""
    return _footprint(resident_bytes(program, workload, phases, precision))


def resident_bytes(
    program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision
) -> dict[str, Number]:
    """The same under the names of a footprint, of numbers that remember too."""
    peak = _peak(program, workload, phases, precision)
    return {**_resting(program, workload, precision), "activation_bytes": whole(peak)}


def resting(program: Program, workload: Workload, precision: Precision) -> Footprint:
    """What stays from step to step: the same without activations."""
    return _footprint(_resting(program, workload, precision))


def _footprint(parts: Mapping[str, Number]) -> Footprint:
    return Footprint(**{"activation_bytes": 0, **{name: int(size) for name, size in parts.items()}})


def _resting(program: Program, workload: Workload, precision: Precision) -> dict[str, Number]:
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    held = {**sizes, **workload.step(Phase.DECODE, workload.batch, workload.held)}
    cache, states = (cache_bytes(program, held, precision, roles) for roles in (("kv_cache",), STATES))
    weights = _weights_of(Same(program), precision)
    return {"weights_bytes": whole(weights), "kv_cache_bytes": whole(cache), "state_bytes": whole(states)}


@lru_cache(maxsize=128)
def _weights_of(program: Same[Program], precision: Precision) -> Number:
    sizes = {letter: exact(size) for letter, size in program.it.sizes.items()}
    return weights_bytes(program.it, sizes, precision)


def _peak(program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision) -> Number:
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    steps = ((phase, {**sizes, **longest_step(workload, phase)}) for phase in phases)
    return reduce(maximum, [activation_peak(program, phase, step, precision) for phase, step in steps])


def weights_bytes(program: Program, sizes: Sizes, precision: Precision) -> Number:
    """Bytes of the weights on the device, tied ones once, and of their scales.

    ``sizes`` may hold letters instead of the configuration's numbers.
    """
    return _parts_of_weights(program, sizes, precision, lambda tensor: 1 - tensor.hosted)


def hosted_bytes(program: Program, sizes: Sizes, precision: Precision) -> Number:
    """The same of what lies in the host's memory."""
    return _parts_of_weights(program, sizes, precision, lambda tensor: tensor.hosted)


def _parts_of_weights(
    program: Program, sizes: Sizes, precision: Precision, part: Callable[[Tensor], Fraction]
) -> Number:
    held = (*program.weights(), *program.scales())
    stated = sum(
        program.resident(group, op, tensor, sizes) * precision.width(tensor) * part(tensor)
        for group, op, tensor in held
    )
    return program.held(exact(stated))


def longest_step(workload: Workload, phase: Phase, batch: Number | None = None) -> Sizes:
    """B, T and S, and M behind an encoder, of the step of ``phase`` that holds most; of so many sequences, if given."""
    length = workload.longest if phase.one_token else workload.prompt
    return workload.largest_pass(phase, workload.batch if batch is None else batch, length)


def activation_peak(program: Program, phase: Phase, sizes: Sizes, precision: Widths) -> Number:
    """The most bytes of activations alive at once.

    Every buffer is its own, nothing is recomputed, and no workspace of a library is counted.
    """
    return reduce(maximum, alive_bytes(program, phase, sizes, precision))


def alive_bytes(program: Program, phase: Phase, sizes: Sizes, precision: Widths) -> Sequence[Number]:
    """Bytes of activations alive at each operator: a tensor lives from a write to the last read before the next."""
    given = tuple(sizes.items())
    if isinstance(precision, Precision) and all(type(size) in (int, Fraction) for _, size in given):
        return _alive_kept(Same(program), phase, given, precision)
    return alive_along(list(_steps(program, phase, sizes, precision)))


@lru_cache(maxsize=512)
def _alive_kept(
    program: Same[Program], phase: Phase, sizes: tuple[tuple[str, Number], ...], precision: Precision
) -> tuple[Number, ...]:
    """The same of plain numbers, which the search for the largest batch and every further batch ask for again."""
    return tuple(alive_along(list(_steps(program.it, phase, dict(sizes), precision))))


def alive_along(steps: Sequence[Step]) -> list[Number]:
    """The same of operators by what they read and write."""
    held: dict[str, Number] = {}
    alive: list[Number] = []
    for (reads, writes), later in zip(steps, _needed_after(steps), strict=True):
        for name, size in (*reads.items(), *writes.items()):
            held[name] = maximum(size, held[name]) if name in held else size
        alive.append(sum(held.values()))
        held.update(writes)
        for name in [name for name in held if name not in later]:
            del held[name]
    return alive


def _needed_after(steps: Sequence[Step]) -> list[set[str]]:
    """For each step, the names that a later step reads before anything writes them anew."""
    needed: list[set[str]] = []
    later: set[str] = set()
    for reads, writes in reversed(steps):
        needed.append(later)
        later = reads.keys() | (later - writes.keys())
    return needed[::-1]


def _steps(program: Program, phase: Phase, sizes: Sizes, precision: Widths) -> Iterator[Step]:
    """Reads and writes in running order; a repeated group runs twice, which shows what lives across its repeats."""
    for group in program.groups:
        if phase in group.phases:
            local, times = group.sizes(sizes), group.times(sizes)
            steps = [touched_bytes(op, rebind(local, op.local), precision) for op in group.ops]
            yield from steps * (2 if is_symbolic(times) or times > 1 else 1)


def touched_bytes(op: Op, bound: Sizes, precision: Widths) -> Step:
    """Bytes by name of the activations that an operator reads, and of those that it writes."""

    def held(tensors: tuple[Tensor, ...]) -> dict[str, Number]:
        """The largest of each name, where one operator reads a tensor under two sets of axes."""
        found: dict[str, Number] = {}
        for tensor in tensors:
            if tensor.role not in ("weight", "kv_cache"):
                size = short(tensor.elements(bound) * precision.width(tensor))
                found[tensor.name] = maximum(size, found[tensor.name]) if tensor.name in found else size
        return found

    return held(op.reads), held(op.writes)
