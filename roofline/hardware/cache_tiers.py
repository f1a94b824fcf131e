"""KV cache offloading: the tiers below the devices' memory that ``--offload kv=`` names, and when loading pays.

    load = bytes / bandwidth        break-even bandwidth = bytes / time to compute them

Source: Liu et al. 2025, LMCache (arXiv 2510.09665).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from roofline.classes import frozen
from roofline.errors import UnitError, UsageError, shown
from roofline.hardware.fields import Link
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import LinkName
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


def read_tiers(offload: str | None, device: HardwareSpec, links: Mapping[str, Link], devices: int) -> tuple[Tier, ...]:
    """The tiers that ``--offload`` names, in its order, of a replica of so many of a device; without it none.

    ``links`` is what their system states of its links.

    Rates that are not given are those of the links of all its devices: ``host``, and ``scale_out`` to what is remote.
    Raises UsageError for what is none, and where no rate is stated.
    """
    return tuple(_filled(each, device, links, devices) for each in named_tiers(offload))


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


def _filled(tier: NamedTier, device: HardwareSpec, links: Mapping[str, Link], devices: int) -> Tier:
    """A tier with what is stated of the devices in place of what is left open."""
    whole = tier.bytes or _stated_size(device, devices)
    read = tier.read or _rate(tier.name, device, links, devices)
    return Tier(tier.name, whole, read, tier.write or read, shared=tier.name == "remote")


def _stated_size(device: HardwareSpec, devices: int) -> float:
    """The host's memory beside the devices, where the device states it. [B]"""
    level = device.host_memory
    if level is None or not level.capacity:
        msg = f"offload host: {device.name} states no host_memory; give its size, such as kv=host:200GB"
        raise UsageError(msg)
    return float(level.capacity) * devices


def _rate(name: str, device: HardwareSpec, links: Mapping[str, Link], devices: int) -> float:
    """The rate of a replica's links to a tier. [B/s]"""
    link = None
    if name in _LINKS:
        link = links.get(_LINKS[name]) or device.links.get(_LINKS[name])
    if link is None or not link.bandwidth_per_direction:
        msg = f"offload {name}: no rate of it is stated for {device.name}; give it, such as {name}:4TB@12GB/s"
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

    def pays(self, tier: Tier) -> bool:
        """Whether loading from a tier takes less time than computing."""
        return self.bytes / tier.read < self.computed_s

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
