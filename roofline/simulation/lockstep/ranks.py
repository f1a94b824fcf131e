"""Data-parallel ranks that share experts: each has its own queue and cache, and no step begins before all have ended.

Each rank decides by itself what its next step reads and decodes. The step of all takes as long as the slowest rank for
what each does alone, attention above all, and the experts work on the tokens of all. A rank without work waits beside
them, as engines run it with an empty batch. Where all only decode, as many steps are run at once as each of them could.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from roofline.number import Grid
from roofline.serving.step_clock import StepClock
from roofline.simulation.scheduler import Decided, Replica, Run


@dataclass(slots=True, eq=False)
class Ranks:
    """The ranks of one replica, and the clock of their steps, each of which takes ``pace`` times its time."""

    clock: StepClock
    members: Sequence[Replica]
    pace: float = 1.0

    @property
    def due(self) -> float:
        """When it has to be looked after; infinity while all ranks are idle. [s]"""
        return min((float(rank.run.ends[-1]) for rank in self.members if rank.run), default=inf)

    def wake(self, replica: Replica, now: float) -> None:
        """Have a rank take note of new requests: begin, or end a run of steps of all with the one under way."""
        runs = [rank.run for rank in self.members if rank.run]
        if not runs:
            self.plan(now, now)
        elif replica.run is None or not replica.run.blocked:
            kept = replica.until_look(runs[0].ends, now)
            for run in runs:
                run.ends = run.ends[:kept]

    def advance(self) -> list[int]:
        """End the steps that are due and begin the next ones; the requests that are finished."""
        now, done, begun = self.due, list[int](), 0.0
        for rank in self.members:
            if rank.run:
                finished, begun = rank.end(rank.run, now)
                done += finished
        self.plan(now, begun if self.members[0].engine.host_ahead else now)
        return done

    def plan(self, now: float, known: float) -> None:
        """Decide what the next steps of all ranks are, and begin them."""
        decided = [rank.decide(now, known) for rank in self.members]
        if any(each.pieces for each in decided):
            self._mixed(now, decided)
        else:
            self._decoding_alone(now, decided)

    def _mixed(self, now: float, decided: Sequence[Decided]) -> None:
        """One step, in which some ranks read prompts."""
        batches = [self._batch(rank, each) for rank, each in zip(self.members, decided, strict=True)]
        encodes = max(rank.encode_s * rank.begun(each.pieces) for rank, each in zip(self.members, decided, strict=True))
        seconds = self.pace * (self.clock.seconds_of_ranks([each for each in batches if len(each[0])]) + encodes)
        for rank, each, (new, _) in zip(self.members, decided, batches, strict=True):
            decodes = len(new) > len(each.pieces)
            rank.begin(Run(now, np.array([now + seconds]), each.pieces, decodes) if len(new) else None)

    def _batch(self, rank: Replica, decided: Decided) -> tuple[Grid, Grid]:
        """What a rank does in a step in which some read prompts: those whose passes decode none of their own wait."""
        return rank.batch(decided.pieces, decodes=rank.decodes or (not decided.pieces and len(rank.decoding) > 0))

    def _decoding_alone(self, now: float, decided: Sequence[Decided]) -> None:
        """Steps in which all ranks that have any sequences decode."""
        pairs = [(rank, each) for rank, each in zip(self.members, decided, strict=True) if len(rank.decoding)]
        for rank in self.members:
            rank.begin(None)
        if not pairs:
            return
        steps = min(rank.steps_alone(held=each.held) for rank, each in pairs)
        lengths = [(np.ones(len(rank.decoding)), rank.context.astype(np.float64)) for rank, _ in pairs]
        first = last = self.clock.seconds_of_ranks(lengths)
        if steps > 1:
            last = self.clock.seconds_of_ranks([(new, attended + (steps - 1)) for new, attended in lengths])
        ends = now + self.pace * np.cumsum(np.linspace(first, last, steps))
        for rank, each in pairs:
            rank.begin(Run(now, ends, blocked=bool(rank.waiting) and not each.held, held=each.held))
