"""Before and after: a prediction beside the same question without pruning, sparsity and quantisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from roofline.compression.recipes import read_recipe
from roofline.compression.transform import NOTHING
from roofline.prediction.figures import Figures
from roofline.prediction.predict import Prediction, predict_request
from roofline.units import Dimension


@dataclass(frozen=True, slots=True)
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


def is_compressed(prediction: Prediction) -> bool:
    """Whether there is a before: anything pruned, left out or stored with scales."""
    return bool(prediction.compression.words) or prediction.recipe.quantizes


def baseline(prediction: Prediction) -> Prediction:
    """The same question of the whole network, in the same layout and in the dtype of what the recipe leaves alone."""
    request = prediction.request
    whole = replace(
        request,
        program=request.model.program(request.conventions),
        recipe=read_recipe(request.recipe.base, default=request.recipe.base),
        compression=NOTHING,
        storage=(),
    )
    return predict_request(whole, prediction.layout)


def changes(before: Prediction, after: Prediction) -> list[Change]:
    """Parameters, memory, and for each phase FLOPs, bytes, time and what binds it, before and after."""
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
    if after.workload.context is None:
        found.append(Change("request_s", before.request_s, after.request_s, "time_s"))
    return found


def _of_phase(phase: str, before: Figures, after: Figures) -> Iterator[Change]:
    dimensions: dict[str, Dimension] = {"flops": "flops", "vector_flops": "flops", "bytes": "bytes", "time_s": "time_s"}
    for name, dimension in dimensions.items():
        yield Change(f"{phase}.{name}", getattr(before, name), getattr(after, name), dimension)
    yield Change(f"{phase}.bound_by", before.bound_by, after.bound_by)
