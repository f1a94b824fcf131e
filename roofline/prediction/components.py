"""The networks that a generator is made of: how often each runs, how long that takes, and what of it lies in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

from roofline.classes import frozen
from roofline.cost.residency import weights_bytes
from roofline.models.model import Model
from roofline.models.outline import Outline
from roofline.number import settled
from roofline.prediction.figures import PhasePrediction
from roofline.prediction.step import Steps
from roofline.program.axes import resolve


@frozen
class Component:
    """A network of a generator: its passes, the time of all of them, and its weights on a device. [s, B]"""

    name: str
    passes: int
    time_s: float
    weights_bytes: int

    @property
    def pass_s(self) -> float:
        """The time of one pass. [s]"""
        return self.time_s / self.passes

    def to_dict(self) -> dict[str, Any]:
        """The component as JSON."""
        return asdict(self)


def components_of(model: Model, steps: Steps, phases: Iterable[PhasePrediction]) -> Iterator[Component]:
    """The components of a generator, in the order in which they run; none of any other network."""
    config = model.config
    named = config.components if isinstance(config, Outline) else ()
    listed = [phase.listing for phase in phases] if named else []
    own = [(cost.group, op) for each in listed for cost, op in zip(each.costs, each(), strict=False)]
    program, precision = steps.program, steps.precision
    for name in named:
        begins = f"{name}."
        groups = tuple(group for group in program.groups if group.name.startswith(begins))
        times = [op.figures.time_s for group, op in own if group.startswith(begins)]
        weights = settled(weights_bytes(replace(program, groups=groups), program.sizes, precision))
        passes = int(settled(resolve(groups[0].again, program.sizes)))
        if passes:
            yield Component(name, passes, sum(times), int(weights))
