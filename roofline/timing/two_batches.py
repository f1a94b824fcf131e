"""Two-batch overlap: one half of a step's tokens is computed while those of the other are sent to experts, or back.

Engines call it dual-batch overlap too. Each layer that spreads experts over data-parallel ranks has attention (a), a
dispatch of tokens (d), experts (e) and a combine (c), all of one half. Compute units and links take turns:

    computes    A attention    B attention    A experts     B experts     A attention of the next layer
    sends       B combine      A dispatch     B dispatch    A combine     B combine

    time of a layer, of both halves = max(a, d) + max(e, d) + max(e, c) + max(a, c)

so that each message hides behind what is computed beside it, as far as it fits there, and what is beyond is seen. The
ends of a step, where a half has nothing beside it, are left out: one layer's part of it. Each half reads the weights of
its experts by itself, which is what the overlap costs. Kernels that send take processors from those that compute: that
is not told.

Sources: DeepSeek-V3 technical report (arXiv 2412.19437), section 3.4; vLLM, vllm/v1/worker/ubatching.py; SGLang,
python/sglang/srt/batch_overlap/two_batch_overlap.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roofline.cost.cost import Cost
from roofline.number import Number, added, maximum, minimum, where
from roofline.timing.timing import Timing

_NOTHING = 1e-30


def exposed(
    costs: Sequence[Cost], timings: Sequence[Timing], groups: Sequence[str] | None = None,
    counts: Sequence[Number] | None = None,
) -> list[Timing]:  # fmt: skip
    """The times of the operators of a step, where those of dispatch and combine are what no computation hides. [s]

    One execution each, in the order in which they run. ``groups`` and ``counts`` are the layers and how often each
    operator runs, where the costs do not say it. Nothing changes where a step is not run in halves.
    """
    found = list(timings)
    if all(isinstance(cost.halves, int) and cost.halves == 1 for cost in costs):
        return found
    names = groups if groups is not None else [cost.group for cost in costs]
    many = counts if counts is not None else [cost.count for cost in costs]
    for name in dict.fromkeys(names):
        own = [at for at, group in enumerate(names) if group == name]
        sends = [at for at in own if (sent := costs[at].transfer) is not None and sent.dispatches]
        if not sends:
            continue
        into, back = sends[:1], sends[1:]
        sums = {
            which: _Span.of([(many[at], found[at]) for at in places])
            for which, places in {
                "dispatch": into, "combine": back,
                "experts": [at for at in own if sends[0] < at < sends[-1] and at not in sends],
                "attention": [at for at in own if not sends[0] <= at <= sends[-1]],
            }.items()
        }  # fmt: skip
        beside = sums["attention"], sums["experts"]
        for kind, places in (("dispatch", into), ("combine", back)):
            seen = sums[kind].seen(beside)
            for at in places:
                found[at] = _picked(costs[at].halves, _scaled(found[at], seen), found[at])
    return found


def beyond(sent: Number, attention: Number, experts: Number) -> Number:
    """What is seen of a message of both halves, one of which has attention beside it and the other experts. [s]

    >>> beyond(4.0, 3.0, 6.0)
    0.5
    """
    return (maximum(sent - attention, 0 * sent) + maximum(sent - experts, 0 * sent)) / 2


class _Span:
    """What a kind of work takes of a step, by the ends of its band. [s]"""

    __slots__ = ("bound", "high", "low", "time")

    def __init__(self, bound: Number, low: Number, time: Number, high: Number) -> None:
        self.bound, self.low, self.time, self.high = bound, low, time, high

    @classmethod
    def of(cls, parts: Sequence[tuple[Number, Timing]]) -> _Span:
        """The sum of so many executions of each."""
        ends = ("bound_s", "low_s", "time_s", "high_s")
        return cls(*(added([0.0, *(many * getattr(each, end) for many, each in parts)]) for end in ends))

    def seen(self, beside: tuple[_Span, _Span]) -> tuple[Number, Number, Number, Number]:
        """The parts of bound, low end, time and high end that are seen beside attention and experts."""
        attention, experts = beside
        time = minimum(beyond(self.time, attention.time, experts.time), self.time)
        whole = maximum(self.bound - (attention.bound + experts.bound), 0 * self.bound)
        bound = minimum(whole, time)
        low = minimum(maximum(beyond(self.low, attention.high, experts.high), bound), time)
        high = maximum(minimum(beyond(self.high, attention.low, experts.low), self.high), time)
        ends = ((bound, self.bound), (low, self.low), (time, self.time), (high, self.high))
        bound, low, time, high = (part / maximum(of, 0 * of + _NOTHING) for part, of in ends)
        return bound, low, time, high


def _scaled(timing: Timing, seen: tuple[Number, Number, Number, Number]) -> Timing:
    bound, low, time, high = seen
    return replace(
        timing, bound_s=timing.bound_s * bound, low_s=timing.low_s * low, time_s=timing.time_s * time,
        high_s=timing.high_s * high, latency_s=timing.latency_s * time, compute_s=timing.compute_s * time,
        memory_s=timing.memory_s * time, link_s=timing.link_s * time,
    )  # fmt: skip


def _picked(halves: Number, cut: Timing, whole: Timing) -> Timing:
    """One or the other, by whether it is run in halves, element by element."""
    if isinstance(halves, int):
        return cut
    bound, low, time, high, *parts = (
        where(halves > 1, getattr(cut, name), getattr(whole, name))
        for name in ("bound_s", "low_s", "time_s", "high_s", "latency_s", "compute_s", "memory_s", "link_s")
    )
    latency, compute, memory, link = parts
    return Timing(time, bound, low, high, latency, compute, memory, link, whole.form)
