"""The plane of seconds: bytes / bandwidth across, work / peak up, by the data sheet; distance is time.

Arcs join what is expected to take as long, the diagonal is the ridge, and inside the square of the latency nothing but
the launch matters. Operators of one intensity lie on one line, the larger the farther out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.calibration.constants import Constants
from roofline.charts.drawing.legend import Entry, bound_entry, draw_legend, phase_entry
from roofline.charts.drawing.placement import Field, segment_marks
from roofline.charts.drawing.scales import Scale, frame, si
from roofline.charts.drawing.sheet import Sheet, measure, names
from roofline.charts.drawing.theme import SHAPES
from roofline.charts.marks.numbering import Picture, draw_names, draw_points, number_points, split_sheet
from roofline.charts.marks.points import inputs_of, label_of, trust_of, vector_peak
from roofline.classes import frozen
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase
from roofline.units import format_quantity

LEAST = 1e-4
"""Seconds below this part of the longest are drawn at the edge."""


@frozen
class Spot:
    """One execution of an operator: its memory and its compute seconds by the data sheet. [s]"""

    series: int
    phase: Phase
    name: str
    count: int
    share: float
    time_s: float
    bound_by: str
    latency_s: float
    memory_s: float
    compute_s: float
    place: tuple[float, float]

    @property
    def once_s(self) -> float:
        """The expected time of one execution. [s]"""
        return self.time_s / self.count


def spots_of(prediction: Prediction) -> list[Spot]:
    """Every operator, phase by phase, the longest first; means over the steps of a decode phase."""
    vector = vector_peak(prediction)
    raw = []
    for phase, whole in prediction.phases.items():
        for op in sorted(whole.operators, key=lambda op: -op.figures.time_s):
            f = op.figures
            if not f.time_s:
                continue  # a host that the device never waits for
            compute = f.mfu * f.time_s + (f.vector_flops / vector[1] if vector else 0.0)
            raw.append((phase, op, f.time_s / whole.figures.time_s, f.mbu * f.time_s / op.count, compute / op.count))
    floor = LEAST * max((max(memory, compute) for *_, memory, compute in raw), default=1.0)
    return [
        Spot(0, phase, op.name, op.count, share, op.figures.time_s, op.figures.bound_by,
             op.figures.shares.latency * op.figures.time_s / op.count, memory, compute,
             (max(memory, floor), max(compute, floor)))
        for phase, op, share, memory, compute in raw
    ]  # fmt: skip


def draw_timeplane(
    prediction: Prediction, *, theme: str = "light", size: str = "slide", ax: Axes | None = None
) -> Figure:
    """The operators of a prediction in the plane of seconds, one execution each."""
    sheet = Sheet.open(theme, size, ax, tall=1.62 if size == "column" else 1.0)
    spots = spots_of(prediction)
    picture = Picture(sheet, [prediction], spots, ("compute", "memory", "once", "share"), _cells)
    sheet.head(f"{label_of(prediction)}: distance is time", inputs_of(prediction))
    sheet.foot(trust_of(prediction))
    plot, table = split_sheet(picture)
    legend = draw_legend(sheet, _legend(sheet, spots), plot[0], plot[2], plot[1])
    axes, room = _axes(sheet, spots, (plot[0], legend + 0.5 * sheet.line, plot[2], plot[3]))
    _draw_balance(sheet, axes, _reached(prediction), room)
    draw_points(picture, axes, room)
    _draw_latency(sheet, axes, spots, room)
    _draw_arcs(sheet, axes, _reached(prediction), room)
    number_points(picture, axes, room, int((table[3] - table[1]) / sheet.line) - 1)
    draw_names(picture, table)
    return sheet.figure


def describe_timeplane(prediction: Prediction) -> str:
    """The chart in words, for those who cannot see it."""
    told = []
    reached = _reached(prediction)
    tilt = reached.compute / reached.memory
    for phase in prediction.phases:
        spots = [spot for spot in spots_of(prediction) if spot.phase == phase]
        inside = sum(spot.latency_s > max(spot.memory_s, spot.compute_s) for spot in spots)
        above = sum(spot.compute_s > tilt * spot.memory_s for spot in spots)
        told.append(
            f"{phase}: {above} of {len(spots)} operators above the diagonal, {inside} shorter than their latency"
        )
    return f"Compute seconds over memory seconds of {label_of(prediction)} ({inputs_of(prediction)}); {names(told)}."


def timeplane_rows(prediction: Prediction) -> list[dict[str, Any]]:
    """The data behind the chart: a row per operator, seconds of one execution."""
    return [
        {"model": prediction.model.name, "hardware": prediction.hardware.name, "phase": s.phase, "operator": s.name,
         "count": s.count, "memory_s": s.memory_s, "compute_s": s.compute_s, "latency_s": s.latency_s,
         "time_s": s.once_s, "share_of_phase": s.share, "bound_by": s.bound_by}
        for s in spots_of(prediction)
    ]  # fmt: skip


def _reached(prediction: Prediction) -> Constants:
    return prediction.constants.of("matmul", prediction.steps.machine.execution, dtype=prediction.recipe.compute_dtype)


def _cells(spot: Spot) -> tuple[str, ...]:
    times = (spot.compute_s, spot.memory_s, spot.once_s)
    return (*(format_quantity(time, "time_s") if time >= 1e-12 else "0" for time in times), f"{spot.share:.1%}")


def _legend(sheet: Sheet, spots: list[Spot]) -> list[Entry]:
    theme = sheet.theme
    phases = list(dict.fromkeys(spot.phase for spot in spots))
    bounds = [b for b in ("memory", "compute", "latency", "link") if any(s.bound_by == b for s in spots)]
    edged = any(spot.place != (spot.memory_s, spot.compute_s) for spot in spots)
    return [
        *(phase_entry(phase, theme) for phase in phases),
        *(bound_entry(bound, theme, SHAPES[phases[0]]) for bound in bounds),
        Entry("area: share of the phase's time"),
        Entry("compute = memory, expected", line="-", edge=theme.ink, width=1.4),
        *([Entry("at the edge: shorter than shown")] if edged else []),
        Entry("as long, expected, without latency", line="--", edge=theme.muted, width=0.8),
    ]


def _axes(sheet: Sheet, spots: list[Spot], box: tuple[float, float, float, float]) -> tuple[Axes, Field]:
    sides = [side for spot in spots for side in spot.place]
    low, high = min(sides) / 2, max(sides) * 3
    x = Scale(low, high, "memory time: bytes / bandwidth", text=si("s"))
    y = Scale(low, high, "compute time: FLOPs / peak", text=si("s"))
    ax = frame(sheet, box, x, y)
    (x0, y0), (x1, y1) = sheet.locate(ax, low, low), sheet.locate(ax, high, high)
    return ax, Field(x0 + 2, y0 + 2, x1 - 1, y1 - 1)


def _draw_balance(sheet: Sheet, ax: Axes, reached: Constants, room: Field) -> None:
    """The ridge as a line: above it compute takes longer at the rates reached, below it memory."""
    theme, (low, high) = sheet.theme, ax.get_xlim()
    tilt = reached.compute / reached.memory
    ax.plot([low, high], [low * tilt, high * tilt], color=theme.ink, linewidth=1.4, linestyle="-", marker="none",
            zorder=2, gid="balance")  # fmt: skip
    edge, ends = [low, high, high, low], (low * tilt, high * tilt)
    ax.fill(edge, [*ends, high * 10, high * 10], color=theme.bound["compute"], alpha=0.06, linewidth=0, zorder=1)
    ax.fill(edge, [*ends, low / 10, low / 10], color=theme.bound["memory"], alpha=0.06, linewidth=0, zorder=1)
    room.mark(segment_marks(np.array([sheet.locate(ax, low, ends[0]), sheet.locate(ax, high, ends[1])])))


def _draw_latency(sheet: Sheet, ax: Axes, spots: list[Spot], room: Field) -> None:
    """The square of the shortest latency, named along its upper edge."""
    latency = min(spot.latency_s for spot in spots)
    low = ax.get_xlim()[0]
    if latency <= low:
        return
    ax.fill([low, latency, latency, low], [low, low, latency, latency], facecolor=sheet.theme.bound["latency"],
            edgecolor=sheet.theme.bound["latency"], alpha=0.16, linewidth=0, zorder=1, gid="latency")  # fmt: skip
    words = f"latency {format_quantity(latency, 'time_s')}"
    width, height = measure(words, sheet.size.small)
    x0, _ = sheet.locate(ax, low, latency)
    x1, top = sheet.locate(ax, latency, latency)
    spots_there = [
        (x, y) for y in (top - 0.7 * height, top + 0.8 * height) for x in np.linspace(x0 + width / 2 + 3, x1, 12)
    ]
    if spot := room.place(width, height, [(float(x), float(y)) for x, y in spots_there]):
        sheet.write(spot, words, align=("center", "center"), colour=sheet.theme.ink)


def _draw_arcs(sheet: Sheet, ax: Axes, reached: Constants, room: Field) -> None:
    """What is expected to take as long, a decade apart: ((x / e_m)^p + (y / e_c)^p)^(1/p) = t."""
    (low, high), p = ax.get_xlim(), reached.p
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        t = 10.0**power
        right, top = t * reached.memory, t * reached.compute
        x = np.geomspace(min(low, right), right, 400)
        y = top * (np.ones_like(x) if math.isinf(p) else (1 - np.clip(x / right, 0, 1) ** p) ** (1 / p))
        x, y = np.append(x, right), np.append(y, low / 10)
        ax.plot(x, y, color=sheet.theme.muted, linewidth=0.8, linestyle="--", marker="none", zorder=2, gid=f"arc:{t:g}")
        words = si("s")(t)
        width, height = measure(words, sheet.size.small)
        corner = 2 ** (-1 / p)
        places = ((right * corner, top * corner), (right, low * 3), (low * 3, top))
        if spot := room.place(width, height, [sheet.locate(ax, *place) for place in places], price=25.0):
            sheet.write(spot, words, align=("center", "center"), colour=sheet.theme.muted, plate=True)
