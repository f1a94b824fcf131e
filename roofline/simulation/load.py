"""The load that is offered: how requests arrive, how many there are, from which seed, and how they are routed."""

from __future__ import annotations

import numpy as np

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.options.values import read_value
from roofline.options.verbs.serving import SimulateOptions
from roofline.program.traffic.traces import is_trace
from roofline.simulation.arrivals import Arrivals, renewals
from roofline.simulation.workload import Workload
from roofline.units import format_quantity

MOST_REQUESTS, MOST_THINK = 10_000_000, 86_400.0


@frozen
class Offered:
    """Requests as they arrive: by a process, all at the start, as in a trace, or from clients in a loop."""

    process: str
    per_second: float | None
    clients: int | None
    requests: int
    seed: int
    router: str
    offload: str | None = None
    think_s: float = 0.0

    @classmethod
    def of(cls, asked: SimulateOptions) -> Offered:
        """What options ask for. Raises UsageError for what does not go together, and without any load."""
        load, clients, process = asked["load"], asked["concurrency"], asked["arrivals"]
        rate = None if load is None else read_value("load", load, "requests_per_s")
        whole = (("requests", 1, asked["requests"]), ("concurrency", 1, clients), ("seed", 0, asked["seed"]))
        for name, least, number in whole:
            if number is not None and not (type(number) is int and least <= number <= MOST_REQUESTS):
                msg = f"{name} {number}: expected a whole number from {least} to {MOST_REQUESTS:,}"
                raise UsageError(msg)
        if rate is not None and not 0 < rate <= 1e9:
            msg = f"load {rate:g}: expected requests per second above 0 such as 5req/s"
            raise UsageError(msg)
        traced = is_trace(asked["workload"])
        if traced and rate is None and clients is None and process == "poisson":
            process = "trace"
        if process == "trace" and not traced:
            msg = "arrivals trace: only a trace has times; give --workload FILE.csv or FILE.jsonl"
            raise UsageError(msg)
        if (rate is not None) + (clients is not None) + (process in _BY_THEMSELVES) != 1:
            msg = "give one of --load such as 5req/s, --concurrency such as 32, and --arrivals all"
            raise UsageError(msg)
        if clients is not None and process != "poisson":
            msg = f"arrivals {process}: clients of a closed loop ask anew when they are answered; leave --arrivals out"
            raise UsageError(msg)
        think = _think_s(asked["think"], clients)
        return cls(process, rate, clients, asked["requests"], asked["seed"], asked["router"], asked["offload"], think)

    @property
    def steady(self) -> bool:
        """Whether there is a steady state, which a warm-up comes before."""
        return self.process not in _BY_THEMSELVES

    def arrivals(self, workload: Workload) -> Arrivals:
        """When the requests of a workload come. Raises UsageError for an unknown process."""
        w = workload
        if self.process == "trace":
            return Arrivals.at(w.times)
        if self.clients is not None:
            pauses = np.random.default_rng((self.seed, 4)).exponential(self.think_s, len(w.prompt))
            return Arrivals.closed(self.clients, w.follows, w.think, pauses)
        sessions = int(np.count_nonzero(~w.follows))
        rate = (self.per_second or 0.0) * sessions / len(w.prompt)
        times = renewals(self.process, rate, sessions, np.random.default_rng((self.seed, 1)))
        return Arrivals.opened(times, w.follows, w.think)

    @property
    def words(self) -> str:
        """In a few words."""
        if self.clients is not None:
            think = f", who think {format_quantity(self.think_s, 'time_s')}" if self.think_s else ""
            return f"from {self.clients:,} clients in a closed loop{think}"
        if self.per_second is None:
            return "all at the start" if self.process == "all" else "as they came"
        return f"at {self.per_second:g} req/s, {self.process}"


_BY_THEMSELVES = ("all", "trace")


def _think_s(given: str | float | None, clients: int | None) -> float:
    """The mean think time of clients. Raises UsageError without clients, and for what is below 0. [s]"""
    if given is None:
        return 0.0
    if clients is None:
        msg = "think goes with the clients of a closed loop: give --concurrency such as 32"
        raise UsageError(msg)
    think: float = read_value("think", given, "time_s")
    if not 0 <= think <= MOST_THINK:
        msg = f"think {think:g}: expected a time from 0 to a day such as 5s"
        raise UsageError(msg)
    return think
