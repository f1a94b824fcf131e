"""The time of a step with its band, its shares and the energy it takes, on devices of one set of constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.calibration.constants import ConstantSet, Execution
from roofline.hardware.spec import HardwareSpec
from roofline.serving.chunked_prefill import StepCost
from roofline.timing.collectives import Network
from roofline.timing.device_stacks import stacked
from roofline.timing.energy import busy_power
from roofline.timing.operator import banded, time_collective_op, time_cost

Grid = NDArray[np.float64]

SHARES = ("latency", "compute", "memory", "link")
_TIMES = ("time", "bound", "low", "high")
SECONDS = (*_TIMES, "peak", "bytes", "energy", *SHARES)
"""What a step has in seconds: times with their band, busy seconds of peak and memory at the data sheet's rates, the
seconds at TDP that would take as much energy, and what the time is made of."""


@dataclass(frozen=True, slots=True, eq=False)
class StepTimes:
    """Seconds by the names of SECONDS, each of shape (devices, steps)."""

    seconds: Mapping[str, Grid]

    def __getitem__(self, name: str) -> Grid:
        return self.seconds[name]

    def part(self, name: str) -> Grid:
        """The seconds of ``name`` as a part of the time."""
        return self.seconds[name] / self.seconds["time"]


def added(*steps: tuple[StepTimes, Any]) -> StepTimes:
    """So many of each kind of step after each other; all seconds add, the band's ends with them."""
    return StepTimes({name: np.asarray(sum(many * step[name] for step, many in steps)) for name in SECONDS})


def mean_of(step: StepTimes, weights: Grid) -> StepTimes:
    """The mean over the steps (columns), as one column."""
    return StepTimes({name: np.sum(step[name] * weights, axis=-1, keepdims=True) for name in SECONDS})


@dataclass(frozen=True, slots=True)
class StepTimer:
    """Devices of one class, each with its constants, side by side; or one of several that share a network."""

    devices: Sequence[HardwareSpec]
    constants: Sequence[ConstantSet]
    execution: Execution
    network: Network | None = None

    def times(self, costs: Sequence[StepCost]) -> StepTimes:
        """The times of a step of these costs on each device. Raises WorkloadError for a dtype that one has not."""
        sums: dict[str, Any] = dict.fromkeys(SECONDS, 0.0)
        device, constants = stacked(self.devices, self.constants)
        for step in costs:
            for name, value in self._seconds(step, device, constants).items():
                sums[name] = sums[name] + float(step.cost.count) * value
        rows = len(self.devices)
        found = {name: _as_rows(value, rows) for name, value in sums.items()}
        mfu, mbu = found["peak"] / found["time"], found["bytes"] / found["time"]
        return StepTimes(found | {"energy": np.asarray(found["time"] * busy_power(1.0, mfu, mbu))})

    def _seconds(self, step: StepCost, device: HardwareSpec, constants: ConstantSet) -> dict[str, Any]:
        """The seconds of one execution of an operator."""
        cost = step.cost
        if cost.transfer is None:
            timing = time_cost(cost, device, constants, self.execution, step.decoding)
        else:
            assert self.network is not None, "collectives come from layouts, which come with a network"
            timing = time_collective_op(cost, self.network)
        found: dict[str, Any] = dict(zip(_TIMES, (timing.time_s, *banded(timing)), strict=True))
        if not (isinstance(cost.flops, int) and cost.flops == 0):
            found["peak"] = cost.flops / device.contraction_unit(cost.dtype)[1]
        found["bytes"] = cost.bytes / device.bandwidth
        return found | {name: getattr(timing, name) * timing.time_s for name in SHARES}


def _as_rows(value: Any, rows: int) -> Grid:
    array = np.atleast_1d(np.asarray(value, dtype=np.float64))
    return np.array(np.broadcast_to(array, (rows, array.shape[-1])))
