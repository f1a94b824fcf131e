"""The load that is offered: how requests arrive, how many there are, and from which seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roofline.errors import UsageError
from roofline.options import groups
from roofline.options.values import read_value
from roofline.simulation.arrivals import Arrivals, ClosedLoop, planned

MOST_REQUESTS = 10_000_000


@dataclass(frozen=True, slots=True)
class Offered:
    """Requests as they arrive: by a process at so many a second, all at the start, or from clients in a closed loop."""

    process: str
    per_second: float | None
    clients: int | None
    requests: int
    seed: int

    @classmethod
    def of(cls, asked: groups.Simulated) -> Offered:
        """What options ask for. Raises UsageError for what does not go together, and without any load."""
        load, clients, process = asked["load"], asked["concurrency"], asked["arrivals"]
        rate = None if load is None else read_value("load", load, "requests_per_s")
        for name, least, number in (
            ("requests", 1, asked["requests"]),
            ("concurrency", 1, clients),
            ("seed", 0, asked["seed"]),
        ):
            if number is not None and not (type(number) is int and least <= number <= MOST_REQUESTS):
                msg = f"{name} {number}: expected a whole number from {least} to {MOST_REQUESTS:,}"
                raise UsageError(msg)
        if rate is not None and not 0 < rate <= 1e9:
            msg = f"load {rate:g}: expected requests per second above 0 such as 5req/s"
            raise UsageError(msg)
        if (rate is not None) + (clients is not None) + (process == "all") != 1:
            msg = "give one of --load such as 5req/s, --concurrency such as 32, and --arrivals all"
            raise UsageError(msg)
        if clients is not None and process != "poisson":
            msg = f"arrivals {process}: clients of a closed loop ask anew when they are answered; leave --arrivals out"
            raise UsageError(msg)
        return cls(process, rate, clients, asked["requests"], asked["seed"])

    @property
    def steady(self) -> bool:
        """Whether there is a steady state, which a warm-up comes before."""
        return self.process != "all"

    def arrivals(self) -> Arrivals:
        """The process. Raises UsageError for an unknown one."""
        if self.clients is not None:
            return ClosedLoop(self.requests, self.clients)
        return planned(self.process, self.per_second or 0.0, self.requests, np.random.default_rng((self.seed, 1)))

    @property
    def words(self) -> str:
        """In a few words."""
        if self.clients is not None:
            return f"{self.requests:,} requests from {self.clients:,} clients in a closed loop"
        if self.per_second is None:
            return f"{self.requests:,} requests, all at the start"
        return f"{self.requests:,} requests at {self.per_second:g} req/s, {self.process}"
