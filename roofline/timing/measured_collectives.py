"""The time of a collective: what each device must send over its link, and the steps in which it does.

    bound = bus_bytes / link bandwidth
    time  = ((first + each (n - 1))^q + (bus_bytes / (e_l link bandwidth))^q)^(1/q)      n devices, q well below 1

Source: NVIDIA nccl-tests, PERFORMANCE.md (bus bandwidth); the soft corner with q from fits to NCCL on 2 to 8 A100.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roofline.calibration.constants import CollectiveConstants
from roofline.errors import UsageError
from roofline.number import Number, is_symbolic, maximum, minimum
from roofline.program.transfers import bus_bytes


@dataclass(frozen=True, slots=True)
class CollectiveTiming:
    """One collective. Shares of latency and link sum to one and are the elasticities of the time. [s]"""

    time_s: Number
    bound_s: Number
    low_s: Number
    high_s: Number
    share_latency: Number
    share_link: Number


def time_collective(
    operation: str, message_bytes: Number, devices: Number, link: float, constants: CollectiveConstants | None
) -> CollectiveTiming:
    """The time of a collective over links of ``link`` B/s per direction, for numbers or arrays.

    Without constants it is the bound. Raises UsageError for an unknown operation or fewer than two devices.
    """
    if not is_symbolic(devices) and not np.all(np.asarray(devices) >= 2):
        msg = f"collective {operation}: {np.min(devices)} devices, expected 2 or more"
        raise UsageError(msg)
    bound = bus_bytes(operation, message_bytes, devices) / link
    if constants is None:
        return CollectiveTiming(bound, bound, bound, bound, 0.0 * bound, 0.0 * bound + 1.0)
    q = constants.sharpness
    steps = constants.first + constants.each * (devices - 1)
    sent = bound / constants.bandwidth
    latency, transfer = steps**q, sent**q
    time = (latency + transfer) ** (1 / q)
    least = minimum(bound / maximum(1.0, constants.bandwidth), time)
    return CollectiveTiming(
        time,
        least,
        maximum(least, time * constants.band.low),
        time * constants.band.high,
        latency / (latency + transfer),
        transfer / (latency + transfer),
    )
