"""What devices say to each other: the kinds of collectives, and how many bytes each device sends; never how long."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches
from roofline.number import Number, as_float, exact

Collective: TypeAlias = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"]

PASSES: dict[str, int] = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1, "all_to_all": 1}
"""How often the message goes over the links."""


@frozen
class Transfer:
    """A collective of ``devices``, ``stride`` apart in the order in which devices are numbered; numbers or arrays.

    ``send`` hands a message to one other device. ``over`` names the kinds of parallelism that it serves. ``copies``:
    how many of what is exchanged are of one token, for as many experts, so that one may do for several devices.
    """

    operation: Collective
    devices: Number
    stride: Number = 1
    over: str = ""
    copies: int = 1

    @property
    def dispatches(self) -> bool:
        """Whether it sends tokens to experts on other devices, or what those say of them back."""
        return self.operation == "all_to_all" and "ep" in self.over.split("+")

    def traffic(self, message_bytes: Number) -> Number:
        """Traffic of device memory for a message: what is read there, and what is written. [B]"""
        if self.operation not in ("all_gather", "reduce_scatter"):
            return message_bytes * 2
        moved = 1 / exact(self.devices) + 1
        return message_bytes * (as_float(moved) if isinstance(message_bytes, np.ndarray) else moved)


def bus_bytes(operation: str, message_bytes: Number, devices: Number) -> Number:
    """Bytes that each of ``devices`` sends over its link. Raises UsageError for an unknown operation.

    The message is the whole: what a device has before a scatter or after a gather. A ring of n devices sends
    (n - 1) / n of it to gather, to scatter or to exchange it, and twice that to reduce it everywhere; no form sends
    less without help from a switch.

    >>> bus_bytes("all_reduce", 1024, 4), bus_bytes("send", 1024, 2)
    (1536.0, 1024)

    Source: Patarasuk and Yuan 2009, Bandwidth optimal all-reduce algorithms; NVIDIA nccl-tests, PERFORMANCE.md.
    """
    if operation == "send":
        return message_bytes
    if operation not in PASSES:
        msg = f"collective {operation!r}: {near_matches(operation, PASSES)}"
        raise UsageError(msg)
    return PASSES[operation] * message_bytes * (devices - 1) / devices


def sent_bytes(form: str, operation: str, message_bytes: Number, devices: Number) -> Number:
    """Bytes that each of ``devices`` sends over its link in a form of a collective: a ring's, unless it sends others.

    Where a switch adds up, a device sends the message and its part of the sum; in one shot, all to everyone.

    >>> sent_bytes("in-switch", "all_reduce", 1024, 8), sent_bytes("one-shot", "all_reduce", 1024, 8)
    (1152.0, 7168)
    >>> sent_bytes("ring", "all_reduce", 1024, 8) == bus_bytes("all_reduce", 1024, 8)
    True
    """
    if form == "in-switch":
        return message_bytes * (devices + 1) / devices
    if form == "one-shot":
        return message_bytes * (devices - 1)
    return bus_bytes(operation, message_bytes, devices)
