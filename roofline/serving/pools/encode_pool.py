"""A pool of devices that encode images and sound alone: each holds the towers and encodes one request at a time.

The embeddings are handed over to a replica, whose steps hold none of it:

    TTFT = time of the towers on one device + hand-over + TTFT of text      requests/s <= devices / time of the towers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.cost.residency import weights_bytes
from roofline.errors import WorkloadError
from roofline.hardware.reservation import Reserve
from roofline.number import exact
from roofline.prediction.request import Request
from roofline.prediction.step import Steps, steps_of
from roofline.program.traffic.lengths import Shown
from roofline.serving.continuous_batching import encoding_costs
from roofline.serving.hardware_choice import Hardware
from roofline.serving.kv_cache_transfer import End, hand_over
from roofline.serving.replica_layouts import ONE
from roofline.units import format_quantity

_EMBEDDED_BYTES = 2.0
"""Of an element of an embedding that is handed over."""


def encoding_of(steps: Steps, shown: Shown) -> tuple[Cost, ...]:
    """What towers run of one request's images and sound; nothing where it has none."""
    return encoding_costs(steps.program, steps.precision, shown, steps.engine)


def encoding_s(steps: Steps, shown: Shown) -> float:
    """The time of it. [s]"""
    costs = encoding_of(steps, shown)
    return float(np.asarray(steps.machine.step(costs).time_s).item()) if costs else 0.0


@frozen(eq=False)
class EncodePool:
    """A pool of devices that encode alone: the towers' steps on one, the link to replicas, and the hand-over. [s]"""

    request: Request
    steps: Steps
    shown: Shown
    devices: int
    seconds: float
    link: str
    sends_s: float

    @classmethod
    def of(cls, request: Request, shown: Shown, reserve: Reserve, receiver: End, many: int) -> EncodePool:
        """The devices that ``request`` names, which hand over to ``receiver``, a replica among ``many`` devices.

        Raises WorkloadError where the towers do not fit, or no link joins both.
        """
        towers = tuple(group for group in request.program.groups if group.in_tower)
        own = replace(request, program=replace(request.program, groups=towers))
        steps, devices = steps_of(own, ONE), request.fleet.count
        room, held = request.device.capacity, _held(steps)
        if room is not None and held > reserve.room(room):
            least = format_quantity(held, "bytes")
            msg = f"encode_on {request.device.name}: its memory does not hold the towers, {least}; name another device"
            raise WorkloadError(msg)
        sent = hand_over(
            shown.tokens * request.program.sizes["D"] * _EMBEDDED_BYTES,
            End(request.fleet, request.device, request.constants, 1),
            receiver,
            np.ones(1),
            devices + many,
        )
        return cls(own, steps, shown, devices, encoding_s(steps, shown), sent.link, float(sent.time_s[0]))

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the band of its time, as factors."""
        return band_of(self.steps, encoding_of(self.steps, self.shown))

    @property
    def requests_per_s(self) -> float:
        """What all of its devices encode at most. [requests/s]"""
        return self.devices / self.seconds

    @property
    def words(self) -> str:
        """What encodes, in a few words."""
        return f"{self.devices} x {self.request.device.name}" if self.devices > 1 else self.request.device.name


@frozen(eq=False)
class EncodeDeployment:
    """A pool that encodes for a curve's replicas, and the hardware that it is of."""

    hardware: Hardware
    pool: EncodePool

    @property
    def seconds(self) -> tuple[float, float, float]:
        """How long a request is with it, and both ends of the band. [s]"""
        own, sent = self.pool.seconds, self.pool.sends_s
        low, high = self.pool.ends
        return own + sent, own * low + sent, own * high + sent

    @property
    def words(self) -> str:
        """What it does to a request, in words."""
        own, sent = (format_quantity(each, "time_s") for each in (self.pool.seconds, self.pool.sends_s))
        return f"images and sound of a request are encoded on {self.hardware.device.name} in {own}, hand-over {sent}"

    def busy(self, requests_per_s: float, devices: int) -> float:
        """The part of the time at which so many of its devices are at work."""
        return requests_per_s * self.pool.seconds / devices

    def to_dict(self, requests_per_s: float, devices: int) -> dict[str, Any]:
        """As JSON has it, where so many requests a second are encoded by so many devices."""
        expected, low, high = self.seconds
        return {
            "hardware": self.hardware.name, "device": self.hardware.device.name, "devices": devices,
            "encode_s": self.pool.seconds, "hand_over_s": self.pool.sends_s, "link": self.pool.link,
            "ttft_part_s": expected, "low_s": low, "high_s": high,
            "utilization": self.busy(requests_per_s, devices),
        }  # fmt: skip


def band_of(steps: Steps, costs: Sequence[Cost]) -> tuple[float, float]:
    """The ends of the band of a step, as factors of its time."""
    timing = steps.machine.step(costs)
    low, mean, high = (float(np.asarray(each).item()) for each in (timing.low_s, timing.time_s, timing.high_s))
    return low / mean, high / mean


def _held(steps: Steps) -> float:
    sizes = {letter: exact(size) for letter, size in steps.program.sizes.items()}
    return float(weights_bytes(steps.program, sizes, steps.precision))
