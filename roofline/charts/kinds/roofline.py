"""The roofline chart: how fast each operator runs, how fast it could, and which roof it is under.

Source: Williams, Waterman and Patterson 2009, Roofline: an insightful visual performance model, CACM 52(4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, bound_entry, draw_legend, phase_entry
from roofline.charts.drawing.placement import Field, rings, segment_marks
from roofline.charts.drawing.scales import Scale, frame, si
from roofline.charts.drawing.sheet import Sheet, measure, names, rounded
from roofline.charts.drawing.theme import DEVICE_SHAPES, SHAPES
from roofline.charts.marks.numbering import Picture, draw_names, draw_points, number_points, split_sheet
from roofline.charts.marks.points import (
    Ceilings,
    Measured,
    Point,
    as_list,
    ceilings_of,
    device_of,
    distinct_label,
    inputs_of,
    label_of,
    points_of,
    trust_of,
)
from roofline.charts.marks.roofs import Roof, draw_roofs, label_ridge, lead, mark_roofs, roofs_of
from roofline.errors import UsageError, near_matches
from roofline.prediction.predict import Prediction
from roofline.units import format_quantity


def draw_roofline(
    predictions: Prediction | Sequence[Prediction],
    *,
    measured: Measured | None = None,
    every_roof: bool = True,
    theme: str = "light",
    size: str = "slide",
    ax: Axes | None = None,
) -> Figure:
    """The operators of one or several predictions under their roofs.

    ``measured`` maps (phase, operator) to seconds of all its repeats in one step, for the first prediction; crosses
    show them. ``every_roof`` draws units and dtypes that the prediction does not use, too. Raises UsageError for no
    prediction, an unknown theme or size, or a measured operator that the prediction does not have.
    """
    several = as_list(predictions)
    sheet = Sheet.open(theme, size, ax, tall=1.62 if size == "column" else 1.0)
    _check_measured(several[0], measured)
    points, ceilings = points_of(several, measured), [ceilings_of(p) for p in several]
    picture = Picture(sheet, several, points, ("FLOP/B", "time", "share", "to roof"), _cells)
    sheet.head(_title(several), _subtitle(several))
    sheet.foot(trust_of(*several))
    plot, table = split_sheet(picture)
    legend = draw_legend(sheet, _legend(picture, measured is not None), plot[0], plot[2], plot[1])
    axes, room = _axes(sheet, points, ceilings, (plot[0], legend + 0.5 * sheet.line, plot[2], plot[3]))
    roofs = _roofs(picture, ceilings, axes, every_roof)
    places = mark_roofs(sheet, axes, roofs, room)
    draw_points(picture, axes, room)
    _draw_measured(sheet, axes, points)
    draw_roofs(sheet, axes, roofs, places, room)
    for each, colour in zip(ceilings, _colours(picture), strict=True):
        label_ridge(sheet, axes, each, room, colour, len(several) > 1)
    if len(several) == 1:
        _shade(sheet, axes, ceilings[0])
    _draw_arrow(picture, points, axes, room)
    number_points(picture, axes, room, int((table[3] - table[1]) / sheet.line) - 1)
    draw_names(picture, table)
    return sheet.figure


def describe_roofline(predictions: Prediction | Sequence[Prediction]) -> str:
    """The chart in words, for those who cannot see it."""
    sentences = []
    for prediction in as_list(predictions):
        ceilings = ceilings_of(prediction)
        phases = [
            f"{phase} takes {format_quantity(whole.figures.time_s, 'time_s')} a step, {whole.figures.bound_by}-bound"
            for phase, whole in prediction.phases.items()
        ]
        sentences.append(
            f"Roofline of {label_of(prediction)} ({inputs_of(prediction)}): {'; '.join(phases)}; the expected ridge "
            f"point is {ceilings.expected.ridge_point:.3g} FLOP/B, by the data sheet {ceilings.rated.ridge_point:.3g}."
        )
    return " ".join(sentences)


def _title(several: list[Prediction]) -> str:
    if len(several) == 1:
        return label_of(several[0])
    models = [p.model.name for p in several]
    devices = [device_of(p) for p in several]
    return f"{names(models)} on {names(devices)}"


def _subtitle(several: list[Prediction]) -> str:
    if len(several) > 1:
        return inputs_of(several[0])
    verdicts = [
        f"{name} {format_quantity(phase.figures.time_s, 'time_s')}, {phase.figures.bound_by}-bound"
        for name, phase in several[0].phases.items()
    ]
    return f"{' · '.join(verdicts)} ({inputs_of(several[0])})"


def _legend(picture: Picture, measured: bool) -> list[Entry]:
    theme = picture.sheet.theme
    phases = list(dict.fromkeys(point.phase for point in picture.points))
    bounds = [b for b in ("memory", "compute", "latency", "link") if any(p.bound_by == b for p in picture.points)]
    several = len(picture.predictions) > 1
    found = [] if picture.shaped_by_device else [phase_entry(phase, theme) for phase in phases]
    found += [bound_entry(bound, theme, SHAPES[phases[0]], theme.muted if several else None) for bound in bounds]
    found.append(Entry("area: share of the phase's time"))
    strong = theme.muted if several else theme.ink
    found += [Entry("expected roof", line="-", edge=strong, width=1.8), Entry("data sheet", line="--", edge=strong)]
    if measured:
        found.append(Entry("measured", "x", "", theme.ink, theme.ink))
    if several:
        for index, prediction in enumerate(picture.predictions):
            colour, label = theme.series[index % 6], distinct_label(picture.predictions, prediction)
            shape = DEVICE_SHAPES[index % 6] if picture.shaped_by_device else ""
            found.append(Entry(label, shape, "" if shape else "-", colour, colour, width=1.0 if shape else 3.0))
    return found


def _axes(
    sheet: Sheet, points: list[Point], ceilings: list[Ceilings], box: tuple[float, float, float, float]
) -> tuple[Axes, Field]:
    """Log-log axes over all points and around the ridge points, and the room for labels in them."""
    ridges = [c.expected.ridge_point for c in ceilings]
    peaks = [max(c.rated.compute.rate, c.expected.compute.rate) for c in ceilings]
    xs = [p.intensity for p in points] + [min(ridges) / 8, max(ridges) * 20]
    ys = [p.rate for p in points] + [p.measured_rate for p in points if p.measured_rate] + [min(peaks) / 40]
    x = Scale(min(xs) / 2.2, max(xs) * 2.2, "arithmetic intensity (FLOP/B)", text=si())
    y = Scale(min(ys) / 2.5, max(peaks) * 3.2, "attained rate (FLOP/s)", text=si())
    ax = frame(sheet, box, x, y)
    (x0, y0), (x1, y1) = sheet.locate(ax, x.low, y.low), sheet.locate(ax, x.high, y.high)
    return ax, Field(x0 + 2, y0 + 2, x1 - 1, y1 - 1)


def _roofs(picture: Picture, ceilings: list[Ceilings], ax: Axes, every: bool) -> list[Roof]:
    theme, several = picture.sheet.theme, len(ceilings) > 1
    found = []
    for index, each in enumerate(ceilings):
        strong = _colours(picture)[index]
        colours = (strong, strong if several else theme.muted)
        found += roofs_of(each, ax.get_xlim(), ax.get_ylim()[0], colours, every and not several)
    return found


def _colours(picture: Picture) -> list[str]:
    """The colour of the roofs of each prediction."""
    theme, count = picture.sheet.theme, len(picture.predictions)
    return [theme.ink] if count == 1 else [theme.series[index % 6] for index in range(count)]


def _shade(sheet: Sheet, ax: Axes, ceilings: Ceilings) -> None:
    """A breath of colour under the roof: memory binds to the left of the ridge, compute to the right."""
    theme = sheet.theme
    (low, high), floor = ax.get_xlim(), ax.get_ylim()[0]
    peak, ridge = ceilings.expected.compute.rate, ceilings.expected.ridge_point
    start = max(low, floor * ridge / peak)
    ax.fill([start, ridge, ridge, start], [start * peak / ridge, peak, floor, floor],
            color=theme.bound["memory"], alpha=0.07, linewidth=0, zorder=1)  # fmt: skip
    ax.fill([ridge, high, high, ridge], [peak, peak, floor, floor],
            color=theme.bound["compute"], alpha=0.07, linewidth=0, zorder=1)  # fmt: skip


def _cells(point: Point) -> tuple[str, ...]:
    time = format_quantity(point.time_s, "time_s")
    return rounded(point.intensity), time, f"{point.share:.1%}", f"{rounded(point.headroom, 2)}x"


def _check_measured(prediction: Prediction, measured: Measured | None) -> None:
    known = {(phase, op.name) for phase, whole in prediction.phases.items() for op in whole.operators}
    if lost := [" ".join(key) for key in measured or () if key not in known]:
        msg = f"measured {lost[0]}: no such operator; {near_matches(lost[0], (' '.join(key) for key in known))}"
        raise UsageError(msg)


def _draw_measured(sheet: Sheet, ax: Axes, points: list[Point]) -> None:
    """Crosses at the measured rates, tied to the expected ones."""
    theme = sheet.theme
    for point in points:
        if point.measured_rate:
            ax.plot([point.intensity] * 2, [point.rate, point.measured_rate], color=theme.muted, linewidth=0.6,
                    linestyle="-", zorder=3, marker="none")  # fmt: skip
            ax.plot([point.intensity], [point.measured_rate], marker="x", markersize=0.6 * sheet.size.small,
                    color=theme.ink, markeredgewidth=1.1, linestyle="none", zorder=6,
                    gid=f"measured:{point.phase}:{point.name}")  # fmt: skip


def _draw_arrow(picture: Picture, points: list[Point], ax: Axes, room: Field) -> None:
    """From the operator with the most to gain, in seconds, up to its roof, and how many times faster that is."""
    sheet = picture.sheet
    found = max(points, key=lambda point: point.share * (1 - 1 / point.headroom), default=None)
    if found is None or found.headroom < 1.05:
        return
    start = sheet.locate(ax, found.intensity, found.rate)
    end = sheet.locate(ax, found.intensity, found.roof)
    radius = picture.diameter(found) / 2
    if end[1] - start[1] > radius + 4:
        ax.annotate("", xy=(found.intensity, found.roof), xytext=(found.intensity, found.rate), zorder=5,
                    arrowprops={"arrowstyle": "-|>", "color": sheet.theme.ink, "linewidth": 1.1, "shrinkA": radius,
                                "shrinkB": 0, "mutation_scale": 0.9 * sheet.size.small})  # fmt: skip
        room.mark(segment_marks(np.array([(start[0], start[1] + radius + 4), end])))
    whose = f" on {picture.predictions[found.series].hardware.name}" if len(picture.predictions) > 1 else ""
    words = f"{found.name}{whose}: {rounded(found.headroom, 2)}x to its roof"
    width, height = measure(words, sheet.size.small, "bold")
    centre = (start[0], (start[1] + end[1]) / 2)
    spots, costs = rings(centre, width, height, max(radius, 3.0), 110.0)
    spot = room.place(width, height, spots, costs=costs, origin=centre)
    if spot:
        sheet.write(spot, words, align=("center", "center"), weight="bold", plate=True)
        lead(sheet, centre, spot, width, height, 1.0)
