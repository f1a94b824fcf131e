"""Pipeline schedules: what of a step is a bubble, and how many microbatches a stage holds activations of.

    schedule         bubble, of even stages     microbatches in flight on stage i of p, from 0
    gpipe            (p - 1) (F + B)            m
    1f1b             (p - 1) (F + B)            min(m, p - i)
    interleaved:v    (p - 1) (F + B) / v        min(m v, 2 (p - i - 1) + (v - 1) p + 1) / v

F and B are the times of a microbatch's forward and backward pass on a stage, m microbatches run in a step.

Sources: Huang et al. 2018, GPipe (arXiv 1811.06965); Narayanan et al. 2021 (arXiv 2104.04473), section 2.2, and its
published code for the warm-up of the interleaved schedule.
"""

from __future__ import annotations

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches, shown
from roofline.number import Number, minimum

_WORDS = ("1f1b", "gpipe", "interleaved:2")


@frozen
class Schedule:
    """An order of forward and backward passes; each stage has ``chunks`` parts that are not neighbours."""

    name: str
    chunks: int = 1

    @property
    def words(self) -> str:
        """The word that asks for it."""
        return f"{self.name}:{self.chunks}" if self.chunks > 1 else self.name

    def in_flight(self, stage: Number, stages: Number, microbatches: Number) -> Number:
        """Of how many microbatches a stage, counted from 0, keeps activations at once.

        >>> [float(Schedule("1f1b").in_flight(stage, 4, 8)) for stage in range(4)]
        [4.0, 3.0, 2.0, 1.0]
        >>> float(Schedule("interleaved", 2).in_flight(0, 4, 8))  # 1 + (p - 1) / (p v), times p
        5.5
        """
        if self.name == "gpipe":
            return microbatches
        held = stages - stage
        if self.chunks > 1:
            held = 2 * (stages - stage - 1) + (self.chunks - 1) * stages + 1
        return minimum(held, microbatches * self.chunks) / self.chunks


def read_schedule(word: str) -> Schedule:
    """A schedule by its word. Raises UsageError for another.

    >>> read_schedule("interleaved:4")
    Schedule(name='interleaved', chunks=4)
    """
    name, _, number = word.partition(":")
    if name == "interleaved" and number.isdigit() and int(number) > 1:
        return Schedule(name, int(number))
    if word in _WORDS[:2]:
        return Schedule(word)
    msg = f"schedule {shown(word)}: {near_matches(word, _WORDS)}; interleaved:V has V parts of the layers on a stage"
    raise UsageError(msg)
