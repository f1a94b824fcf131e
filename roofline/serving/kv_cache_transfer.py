"""KV-cache transfer: from the replica that read a prompt to the one that decodes, over which link and how long.

Each device of the receiver gets what it holds of the cache; what several of them hold is sent to each. A prompt goes to
one of the receiver's data-parallel ranks. Devices send and receive side by side, so that the time is that of the slower
side, for all prompts of a step at once:

    time = the longer of    send(prompts of a rank x cache of one device that receives)
                            send(prompts x that cache x devices that receive one / devices that send)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from roofline.calibration.constants import ConstantSet
from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.hardware.spec import HardwareSpec
from roofline.number import Grid
from roofline.prediction.fleet import Fleet
from roofline.timing.collectives import time_transfer
from roofline.timing.networks import Network

_MANY = 1 << 20
"""Devices beyond any domain."""


@frozen
class End:
    """A replica that sends or receives: so many of a fleet's devices, with their constants, in so many ranks."""

    fleet: Fleet
    device: HardwareSpec
    constants: ConstantSet
    devices: int
    ranks: int = 1


@frozen(eq=False)
class HandOver:
    """The cache of a mean prompt on its way: bytes of all receivers together, the link, and for each number of prompts
    the time until all are there, with its band as factors. [B, s]
    """

    bytes: float
    link: str
    prompts: Grid
    time_s: Grid
    low: Grid
    high: Grid

    @property
    def each_s(self) -> float:
        """The time of one prompt among many: no replica takes them in faster. [s]"""
        return float(np.min(self.time_s / self.prompts))


def check_same_cache(sender: tuple[str, str], receiver: tuple[str, str]) -> None:
    """Raises WorkloadError where two ends, each a format of its cache and a device's name, keep it unlike."""
    (own, one), (other, two) = sender, receiver
    if own != other:
        msg = f"the cache is {own} on {one} and {other} on {two}; give one --kv-dtype"
        raise WorkloadError(msg)


def hand_over(cache: float, sender: End, receiver: End, prompts: Grid, devices: int) -> HandOver:
    """The hand-over of ``prompts`` at once, of whose mean cache each device of the receiver holds ``cache`` bytes.

    ``devices`` are those of all replicas: where one domain of fast links holds them, it is used; else the network
    between boxes. Raises WorkloadError where no link is stated that joins both.
    """
    whole = cache * receiver.devices / receiver.ranks
    sent, received = prompts * whole / sender.devices, cache * np.maximum(prompts / receiver.ranks, 1.0)
    near = _near(sender, devices) if sender.device.name == receiver.device.name else None
    if near is not None:
        link, slower = near.near.name, _send(near, np.maximum(sent, received), apart=False)
    else:
        link = "scale_out"
        slower = _slower(*(_send_far(end, part) for end, part in ((sender, sent), (receiver, received))))
    time, low, high = (np.broadcast_to(np.asarray(v, dtype=np.float64), prompts.shape) for v in slower)
    return HandOver(whole, link.replace("_", "-"), prompts, time, low, high)


def _near(end: End, devices: int) -> Network | None:
    """The links that join all devices of one domain, or of one box; None where a network between boxes does."""
    try:
        network = _network(end, devices)
    except WorkloadError:
        return None
    joins = network.far.name != "scale_out" and devices <= network.far.domain
    return replace(network, tiers=(network.far,)) if joins else None


def _send_far(end: End, message: Any) -> tuple[Any, Any, Any]:
    """From one domain to another."""
    out = end.fleet.links.get("scale_out") or end.device.links.get("scale_out")
    if out is None or not out.bandwidth_per_direction:
        name = end.device.name
        msg = (
            f"no link hands caches over between boxes of {name}; name a box whose spec states links.scale_out, or add "
            f"it to a spec of your own"
        )
        raise WorkloadError(msg)
    return _send(_network(end, _MANY), message, apart=True)


def _network(end: End, devices: int) -> Network:
    network = end.fleet.network(end.device, devices, end.constants)
    assert network is not None, "more than one device"
    return network


def _send(network: Network, message: Any, *, apart: bool) -> tuple[Any, Any, Any]:
    sent = time_transfer("send", message, 2, network.near.domain if apart else 1, network)
    return sent.time_s, sent.low_s / sent.time_s, sent.high_s / sent.time_s


def _slower(a: tuple[Any, Any, Any], b: tuple[Any, Any, Any]) -> tuple[Any, ...]:
    """The slower side's time with its band."""
    first = np.asarray(a[0]) >= np.asarray(b[0])
    return tuple(np.where(first, one, other) for one, other in zip(a, b, strict=True))
