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
from typing import Literal, TypeAlias, get_args

from roofline.cost.cost import Cost
from roofline.number import Number, maximum, minimum, where
from roofline.timing.timing import Timing, total

Role: TypeAlias = Literal["attention", "dispatch", "experts", "combine"]
"""What an operator of a layer that sends tokens to experts is."""

ROLES: tuple[Role, ...] = get_args(Role)
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
        sends = [(sent := costs[at].transfer) is not None and sent.dispatches for at in own]
        kinds = dict(zip(own, roles(sends), strict=True)) if any(sends) else {}
        sums = {each: total((many[at], found[at]) for at, kind in kinds.items() if kind == each) for each in ROLES}
        for at, kind in kinds.items():
            if kind in ("dispatch", "combine"):
                seen = _seen(sums[kind], sums["attention"], sums["experts"])
                found[at] = _picked(costs[at].halves, _scaled(found[at], seen), found[at])
    return found


def roles(sends: Sequence[bool]) -> list[Role]:
    """What each operator of a layer is, in order, by which of them send tokens, at least one.

    >>> roles([False, True, False, True, False])
    ['attention', 'dispatch', 'experts', 'combine', 'attention']
    """
    first, *others = (at for at, each in enumerate(sends) if each)
    last = max([first, *others])

    def role(at: int) -> Role:
        if sends[at]:
            return "dispatch" if at == first else "combine"
        return "experts" if first < at < last else "attention"

    return [role(at) for at in range(len(sends))]


def beyond(sent: Number, attention: Number, experts: Number) -> Number:
    """What is seen of a message of both halves, one of which has attention beside it and the other experts. [s]

    >>> beyond(4.0, 3.0, 6.0)
    0.5
    """
    return (maximum(sent - attention, 0 * sent) + maximum(sent - experts, 0 * sent)) / 2


def _seen(sent: Timing, attention: Timing, experts: Timing) -> tuple[Number, Number, Number, Number]:
    """The parts of bound, low end, time and high end of messages that are seen beside attention and experts."""
    time = minimum(beyond(sent.time_s, attention.time_s, experts.time_s), sent.time_s)
    whole = maximum(sent.bound_s - (attention.bound_s + experts.bound_s), 0 * sent.bound_s)
    bound = minimum(whole, time)
    low = minimum(maximum(beyond(sent.low_s, attention.high_s, experts.high_s), bound), time)
    high = maximum(minimum(beyond(sent.high_s, attention.low_s, experts.low_s), sent.high_s), time)
    ends = ((bound, sent.bound_s), (low, sent.low_s), (time, sent.time_s), (high, sent.high_s))
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
    either = zip(cut.all_seconds, whole.all_seconds, strict=True)
    time, bound, low, high, latency, compute, memory, link = (where(halves > 1, one, other) for one, other in either)
    return Timing(time, bound, low, high, latency, compute, memory, link, whole.form)
