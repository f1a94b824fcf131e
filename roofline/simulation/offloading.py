"""Prompts whose cache is loaded from tiers below, in place of being computed, and what is written to those tiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

from roofline.program.traffic.traces import Path
from roofline.simulation.cache import CacheRoom
from roofline.simulation.tiers import Channel


@dataclass(slots=True)
class Reading:
    """A prompt that is being read: of ``target`` tokens so many are cached, ``shared`` of them as a prefix.

    ``loaded`` of those that are cached come from a tier below the devices' memory. ``encoded``: its images were.
    """

    request: int
    done: int
    target: int
    shared: int = 0
    loaded: int = 0
    encoded: bool = False


Part: TypeAlias = tuple[Channel, int, int]
"""What is loaded over which link, from one token to another."""

Saved: TypeAlias = Callable[[int, int, int], float]
"""Time that computing a prompt takes less where tokens from one to another are there; the third is its length. [s]"""


@dataclass(slots=True, eq=False)
class Offloading:
    """The links of a replica to its tiers, and the prompts that are being loaded, with the time when they are there."""

    room: CacheRoom
    channels: Sequence[Channel] = ()
    under_way: list[tuple[float, Reading]] = field(default_factory=list)

    @property
    def due(self) -> float:
        """When the next prompt is there; infinity where none is being loaded. [s]"""
        return min((ready for ready, _ in self.under_way), default=inf)

    def worth_loading(self, reading: Reading, path: Path, saved: Saved, now: float) -> list[Part]:
        """What of a prompt is loaded, tier after tier: all that one has beyond those before it, if that saves time."""
        parts, reached = [], reading.done
        for channel in self.channels:
            found = channel.shelf.match(path, reading.target - 1, now)
            if found <= reached:
                continue
            waits = channel.loaded_at(self._bytes(reached, found), now) - now
            if waits < saved(reached, found, reading.target):
                parts.append((channel, reached, found))
                reached = found
        return parts

    def load(self, reading: Reading, path: Path, parts: Sequence[Part], now: float) -> None:
        """Begin to load a prompt, which goes on from there once all parts are."""
        ready = max(channel.load(path, (a, b), self._bytes(a, b), now) for channel, a, b in parts)
        self.under_way.append((ready, reading))

    def ready(self, now: float, most: int | None = None) -> list[Reading]:
        """Take out the prompts that are there, the first first, at most so many."""
        there = sorted((each for each in self.under_way if each[0] <= now), key=lambda each: each[0])[:most]
        for each in there:
            self.under_way.remove(each)
        return [reading for _, reading in there]

    def store(self, path: Path, tokens: int, now: float) -> None:
        """Write what was computed of a path, up to so many tokens, to all tiers."""
        for channel in self.channels:
            channel.store(path, tokens, now, self.room.bytes)

    def _bytes(self, start: int, end: int) -> float:
        held = self.room.of_tokens
        return float(held(end) - held(start))
