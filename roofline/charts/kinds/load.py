"""A simulated load: how many requests wait how long, and what is served, and served in time, as the load grows."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.scales import Scale, frame, plain, si
from roofline.charts.drawing.sheet import Sheet
from roofline.number import Grid
from roofline.simulation.simulate import Simulation
from roofline.simulation.statistics import TIMES, Outcome
from roofline.units import format_quantity

_LEAST_S = 1e-4
_LINES = ("-", "--", "-", "--")


def draw_load(found: Simulation, *, theme: str = "light", size: str = "slide") -> Figure:
    """Left: the part of the requests that waited no longer than a time. Right, of an open loop: requests per second."""
    points = found.curve
    sheet = Sheet.open(theme, size, None, tall=1.7 if points and size == "column" else 1.0)
    model, asked = found.deployment.clock.request.model.name, f"{found.outcome.requests:,} requests {found.asked.words}"
    sheet.head(f"{model} on {found.deployment.words}: {asked}", found.workload.words)
    sheet.foot(
        "An engine's scheduler and cache simulated request by request, every step at its expected time. "
        + (f"At saturation {found.saturation:.3g} requests/s are served." if found.saturation else "")
    )
    boxes = sheet.panels(2 if points else 1)
    _draw_waits(sheet, found, boxes[0])
    if points:
        _draw_rates(sheet, found, points, boxes[1])
    return sheet.figure


def _draw_waits(sheet: Sheet, found: Simulation, box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = box
    times = {name: _sorted(found, name) for name in found.outcome.times}
    colours = sheet.theme.series
    entries = [
        Entry(TIMES[name], line="--" if _LINES[i] == "--" else "-", edge=colours[i], width=1.6)
        for i, name in enumerate(times)
    ]
    y0 = draw_legend(sheet, entries, x0, x1, y0) + 0.5 * sheet.line
    low = max(_LEAST_S, min(float(np.quantile(each, 0.02)) for each in times.values()))
    high = max(float(each[-1]) for each in times.values())
    x = Scale(low / 1.2, high * 1.2, "time", text=si("s"))
    y = Scale(0.0, 1.0, "part of the requests", log=False, text=plain)
    axes = frame(sheet, (x0, y0, x1, y1), x, y)
    for i, (name, each) in enumerate(times.items()):
        parts = np.arange(1, len(each) + 1) / len(each)
        axes.plot(each, parts, color=colours[i], linestyle=_LINES[i], linewidth=1.6, gid=f"waits:{name}")
    for target, name in ((found.targets.ttft_s, "ttft_s"), (found.targets.tpot_s, "tpot_s")):
        if target is not None and x.low < target < x.high:
            colour = colours[list(times).index(name)]
            axes.plot([target, target], [0, 1], color=colour, linestyle=":", linewidth=1.1, gid=f"target:{name}")


def _sorted(found: Simulation, name: str) -> Grid:
    times = getattr(found.counted, name)
    return np.sort(times[~np.isnan(times)])


def _draw_rates(
    sheet: Sheet, found: Simulation, points: list[tuple[float, Outcome]], box: tuple[float, float, float, float]
) -> None:
    x0, y0, x1, y1 = box
    theme = sheet.theme
    good = not found.targets.none
    entries = [
        Entry("served", line="-", edge=theme.series[0], width=1.6),
        *([Entry("within the targets", line="-", edge=theme.series[2], width=2.4)] if good else []),
        Entry("arriving", line="--", edge=theme.muted),
    ]
    y0 = draw_legend(sheet, entries, x0, x1, y0) + 0.5 * sheet.line
    loads = [load for load, _ in points]
    most = loads[-1] * 1.03
    x = Scale(0.0, most, "requests per second that arrive", log=False, text=plain)
    axes = frame(sheet, (x0, y0, x1, y1), x, Scale(0.0, most, "requests per second", log=False, text=plain))
    axes.plot([0, most], [0, most], color=theme.muted, linestyle="--", linewidth=1.0, gid="arriving")
    served = [each.requests_per_s for _, each in points]
    axes.plot(loads, served, color=theme.series[0], linewidth=1.6, marker="o", markersize=3.5, gid="served")
    if good:
        within = [each.goodput for _, each in points]
        axes.plot(loads, within, color=theme.series[2], linewidth=2.4, marker="o", markersize=4.0, gid="goodput")


def describe_load(found: Simulation) -> str:
    """The chart in words, for those who cannot see it."""
    waits = (
        f"{TIMES[name]} {format_quantity(each.percentiles[50], 'time_s')} at the median, "
        f"{format_quantity(each.percentiles[95], 'time_s')} at 95 %"
        for name, each in found.outcome.times.items()
        if each.percentiles[50] > 0
    )
    model = found.deployment.clock.request.model.name
    return f"{model} on {found.deployment.words}, {found.asked.words}: {'; '.join(waits)}."
