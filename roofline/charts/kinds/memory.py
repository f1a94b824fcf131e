"""What resides on the device: weights, KV cache and activations against its capacity, over the batch or the context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.placement import Field, segment_marks
from roofline.charts.drawing.scales import Scale, frame, powers_of_two, si
from roofline.charts.drawing.sheet import Sheet, measure
from roofline.charts.marks.points import as_list, inputs_of, label_of
from roofline.errors import UsageError
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase
from roofline.units import format_quantity

PARTS = (
    ("weights", "weights_bytes"),
    ("KV cache", "kv_cache_bytes"),
    ("activations", "activation_bytes"),
    ("state", "state_bytes"),
    ("left to the runtime", "overhead_bytes"),
)
PART_HATCHES = ("", "////", "....", "xxxx", "++++")
_AXES = {"batch": "batch (sequences)", "context": "longest sequence (tokens)"}


def draw_memory(
    predictions: Sequence[Prediction],
    *,
    over: str = "batch",
    theme: str = "light",
    size: str = "slide",
    ax: Axes | None = None,
) -> Figure:
    """Stacked bytes over the batch, or over the longest sequence, and the capacity as a line.

    One prediction per batch or length, alike in all else. Raises UsageError for fewer than two places on the axis.
    """
    several, places = _sorted(predictions, over)
    first = several[0]
    sheet = Sheet.open(theme, size, ax)
    sheet.head(f"{label_of(first)}: memory", _verdict(several, over))
    kept = "" if first.memory.overhead_bytes else "Without what the runtime itself takes. "
    sheet.foot(f"{kept}Activations: the most that are alive at once.")
    entries = [
        Entry(name, fill=sheet.theme.parts[i], hatch=PART_HATCHES[i]) for i, (name, field) in enumerate(PARTS)
        if any(held_bytes(p, field) for p in several)
    ]  # fmt: skip
    if first.memory.capacity_bytes is not None:
        entries.append(Entry("capacity", line="--", edge=sheet.theme.ink, width=1.6))
    sheet.y0 = draw_legend(sheet, entries, sheet.x0, sheet.x1, sheet.y0) + 0.5 * sheet.line
    capacity = first.memory.capacity_bytes
    highest = max([p.memory.total_bytes for p in several] + ([capacity] if capacity else []))
    if capacity:
        highest = min(highest, int(2.2 * capacity))
    x = Scale(places[0], places[-1], _AXES[over], ticks=powers_of_two(places[0], places[-1]), grid=False)
    y = Scale(0.0, 1.18 * highest, "resident (B)", log=False, text=si("B"))
    axes = frame(sheet, (sheet.x0, sheet.y0, sheet.x1, sheet.y1), x, y)
    _stack(sheet, axes, several, places)
    _mark_capacity(sheet, axes, several, places, over)
    return sheet.figure


def describe_memory(predictions: Sequence[Prediction], over: str = "batch") -> str:
    """The chart in words, for those who cannot see it."""
    several, places = _sorted(predictions, over)
    ends = [
        f"{format_quantity(p.memory.total_bytes, 'bytes')} at {over} {place:,.0f}"
        for p, place in ((several[0], places[0]), (several[-1], places[-1]))
    ]
    held = format_quantity(several[0].memory.footprint.weights_bytes, "bytes")
    return (
        f"Memory of {label_of(several[0])}: {held} of weights, {' and '.join(ends)} in all; {_verdict(several, over)}."
    )


def memory_rows(predictions: Sequence[Prediction], over: str = "batch") -> list[dict[str, Any]]:
    """The data behind the chart: a row per place on the axis."""
    several, places = _sorted(predictions, over)
    return [
        {
            "model": p.model.name,
            "hardware": p.hardware.name,
            over: int(place),
            **p.memory.to_dict(),
            "fits": p.memory.fits,
        }
        for p, place in zip(several, places, strict=True)
    ]


def held_bytes(p: Prediction, field: str) -> float:
    """The bytes of one part. [B]"""
    return float(getattr(p.memory if field == "overhead_bytes" else p.memory.footprint, field))


def _sorted(predictions: Sequence[Prediction], over: str) -> tuple[list[Prediction], list[float]]:
    if over not in _AXES:
        msg = f"memory over {over!r}: expected batch or context"
        raise UsageError(msg)

    def place(p: Prediction) -> float:
        if over == "batch":
            return float(p.workload.batch)
        alone = Phase.ENCODE in p.phases and not p.workload.shown.phases
        encoded = alone or (p.workload.decoder_start is not None and p.workload.context is None)
        return float(p.workload.prompt if encoded else p.workload.longest)

    several = sorted(as_list(predictions, 1000), key=place)
    places = [place(p) for p in several]
    alike = {(p.model.name, p.hardware.name, *(() if over == "batch" else (p.workload.batch,))) for p in several}
    if len(set(places)) < len(places) or len(places) < 2 or len(alike) > 1:
        given = ", ".join(f"{p:g}" for p in places)
        msg = f"memory needs two or more {'batches' if over == 'batch' else 'lengths'} of one workload, given {given}"
        raise UsageError(msg)
    return several, places


def _verdict(several: list[Prediction], over: str) -> str:
    memory, inputs = several[0].memory, inputs_of(several[0])
    asked = inputs.partition(", ")[2] if over == "batch" else inputs.partition(", ")[0]
    if memory.capacity_bytes is None:
        return f"the device's capacity is not stated ({asked})"
    room = format_quantity(memory.capacity_bytes, "bytes")
    most = memory.max_batch if over == "batch" else memory.max_context
    if not most:
        return f"nothing fits in {room} ({asked})"
    return f"largest {over} that fits in {room}: {most:,} ({asked})"


def _stack(sheet: Sheet, ax: Axes, several: list[Prediction], places: list[float]) -> None:
    below = np.zeros(len(places))
    for index, (name, field) in enumerate(PARTS):
        part = np.array([held_bytes(p, field) for p in several])
        if not part.any():
            continue
        ax.fill_between(places, below, below + part, facecolor=sheet.theme.parts[index], edgecolor=sheet.theme.paper,
                        hatch=PART_HATCHES[index], linewidth=0.0, gid=f"memory:{name}", zorder=2)  # fmt: skip
        below = below + part
    ax.plot(
        places, below, color=sheet.theme.ink, linewidth=1.2, linestyle="-", marker="none", gid="memory:total", zorder=3
    )


def _mark_capacity(sheet: Sheet, ax: Axes, several: list[Prediction], places: list[float], over: str) -> None:
    """The line of the capacity, and where the total crosses it."""
    memory = several[0].memory
    if memory.capacity_bytes is None:
        return
    capacity = float(memory.capacity_bytes)
    ax.axhline(capacity, color=sheet.theme.ink, linewidth=1.6, linestyle="--", gid="memory:capacity", zorder=4)
    x0, y0 = sheet.locate(ax, places[0], 0.0)
    x1, y1 = sheet.locate(ax, places[-1], ax.get_ylim()[1])
    line = sheet.locate(ax, places[0], capacity)[1]
    room = Field(x0 + 2, y0 + 2, x1 - 2, y1 - 2)
    room.mark(segment_marks(np.array([(x0, line), (x1, line)])))
    most = memory.max_batch if over == "batch" else memory.max_context
    labels = [(f"capacity {format_quantity(capacity, 'bytes')}", x0)]
    if most and places[0] <= most <= places[-1]:
        ax.plot([most, most], [0.0, capacity], color=sheet.theme.ink, linewidth=0.9, linestyle=(0, (1, 1.5)),
                marker="none", gid="memory:largest", zorder=4)  # fmt: skip
        ax.plot([most], [capacity], marker="o", markersize=4, color=sheet.theme.ink, linestyle="none", zorder=5)
        labels.append((f"{over} {most:,}", sheet.locate(ax, float(most), capacity)[0]))
    for words, at in labels:
        width, height = measure(words, sheet.size.small, "bold")
        centres = [at + width / 2 + 3, at - width / 2 - 3, at]
        heights = [line + height, line - height, line + 2.4 * height]
        spots = [(x, y) for y in heights for x in centres]
        if spot := room.place(width, height, spots):
            sheet.write(spot, words, align=("center", "center"), weight="bold", plate=True)
