"""How long devices talk to each other: the links of a system, the forms of a collective, the fastest of them.

A group of n devices that lies within the domain of the fast links uses these; one that does not, its network too. In a
tier, with b its bandwidth per direction and M the message [B]:

    ring        first + each (n - 1)         the bus bytes, 2 M (n - 1)/n to reduce everywhere, M (n - 1)/n else
    tree        first + 2 each log2 n        2 M                                        to reduce everywhere
    one-shot    kernel + each (n - 1)        M (n - 1), everything to everyone          to reduce everywhere
    in-switch   first + 2 each               M (n + 1)/n, the switch adds up            to reduce everywhere
    time = ((latency)^q + (bytes / (e b))^q)^(1/q)

Beyond a domain, a collective runs in it, between domains with what each device has of the message, and in it again; or
as one ring through all.

Sources: NVIDIA nccl-tests, PERFORMANCE.md; Sanders et al. 2009, Two-tree algorithms; Thakur et al. 2005, Optimization
of collective communication operations in MPICH; Klenk et al. 2020, An in-network architecture for accelerating
shared-memory multiprocessor collectives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from roofline.calibration.constants import CollectiveConstants, ConstantSet
from roofline.calibration.link_constants import Kernel, LinkConstants, load_links
from roofline.errors import WorkloadError
from roofline.hardware.fields import Link
from roofline.hardware.spec import HardwareSpec
from roofline.program.transfers import bus_bytes
from roofline.timing.measured_collectives import CollectiveTiming, time_collective

HOST_DEVICES = 8
"""Devices behind one host, where they have no links of their own."""

_TORUS_SIDE = 4  # devices along one axis of a slice (TPU v4: Jouppi et al. 2023, arXiv 2304.01433, section 2)


@dataclass(frozen=True, slots=True)
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

    def scaled(self, link: float, latency: float) -> Tier:
        """The same with bandwidths and latencies times a factor."""
        peer = None if self.per_peer is None else self.per_peer * link
        measured = {name: c.scaled(latency) for name, c in self.measured.items()} if self.measured else self.measured
        constants = self.constants.scaled(latency) if self.constants else None
        return replace(self, bandwidth=self.bandwidth * link, per_peer=peer, constants=constants, measured=measured)

    def available(self, devices: Any) -> Any:
        """What a group of so many devices has: a link to each peer of a mesh, one axis of a torus for every four."""
        if self.per_peer is not None:
            return np.minimum(self.bandwidth, self.per_peer * np.maximum(devices - 1, 1))
        used = np.clip(np.ceil(np.log2(np.maximum(devices, 2)) / np.log2(_TORUS_SIDE)), 1, self.axes)
        return self.bandwidth * used / self.axes


@dataclass(frozen=True, slots=True)
class Network:
    """The tiers of a system's links, fast ones first; the last one joins all devices.

    ``overlap`` is the part of each collective's time that is taken to be hidden behind other work.
    """

    tiers: tuple[Tier, ...]
    overlap: float = 0.0

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


@dataclass(frozen=True, slots=True)
class Form:
    """One way to run a collective, with its time, its bound and the part of the time that the links take. [s]"""

    name: Any
    time_s: Any
    bound_s: Any
    link: Any
    low: Any
    high: Any


def network_of(
    device: HardwareSpec, count: int, links: Mapping[str, Link], constants: ConstantSet, overlap: float = 0.0
) -> Network:
    """The network of ``count`` devices; ``links`` is what their system states of them.

    Without fast links devices talk through their hosts, of which each is taken to hold ``HOST_DEVICES``. Raises
    WorkloadError where no link is stated that joins all devices.
    """
    known: dict[str, Link] = {**{str(name): link for name, link in device.links.items()}, **links}
    shipped = load_links() if constants.provenance != "datasheet" else None
    up, out, host = (known.get(name) for name in ("scale_up", "scale_out", "host"))
    tiers = []
    if up is not None and up.bandwidth_per_direction and (up.domain or count) > 1:
        measured = constants.calibration.collectives if constants.calibration else None
        own = shipped.links[up.topology or "switch"] if shipped else None
        tiers.append(_tier("scale_up", up, up.domain or count, up.topology or "switch", own, measured or None))
    elif host is not None and host.bandwidth_per_direction:
        tiers.append(_tier("host", host, HOST_DEVICES, "host", shipped.links["host"] if shipped else None))
    if out is not None and out.bandwidth_per_direction and (not tiers or tiers[0].domain < count):
        tiers.append(_tier("scale_out", out, count, "network", shipped.links["network"] if shipped else None))
    if not tiers or tiers[-1].domain < count:
        joined = f"its {tiers[-1].name.replace('_', '-')} links join {tiers[-1].domain}" if tiers else "none is stated"
        msg = f"{count} x {device.name}: no link joins them ({joined}); add links.scale_out to a spec of your own"
        raise WorkloadError(msg)
    return Network(tuple(tiers), overlap)


def band_of(network: Network) -> tuple[float, float, str]:
    """Low and high of the widest band of the links, as factors of the time, and its evidence."""
    bands = [own.band for tier in network.tiers for own in (tier.measured or {}).values()]
    bands += [tier.constants.band for tier in network.tiers if tier.constants is not None and not tier.measured]
    if not bands:
        return 1.0, 1.0, "the data sheet's links: a lower bound, not a forecast"
    widest = max(bands, key=lambda band: band.high / band.low)
    return widest.low, widest.high, widest.evidence


def _tier(
    name: str, link: Link, domain: int, kind: str, constants: LinkConstants | None,
    measured: Mapping[str, CollectiveConstants] | None = None,
) -> Tier:  # fmt: skip
    assert link.bandwidth_per_direction is not None
    axes = max(1, (link.count or 2) // 2) if link.topology == "torus" else 1
    per_peer = link.per_peer_per_direction
    return Tier(name, link.bandwidth_per_direction, domain, kind, axes, per_peer, link.reduces, constants, measured)


def time_transfer(operation: str, message_bytes: Any, devices: Any, stride: Any, network: Network) -> Form:
    """The fastest form of a collective of ``devices`` that are ``stride`` apart, for numbers or arrays.

    A single device takes no time. Where all are in one domain the network is not used.
    """
    near, far = network.near, network.far
    inside = np.clip(near.domain // np.maximum(stride, 1), 1, devices)
    outside = np.ceil(devices / inside)
    if operation == "send":
        return _send(message_bytes, devices, inside, near, far)
    forms = [
        _where(outside == 1, _fastest(operation, message_bytes, devices, near)),
        _where((inside == 1) & (outside > 1), _fastest(operation, message_bytes, devices, far)),
    ]
    if far is not near:
        forms += [_where((inside > 1) & (outside > 1), form) for form in
                  _hierarchical(operation, message_bytes, devices, inside, outside, near, far)]  # fmt: skip
    best = reduce(_faster, forms)
    alone = Form("none", 0.0, 0.0, 1.0, 1.0, 1.0)
    return Form(*(value[()] for value in _values(_pick(np.asarray(devices) > 1, best, alone))))


def _fastest(operation: str, message: Any, devices: Any, tier: Tier) -> Form:
    return reduce(_faster, _forms(operation, message, devices, tier))


def _forms(operation: str, message: Any, devices: Any, tier: Tier) -> Iterator[Form]:
    """Every way to run a collective within a tier. One that was measured on the device is the only one."""
    n = np.maximum(devices, 2) * 1.0
    rate, ring = tier.available(n), bus_bytes(operation, message, n)
    if tier.measured and operation in tier.measured:
        yield _of_timing("as measured", time_collective(operation, message, n, rate, tier.measured[operation]))
        return
    c = tier.constants
    if c is None:
        least = np.minimum(ring, message * (n + 1) / n) if tier.reduces and operation == "all_reduce" else ring
        yield Form("at best", least / rate, least / rate, 1.0, 1.0, 1.0)
        return
    yield _form("ring", c.first + c.each * (n - 1), ring, c.bandwidth, rate, c)
    if operation != "all_reduce":
        return
    yield _form("tree", c.first + 2 * c.each * np.ceil(np.log2(n)), 2 * message, c.bandwidth, rate, c)
    if isinstance(c.one_shot, Kernel):
        latency = c.one_shot.first + c.one_shot.each * (n - 1)
        yield _form("one-shot", latency, message * (n - 1), c.bandwidth, rate, c)
    if tier.reduces and c.in_switch is not None:
        yield _form("in-switch", c.first + 2 * c.each, message * (n + 1) / n, c.in_switch, rate, c)


def _form(name: str, latency: Any, sent: Any, share: float, rate: Any, constants: LinkConstants) -> Form:
    """The soft corner of latency and bytes."""
    q = constants.sharpness
    steps, transfer = latency**q, (sent / (share * rate)) ** q
    time = (steps + transfer) ** (1 / q)
    return Form(name, time, sent / rate, transfer / (steps + transfer), constants.band.low, constants.band.high)


def _of_timing(name: str, timing: CollectiveTiming) -> Form:
    low, high = timing.low_s / timing.time_s, timing.high_s / timing.time_s
    return Form(name, timing.time_s, timing.bound_s, timing.share_link, low, high)


def _hierarchical(
    operation: str, message: Any, devices: Any, inside: Any, outside: Any, near: Tier, far: Tier
) -> Iterator[Form]:
    """Within domains, between them, within them again; and one ring through all, over the networks of each domain."""
    if operation == "all_to_all":
        within = _fastest(operation, message * inside / devices, inside, near)
        beyond = _fastest(operation, message, outside, far)
        yield _along("direct", [within, beyond], together=True)
        return
    steps = {
        "all_reduce": (("reduce_scatter", 1, near), ("all_reduce", inside, far), ("all_gather", 1, near)),
        "reduce_scatter": (("reduce_scatter", 1, near), ("reduce_scatter", inside, far)),
        "all_gather": (("all_gather", inside, far), ("all_gather", 1, near)),
    }[operation]
    yield _along("hierarchical", [
        _fastest(name, message / part, inside if tier is near else outside, tier) for name, part, tier in steps
    ])  # fmt: skip
    if far.constants is not None:
        c = far.constants
        rate = np.minimum(near.available(inside), far.bandwidth * inside)
        latency = c.first + c.each * outside + (near.constants or c).each * (devices - outside)
        yield _form("ring through all", latency, bus_bytes(operation, message, devices * 1.0), c.bandwidth, rate, c)


def _along(name: str, parts: list[Form], *, together: bool = False) -> Form:
    """Forms one after the other, or at the same time; the band of one set of constants is as wide as the widest."""
    low, high = (reduce(pick, (getattr(part, end) for part in parts)) for pick, end in (
        (np.minimum, "low"), (np.maximum, "high")))  # fmt: skip
    if together:
        best = reduce(lambda a, b: _pick(a.time_s >= b.time_s, a, b), parts)
        bound = reduce(np.maximum, (part.bound_s for part in parts))
        return Form(name, best.time_s, bound, best.link, low, high)
    time, bound = sum(part.time_s for part in parts), sum(part.bound_s for part in parts)
    link = sum(part.time_s * part.link for part in parts) / time
    return Form(name, time, bound, link, low, high)


def _send(message: Any, stages: Any, inside: Any, near: Tier, far: Tier) -> Form:
    """One device to the next: the mean over the boundaries between stages, of which some lie between domains."""
    crossing = (np.ceil(stages / inside) - 1) / np.maximum(stages - 1, 1)
    one, other = (_hop(message, tier) for tier in (near, far))
    time = (1 - crossing) * one.time_s + crossing * other.time_s
    bound = (1 - crossing) * one.bound_s + crossing * other.bound_s
    link = ((1 - crossing) * one.time_s * one.link + crossing * other.time_s * other.link) / time
    low, high = np.minimum(one.low, other.low), np.maximum(one.high, other.high)
    return Form("send", time, bound, link, low, high)


def _hop(message: Any, tier: Tier) -> Form:
    rate, c = tier.available(2), tier.constants
    if c is None:
        return Form("send", message / rate, message / rate, 1.0, 1.0, 1.0)
    return _form("send", c.first, message, c.bandwidth, rate, c)


def _where(mask: Any, form: Form) -> Form:
    """A form that only counts where ``mask`` holds."""
    return Form(form.name, np.where(mask, form.time_s, np.inf), form.bound_s, form.link, form.low, form.high)


def _faster(a: Form, b: Form) -> Form:
    """The faster of two forms, with the lower bound of both: neither name nor losses are physics."""
    best = _pick(a.time_s <= b.time_s, a, b)
    either = np.isfinite(a.time_s) & np.isfinite(b.time_s)
    bound = np.where(either, np.minimum(a.bound_s, b.bound_s), best.bound_s)
    return Form(best.name, best.time_s, bound, best.link, best.low, best.high)


def _pick(first: Any, a: Form, b: Form) -> Form:
    return Form(*(np.where(first, one, other) for one, other in zip(_values(a), _values(b), strict=True)))


def _values(form: Form) -> tuple[Any, ...]:
    return form.name, form.time_s, form.bound_s, form.link, form.low, form.high
