"""Pipeline schedules as orders of passes, evaluated by a recursion: when each pass of each stage starts and ends.

A forward pass waits for that of the stage before it, a backward pass for that of the stage behind it, and for the send;
weights' gradients come any time after their stage's backward pass. Each stage does one thing at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from roofline.classes import frozen
from roofline.training.schedules import Schedule

Kind: TypeAlias = Literal["forward", "backward", "weights"]


@frozen
class Pass:
    """A pass of a microbatch through one part of a stage; ``weights`` alone are their gradients."""

    kind: Kind
    microbatch: int
    chunk: int = 0


@frozen
class Timed:
    """A pass with its stage, and when it runs. [s]"""

    stage: int
    what: Pass
    start_s: float
    end_s: float


@frozen
class StageTimes:
    """What the passes of a microbatch take on a stage, over all its parts. [s]

    ``weights`` is 0 where gradients of weights are a part of ``backward``.
    """

    forward: float
    backward: float
    weights: float = 0.0

    @property
    def all(self) -> float:
        """All passes."""
        return self.forward + self.backward + self.weights

    def of(self, kind: Kind, chunks: int) -> float:
        """A pass through one of so many parts."""
        seconds: float = getattr(self, kind)
        return seconds / chunks


def order_of(schedule: Schedule, stage: int, stages: int, microbatches: int) -> list[Pass]:
    """The passes of a stage in order, for schedules that fix it: gpipe, 1f1b, interleaved:V.

    >>> [f"{each.kind[0]}{each.microbatch}" for each in order_of(Schedule("1f1b"), 0, 2, 3)]
    ['f0', 'f1', 'b0', 'f2', 'b1', 'b2']

    Source: Narayanan et al. 2021 (arXiv 2104.04473), section 2.2, and its published code.
    """
    chunks, every = schedule.chunks, microbatches * schedule.chunks
    forward = [_numbered("forward", number, stages, chunks) for number in range(every)]
    backward = [_numbered("backward", number, stages, chunks) for number in range(every)]
    if schedule.name == "gpipe":
        return forward + backward
    ahead = stages - stage - 1 if chunks == 1 else 2 * (stages - stage - 1) + (chunks - 1) * stages
    ahead = min(every, ahead)
    both = [each for pair in zip(forward[ahead:], backward, strict=False) for each in pair]
    return [*forward[:ahead], *both, *backward[every - ahead :]]


def _numbered(kind: Kind, number: int, stages: int, chunks: int) -> Pass:
    """The pass that has this number on a stage: as many microbatches as stages go through a part, then the next."""
    round_, within = divmod(number, stages * chunks)
    chunk = within // stages
    return Pass(kind, round_ * stages + within % stages if chunks > 1 else number,
                chunk if kind == "forward" else chunks - 1 - chunk)  # fmt: skip


def timeline(schedule: Schedule, stages: Sequence[StageTimes], microbatches: int, send_s: float = 0.0) -> list[Timed]:
    """Every pass of a step with its start and its end, stage by stage in order."""
    if schedule.splits_backward:
        return _zero_bubble(schedule, stages, microbatches, send_s)
    number = len(stages)
    orders = [order_of(schedule, stage, number, microbatches) for stage in range(number)]
    ends: dict[tuple[int, Pass], float] = {}
    found: list[Timed] = []
    free, places = [0.0] * number, [0] * number
    while any(place < len(order) for place, order in zip(places, orders, strict=True)):
        for stage, order in enumerate(orders):
            while places[stage] < len(order):
                what = order[places[stage]]
                ready = _ready(ends, stage, what, number, schedule.chunks, send_s)
                if ready is None:
                    break
                start = max(free[stage], ready)
                free[stage] = ends[stage, what] = start + stages[stage].of(what.kind, schedule.chunks)
                found.append(Timed(stage, what, start, free[stage]))
                places[stage] += 1
    return sorted(found, key=lambda each: (each.stage, each.start_s))


def _ready(
    ends: dict[tuple[int, Pass], float], stage: int, what: Pass, stages: int, chunks: int, send_s: float
) -> float | None:
    """When what a pass waits for is there; None where that has not run yet."""
    if what.kind == "weights":
        return ends.get((stage, Pass("backward", what.microbatch, what.chunk)))
    step = -1 if what.kind == "forward" else 1
    before, chunk = stage + step, what.chunk
    if not 0 <= before < stages:
        before, chunk = before % stages, chunk + step
        if chunk < 0:
            return 0.0
        if chunk == chunks:
            return ends.get((stage, Pass("forward", what.microbatch, what.chunk)))
    done = ends.get((before, Pass(what.kind, what.microbatch, chunk)))
    return None if done is None else done + (send_s if before != stage else 0.0)


def _zero_bubble(schedule: Schedule, stages: Sequence[StageTimes], microbatches: int, send_s: float) -> list[Timed]:
    """Gradients of weights fill what would be a bubble: a backward pass first, then a forward one, then those.

    A stage holds activations of as many microbatches as the schedule lets it, until their backward pass.

    Source: Qi et al. 2023, Zero Bubble Pipeline Parallelism (arXiv 2401.10241), sections 3 and 4.
    """
    number = len(stages)
    ends: dict[tuple[int, Pass], float] = {}
    found: list[Timed] = []
    free = [0.0] * number
    done: list[dict[Kind, int]] = [{"forward": 0, "backward": 0, "weights": 0} for _ in stages]
    while len(found) < 3 * number * microbatches:
        start, _, stage, what = min(
            (max(free[stage], ready), wish, stage, what)
            for stage in range(number)
            for wish, kind in _allowed(done[stage], microbatches, int(schedule.in_flight(stage, number, microbatches)))
            for what in [Pass(kind, done[stage][kind])]
            if (ready := _ready(ends, stage, what, number, 1, send_s)) is not None
        )
        free[stage] = ends[stage, what] = start + stages[stage].of(what.kind, 1)
        found.append(Timed(stage, what, start, free[stage]))
        done[stage][what.kind] += 1
    return sorted(found, key=lambda each: (each.stage, each.start_s))


def _allowed(done: dict[Kind, int], microbatches: int, most: int) -> Iterator[tuple[int, Kind]]:
    """What a stage may do next, the lower the number the rather."""
    if done["backward"] < done["forward"]:
        yield 0, "backward"
    if done["forward"] < microbatches and done["forward"] - done["backward"] < most:
        yield 1, "forward"
    if done["weights"] < done["backward"]:
        yield 2, "weights"


def makespan_s(found: Sequence[Timed]) -> float:
    """When the last pass ends. [s]"""
    return max(each.end_s for each in found)
