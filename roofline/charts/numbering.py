"""Operators as numbered points, and the table that gives each number its name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes

from roofline.charts.legend import Entry, Row, bound_style, draw_table
from roofline.charts.placement import Field, boxes_around, rings, segment_marks
from roofline.charts.points import Ceilings, Point, distinct_label
from roofline.charts.roofs import lead
from roofline.charts.sheet import Sheet, measure, rounded
from roofline.charts.theme import SHAPES, ink_on
from roofline.prediction import Prediction
from roofline.program import Phase
from roofline.units import format_quantity

LARGEST, LEAST = 3.6, 0.6
"""Diameters of the marker of an operator that takes all of its phase's time, and of the smallest. [heights of type]"""


@dataclass(slots=True)
class Picture:
    """What is drawn, and the numbers that operators have got."""

    sheet: Sheet
    predictions: list[Prediction]
    ceilings: list[Ceilings]
    points: list[Point]
    numbers: dict[int, int] = field(default_factory=dict)  # index of a point -> its number

    def colour(self, point: Point) -> str | None:
        """Of its series where there are several, else None: of what binds."""
        return self.sheet.theme.series[point.series % 6] if len(self.predictions) > 1 else None

    def diameter(self, point: Point) -> float:
        """The area is the share of the phase's time, down to a marker that is just seen. [pt]"""
        return self.sheet.size.small * max(LARGEST * math.sqrt(point.share), LEAST)


def draw_points(picture: Picture, ax: Axes, room: Field) -> None:
    """A marker per operator, small ones above large ones; crosses where there are measurements."""
    theme = picture.sheet.theme
    order = sorted(range(len(picture.points)), key=lambda index: -picture.points[index].share)
    for index in order:
        point = picture.points[index]
        diameter = picture.diameter(point)
        style = bound_style(point.bound_by, theme, picture.colour(point))
        ax.scatter([point.intensity], [point.rate], s=diameter**2, marker=SHAPES[point.phase], zorder=4, alpha=0.92,
                   gid=f"operator:{point.series}:{point.phase}:{point.name}", **style)  # fmt: skip
        room.mark(boxes_around([picture.sheet.locate(ax, point.intensity, point.rate)], 0.8 * diameter, 0.8 * diameter))
        if point.measured_rate:
            ax.plot([point.intensity] * 2, [point.rate, point.measured_rate], color=theme.muted, linewidth=0.6,
                    linestyle="-", zorder=3, marker="none")  # fmt: skip
            ax.plot([point.intensity], [point.measured_rate], marker="x", markersize=0.6 * picture.sheet.size.small,
                    color=theme.ink, markeredgewidth=1.1, linestyle="none", zorder=6,
                    gid=f"measured:{point.phase}:{point.name}")  # fmt: skip


def draw_arrow(picture: Picture, ax: Axes, room: Field) -> None:
    """From the operator with the most to gain, in seconds, up to its roof, and how many times faster that is."""
    sheet = picture.sheet
    found = max(picture.points, key=lambda point: point.share * (1 - 1 / point.headroom), default=None)
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
    words = f"to the roof: up to {rounded(found.headroom, 2)}x"
    width, height = measure(words, sheet.size.small, "bold")
    centre = (start[0], (start[1] + end[1]) / 2)
    spots, costs = rings(centre, width, height, max(radius, 3.0), 110.0)
    spot = room.place(width, height, spots, costs=costs, origin=centre)
    if spot:
        sheet.write(*spot, words, ha="center", weight="bold", plate=True)
        lead(sheet, centre, spot, width, height, 1.0)


def number_points(picture: Picture, ax: Axes, room: Field, lines: int) -> None:
    """Numbers for as many operators as the table has lines for, those that take most time.

    Points on one spot share a label. What finds no place stays without a number, and the table says how much that is.
    """
    sheet, points = picture.sheet, picture.points
    chosen = _chosen(picture, lines)
    centres = {index: sheet.locate(ax, points[index].intensity, points[index].rate) for index in chosen}
    placed: list[tuple[list[int], tuple[float, float], float]] = []
    for group in _together(chosen, centres):
        first = group[0]
        diameter = picture.diameter(points[first])
        width, height = measure(",".join(["88"] * len(group)), sheet.size.small, "bold")
        spots, costs = rings(centres[first], width, height, diameter / 2, 90.0)
        if math.hypot(width, 0.7 * height) < diameter:  # inside its own marker, which is no obstacle to it
            spots, costs = [centres[first], *spots], [-40.0, *costs]
        if spot := room.place(width, height, spots, costs=costs, origin=centres[first]):
            placed.append((group, spot, diameter / 2))
    ranks = sorted(index for group, _, _ in placed for index in group)  # the order of the table: by phase, by share
    picture.numbers = {index: rank + 1 for rank, index in enumerate(ranks)}
    for group, spot, radius in placed:
        _write_number(picture, group, spot, centres[group[0]], radius)


def _chosen(picture: Picture, lines: int) -> list[int]:
    """The operators that the table has room to name, those first that take the largest share of their phase."""
    points = picture.points
    blocks = list(dict.fromkeys((point.series, point.phase) for point in points))
    columns = 2 if picture.sheet.narrow and len(blocks) > 1 else 1
    room = [lines] * columns
    for index in range(len(blocks)):
        room[index % columns] -= 2  # a heading, and a line for the rest
    chosen = []
    for index in sorted(range(len(points)), key=lambda index: -points[index].share):
        column = blocks.index((points[index].series, points[index].phase)) % columns
        if room[column] > 0:
            room[column] -= 1
            chosen.append(index)
    return chosen


def _together(chosen: list[int], centres: dict[int, tuple[float, float]]) -> list[list[int]]:
    """Points closer than a point of type, as one group."""
    groups: list[list[int]] = []
    for index in chosen:
        near = (g for g in groups if len(g) < 4 and math.dist(centres[g[0]], centres[index]) < 1.0)
        group = next(near, None)
        if group is None:
            groups.append([index])
        else:
            group.append(index)
    return groups


def _write_number(
    picture: Picture, group: list[int], spot: tuple[float, float], centre: tuple[float, float], radius: float
) -> None:
    sheet, point = picture.sheet, picture.points[group[0]]
    words = ",".join(str(number) for number in sorted(picture.numbers[index] for index in group))
    inside = spot == centre
    style = bound_style(point.bound_by, sheet.theme, picture.colour(point))
    colour = ink_on(style["facecolors"], sheet.theme) if inside else sheet.theme.ink
    sheet.write(*spot, words, ha="center", weight="bold", colour=colour, plate=not inside)
    if not inside:
        lead(sheet, centre, spot, *measure(words, sheet.size.small, "bold"), radius)


def draw_names(picture: Picture, box: tuple[float, float, float, float]) -> None:
    """Number, operator, intensity, time, share and headroom, phase by phase; the rest of a phase in one line."""
    sheet = picture.sheet
    blocks = _blocks(picture)
    header = ("#", "operator", "FLOP/B", "time", "share", "to roof")
    keep = (0, 1, 4, 5) if sheet.narrow and len(blocks) > 1 else tuple(range(6))

    def narrowed(row: Row) -> Row:
        return row if row.heading else Row(tuple(row.cells[c] for c in keep), row.mark, muted=row.muted)

    columns = 2 if sheet.narrow and len(blocks) > 1 else 1
    width = (box[2] - box[0] - (columns - 1) * 1.5 * sheet.size.small) / columns
    for column in range(columns):
        rows = [narrowed(row) for block in blocks[column::columns] for row in block]
        left = box[0] + column * (width + 1.5 * sheet.size.small)
        draw_table(sheet, narrowed(Row(header)), rows, left, left + width, box[3])


def _blocks(picture: Picture) -> list[list[Row]]:
    """The lines of each phase of each prediction, a heading first."""
    blocks = []
    numbered = sorted(picture.numbers, key=lambda index: picture.numbers[index])
    for (series, phase), members in groupby(
        range(len(picture.points)), key=lambda i: (picture.points[i].series, picture.points[i].phase)
    ):
        whole = list(members)
        shown = [index for index in numbered if index in whole]
        rows = [Row((_heading(picture, series, phase),), heading=True), *(_name(picture, index) for index in shown)]
        rows += _others(picture, shown, series, phase)
        blocks.append(rows)
    return blocks


def _heading(picture: Picture, series: int, phase: Phase) -> str:
    prediction = picture.predictions[series]
    time = format_quantity(prediction.phases[phase].figures.time_s, "time_s")
    if len(picture.predictions) == 1:
        return f"{phase}, one step, {time}"
    return f"{distinct_label(picture.predictions, prediction)}, {phase}, {time}"


def _name(picture: Picture, index: int) -> Row:
    point, theme = picture.points[index], picture.sheet.theme
    style = bound_style(point.bound_by, theme, picture.colour(point))
    mark = Entry("", SHAPES[point.phase], "", style["facecolors"], style["edgecolors"], width=style["linewidths"])
    cells = (
        str(picture.numbers[index]),
        point.name,
        rounded(point.intensity),
        format_quantity(point.time_s, "time_s"),
        f"{point.share:.1%}",
        f"{rounded(point.headroom, 2)}x",
    )
    return Row(cells, mark)


def _others(picture: Picture, shown: list[int], series: int, phase: Phase) -> list[Row]:
    """What the phase has besides: operators without a number, those that do no FLOP included."""
    whole = picture.predictions[series].phases[phase]
    rest = len(whole.operators) - len(shown)
    time = whole.figures.time_s - sum(picture.points[index].time_s for index in shown)
    if not rest:
        return []
    share = f"{max(time, 0.0) / whole.figures.time_s:.1%}"
    return [Row(("", f"{rest} more", "", format_quantity(max(time, 0.0), "time_s"), share, ""), muted=True)]
