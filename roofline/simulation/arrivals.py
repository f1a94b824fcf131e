"""Arrival processes: when requests come. Poisson, gamma (bursts), all at the start; sessions, whose turns wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roofline.errors import UsageError, shown
from roofline.number import Grid

Arrival = tuple[float, int]
"""When, and which request. [s]"""


@dataclass(slots=True)
class Arrivals:
    """When each request comes: by itself, after the one before it in its session, or as a client is free.

    ``alone`` come at their own times. ``follows`` says which requests come once the one before them is answered,
    ``think`` seconds later. Of ``queued``, one comes whenever a session of another is over, its ``pauses`` later.
    """

    alone: Sequence[Arrival]
    follows: NDArray[np.bool_]
    think: Grid
    queued: Sequence[int] = ()
    pauses: Sequence[float] = ()
    begun: int = 0

    @classmethod
    def at(cls, times: Grid) -> Arrivals:
        """Open loop: each request at its own time, whatever becomes of the others."""
        alone = [(float(time), request) for request, time in enumerate(times)]
        return cls(alone, np.zeros(len(times), dtype=bool), np.zeros(len(times)))

    @classmethod
    def opened(cls, times: Grid, follows: NDArray[np.bool_], think: Grid) -> Arrivals:
        """Open loop of sessions, which begin at these times."""
        return cls(list(zip(times.tolist(), np.flatnonzero(~follows).tolist(), strict=True)), follows, think)

    @classmethod
    def closed(cls, clients: int, follows: NDArray[np.bool_], think: Grid, pauses: Grid | None = None) -> Arrivals:
        """Closed loop: so many clients, each of which begins another session once its last one is over.

        Without sessions a request is one. ``pauses``: the think time before each session, by its first request; none
        without it. Clients that think begin as if an answer had just come. [s]
        """
        begins = np.flatnonzero(~follows).tolist()
        after: list[float] = [0.0] * len(begins) if pauses is None else pauses[begins].tolist()
        first = list(zip(after[:clients], begins[:clients], strict=True))
        return cls(first, follows, think, begins[clients:], after[clients:])

    def first(self) -> Sequence[Arrival]:
        """What comes by itself."""
        self.begun = 0
        return self.alone

    def after(self, request: int, time: float) -> Arrival | None:
        """What the answer to a request brings."""
        following = request + 1
        if following < len(self.follows) and self.follows[following]:
            return time + float(self.think[following]), following
        if self.begun == len(self.queued):
            return None
        self.begun += 1
        return time + self.pauses[self.begun - 1], self.queued[self.begun - 1]


def renewals(process: str, per_second: float, many: int, rng: np.random.Generator) -> Grid:
    """Times of a renewal process: ``poisson``, or ``gamma:SHAPE``, whose gaps vary by SHAPE ** -0.5 of their mean.

    A shape below 1 is burstier than Poisson, which is gamma:1, as the burstiness of vLLM's load generator is.
    ``all``: everything is there at the start. Raises UsageError for what is none of these. [s]

    >>> rng = np.random.default_rng(0)
    >>> gaps = np.diff(renewals("gamma:0.25", 50.0, 100_000, rng))
    >>> round(float(gaps.mean()), 3), round(float(gaps.std() / gaps.mean()), 1)
    (0.02, 2.0)
    """
    if process == "all":
        return np.zeros(many)
    shape = _shape(process)
    return np.cumsum(rng.gamma(shape, 1 / (shape * per_second), many))


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
