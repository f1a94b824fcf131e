"""The kinds of charts by name: what each needs to be asked, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from roofline.charts import breakdown, roofline
from roofline.charts.measured import read_measured
from roofline.charts.points import point_rows
from roofline.errors import UsageError
from roofline.prediction import Prediction, predict


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture, the rows behind it, and the sentence that describes it."""

    figure: Figure
    rows: list[dict[str, Any]]
    words: str


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: models and devices, the keywords of ``predict``, and how the picture should look."""

    models: tuple[str, ...]
    devices: tuple[str, ...]
    keywords: Mapping[str, Any]
    over: str | None = None
    measured: Path | None = None
    look: Mapping[str, Any] = field(default_factory=dict)

    def predictions(self) -> list[Prediction]:
        """One prediction for each model on each device."""
        return [predict(model, device, **self.keywords) for model in self.models for device in self.devices]

    def one(self, kind: str) -> Prediction:
        """The one prediction of a kind that shows one. Raises UsageError where several were asked for."""
        if len(self.models) * len(self.devices) > 1:
            msg = f"{kind} shows one model on one device; give one of each, or plot roofline or compare"
            raise UsageError(msg)
        return self.predictions()[0]

    def over_batches(self) -> list[Prediction]:
        """The same for batches 1, 2, 4 ... up to the largest that fits, or 512."""
        (model,), (device,) = self.models, self.devices
        most = min(predict(model, device, **self.keywords).memory.max_batch or 512, 512)
        batches = [2**power for power in range(10) if 2**power <= most]
        return [predict(model, device, **{**self.keywords, "batch": batch}) for batch in batches]


def draw_kind(kind: str, request: Request) -> Drawn:
    """Draw what was asked. Raises UsageError for flags that do not go with the kind."""
    allowed = OVER.get(kind, ())
    if request.over is not None and request.over not in allowed:
        hint = f"{kind} goes over {' or '.join(allowed)}" if allowed else f"{kind} has no --over"
        msg = f"--over {request.over!r}: {hint}"
        raise UsageError(msg)
    if request.measured is not None and kind not in MEASURED:
        msg = f"--measured goes with {', '.join(MEASURED)}, not with {kind}"
        raise UsageError(msg)
    return KINDS[kind](request)


def _roofline(request: Request) -> Drawn:
    predictions = request.predictions()
    measured = read_measured(request.measured, predictions[0]) if request.measured else None
    figure = roofline.draw_roofline(predictions, measured=measured, **request.look)
    return Drawn(figure, point_rows(predictions, measured), roofline.describe_roofline(predictions))


def _breakdown(request: Request) -> Drawn:
    prediction = request.one("breakdown")
    if request.over is None:
        figure = breakdown.draw_breakdown(prediction, **request.look)
        return Drawn(figure, breakdown.breakdown_rows(prediction), breakdown.describe_breakdown(prediction))
    several = request.over_batches()
    figure = breakdown.draw_breakdown_over_batch(several, **request.look)
    rows = [{"batch": p.workload.batch, **row} for p in several for row in breakdown.breakdown_rows(p)]
    return Drawn(figure, rows, breakdown.describe_breakdown_over_batch(several))


KINDS: dict[str, Callable[[Request], Drawn]] = {"roofline": _roofline, "breakdown": _breakdown}
OVER: dict[str, tuple[str, ...]] = {"breakdown": ("batch",)}
MEASURED = ("roofline",)
