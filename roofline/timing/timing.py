"""What an execution takes: seconds that add up, with their band, and what they are made of.

Every sum over operators, in a step, a layout, a serving curve, a training run or a chart, is :func:`total`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.number import Number, added, is_symbolic, maximum, mean, minimum, ratio, settled

PARTS = ("latency", "compute", "memory", "link")
"""What time is made of. Time on the exponential unit counts as compute."""


Names: TypeAlias = str | NDArray[np.str_]
"""A name, or one for each number of an array."""


@frozen
class Shares:
    """What a time is made of, as parts that sum to one: its elasticities."""

    latency: float
    compute: float
    memory: float
    link: float = 0.0

    @property
    def largest(self) -> str:
        """The name of the largest share: what binds."""
        return max(asdict(self).items(), key=lambda share: share[1])[0]


@frozen
class Timing:
    """The time of one execution, of several after each other, or of a step. [s]

    bound <= low <= time <= high, and latency + compute + memory + link = time; numbers, arrays or symbols.
    ``form`` is the algorithm that a collective runs in; a sum has none.
    """

    time_s: Number
    bound_s: Number
    low_s: Number
    high_s: Number
    latency_s: Number = 0
    compute_s: Number = 0
    memory_s: Number = 0
    link_s: Number = 0
    form: Names = ""

    def __add__(self, other: Timing) -> Timing:
        return _timing(one + more for one, more in zip(self.all_seconds, other.all_seconds, strict=True))

    def __mul__(self, count: Number) -> Timing:
        many = settled(count)
        return self.each(lambda seconds: seconds * many)

    @property
    def all_seconds(self) -> tuple[Number, ...]:
        """Those of SECONDS, in their order. [s]"""
        first = self.time_s, self.bound_s, self.low_s, self.high_s
        return (*first, self.latency_s, self.compute_s, self.memory_s, self.link_s)

    def seconds(self, part: str) -> Number:
        """The seconds of one of PARTS. [s]"""
        seconds: Number = getattr(self, f"{part}_s")
        return seconds

    def share(self, part: str) -> Number:
        """The part of the time that latency, compute, memory or link takes."""
        return ratio(self.seconds(part), self.time_s)

    @property
    def shares(self) -> Shares:
        """What a time that is a number is made of."""
        if not self.time_s:
            return Shares(1.0, 0.0, 0.0)
        compute, memory, link = (float(self.share(part)) for part in PARTS[1:])
        return Shares(max(0.0, 1 - compute - memory - link), compute, memory, link)

    def mean(self) -> Timing:
        """The mean over the last axis, the steps of a request; the form is the most frequent one."""
        alone = isinstance(self.time_s, int | float) and isinstance(self.bound_s, int | float)
        if alone and isinstance(self.form, str):
            return self
        return _timing(map(mean, self.all_seconds), _most_frequent(self.form))

    def at(self, step: int) -> Timing:
        """One of the steps of a request, along the last axis; what is the same in all of them is that."""
        return self.each(lambda seconds: seconds[..., step] if isinstance(seconds, np.ndarray) else seconds)

    def as_float(self) -> Timing:
        """The same in plain numbers."""
        return self.each(float)

    def each(self, change: Callable[[Number], Number]) -> Timing:
        """The same with all seconds changed alike."""
        return _timing(map(change, self.all_seconds), self.form)


SECONDS = ("time_s", "bound_s", "low_s", "high_s", "latency_s", "compute_s", "memory_s", "link_s")
"""What adds up."""

NOTHING = Timing(0, 0, 0, 0)

_HOST_BAND = (0.5, 1.5)
"""vLLM's, fitted to each pair of model and device by itself, lies within it."""


def total(parts: Iterable[tuple[Number, Timing]]) -> Timing:
    """So many executions of each, one after the other: the one place that sums operators.

    Errors of one set of constants are fully correlated, so the band of a sum is the sum of the bands.

    >>> total([(2, Timing(1.0, 0.5, 0.8, 1.5, memory_s=1.0)), (1, Timing(3.0, 2.0, 2.5, 4.0, compute_s=3.0))]).high_s
    7.0
    """
    seconds: Sequence[Number] = (0,) * len(SECONDS)
    for count, each in parts:
        many = settled(count)
        more = each.all_seconds if type(many) is int and many == 1 else [part * many for part in each.all_seconds]
        seconds = [done + part for done, part in zip(seconds, more, strict=True)]
    return _timing(seconds)


def _timing(seconds: Iterable[Number], form: Names = "") -> Timing:
    """A timing of those of SECONDS, in their order."""
    time, bound, low, high, latency, compute, memory, link = seconds
    return Timing(time, bound, low, high, latency, compute, memory, link, form)


def banded(timing: Timing, low: Number, high: Number) -> Timing:
    """``timing`` with the band of its constants, factors of its time, and its bound not above it.

    Symbols keep the bound as it is: a formula is read by people.
    """
    return _between(timing, timing.time_s * low, timing.time_s * high)


def banded_by_latency(timing: Timing, ends: Sequence[tuple[float, float, float]]) -> Timing:
    """The same with a band that depends on how much of the time is latency: shares that rise from 0 to 1, low and high.

    Between two shares the ends lie on a line. They are latency times the last ends, the rest times the first, and for
    each share s between those a multiple of min((1 - s) latency, s rest), which is 0 at either end and turns at s.

    >>> half = Timing(2.0, 0.1, 2.0, 2.0, latency_s=1.0, memory_s=1.0)
    >>> found = banded_by_latency(half, [(0.0, 0.9, 1.1), (0.4, 0.8, 1.2), (1.0, 0.2, 1.8)])
    >>> round(found.low_s, 3), round(found.high_s, 3)
    (1.4, 2.6)
    """
    latency, rest = timing.latency_s, timing.time_s - timing.latency_s
    turns = [minimum(latency * (1 - share), rest * share) for share, *_ in ends[1:-1]]
    found = []
    for end in (1, 2):
        slopes = [(after[end] - one[end]) / (after[0] - one[0]) for one, after in pairwise(ends)]
        chord = latency * ends[-1][end] + rest * ends[0][end]
        more = (turn * (before - after) for turn, (before, after) in zip(turns, pairwise(slopes), strict=True))
        found.append(added([chord, *more]))
    low, high = found
    return _between(timing, low, high)


def _between(timing: Timing, low_s: Number, high_s: Number) -> Timing:
    """``timing`` with a band between these seconds, and its bound not above it."""
    if is_symbolic(timing.time_s, timing.bound_s):
        return replace(timing, low_s=low_s, high_s=high_s)
    bound = minimum(timing.bound_s, timing.time_s)  # equal up to rounding where nothing is lost
    first = timing.time_s, bound, maximum(bound, low_s), high_s
    return Timing(*first, timing.latency_s, timing.compute_s, timing.memory_s, timing.link_s, timing.form)


def between_steps(seconds: Number, band: tuple[float, float] = _HOST_BAND) -> Timing:
    """What the host takes between steps: latency, of which a data sheet knows nothing.

    ``band``: how far it may be off, times it; as assumed where nothing was timed.

    >>> host = between_steps(1e-3)
    >>> host.bound_s, host.low_s, host.high_s, host.latency_s
    (0.0, 0.0005, 0.0015, 0.001)
    """
    low, high = band
    return Timing(seconds, 0 * seconds, low * seconds, high * seconds, latency_s=seconds)


def behind_copy(timing: Timing, copied_s: Number) -> Timing:
    """An execution behind the copy of what it reads from the host's memory, and beside it at best. [s]

    >>> slow = behind_copy(Timing(2.0, 1.0, 1.5, 3.0, memory_s=2.0), 10.0)
    >>> slow.bound_s, slow.low_s, slow.time_s, slow.high_s, slow.link_s
    (10.0, 10.0, 12.0, 13.0, 10.0)
    """
    bound, low = maximum(timing.bound_s, copied_s), maximum(timing.low_s, copied_s)
    time, high, link = timing.time_s + copied_s, timing.high_s + copied_s, timing.link_s + copied_s
    return replace(timing, time_s=time, bound_s=bound, low_s=low, high_s=high, link_s=link)


def beside_others(alone: Timing, replayed: Number) -> Timing:
    """What an execution adds to a step where a replayed graph (1) runs it beside others, in place of behind them (0).

    Its traffic and FLOPs take their part of the device, at least its bound; what else it takes by itself, others hide.
    At the slow end nothing hides it. [s]

    >>> small = beside_others(Timing(3.0, 0.5, 2.0, 4.0, latency_s=2.5, memory_s=0.5), 1)
    >>> small.low_s, small.time_s, small.high_s, small.latency_s, small.memory_s
    (0.5, 0.5, 3.0, 0.0, 0.5)
    """
    work = alone.compute_s + alone.memory_s
    part = ratio(alone.bound_s, work)
    hidden = (0 * alone.latency_s, alone.compute_s * part, alone.memory_s * part, alone.link_s)
    added = (alone.bound_s, alone.bound_s, alone.bound_s, alone.time_s, *hidden)
    if isinstance(replayed, int):
        return _timing(added, alone.form) if replayed else alone
    seconds = (one * replayed + more * (1 - replayed) for one, more in zip(added, alone.all_seconds, strict=True))
    return _timing(seconds, alone.form)


def beyond(host: Timing, ran: Number) -> Timing:
    """What a device waits for a host that prepares the next step while it runs this one, for ``ran``. [s]

    >>> wait = beyond(between_steps(1e-3), 0.8e-3)
    >>> [round(1e3 * seconds, 3) for seconds in (wait.low_s, wait.time_s, wait.high_s)]
    [0.0, 0.2, 0.7]
    """
    if is_symbolic(ran):
        return host.each(lambda seconds: 0 * seconds)
    low, time, high = (maximum(end - ran, 0 * end) for end in (host.low_s, host.time_s, host.high_s))
    return Timing(time, host.bound_s, low, high, latency_s=time)


def _most_frequent(forms: Names) -> str:
    if isinstance(forms, str):
        return forms
    names, counts = np.unique(np.asarray(forms), return_counts=True)
    return str(names[np.argmax(counts)])
