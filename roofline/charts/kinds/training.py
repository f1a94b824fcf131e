"""A training step: what each stage of the pipeline holds by cause, and which pass each of them runs when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.scales import Scale, frame, si
from roofline.charts.drawing.sheet import Sheet
from roofline.charts.drawing.theme import Theme
from roofline.charts.kinds.staircase import draw_staircase
from roofline.training.memory import MemoryByCause
from roofline.training.step import TrainingStep
from roofline.training.timeline import Timed
from roofline.units import format_quantity

Box: TypeAlias = tuple[float, float, float, float]

_WORDS = {
    "weights": "weights", "gradients": "gradients", "optimizer": "optimizer states", "saved": "saved activations",
    "working": "backward pass", "gathered": "gathered weights",
}  # fmt: skip
_HATCHES = ("", "////", "....", "xxxx", "++++", "\\\\\\\\")
_KINDS = {"forward": "forward", "backward": "backward", "weights": "gradients of weights"}


def draw_training(step: TrainingStep, *, theme: str = "light", size: str = "slide") -> Figure:
    """Left: bytes of a device by stage and cause, with the room as a line. Right: the schedule's passes by stage.

    The schedule is drawn where there are several stages, a step fits, and its order of passes is known; behind it,
    where recompute was searched tensor by tensor, what that trades.
    """
    passes = _passes(step)
    further = bool(passes) + bool(step.staircase)
    sheet = Sheet.open(theme, size, None, tall=1.0 + 0.7 * further if size == "column" else 1.0)
    q = step.question
    sheet.head(f"{q.request.model.name} trained on {step.devices} x {q.request.device.name}", step.choice.words)
    sheet.foot(_foot(step, passes))
    boxes = sheet.panels(1 + bool(passes) + bool(step.staircase))
    _draw_memory(sheet, step, boxes[0])
    if passes:
        _draw_schedule(sheet, passes, boxes[1])
    if step.staircase:
        draw_staircase(sheet, step.staircase, step.choice.policy, boxes[-1])
    return sheet.figure


def describe_training(step: TrainingStep) -> str:
    """The picture in words, for those who cannot see it."""
    stages = "; ".join(
        f"{name} stage {format_quantity(held.total, 'bytes')}, most of it {_largest(held)}"
        for name, held in step.memory.items()
    )
    room = "" if step.room_bytes is None else f" of {format_quantity(step.room_bytes, 'bytes')}"
    return (
        f"Memory of a device{room} training {step.question.request.model.name}: {stages}. {_foot(step, _passes(step))}"
    )


def _largest(held: MemoryByCause) -> str:
    return _WORDS[max(_WORDS, key=lambda name: float(getattr(held, name)))]


def _passes(step: TrainingStep) -> list[Timed]:
    """The passes of the schedule; none where there is one stage, no time, or no order."""
    if step.choice.layout.pp == 1 or step.fits is False or step.question.schedule.paired:
        return []
    return step.timeline()


def _foot(step: TrainingStep, passes: Sequence[Timed]) -> str:
    if not passes:
        return "Bytes that are allocated, when each stage is fullest."
    end = max(each.end_s for each in passes)
    idle = 1 - sum(each.end_s - each.start_s for each in passes) / (end * int(step.choice.layout.pp))
    schedule, took = step.question.schedule.words, format_quantity(end, "time_s")
    return (
        f"Schedule {schedule} of {step.microbatches} microbatches, {took} without exchanges and update; "
        f"stages wait {idle:.0%} of it."
    )


def _draw_memory(sheet: Sheet, step: TrainingStep, box: Box) -> None:
    x0, y0, x1, y1 = box
    stages, colours = step.memory, _colours(sheet.theme)
    names = [each.name for each in fields(MemoryByCause) if any(getattr(held, each.name) for held in stages.values())]
    entries = [Entry(_WORDS[name], fill=colours[name][0], hatch=colours[name][1]) for name in names]
    room = step.room_bytes
    if room is not None:
        entries.append(Entry("what the runtime leaves", line="--", edge=sheet.theme.ink, width=1.6))
    y0 = draw_legend(sheet, entries, x0, x1, y0) + 0.5 * sheet.line
    highest = max([float(held.total) for held in stages.values()] + ([room] if room else []))
    ticks = tuple((float(at), name) for at, name in enumerate(stages))
    x = Scale(-0.6, len(stages) - 0.4, "stage" if len(stages) > 1 else "", log=False, ticks=ticks, grid=False)
    axes = frame(sheet, (x0, y0, x1, y1), x, Scale(0.0, 1.1 * highest, "on a device (B)", log=False, text=si("B")))
    for at, (stage, held) in enumerate(stages.items()):
        bottom = 0.0
        for name in names:
            size = float(getattr(held, name))
            axes.bar(at, size, 0.6, bottom, color=colours[name][0], hatch=colours[name][1], edgecolor=sheet.theme.paper,
                     linewidth=0.6, gid=f"memory:{stage}:{name}")  # fmt: skip
            bottom += size
    if room is not None:
        axes.axhline(room, color=sheet.theme.ink, linestyle="--", linewidth=1.6, gid="room")


def _draw_schedule(sheet: Sheet, passes: Sequence[Timed], box: Box) -> None:
    x0, y0, x1, y1 = box
    colours = dict(zip(_KINDS, sheet.theme.series, strict=False))
    kinds = [kind for kind in _KINDS if any(each.what.kind == kind for each in passes)]
    entries = [Entry(_KINDS[kind], fill=colours[kind], hatch=_HATCHES[i]) for i, kind in enumerate(kinds)]
    y0 = draw_legend(sheet, entries, x0, x1, y0) + 0.5 * sheet.line
    stages = max(each.stage for each in passes) + 1
    ticks = tuple((float(stages - 1 - stage), str(stage + 1)) for stage in range(stages))
    x = Scale(0.0, max(each.end_s for each in passes), "time", log=False, text=si("s"))
    axes = frame(sheet, (x0, y0, x1, y1), x, Scale(-0.6, stages - 0.4, "stage", log=False, ticks=ticks, grid=False))
    for i, kind in enumerate(kinds):
        for stage in range(stages):
            _draw_passes(axes, [each for each in passes if (each.stage, each.what.kind) == (stage, kind)],
                         stages - 1 - stage, (colours[kind], _HATCHES[i], sheet.theme.paper))  # fmt: skip


def _draw_passes(axes: Axes, own: Sequence[Timed], place: int, look: tuple[str, str, str]) -> None:
    spans = [(each.start_s, each.end_s - each.start_s) for each in own]
    colour, hatch, edge = look
    axes.broken_barh(spans, (place - 0.4, 0.8), facecolor=colour, hatch=hatch, edgecolor=edge, linewidth=0.3,
                     gid=f"passes:{place}:{own[0].what.kind}")  # fmt: skip


def _colours(theme: Theme) -> dict[str, tuple[str, str]]:
    several = (*theme.parts, theme.series[2])
    return dict(zip(_WORDS, zip(several, _HATCHES, strict=True), strict=True))
