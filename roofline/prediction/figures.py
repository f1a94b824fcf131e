"""Figures of operators and phases: times, counts and rates, added up over repeats and averaged over steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from roofline.cost.cost import Cost
from roofline.hardware.spec import HardwareSpec
from roofline.number import Number, settled
from roofline.timing.operator import Timing, banded


@dataclass(frozen=True, slots=True)
class Shares:
    """What the time is made of; sums to one."""

    latency: float
    compute: float
    memory: float
    link: float = 0.0

    @property
    def largest(self) -> str:
        """The name of the largest share."""
        return max(asdict(self).items(), key=lambda share: share[1])[0]


@dataclass(frozen=True, slots=True)
class Figures:
    """Times [s], counts and rates of an operator over all its repeats, or of a phase over one step.

    Decode figures are means over the steps. ``intensity`` [FLOP/B] is None where no bytes move.
    """

    time_s: float
    bound_s: float
    low_s: float
    high_s: float
    shares: Shares
    flops: float
    vector_flops: float
    bytes: float
    mfu: float
    mbu: float
    link_bytes: float = 0.0

    @property
    def bound_by(self) -> str:
        """The name of the largest share: latency, compute, memory or link."""
        return self.shares.largest

    @property
    def intensity(self) -> float | None:
        """Arithmetic intensity. [FLOP/B]"""
        return self.flops / self.bytes if self.bytes else None

    def to_dict(self) -> dict[str, Any]:
        """The figures as the JSON of ``predict`` has them."""
        fields = asdict(self)
        return {**fields, "bound_by": self.bound_by, "intensity": self.intensity}


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of a phase; its figures are for all its ``count`` repeats. A collective has the form it runs in."""

    name: str
    kind: str
    count: int
    figures: Figures
    form: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The operator as the JSON of ``predict`` has it."""
        form = {"form": self.form} if self.form else {}
        return {"name": self.name, "kind": self.kind, "count": self.count, **form, **self.figures.to_dict()}


@dataclass(frozen=True, slots=True)
class PhasePrediction:
    """One step of a phase, and how many steps a request takes.

    In a pipeline: the microbatches of a step, and what one of them takes on the first, the fullest inner and the last
    stage. [s]
    """

    steps: int
    figures: Figures
    operators: tuple[Operator, ...]
    microbatches: int = 1
    stages: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The phase as the JSON of ``predict`` has it."""
        piped = {"microbatches": self.microbatches, "stages_s": list(self.stages)} if self.stages else {}
        operators = [op.to_dict() for op in self.operators]
        return {"steps": self.steps, **piped, **self.figures.to_dict(), "operators": operators}


def figures_of(parts: list[tuple[Cost, Timing]], device: HardwareSpec) -> Figures:
    """The sum over operators of all their repeats, each a mean over the steps.

    Errors of one set of constants are fully correlated, so the band of a sum is the sum of the bands.
    """

    def total(value: Any) -> Any:
        return settled(sum(cost.count * mean_over_steps(value(cost, timing)) for cost, timing in parts))

    def timed(share: str) -> float:
        seconds = total(lambda _, timing: getattr(timing, share) * timing.time_s)
        return float(seconds / time) if time else 0.0

    time = float(total(lambda _, timing: timing.time_s))
    peak_seconds = sum(
        float(cost.count * mean_over_steps(cost.flops)) / device.contraction_unit(cost.dtype)[1]
        for cost, _ in parts
        if not (isinstance(cost.flops, int) and cost.flops == 0)
    )
    moved = total(lambda cost, _: cost.bytes)
    compute, memory, link = timed("compute"), timed("memory"), timed("link")
    return Figures(
        time_s=time,
        bound_s=float(total(lambda _, timing: banded(timing)[0])),
        low_s=float(total(lambda _, timing: banded(timing)[1])),
        high_s=float(total(lambda _, timing: banded(timing)[2])),
        shares=Shares(max(0.0, 1 - compute - memory - link), compute, memory, link),
        flops=total(lambda cost, _: cost.flops),
        vector_flops=total(lambda cost, _: cost.vector_flops),
        bytes=moved,
        mfu=peak_seconds / time if time else 0.0,
        mbu=float(moved) / (time * device.bandwidth) if time else 0.0,
        link_bytes=total(lambda cost, _: cost.link_bytes),
    )


def mean_over_steps(value: Number) -> Number:
    return float(np.mean(value)) if isinstance(value, np.ndarray) else value
