"""The roofs of a roofline: lines of slope one and plateaus, their names along them, and the ridge points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from roofline.charts.drawing.placement import Field, rings, segment_marks
from roofline.charts.drawing.sheet import Sheet, measure
from roofline.charts.marks.points import Ceilings, Line
from roofline.classes import frozen
from roofline.units import format_quantity

RATED: Final = (0.0, (4.0, 2.2))
FAINT: Final = (0.0, (1.0, 1.8))


Style: TypeAlias = Literal["-"] | tuple[float, tuple[float, ...]]


@frozen
class Roof:
    """One drawn line, in data coordinates, and what is written along it."""

    gid: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    words: tuple[str, ...]  # the first that finds room
    above: bool
    style: Style
    colour: str
    width: float


def roofs_of(
    ceilings: Ceilings, span: tuple[float, float], floor: float, colours: tuple[str, str], every: bool
) -> list[Roof]:
    """The roofs over the intensities of ``span`` above ``floor``: expected solid, data sheet dashed, the unused dotted.

    ``colours`` are those of the roof that binds and of the others; ``every`` draws what is not used, too.
    """
    low, high = span
    found = _binding(ceilings, span, floor, colours[0])
    if not every:
        return found
    top = max(each.bandwidth.rate for each in (ceilings.rated, ceilings.expected))
    others = [line for line in ceilings.compute[1:] if line.rated > 1.2 * floor]
    found += [_plateau(line, max(low, line.rated / top), high, colours[1]) for line in others]
    peak = ceilings.rated.compute.rate
    for line in ceilings.memory[1:]:
        start, end = max(low, floor / line.rated), peak / line.rated
        words = f"{line.name.upper()} {format_quantity(line.rated, 'bytes_per_s')}"
        if end > start:
            rates = (start * line.rated, peak)
            found.append(
                Roof(f"roof:memory:{line.name}:rated", (start, end), rates, (words,), True, FAINT, colours[1], 1)
            )
    return found


def _binding(ceilings: Ceilings, span: tuple[float, float], floor: float, colour: str) -> list[Roof]:
    """The roofs of main memory and of the contractions, by the data sheet and, where it is another, as expected."""
    found = []
    same, memory, compute = not ceilings.differ, ceilings.memory[0], ceilings.compute[0]
    for kind, roofs in {"rated": ceilings.rated, "expected": ceilings.expected}.items():
        if kind == "rated" and same:
            continue
        bandwidth, peak = roofs.bandwidth.rate, roofs.compute.rate
        rates = format_quantity(bandwidth, "bytes_per_s"), format_quantity(peak, "flops_per_s")
        full = f"{memory.name.upper()} {rates[0]}", f"{compute.name} {rates[1]}"
        solid = kind == "expected"
        words = [(f"{r} expected", r) if solid and not same else (f, r) for f, r in zip(full, rates, strict=True)]
        style: Style = "-" if solid else RATED
        look = (not solid or same, style, colour, 1.8 if solid else 1.1)
        start, ridge = max(span[0], floor / bandwidth), roofs.ridge_point
        sloped = Roof(f"roof:memory:{memory.name}:{kind}", (start, ridge), (start * bandwidth, peak), words[0], *look)
        found += [sloped, Roof(f"roof:compute:{compute.name}:{kind}", (ridge, span[1]), (peak, peak), words[1], *look)]
    return found


def _plateau(line: Line, start: float, high: float, colour: str) -> Roof:
    rate = format_quantity(line.rated, "flops_per_s")
    if " fp" not in line.name and "bf16" not in line.name and "tf32" not in line.name:
        rate = rate.replace("FLOP", "OP")  # integers alone
    words = f"{line.name} {rate}"
    brief = words.partition(" ")[2]
    style = RATED if line.expected else FAINT
    name = f"roof:compute:{line.name}:rated"
    return Roof(name, (start, high), (line.rated, line.rated), (words, brief), True, style, colour, 0.9)


def mark_roofs(sheet: Sheet, ax: Axes, roofs: Sequence[Roof], field: Field) -> list[int]:
    """Let labels keep off the lines; returns the place of each line among the field's marks."""
    places = []
    for roof in roofs:
        ends = np.array([sheet.locate(ax, x, y) for x, y in zip(roof.x, roof.y, strict=True)])
        places.append(len(field.marks))
        field.mark(segment_marks(ends))
    return places


def draw_roofs(sheet: Sheet, ax: Axes, roofs: Sequence[Roof], places: Sequence[int], field: Field) -> None:
    """The lines, each with its name along it on its own side; a roof that binds nothing is drawn only if named."""
    for roof, place in zip(roofs, places, strict=True):
        named = _name(sheet, ax, roof, place, field)
        if named or roof.style is not FAINT:
            ax.plot(roof.x, roof.y, linestyle=roof.style, color=roof.colour, linewidth=roof.width, gid=roof.gid,
                    solid_capstyle="round", marker="none", zorder=2)  # fmt: skip


def _name(sheet: Sheet, ax: Axes, roof: Roof, place: int, field: Field) -> bool:
    """Write a roof's name where it lies on nothing; whether there was such a place."""
    (ax0, ay0), (ax1, ay1) = (sheet.locate(ax, x, y) for x, y in zip(roof.x, roof.y, strict=True))
    angle = math.degrees(math.atan2(ay1 - ay0, ax1 - ax0))
    length = math.hypot(ax1 - ax0, ay1 - ay0)
    for words in roof.words:
        width, height = measure(words, sheet.size.small)
        if width + 6 >= length:
            continue
        off = (0.5 * height + 2.2) * (1 if roof.above else -1)
        shift = (-math.sin(math.radians(angle)) * off, math.cos(math.radians(angle)) * off)
        reach = (width / 2 + 3) / length
        along = [float(part) for part in np.linspace(reach, 1 - reach, 32)]
        along.sort(key=lambda part: -part if angle < 1 else abs(part - 0.62))
        spots = [(ax0 + t * (ax1 - ax0) + shift[0], ay0 + t * (ay1 - ay0) + shift[1]) for t in along]
        if spot := field.place_slanted(width, height, angle, spots, place):
            sheet.write(spot, words, colour=roof.colour, align=("center", "center"), rotation=angle)
            return True
    return False


def label_ridge(sheet: Sheet, ax: Axes, ceilings: Ceilings, field: Field, colour: str, brief: bool) -> None:
    """Where the expected roofs meet, and in brackets where those of the data sheet do. [FLOP/B]"""
    expected, rated = ((roof.ridge_point, roof.compute.rate) for roof in (ceilings.expected, ceilings.rated))
    ax.plot([expected[0]], [expected[1]], marker="o", markersize=4.5, color=colour, linestyle="none",
            markeredgecolor=sheet.theme.paper, markeredgewidth=0.6, gid="ridge:expected", zorder=3)  # fmt: skip
    words = f"ridge {expected[0]:.3g} FLOP/B"
    if ceilings.differ:
        ax.plot([rated[0]], [rated[1]], marker="o", markersize=4.0, markerfacecolor=sheet.theme.paper, linestyle="none",
                markeredgecolor=colour, markeredgewidth=1.0, gid="ridge:rated", zorder=3)  # fmt: skip
        if not brief and f"{rated[0]:.3g}" != f"{expected[0]:.3g}":
            words += f" (data sheet {rated[0]:.3g})"
    centre = sheet.locate(ax, *expected)
    width, height = measure(words, sheet.size.small)
    spots, costs = rings(centre, width, height, 3.0, 120.0)
    below = [(s, c) for s, c in zip(spots, costs, strict=True) if s[1] < centre[1] - height]
    spot = (
        field.place(width, height, [s for s, _ in below], costs=[c for _, c in below], price=150.0) if below else None
    )
    if spot is not None:
        sheet.write(spot, words, align=("center", "center"), colour=sheet.theme.ink)
        lead(sheet, centre, spot, width, height, 3.0)


def lead(
    sheet: Sheet, centre: tuple[float, float], spot: tuple[float, float], width: float, height: float, radius: float
) -> None:
    """A thin line from a mark to its label where the label stands off."""
    near = (
        min(max(centre[0], spot[0] - width / 2), spot[0] + width / 2),
        min(max(centre[1], spot[1] - height / 2), spot[1] + height / 2),
    )
    distance = math.hypot(near[0] - centre[0], near[1] - centre[1])
    if distance < radius + 3.5:
        return
    start = tuple(c + (n - c) * radius / distance for c, n in zip(centre, near, strict=True))
    sheet.add(
        Line2D(
            [start[0], near[0]], [start[1], near[1]], color=sheet.theme.muted, linewidth=0.6, linestyle="-", zorder=5
        )
    )
