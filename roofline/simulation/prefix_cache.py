"""The prefix cache of a replica: whole blocks of what was computed stay, least recently used, until room is needed.

A request reads a path of segments, each named by its content: a shared prompt, then a session's own history, or the
blocks of a trace by their hashes. A segment is cached from its start on, up to some token; it is held while requests
use it, and idle after that. Where room is needed the one that was idle longest gives up blocks from its end, so that no
block outlives those before it (vLLM frees the blocks of a request from its end; a radix tree evicts its leaves).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from roofline.program.traffic.traces import Path
from roofline.simulation.cache import CacheRoom


@dataclass(slots=True)
class Segment:
    """Cached from token ``start`` up to token ``end`` of whatever begins with it; so many requests use it."""

    start: int
    end: int
    users: int = 0


@dataclass(slots=True, eq=False)
class PrefixCache:
    """Segments in the order of their last use, the least recent first; bytes of those in use, and of idle ones. [B]"""

    room: CacheRoom
    segments: OrderedDict[Hashable, Segment] = field(default_factory=OrderedDict)
    used: float = 0.0
    idle: float = 0.0

    def match(self, path: Path, most: int) -> int:
        """How many tokens of a request are cached, in whole blocks, up to ``most``."""
        found = 0
        for name, end in path:
            segment, whole = self.segments.get(name), self.whole(end)
            if segment is not None:
                found = min(segment.end, whole)
            if found < whole:
                break
        return self.whole(min(found, most))

    def take(self, path: Path, tokens: int) -> None:
        """Hold what a request uses of its path, up to so many tokens."""
        for name, _ in self._within(path, tokens):
            segment = self.segments[name]
            if not segment.users:
                self.idle -= self._bytes(segment)
                self.used += self._bytes(segment)
            segment.users += 1

    def keep(self, path: Path, held: int, tokens: int) -> int:
        """Put into the cache what a request has computed, which held ``held`` tokens of it; how many it holds now."""
        tokens = self.whole(min(tokens, path[-1][1] if path else 0))
        if tokens <= held:
            return held
        start = 0
        for name, end in path:
            if start >= tokens:
                break
            segment, upto = self.segments.get(name), self.whole(min(end, tokens))
            if segment is None:
                segment = self.segments[name] = Segment(start, start)
            elif not segment.users:
                self.idle -= self._bytes(segment)
                self.used += self._bytes(segment)
            before = self._bytes(segment)
            segment.end = max(segment.end, upto)
            self.used += self._bytes(segment) - before
            segment.users += start >= held
            start = self.whole(end)
        return tokens

    def leave(self, path: Path, tokens: int) -> None:
        """Let go of what a request held, which is now the most recently used; its end is given up first."""
        for name, _ in reversed(self._within(path, tokens)):
            segment = self.segments[name]
            segment.users -= 1
            self.segments.move_to_end(name)
            if not segment.users:
                self.used -= self._bytes(segment)
                self.idle += self._bytes(segment)

    def shrink(self, most: float) -> None:
        """Give up idle blocks until they take ``most`` bytes."""
        if self.idle <= most:
            return
        gone = []
        for name, segment in self.segments.items():
            if segment.users:
                continue
            held = self._bytes(segment)
            kept = max(0.0, held - (self.idle - most))
            start = self.room.by_blocks[segment.start // self.room.block]
            blocks = int(np.searchsorted(self.room.by_blocks, start + kept, side="right")) - 1
            segment.end = min(segment.end, max(segment.start, blocks * self.room.block))
            self.idle -= held - self._bytes(segment)
            if segment.end == segment.start:
                gone.append(name)
            if self.idle <= most:
                break
        for name in gone:
            del self.segments[name]

    def _within(self, path: Path, tokens: int) -> list[tuple[Hashable, int]]:
        """The segments of a path that begin before ``tokens``."""
        starts = [0, *(self.whole(end) for _, end in path)]
        return [each for each, start in zip(path, starts, strict=False) if start < tokens]

    def _bytes(self, segment: Segment) -> float:
        blocks = self.room.by_blocks
        return float(blocks[segment.end // self.room.block] - blocks[segment.start // self.room.block])

    def whole(self, tokens: int) -> int:
        """The tokens of whole blocks among so many."""
        return tokens // self.room.block * self.room.block
