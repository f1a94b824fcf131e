"""The time of collectives, all-reduce and its kin: every form over the links of a network, and the fastest of them.

A group of n devices that lies within the domain of the fast links uses these; one that does not, its network too. In a
tier, with b its bandwidth per direction and M the message [B]:

    ring        first + each (n - 1)         the bus bytes, 2 M (n - 1)/n to reduce everywhere, M (n - 1)/n else
    tree        first + 2 each log2 n        2 M                                        to reduce everywhere
    one-shot    kernel + each (n - 1)        M (n - 1), everything to everyone          to reduce everywhere
    in-switch   first + 2 each               M (n + 1)/n, the switch adds up            to reduce everywhere
    time = ((latency)^q + (bytes / (e b))^q)^(1/q)

Beyond a domain, a collective runs in it, between domains with what each device has of the message, and in it again; or
as one ring through all.

Sources: NVIDIA nccl-tests, PERFORMANCE.md; Sanders et al. 2009, Two-tree algorithms; Thakur et al. 2005, Optimization
of collective communication operations in MPICH; Klenk et al. 2020, An in-network architecture for accelerating
shared-memory multiprocessor collectives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

import numpy as np

from roofline.calibration.link_constants import Kernel, LinkConstants
from roofline.number import Grid, Number, Remembering, Truth, grid, is_remembering, maximum, minimum, where
from roofline.program.transfers import bus_bytes
from roofline.timing.measured_collectives import time_collective
from roofline.timing.networks import Network, Tier
from roofline.timing.timing import NOTHING, SECONDS, Timing, banded, total


def time_transfer(operation: str, message_bytes: Number, devices: Number, stride: Number, network: Network) -> Timing:
    """The fastest form of a collective of ``devices`` that are ``stride`` apart, for numbers or arrays.

    A single device takes no time. Where all are in one domain the network is not used.
    """
    near, far = network.near, network.far
    message, n, apart = grid(message_bytes), *(np.asarray(given, dtype=np.float64) for given in (devices, stride))
    inside = np.clip(near.domain // np.maximum(apart, 1), 1, n)
    outside = np.ceil(n / inside)
    if operation == "send":
        return _send(message, n, inside, near, far)
    forms = [
        _where(outside == 1, _fastest(operation, message, n, near)),
        _where((inside == 1) & (outside > 1), _fastest(operation, message, n, far)),
    ]
    if far is not near:
        forms += [_where((inside > 1) & (outside > 1), form) for form in
                  _hierarchical(operation, message, n, inside, outside, near, far)]  # fmt: skip
    best = reduce(_faster, forms)
    alone = replace(NOTHING, form="none")
    return _unwrapped(_pick(n > 1, best, alone))


def _fastest(operation: str, message: Number, devices: Grid, tier: Tier) -> Timing:
    return reduce(_faster, _forms(operation, message, devices, tier))


def _forms(operation: str, message: Number, devices: Grid, tier: Tier) -> Iterator[Timing]:
    """Every way to run a collective within a tier. One that was measured on the device is the only one."""
    n = np.maximum(devices, 2) * 1.0
    rate, ring = tier.available(n), bus_bytes(operation, message, n)
    if tier.measured and operation in tier.measured:
        found = time_collective(operation, message, n, rate, tier.measured[operation])
        yield replace(found, form="as measured")
        return
    c = tier.constants
    if c is None:
        least = minimum(ring, message * (n + 1) / n) if tier.reduces and operation == "all_reduce" else ring
        yield _at_best("at best", least / rate)
        return
    yield _form("ring", c.first + c.each * (n - 1), ring, c.bandwidth, rate, c)
    if operation != "all_reduce":
        return
    yield _form("tree", c.first + 2 * c.each * np.ceil(np.log2(n)), 2 * message, c.bandwidth, rate, c)
    if isinstance(c.one_shot, Kernel):
        latency = c.one_shot.first + c.one_shot.each * (n - 1)
        yield _form("one-shot", latency, message * (n - 1), c.bandwidth, rate, c)
    if tier.reduces and c.in_switch is not None:
        yield _form("in-switch", c.first + 2 * c.each, message * (n + 1) / n, c.in_switch, rate, c)


def _form(name: str, latency: Number, sent: Number, share: float, rate: Number, constants: LinkConstants) -> Timing:
    """The soft corner of latency and bytes."""
    q = constants.sharpness
    steps, transfer = latency**q, (sent / (share * rate)) ** q
    time = (steps + transfer) ** (1 / q)
    linked = time * transfer / (steps + transfer)
    found = Timing(time, sent / rate, time, time, latency_s=time - linked, link_s=linked, form=name)
    return banded(found, constants.band.low, constants.band.high)


def _at_best(name: str, seconds: Number) -> Timing:
    return Timing(seconds, seconds, seconds, seconds, link_s=seconds, form=name)


def _hierarchical(
    operation: str, message: Number, devices: Grid, inside: Grid, outside: Grid, near: Tier, far: Tier
) -> Iterator[Timing]:
    """Within domains, between them, within them again; and one ring through all, over the networks of each domain."""
    if operation == "all_to_all":
        within = _fastest(operation, message * inside / devices, inside, near)
        beyond = _fastest(operation, message, outside, far)
        yield _along("direct", [within, beyond], together=True)
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
        c = far.constants
        rate = minimum(near.available(inside), far.bandwidth * inside)
        latency = c.first + c.each * outside + (near.constants or c).each * (devices - outside)
        yield _form("ring through all", latency, bus_bytes(operation, message, devices * 1.0), c.bandwidth, rate, c)


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
    rate, c = tier.available(np.asarray(2.0)), tier.constants
    if c is None:
        return _at_best("send", message / rate)
    return _form("send", c.first, message, c.bandwidth, rate, c)


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
