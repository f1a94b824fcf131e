"""The cross-check of single kernels: the step itself under torch's profiler, and what passes between its operators."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from roofline.classes import frozen
from roofline.validation.devices import Device
from roofline.validation.stopwatch import steady

LEAST_STEPS, MOST_STEPS = 3, 30


@frozen
class Profile:
    """A step under the profiler, which slows it down: the whole, and what was spent in operators, by their names. [s]

    ``operators_s`` has the time of each operator itself, without those that it called; views are operators too.
    """

    step_s: float
    operators_s: Mapping[str, float]

    @property
    def between(self) -> float:
        """The part of the step outside every operator: the Python of the modules, and the profiler's own work."""
        return 1 - sum(self.operators_s.values()) / self.step_s

    def to_dict(self) -> dict[str, Any]:
        """As results carry it."""
        return {"step_s": self.step_s, "between": self.between, "operators_s": dict(self.operators_s)}


def profile_step(step: Callable[[], object], device: Device, budget_s: float) -> Profile:
    """Steps under torch's profiler for about ``budget_s``, the mean of them. On a GPU it is the device's time."""
    torch = device.torch
    activity = torch.profiler.ProfilerActivity
    activities = [activity.CPU, *([activity.CUDA] if device.kind == "cuda" else [])]
    step()
    device.wait()
    with steady(), _no_chatter(), torch.no_grad(), torch.profiler.profile(activities=activities) as found:
        begun, steps = time.perf_counter(), 0
        while steps < LEAST_STEPS or (time.perf_counter() - begun < budget_s and steps < MOST_STEPS):
            step()
            device.wait()
            steps += 1
        taken = time.perf_counter() - begun
    own = "self_device_time_total" if device.kind == "cuda" else "self_cpu_time_total"
    rows = {row.key.removeprefix("aten::"): getattr(row, own) * 1e-6 / steps for row in found.key_averages()}
    return Profile(taken / steps, {name: seconds for name, seconds in rows.items() if seconds > 0})


@contextmanager
def _no_chatter() -> Iterator[None]:
    """Nothing on stderr: the profiler's library writes there by itself, past Python."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
