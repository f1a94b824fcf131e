"""Where the time goes: operator by operator and phase by phase, each split into what it is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend, part_entry
from roofline.charts.drawing.scales import Scale, frame, plain, powers_of_two, si
from roofline.charts.drawing.sheet import Sheet, measure, names, shorten
from roofline.charts.drawing.theme import BOUNDS, HATCHES
from roofline.charts.marks.points import as_list, inputs_of, label_of, trust_of
from roofline.errors import UsageError
from roofline.prediction.figures import PhasePrediction
from roofline.prediction.predict import Prediction
from roofline.units import format_quantity

_WHERE = {"compute": "o", "memory": "s", "latency": "^", "link": "D"}


def draw_breakdown(
    prediction: Prediction, *, theme: str = "light", size: str = "slide", ax: Axes | None = None
) -> Figure:
    """One bar per operator and phase, the longest first, stacked from compute, memory, latency and link time.

    What finds no line goes into the last one. Raises UsageError for an unknown theme or size.
    """
    sheet = Sheet.open(theme, size, ax, tall=1.45 if size == "column" and len(prediction.phases) > 1 else 1.0)
    verdicts = [f"{name} {_seconds(phase.figures.time_s)}" for name, phase in prediction.phases.items()]
    sheet.head(label_of(prediction), f"time of one step: {' · '.join(verdicts)} ({inputs_of(prediction)})")
    sheet.foot(trust_of(prediction))
    used = [part for part in BOUNDS if any(part_s(p, part) > 0 for p in prediction.phases.values())]
    sheet.y0 = draw_legend(sheet, [part_entry(part, sheet.theme) for part in used], sheet.x0, sheet.x1, sheet.y0)
    sheet.y0 += 0.5 * sheet.line
    for (name, phase), box in zip(prediction.phases.items(), sheet.panels(len(prediction.phases)), strict=True):
        _draw_phase(sheet, name, phase, box)
    return sheet.figure


def describe_breakdown(prediction: Prediction) -> str:
    """The chart in words, for those who cannot see it."""
    sentences = []
    for name, phase in prediction.phases.items():
        longest = sorted(phase.operators, key=lambda op: -op.figures.time_s)[:3]
        parts = [f"{op.name} ({op.figures.time_s / phase.figures.time_s:.0%})" for op in longest]
        shares = [f"{share:.0%} {part}" for part, share in asdict(phase.figures.shares).items() if share >= 0.005]
        sentences.append(f"{name} takes {_seconds(phase.figures.time_s)} a step, of which {names(shares)}; "
                         f"most goes to {names(parts)}")  # fmt: skip
    return f"Time of {label_of(prediction)} by operator ({inputs_of(prediction)}): {'. '.join(sentences)}."


def breakdown_rows(prediction: Prediction) -> list[dict[str, Any]]:
    """The data behind the chart: one row per operator and phase, its seconds part by part."""
    rows = []
    for name, phase in prediction.phases.items():
        for op in sorted(phase.operators, key=lambda op: -op.figures.time_s):
            f = op.figures
            parts = {f"{part}_s": share * f.time_s for part, share in asdict(f.shares).items()}
            origin = {"model": prediction.model.name, "hardware": prediction.hardware.name, "phase": name}
            rows.append({**origin, "operator": op.name, "time_s": f.time_s, **parts, "bound_by": f.bound_by})
    return rows


def _draw_phase(sheet: Sheet, name: str, phase: PhasePrediction, box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = box
    points, whole = sheet.size.small, phase.figures.time_s
    sheet.write((x0, y1), f"{name}, one step: {_seconds(whole)}", align=("left", "top"), weight="bold")
    y1 -= 1.2 * sheet.line
    lines = max(2, int((y1 - y0 - 4 * points) / (1.3 * points)))
    bars = _bars(phase, lines)
    widest = 0.42 * (x1 - x0)
    ends = [f"{_seconds(sum(parts.values()))}  {sum(parts.values()) / whole:.1%}" for _, parts in bars]
    longest = max(sum(parts.values()) for _, parts in bars)
    labels = tuple((float(i), shorten(label, points, widest)) for i, (label, _) in enumerate(bars))
    taken = max(measure(label, points)[0] for _, label in labels)
    tail = max(measure(end, points)[0] for end in ends) + 0.8 * points
    stretch = 1 + tail / max(x1 - x0 - taken - tail - points, tail)  # so that what stands behind the longest bar fits
    x = Scale(0.0, longest * stretch, "time", log=False, text=si("s"))
    y = Scale(len(bars) - 0.4, -0.6, "", log=False, ticks=labels, grid=False)
    ax = frame(sheet, (x0, y0, x1, y1), x, y)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for index, (label, parts) in enumerate(bars):
        start = 0.0
        for part in BOUNDS:
            if parts[part] > 0:
                ax.barh(index, parts[part], left=start, height=0.72, facecolor=sheet.theme.bound[part], linewidth=0.0,
                        edgecolor=sheet.theme.paper, hatch=HATCHES[part], zorder=3,
                        gid=f"{name}:{label}:{part}")  # fmt: skip
                start += parts[part]
        at, middle = sheet.locate(ax, start, index)
        sheet.write((at + 0.5 * points, middle), ends[index])


def _bars(phase: PhasePrediction, lines: int) -> list[tuple[str, dict[str, float]]]:
    """Operators by time with their seconds part by part; what is beyond ``lines`` summed up in the last."""
    ranked = sorted(phase.operators, key=lambda op: -op.figures.time_s)
    bars = [(op.name, {part: _operator_part(op.figures, part) for part in BOUNDS}) for op in ranked]
    if len(bars) <= lines:
        return bars
    rest = bars[lines - 1 :]
    summed = {part: sum(parts[part] for _, parts in rest) for part in BOUNDS}
    return [*bars[: lines - 1], (f"{len(rest)} more", summed)]


def _operator_part(figures: Any, part: str) -> float:
    return float(getattr(figures.shares, part) * figures.time_s)


def part_s(phase: PhasePrediction, part: str) -> float:
    """The seconds of a step that one part of its time takes."""
    return _operator_part(phase.figures, part)


def _seconds(value: float) -> str:
    return format_quantity(value, "time_s")


def draw_breakdown_over_batch(
    predictions: Sequence[Prediction], *, theme: str = "light", size: str = "slide", ax: Axes | None = None
) -> Figure:
    """The parts of each phase's time over the batch, log-log: one prediction per batch, alike in all else.

    Raises UsageError for fewer than two predictions, or for predictions that differ in more than the batch.
    """
    several = sorted(as_list(predictions, 1000), key=lambda p: p.workload.batch)
    _check_batches(several)
    first = several[0]
    sheet = Sheet.open(theme, size, ax, tall=1.45 if size == "column" and len(first.phases) > 1 else 1.0)
    sheet.head(f"{label_of(first)}, over the batch", inputs_of(first).partition(", ")[2])
    sheet.foot(trust_of(first))
    used = [part for part in BOUNDS if any(part_s(p, part) > 0 for one in several for p in one.phases.values())]
    entries = [Entry("whole step", line="-", edge=sheet.theme.ink, width=2.0)]
    entries += [
        Entry(f"{part} part", _WHERE[part], "-", sheet.theme.bound[part], sheet.theme.bound[part]) for part in used
    ]
    sheet.y0 = draw_legend(sheet, entries, sheet.x0, sheet.x1, sheet.y0) + 0.5 * sheet.line
    for name, box in zip(first.phases, sheet.panels(len(first.phases)), strict=True):
        _draw_curves(sheet, name, several, used, box)
    return sheet.figure


def _check_batches(several: list[Prediction]) -> None:
    batches = [p.workload.batch for p in several]
    alike = {(p.model.name, p.hardware.name, tuple(p.phases), p.workload.prompt, p.workload.context) for p in several}
    if len(set(batches)) < 2 or len(alike) > 1:
        msg = f"a breakdown over the batch needs two or more batches of one workload, given batches {batches}"
        raise UsageError(msg)


def _draw_curves(
    sheet: Sheet, name: Any, several: list[Prediction], used: list[str], box: tuple[float, float, float, float]
) -> None:
    batches = [float(p.workload.batch) for p in several]
    whole = [p.phases[name].figures.time_s for p in several]
    parts = {part: [part_s(p.phases[name], part) for p in several] for part in used}
    floor = max(min(v for values in parts.values() for v in values if v > 0), 0.01 * min(whole))
    sheet.write((box[0], box[3]), f"{name}, one step", align=("left", "top"), weight="bold")
    ticks = powers_of_two(batches[0], batches[-1])
    x = Scale(batches[0] / 1.06, batches[-1] * 1.06, "batch (sequences)", ticks=ticks, text=plain)
    y = Scale(floor / 1.6, max(whole) * 1.8, "time", text=si("s"))
    ax = frame(sheet, (box[0], box[1], box[2], box[3] - 1.2 * sheet.line), x, y)
    for part, values in parts.items():
        seen = [value if value >= floor / 1.5 else math.nan for value in values]
        ax.plot(batches, seen, color=sheet.theme.bound[part], marker=_WHERE[part], markersize=3.2, linewidth=1.2,
                linestyle="-", gid=f"{name}:{part}", zorder=3)  # fmt: skip
    ax.plot(
        batches,
        whole,
        color=sheet.theme.ink,
        linewidth=2.0,
        linestyle="-",
        marker="none",
        gid=f"{name}:whole",
        zorder=4,
    )


def describe_breakdown_over_batch(predictions: Sequence[Prediction]) -> str:
    """The curves in words, for those who cannot see them."""
    several = sorted(as_list(predictions, 1000), key=lambda p: p.workload.batch)
    first, last = several[0], several[-1]
    changes = [
        f"a step of {name} takes {_seconds(one.figures.time_s)} ({one.figures.bound_by}-bound) at batch "
        f"{first.workload.batch:,} and {_seconds(last.phases[name].figures.time_s)} "
        f"({last.phases[name].figures.bound_by}-bound) at batch {last.workload.batch:,}"
        for name, one in first.phases.items()
    ]
    return f"Time of {label_of(first)} over the batch: {names(changes)}."
