"""Arrival processes: when requests come. Poisson, gamma (bursts), all at the start, or one as another ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from roofline.errors import UsageError, shown
from roofline.number import Grid

Arrival = tuple[float, int]
"""When, and which request. [s]"""


class Arrivals(Protocol):
    """When each request comes: those that come by themselves, and what the end of one brings."""

    def first(self) -> Sequence[Arrival]: ...

    def after(self, request: int, time: float) -> Arrival | None: ...


@dataclass(frozen=True, slots=True)
class Planned:
    """Open loop: each request at its own time, whatever becomes of the others."""

    times: Grid

    def first(self) -> Sequence[Arrival]:
        """All of them."""
        return [(float(time), request) for request, time in enumerate(self.times)]

    def after(self, request: int, time: float) -> Arrival | None:
        """Nothing."""
        return None


@dataclass(slots=True)
class ClosedLoop:
    """Closed loop: so many clients, each of which sends the next request as soon as its last one is answered."""

    requests: int
    clients: int
    sent: int = field(default=0)

    def first(self) -> Sequence[Arrival]:
        """One of each client."""
        self.sent = min(self.clients, self.requests)
        return [(0.0, request) for request in range(self.sent)]

    def after(self, request: int, time: float) -> Arrival | None:
        """The next one, until all are sent."""
        if self.sent == self.requests:
            return None
        self.sent += 1
        return time, self.sent - 1


def planned(process: str, per_second: float, requests: int, rng: np.random.Generator) -> Planned:
    """Arrivals of a renewal process: ``poisson``, or ``gamma:SHAPE``, whose gaps vary by SHAPE ** -0.5 of their mean.

    A shape below 1 is burstier than Poisson, which is gamma:1, as the burstiness of vLLM's load generator is.
    ``all``: everything is there at the start. Raises UsageError for what is none of these.

    >>> rng = np.random.default_rng(0)
    >>> gaps = np.diff(planned("gamma:0.25", 50.0, 100_000, rng).times)
    >>> f"{gaps.mean():.3f} {gaps.std() / gaps.mean():.1f}"
    '0.020 2.0'
    """
    if process == "all":
        return Planned(np.zeros(requests))
    shape = _shape(process)
    return Planned(np.cumsum(rng.gamma(shape, 1 / (shape * per_second), requests)))


def _shape(process: str) -> float:
    name, colon, text = process.partition(":")
    expected = "expected poisson, gamma:SHAPE such as gamma:0.25, or all"
    if name == "poisson" and not colon:
        return 1.0
    try:
        shape = float(text) if name == "gamma" else 0.0
    except ValueError:
        shape = 0.0
    if not 0.01 <= shape <= 1000:
        msg = f"arrivals {shown(process)}: {expected}, with a shape from 0.01 to 1000"
        raise UsageError(msg)
    return shape
