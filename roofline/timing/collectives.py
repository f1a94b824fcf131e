"""The time of collectives, all-reduce and its kin: every form over the links of a network, and the fastest of them.

A group of n devices that lies within the domain of the fast links uses these; one that does not, its network too. In a
tier, with b its bandwidth per direction and M the message [B]:

    ring        passes M (n - 1)/n to the neighbour, n - 1 steps a pass: two to reduce everywhere, one else;
                what a device keeps of the message, M/n, it copies; all-to-all alike, with constants of its own
    in-switch   M (n + 1)/n, the switch adds up                                       to reduce everywhere, n >= 8
    tree        2 M, steps as of a ring of 8 and one a level beyond                   to reduce everywhere, n > 8
    latency = first + each passes (n - 1),  bytes = passes M (n - 1)/n / (bandwidth b) + M/n / (own_copy b)
    time    = ((latency)^q + (bytes)^q)^(1/q);  links through one host have (2/n)^contention of b

Libraries of serving engines reduce small messages everywhere by kernels of their own, with s = first + each (n - 1):

    one-shot    s + M (n - 1)/(shot b)                       everything to everyone
    two-shot    2 s + 2 M (n - 1)/n/(shot b)                 a part to each, which sends its sum to all
    ring        ((4 s)^0.6 + (2 M (n - 1)/n/(bandwidth b))^0.6)^(1/0.6)

Beyond bridges in one box all goes through the host. Beyond a domain, a collective runs in it, between domains with what
each device has of the message, and in it again; or as one ring through all. Tokens for A experts each go over the
network once to each of the o domains that they reach, o (1 - (1 - 1/o)^A) of them under uniform routing, and from there
to their experts over the fast links, side by side. Links with one law for every collective (``calibrate``) are
``fitted_collectives.py``.

Sources: NVIDIA nccl-tests, PERFORMANCE.md; Sanders et al. 2009, Two-tree algorithms; Thakur et al. 2005, Optimization
of collective communication operations in MPICH; Klenk et al. 2020, An in-network architecture for accelerating
shared-memory multiprocessor collectives; DeepSeek-V3 technical report (arXiv 2412.19437), section 3.2.2, and DeepEP for
tokens that go once to a domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

import numpy as np

from roofline.calibration.fields import Band
from roofline.calibration.link_constants import LinkConstants, RingConstants, ShotConstants
from roofline.classes import frozen
from roofline.number import Grid, Number, Remembering, Truth, grid, is_remembering, maximum, minimum, where
from roofline.program.transfers import PASSES, bus_bytes
from roofline.timing.fitted_collectives import time_collective
from roofline.timing.networks import Network, Tier
from roofline.timing.timing import NOTHING, SECONDS, Timing, banded, total

_RING = 8
"""Devices in the largest ring that was measured; a switch adds up from there on, a tree goes beyond."""

ONCE = "once a domain"
"""The form in which a token goes to each domain once, however many of its experts are there."""

_SERVED_CORNER = 0.6
"""The sharpness of the corner of a serving engine's ring."""


def time_transfer(
    operation: str, message_bytes: Number, devices: Number, stride: Number, network: Network, copies: int = 1
) -> Timing:
    """The fastest form of a collective of ``devices`` that are ``stride`` apart, for numbers or arrays.

    ``copies``: how many of what is exchanged are of one token, each for an expert.
    A single device takes no time, nor does an empty message. Where all are in one domain the network is not used.
    """
    near, far = network.near, network.far
    message, n, apart = grid(message_bytes), *(np.asarray(given, dtype=np.float64) for given in (devices, stride))
    inside = np.clip(near.domain // np.maximum(apart, 1), 1, n)
    inside = n if far is near else inside  # one kind of links joins all
    if operation == "send":
        return _send(message, n, inside, near, far)
    if far.kind == "host":  # a ring is as slow as its slowest hop, which no bridge makes faster
        inside = np.where(inside < n, 1, inside)
    outside = np.ceil(n / inside)
    forms: list[Timing] = []
    if (within := outside == 1).any():
        forms.append(_where(within, _fastest(operation, message, n, near)))
    if (between := (inside == 1) & (outside > 1)).any():
        forms.append(_where(between, _fastest(operation, message, n, far)))
    if (across := (inside > 1) & (outside > 1)).any():
        staged = _hierarchical(operation, message, n, inside, outside, near, far, copies)
        forms += [_where(across, form) for form in staged]
    best = reduce(_faster, forms)
    alone = replace(NOTHING, form="none")
    return _unwrapped(_pick((n > 1) & (message > 0), best, alone))


def _fastest(operation: str, message: Number, devices: Grid, tier: Tier) -> Timing:
    """The fastest form of the library whose kernel runs: the engine's for small messages and groups, else NCCL's."""
    n = np.maximum(devices, 2) * 1.0
    rate, ring = tier.available(n), bus_bytes(operation, message, n)
    measured = (tier.measured or {}).get(operation)
    if measured is not None:
        return replace(time_collective(operation, message, n, rate, measured), form="as measured")
    least = minimum(ring, message * (n + 1) / n) if tier.reduces and operation == "all_reduce" else ring
    if tier.constants is None:
        return _at_best("at best", least / rate)
    sent = Sent(operation, message, n, rate, least / rate)
    best = reduce(_faster, _nccl(sent, tier.constants, reduces=tier.reduces))
    own = tier.constants.served(tier.served.library)
    if operation != "all_reduce" or own is None:
        return best
    few = _pick(n <= tier.served.most_devices, reduce(_faster, _served(sent, own)), best)
    return _pick(message <= tier.served.most_bytes, few, best)


@frozen
class Sent:
    """A collective of ``message`` bytes of ``devices`` over ``rate`` B/s each, and its bound. [s]"""

    operation: str
    message: Number
    devices: Grid
    rate: Number
    bound_s: Number

    @property
    def passes(self) -> int:
        """How often the message goes round."""
        return PASSES[self.operation]


def _nccl(sent: Sent, constants: LinkConstants, *, reduces: bool) -> Iterator[Timing]:
    own = constants.all_to_all if sent.operation == "all_to_all" else None
    c = own or constants.ring
    yield _ring("ring", sent, c)
    if sent.operation != "all_reduce":
        return
    n = sent.devices
    if (n < _RING).all():
        return
    latency = c.first + 2 * c.each * (np.minimum(n, _RING) - 1 + np.log2(np.maximum(n / _RING, 1)))
    if (n > _RING).any():
        yield _where(n > _RING, _corner("tree", sent, latency, 2 * sent.message / (c.bandwidth * sent.rate), c))
    if reduces and c.in_switch is not None:
        added = sent.message * (n + 1) / n / (c.in_switch * sent.rate)
        yield _where(n >= _RING, _corner("in-switch", sent, latency, added, c))


def _served(sent: Sent, own: ShotConstants | RingConstants) -> Iterator[Timing]:
    """The forms of an all-reduce of a library of its own."""
    if isinstance(own, RingConstants):
        yield _ring("custom", sent, own)
        return
    n, message = sent.devices, sent.message
    step, around = own.first + own.each * (n - 1), 2 * message * (n - 1) / n / sent.rate
    yield _form("one-shot", sent, step, message * (n - 1) / (own.shot * sent.rate), 1.0, own.band)
    yield _form("two-shot", sent, 2 * step, around / own.shot, 1.0, own.band)
    yield _form("custom ring", sent, 4 * step, around / own.bandwidth, _SERVED_CORNER, own.band)


def _ring(name: str, sent: Sent, c: RingConstants) -> Timing:
    n = sent.devices
    latency = c.first + c.each * sent.passes * (n - 1)
    shared = (n / 2) ** c.contention
    transfer = sent.passes * sent.message * (n - 1) / n * shared / (c.bandwidth * sent.rate)
    if c.own_copy is not None:
        transfer = transfer + sent.message / n / (c.own_copy * sent.rate)
    return _corner(name, sent, latency, transfer, c)


def _corner(name: str, sent: Sent, latency: Number, transfer: Number, c: RingConstants) -> Timing:
    return _form(name, sent, latency, transfer, c.sharpness, c.band)


def _form(name: str, sent: Sent, latency: Number, transfer: Number, q: float, band: Band) -> Timing:
    """The soft corner of latency and bytes. [s]"""
    steps, moved = latency**q, transfer**q
    time = (steps + moved) ** (1 / q)
    linked = time * moved / (steps + moved)
    bound = minimum(sent.bound_s, time)
    found = Timing(time, bound, time, time, latency_s=time - linked, link_s=linked, form=name)
    return banded(found, band.low, band.high)


def _at_best(name: str, seconds: Number) -> Timing:
    return Timing(seconds, seconds, seconds, seconds, link_s=seconds, form=name)


def _hierarchical(
    operation: str, message: Number, devices: Grid, inside: Grid, outside: Grid, near: Tier, far: Tier, copies: int
) -> Iterator[Timing]:
    """Within domains, between them, within them again; and one ring through all, over the networks of each domain."""
    if operation == "all_to_all":
        within = _fastest(operation, message * inside / devices, inside, near)
        beyond = _fastest(operation, message, outside, far)
        yield _along("direct", [within, beyond], together=True)
        if copies > 1:
            reached = outside * (1 - (1 - 1 / outside) ** copies)
            once = _fastest(operation, message * reached / copies, outside, far)
            yield _along(ONCE, [_fastest(operation, message, inside, near), once], together=True)
        return
    steps = {
        "all_reduce": (("reduce_scatter", 1, near), ("all_reduce", inside, far), ("all_gather", 1, near)),
        "reduce_scatter": (("reduce_scatter", 1, near), ("reduce_scatter", inside, far)),
        "all_gather": (("all_gather", inside, far), ("all_gather", 1, near)),
    }[operation]
    yield _along("hierarchical", [
        _fastest(name, message / part, inside if tier is near else outside, tier) for name, part, tier in steps
    ])  # fmt: skip
    if far.constants is not None:
        c = far.constants.ring
        rate = minimum(near.available(inside), far.bandwidth * inside)
        hops = c.each * outside + (near.constants or far.constants).ring.each * (devices - outside)
        bound = bus_bytes(operation, message, devices * 1.0) / rate
        sent = Sent(operation, message, devices, rate, bound)
        yield _corner("ring through all", sent, c.first + sent.passes * hops, bound / c.bandwidth, c)


def _along(name: str, parts: list[Timing], *, together: bool = False) -> Timing:
    """Forms one after the other; or at the same time, where the slowest counts."""
    if together:
        slowest = reduce(lambda a, b: _pick(a.time_s >= b.time_s, a, b), parts)
        return replace(slowest, bound_s=reduce(maximum, (part.bound_s for part in parts)), form=name)
    return replace(total((1, part) for part in parts), form=name)


def _send(message: Number, stages: Grid, inside: Grid, near: Tier, far: Tier) -> Timing:
    """One device to the next: the mean over the boundaries between stages, of which some lie between domains."""
    crossing = (np.ceil(stages / inside) - 1) / np.maximum(stages - 1, 1)
    return replace(total([(1 - crossing, _hop(message, near)), (crossing, _hop(message, far))]), form="send")


def _hop(message: Number, tier: Tier) -> Timing:
    rate = tier.available(np.asarray(2.0))
    if tier.constants is None:
        return _at_best("send", message / rate)
    c, sent = tier.constants.ring, Sent("send", message, np.asarray(2.0), rate, message / rate)
    return _corner("send", sent, c.first, message / rate / c.bandwidth, c)


def _where(mask: Truth, form: Timing) -> Timing:
    """A form that only counts where ``mask`` holds."""
    return replace(form, time_s=where(mask, form.time_s, np.inf))


def _faster(a: Timing, b: Timing) -> Timing:
    """The faster of two forms, with the lower bound of both: neither name nor losses are physics."""
    best = _pick(a.time_s <= b.time_s, a, b)
    either = _counts(a.time_s) & _counts(b.time_s)
    return replace(best, bound_s=where(either, minimum(a.bound_s, b.bound_s), best.bound_s))


def _counts(seconds: Number) -> Truth:
    """Whether a form counts; a time that remembers is one of a form that does."""
    return is_remembering(seconds) or np.isfinite(np.asarray(seconds))


def _pick(first: Truth, a: Timing, b: Timing) -> Timing:
    """One of two forms by a truth, element by element; which one it is, a time that remembers does not tell."""
    seconds = {name: where(first, getattr(a, name), getattr(b, name)) for name in SECONDS}
    form = "" if isinstance(first, Remembering) else np.where(first, a.form, b.form)
    return Timing(**seconds, form=form)


def _unwrapped(timing: Timing) -> Timing:
    """Arrays without axes as the numbers in them."""
    alone = timing.each(lambda seconds: seconds[()] if isinstance(seconds, np.ndarray) else seconds)
    return replace(alone, form=alone.form if isinstance(alone.form, str) else alone.form[()])
