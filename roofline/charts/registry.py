"""The kinds of charts by name: what each needs to be asked, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from roofline.buying.api import compare as serve_and_compare
from roofline.charts.kinds import (
    breakdown,
    compare,
    front,
    memory,
    regime,
    roofline,
    sensitivity,
    side_by_side,
    timeplane,
    validation,
    waterfall,
)
from roofline.charts.marks.measured import measured_phases, read_measured, read_pairs
from roofline.charts.marks.points import point_rows
from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.models.model import Model
from roofline.options.keywords import part
from roofline.options.option import fields_of
from roofline.options.verbs.pictures import PlotOptions
from roofline.options.verbs.serving import CompareOptions
from roofline.prediction.predict import Prediction, predict
from roofline.prediction.regime_maps import map_regimes
from roofline.program.phases import Phase


@frozen
class Drawn:
    """A picture, the rows behind it, and the sentence that describes it."""

    figure: Figure
    rows: list[dict[str, Any]]
    words: str


@frozen
class Request:
    """What was asked: models and devices, the keywords of ``predict``, and how the picture should look."""

    models: tuple[str | Model, ...]
    devices: tuple[str, ...]
    keywords: Mapping[str, Any]
    over: str | None = None
    measured: Path | None = None
    look: Mapping[str, Any] = field(default_factory=dict)

    def predictions(self) -> list[Prediction]:
        """One prediction for each model on each device."""
        return [predict(model, device, **self.keywords) for model in self.models for device in self.devices]

    @property
    def count(self) -> int:
        """How many predictions are asked for."""
        return len(self.models) * len(self.devices)

    def one(self, kind: str) -> Prediction:
        """The one prediction of a kind that shows one. Raises UsageError where several were asked for."""
        if self.count > 1:
            msg = f"{kind} shows one model on one device; give one of each, or plot roofline or compare"
            raise UsageError(msg)
        return self.predictions()[0]

    def over_lengths(self) -> list[Prediction]:
        """The same for ever longer prompts, or contexts of a decode step, up to the model's positions."""
        (model,), (device,) = self.models, self.devices
        base = predict(model, device, **self.keywords)
        word = "prompt" if self.keywords.get("context") is None else "context"
        kept = {name: value for name, value in self.keywords.items() if name != word}
        allowed, behind = base.model.lengths, base.workload.decoder_start is not None
        if allowed.whole:
            msg = f"--over context: {base.model.name} reads whole images, {allowed.positions} tokens each"
            raise UsageError(msg)
        most = allowed.positions if word == "prompt" else allowed.output
        if word == "prompt" and Phase.DECODE in base.phases:
            most -= 0 if behind else base.workload.generate
            kept["generate"] = base.workload.generate
        lengths = _spread(min(128, most // 2), most, 28)
        return [predict(model, device, **{**kept, word: length}) for length in lengths]

    def over_batches(self) -> list[Prediction]:
        """The same for batches 1, 2, 4 ... up to the largest that fits, or 512."""
        (model,), (device,) = self.models, self.devices
        most = min(predict(model, device, **self.keywords).memory.max_batch or 512, 512)
        batches = [2**power for power in range(10) if 2**power <= max(most, 2)]
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
    if request.over is None and request.count > 1:
        beside = request.predictions()
        figure = side_by_side.draw_breakdowns(beside, **request.look)
        return Drawn(figure, side_by_side.breakdowns_rows(beside), side_by_side.describe_breakdowns(beside))
    prediction = request.one("breakdown")
    if request.over is None:
        figure = breakdown.draw_breakdown(prediction, **request.look)
        return Drawn(figure, breakdown.breakdown_rows(prediction), breakdown.describe_breakdown(prediction))
    several = request.over_batches()
    figure = breakdown.draw_breakdown_over_batch(several, **request.look)
    rows = [{"batch": p.workload.batch, **row} for p in several for row in breakdown.breakdown_rows(p)]
    return Drawn(figure, rows, breakdown.describe_breakdown_over_batch(several))


def _compare(request: Request) -> Drawn:
    if request.over == "cost":
        return _front(request)
    predictions = request.predictions()
    figure = compare.draw_compare(predictions, **request.look)
    return Drawn(figure, compare.compare_rows(predictions), compare.describe_compare(predictions))


_OF_SERVING = {each.name for each in fields_of(CompareOptions)} - {"batch"}


def _front(request: Request) -> Drawn:
    """What serving costs against how fast it is, over the batches: those of ``compare``, not one that is given."""
    if len(request.models) > 1:
        msg = "compare --over cost shows one model on several devices; give one model"
        raise UsageError(msg)
    for each in fields_of(PlotOptions):
        given = request.keywords.get(each.name)
        if each.name not in _OF_SERVING and given not in (each.option.default, None):
            hint = "compare --over cost looks at every batch of a whole request; leave it out"
            msg = f"{each.flags[0]} {shown(given)}: {hint}"
            raise UsageError(msg)
    result = serve_and_compare(request.models[0], request.devices, **part(CompareOptions, request.keywords))
    figure = front.draw_front(result, **request.look)
    return Drawn(figure, front.front_rows(result), front.describe_front(result))


def _waterfall(request: Request) -> Drawn:
    prediction = request.one("waterfall")
    measured = measured_phases(request.measured, prediction) if request.measured else None
    figure = waterfall.draw_waterfall(prediction, measured_s=measured, **request.look)
    rows = waterfall.waterfall_rows(prediction, measured)
    return Drawn(figure, rows, waterfall.describe_waterfall(prediction, measured))


def _memory(request: Request) -> Drawn:
    if request.over is None and request.count > 1:
        beside = request.predictions()
        figure = side_by_side.draw_memories(beside, **request.look)
        return Drawn(figure, side_by_side.memories_rows(beside), side_by_side.describe_memories(beside))
    over, first = request.over or "batch", request.one("memory")
    if over == "batch":
        most = 2.5 * (first.memory.max_batch or 64)
        batches = _spread(1, int(max(min(most, 1e6), 8)), 28)
        (model,), (device,) = request.models, request.devices
        several = [predict(model, device, **{**request.keywords, "batch": batch}) for batch in batches]
    else:
        several = request.over_lengths()
    figure = memory.draw_memory(several, over=over, **request.look)
    return Drawn(figure, memory.memory_rows(several, over), memory.describe_memory(several, over))


def _regime(request: Request) -> Drawn:
    """One device: what binds. Two: the first against the second."""
    predictions = request.predictions()
    if len(predictions) > 2:
        msg = "regime shows what binds on one device, or how much faster the first of two is; give one or two"
        raise UsageError(msg)
    phase = Phase.DECODE if Phase.DECODE in predictions[0].phases else next(iter(predictions[0].phases))
    allowed = predictions[0].model.lengths
    most = allowed.output if phase.one_token else allowed.positions
    batches = np.geomspace(1, 1024, 72).tolist()
    lengths = np.geomspace(min(128, max(most // 16, 1)), most, 96).tolist()
    maps = [map_regimes(prediction, phase, batches, lengths) for prediction in predictions]
    if len(maps) == 1:
        figure = regime.draw_regime(maps[0], **request.look)
        return Drawn(figure, regime.regime_rows(maps[0]), regime.describe_regime(maps[0]))
    figure = regime.draw_speed_up(maps[0], maps[1], **request.look)
    return Drawn(figure, regime.regime_rows(*maps), regime.describe_speed_up(*maps))


def _sensitivity(request: Request) -> Drawn:
    prediction = request.one("sensitivity")
    figure = sensitivity.draw_sensitivity(prediction, **request.look)
    return Drawn(figure, sensitivity.sensitivity_rows(prediction), sensitivity.describe_sensitivity(prediction))


def _timeplane(request: Request) -> Drawn:
    prediction = request.one("timeplane")
    figure = timeplane.draw_timeplane(prediction, **request.look)
    return Drawn(figure, timeplane.timeplane_rows(prediction), timeplane.describe_timeplane(prediction))


def _validation(request: Request) -> Drawn:
    """The first name is a table of measured operators; with a device they are timed here."""
    (table, *more), device = request.models, next(iter(request.devices), None)
    if more or len(request.devices) > 1:
        msg = "validation shows one table, timed on one device at most"
        raise UsageError(msg)
    file = Path(str(table))
    pairs = read_pairs(file, device, request.keywords)
    title = f"{file.name} on {device}" if device else file.name
    figure = validation.draw_validation(pairs, f"Predicted against measured: {title}", **request.look)
    return Drawn(figure, validation.validation_rows(pairs), validation.describe_validation(pairs))


def _spread(low: int, high: int, count: int) -> list[int]:
    """About ``count`` whole numbers, evenly apart in logarithms, both ends among them."""
    return [int(value) for value in np.unique(np.round(np.geomspace(max(low, 1), high, count)))]


KINDS: dict[str, Callable[[Request], Drawn]] = {
    "roofline": _roofline,
    "breakdown": _breakdown,
    "compare": _compare,
    "memory": _memory,
    "regime": _regime,
    "sensitivity": _sensitivity,
    "timeplane": _timeplane,
    "validation": _validation,
    "waterfall": _waterfall,
}
OVER: dict[str, tuple[str, ...]] = {"breakdown": ("batch",), "compare": ("cost",), "memory": ("batch", "context")}
MEASURED = ("roofline", "waterfall")
