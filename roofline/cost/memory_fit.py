"""Memory capacity: whether a workload fits, the largest batch and the longest context."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cache, cached_property

from roofline.classes import frozen
from roofline.cost.kv_cache import cache_bytes
from roofline.cost.parabolas import NEVER, crossing, last_that_fits, last_within
from roofline.cost.residency import Footprint, alive_bytes, footprint, longest_step, resting
from roofline.number import Number, as_fraction, exact
from roofline.program.axes import rebind
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import MAX_LENGTH, Precision, Workload


@dataclass(frozen=True)
class Limits:
    """What fits at most in ``room`` bytes and ``positions`` tokens on the stages of a pipeline, or on one device.

    Either is counted when it is asked for, the fullest stage first: only where a stage does not hold what the others do
    is its own limit sought. ``workload`` is that of one of so many ``replicas``.
    """

    stages: tuple[Program, ...]
    workload: Workload
    phases: tuple[Phase, ...]
    precision: Precision
    room: float
    positions: int
    replicas: int = 1

    @cached_property
    def max_batch(self) -> int:
        """The most sequences at once, on all replicas."""
        fullest, *others = self.stages
        found = largest_batch(fullest, self.workload, self.phases, self.precision, self.room)
        for stage in others:
            if found and self._held(stage, found) > self.room:
                found = largest_batch(stage, self.workload, self.phases, self.precision, self.room)
        return found * self.replicas

    @cached_property
    def max_context(self) -> int:
        """The longest sequence, prompt and generated tokens together."""
        found = self.positions
        for stage in self.stages:
            if found:
                found = longest_context(stage, self.workload, self.phases, self.precision, self.room, found)
        return found

    def _held(self, stage: Program, batch: int) -> int:
        return footprint(stage, replace(self.workload, batch=batch), self.phases, self.precision).total_bytes


@frozen
class MemoryFit:
    """What stays resident at the workload's longest, and what would fit. [B]

    ``capacity_bytes`` and ``limits`` are None where the capacity is what one installs.
    """

    footprint: Footprint
    capacity_bytes: int | None
    limits: Limits | None = field(compare=False, repr=False)
    overhead_bytes: int = 0

    @property
    def max_batch(self) -> int | None:
        """The most sequences at once that fit; None where the capacity is not known."""
        return self.limits.max_batch if self.limits else None

    @property
    def max_context(self) -> int | None:
        """The longest sequence that fits, in tokens; None where the capacity is not known."""
        return self.limits.max_context if self.limits else None

    @property
    def total_bytes(self) -> int:
        """All that is resident."""
        return self.footprint.total_bytes + self.overhead_bytes

    @property
    def fits(self) -> bool | None:
        """Whether it fits, or None where the capacity is not known."""
        return None if self.capacity_bytes is None else self.total_bytes <= self.capacity_bytes

    def to_dict(self) -> dict[str, int | None]:
        """The memory block of the JSON of ``predict``."""
        names = ("overhead_bytes", "total_bytes", "capacity_bytes", "max_batch", "max_context")
        return {**asdict(self.footprint), **{name: getattr(self, name) for name in names}}


def largest_batch(
    program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision, room: float
) -> int:
    """The most sequences at once that fit in ``room`` bytes; 0 if not one does.

    Under chunked prefill the activations alive at an operator grow with the batch up to those of a whole chunk.

    Cache and states are a constant (scales of whole tensors) and a part proportional to the batch; the activations
    alive at an operator are a constant (positions, which all sequences share), a part proportional to it and, where
    sequences are compared with each other, one proportional to its square; weights are constant. So each operator's
    limit is the root of a quadratic, and the least of them is the answer. Where more sequences add ever less, as
    experts that are touched already, it is sought. Whole bytes are what resides, so that one more may fit than the
    exact sizes say.
    """
    free = int(room) - resting(program, replace(workload, batch=1), precision).weights_bytes
    carried = [_carried(program, workload, batch, precision) for batch in range(3)]

    def held_by(batch: int) -> int:
        return footprint(program, replace(workload, batch=batch), phases, precision).total_bytes

    whole, fits = replace(workload, chunk=None), []
    for phase in phases:
        alive = [_alive(program, whole, phase, precision, batch) for batch in range(3)]
        most = alive[0] if workload.chunk is None else _alive(program, workload, phase, precision, workload.chunk)
        for held, chunk in zip(zip(*alive, strict=True), most, strict=True):
            if held[0] + held[2] < 2 * held[1]:
                return last_that_fits(held_by, int(room), MAX_LENGTH)
            limit = crossing(Fraction(free), {b: as_fraction(carried[b] + size) for b, size in enumerate(held)})
            if phase is Phase.PREFILL and workload.chunk is not None:
                limit = max(limit, crossing(Fraction(free), {b: as_fraction(carried[b] + chunk) for b in range(3)}))
            fits.append(limit)
    found = max(0, int(min(fits)))
    if found == NEVER:
        return MAX_LENGTH
    return found + 1 if found < MAX_LENGTH and held_by(found + 1) <= int(room) else found


def _alive(program: Program, workload: Workload, phase: Phase, precision: Precision, batch: int) -> Sequence[Number]:
    """The activations alive at each operator of a step of so many sequences. [B]"""
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    return alive_bytes(program, phase, sizes | dict(longest_step(workload, phase, batch)), precision)


def _carried(program: Program, workload: Workload, batch: int, precision: Precision) -> Number:
    """What so many sequences leave for the next step at their longest, with scales of all together, not rounded. [B]"""
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    return cache_bytes(program, {**sizes, **workload.step(Phase.DECODE, batch, workload.held)}, precision)


def longest_context(
    program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision, room: float, positions: int
) -> int:
    """The longest sequence, prompt and generated tokens together, that fits in ``room`` bytes; 0 if none does.

    The prompt grows, the generated length stays; the model's positions are the limit. Behind an encoder it is the
    longest prompt, which the encoder reads. Between two bends (a window ends the growth of a cache) what is alive at an
    operator is at most quadratic in the length, so each operator's limit is the root of a quadratic, and the least of
    them is the answer. A cache in blocks fits that length or at least the whole blocks in it.
    """
    generated = 1 if all(phase.encodes for phase in phases) or workload.decoder_start is not None else workload.generate
    block, workload = workload.kv_block, replace(workload, kv_block=1)
    if block > 1:
        most = longest_context(program, workload, phases, precision, room, positions)
        return _in_blocks(program, replace(workload, kv_block=block), phases, precision, room, most)

    @cache
    def held(length: int) -> list[Fraction]:
        if workload.context is not None:
            longer = replace(workload, context=length)
        else:
            longer = replace(workload, prompt=max(1, length - generated + 1))
        return _bytes_by_operator(program, longer, phases, precision)

    chunks = [] if workload.context is not None else _whole_chunks(workload, generated)
    bends = _bends(program, 1 if workload.context is not None else generated, min(positions, MAX_LENGTH), chunks)
    free = Fraction(int(room))
    if max(held(bends[-1])) <= free:
        return bends[-1]
    if max(held(bends[0])) > free:
        return 0
    beyond = bisect_left(bends, True, key=lambda length: max(held(length)) > free)
    low, high = bends[beyond - 1], bends[beyond]
    if high - low == 1:
        return low
    lengths = (low, (low + high) // 2, high)
    curves = zip(*(held(length) for length in lengths), strict=True)
    if workload.chunk is None or workload.batch * (low - generated + 1) < workload.chunk:
        return min(last_within(free, dict(zip(lengths, curve, strict=True))) for curve in curves)
    prompts = [length - generated + 1 for length in lengths]  # a whole chunk holds ever fewer of them
    excess = ([prompt * (size - free) for prompt, size in zip(prompts, curve, strict=True)] for curve in curves)
    return min(last_within(Fraction(0), dict(zip(lengths, curve, strict=True))) for curve in excess)


def _in_blocks(
    program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision, room: float, most: int
) -> int:
    """The longest sequence up to ``most`` whose whole blocks fit in ``room`` bytes: in the last block, or just before.

    Where ``most`` is in a block that does not fit, all lengths in that block hold as large a cache.
    """
    lone = workload.context is not None
    behind = workload.decoder_start is not None
    generated = 1 if lone or all(phase.encodes for phase in phases) or behind else workload.generate

    def too_long(length: int) -> bool:
        asked = replace(workload, context=length) if lone else replace(workload, prompt=length - generated + 1)
        return footprint(program, asked, phases, precision).total_bytes > int(room)

    within = 1 if behind and not lone else most // workload.kv_block * workload.kv_block  # the blocks are the decoder's
    shortest = max(within, generated, 1)
    if most >= shortest and not too_long(most):
        return most
    lengths = range(shortest, most)
    fitting = bisect_left(lengths, True, key=too_long)
    return lengths[fitting - 1] if fitting else 0


def _bytes_by_operator(
    program: Program, workload: Workload, phases: tuple[Phase, ...], precision: Precision
) -> list[Fraction]:
    """All that is resident at each operator of each phase."""
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    fixed = resting(program, workload, precision).total_bytes
    steps = ((phase, {**sizes, **longest_step(workload, phase)}) for phase in phases)
    alive = (held for phase, size in steps for held in alive_bytes(program, phase, size, precision))
    return [as_fraction(fixed + held) for held in alive]


def _whole_chunks(workload: Workload, generated: int) -> list[int]:
    """The lengths from which all prompts, and then one prompt, are more than a chunk."""
    if workload.chunk is None:
        return []
    prompts = (workload.chunk // workload.batch, -(-workload.chunk // workload.batch), workload.chunk)
    return [prompt + generated - 1 for prompt in prompts]


def _bends(program: Program, first: int, last: int, also: Sequence[int] = ()) -> list[int]:
    """Lengths from ``first`` to ``last`` between which every size grows smoothly: the sizes that may cap a length."""
    sizes = {"B": 1, "T": 1, "S": last, "M": last, **program.sizes}
    bound = [rebind(group.sizes(sizes), op.local) for group in program.groups for op in group.ops]
    caps = {*also, *(int(size) for local in bound for size in local.values())}
    return sorted({min(first, last), last} | {cap for cap in caps if first < cap < last})
