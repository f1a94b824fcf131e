"""Simulations with steps whose time is known, and room for caches in bytes of a token each."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from types import SimpleNamespace
from typing import Any

import numpy as np

from roofline.number import Grid
from roofline.simulation.arrivals import Arrivals
from roofline.simulation.cache import CacheRoom
from roofline.simulation.events import round_robin, run
from roofline.simulation.ledger import Ledger
from roofline.simulation.scheduler import Replica

_RULES = {"front_end": 0.0, "poll_steps": 1, "wait_steps": 0, "wait_share": 1.0, "host_ahead": False,
          "reserves": False}  # fmt: skip


@dataclass
class PlainClock:
    """A step takes a second and a hundredth of one for each token; what the steps held is kept."""

    chunk: int | None = 64
    asked: list[tuple[Grid, Grid]] = field(default_factory=list)
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def replica(self) -> Any:
        rules = {"mixed_tokens": self.chunk, "pass_tokens": self.chunk, **_RULES, **self.rules}
        return SimpleNamespace(engine=SimpleNamespace(**rules))

    def seconds(self, new: Grid, context: Grid) -> float:
        self.asked.append((new, context))
        return 1.0 + 0.01 * float(new.sum())


def room(tokens: float = inf, block: int = 1, longest: int = 8192) -> CacheRoom:
    """Room for so many tokens, a byte each."""
    return CacheRoom(tokens, block, np.arange(longest + 1.0) * block)


def served(
    prompt: list[int], generate: list[int], arrivals: Arrivals, clock: Any = None, replicas: int = 1, **how: Any
) -> tuple[Ledger, list[Replica]]:
    """Requests served by replicas of a clock."""
    ledger = Ledger.of(np.array(prompt), np.array(generate))
    asked = {"room": room(), "most": 1000, **how}
    found = [Replica(n, clock or PlainClock(), ledger=ledger, **asked) for n in range(replicas)]
    run(ledger, arrivals, found, round_robin)
    return ledger, found


def at(*times: float) -> Arrivals:
    return Arrivals.at(np.array(times))
