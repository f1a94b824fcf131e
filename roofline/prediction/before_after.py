"""Before and after: a prediction beside the same question without pruning, sparsity and quantisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from roofline.classes import frozen
from roofline.compression.adapters import beside
from roofline.compression.recipes import read_recipe
from roofline.compression.transform import NOTHING
from roofline.cost.memory_fit import MemoryFit
from roofline.prediction.figures import Figures, PhasePrediction
from roofline.prediction.host_memory import kept_in_host
from roofline.prediction.request import Request
from roofline.program.merging import run_by
from roofline.program.phases import Phase
from roofline.units import Dimension


class Predicted(Protocol):
    """What is compared of a prediction."""

    @property
    def parameters(self) -> int: ...

    @property
    def memory(self) -> MemoryFit: ...

    @property
    def phases(self) -> Mapping[Phase, PhasePrediction]: ...

    @property
    def request_s(self) -> float: ...


@frozen
class Change:
    """A figure before and after. ``name`` carries its unit; ``dimension`` is None for words."""

    name: str
    before: Any
    after: Any
    dimension: Dimension | None = None

    @property
    def ratio(self) -> float | None:
        """After / before; None for words and for nothing."""
        return self.after / self.before if self.dimension and self.before else None

    def to_dict(self) -> dict[str, Any]:
        """The change as the JSON of ``predict`` has it."""
        return {"name": self.name, "before": self.before, "after": self.after, "ratio": self.ratio}


def uncompressed(request: Request) -> Request | None:
    """The same question of the whole network, in the dtype of what the recipe leaves alone.

    None where nothing is pruned, left out or stored with scales.
    """
    if not (request.compression.words or request.recipe.quantizes):
        return None
    recipe = read_recipe(request.recipe.base, default=request.recipe.base)
    whole = run_by(request.engine, request.model.program(request.conventions), beside(request.adapters))
    return replace(
        request,
        program=kept_in_host(whole, request.asked["offload"], request.device, recipe.precision),
        recipe=recipe,
        compression=NOTHING,
        storage=(),
    )


def changes(before: Predicted, after: Predicted, *, lone: bool = False) -> tuple[Change, ...]:
    """Parameters, memory, and for each phase FLOPs, bytes, time and what binds it, before and after.

    ``lone``: one decode step was asked for, not a request.
    """
    was, now = before.memory, after.memory
    held, holds = was.footprint, now.footprint
    found = [
        Change("parameters", before.parameters, after.parameters, "flops"),
        Change("weights_bytes", held.weights_bytes, holds.weights_bytes, "bytes"),
        Change("kv_cache_bytes", held.kv_cache_bytes, holds.kv_cache_bytes, "bytes"),
        Change("total_bytes", was.total_bytes, now.total_bytes, "bytes"),
        Change("max_batch", was.max_batch, now.max_batch, "flops" if was.max_batch else None),
    ]
    for phase in before.phases:
        found += _of_phase(phase, before.phases[phase].figures, after.phases[phase].figures)
    if not lone:
        found.append(Change("request_s", before.request_s, after.request_s, "time_s"))
    return tuple(found)


def _of_phase(phase: str, before: Figures, after: Figures) -> Iterator[Change]:
    dimensions: dict[str, Dimension] = {"flops": "flops", "vector_flops": "flops", "bytes": "bytes", "time_s": "time_s"}
    for name, dimension in dimensions.items():
        yield Change(f"{phase}.{name}", getattr(before, name), getattr(after, name), dimension)
    yield Change(f"{phase}.bound_by", before.bound_by, after.bound_by)
