"""What would help: a tornado of the time saved or lost with ten percent more or less of each rate."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.scales import Scale, frame
from roofline.charts.drawing.sheet import Sheet, measure, names, rounded, shorten
from roofline.charts.marks.points import inputs_of, label_of, trust_of
from roofline.prediction.predict import Prediction
from roofline.prediction.sensitivity import Sensitivity, find_elasticities
from roofline.program.phases import Phase
from roofline.units import format_quantity


def draw_sensitivity(
    prediction: Prediction, *, theme: str = "light", size: str = "slide", ax: Axes | None = None
) -> Figure:
    """A panel a phase, a bar a rate, the most important on top: exact times with the rate times and over 1.1."""
    sheet = Sheet.open(theme, size, ax, tall=1.15 if size == "column" else 1.0)
    sheet.head(f"{label_of(prediction)}: what ten percent would change", inputs_of(prediction))
    sheet.foot(trust_of(prediction))
    muted = sheet.theme.muted
    entries = [
        Entry("10% better (latency: shorter)", fill=muted, hatch=""),
        Entry("as much worse", fill=muted, hatch="////"),
    ]
    sheet.y0 = draw_legend(sheet, entries, sheet.x0, sheet.x1, sheet.y0) + 0.5 * sheet.line
    for phase, box in zip(prediction.phases, sheet.panels(len(prediction.phases)), strict=True):
        _draw_phase(sheet, phase, find_elasticities(prediction, phase), box)
    return sheet.figure


def describe_sensitivity(prediction: Prediction) -> str:
    """The chart in words, for those who cannot see it."""
    told = []
    for phase in prediction.phases:
        found = find_elasticities(prediction, phase)
        parts = [
            f"{one.resource.name} by {rounded(100 * one.saved, 2)}%" for one in found[:3] if one.elasticity > 0.005
        ]
        told.append(f"{phase}: {', '.join(parts)}")
    changes = "10% more of one rate or 10% less latency"
    return f"How much faster a step gets with {changes}, {label_of(prediction)}: {names(told)}."


def sensitivity_rows(prediction: Prediction) -> list[dict[str, Any]]:
    """The data behind the chart: a row per phase and rate."""
    return [
        {"model": prediction.model.name, "hardware": prediction.hardware.name, "phase": phase,
         "rate": one.resource.name,
         "time_s": one.time_s, "time_better_s": one.better_s, "time_worse_s": one.worse_s, "elasticity": one.elasticity}
        for phase in prediction.phases
        for one in find_elasticities(prediction, phase)
    ]  # fmt: skip


def _draw_phase(sheet: Sheet, phase: Phase, found: list[Sensitivity], box: tuple[float, float, float, float]) -> None:
    points, theme = sheet.size.small, sheet.theme
    x0, y0, x1, y1 = box
    title = f"{phase}, one step: {format_quantity(found[0].time_s, 'time_s')}"
    sheet.write((x0, y1), shorten(title, points, x1 - x0, "bold"), align=("left", "top"), weight="bold")
    changes = [(100 * (one.better_s / one.time_s - 1), 100 * (one.worse_s / one.time_s - 1)) for one in found]
    labels = tuple((float(i), shorten(one.resource.name, points, 0.38 * (x1 - x0))) for i, one in enumerate(found))
    room = x1 - x0 - max(measure(label, points)[0] for _, label in labels) - 2 * points
    tail = max(measure(_told(change), points, "bold")[0] for pair in changes for change in pair) + points
    reach = max(max(-low, high) for low, high in changes) / max(1 - 2 * tail / room, 0.3)
    x = Scale(-reach, reach, "change of the step's time (%)", log=False, text=lambda v: f"{v:+g}" if v else "0")
    y = Scale(len(found) - 0.4, -0.6, "", log=False, ticks=labels, grid=False)
    ax = frame(sheet, (x0, y0, x1, y1 - 1.2 * sheet.line), x, y)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.axvline(0.0, color=theme.muted, linewidth=0.8, zorder=4)
    for index, (one, (better, worse)) in enumerate(zip(found, changes, strict=True)):
        for name, change in (("better", better), ("worse", worse)):
            ax.barh(
                index, change, height=0.6, facecolor=theme.bound[one.resource.part], edgecolor=theme.paper,
                linewidth=0.0, hatch="////" if name == "worse" else None, zorder=3,
                gid=f"{phase}:{one.resource.name}:{name}",
            )  # fmt: skip
            at, middle = sheet.locate(ax, change, index)
            shift = 0.4 * points * (1 if name == "worse" else -1)
            sheet.write(
                (at + shift, middle),
                _told(change),
                align=("left" if name == "worse" else "right", "center"),
                weight="bold",
            )


def _told(change: float) -> str:
    return f"{change:+.1f}%" if abs(change) >= 0.05 else "<0.1%"
