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
from dataclasses import dataclass, field, replace
from typing import Any

from roofline.classes import frozen
from roofline.errors import UnitError, UsageError, shown
from roofline.hardware.systems import LinkName
from roofline.prediction.request import Request
from roofline.program.traffic.traces import Path
from roofline.simulation.prefix_cache import PrefixCache
from roofline.units import format_quantity, parse_quantity

_EXPECTED = (
    "expected kv=SIZE of the host's memory, or tiers with + between them, NAME:SIZE@READ:WRITE each, such as "
    "kv=host:200GB+ssd:4TB@12GB/s:6GB/s+remote:20TB"
)
_LINKS: dict[str, LinkName] = {"host": "host", "remote": "scale_out"}
"""The links that lead to a tier, by its name; an SSD has none of its own."""


@frozen
class Tier:
    """Room for caches below the devices' memory, and the rates of reading and writing it. [B, B/s]

    ``shared``: all replicas have it together.
    """

    name: str
    bytes: float
    read: float
    write: float
    shared: bool = False

    def part_of(self, devices: int) -> Tier:
        """One device's part of it, of so many in a replica."""
        return replace(self, bytes=self.bytes / devices, read=self.read / devices, write=self.write / devices)

    def of_one_in(self, replicas: int) -> Tier:
        """What one of so many replicas has of it: an equal part of the room that all share, over a link of its own.

        >>> Tier("remote", 8e12, 1e10, 1e10, shared=True).of_one_in(4).bytes
        2000000000000.0
        """
        return replace(self, bytes=self.bytes / replicas) if self.shared else self

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"bytes": self.bytes, "read_bytes_per_s": self.read, "write_bytes_per_s": self.write}

    @property
    def words(self) -> str:
        """Its size and rates, in a few words."""
        size = format_quantity(self.bytes, "bytes")
        rates = [format_quantity(rate, "bytes_per_s") for rate in (self.read, self.write)]
        return f"{self.name} {size} at {rates[0]}" + (f", written at {rates[1]}" if rates[1] != rates[0] else "")


def read_tiers(offload: str | None, request: Request, devices: int) -> tuple[Tier, ...]:
    """The tiers that ``--offload`` names, in its order, of a replica of so many devices; without it none.

    Rates that are not given are those of the links of all its devices: ``host``, and ``scale_out`` to what is remote.
    Raises UsageError for what is none, and where no rate is stated.
    """
    return tuple(_filled(each, request, devices) for each in named_tiers(offload))


@frozen
class NamedTier:
    """A tier as it is asked for: what is left open is None, or 0 of a size. [B, B/s]"""

    name: str
    bytes: float
    read: float | None
    write: float | None


def named_tiers(offload: str | None) -> tuple[NamedTier, ...]:
    """The tiers that ``--offload`` names, as they are given. Raises UsageError for what is none.

    >>> [(tier.name, tier.bytes, tier.write) for tier in named_tiers("kv=200GB+ssd:4TB@12GB/s:6GB/s")]
    [('host', 200000000000.0, None), ('ssd', 4000000000000.0, 6000000000.0)]
    """
    if offload is None:
        return ()
    word, _, listed = str(offload).partition("=")
    if word.strip() != "kv" or not listed:
        msg = f"offload {shown(str(offload))}: {_EXPECTED}"
        raise UsageError(msg)
    found = tuple(_named(each.strip()) for each in listed.split("+"))
    if len({tier.name for tier in found}) < len(found):
        msg = f"offload {shown(str(offload))}: a tier is named twice, expected host, ssd and remote once each at most"
        raise UsageError(msg)
    return found


def _named(text: str) -> NamedTier:
    amount, at, rates = text.partition("@")
    name, colon, size = amount.partition(":")
    if not colon:
        name, size = ("host", "") if amount == "host" else ("host", amount)
    if name not in ("host", "ssd", "remote") or not (size or amount == "host"):
        msg = f"offload: {shown(text)} is no tier with its size, expected host, ssd or remote; {_EXPECTED}"
        raise UsageError(msg)
    reading, _, writing = rates.partition(":")
    try:
        whole = parse_quantity(size, "bytes") if size else 0.0
        read = parse_quantity(reading, "bytes_per_s") if at else None
        write = parse_quantity(writing, "bytes_per_s") if writing else read
    except UnitError as failure:
        msg = f"offload {shown(text)}: {failure}"
        raise UsageError(msg) from None
    if (size and not whole > 0) or 0 in (read, write):
        msg = f"offload {shown(text)}: expected a size and rates above 0"
        raise UsageError(msg)
    return NamedTier(name, whole, read, write)


def _filled(tier: NamedTier, request: Request, devices: int) -> Tier:
    """A tier with what is stated of the devices in place of what is left open."""
    whole = tier.bytes or _stated_size(request, devices)
    read = tier.read or _rate(tier.name, request, devices)
    return Tier(tier.name, whole, read, tier.write or read, shared=tier.name == "remote")


def _stated_size(request: Request, devices: int) -> float:
    """The host's memory beside the devices, where the device states it. [B]"""
    level = request.device.host_memory
    if level is None or not level.capacity:
        msg = f"offload host: {request.device.name} states no host_memory; give its size, such as kv=host:200GB"
        raise UsageError(msg)
    return float(level.capacity) * devices


def _rate(name: str, request: Request, devices: int) -> float:
    """The rate of a replica's links to a tier. [B/s]"""
    link = None
    if name in _LINKS:
        link = request.fleet.links.get(_LINKS[name]) or request.device.links.get(_LINKS[name])
    if link is None or not link.bandwidth_per_direction:
        msg = f"offload {name}: no rate of it is stated for {request.device.name}; give it, such as {name}:4TB@12GB/s"
        raise UsageError(msg)
    return float(link.bandwidth_per_direction) * devices


@frozen
class BreakEven:
    """A prompt of so many tokens, the bytes of its cache in a replica, and the time to compute them. [tokens, B, s]"""

    prompt: int
    bytes: float
    computed_s: float

    @property
    def bandwidth(self) -> float:
        """The rate at which loading takes as long; a tier that is read faster is worth it. [B/s]"""
        return self.bytes / self.computed_s

    def to_dict(self) -> dict[str, float]:
        """As JSON has it."""
        return {"prompt": self.prompt, "cache_bytes": self.bytes, "computed_s": self.computed_s,
                "bandwidth_bytes_per_s": self.bandwidth}  # fmt: skip

    @property
    def words(self) -> str:
        """All of it in a line."""
        held, time = format_quantity(self.bytes, "bytes"), format_quantity(self.computed_s, "time_s")
        rate = format_quantity(self.bandwidth, "bytes_per_s")
        return f"break-even {rate}: a prompt of {self.prompt:,} tokens has {held} of cache, computed in {time}"


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
