"""What passes from pool to pool: images and sound that are encoded apart, the caches of prompts that are handed over.

On a replica the towers run before the step that reads the first piece of a prompt, and all that decode wait. In a pool
each device holds the towers alone and encodes one request at a time, in the order in which they come; the embeddings
are then handed over to a replica, whose steps hold none of it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from roofline.classes import frozen
from roofline.number import Grid
from roofline.prediction.request import Request
from roofline.prediction.step import Steps
from roofline.serving.kv_cache_transfer import End, check_same_cache, hand_over
from roofline.serving.pools.encode_pool import EncodePool
from roofline.simulation.cache import CacheRoom

_POINTS = 64


@dataclass(slots=True)
class EncodeQueue:
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


def encode_queue(pool: EncodePool, pace: float) -> EncodeQueue:
    """The devices of a pool that encodes, idle, each step at ``pace`` times its time."""
    return EncodeQueue((pool.seconds * pace, pool.sends_s), [0.0] * pool.devices)


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
