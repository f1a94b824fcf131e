"""Operators as numbered points, and the table that gives each number its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from matplotlib.axes import Axes

from roofline.charts.drawing.legend import Entry, Row, bound_style, draw_table
from roofline.charts.drawing.placement import Field, boxes_around, rings
from roofline.charts.drawing.sheet import Sheet, measure
from roofline.charts.drawing.theme import DEVICE_SHAPES, SHAPES, ink_on
from roofline.charts.marks.points import distinct_label
from roofline.charts.marks.roofs import lead
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase
from roofline.units import format_quantity

LARGEST, LEAST = 3.6, 0.6
"""Diameters of the marker of an operator that takes all of its phase's time, and of the smallest. [heights of type]"""

AMONG_DEVICES = 0.6
"""So much smaller are markers where several devices have the same operators at the same intensity."""


class Placed(Protocol):
    """An operator that has a place in some plane."""

    @property
    def series(self) -> int: ...
    @property
    def phase(self) -> Phase: ...
    @property
    def name(self) -> str: ...
    @property
    def share(self) -> float: ...
    @property
    def time_s(self) -> float: ...
    @property
    def bound_by(self) -> str: ...
    @property
    def place(self) -> tuple[float, float]: ...


@dataclass(slots=True)
class Picture:
    """What is drawn, and the numbers that operators have got.

    ``columns`` are the table's columns after number and operator, ``cells`` what stands in them; narrow tables keep the
    last two.
    """

    sheet: Sheet
    predictions: list[Prediction]
    points: Sequence[Placed]
    columns: tuple[str, ...]
    cells: Callable[[Any], tuple[str, ...]]
    numbers: dict[int, int] = field(default_factory=dict)  # index of a point -> its number

    def colour(self, point: Placed) -> str | None:
        """Of its series where there are several, else None: of what binds."""
        return self.sheet.theme.series[point.series % 6] if len(self.predictions) > 1 else None

    def diameter(self, point: Placed) -> float:
        """The area is the share of the phase's time, down to a marker that is just seen. [pt]"""
        among = AMONG_DEVICES if len(self.predictions) > 1 else 1.0
        return self.sheet.size.small * max(among * LARGEST * math.sqrt(point.share), LEAST)

    def shape(self, point: Placed) -> str:
        """Of its phase; where several devices are of one phase, of its device."""
        return DEVICE_SHAPES[point.series % 6] if self.shaped_by_device else SHAPES[point.phase]

    @property
    def shaped_by_device(self) -> bool:
        """Whether shapes tell devices apart, not phases."""
        return len(self.predictions) > 1 and len({point.phase for point in self.points}) == 1


def draw_points(picture: Picture, ax: Axes, room: Field) -> None:
    """A marker per operator, small ones above large ones."""
    theme = picture.sheet.theme
    order = sorted(range(len(picture.points)), key=lambda index: -picture.points[index].share)
    for index in order:
        point = picture.points[index]
        diameter = picture.diameter(point)
        style = bound_style(point.bound_by, theme, picture.colour(point))
        ax.scatter([point.place[0]], [point.place[1]], s=diameter**2, marker=picture.shape(point), zorder=4, alpha=0.92,
                   gid=f"operator:{point.series}:{point.phase}:{point.name}", **style)  # fmt: skip
        room.mark(boxes_around([picture.sheet.locate(ax, *point.place)], 0.8 * diameter, 0.8 * diameter), weight=3)


def number_points(picture: Picture, ax: Axes, room: Field, lines: int) -> None:
    """Numbers for as many operators as the table has lines for, those that take most time.

    Points on one spot share a label. What finds no place stays without a number, and the table says how much that is.
    """
    sheet, points = picture.sheet, picture.points
    chosen = _chosen(picture, lines)
    centres = {index: sheet.locate(ax, *points[index].place) for index in chosen}
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
    sheet.write(spot, words, align=("center", "center"), weight="bold", colour=colour, plate=not inside)
    if not inside:
        lead(sheet, centre, spot, *measure(words, sheet.size.small, "bold"), radius)


def draw_names(picture: Picture, box: tuple[float, float, float, float]) -> None:
    """Number, operator, intensity, time, share and headroom, phase by phase; the rest of a phase in one line."""
    sheet = picture.sheet
    blocks = _blocks(picture)
    header = ("#", "operator", *picture.columns)
    count = len(header)
    keep = (0, 1, count - 2, count - 1) if sheet.narrow and len(blocks) > 1 else tuple(range(count))

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
    mark = Entry("", picture.shape(point), "", style["facecolors"], style["edgecolors"], width=style["linewidths"])
    return Row((str(picture.numbers[index]), point.name, *picture.cells(point)), mark)


def _others(picture: Picture, shown: list[int], series: int, phase: Phase) -> list[Row]:
    """What the phase has besides: operators without a number, those that do no FLOP included."""
    whole = picture.predictions[series].phases[phase]
    rest = len(whole.operators) - len(shown)
    time = whole.figures.time_s - sum(picture.points[index].time_s for index in shown)
    if not rest:
        return []
    share = f"{max(time, 0.0) / whole.figures.time_s:.1%}"
    told = {"time": format_quantity(max(time, 0.0), "time_s"), "share": share}
    return [Row(("", f"{rest} more", *(told.get(column, "") for column in picture.columns)), muted=True)]


def split_sheet(picture: Picture) -> tuple[tuple[float, float, float, float], tuple[float, float, float, float]]:
    """The rectangles of the plot and of the names: side by side, or one above the other where it is narrow."""
    sheet = picture.sheet
    if not sheet.narrow:
        longest = max((measure(point.name, sheet.size.small)[0] for point in picture.points), default=0.0)
        edge = sheet.x1 - min(longest + 23 * sheet.size.small, 0.45 * sheet.width)
        return (sheet.x0, sheet.y0, edge - 2 * sheet.size.small, sheet.y1), (edge, sheet.y0, sheet.x1, sheet.y1)
    blocks = len({(point.series, point.phase) for point in picture.points})
    lines = min(len(picture.points) // max(min(blocks, 2), 1) + 4, 15, int(0.42 * sheet.height / sheet.line))
    edge = sheet.y0 + lines * sheet.line
    return (sheet.x0, edge + 0.6 * sheet.line, sheet.x1, sheet.y1), (sheet.x0, sheet.y0, sheet.x1, edge)
