"""What passes from pool to pool: images and sound that are encoded apart, the caches of prompts that are handed over.

On a replica the towers run before the step that reads the first piece of a prompt, and all that decode wait. In a pool
each device holds the towers alone and encodes one request at a time, in the order in which they come; the embeddings
are then handed over to a replica, whose steps hold none of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.cost.residency import weights_bytes
from roofline.errors import WorkloadError
from roofline.hardware.reservation import Reserve
from roofline.number import Grid, exact
from roofline.prediction.request import Request
from roofline.prediction.step import Steps, steps_of
from roofline.program.traffic.lengths import Shown
from roofline.serving.continuous_batching import encoding_costs
from roofline.serving.kv_cache_transfer import End, check_same_cache, hand_over
from roofline.serving.replica_layouts import ONE
from roofline.simulation.cache import CacheRoom
from roofline.units import format_quantity

_POINTS = 64
_EMBEDDED_BYTES = 2.0
"""Of an element of an embedding that is handed over."""


def encoding_of(steps: Steps, shown: Shown) -> tuple[Cost, ...]:
    """What towers run of one request's images and sound; nothing where it has none."""
    return encoding_costs(steps.program, steps.precision, shown, steps.engine)


def encoding_s(steps: Steps, shown: Shown) -> float:
    """The time of it. [s]"""
    costs = encoding_of(steps, shown)
    return float(np.asarray(steps.machine.step(costs).time_s).item()) if costs else 0.0


@dataclass(slots=True)
class Encoders:
    """The devices of a pool at work: each is free again at ``free``; ``seconds`` is the time of a request on one, and
    then that of its hand-over. [s]
    """

    seconds: tuple[float, float]
    free: list[float]
    busy_s: float = 0.0
    requests: int = 0

    def encode(self, now: float) -> float:
        """Encode a request on the device that is free first; when its embeddings are with a replica. [s]"""
        own, sent = self.seconds
        ends = max(now, self.free[0]) + own
        heapq.heapreplace(self.free, ends)
        self.busy_s += own
        self.requests += 1
        return ends + sent


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
    def of(cls, request: Request, shown: Shown, reserve: Reserve, receiver: tuple[Request, Steps, int]) -> EncodePool:
        """The devices that ``request`` names, which hand over to replicas of a request, in a layout, of so many
        devices in all.

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
        theirs, replica, many = receiver
        layout = replica.layout
        sent = hand_over(
            shown.tokens * request.program.sizes["D"] * _EMBEDDED_BYTES,
            End(request.fleet, request.device, request.constants, 1),
            End(theirs.fleet, theirs.device, theirs.constants, int(layout.devices), int(layout.dp)),
            np.ones(1),
            devices + many,
        )
        return cls(own, steps, shown, devices, encoding_s(steps, shown), sent.link, float(sent.time_s[0]))

    def at_work(self, pace: float) -> Encoders:
        """Its devices, idle, each step at ``pace`` times its time."""
        return Encoders((self.seconds * pace, self.sends_s), [0.0] * self.devices)

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the band of its time, as factors."""
        return band_of(self.steps, encoding_of(self.steps, self.shown))

    @property
    def words(self) -> str:
        """What encodes, in a few words."""
        return f"{self.devices} x {self.request.device.name}" if self.devices > 1 else self.request.device.name


def band_of(steps: Steps, costs: Sequence[Cost]) -> tuple[float, float]:
    """The ends of the band of a step, as factors of its time."""
    timing = steps.machine.step(costs)
    low, mean, high = (float(np.asarray(each).item()) for each in (timing.low_s, timing.time_s, timing.high_s))
    return low / mean, high / mean


def _held(steps: Steps) -> float:
    sizes = {letter: exact(size) for letter, size in steps.program.sizes.items()}
    return float(weights_bytes(steps.program, sizes, steps.precision))


@frozen(eq=False)
class Transfers:
    """The link, and the times that so many tokens take over it, with nothing else on it. [tokens, s]"""

    link: str
    tokens: Grid
    seconds: Grid

    @classmethod
    def of(
        cls, sender: tuple[Request, Steps], receiver: tuple[Request, Steps], room: CacheRoom, devices: int, longest: int
    ) -> Transfers:
        """Those between replicas of two deployments among so many ``devices`` in all, up to the ``longest`` prompt.

        Each device of the receiver gets what it holds of the cache, by ``room``. Raises WorkloadError where no link
        joins them, or caches differ.
        """
        formats = [(request.recipe.kv_cache.name, request.device.name) for request, _ in (sender, receiver)]
        check_same_cache(formats[0], formats[1])
        one, other = (End(r.fleet, r.device, r.constants, int(steps.layout.devices)) for r, steps in (sender, receiver))
        tokens = np.unique(np.rint(np.linspace(1, longest, _POINTS)))
        handed = [hand_over(float(room.of_tokens(int(many))), one, other, np.ones(1), devices) for many in tokens]
        return cls(handed[0].link, tokens, np.array([float(each.time_s[0]) for each in handed]))

    def seconds_of(self, tokens: int) -> float:
        """The time of so many tokens. [s]"""
        return float(np.interp(tokens, self.tokens, self.seconds))
