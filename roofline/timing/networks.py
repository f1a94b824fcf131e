"""The links that join devices: fast ones within a domain, a network between domains, and what software reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from math import inf

import numpy as np

from roofline.calibration.calibration_file import CollectiveConstants
from roofline.calibration.constants import ConstantSet
from roofline.calibration.link_constants import LinkConstants, load_links
from roofline.classes import frozen
from roofline.engines.engine import Engine
from roofline.errors import UsageError, WorkloadError
from roofline.hardware.fields import Link
from roofline.hardware.spec import HardwareSpec
from roofline.number import Grid, Number, minimum

HOST_DEVICES = 8
"""Devices behind one host, where they have no links of their own."""

_TORUS_SIDE = 4  # devices along one axis of a slice (TPU v4: Jouppi et al. 2023, arXiv 2304.01433, section 2)


@frozen
class Served:
    """Whose kernels run: a library's for all-reduces of up to ``most_bytes`` [B] and ``most_devices``, else NCCL's."""

    library: str = "nccl"
    most_bytes: float = inf
    most_devices: int = 8


@frozen
class Tier:
    """Links of one kind: bandwidth per direction [B/s], how many devices they join, how, and what software reaches.

    ``constants`` is None where only the data sheet counts; ``measured`` are those of a calibrated device.
    """

    name: str
    bandwidth: float
    domain: int
    kind: str
    axes: int = 1
    per_peer: float | None = None
    reduces: bool = False
    constants: LinkConstants | None = None
    measured: Mapping[str, CollectiveConstants] | None = None
    served: Served = field(default_factory=Served)

    def scaled(self, link: float, latency: float) -> Tier:
        """The same with bandwidths and latencies times a factor."""
        peer = None if self.per_peer is None else self.per_peer * link
        measured = {name: c.scaled(latency) for name, c in self.measured.items()} if self.measured else self.measured
        constants = self.constants.scaled(latency) if self.constants else None
        return replace(self, bandwidth=self.bandwidth * link, per_peer=peer, constants=constants, measured=measured)

    def available(self, devices: Grid) -> Number:
        """What a group of so many devices has: a link to each peer of a mesh, one axis of a torus for every four."""
        if self.per_peer is not None:
            peers: Grid = np.maximum(devices - 1, 1)
            return minimum(self.bandwidth, self.per_peer * peers)
        used: Grid = np.clip(np.ceil(np.log2(np.maximum(devices, 2)) / np.log2(_TORUS_SIDE)), 1, self.axes)
        return self.bandwidth * used / self.axes


@frozen
class LinkUse:
    """How a program uses the links: ``overlap`` is the part of each collective's time that other work hides.

    ``all_reduce`` says whose kernels reduce.
    """

    overlap: float = 0.0
    all_reduce: str = "nccl"

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 1:
            msg = f"overlap {self.overlap}: expected a part from 0 to 1 of the time of collectives"
            raise UsageError(msg)

    @classmethod
    def of(cls, engine: Engine, device: HardwareSpec) -> LinkUse:
        """How an engine uses them on a device."""
        return cls(engine.overlap, engine.all_reduce_on(device.words))


@frozen
class Network:
    """The tiers of a system's links, fast ones first, and how they are used; the last tier joins all devices."""

    tiers: tuple[Tier, ...]
    use: LinkUse = field(default_factory=LinkUse)

    @property
    def near(self) -> Tier:
        """The links among neighbours."""
        return self.tiers[0]

    @property
    def far(self) -> Tier:
        """The links among all."""
        return self.tiers[-1]

    def scaled(self, *, link: float = 1.0, latency: float = 1.0) -> Network:
        """The same with all bandwidths, or all latencies, times a factor."""
        return replace(self, tiers=tuple(tier.scaled(link, latency) for tier in self.tiers))


def network_of(
    device: HardwareSpec, count: int, links: Mapping[str, Link], constants: ConstantSet, use: LinkUse | None = None
) -> Network:
    """The network of ``count`` devices; ``links`` is what their system states of them.

    Without fast links devices talk through their hosts, of which each is taken to hold ``HOST_DEVICES``; so do those in
    one box whose fast links, such as bridges, join fewer. A superchip, whose fast links join one, has a host of its
    own. Raises WorkloadError where no link is stated that joins all devices.
    """
    use = use or LinkUse()
    known: dict[str, Link] = {**{str(name): link for name, link in device.links.items()}, **links}
    measured = constants.calibration.collectives if constants.calibration else None
    rated = constants.provenance == "datasheet"
    up, out, host = (known.get(name) for name in ("scale_up", "scale_out", "host"))
    tiers = []
    if up is not None and up.bandwidth_per_direction and (up.domain or count) > 1:
        kind = _kind(up)
        own = None if rated else reached(device, kind)
        tiers.append(replace(_tier("scale_up", up, up.domain or count, kind, own),
                             measured=measured or None, served=served_by(use.all_reduce)))  # fmt: skip
    wider = not tiers or (tiers[0].domain < count <= HOST_DEVICES and not (out and out.bandwidth_per_direction))
    alone = up is not None and up.domain == 1
    if wider and not alone and host is not None and host.bandwidth_per_direction:
        own = None if rated else reached(device, "host")
        tiers.append(replace(_tier("host", host, HOST_DEVICES, "host", own), served=served_by(use.all_reduce)))
    if out is not None and out.bandwidth_per_direction and (not tiers or tiers[0].domain < count):
        tiers.append(_tier("scale_out", out, count, "network", None if rated else reached(device, "network")))
    if not tiers or tiers[-1].domain < count:
        joined = f"its {tiers[-1].name.replace('_', '-')} links join {tiers[-1].domain}" if tiers else "none is stated"
        msg = f"{count} x {device.name}: no link joins them ({joined}); add links.scale_out to a spec of your own"
        raise WorkloadError(msg)
    return Network(tuple(tiers), use)


def band_of(network: Network) -> tuple[float, float, str]:
    """Low and high of the widest band of the links, as factors of the time, and its evidence."""
    bands = [own.band for tier in network.tiers for own in (tier.measured or {}).values()]
    library = network.use.all_reduce
    bands += [band for tier in network.tiers if tier.constants and not tier.measured
              for band in tier.constants.bands(library)]  # fmt: skip
    if not bands:
        return 1.0, 1.0, "the data sheet's links: a lower bound, not a forecast"
    widest = max(bands, key=lambda band: band.high / band.low)
    return widest.low, widest.high, widest.evidence


def reached(device: HardwareSpec, kind: str) -> LinkConstants:
    """What software reaches of links of a kind on a device."""
    return load_links().of(kind, device.name, generation_of(device), joined_by(device))


def _kind(link: Link) -> str:
    """The kind of a link between devices: its type where constants of that are known, as of xGMI, else its topology."""
    named = next(iter((link.type or "").lower().split()), "")
    return named if named in load_links().links else link.topology or "switch"


def generation_of(device: HardwareSpec) -> str:
    """The first word of its architecture, such as Hopper; empty where none is stated."""
    return next(iter((device.architecture or "").split()), "")


def joined_by(device: HardwareSpec) -> str:
    """How many devices its own links join at which rate, such as "8 at 450 GB/s"; empty where it states none."""
    link = device.links.get("scale_up")
    if link is None or link.bandwidth_per_direction is None:
        return ""
    return f"{link.domain} at {link.bandwidth_per_direction / 1e9:g} GB/s"


def served_by(library: str) -> Served:
    """Whose collectives run, with the limits of serving engines."""
    links = load_links()
    return Served(library, links.served_bytes, links.served_devices)


def _tier(name: str, link: Link, domain: int, kind: str, constants: LinkConstants | None) -> Tier:
    assert link.bandwidth_per_direction is not None
    axes = max(1, (link.count or 2) // 2) if link.topology == "torus" else 1
    per_peer = link.per_peer_per_direction
    return Tier(name, link.bandwidth_per_direction, domain, kind, axes, per_peer, link.reduces, constants)
