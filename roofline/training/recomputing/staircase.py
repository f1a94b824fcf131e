"""Recompute tensor by tensor: which saved activations of a layer to drop, so that nothing else frees as much as fast.

Each tensor that a layer saves frees its bytes when it is dropped, and costs the forward operators that make it again of
what is kept; operators that several dropped tensors need run once. All subsets of the largest tensors are compared, so
that the choices which no other beats, in bytes and in seconds, are exact over these: a staircase.

Source: Chen et al. 2016 (arXiv 1604.06174), section 3, of the trade; Pagnoni et al. 2023 and torch's selective
activation checkpointing choose by operator, as this does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.cost.residency import FloatWidths
from roofline.cost.saved_bytes import of_tensor
from roofline.number import Number
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharded_saved import lying
from roofline.program.phases import Phase
from roofline.program.recompute import NOTHING, Recompute
from roofline.training.question import TrainingQuestion
from roofline.training.recomputing.layer import Key, Layer
from roofline.training.resting import Sharding
from roofline.training.rows import steps_of

MOST_TENSORS = 11
"""Of so many tensors all subsets are compared."""

_STEP = 0.02
"""Neighbours on the staircase differ by this part of what is saved at least."""


@frozen
class Stair:
    """A choice that no other beats: bytes that one microbatch leaves in all layers, and seconds to make the rest again.

    Both of the whole stack on a device of the layout that was asked with.
    """

    policy: Recompute
    saved_bytes: float
    again_s: float


@frozen
class Staircase:
    """The choices from the fastest to the smallest, of all subsets of ``tensors``, which hold ``share`` of all."""

    stairs: tuple[Stair, ...]
    tensors: int
    share: float

    def to_dict(self) -> dict[str, Any]:
        """The choices as JSON."""
        stairs = [
            {"recompute": each.policy.words, "saved_bytes": each.saved_bytes, "again_s": each.again_s}
            for each in self.stairs
        ]
        return {"stairs": stairs, "tensors": self.tensors, "share": self.share}

    @property
    def words(self) -> str:
        """How far it is the optimum."""
        return (
            f"exact over all {2**self.tensors:,} subsets of a layer's {self.tensors} largest tensors, "
            f"{self.share:.1%} of what it saves"
        )


def staircase(question: TrainingQuestion) -> Staircase:
    """The staircase of a question's layers, at the degrees and the microbatch that are given, else at 1.

    Of replicas there are as many as experts are spread over.
    """
    given = question.given
    spread = max(1, given.get("ep", 1) // given.get("tp", 1))
    layout, microbatch = Layout.of(**{**given, "dp": spread, "pp": 1}), question.microbatch or 1
    arrays = Layout(*(np.array([degree]) for degree in layout.to_dict().values()))
    steps = steps_of(question, arrays, np.array([microbatch]), (NOTHING,), (Sharding(0),))
    forward = [each for each in steps.passes.operators if Phase.FORWARD in each.group.phases and each.place == 1]
    seconds: dict[tuple[str, str], float] = {}
    for each in forward:
        key = (each.group.name, each.op.name.partition(".")[0] if each.op.transfer else each.op.name)
        seconds[key] = seconds.get(key, 0.0) + _one(each.cost.count) * _one(each.timing.time_s)
    sizes = {**question.network.program.sizes, **{x: _one(size) for x, size in steps.memory.sizes.items()}}
    where, widths = lying(question.network.forward, layout), FloatWidths(question.recipe.precision)
    held: dict[Key, float] = {}
    for saved in (each for each in question.network.saved(NOTHING) if each.group.stacked):
        written = (saved.group.name, saved.op.name, saved.tensor.name)  # in two formats, where it is kept so
        held[written] = held.get(written, 0.0) + _one(of_tensor(saved, sizes, widths, where))
    layers = [Layer(group, held) for group in question.network.forward.groups if group.stacked]
    fixed = {key for layer in layers for key in layer.streams}
    droppable = sorted((key for key in held if key not in fixed), key=lambda key: (-held[key], key))[:MOST_TENSORS]
    whole = sum(held.values())
    beside = _one(steps.memory.held[0].saved[1]) - whole  # which no choice drops: tokens that experts were sent
    found = [_stair(layers, frozenset(dropped), held, seconds, beside) for dropped in _subsets(droppable)]
    share = math.fsum(held[key] for key in {*droppable, *fixed}) / whole if whole else 1.0
    return Staircase(tuple(_unbeaten(found, whole)), len(droppable), share)


def _subsets(keys: Sequence[Key]) -> Iterator[list[Key]]:
    for bits in range(2 ** len(keys)):
        yield [key for place, key in enumerate(keys) if bits >> place & 1]


def _stair(
    layers: Sequence[Layer], dropped: frozenset[Key], held: dict[Key, float], seconds: dict[tuple[str, str], float],
    beside: float,
) -> Stair:  # fmt: skip
    again = frozenset(name for layer in layers for name in layer.again(dropped))
    policy = Recompute("drop", dropped=dropped, runs=again) if dropped else NOTHING
    saved = beside + sum(held.values()) - math.fsum(held[key] for key in dropped)
    return Stair(policy, saved, math.fsum(seconds[name] for name in again))


def _unbeaten(found: Sequence[Stair], whole: float) -> Iterator[Stair]:
    """Choices in order of time, of which each saves less than all before it by a step; of equals, by their names."""
    least = float("inf")
    for stair in sorted(found, key=lambda each: (each.again_s, each.saved_bytes, sorted(each.policy.dropped))):
        if stair.saved_bytes < least - _STEP * whole * (least < float("inf")):
            least = stair.saved_bytes
            yield stair


def _one(number: Number) -> float:
    return float(np.ravel(np.asarray(number, dtype=np.float64))[0])
