"""Predicted against measured: every point, the bands of 10 and 25 %, the errors, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.scales import Scale, chosen_ticks, frame, si
from roofline.charts.drawing.sheet import Sheet, shorten
from roofline.errors import UsageError
from roofline.validation.scores import BANDS, Pair, Score, ratios


def draw_validation(
    pairs: Sequence[Pair], title: str = "", *, theme: str = "light", size: str = "slide", ax: Axes | None = None
) -> Figure:
    """Predicted over measured, log-log, and the histogram of their ratio; held-out points filled, fitted ones hollow.

    Raises UsageError for no pairs, or for a time that is not above 0.
    """
    _check(pairs)
    sheet = Sheet.open(theme, size, ax, tall=1.75 if size == "column" else 1.0)
    held, fitted = _split(pairs)
    sheet.head(title or "Predicted against measured", _subtitle(held, fitted))
    sheet.y0 = draw_legend(sheet, _legend(sheet, held, fitted), sheet.x0, sheet.x1, sheet.y0) + 0.5 * sheet.line
    left, right = sheet.panels(2)
    if sheet.narrow:  # the points need more room than the histogram
        shift = 0.18 * (left[3] - left[1])
        left, right = (left[0], left[1] - shift, left[2], left[3]), (right[0], right[1], right[2], right[3] - shift)
    _draw_points(sheet, held, fitted, left)
    _draw_errors(sheet, held or fitted, right)
    return sheet.figure


def describe_validation(pairs: Sequence[Pair]) -> str:
    """The chart in words, for those who cannot see it."""
    _check(pairs)
    held, fitted = _split(pairs)
    told = [
        f"{name}: {', '.join(Score.of(some).words())}"
        for name, some in (("held out", held), ("fitted", fitted))
        if some
    ]
    return f"Predicted against measured times; {'; '.join(told)}."


def validation_rows(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """The data behind the chart: a row per point."""
    return [
        {"kind": p.kind, "predicted_s": p.predicted_s, "measured_s": p.measured_s,
         "error": p.predicted_s / p.measured_s - 1, "split": "fitted" if p.fitted else "held-out"}
        for p in pairs
    ]  # fmt: skip


def _check(pairs: Sequence[Pair]) -> None:
    if not pairs:
        msg = "no pair of a predicted and a measured time; give one at least"
        raise UsageError(msg)
    times = np.array([(p.predicted_s, p.measured_s) for p in pairs])
    if not (np.isfinite(times) & (times > 0)).all():
        msg = "a predicted or measured time is not above 0 seconds"
        raise UsageError(msg)


def _split(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    return [p for p in pairs if not p.fitted], [p for p in pairs if p.fitted]


def _subtitle(held: list[Pair], fitted: list[Pair]) -> str:
    score = Score.of(held or fitted)
    told = f"median error {score.median:.1%}, 90th percentile {score.p90:.1%}, bias {score.bias:.2f}x, n {score.n:,}"
    if not held:
        return f"{told}; all of them fitted: no evidence for other shapes"
    return f"held out: {told}" if fitted else told


def _legend(sheet: Sheet, held: list[Pair], fitted: list[Pair]) -> list[Entry]:
    theme = sheet.theme
    entries = [Entry("held out", "o", "", theme.bound["memory"], "none")] if held else []
    if fitted:
        entries.append(Entry("fitted", "o", "", "none", theme.bound["compute"]))
    return [*entries, Entry("predicted = measured", line="-", edge=theme.ink, width=1.2),
            Entry("within 10 and 25%", fill=theme.faint, hatch="")]  # fmt: skip


def _draw_points(sheet: Sheet, held: list[Pair], fitted: list[Pair], box: tuple[float, float, float, float]) -> None:
    theme = sheet.theme
    times = [t for p in (*held, *fitted) for t in (p.predicted_s, p.measured_s)]
    low, high = min(times) / 1.5, max(times) * 1.5
    x = Scale(low, high, "measured time", text=si("s"))
    ax = frame(sheet, box, x, Scale(low, high, "predicted time", text=si("s")))
    ends = np.array([low, high])
    for band, strength in zip(BANDS, (0.5, 1.0), strict=True):
        ax.fill_between(ends, ends * (1 - band), ends * (1 + band), color=theme.muted, alpha=0.16 * (0.5 + strength),
                        linewidth=0, zorder=1, gid=f"band:{band:g}")  # fmt: skip
    ax.plot(ends, ends, color=theme.ink, linewidth=1.2, linestyle="-", marker="none", gid="equal", zorder=2)
    many = len(held) + len(fitted) > 2000
    side = (1.1 if many else 2.4) * (0.8 if sheet.narrow else 1.0)
    for name, some, face, edge in (("fitted", fitted, "none", theme.bound["compute"]),
                                   ("held-out", held, theme.bound["memory"], "none")):  # fmt: skip
        if some:
            ax.scatter([p.measured_s for p in some], [p.predicted_s for p in some], s=side**2, marker="o",
                       facecolors=face, edgecolors=edge, linewidths=0.8, alpha=0.45 if many else 0.75, zorder=3,
                       rasterized=many, gid=f"points:{name}")  # fmt: skip


def _draw_errors(sheet: Sheet, pairs: list[Pair], box: tuple[float, float, float, float]) -> None:
    """The histogram of predicted / measured, and the score above it."""
    theme, points = sheet.theme, sheet.size.small
    x0, y0, x1, y1 = box
    words = Score.of(pairs).words()
    for index, text in enumerate(words):
        column, row = index % 2, index // 2
        at = x0 + column * 0.5 * (x1 - x0)
        sheet.write(
            (at, y1 - row * sheet.line), shorten(text, points, 0.5 * (x1 - x0)), align=("left", "top"), weight="bold"
        )
    y1 -= (len(words) + 1) // 2 * sheet.line + 0.5 * points
    ratio = np.log2(ratios(pairs))
    reach = min(max(float(np.quantile(np.abs(ratio), 0.995)) * 1.15, 0.5), 4.0)
    counts, edges = np.histogram(np.clip(ratio, -reach, reach), bins=41, range=(-reach, reach))
    ticks = tuple(
        (float(np.log2(r)), f"{r:g}x") for r in (0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.33, 2, 4) if abs(np.log2(r)) < reach
    )
    few = (
        ((float(-1), "0.5x"), (0.0, "1x"), (1.0, "2x"))
        if reach > 1
        else ((-0.415, "0.75x"), (0.0, "1x"), (0.411, "1.33x"))
    )
    x = Scale(-reach, reach, "predicted / measured", log=False, ticks=ticks, grid=False)
    if len(chosen_ticks(x, x1 - x0 - 4 * points, points, across=True)) < len(ticks):
        x = Scale(-reach, reach, "predicted / measured", log=False, ticks=few, grid=False)
    y = Scale(0.0, 1.1 * float(counts.max()), "points", log=False, text=lambda v: f"{v:g}")
    ax = frame(sheet, (x0, y0, x1, y1), x, y)
    for band in BANDS:
        ax.axvspan(np.log2(1 - band), np.log2(1 + band), color=theme.muted, alpha=0.16, linewidth=0, zorder=1)
    ax.bar((edges[:-1] + edges[1:]) / 2, counts, width=np.diff(edges) * 0.92, color=theme.bound["memory"], linewidth=0,
           zorder=3, gid="errors")  # fmt: skip
    ax.axvline(0.0, color=theme.ink, linewidth=1.0, zorder=4)
