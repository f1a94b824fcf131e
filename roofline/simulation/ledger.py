"""Requests of a simulation, one row each: what is asked, and when what happened to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields

import numpy as np

from roofline.classes import frozen
from roofline.number import Grid
from roofline.program.traffic.traces import Path, Whole


@frozen(eq=False)
class Ledger:
    """Prompt and generated tokens of each request; times from the start of the simulation, NaN until they come. [s]

    ``arrived`` at the router, ``scheduled``: into its first step, ``first``: its first token, ``finished``: its last
    one. ``cached`` prompt tokens were not computed when it was first scheduled, ``loaded`` of them came from tiers
    below; ``preempted`` so many times, each of which computes all of it anew; ``replica`` served it.
    """

    prompt: Whole
    generate: Whole
    cached: Whole
    loaded: Whole
    preempted: Whole
    replica: Whole
    arrived: Grid
    scheduled: Grid
    first: Grid
    finished: Grid
    paths: Mapping[int, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, prompt: Whole, generate: Whole, paths: Mapping[int, Path] | None = None) -> Ledger:
        """Requests of these lengths, to which nothing has happened."""
        cached, loaded, preempted, replica = np.zeros((4, len(prompt)), dtype=np.int64)
        arrived, scheduled, first, finished = np.full((4, len(prompt)), np.nan)
        tokens, times = (cached, loaded, preempted, replica), (arrived, scheduled, first, finished)
        return cls(prompt, generate, *tokens, *times, paths or {})

    def __len__(self) -> int:
        return len(self.prompt)

    def anew(self) -> Ledger:
        """The same requests, to which nothing has happened."""
        return Ledger.of(self.prompt, self.generate, self.paths)

    def part(self, rows: slice) -> Ledger:
        """Some of the requests."""
        return Ledger(*(getattr(self, name)[rows] for name in COLUMNS))

    @property
    def queued_s(self) -> Grid:
        """From the arrival into the first step."""
        return self.scheduled - self.arrived

    @property
    def ttft_s(self) -> Grid:
        """Time to first token, queueing included."""
        return self.first - self.arrived

    @property
    def tpot_s(self) -> Grid:
        """Mean time per output token after the first; NaN where one token is all."""
        steps = np.where(self.generate > 1, self.generate - 1, 1)
        return np.where(self.generate > 1, (self.finished - self.first) / steps, np.nan)

    @property
    def request_s(self) -> Grid:
        """End to end: from the arrival to the last token."""
        return self.finished - self.arrived


COLUMNS = tuple(each.name for each in fields(Ledger) if each.name != "paths")
