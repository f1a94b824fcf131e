"""Speculative decoding in a simulation: how many tokens a step yields of each sequence, and what it takes with a draft.

Each sequence has its own draw in each step: i proposed tokens at least are accepted in the part p_i of all steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roofline.classes import frozen
from roofline.models.model import Model
from roofline.number import Grid
from roofline.options.groups import Degrees
from roofline.options.verbs.predicting import StepClockOptions
from roofline.prediction.request import Hardware
from roofline.prediction.step import Steps
from roofline.program.traffic.traces import Whole
from roofline.serving.step_clock import StepClock


@dataclass(slots=True, eq=False)
class Guesses:
    """What is accepted: the part of all steps in which each position is, which never rises, and the random numbers."""

    accepted: Grid
    rng: np.random.Generator

    @property
    def checked(self) -> int:
        """Tokens of a sequence that a step runs: those that are proposed, and the one before them."""
        return 1 + len(self.accepted)

    def gains(self, steps: int, sequences: int) -> Whole:
        """Tokens that each of so many sequences has gained after each of so many steps: an array of both.

        >>> Guesses(np.array([1.0, 0.0]), np.random.default_rng(0)).gains(3, 2).tolist()
        [[2, 2], [4, 4], [6, 6]]
        """
        below = np.searchsorted(self.accepted[::-1], self.rng.random((steps, sequences)), side="right")
        found: Whole = np.cumsum(self.checked - below, axis=0)
        return found


def drafting(model: Model, hardware: Hardware, options: StepClockOptions, count: int, recipe: str) -> StepClock:
    """The clock of a draft, in the same recipe, within others' steps: whole on each of ``count`` devices, or, where it
    is a head of the network, in its layout.
    """
    own: StepClockOptions = {**options, "dtype": recipe, "lora": None}
    if not model.predicts:
        own = {**own, **Degrees(tp=1, pp=1, dp=count, ep=None, cp=None, dcp=None, sp=None)}
    return StepClock(model, hardware, **own).checking(1, hosted=False)


@frozen(eq=False)
class DraftedClock:
    """A clock whose steps check ``tokens`` proposed ones, and its draft, which proposes them and reads prompts too.

    Without a draft they come at no cost.
    """

    clock: StepClock
    tokens: int
    draft: StepClock | None = None

    @property
    def replica(self) -> Steps:
        """The program as a device of the replica runs it."""
        return self.clock.replica

    def seconds(self, new: Grid, context: Grid) -> float:
        """The time of a step of new and attended tokens of each sequence, one new token of those that decode. [s]"""
        seconds = self.clock.seconds(new, context)
        if self.draft is None:
            return seconds
        decoding = new == 1.0
        if decoding.any():
            seconds += self.tokens * self.draft.seconds(new[decoding], context[decoding])
        if not decoding.all():
            seconds += self.draft.seconds(new[~decoding], context[~decoding])
        return seconds
