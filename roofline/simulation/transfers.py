"""The hand-over of a prompt's cache from a replica that prefills to one that decodes, by the tokens that are sent."""

from __future__ import annotations

import numpy as np

from roofline.classes import frozen
from roofline.number import Grid
from roofline.prediction.request import Request
from roofline.prediction.step import Steps
from roofline.serving.kv_cache_transfer import End, check_same_cache, hand_over
from roofline.simulation.cache import CacheRoom

_POINTS = 64


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
