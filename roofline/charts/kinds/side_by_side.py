"""Several devices or models beside one another: what a step's time is made of, and what lies in memory, a bar each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend, part_entry
from roofline.charts.drawing.scales import Scale, frame, si
from roofline.charts.drawing.sheet import POINTS, Sheet, measure, names, shorten, wrap
from roofline.charts.drawing.theme import BOUNDS, HATCHES
from roofline.charts.kinds.breakdown import breakdown_rows, part_s
from roofline.charts.kinds.memory import PART_HATCHES, PARTS, held_bytes
from roofline.charts.marks.points import as_list, devices_of, distinct_label, inputs_of, trust_of
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.prediction.predict import Prediction
from roofline.units import format_quantity

_MOST = 120
_FOOT = 16  # lines
_PITCH = 1.9
"""From one bar to the next, in heights of type."""


def draw_breakdowns(
    predictions: Sequence[Prediction], *, theme: str = "light", size: str = "slide", ax: Axes | None = None
) -> Figure:
    """One bar a prediction and phase, stacked from compute, memory, latency and link time; shortest request first.

    Raises UsageError where the predictions have not the same phases.
    """
    several = _ranked(predictions)
    phases = list(several[0].phases)
    used = [part for part in BOUNDS if any(part_s(p, part) > 0 for one in several for p in one.phases.values())]

    def panel(sheet: Sheet, index: int, box: tuple[float, float, float, float], labels: list[str]) -> list[float]:
        phase = phases[index]
        bars = [{part: part_s(p.phases[phase], part) for part in used} for p in several]
        ends = [format_quantity(p.phases[phase].figures.time_s, "time_s") for p in several]
        colours = {part: (sheet.theme.bound[part], HATCHES[part]) for part in used}
        return _draw_bars(sheet, _Bars(f"{phase}, one step", "time", "s", bars, ends, colours), box, labels)

    with _opened(several, theme, size, ax, len(phases), trust_of(*several)) as sheet:
        entries = [part_entry(part, sheet.theme) for part in used]
        return _laid_out(sheet, several, entries, len(phases), panel)


def draw_memories(
    predictions: Sequence[Prediction], *, theme: str = "light", size: str = "slide", ax: Axes | None = None
) -> Figure:
    """One bar a prediction: weights, KV cache, activations and what the runtime keeps, and the capacity as a mark."""
    several = list(as_list(predictions, _MOST))
    held = [{name: held_bytes(p, field) for name, field in PARTS} for p in several]
    used = [name for name, _ in PARTS if any(bar[name] for bar in held)]

    def panel(sheet: Sheet, _: int, box: tuple[float, float, float, float], labels: list[str]) -> list[float]:
        bars = [{name: bar[name] for name in used} for bar in held]
        shades = {name: (sheet.theme.parts[i], PART_HATCHES[i]) for i, (name, _) in enumerate(PARTS)}
        marks = [p.memory.capacity_bytes for p in several]
        ends = [_room(p) for p in several]
        shown = _Bars("a device holds", "resident (B)", "B", bars, ends, shades, marks)
        return _draw_bars(sheet, shown, box, labels)

    kept = "" if any(p.memory.overhead_bytes for p in several) else "Without what the runtime itself takes. "
    with _opened(several, theme, size, ax, 1, f"{kept}Activations: the most that are alive at once.") as sheet:
        entries = [
            Entry(name, fill=sheet.theme.parts[i], hatch=PART_HATCHES[i])
            for i, (name, _) in enumerate(PARTS)
            if name in used
        ]
        entries.append(Entry("capacity", line="-", edge=sheet.theme.ink, width=2.0))
        return _laid_out(sheet, several, entries, 1, panel)


def describe_breakdowns(predictions: Sequence[Prediction]) -> str:
    """The chart in words, for those who cannot see it."""
    several = _ranked(predictions)
    told = []
    for p in several:
        parts = [
            f"{phase} {format_quantity(one.figures.time_s, 'time_s')} ({one.figures.bound_by}-bound)"
            for phase, one in p.phases.items()
        ]
        told.append(f"{distinct_label(several, p)}: {', '.join(parts)}")
    return f"What a step is made of, {inputs_of(several[0])}: {'; '.join(told)}."


def describe_memories(predictions: Sequence[Prediction]) -> str:
    """The chart in words, for those who cannot see it."""
    several = list(as_list(predictions, _MOST))
    told = [f"{distinct_label(several, p)} {_room(p)}" for p in several]
    return f"Memory, {inputs_of(several[0])}: {'; '.join(told)}."


def breakdowns_rows(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The data behind the breakdowns: a row per operator, phase and prediction."""
    return [row for p in _ranked(predictions) for row in breakdown_rows(p)]


def memories_rows(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The data behind the memories: a row per prediction. [B]"""
    return [
        {"model": p.model.name, "hardware": p.hardware.name, **p.memory.to_dict(), "fits": p.memory.fits}
        for p in as_list(predictions, _MOST)
    ]


def _ranked(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The shortest request first. Raises UsageError for predictions without the same phases."""
    several = sorted(as_list(predictions, _MOST), key=lambda p: p.request_s)
    if len({tuple(p.phases) for p in several}) > 1:
        msg = "breakdown of several needs the same phases of each; ask for one with --phase"
        raise UsageError(msg)
    return several


def _room(p: Prediction) -> str:
    """What is taken of what is there."""
    taken = format_quantity(p.memory.total_bytes, "bytes")
    if p.memory.capacity_bytes is None:
        return taken
    words = f"{taken} of {format_quantity(p.memory.capacity_bytes, 'bytes')}"
    return words if p.memory.fits else f"{words}, does not fit"


@contextmanager
def _opened(
    several: list[Prediction], theme: str, size: str, ax: Axes | None, panels: int, foot: str
) -> Iterator[Sheet]:
    """A sheet as tall as its bars need, with its title and its foot; inside an Axes as tall as that is."""
    sheet = Sheet.open(theme, size, ax)
    if ax is None:
        points, line = sheet.size.small, sheet.line
        around = (
            2 * sheet.size.title + 3 * sheet.size.text + line * (5 + len(wrap(foot, points, sheet.width, _FOOT)))
        )  # title, what it rests on, legend, foot, margins
        stacked = panels if sheet.narrow else 1
        body = stacked * (_PITCH * points * len(several) + 4 * line) + (stacked - 1) * 2 * points
        least = 0.6 if sheet.size.name == "slide" else 0.0
        sheet = Sheet.open(theme, size, ax, tall=max((around + body) / (sheet.size.height * POINTS), least))
    sheet.head(f"{names([p.model.name for p in several])} on {devices_of(several)}", inputs_of(several[0]))
    sheet.foot(foot, most=_FOOT)
    yield sheet


def _laid_out(
    sheet: Sheet, several: list[Prediction], entries: list[Entry], count: int, panel: Callable[..., list[float]]
) -> Figure:
    """Legend, panels, and the names of the rows once, left of all of them where there is room."""
    narrow, points = sheet.narrow, sheet.size.small
    sheet.y0 = draw_legend(sheet, entries, sheet.x0, sheet.x1, sheet.y0) + 0.5 * sheet.line
    labels, column = [distinct_label(several, p) for p in several], sheet.x0
    if not narrow:
        widest = max(measure(label, points)[0] for label in labels)
        sheet.x0 += min(widest + points, 0.3 * sheet.width)
    rows: list[float] = []
    for index, box in enumerate(sheet.panels(count, stacked=narrow)):
        rows = panel(sheet, index, box, labels if narrow else [])
    if not narrow:
        for label, middle in zip(labels, rows, strict=True):
            sheet.write((column, middle), shorten(label, points, sheet.x0 - column))
    return sheet.figure


@frozen
class _Bars:
    """What a panel shows: stacked bars, what stands behind each, and marks across them."""

    title: str
    axis: str
    unit: str
    bars: list[dict[str, float]]
    ends: list[str]
    looks: dict[str, tuple[str, str]]
    marks: Sequence[float | None] = ()


def _draw_bars(sheet: Sheet, shown: _Bars, box: tuple[float, float, float, float], labels: list[str]) -> list[float]:
    """Draw a panel; returns where its rows are. [pt]"""
    title, bars, ends, marks = shown.title, shown.bars, shown.ends, shown.marks
    x0, y0, x1, y1 = box
    points = sheet.size.small
    sheet.write((x0, y1), shorten(title, points, x1 - x0, "bold"), align=("left", "top"), weight="bold")
    y1 -= 1.2 * sheet.line
    longest = max([sum(bar.values()) for bar in bars] + [mark for mark in marks if mark])
    ticks = tuple((float(i), shorten(label, points, 0.42 * (x1 - x0))) for i, label in enumerate(labels))
    taken = max((measure(label, points)[0] for _, label in ticks), default=0.0)
    tail = max(measure(end, points)[0] for end in ends) + points
    across = x1 - x0 - taken - points
    stretch = 1 + tail / max(across - tail, 0.25 * across)
    x = Scale(0.0, longest * stretch, shown.axis, log=False, text=si(shown.unit))
    y = Scale(len(bars) - 0.4, -0.6, "", log=False, ticks=ticks or ((0.0, ""),), grid=False)
    ax = frame(sheet, (x0, y0, x1, y1), x, y)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for row, bar in enumerate(bars):
        start = 0.0
        for part, value in bar.items():
            if value > 0:
                colour, hatch = shown.looks[part]
                ax.barh(row, value, left=start, height=0.62, facecolor=colour, edgecolor=sheet.theme.paper, hatch=hatch,
                        linewidth=0.0, gid=f"{title}:{row}:{part}", zorder=3)  # fmt: skip
                start += value
        far = start
        if marks and (mark := marks[row]) is not None:
            ax.plot([mark, mark], [row - 0.42, row + 0.42], color=sheet.theme.ink, linewidth=2.0, linestyle="-",
                    marker="none", gid=f"capacity:{row}", zorder=4)  # fmt: skip
            far = max(start, mark)
        at, middle = sheet.locate(ax, far, row)
        sheet.write((at + 0.5 * points, middle), ends[row], plate=True)
    return [sheet.locate(ax, 0.0, row)[1] for row in range(len(bars))]
