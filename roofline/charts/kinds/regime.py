"""Batch by length: what binds, where that changes, how long a token takes, where it no longer fits; and A against B."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.placement import Field, segment_marks
from roofline.charts.drawing.scales import Scale, frame, powers_of_two, si
from roofline.charts.drawing.sheet import Sheet, measure, names
from roofline.charts.marks.points import device_of, label_of, trust_of
from roofline.errors import UsageError
from roofline.number import Grid
from roofline.prediction.regime_maps import PARTS, RegimeMap, roof_boundary, share_boundary


def draw_regime(found: RegimeMap, *, theme: str = "light", size: str = "slide", ax: Axes | None = None) -> Figure:
    """What binds, in the colour of the largest part, paler where it wins narrowly; hatched where it does not fit."""
    sheet, axes, room = _open(found, f"{label_of(found.prediction)}: what binds {found.phase}", theme, size, ax)
    shares = np.stack([found.seconds[part] for part in PARTS]) / found.time_s
    colours = np.array([to_rgb(sheet.theme.bound[part]) for part in PARTS])
    strength = 0.18 + 0.6 * np.clip((shares.max(axis=0) - 1 / 3) / (2 / 3), 0, 1)[..., None]
    paper = np.array(to_rgb(sheet.theme.paper))
    _paint(axes, found, strength * colours[found.bound_by] + (1 - strength) * paper)
    _hatch(sheet, axes, found)
    _boundaries(sheet, axes, found, room)
    _name_regions(sheet, axes, found, room)
    _contours(sheet, axes, found, room)
    return sheet.figure


def draw_speed_up(
    found: RegimeMap, base: RegimeMap, *, theme: str = "light", size: str = "slide", ax: Axes | None = None
) -> Figure:
    """How many times faster the first map's device is than the second's, over batch and length.

    Raises UsageError for maps of another grid, phase or model.
    """
    _check_pair(found, base)
    fast, slow = device_of(found.prediction), device_of(base.prediction)
    title = f"{found.prediction.model.name}, {found.phase}: {fast} against {slow}"
    sheet, axes, room = _open(found, title, theme, size, ax, base)
    ratio = np.log2(base.time_s / found.time_s)
    most = max(float(np.abs(ratio).max()), 0.05)
    ends = (sheet.theme.bound["compute"], sheet.theme.paper, sheet.theme.bound["memory"])
    scale = LinearSegmentedColormap.from_list("speed-up", ends)
    _paint(axes, found, scale(0.5 + 0.42 * ratio / most)[..., :3])
    _hatch(sheet, axes, found)
    _hatch(sheet, axes, base, "\\\\\\")
    levels = _speed_levels(2.0**ratio)
    _lines(sheet, axes, found, base.time_s / found.time_s, levels, "speed-up", room, lambda v: f"{v:.3g}x")
    return sheet.figure


def describe_regime(found: RegimeMap) -> str:
    """The map in words, for those who cannot see it."""
    share = {part: float((found.bound_by == index).mean()) for index, part in enumerate(PARTS)}
    told = [
        f"{part} binds {value:.0%} of the map" for part, value in sorted(share.items(), key=lambda s: -s[1]) if value
    ]
    ends = []
    line = share_boundary(found.prediction, found.phase, found.lengths[[0, -1]].tolist(), float(found.batches[-1]))
    for length, batch in zip(found.lengths[[0, -1]], line, strict=True):
        turn = f"at batch {np.ceil(batch):,.0f}" if np.isfinite(batch) else "at no batch of the map"
        ends.append(f"{turn} for {length:,.0f} tokens")
    return (
        f"What binds {found.phase} of {label_of(found.prediction)} over batch and context: {names(told)}; "
        f"compute overtakes memory {names(ends)}."
    )


def describe_speed_up(found: RegimeMap, base: RegimeMap) -> str:
    """The map of two devices in words."""
    ratio = base.time_s / found.time_s
    return (
        f"{found.prediction.model.name}, {found.phase}: {device_of(found.prediction)} is {ratio.min():.3g} to "
        f"{ratio.max():.3g} times as fast as {device_of(base.prediction)} over the map of batch and context."
    )


def regime_rows(found: RegimeMap, base: RegimeMap | None = None) -> list[dict[str, Any]]:
    """The data behind the map: a row per batch and length."""
    rows: list[dict[str, Any]] = []
    fits = found.fits
    for i, batch in enumerate(found.batches):
        for j, length in enumerate(found.lengths):
            row: dict[str, Any] = {
                "batch": round(float(batch), 3),
                "tokens": round(float(length), 3),
                "time_s": float(found.time_s[i, j]),
            }
            row |= {f"{part}_s": float(found.seconds[part][i, j]) for part in PARTS}
            row["bound_by"] = PARTS[found.bound_by[i, j]]
            row["fits"] = None if fits is None else bool(fits[i, j])
            rows.append(row if base is None else {**row, "base_time_s": float(base.time_s[i, j])})
    return rows


def _open(
    found: RegimeMap, title: str, theme: str, size: str, ax: Axes | None, base: RegimeMap | None = None
) -> tuple[Sheet, Axes, Field]:
    sheet = Sheet.open(theme, size, ax, tall=1.2 if size == "column" else 1.0)
    p = found.prediction
    sheet.head(title, f"{p.recipe.weights.name}, {p.engine.words}")
    predictions = (p,) if base is None else (p, base.prediction)
    sheet.foot(trust_of(*predictions))
    sheet.y0 = draw_legend(sheet, _legend(sheet, found, base), sheet.x0, sheet.x1, sheet.y0) + 0.5 * sheet.line
    (low, high), (least, most) = found.lengths[[0, -1]], found.batches[[0, -1]]
    told = "context (tokens)" if found.phase.one_token else "prompt (tokens)"
    x = Scale(low, high, told, ticks=powers_of_two(low, high), grid=False)
    y = Scale(least, most, "batch (sequences)", ticks=powers_of_two(least, most), grid=False)
    axes = frame(sheet, (sheet.x0, sheet.y0, sheet.x1, sheet.y1), x, y)
    (x0, y0), (x1, y1) = sheet.locate(axes, low, least), sheet.locate(axes, high, most)
    return sheet, axes, Field(x0 + 2, y0 + 2, x1 - 2, y1 - 2)


def _legend(sheet: Sheet, found: RegimeMap, base: RegimeMap | None) -> list[Entry]:
    theme = sheet.theme
    if base is not None:
        entries = [Entry(f"{device_of(found.prediction)} faster", fill=theme.bound["memory"], hatch=""),
                   Entry(f"{device_of(base.prediction)} faster", fill=theme.bound["compute"], hatch="")]  # fmt: skip
        for one, hatch in ((found, "////"), (base, "\\\\\\\\")):
            if one.fits is not None and not one.fits.all():
                entries.append(Entry(f"does not fit {device_of(one.prediction)}", fill=theme.muted, hatch=hatch))
        return entries
    entries = [Entry(f"{part}-bound", fill=theme.bound[part], hatch="")
               for i, part in enumerate(PARTS) if (found.bound_by == i).any()]  # fmt: skip
    entries += [Entry("compute = memory, expected", line="-", edge=theme.ink, width=2.0),
                Entry("on the data sheet's roofs", line="--", edge=theme.ink, width=1.2),
                Entry("time per token", line="-", edge=theme.muted, width=0.8)]  # fmt: skip
    if found.fits is not None and not found.fits.all():
        entries.append(Entry("does not fit", fill=theme.muted, hatch="////"))
    return entries


def _edges(centres: Grid) -> Grid:
    """The borders of cells around centres, in logarithms, kept to the outer centres."""
    logs = np.log(centres)
    return np.asarray(np.exp(np.concatenate([logs[:1], (logs[:-1] + logs[1:]) / 2, logs[-1:]])))


def _paint(ax: Axes, found: RegimeMap, colours: Grid) -> None:
    ax.pcolormesh(_edges(found.lengths), _edges(found.batches), colours, rasterized=True, zorder=1, gid="map")


def _hatch(sheet: Sheet, ax: Axes, found: RegimeMap, hatch: str = "///") -> None:
    if found.largest is None or found.fits is None or found.fits.all():
        return
    top = float(found.batches[-1])
    edge = np.clip(found.largest, float(found.batches[0]), top)
    ax.fill_between(found.lengths, edge, top, facecolor="none", edgecolor=sheet.theme.ink, hatch=hatch, linewidth=0.0,
                    alpha=0.35, zorder=2, gid="misfit")  # fmt: skip
    ax.plot(found.lengths, edge, color=sheet.theme.ink, linewidth=0.9, linestyle=(0, (1, 1.5)), marker="none", zorder=3,
            gid="largest")  # fmt: skip


def _boundaries(sheet: Sheet, ax: Axes, found: RegimeMap, room: Field) -> None:
    top, low = float(found.batches[-1]), float(found.batches[0])
    lines = {"expected": share_boundary(found.prediction, found.phase, found.lengths.tolist(), top),
             "roofs": roof_boundary(found.prediction, found.phase, found.lengths.tolist())}  # fmt: skip
    for name, batches in lines.items():
        inside = np.where((batches > low) & (batches <= top), batches, np.nan)
        solid = name == "expected"
        ax.plot(found.lengths, inside, color=sheet.theme.ink, linewidth=2.0 if solid else 1.2, marker="none",
                linestyle="-" if solid else "--", gid=f"boundary:{name}", zorder=5)  # fmt: skip
        _mark(sheet, ax, found.lengths, inside, room)


def _mark(sheet: Sheet, ax: Axes, xs: Grid, ys: Grid, room: Field) -> None:
    seen = [(x, y) for x, y in zip(xs, ys, strict=True) if np.isfinite(y)]
    if len(seen) > 1:
        room.mark(segment_marks(np.array([sheet.locate(ax, x, y) for x, y in seen])))


def _name_regions(sheet: Sheet, ax: Axes, found: RegimeMap, room: Field) -> None:
    """The name of what binds, in the middle of its region if it fits there."""
    for index, part in enumerate(PARTS):
        rows, columns = np.nonzero(found.bound_by == index)
        if not len(rows):
            continue
        words = f"{part}-bound"
        width, height = measure(words, sheet.size.text, "bold")
        spots = [sheet.locate(ax, found.lengths[j], found.batches[i]) for i, j in zip(rows, columns, strict=True)]
        middle = np.mean(spots, axis=0)
        inside = {(int(i), int(j)) for i, j in zip(rows, columns, strict=True)}
        ranked = sorted(range(len(spots)), key=lambda k: float(np.hypot(*(np.array(spots[k]) - middle))))
        roomy = [spots[k] for k in ranked if _neighbours(int(rows[k]), int(columns[k])) <= inside][:200]
        if roomy and (spot := room.place(width, height, roomy)):
            sheet.write(
                spot, words, points=sheet.size.text, weight="bold", align=("center", "center"), colour=sheet.theme.ink
            )


def _neighbours(row: int, column: int) -> set[tuple[int, int]]:
    return {(row + i, column + j) for i in (-2, 0, 2) for j in (-5, 0, 5)}


def _contours(sheet: Sheet, ax: Axes, found: RegimeMap, room: Field) -> None:
    values = found.token_s
    decades = range(int(np.floor(np.log10(values.min()))), int(np.ceil(np.log10(values.max()))) + 1)
    levels = [m * 10.0**d for d in decades for m in (1, 2, 5) if values.min() < m * 10.0**d < values.max()]
    while len(levels) > 9:
        levels = levels[::2]
    _lines(sheet, ax, found, values, levels, "token", room, si("s"))


def _speed_levels(ratio: Grid) -> list[float]:
    low, high = float(ratio.min()), float(ratio.max())
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 50, 1000) if (high - low) / s <= 9)
    first = int(np.ceil(low / step))
    return [round(k * step, 10) for k in range(first, int(high / step) + 1) if low < k * step < high]


def _lines(
    sheet: Sheet, ax: Axes, found: RegimeMap, values: Grid, levels: list[float], gid: str, room: Field, text: Any
) -> None:
    """Contours with their values on them, where a value finds room."""
    if not levels:
        return
    drawn = ax.contour(found.lengths, found.batches, values, levels=levels, colors=sheet.theme.ink, linewidths=0.6,
                       alpha=0.75, zorder=4)  # fmt: skip
    drawn.set_gid(f"contour:{gid}")
    for level, segments in zip(drawn.levels, drawn.allsegs, strict=True):
        if not segments:
            continue
        longest = max(segments, key=len)
        words = text(float(level))
        width, height = measure(words, sheet.size.small)
        order = sorted(range(len(longest)), key=lambda k: abs(k - 0.5 * len(longest)))
        spots = [sheet.locate(ax, *longest[k]) for k in order]
        if spot := room.place(width, height, spots, price=15.0):
            sheet.write(spot, words, align=("center", "center"), plate=True)


def _check_pair(found: RegimeMap, base: RegimeMap) -> None:
    same = found.phase == base.phase and found.prediction.model.name == base.prediction.model.name
    grids = np.array_equal(found.batches, base.batches) and np.array_equal(found.lengths, base.lengths)
    if not same or not grids:
        msg = "a speed-up map needs two maps of one model, phase and grid"
        raise UsageError(msg)
