"""From the bound to what is expected, and to what was measured: which loss costs how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.charts.drawing.scales import Scale, frame, si
from roofline.charts.drawing.sheet import Sheet, measure, names, shorten, wrap
from roofline.charts.drawing.theme import ink_on
from roofline.charts.marks.points import inputs_of, label_of, trust_of
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.prediction.figures import PhasePrediction
from roofline.prediction.predict import Prediction
from roofline.units import format_quantity


@frozen
class Step:
    """A bar from ``start`` to ``end`` seconds: a level that stands on the floor, or a loss on top of the last bar."""

    name: str
    start: float
    end: float
    role: str


def steps_of(phase: PhasePrediction, measured_s: float | None = None) -> list[Step]:
    """Bound, lost efficiency, latency, expected; then the rest and what was measured. [s]

    Efficiency is all that sustained rates, the soft corner and work beside the contractions add to the bound.
    """
    f = phase.figures
    latency = f.shares.latency * f.time_s
    efficient = f.time_s - latency
    steps = [
        Step("bound", 0.0, f.bound_s, "level"),
        Step(
            "efficiency", f.bound_s, efficient, max(("memory", "compute", "link"), key=lambda x: getattr(f.shares, x))
        ),
        Step("latency", efficient, f.time_s, "latency"),
        Step("expected", 0.0, f.time_s, "level"),
    ]
    if measured_s is None:
        return steps
    return [*steps, Step("not explained", f.time_s, measured_s, "rest"), Step("measured", 0.0, measured_s, "level")]


def draw_waterfall(
    prediction: Prediction,
    *,
    measured_s: Mapping[str, float] | None = None,
    theme: str = "light",
    size: str = "slide",
    ax: Axes | None = None,
) -> Figure:
    """A panel a phase; ``measured_s`` maps a phase to the seconds of one step. Raises UsageError for another phase."""
    measured = dict(measured_s or {})
    if lost := [phase for phase in measured if phase not in prediction.phases]:
        msg = f"measured phase {lost[0]!r}: the prediction has {', '.join(prediction.phases)}"
        raise UsageError(msg)
    count = len(prediction.phases)
    sheet = Sheet.open(theme, size, ax, tall=1.5 if size == "column" and count > 1 else 1.0)
    sheet.head(f"{label_of(prediction)}: from the bound to the expected time", inputs_of(prediction))
    sheet.foot(trust_of(prediction))
    for (name, phase), box in zip(prediction.phases.items(), sheet.panels(count), strict=True):
        _draw_phase(sheet, name, phase, steps_of(phase, measured.get(name)), box)
    return sheet.figure


def describe_waterfall(prediction: Prediction, measured_s: Mapping[str, float] | None = None) -> str:
    """The chart in words, for those who cannot see it."""
    told = []
    for name, phase in prediction.phases.items():
        steps = steps_of(phase, (measured_s or {}).get(name))
        parts = [
            f"{step.name} {_seconds(step.end)}" if step.role == "level" else f"{step.name} {_signed(step)}"
            for step in steps
        ]
        told.append(f"a step of {name}: {', '.join(parts)}")
    return f"From the bound to the expected time of {label_of(prediction)} ({inputs_of(prediction)}): {names(told)}."


def waterfall_rows(prediction: Prediction, measured_s: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """The data behind the chart: a row per bar."""
    return [
        {"model": prediction.model.name, "hardware": prediction.hardware.name, "phase": name, "bar": step.name,
         "start_s": step.start, "end_s": step.end}
        for name, phase in prediction.phases.items()
        for step in steps_of(phase, (measured_s or {}).get(name))
    ]  # fmt: skip


def _draw_phase(
    sheet: Sheet, name: str, phase: PhasePrediction, steps: list[Step], box: tuple[float, float, float, float]
) -> None:
    points, theme = sheet.size.small, sheet.theme
    x0, y0, x1, y1 = box
    gain = phase.figures.time_s / phase.figures.bound_s
    title = f"{name}, one step: {_seconds(phase.figures.time_s)}, {gain:.2g}x the bound"
    sheet.write((x0, y1), shorten(title, points, x1 - x0, "bold"), align=("left", "top"), weight="bold")
    band = [phase.figures.low_s, phase.figures.high_s]
    highest = max([step.end for step in steps] + band)
    room = (x1 - x0 - 5 * points) / len(steps) - 0.5 * points
    y = Scale(0.0, highest * 1.12, "time", log=False, text=si("s"))
    x = Scale(-0.6, len(steps) - 0.4, "", log=False, ticks=(), grid=False)
    ax = frame(sheet, (x0, y0 + sheet.line, x1, y1 - 1.2 * sheet.line), x, y)
    ax.tick_params(axis="x", length=0)
    for index, step in enumerate(steps):
        colour = theme.ink if step.name == "measured" else theme.muted if step.role in ("level", "rest") else None
        ax.bar(index, step.end - step.start, bottom=step.start, width=0.62, facecolor=colour or theme.bound[step.role],
               edgecolor=theme.paper, linewidth=0.0, hatch="////" if step.role == "rest" else None, zorder=3,
               gid=f"{name}:{step.name}")  # fmt: skip
        if index + 1 < len(steps):
            ax.plot([index + 0.31, index + 1 - 0.31], [step.end] * 2, color=theme.muted, linewidth=0.7, linestyle="-",
                    marker="none", zorder=2)  # fmt: skip
        _label(sheet, ax, index, step, room)
    at = [step.name for step in steps].index("expected")
    if phase.figures.low_s < phase.figures.high_s:
        ax.plot([at, at], band, color=theme.ink, linewidth=1.2, linestyle="-", marker="_", markersize=0.9 * points,
            gid=f"{name}:band", zorder=4)  # fmt: skip


def _label(sheet: Sheet, ax: Axes, index: int, step: Step, room: float) -> None:
    """The name below the axis, the value above the bar, or in it where a band stands on it."""
    points = sheet.size.small
    value = _seconds(step.end) if step.role == "level" else _signed(step)
    at, top = sheet.locate(ax, index, max(step.start, step.end))
    _, floor = sheet.locate(ax, index, 0.0)
    if measure(value, points, "bold")[0] > room:
        value = value.replace(" ", "")
    if step.name == "expected" and top - floor > 4 * points:
        colour = ink_on(sheet.theme.muted, sheet.theme)
        sheet.write((at, floor + 1.2 * points), value, align=("center", "center"), weight="bold", colour=colour)
    else:
        sheet.write((at, top + 0.3 * points), value, align=("center", "bottom"), weight="bold")
    for line, words in enumerate(wrap(step.name, points, room + 0.3 * points, 2)):
        sheet.write((at, floor - 0.4 * points - line * sheet.line), words, align=("center", "top"))


def _signed(step: Step) -> str:
    change = step.end - step.start
    return f"{'+' if change >= 0 else '-'}{_seconds(abs(change))}"


def _seconds(value: float) -> str:
    return format_quantity(value, "time_s") if value else "0 s"
