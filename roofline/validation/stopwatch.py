"""How things are timed: in random order, round after round, so that a machine that drifts drifts for all alike.

A sample is the mean of a burst of calls; a time is the median of the samples. Bursts make times add up: a core whose
speed flickers is as fast in a burst of small kernels as in a long step.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from roofline.classes import frozen
from roofline.validation.devices import Call, Device

Tell: TypeAlias = Callable[[str, float], None]
"""Is told what is being measured, and the part of the work that is done."""

BURST_S = 0.012
STALL_S = 4e-3
"""A tick of the scheduler: threads that wait for each other sleep in multiples of it."""


def silent(what: str, done: float) -> None:
    """Tells nobody."""


PROBE_EVERY_S = 0.2

SLOWER = 1.10
"""From here on a device counts as slower than its reference: clocks dropped, or somebody else uses the core."""


@frozen
class Sample:
    """The mean of a burst, and of the probes before and after it; None where there are none. [s]"""

    seconds: float
    probe_s: float | None = None


@frozen
class Samples:
    """Samples of one thing, one per round, and what the probe takes at the speed that they are told for. [s]"""

    every: tuple[Sample, ...]
    reference_s: float | None = None

    @property
    def seconds(self) -> tuple[float, ...]:
        """Each sample as if the core had been as quick as its reference: less by as much as its probes took longer."""
        return tuple(
            sample.seconds * self.reference_s / sample.probe_s
            if self.reference_s and sample.probe_s
            else sample.seconds
            for sample in self.every
        )

    @property
    def time_s(self) -> float:
        """The median at the reference's speed."""
        return statistics.median(self.seconds)

    @property
    def raw_s(self) -> float:
        """The median as it was, whatever disturbed the device."""
        return statistics.median(sample.seconds for sample in self.every)

    @property
    def low_s(self) -> float:
        """The 10th percentile at the reference's speed."""
        return sorted(self.seconds)[len(self.every) // 10]

    @property
    def slower(self) -> float:
        """How much longer than the reference the probes took, at the median: 0.2 is a core that was 20 % slower."""
        found = [sample.probe_s for sample in self.every if sample.probe_s]
        return statistics.median(found) / self.reference_s - 1 if found and self.reference_s else 0.0

    @property
    def noise(self) -> float:
        """How far the median may be off, as a part of it: 1.25 standard errors, from the spread of the middle half."""
        if len(self.every) < 4:
            return 0.0
        quarter = statistics.quantiles(self.seconds, n=4)
        return float(1.25 * (quarter[2] - quarter[0]) / 1.35 / len(self.every) ** 0.5 / self.time_s)


@dataclass(slots=True)
class Stopwatch:
    """Times calls on a device. A call shorter than a burst runs once more before each sample, to find its own cache.

    ``found`` grows round by round, so that an interruption keeps what was measured: seconds of a sample, and how many
    probes there were before it. Every ``PROBE_EVERY_S`` a CPU runs a probe, always the same small matmul: what it takes
    tells how quick the core is just then. ``reference_s`` is what it took when the device was calibrated, by default
    what it usually takes in this run.
    """

    device: Device
    burst_s: float = BURST_S
    seed: int = 0
    graph: bool = True
    reference_s: float | None = None
    found: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)
    probed: float = float("-inf")
    waited_s: float = 0.0
    spent_s: float = 0.0

    def run(self, calls: Mapping[str, Call], budget_s: float, *, most: int = 60, tell: Tell = silent) -> None:
        """Rounds over all calls in random order until the budget is spent; each call is timed once at least.

        Each call runs once before it counts, so that loading and first allocations stay outside.
        """
        order, shuffler = list(calls), random.Random(self.seed)
        turns = dict.fromkeys(order, 0)
        end = time.monotonic() + budget_s
        probe = self.device.probe()
        with steady():
            for rounds in range(most):
                shuffler.shuffle(order)
                for name in order:
                    late = time.monotonic() - end
                    tell(name, max(min(1.0, 1 + late / budget_s), rounds / most))
                    if rounds and late > 0:
                        break
                    if not rounds or self.found[name][-1][0] < self.burst_s:
                        calls[name](turns[name])
                        self.device.wait()
                    self._sample(name, calls[name], turns, probe)
            self._probe(probe)

    def _sample(self, name: str, call: Call, turns: dict[str, int], probe: Callable[[], float | None]) -> None:
        if time.monotonic() - self.probed > PROBE_EVERY_S:
            self._probe(probe)
        wall, own = time.perf_counter(), time.process_time()
        seconds, turns[name] = self.device.burst(call, turns[name], self.burst_s, graph=self.graph)
        if self.device.kind == "cpu" and self.device.threads == 1:
            spent = time.perf_counter() - wall
            self.spent_s += spent
            self.waited_s += max(0.0, spent - (time.process_time() - own))
        self.found.setdefault(name, []).append((seconds, len(self.probes)))

    def _probe(self, probe: Callable[[], float | None]) -> None:
        took = probe()
        self.probed = time.monotonic()
        if took is not None:
            self.probes.append(took)

    def _around(self, before: int) -> float | None:
        """The mean of the probes before and after a sample; None where there are none. [s]"""
        near = self.probes[max(0, before - 1) : before + 1]
        return sum(near) / len(near) if near else None

    @property
    def waited(self) -> float:
        """The part of the time for which other processes had the core, as far as this can be told: one thread."""
        return self.waited_s / self.spent_s if self.spent_s else 0.0

    @property
    def usual_s(self) -> float | None:
        """What the probe usually took in this run: its median."""
        return statistics.median(self.probes) if self.probes else None

    def samples(self) -> dict[str, Samples]:
        """What was measured so far."""
        reference = self.reference_s or self.usual_s
        return {
            name: Samples(tuple(Sample(seconds, self._around(before)) for seconds, before in found), reference)
            for name, found in self.found.items()
        }


@contextmanager
def steady() -> Iterator[None]:
    """No garbage collection inside: it would stop a sample that has nothing to do with it."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def stalled(times: Sequence[float], expected_s: float) -> bool:
    """Whether threads slept while they waited for each other: over a tick, and over three times what is expected.

    >>> stalled([8e-3, 8.1e-3, 7.9e-3], expected_s=0.2e-3), stalled([8e-3] * 3, expected_s=7e-3)
    (True, False)
    """
    middle = statistics.median(times)
    return middle > STALL_S and middle > 3 * expected_s
