"""The time of batched steps with its band, what it is made of and the energy it takes, on devices of one class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace

import numpy as np

from roofline.calibration.constants import ConstantSet
from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.hardware.spec import HardwareSpec
from roofline.number import Grid, Number, as_float
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import Pipeline, layer_count, places
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.timing.device_stacks import stacked
from roofline.timing.energy import busy_power
from roofline.timing.engine_choice import Launching
from roofline.timing.machine import Machine
from roofline.timing.networks import Network
from roofline.timing.timing import Timing, total


@frozen(eq=False)
class StepTimes:
    """Steps of shape (devices, steps): their time, and the seconds that say how busy a device is.

    ``peak_s`` and ``bytes_s``: the contractions and the traffic at the data sheet's rates. ``energy_s``: seconds at TDP
    that would take as much energy. All of them add. [s]
    """

    timing: Timing
    peak_s: Grid
    bytes_s: Grid
    energy_s: Grid

    @property
    def time_s(self) -> Grid:
        """The expected time. [s]"""
        return np.asarray(self.timing.time_s)

    def part(self, seconds: Number) -> Grid:
        """Seconds as a part of the time."""
        return np.asarray(seconds / self.timing.time_s)

    def each(self, change: Callable[[Grid], Grid]) -> StepTimes:
        """The same with all seconds changed alike."""
        return StepTimes(
            self.timing.each(lambda seconds: change(np.asarray(seconds))),
            *(change(getattr(self, name)) for name in _BUSY),
        )


_HANDED_ON = 3
"""The place of what is in no group: the host's time, which no stage has for itself."""
_BUSY = tuple(field.name for field in fields(StepTimes))[1:]


def added(*steps: tuple[StepTimes, Number]) -> StepTimes:
    """So many of each kind of step after each other."""
    busy = (np.asarray(sum(many * getattr(step, name) for step, many in steps)) for name in _BUSY)
    return StepTimes(total((many, step.timing) for step, many in steps), *busy)


def mean_of(step: StepTimes, weights: Grid) -> StepTimes:
    """The mean over the steps (columns), as one column."""
    return step.each(lambda seconds: np.sum(seconds * weights, axis=-1, keepdims=True))


def means_of(step: StepTimes, weights: Grid, times: int) -> StepTimes:
    """The means over groups of steps, ``weights`` of shape (groups, steps of each), each in so many columns."""
    return step.each(
        lambda seconds: np.repeat(np.sum(seconds.reshape(-1, *weights.shape) * weights, axis=-1), times, axis=-1)
    )


@frozen
class Stages:
    """The stages of a pipeline, each at work on another group of sequences: all take as long as the slowest.

    ``place``: where each group of a program is, as :func:`roofline.parallelism.pipeline.places` says.
    """

    pipeline: Pipeline
    place: Mapping[str, int]

    @classmethod
    def of(cls, program: Program, layout: Layout) -> Stages | None:
        """Those of a sharded program; None where there is one."""
        if layout.pp == 1:
            return None
        found: dict[str, int] = {}
        for phase in program.phases:
            groups = [group for group in program.groups if phase in group.phases]
            found |= dict(zip((group.name for group in groups), places(groups), strict=True))
        return cls(Pipeline(layer_count(program), layout.pp, layout.pp, Phase.DECODE), found)

    def step(self, costs: Iterable[Cost], times: Iterable[Timing]) -> Number:
        """The time of a step, of what each operator takes. [s]"""
        sums: list[Number] = [0.0] * 4
        for cost, each in zip(costs, times, strict=True):
            place = self.place.get(cost.group, _HANDED_ON)
            sums[place] = sums[place] + cost.count * each.time_s
        return self.pipeline.step(*sums)


@frozen
class StepTimer:
    """Devices of one class side by side; or one of several that share a network, in stages or in one."""

    devices: Sequence[HardwareSpec]
    machine: Machine
    stages: Stages | None = None

    @classmethod
    def of(
        cls,
        devices: Sequence[HardwareSpec],
        constants: Sequence[ConstantSet],
        launching: Launching,
        network: Network | None = None,
        stages: Stages | None = None,
    ) -> StepTimer:
        """The timer of devices, each with its constants."""
        rates, together = stacked(devices, constants)
        return cls(devices, launching.machine(rates, together, network), stages)

    def times(self, costs: Iterable[Cost]) -> StepTimes:
        """The times of a step of these costs on each device. Raises WorkloadError for a dtype that one has not.

        Of a pipeline, the step of one group of sequences through all stages, with what it waits for the slowest.
        """
        costs, machine, rows = list(costs), self.machine, len(self.devices)
        each = machine.times(costs)
        timing = total((cost.count, one) for cost, one in zip(costs, each, strict=True))
        columns = np.shape(np.atleast_1d(np.asarray(timing.time_s)))[-1]

        def grid(value: Number) -> Grid:
            return np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), (rows, columns)))

        peak = grid(sum(as_float(cost.count) * machine.peak_s(cost) for cost in costs))
        moved = grid(sum(as_float(cost.count) * cost.bytes for cost in costs) / machine.rates.bandwidth)
        times = timing.each(grid)
        energy = np.asarray(times.time_s * busy_power(1.0, peak / times.time_s, moved / times.time_s))
        path = StepTimes(times, peak, moved, energy)
        if self.stages is None:
            return path
        wait = self.stages.step(costs, each) / path.time_s
        return replace(path, timing=path.timing.each(lambda seconds: seconds * wait))
