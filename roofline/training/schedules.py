"""Pipeline schedules: what of a step is a bubble, and how many microbatches a stage holds activations of.

    schedule         bubble, of even stages       microbatches in flight on stage i of p, from 0
    gpipe            (p - 1) (F + B + W)          m
    1f1b             (p - 1) (F + B + W)          min(m, p - i)
    interleaved:v    (p - 1) (F + B + W) / v      min(m v, 2 (p - i - 1) + (v - 1) p + 1) / v
    zb-h1            (p - 1) (F + B - W)          min(m, p - i)
    zb-h2            (p - 1) (F + B - 2 W)        min(m, 2 (p - i) - 1)
    dualpipe         (p/2 - 1) (F + 2 B - W)      p + 1 on both stages that a device has

F, B and W are the times of a microbatch's forward pass, of its gradients of inputs and of weights on a stage; m
microbatches run in a step. ``timeline.py`` evaluates the orders.

Sources: Huang et al. 2018, GPipe (arXiv 1811.06965); Narayanan et al. 2021 (arXiv 2104.04473), section 2.2, and its
published code; Qi et al. 2023, Zero Bubble Pipeline Parallelism (arXiv 2401.10241), table 1; DeepSeek-V3 (arXiv
2412.19437), table 2, whose B is B + W here, an overlapped pair being F + B + W.
"""

from __future__ import annotations

from typing import Any

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches, shown
from roofline.number import Number, maximum, minimum
from roofline.parallelism.pipeline import alike_between

_WORDS = ("1f1b", "gpipe", "interleaved:2", "zb-h1", "zb-h2", "dualpipe")


@frozen
class Schedule:
    """An order of forward and backward passes; each stage has ``chunks`` parts that are not neighbours."""

    name: str
    chunks: int = 1

    @property
    def words(self) -> str:
        """The word that asks for it."""
        return f"{self.name}:{self.chunks}" if self.chunks > 1 else self.name

    @property
    def splits_backward(self) -> bool:
        """Whether gradients of weights come when there is nothing else to do."""
        return self.name in ("zb-h1", "zb-h2")

    @property
    def paired(self) -> bool:
        """Whether a device has two stages, the first with the last and so on, and weights are there twice."""
        return self.name == "dualpipe"

    def in_flight(self, stage: Number, stages: Number, microbatches: Number) -> Number:
        """Of how many microbatches a stage, counted from 0, keeps activations at once.

        >>> [float(Schedule("1f1b").in_flight(stage, 4, 8)) for stage in range(4)]
        [4.0, 3.0, 2.0, 1.0]
        >>> float(Schedule("interleaved", 2).in_flight(0, 4, 8))  # 1 + (p - 1) / (p v), times p
        5.5
        """
        if self.name == "gpipe":
            return microbatches
        if self.paired:
            return (stages + 1) / 2
        held = stages - stage
        if self.chunks > 1:
            held = 2 * (stages - stage - 1) + (self.chunks - 1) * stages + 1
        if self.name == "zb-h2":
            held = 2 * held - 1
        return minimum(held, microbatches * self.chunks) / self.chunks

    def bubble(self, forward: Number, backward: Number, weights: Number, stages: Number) -> Number:
        """The bubble, of what the passes of a microbatch take on all stages but one: F, B and W of the table. [s]

        >>> [Schedule(name).bubble(3.0, 3.0, 3.0, 4) for name in ("1f1b", "zb-h1", "zb-h2", "dualpipe")]
        [9.0, 3.0, 0.0, 2.0]
        """
        if self.splits_backward:
            return maximum(0.0, forward + backward - weights * (1 if self.name == "zb-h1" else 2))
        if self.paired:
            part = (stages / 2 - 1) / maximum(stages - 1, 1)
            return maximum(0.0, (forward + 2 * backward - weights) * part)
        return (forward + backward + weights) / self.chunks

    def divides(self, layers: int, stages: Any, microbatches: Any) -> Any:
        """Whether so many layers and microbatches can run in it; numbers or arrays."""
        if self.chunks > 1:
            return (stages > 1) & alike_between(layers, stages * self.chunks) & (microbatches % stages == 0)
        if self.paired:
            return (stages % 2 == 0) & (microbatches % 2 == 0) & (microbatches >= 2 * stages)
        return True

    @property
    def conditions(self) -> str:
        """What it asks of stages and microbatches."""
        if self.chunks > 1:
            return (
                f"stages x {self.chunks} must divide the layers, of which the first and the last part may lack one, "
                "and stages the microbatches of a replica"
            )
        return "stages must be even, microbatches of a replica too, and at least twice as many"


def read_schedule(word: str) -> Schedule:
    """A schedule by its word. Raises UsageError for another.

    >>> read_schedule("interleaved:4")
    Schedule(name='interleaved', chunks=4)
    """
    name, _, number = word.partition(":")
    if name == "interleaved" and number.isdigit() and int(number) > 1:
        return Schedule(name, int(number))
    if word in _WORDS and name != "interleaved":
        return Schedule(word)
    msg = f"schedule {shown(word)}: {near_matches(word, _WORDS)}; interleaved:V has V parts of the layers on a stage"
    raise UsageError(msg)
