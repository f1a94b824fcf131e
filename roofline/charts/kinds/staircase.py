"""The trade of recompute: what a microbatch saves against the time to make the rest again, choice by choice."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.placement import Field, rings, segment_marks
from roofline.charts.drawing.scales import Scale, frame, si
from roofline.charts.drawing.sheet import Sheet, measure
from roofline.program.recompute import Recompute
from roofline.training.recomputing.staircase import Stair, Staircase

Box: TypeAlias = tuple[float, float, float, float]


def draw_staircase(sheet: Sheet, found: Staircase, chosen: Recompute, box: Box) -> None:
    """Bytes against seconds of one microbatch over all layers; each choice is named by what it drops more."""
    x0, y0, x1, y1 = box
    colours = sheet.theme.series
    entries = [Entry("choices that no other beats, by what each drops more", line="-", edge=colours[0], width=1.4),
               Entry("the choice", marker="o", fill=colours[1], edge=colours[1])]  # fmt: skip
    y0 = draw_legend(sheet, entries, x0, x1, y0) + 0.5 * sheet.line
    saved, again = ([getattr(stair, name) for stair in found.stairs] for name in ("saved_bytes", "again_s"))
    x = Scale(0.0, 1.1 * max(saved), "saved by a microbatch (B)", log=False, text=si("B"))
    y = Scale(0.0, 1.15 * max(again) or 1e-6, "made again (s)", log=False, text=si("s"))
    axes = frame(sheet, (x0, y0, x1, y1), x, y)
    size = 0.55 * sheet.size.small
    axes.step(saved, again, where="pre", color=colours[0], linewidth=1.4, marker="o", markersize=size, gid="stairs")
    for stair in (each for each in found.stairs if each.policy == chosen):
        axes.plot([stair.saved_bytes], [stair.again_s], color=colours[1], marker="o", markersize=2 * size, gid="chosen",
                  zorder=4)  # fmt: skip
    room = Field(*sheet.locate(axes, x.low, y.low), *sheet.locate(axes, x.high, y.high))
    room.mark(segment_marks(np.array([sheet.locate(axes, *spot) for spot in zip(saved, again, strict=True)])))
    for before, stair in zip((None, *found.stairs), found.stairs, strict=False):
        words = _words(before, stair)
        width, height = measure(words, sheet.size.small)
        centre = sheet.locate(axes, stair.saved_bytes, stair.again_s)
        spots, costs = rings(centre, width, height, 0.7 * sheet.size.small, 3.0 * sheet.size.small)
        if words and (spot := room.place(width, height, spots, costs=costs, origin=centre)):
            sheet.write(spot, words, align=("center", "center"), colour=sheet.theme.muted)


def _words(before: Stair | None, stair: Stair) -> str:
    """What a choice drops that the one before it kept; nothing where it keeps some of that again."""
    if before is None or not stair.policy.dropped > before.policy.dropped:
        return "none" if before is None else ""
    return ", ".join(sorted(f"{op}.{name}" for _, op, name in stair.policy.dropped - before.policy.dropped))
