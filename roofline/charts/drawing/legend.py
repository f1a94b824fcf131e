"""Legends and tables of names: small marks with words, laid out by measured text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from roofline.charts.drawing.sheet import Sheet, measure, shorten
from roofline.charts.drawing.theme import HATCHES, SHAPES, Theme
from roofline.classes import frozen


@frozen
class Entry:
    """A line of a legend: a marker, a line or a patch, and what it means."""

    words: str
    marker: str = ""
    line: Literal["", "-", "--"] = ""
    fill: str = "none"
    edge: str = "none"
    hatch: str | None = None
    width: float = 1.2


def bound_style(bound: str, theme: Theme, colour: str | None = None) -> dict[str, Any]:
    """Fill and edge of a marker: memory plain, compute ringed, latency hollow, link hollow and dashed."""
    own = colour or theme.bound[bound]
    hollow = bound in ("latency", "link")
    return {
        "facecolors": theme.paper if hollow else own,
        "edgecolors": theme.ink if bound == "compute" else own if hollow else theme.paper,
        "linewidths": {"compute": 1.1, "memory": 0.5}.get(bound, 1.5),
        "linestyles": "--" if bound == "link" else "-",
    }


def bound_entry(bound: str, theme: Theme, marker: str, colour: str | None = None) -> Entry:
    """How a bound is marked on a point."""
    style = bound_style(bound, theme, colour)
    return Entry(f"{bound}-bound", marker, "", style["facecolors"], style["edgecolors"], width=style["linewidths"])


def phase_entry(phase: str, theme: Theme) -> Entry:
    """How a phase is marked on a point."""
    return Entry(phase, SHAPES[phase], "", theme.paper, theme.ink, width=1.0)


def part_entry(part: str, theme: Theme) -> Entry:
    """How a part of the time is marked on a bar."""
    return Entry(part, fill=theme.bound[part], hatch=HATCHES[part])


def draw_legend(sheet: Sheet, entries: Sequence[Entry], x0: float, x1: float, y: float, *, up: bool = True) -> float:
    """Entries in as many lines as they need from ``x0`` to ``x1``, up from ``y`` or down; returns their end."""
    points, line = sheet.size.small, sheet.line
    mark, gap = 1.9 * points, 1.4 * points
    rows: list[list[tuple[float, Entry]]] = [[]]
    x = x0
    for entry in entries:
        width = _indent(entry, mark) + measure(entry.words, points)[0]
        if rows[-1] and x + width > x1:
            rows.append([])
            x = x0
        rows[-1].append((x, entry))
        x += width + gap
    for index, row in enumerate(reversed(rows) if up else rows):
        middle = y + (index + 0.5) * line * (1 if up else -1)
        for left, entry in row:
            draw_mark(sheet, entry, left + 0.2 * points, middle)
            room = x1 - left - _indent(entry, mark)
            sheet.write((left + _indent(entry, mark), middle), shorten(entry.words, points, room))
    return y + len(rows) * line * (1 if up else -1)


def _indent(entry: Entry, mark: float) -> float:
    return mark if entry.marker or entry.line or entry.hatch is not None else 0.0


def draw_mark(sheet: Sheet, entry: Entry, x: float, y: float, side: float | None = None) -> None:
    """The mark of an entry, in a field of about one em that begins at ``x``."""
    points = sheet.size.small
    width, y = side or 1.35 * points, y + 0.08 * points  # the middle of small letters is above that of their box
    if entry.hatch is not None:
        height = 0.75 * points
        patch = Rectangle((x, y - height / 2), width, height, facecolor=entry.fill, edgecolor=sheet.theme.paper,
                          hatch=entry.hatch, linewidth=0)  # fmt: skip
        sheet.add(patch)
    if entry.line:
        colour = entry.edge
        sheet.add(Line2D([x, x + width], [y, y], color=colour, linestyle=entry.line, linewidth=entry.width))
    if entry.marker:
        sheet.add(Line2D([x + width / 2], [y], marker=entry.marker, markersize=0.72 * points, linestyle="none",
                         markerfacecolor=entry.fill, markeredgecolor=entry.edge,
                         markeredgewidth=entry.width))  # fmt: skip


@frozen
class Row:
    """A line of a table of names; a heading has no mark."""

    cells: tuple[str, ...]
    mark: Entry | None = None
    heading: bool = False
    muted: bool = False


def draw_table(
    sheet: Sheet, header: Row, rows: Sequence[Row], x0: float, x1: float, y: float, left: Sequence[int] = (0, 1)
) -> float:
    """A table downwards from ``y``; columns of ``left`` are left-aligned. The second column gives way if need be."""
    points, gap = sheet.size.small, 0.9 * sheet.size.small
    mark = 1.5 * points
    body = [row for row in rows if not row.heading]
    widths = [max(measure(row.cells[c], points)[0] for row in [header, *body]) for c in range(len(header.cells))]
    spare = (x1 - x0) - mark - sum(widths) - gap * (len(widths) - 1)
    widths[1] = max(3 * points, widths[1] + min(spare, 0.0))
    starts = [x0 + mark + sum(widths[:c]) + gap * c for c in range(len(widths))]
    for index, row in enumerate([header, *rows]):
        middle = y - (index + 0.5) * sheet.line
        colour = sheet.theme.muted if row is header or row.muted else sheet.theme.ink
        if row.mark:
            draw_mark(sheet, row.mark, x0, middle, side=points)
        if row.heading:
            text = shorten(row.cells[0], points, x1 - x0, "bold")
            sheet.write((x0, middle), text, weight="bold")
            continue
        for column, cell in enumerate(row.cells):
            if not cell:
                continue
            text = shorten(cell, points, widths[column] + 0.5) if column == 1 else cell
            at = starts[column] if column in left else starts[column] + widths[column]
            sheet.write((at, middle), text, align=("left" if column in left else "right", "center"), colour=colour)
    return y - (len(rows) + 1) * sheet.line
