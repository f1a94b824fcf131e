"""What a sweep answered: the front of two columns, each point by its name; a column over two others as a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.placement import Field, rings, segment_marks
from roofline.charts.drawing.scales import Scale, frame, plain, si
from roofline.charts.drawing.sheet import Sheet, measure, rounded
from roofline.charts.drawing.theme import ink_on
from roofline.errors import UsageError
from roofline.number import Grid
from roofline.units import unit_in_name

_MARKERS = ("o", "s", "^", "D", "v", "P")


class Found(Protocol):
    """Rows of a sweep, what was asked in words, and of which columns it is: ``questions.Found``."""

    @property
    def words(self) -> str: ...

    @property
    def axes(self) -> tuple[str, ...]: ...

    @property
    def group(self) -> str | None: ...

    @property
    def pivoted(self) -> bool: ...

    @property
    def naming(self) -> tuple[str, ...]:
        """The columns that tell one row from others."""

    def rows(self) -> list[dict[str, Any]]: ...

    def more_is_better(self, name: str) -> bool:
        """Whether a larger value of a column is the better one."""


def draw_swept_front(found: Found, *, theme: str = "light", size: str = "slide", ax: Axes | None = None) -> Figure:
    """A line of each group through what nothing of it beats, each point by what sets it apart.

    Raises UsageError for more groups than can be told apart.
    """
    rows, (across, up) = found.rows(), found.axes
    groups = _groups(found, rows)
    sheet = Sheet.open(theme, size, ax)
    sheet.head(f"{_label(up)} against {_label(across)}", _shared(rows, found))
    sides = _better(found, across, "to the right", "to the left"), _better(found, up, "up", "down")
    sheet.foot(f"Better is {' and '.join(sides)}. {found.words}.")
    colours = sheet.theme.series
    entries = [Entry(name, _MARKERS[i], "-", colours[i % len(colours)], colours[i % len(colours)])
               for i, name in enumerate(groups) if found.group]  # fmt: skip
    if entries:
        sheet.y0 = draw_legend(sheet, entries, sheet.x0, sheet.x1, sheet.y0) + 0.5 * sheet.line
    x, y = (_scale(name, [row[name] for row in rows]) for name in found.axes)
    axes = frame(sheet, (sheet.x0, sheet.y0, sheet.x1, sheet.y1), x, y)
    corners = [sheet.locate(axes, *corner) for corner in ((x.low, y.low), (x.high, y.high))]
    room = Field(*corners[0], *corners[1])
    for i, (name, own) in enumerate(groups.items()):
        xs, ys = ([row[axis] for row in own] for axis in found.axes)
        colour = colours[i % len(colours)]
        axes.plot(xs, ys, color=colour, linewidth=1.2, marker=_MARKERS[i], markersize=0.55 * sheet.size.small,
                  gid=f"front:{name}", zorder=3)  # fmt: skip
        room.mark(segment_marks(np.array([sheet.locate(axes, *spot) for spot in zip(xs, ys, strict=True)])))
    _write_names(sheet, axes, room, rows, found)
    return sheet.figure


def _write_names(sheet: Sheet, axes: Axes, room: Field, rows: Sequence[Mapping[str, Any]], found: Found) -> None:
    """What sets each point of a line apart, beside it where there is room: the ends first, then what lies between."""
    lines = _groups(found, rows).values()
    apart = list(dict.fromkeys(name for own in lines for name in _varying(own, found) if name not in found.axes))
    count = len(rows)
    order = sorted(range(count), key=lambda place: (place not in (0, count - 1), place * 7919 % max(1, count)))
    for place in order:
        words = ", ".join(_told(name, rows[place][name]) for name in apart if rows[place][name] is not None)
        if not words:
            continue
        width, height = measure(words, sheet.size.small)
        centre = sheet.locate(axes, *(rows[place][axis] for axis in found.axes))
        spots, costs = rings(centre, width, height, 0.7 * sheet.size.small, 3.0 * sheet.size.small)
        if spot := room.place(width, height, spots, costs=costs, origin=centre):
            sheet.write(spot, words, align=("center", "center"), colour=sheet.theme.muted)


def draw_heat_map(found: Found, *, theme: str = "light", size: str = "slide", ax: Axes | None = None) -> Figure:
    """A cell of each pair of values, coloured by its logarithm: dark is better; numbers where they find room.

    Raises UsageError where nothing fits.
    """
    (down, across), name = found.axes, str(found.group)
    rows = found.rows()
    empty = "does not fit or has no row" if any(row[name] is None for row in rows) else "has no row"
    lines, heads = (
        sorted({row[axis] for row in rows}, key=lambda v: (isinstance(v, str), v)) for axis in (down, across)
    )
    values = np.full((len(lines), len(heads)), np.nan)
    for row in rows:
        if row[name] is not None:
            values[lines.index(row[down]), heads.index(row[across])] = row[name]
    if np.isnan(values).all():
        msg = f"pivot of {name}: nothing fits, so that there is nothing to draw; --unfit draws what does not"
        raise UsageError(msg)
    sheet = Sheet.open(theme, size, ax)
    sheet.head(f"{_label(name)} by {down} and {across}", found.words)
    sheet.foot(f"Darker is {_better(found, name, 'more', 'less')}, which is better; an empty cell {empty}.")
    x = Scale(-0.5, len(heads) - 0.5, across, log=False, ticks=_ticks(heads), grid=False)
    y = Scale(-0.5, len(lines) - 0.5, down, log=False, ticks=_ticks(lines), grid=False)
    axes = frame(sheet, (sheet.x0, sheet.y0, sheet.x1, sheet.y1), x, y)
    ends = [sheet.theme.paper, sheet.theme.bound["memory"]]  # of two colours a tuple is one with its opacity to some
    shades = LinearSegmentedColormap.from_list("heat", ends)
    colours = shades(0.08 + 0.92 * _darkness(values, found.more_is_better(name)))
    colours[np.isnan(values)] = 0.0
    axes.imshow(colours, origin="lower", aspect="auto", extent=(x.low, x.high, y.low, y.high), gid="heat", zorder=1)
    _write_cells(sheet, axes, values, colours, name)
    return sheet.figure


def _write_cells(sheet: Sheet, axes: Axes, values: Grid, colours: Grid, name: str) -> None:
    """The value of each cell, if all find room."""
    left, right = (sheet.locate(axes, place, 0)[0] for place in (0, 1))
    low, high = (sheet.locate(axes, 0, place)[1] for place in (0, 1))
    cells = {place: _number(name, value) for place, value in np.ndenumerate(values) if np.isfinite(value)}
    widest = max(measure(words, sheet.size.small)[0] for words in cells.values())
    if widest + 0.5 * sheet.size.small > right - left or sheet.line > high - low:
        return
    for (row, column), words in cells.items():
        red, green, blue = map(float, colours[row, column, :3])
        ink = ink_on(to_hex((red, green, blue)), sheet.theme)
        sheet.write(sheet.locate(axes, column, row), words, align=("center", "center"), colour=ink)


def describe_swept(found: Found) -> str:
    """The chart in words, for those who cannot see it."""
    name = str(found.group) if found.pivoted else found.axes[1]
    rows = [row for row in found.rows() if row[name] is not None]
    ends = sorted(rows, key=lambda row: float(row[name]))
    axes = (*found.axes, name) if found.pivoted else found.axes
    told = [", ".join(f"{axis} {_number(axis, row[axis])}" for axis in axes) for row in (ends[0], ends[-1])]
    return f"{found.words}: {len(rows)} points, from {told[0]} to {told[1]}."


def _groups(found: Found, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(f"{found.group} {row[found.group]}" if found.group else "", []).append(row)
    if len(groups) > len(_MARKERS):
        msg = f"{len(groups)} lines are too many to tell apart; narrow --where to {len(_MARKERS)} of {found.group}"
        raise UsageError(msg)
    return groups


def _varying(rows: Sequence[Mapping[str, Any]], found: Found) -> list[str]:
    return [name for name in found.naming if name in rows[0] and len({row[name] for row in rows}) > 1]


def _shared(rows: Sequence[Mapping[str, Any]], found: Found) -> str:
    """What all points have in common."""
    alike = [name for name in found.naming if name in rows[0] and name not in _varying(rows, found)]
    return ", ".join(_told(name, rows[0][name]) for name in alike if rows[0][name] is not None)


def _told(name: str, value: Any) -> str:
    if isinstance(value, bool | str):
        return str(value)
    return f"{name} {value:,}" if isinstance(value, int) else f"{name} {_number(name, value)}"


def _label(name: str) -> str:
    words = {"ttft_s": "TTFT", "tpot_s": "TPOT", "usd_per_mtoken": "USD per million tokens", "tokens_per_s": "tokens/s"}
    return words.get(name, name)


def _better(found: Found, name: str, more: str, less: str) -> str:
    return more if found.more_is_better(name) else less


def _text(name: str) -> Any:
    if name.endswith("per_s"):
        return si("")
    unit = unit_in_name(name)
    return plain if unit is None else si(unit.sign)


def _number(name: str, value: Any) -> str:
    return str(value) if isinstance(value, str) else _text(name)(float(rounded(float(value)).replace(",", "")))


def _scale(name: str, values: Sequence[float]) -> Scale:
    low, high = min(values), max(values)
    if low > 0:
        return Scale(low / 1.15, high * 1.15, _label(name), text=_text(name))
    apart = (high - low) or 1.0
    return Scale(low - 0.05 * apart, high + 0.05 * apart, _label(name), log=False, text=_text(name))


def _ticks(values: Sequence[Any]) -> tuple[tuple[float, str], ...]:
    return tuple((float(place), f"{v:,}" if isinstance(v, int) else str(v)) for place, v in enumerate(values))


def _darkness(values: Grid, more: bool) -> Grid:
    """From 0 to 1, 1 where it is best; by logarithms where all are above zero."""
    plain = np.log(values) if np.nanmin(values) > 0 else values
    low, high = np.nanmin(plain), np.nanmax(plain)
    share: Grid = (plain - low) / ((high - low) or 1.0)
    return np.nan_to_num(share if more else 1 - share)
