"""Which layout, microbatch, recompute policy and sharding train fastest: all that divide are evaluated at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.parallelism.dimensions import Steps as StepsRead
from roofline.parallelism.dimensions import divisors, kinds
from roofline.parallelism.divisibility import can_split
from roofline.parallelism.layout import Layout, replicas
from roofline.parallelism.pipeline import alike_between, layer_count
from roofline.prediction.layouts.search import candidates, refuse_layouts
from roofline.prediction.request import asked_at
from roofline.program.recompute import NOTHING, SELECTIVE_OP, Recompute, read_policy
from roofline.timing.timing import Timing
from roofline.training.activations import Activations
from roofline.training.at_rest import SHARDING_AXIS, AtRest, joined
from roofline.training.memory import MemoryOfSteps, least_memory_of, memory_of
from roofline.training.question import TrainingQuestion
from roofline.training.recomputing.by_operator import by_operator
from roofline.training.recomputing.staircase import staircase
from roofline.training.resting import Sharding
from roofline.training.rows import Pieces, Steps, steps_of
from roofline.training.schedules import Schedule, read_schedule
from roofline.units import format_quantity

WHOLE_SEQUENCES = StepsRead(one_token=False, later=False, saved=True)
"""What a training step reads."""

_ROUNDING = 1e-9
"""How far a sum of bytes may be off."""

_EQUALS = 512
"""Of so many of the fastest, equals are put in order."""


@frozen
class Choice:
    """What of a step can be chosen: a layout, sequences of a microbatch, a recompute policy, what replicas split."""

    layout: Layout
    microbatch: int
    policy: Recompute
    sharding: Sharding

    @property
    def words(self) -> str:
        """All of it, in a line."""
        kept = f"recompute {self.policy.words}, {self.sharding.words}"
        return f"{self.layout}, microbatch {self.microbatch}, {kept}"

    def to_dict(self) -> dict[str, Any]:
        """The choice as JSON."""
        return {"layout": self.layout.to_dict(), "microbatch": self.microbatch, "recompute": self.policy.words,
                "zero": self.sharding.zero, "replicate": self.sharding.replicate}  # fmt: skip


@frozen
class TrainingTable:
    """Choices, a row each, in arrays: times of a step and the high end of their band [s], bytes on a device of the
    fullest stage, whether that fits.

    ``policy`` counts in ``policies``. ``least_saved``: bytes that the row saves that saves least.
    """

    layouts: Layout
    microbatch: Any
    policy: Any
    zero: Any
    replicate: Any
    time_s: Any
    high_s: Any
    memory_bytes: Any
    fits: Any
    policies: tuple[Recompute, ...]
    least_saved: float = 0.0

    def __len__(self) -> int:
        return len(self.time_s)

    def choice(self, row: int) -> Choice:
        """That of a row."""
        policy = self.policies[int(self.policy[row])]
        sharding = Sharding(int(self.zero[row]), int(self.replicate[row]))
        return Choice(self.layouts.at(row), int(self.microbatch[row]), policy, sharding)

    def best(self, number: int) -> list[int]:
        """The first rows: of those that fit the fastest, of equals what is fastest at the high end of the band and then
        the smallest; where none fits those that need least memory.
        """
        if not self.fits.any():
            return [int(row) for row in np.lexsort((self.time_s, self.memory_bytes))[:number]]
        rows = np.flatnonzero(self.fits)
        rows = rows[np.argsort(self.time_s[rows], kind="stable")[: max(number, _EQUALS)]]
        keys = (self.memory_bytes[rows], _rounded(self.high_s[rows]), _rounded(self.time_s[rows]))
        return [int(row) for row in rows[np.lexsort(keys)][:number]]


def _rounded(seconds: Any) -> Any:
    """Seconds whose sixth digit is their last."""
    return np.round(np.log(seconds), 6)


def search(question: TrainingQuestion) -> TrainingTable:
    """A row for all that can be chosen. Raises WorkloadError where no layout divides the model and the batch."""
    policies = policies_of(question)
    found = [_table(question, layouts, microbatch, policies) for layouts, microbatch in _alike(question)]
    names = ("microbatch", "policy", "zero", "replicate", "time_s", "high_s", "memory_bytes", "fits")
    if min(table.least_saved for table in found) > _most_saved(question):
        least = format_quantity(min(table.least_saved for table in found), "bytes")
        asked = format_quantity(_most_saved(question), "bytes")
        msg = f"recompute optimal within {asked}: a device saves {least} at least; give a higher limit, or more devices"
        raise WorkloadError(msg)
    columns: dict[str, Any] = {name: np.concatenate([getattr(table, name) for table in found]) for name in names}
    return TrainingTable(Layout.stacked([table.layouts for table in found]), **columns, policies=policies)


def any_fits(question: TrainingQuestion) -> bool:
    """Whether a row of ``search`` fits, from memory alone. Raises WorkloadError as ``search`` does."""
    room = question.request.room_bytes
    return any(room is None or _fits_in(question, *alike, room) for alike in _alike(question))


def _fits_in(question: TrainingQuestion, layouts: Layout, microbatch: Any, room: float) -> bool:
    """Whether any fits. Activations are counted of those alone that would fit without."""
    policies, shardings = policies_of(question), _plain(question) or shardings_of(question, layouts)
    least = least_memory_of(question, layouts, microbatch, shardings).most_bytes()
    few = np.flatnonzero(np.min(least, axis=(1, 2)) <= room * (1 + _ROUNDING))
    if not few.size:
        return False
    steps = memory_of(question, layouts.at(few), microbatch[few], policies, shardings)
    fits, most = (steps.most_bytes() <= room) & _in_host(steps), _most_saved(question)
    return bool((fits if np.isinf(most) else fits & (steps.fullest().saved <= most)).any())


def _in_host(memory: MemoryOfSteps) -> Any:
    """Whether the host holds what was put there."""
    host = memory.question.host
    return True if host is None else memory.on_host() <= host.bytes


def _most_saved(question: TrainingQuestion) -> float:
    """What a device may save, where a limit was asked for. [B]"""
    policy = question.recompute
    return float("inf") if policy is None or policy.limit_bytes is None else policy.limit_bytes


def _alike(question: TrainingQuestion) -> Iterator[tuple[Layout, Any]]:
    """Layouts with their microbatches, those together that have the same collectives, on devices that are joined."""
    layouts, microbatch = _rows(question)
    question.request.machine(int(np.max(layouts.devices)))
    kind = kinds(layouts.to_dict(), WHOLE_SEQUENCES)
    return ((layouts.at(kind == each), microbatch[kind == each]) for each in range(int(kind.max()) + 1))


def zero_of(question: TrainingQuestion) -> tuple[int, ...]:
    """The stages of ZeRO that are tried: the one given, or all that the recipe has, and that can be started."""
    if question.zero is not None:
        return (question.zero,)
    every = question.recipe.zero
    return tuple(zero for zero in every if question.startable is None or zero in question.startable.zero) or every


def _plain(question: TrainingQuestion) -> tuple[Sharding, ...]:
    """The stages of ZeRO over all replicas; none where groups of them are asked for."""
    return tuple(map(Sharding, zero_of(question))) if (question.replicate or 1) == 1 else ()


def shardings_of(question: TrainingQuestion, layouts: Layout) -> tuple[Sharding, ...]:
    """The ways of sharding that are tried in layouts of one axis: over all replicas, and, where these are on several
    nodes, within groups on one node each, where they divide so: hybrid sharding (HSDP).
    """
    if (question.replicate or 1) > 1:
        return tuple(Sharding(zero, question.replicate) for zero in zero_of(question) if zero)
    plain, stages = _plain(question), [zero for zero in zero_of(question) if zero in question.grouped]
    network = question.request.machine(int(np.max(layouts.devices))).network
    if question.replicate == 1 or not stages or network is None:
        return plain
    own, node = np.asarray(replicas(layouts)), network.near.domain
    apart = np.asarray(layouts.stage_devices) // own
    members = np.maximum(node // apart, 1)
    divides = (own % members == 0) & (members * apart <= node) & (members * np.asarray(layouts.cp) > 1)
    groups = np.where(divides, own // members, 1)[:, None, None]
    return (*plain, *(Sharding(zero, groups) for zero in stages)) if groups.max() > 1 else plain


def policies_of(question: TrainingQuestion) -> tuple[Recompute, ...]:
    """The policies that are tried: the one given, or those that differ in what they keep."""
    return tuple(_as_run(question, policy) for policy in _tried(question))


def _tried(question: TrainingQuestion) -> tuple[Recompute, ...]:
    if question.recompute is not None and question.recompute.name == "optimal":
        return tuple(stair.policy for stair in staircase(question).stairs)
    if question.recompute is not None and question.recompute.name == SELECTIVE_OP:
        return (by_operator(question.network),)
    if question.recompute is not None:
        return (question.recompute,)
    selective = read_policy("selective")
    differs = len(question.network.saved(selective)) < len(question.network.saved(NOTHING))
    tried = (NOTHING, *([selective] if differs else []), read_policy("full"))
    if question.startable is None:
        return tried
    own = [by_operator(question.network)] if SELECTIVE_OP in question.startable.policies else []
    return tuple(each for each in (*tried, *own) if each.name in question.startable.policies)


def _as_run(question: TrainingQuestion, policy: Recompute) -> Recompute:
    """A policy as an engine runs it, which may stop as soon as all that is needed of a layer is there again."""
    engine = question.request.engine
    if policy.name != "full" or policy.every > 1 or not engine.recompute_stops:
        return policy
    return replace(policy, runs=question.network.needed(in_order=engine.kernels == "single"))


def _rows(question: TrainingQuestion) -> tuple[Layout, Any]:
    """Layouts that divide the model, each with every microbatch that divides its replicas' part of the batch."""
    r = question.request
    devices = r.fleet.count if r.fleet.counted else int(Layout.of(**question.given).devices)
    layouts = candidates(r, devices, question.given)
    held = can_split(layouts, r.program, r.phases, r.workload)
    if not held.any():
        refuse_layouts(r, layouts, question.given, devices)
    if question.startable is not None and (started := held & _started(question, layouts)).any():
        held = started
    if question.replicate is not None:
        grouped = held & (np.asarray(replicas(layouts)) % question.replicate == 0)
        if not grouped.any():
            most = int(np.max(np.asarray(replicas(layouts))[held]))
            msg = f"replicate {question.replicate} divides the replicas of no layout, {most} at most; give a divisor"
            raise WorkloadError(msg)
        held = grouped
    some = layouts.at(held)
    pairs = [
        (row, size) for row in range(len(np.atleast_1d(some.tp))) for size in _microbatches(question, some.at(row))
    ]
    if not pairs:
        _refuse(question)
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    return some.at(rows), np.array([size for _, size in pairs])


def _started(question: TrainingQuestion, layouts: Layout) -> Any:
    """Which layouts a configuration can state: stages alike, at least between the ends, and what the engine has."""
    assert question.startable is not None
    layers, chunks = layer_count(question.request.program), question.schedule.chunks
    equal = layers % (layouts.pp * chunks) == 0
    if question.startable.uneven:
        equal = equal | alike_between(layers, layouts.pp * chunks)
    return equal & question.startable.holds(question.request.model, layouts)


def _microbatches(question: TrainingQuestion, layout: Layout) -> Iterator[int]:
    own, pp, schedule = question.batch // int(layout.dp), int(layout.pp), question.schedule
    layers = layer_count(question.request.program)
    for size in divisors(own):
        given = question.microbatch is None or size == question.microbatch
        if given and schedule.divides(layers, pp, own // size):
            yield size


def _refuse(question: TrainingQuestion) -> None:
    r, schedule = question.request, question.schedule
    if not any(schedule.divides(layer_count(r.program), 1, count) for count in (1, 2)):
        layers = layer_count(r.program)
        msg = (
            f"schedule {schedule.words} divides no layout of {r.model.name}, which has {layers} layers: "
            f"{schedule.conditions}; give another schedule, --pp or --microbatch"
        )
    else:
        msg = (
            f"microbatch {question.microbatch} does not divide a replica's part of the batch of {question.batch} "
            "sequences in any layout; give a divisor of it"
        )
    raise WorkloadError(msg)


def search_batches(
    question: TrainingQuestion, batches: Sequence[int], schedules: Sequence[Schedule]
) -> Iterator[TrainingTable]:
    """The rows of ``search`` at several batches, in sequences, under several schedules, a table for each schedule.

    A microbatch is priced once for all of them, and groups of replicas are tried where there are any. Raises
    WorkloadError as ``search`` does at the largest batch.
    """
    policies, layers = policies_of(question), layer_count(question.request.program)
    widest = replace(question, batch=max(batches), schedule=read_schedule("1f1b"), request=asked_at(
        question.request, batch=max(batches)))  # fmt: skip
    for layouts, microbatch in _alike(widest):
        steps = steps_of(widest, layouts, microbatch, policies, shardings_of(widest, layouts))
        own = np.array(batches)[:, None] / (layouts.dp * microbatch)  # of each batch, microbatches of a replica
        for schedule in schedules:
            runs = (own == np.floor(own)) & schedule.divides(layers, layouts.pp, own)
            for there, some in _by_groups(replace(steps, memory=replace(steps.memory, question=replace(
                widest, schedule=schedule)))):  # fmt: skip
                which, rows = np.nonzero(runs & there)
                pieces = some.pieces()
                for part in np.array_split(np.arange(len(rows)), max(1, len(rows) // _AT_ONCE)):
                    if part.size:
                        batch: Any = np.array(batches, dtype=np.float64)[which[part]][:, None, None]
                        asked, taken = replace(question, batch=batch, schedule=schedule), rows[part]
                        yield _rows_of(*_taken(some.memory, pieces, taken, len(microbatch), asked), layouts.at(taken),
                                       microbatch[taken])  # fmt: skip


def _by_groups(steps: Steps) -> list[tuple[Any, Steps]]:
    """The steps in groups of replicas, and those without, each with the rows where these are."""
    shardings = steps.memory.shardings
    plain = tuple(each for each in shardings if isinstance(each.replicate, int))
    if len(plain) == len(shardings):
        return [(True, steps)]
    there = np.ravel(shardings[-1].replicate) > 1
    return [(there, steps), (~there, steps.under(plain))]


def _taken(
    memory: MemoryOfSteps, pieces: Pieces, rows: Any, count: int, question: TrainingQuestion
) -> tuple[MemoryOfSteps, Pieces]:
    """Steps of some rows, which may stand several times, asked at other batches."""

    taken: dict[int, Any] = {}  # by array, as those of several places stay one

    def take(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if id(value) not in taken:
                taken[id(value)] = value[rows] if value.ndim and value.shape[0] == count > 1 else value
            return taken[id(value)]
        if isinstance(value, tuple):
            return tuple(take(each) for each in value)
        if isinstance(value, Layout | Timing | Activations | AtRest | Pieces | Sharding):
            return type(value)(*(take(getattr(value, field.name)) for field in fields(value)))
        return value

    held = replace(
        memory, question=question, layouts=take(memory.layouts), microbatch=take(memory.microbatch),
        held=take(memory.held), rest=take(memory.rest), shardings=take(memory.shardings),
    )  # fmt: skip
    return held, take(pieces)


_AT_ONCE = 16384
"""Rows of layouts and microbatches that are evaluated at once: what caches hold."""


def _table(
    question: TrainingQuestion, layouts: Layout, microbatch: Any, policies: tuple[Recompute, ...]
) -> TrainingTable:
    steps = steps_of(question, layouts, microbatch, policies, shardings_of(question, layouts))
    return _rows_of(steps.memory, steps.pieces(), layouts, microbatch)


def _rows_of(memory: MemoryOfSteps, pieces: Pieces, layouts: Layout, microbatch: Any) -> TrainingTable:
    question, shardings, policies = memory.question, memory.shardings, memory.policies
    shape = (len(microbatch), len(policies), len(shardings))
    row, policy, stage = (index.ravel() for index in np.indices(shape))
    whole, most, room = pieces.time(memory).whole, _most_saved(question), question.request.room_bytes
    time, high, held = (
        np.broadcast_to(np.asarray(each), shape).ravel() for each in (whole.time_s, whole.high_s, memory.most_bytes())
    )
    fits = np.full(held.shape, True) if room is None else held <= room
    fits &= np.broadcast_to(_in_host(memory), shape).ravel()
    least = 0.0
    if np.isfinite(most):
        saved = np.broadcast_to(np.asarray(memory.fullest().saved), shape).ravel()
        fits, least = fits & (saved <= most), float(saved.min())
    groups = joined([np.zeros((len(microbatch), 1, 1)) + each.replicate for each in shardings], SHARDING_AXIS)
    replicate = np.broadcast_to(groups, shape).ravel().astype(np.int64)
    others = np.array([not each.plain for each in shardings])[stage] & (replicate == 1)  # as over all replicas
    kept = slice(None) if not others.any() else ~others
    row, zero = row[kept], np.array([each.zero for each in shardings])[stage]
    return TrainingTable(
        layouts.at(row), microbatch[row], policy[kept], zero[kept], replicate[kept], time[kept], high[kept],
        held[kept], fits[kept], policies, least,
    )  # fmt: skip
