"""The time of a collective from fitted constants: what each device must send over its link, and the steps it takes.

    bound = bus_bytes / link bandwidth
    time  = ((first + each (n - 1))^q + (bus_bytes / (e_l link bandwidth))^q)^(1/q)      n devices, q well below 1

Source: NVIDIA nccl-tests, PERFORMANCE.md (bus bandwidth); the soft corner with q from fits to NCCL on 2 to 8 A100.
"""

from __future__ import annotations

import numpy as np

from roofline.calibration.calibration_file import CollectiveConstants
from roofline.errors import UsageError
from roofline.number import Number, is_symbolic, maximum, minimum
from roofline.program.transfers import bus_bytes
from roofline.timing.timing import Timing, banded


def time_collective(
    operation: str, message_bytes: Number, devices: Number, link: Number, constants: CollectiveConstants | None
) -> Timing:
    """The time of a collective over links of ``link`` B/s per direction, for numbers or arrays.

    Without constants it is the bound. Raises UsageError for an unknown operation or fewer than two devices.
    """
    if not is_symbolic(devices) and not np.all(np.asarray(devices) >= 2):
        msg = f"collective {operation}: {np.min(np.asarray(devices))} devices, expected 2 or more"
        raise UsageError(msg)
    bound = bus_bytes(operation, message_bytes, devices) / link
    if constants is None:
        return Timing(bound, bound, bound, bound, link_s=bound)
    q = constants.sharpness
    steps = constants.first + constants.each * (devices - 1)
    sent = bound / constants.bandwidth
    latency, transfer = steps**q, sent**q
    time = (latency + transfer) ** (1 / q)
    least = minimum(bound / maximum(1.0, constants.bandwidth), time)
    waits = time * latency / (latency + transfer)
    found = Timing(time, least, time, time, latency_s=waits, link_s=time - waits)
    return banded(found, constants.band.low, constants.band.high)
