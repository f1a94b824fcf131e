"""What would make training fit that does not: the smallest change of each kind, found by asking anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.number import added
from roofline.parallelism.layout import Layout
from roofline.training.kept.offload import read_offload
from roofline.training.kept.optimizers import read_optimizer
from roofline.training.kept.recipes import read_training_recipe
from roofline.training.question import TrainingQuestion
from roofline.training.resting import Resting, local_weights
from roofline.training.search import any_fits

_DOUBLINGS = 12


@frozen
class Remedy:
    """A change and the flags that make it."""

    words: str
    flags: str


def remedies(question: TrainingQuestion) -> tuple[Remedy, ...]:
    """The changes by themselves that make it fit; the last of them is more devices, as few as double ever anew."""
    found = tuple(remedy for remedy, changed in _changes(question) if _fits(changed))
    more = _more_devices(question)
    return (*found, more) if more else found


def _changes(question: TrainingQuestion) -> Iterator[tuple[Remedy, TrainingQuestion]]:
    q = question
    if q.recompute is not None:
        yield Remedy("another recompute policy", "without --recompute"), replace(q, recompute=None)
    if q.zero is not None and q.zero < 3:
        yield Remedy("more split among replicas", "without --zero"), replace(q, zero=None)
    if q.microbatch is not None and q.microbatch > 1:
        yield Remedy("a smaller microbatch", "without --microbatch"), replace(q, microbatch=None)
    if q.given and q.request.fleet.counted:
        yield Remedy("another layout", "without the degrees given"), replace(q, given={})
    if q.host is None and (level := q.request.device.host_memory) is not None and level.capacity:
        host = read_offload("optimizer", q.request.device, q.request.fleet.links)
        yield Remedy("optimizer states in the host's memory", "--offload optimizer"), replace(q, host=host)
    if q.optimizer.name != "adamw8bit":
        yield Remedy("8-bit states", "--optimizer adamw8bit"), replace(q, optimizer=read_optimizer("adamw8bit"))
    if q.recipe.name != "bf16" and q.recipe.computes == "bf16":
        yield Remedy("weights and states in bf16", "--dtype bf16"), replace(q, recipe=read_training_recipe("bf16"))


def _more_devices(question: TrainingQuestion) -> Remedy | None:
    """The fewest devices, twice as many each time, on which it fits in any layout that has the degrees given."""
    fleet, room, least = question.request.fleet, question.request.room_bytes, _least_bytes(question)
    for doubled in range(1, _DOUBLINGS + 1):
        count = fleet.count * 2**doubled
        if count > question.batch * 64:
            return None
        if (room is None or least <= count * room) and _fits(on_devices(question, count)):
            return Remedy(f"{count} devices", f"--hardware {count}x{question.request.device.name}")
    return None


def _least_bytes(question: TrainingQuestion) -> float:
    """What rests on all devices together, where nothing of it is held twice."""
    weights = local_weights(question.network.forward, Layout(), question.network.trained)
    rest = Resting(question.recipe, question.optimizer)
    measures = rest.weight_bytes, rest.gradient_bytes, rest.state_bytes
    return float(added(measure(weights, 0, place) for measure in measures for place in range(3)))


def on_devices(question: TrainingQuestion, count: int) -> TrainingQuestion:
    """The question on so many of its devices."""
    fleet = replace(question.request.fleet, count=count, counted=count > 1)
    return replace(question, request=replace(question.request, fleet=fleet), given=question.given if count > 1 else {})


def _fits(question: TrainingQuestion) -> bool:
    with suppress(WorkloadError):
        return any_fits(question)
    return False
