"""Axes with units: which ticks, and how much room they need, so that a frame can be fitted into a rectangle."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from roofline.charts.drawing.sheet import Sheet, measure
from roofline.classes import frozen

_PREFIXES = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}


@frozen
class Scale:
    """One axis: its range, its label with the unit, how a value is written; ``ticks`` where they are not numbers."""

    low: float
    high: float
    label: str
    log: bool = True
    text: Callable[[float], str] = str
    ticks: tuple[tuple[float, str], ...] | None = None
    grid: bool = True


def si(unit: str = "") -> Callable[[float], str]:
    """How to write a value with a decimal prefix and a unit.

    >>> si("B/s")(2e12), si()(1500), si("s")(2.5e-4), si()(0.0)
    ('2 TB/s', '1.5 k', '250 us', '0')
    """

    def write(value: float) -> str:
        if value == 0:
            return "0"
        exponent = min(18, max(-9, 3 * math.floor(round(math.log10(abs(value)), 9) / 3)))
        return f"{value / 10.0**exponent:g} {_PREFIXES[exponent]}{unit}".rstrip()

    return write


def plain(value: float) -> str:
    """A number as it is, thousands apart.

    >>> plain(1000), plain(0.25)
    ('1,000', '0.25')
    """
    return f"{value:,.0f}" if value == round(value) else f"{value:g}"


def powers_of_two(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Ticks for batches and lengths: 1, 2, 4 ... as people write them, 2k for 2,048."""
    ticks, value = [], 2 ** math.ceil(math.log2(low) - 1e-9)
    while value <= high * 1.0001:
        ticks.append((float(value), f"{value // 1024}Ki" if value >= 1024 else str(value)))
        value *= 2
    return tuple(ticks)


def chosen_ticks(scale: Scale, room: float, points: float, *, across: bool) -> list[tuple[float, str]]:
    """The densest ticks whose labels stay apart over ``room`` points, ``across`` the page or up it."""
    for values in _candidates(scale):
        labelled = [(v, label) if isinstance(label, str) else (v, scale.text(v)) for v, label in values]
        if _stay_apart(scale, labelled, room, points, across):
            return labelled
    return []


def _candidates(scale: Scale) -> list[list[tuple[float, str | None]]]:
    if scale.ticks is not None:
        whole = list(scale.ticks)
        return [[*whole[::step]] for step in range(1, len(whole) + 1)]
    if not scale.log:
        return [[(v, None) for v in _linear(scale.low, scale.high, count)] for count in (10, 8, 6, 5, 4, 3, 2, 1)]
    low, high = math.log10(scale.low) - 1e-9, math.log10(scale.high) + 1e-9
    decades = range(math.floor(low), math.ceil(high) + 1)
    found: list[list[tuple[float, str | None]]] = []
    if high - low < 2.2:
        for digits in ((1, 2, 5), (1, 3), (1, 5), (2,), (3,), (5,)):
            values = [m * 10.0**d for d in decades for m in digits]
            found += [[(value, None) for value in values if low <= math.log10(value) <= high]]
    found += [[(10.0**d, None) for d in decades if low <= d <= high and d % step == 0] for step in (1, 2, 3, 4, 6)]
    return [values for values in found if values]


def _linear(low: float, high: float, count: int) -> list[float]:
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _stay_apart(scale: Scale, ticks: list[tuple[float, str]], room: float, points: float, across: bool) -> bool:
    end = -math.inf
    for value, label in sorted(ticks, key=lambda tick: position(scale, tick[0])):
        width, height = measure(label, points)
        half = (width + 0.6 * points if across else 1.1 * height) / 2
        centre = position(scale, value) * room
        if centre - half < end:
            return False
        end = centre + half
    return True


def position(scale: Scale, value: float) -> float:
    """Where a value lies on its axis, from 0 to 1."""
    if scale.log:
        return math.log(value / scale.low) / math.log(scale.high / scale.low)
    return (value - scale.low) / (scale.high - scale.low)


def frame(sheet: Sheet, box: Sequence[float], x: Scale, y: Scale) -> Axes:
    """Axes that stay, with their ticks and labels, inside ``box`` (x0 y0 x1 y1, points)."""
    x0, y0, x1, y1 = box
    points, gap = sheet.size.small, 0.45 * sheet.size.small
    line = measure("lp", points)[1]
    floor = y0 + line + 2.5 + _pad("x", points) + (line + 0.5 * gap if x.label else 0)
    ceiling = y1 - (line + gap if y.label else 0.5 * line)
    y_ticks = chosen_ticks(y, ceiling - floor, points, across=False)
    highest = max((position(y, value) for value, _ in y_ticks), default=0.0)
    if y.label and (1 - highest) * (ceiling - floor) < 0.5 * line:  # a tick close below the label
        ceiling -= 0.5 * line
    left = x0 + max((measure(label, points)[0] for _, label in y_ticks), default=0) + gap + 1
    x_ticks = chosen_ticks(x, 0.97 * (x1 - left), points, across=True)
    right = x1
    for value, label in x_ticks:
        half, place = measure(label, points)[0] / 2 + 1, position(x, value)
        right = min(right, (x1 - half - left) / place + left if place > 0 else right)
        left = max(left, x0 + half) if place <= 0.02 else left
    ax = sheet.axes(left, floor, right, ceiling)
    _set_axis(ax, "x", x, x_ticks, sheet)
    _set_axis(ax, "y", y, y_ticks, sheet)
    if x.label:
        _label(sheet, ax, "x", x.label, (left + right) / 2, y0 + line)
    if y.label:
        _label(sheet, ax, "y", y.label, x0, y1)
    return ax


def _label(sheet: Sheet, ax: Axes, which: str, label: str, at_x: float, at_y: float) -> None:
    """The label of an axis where the sheet wants it: below the middle, or flat above the upper left corner."""
    place = ax.get_position()
    across, up = (inches * 72.0 for inches in sheet.figure.get_size_inches())
    spot = ((at_x / across - place.x0) / place.width, (at_y / up - place.y0) / place.height)
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_label_text(label, fontfamily="DejaVu Sans", fontsize=sheet.size.small, color=sheet.theme.ink)
    axis.set_label_coords(*spot)
    axis.label.set(rotation=0, ha="center" if which == "x" else "left", va="top", parse_math=False)


def _set_axis(ax: Axes, which: Literal["x", "y"], scale: Scale, ticks: list[tuple[float, str]], sheet: Sheet) -> None:
    axis = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xscale if which == "x" else ax.set_yscale)("log" if scale.log else "linear")
    (ax.set_xlim if which == "x" else ax.set_ylim)(scale.low, scale.high)
    axis.set_major_locator(FixedLocator([value for value, _ in ticks]))
    axis.set_ticklabels([label for _, label in ticks])
    axis.set_minor_locator(FixedLocator(_minor(scale)) if scale.log and scale.ticks is None else NullLocator())
    axis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis=which, which="major", labelsize=sheet.size.small, labelcolor=sheet.theme.ink, length=2.5,
                   pad=_pad(which, sheet.size.small), color=sheet.theme.muted, width=0.6, labelfontfamily="DejaVu Sans",
                   bottom=True, left=True, top=False, right=False, labelrotation=0)  # fmt: skip
    ax.tick_params(axis=which, which="minor", length=1.2, color=sheet.theme.muted, width=0.4, top=False, right=False)
    ax.grid(False, which="both", axis=which)
    if scale.grid:
        ax.grid(True, which="major", axis=which, color=sheet.theme.faint, linewidth=0.6, linestyle="-")


def _pad(which: Literal["x", "y"], points: float) -> float:
    """From tick to label; across, enough to pass below the lowest label of the other axis. [pt]"""
    return 0.25 * points if which == "y" else max(0.25 * points, 0.66 * points - 2.0)


def _minor(scale: Scale) -> list[float]:
    low, high = math.log10(scale.low), math.log10(scale.high)
    if high - low > 12:
        return []
    every = (m * 10.0**d for d in range(math.floor(low), math.ceil(high) + 1) for m in range(2, 10))
    return [value for value in every if scale.low <= value <= scale.high]
