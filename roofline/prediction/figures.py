"""Figures of operators and phases: times, counts and rates, added up over repeats and averaged over steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Protocol

from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.number import Number, added, mean, settled
from roofline.timing.machine import Machine
from roofline.timing.timing import Shares, Timing, total


@frozen
class Figures:
    """Time [s], counts and rates of an operator over all its repeats, or of a phase over one step.

    Counts are of one device's part, whatever the layout.
    Decode figures are means over the steps. ``intensity`` [FLOP/B] is None where no bytes move.
    """

    timing: Timing
    flops: float
    vector_flops: float
    bytes: float
    mfu: float
    mbu: float
    link_bytes: float = 0.0

    @property
    def time_s(self) -> float:
        """The expected time. [s]"""
        return float(self.timing.time_s)

    @property
    def bound_s(self) -> float:
        """The time at best. [s]"""
        return float(self.timing.bound_s)

    @property
    def low_s(self) -> float:
        """The low end of the band. [s]"""
        return float(self.timing.low_s)

    @property
    def high_s(self) -> float:
        """The high end of the band. [s]"""
        return float(self.timing.high_s)

    @property
    def shares(self) -> Shares:
        """What the time is made of."""
        return self.timing.shares

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
        times = {name: getattr(self, name) for name in ("time_s", "bound_s", "low_s", "high_s")}
        counts = {name: getattr(self, name) for name in (*COUNTS[:3], "mfu", "mbu", "link_bytes")}
        derived = {"bound_by": self.bound_by, "intensity": self.intensity}
        return {**times, "shares": asdict(self.shares), **counts, **derived}


COUNTS = ("flops", "vector_flops", "bytes", "link_bytes")


@frozen
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


class Listing(Protocol):
    """The operators of a step when they are asked for, and what each of them costs."""

    @property
    def costs(self) -> tuple[Cost, ...]: ...
    @property
    def pairs(self) -> Sequence[tuple[Cost, Timing]]: ...
    def __call__(self) -> tuple[Operator, ...]: ...


@dataclass(frozen=True)
class PhasePrediction:
    """One step of a phase, and how many steps a request takes; its operators are listed when they are asked for.

    Counts are of one device's part; in a pipeline, of one device of each stage, added up; ``stage_devices`` are those
    of a stage, each with as much. ``chunks``: the forward passes of a step that read prompts, all of which its figures
    hold. In a pipeline: the microbatches of a step, and what one of them takes on the first,
    the fullest inner and the last stage. [s]
    """

    steps: int
    figures: Figures
    listing: Listing = field(compare=False, repr=False)
    chunks: int = 1
    microbatches: int = 1
    stages: tuple[float, ...] = ()
    stage_devices: int = 1

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """The operators of a step, in the order in which they run."""
        return self.listing()

    @property
    def total_flops(self) -> Number:
        """FLOPs of contractions of all devices together, in one step."""
        return self.stage_devices * self.figures.flops

    @property
    def total_bytes(self) -> Number:
        """Compulsory traffic of all devices' memories together, in one step. [B]"""
        return self.stage_devices * self.figures.bytes

    def to_dict(self) -> dict[str, Any]:
        """The phase as the JSON of ``predict`` has it."""
        chunked = {"chunks": self.chunks} if self.chunks > 1 else {}
        piped = {"microbatches": self.microbatches, "stages_s": list(self.stages)} if self.stages else {}
        operators = [op.to_dict() for op in self.operators]
        totals = {"total_flops": self.total_flops, "total_bytes": self.total_bytes}
        return {"steps": self.steps, **chunked, **piped, **self.figures.to_dict(), **totals, "operators": operators}


def figures_of(parts: Iterable[tuple[Cost, Timing]], machine: Machine) -> Figures:
    """The sum over operators of all their repeats, each a mean over the steps."""
    parts = list(parts)
    timing = total((cost.count, each.mean()) for cost, each in parts).as_float()

    def counted(value: Callable[[Cost], Number]) -> float:
        number = settled(added(cost.count * mean(value(cost)) for cost, _ in parts))
        return number if isinstance(number, int | float) else float(number)

    moved, time = counted(lambda cost: cost.bytes), float(timing.time_s)
    return Figures(
        timing,
        flops=counted(lambda cost: cost.mean_flops),
        vector_flops=counted(lambda cost: cost.vector_flops),
        bytes=moved,
        mfu=float(sum(float(cost.count) * mean(machine.peak_s(cost)) for cost, _ in parts)) / time if time else 0.0,
        mbu=float(moved / (time * machine.rates.bandwidth)) if time else 0.0,
        link_bytes=counted(lambda cost: cost.link_bytes),
    )


def summed(parts: Iterable[Figures]) -> Figures:
    """Several operators as one, one after the other."""
    parts = list(parts)
    timing = total((1, each.timing) for each in parts).as_float()
    counts = {name: sum(getattr(each, name) for each in parts) for name in COUNTS}
    rates = {name: sum(getattr(each, name) * each.time_s for each in parts) for name in ("mfu", "mbu")}
    time = float(timing.time_s)
    return Figures(timing, **counts, **{name: value / time if time else 0.0 for name, value in rates.items()})
