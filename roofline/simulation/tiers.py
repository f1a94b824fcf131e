"""KV-cache offloading: tiers below the devices' own memory that keep what was computed, and the links to them.

Every whole block that a replica has computed is written to each tier (write-through, as vLLM's offloading connector and
LMCache do), where the least recently used go first. A prompt that a tier holds more of than the devices do has the rest
loaded, where that takes less time, its wait for the link included, than computing it:

    load = wait + bytes / bandwidth        break-even bandwidth = bytes / time to compute them

Sizes and rates are those of one device's part, as the cache's are. Source: Liu et al. 2025, LMCache (arXiv 2510.09665).
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from roofline.hardware.cache_tiers import Tier
from roofline.program.traffic.traces import Path
from roofline.simulation.prefix_cache import PrefixCache


@dataclass(slots=True, eq=False)
class Shelf:
    """What a tier holds, and what is on its way into it: when it is there, and up to which token of which segments."""

    tier: Tier
    kept: PrefixCache
    coming: list[tuple[float, int, Path, int]] = field(default_factory=list)
    queued: dict[Hashable, int] = field(default_factory=dict)
    written: int = 0

    def match(self, path: Path, most: int, now: float) -> int:
        """How many tokens of a request it holds by now, in whole blocks, up to ``most``."""
        while self.coming and self.coming[0][0] <= now:
            _, _, there, tokens = heapq.heappop(self.coming)
            for name, end in there:
                if self.queued.get(name, end + 1) <= min(end, tokens):
                    del self.queued[name]
            self.use(there, self.kept.keep(there, 0, tokens), held=True)
            self.kept.shrink(self.tier.bytes)
        return self.kept.match(path, most)

    def use(self, path: Path, tokens: int, *, held: bool = False) -> None:
        """Make so many tokens of a path the most recently used."""
        if not held:
            self.kept.take(path, tokens)
        self.kept.leave(path, tokens)

    def missing(self, path: Path, tokens: int) -> float:
        """Bytes of the first tokens of a path that it neither holds nor gets. [B]"""
        return sum(self._bytes(start, end) for _, start, end in self._lacks(path, tokens))

    def put(self, path: Path, tokens: int, ready: float) -> None:
        """Have the first tokens of a path in it from ``ready`` on. [s]"""
        for name, _, end in self._lacks(path, tokens):
            self.queued[name] = end
        self.written += 1
        heapq.heappush(self.coming, (ready, self.written, path, tokens))

    def _lacks(self, path: Path, tokens: int) -> Iterator[tuple[Hashable, int, int]]:
        start = 0
        for name, until in path:
            end = self.kept.whole(min(until, tokens))
            segment = self.kept.segments.get(name)
            have = max(segment.end if segment else start, self.queued.get(name, start), start)
            if have < end:
                yield name, have, end
            if until >= tokens:
                return
            start = self.kept.whole(until)

    def _bytes(self, start: int, end: int) -> float:
        blocks, size = self.kept.room.by_blocks, self.kept.room.block
        return float(blocks[end // size] - blocks[start // size])


@dataclass(slots=True, eq=False)
class Channel:
    """A replica's link to a tier, which is busy until some time each way, and what went over it. [s, B, tokens]"""

    shelf: Shelf
    reads_until: float = 0.0
    writes_until: float = 0.0
    read_bytes: float = 0.0
    written_bytes: float = 0.0
    tokens: int = 0

    def loaded_at(self, size: float, now: float) -> float:
        """When so many bytes would be read, after what is being read. [s]"""
        return max(self.reads_until, now) + size / self.shelf.tier.read

    def load(self, path: Path, tokens: tuple[int, int], size: float, now: float) -> float:
        """Read the cache of tokens from one to another; when it is there. [s]"""
        self.reads_until = self.loaded_at(size, now)
        self.read_bytes += size
        self.tokens += tokens[1] - tokens[0]
        self.shelf.use(path, tokens[1])
        return self.reads_until

    def store(self, path: Path, tokens: int, now: float, most: float) -> None:
        """Write what the tier lacks of a path, unless more waits to be written than ``most`` bytes of cache hold."""
        size, behind = self.shelf.missing(path, tokens), max(self.writes_until, now)
        if (behind - now) * self.shelf.tier.write > most:
            return
        self.writes_until = behind + size / self.shelf.tier.write
        self.written_bytes += size
        self.shelf.put(path, tokens, self.writes_until)
