"""Cost of a million tokens against TPOT: a line for each hardware over its batches, and what nothing else beats."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.buying.ranking import Comparison
from roofline.buying.serving_costs import cost_over_batches
from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.scales import Scale, frame, plain, si
from roofline.charts.drawing.sheet import Sheet, names
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.number import Grid
from roofline.serving.curve import Curve, Served
from roofline.units import format_quantity

_MARKERS = ("o", "s", "^", "D", "v", "P")
MOST = len(_MARKERS)


@frozen(eq=False)
class Trace:
    """One hardware over the batches that it holds. [s, USD per million tokens]"""

    who: Served
    batches: Grid
    times: Grid
    costs: Grid

    @property
    def label(self) -> str:
        """What serves, in words."""
        return str(self.who)


def traces_of(result: Comparison) -> list[Trace]:
    """The lines, the cheapest hardware first. Raises UsageError where none has a price, or there are too many."""
    found = []
    for row in result.rows:
        cost = None if row.point is None else cost_over_batches(row.curve, result.question.traffic, result.terms)
        if cost is not None:
            found.append(_trace(row.curve, cost))
    if not found:
        msg = "no hardware has a price of this kind; give some with --prices to compare, or another kind"
        raise UsageError(msg)
    if len(found) > MOST:
        msg = f"{len(found)} lines are too many to tell apart; name at most {MOST} devices"
        raise UsageError(msg)
    return found


def _trace(curve: Curve, cost: Grid) -> Trace:
    assert curve.state is not None
    held = curve.holds
    return Trace(curve.who, curve.state.batches[held], curve.of("tpot_s")[held], cost[held])


def draw_front(result: Comparison, *, theme: str = "light", size: str = "slide", ax: Axes | None = None) -> Figure:
    """Down and to the left is better; the thick line is the Pareto front of all that is shown."""
    traces = traces_of(result)
    sheet = Sheet.open(theme, size, ax)
    sheet.head(f"{result.question.model.name}: cost against speed", result.question.traffic.words())
    sheet.foot(
        "Steady-state means of continuous batching at full load, no queueing; a line runs from batch 1, above, to the "
        f"largest that fits. Prices: {names([f'{t.label} {result_price(result, t)}' for t in traces])}."
    )
    colours = sheet.theme.series
    entries = [
        Entry(trace.label, _MARKERS[i], "-", colours[i % len(colours)], colours[i % len(colours)])
        for i, trace in enumerate(traces)
    ]
    entries.append(Entry("Pareto front", line="-", edge=sheet.theme.ink, width=3.0))
    sheet.y0 = draw_legend(sheet, entries, sheet.x0, sheet.x1, sheet.y0) + 0.5 * sheet.line
    times, costs = (np.concatenate([getattr(trace, name) for trace in traces]) for name in ("times", "costs"))
    x = Scale(times.min() / 1.15, times.max() * 1.15, "TPOT", text=si("s"))
    y = Scale(costs.min() / 1.15, costs.max() * 1.15, "USD per million tokens", text=plain)
    axes = frame(sheet, (sheet.x0, sheet.y0, sheet.x1, sheet.y1), x, y)
    front = [(point.tpot_s, point.usd_per_million) for point in result.front]
    axes.plot(*zip(*front, strict=True), color=sheet.theme.ink, linewidth=3.4, alpha=0.45, gid="front", zorder=2)
    for i, trace in enumerate(traces):
        powers = np.isin(trace.batches, 2.0 ** np.arange(13))
        colour = colours[i % len(colours)]
        axes.plot(trace.times, trace.costs, color=colour, linewidth=1.2, gid=f"line:{trace.label}", zorder=3)
        axes.plot(trace.times[powers], trace.costs[powers], linestyle="none", marker=_MARKERS[i], color=colour,
                  markersize=0.55 * sheet.size.small, gid=f"batches:{trace.label}", zorder=4)  # fmt: skip
    return sheet.figure


def result_price(result: Comparison, trace: Trace) -> str:
    """The price behind a line: value, kind and date."""
    offer = next(row.cost.offers[0] for row in result.rows if row.curve.who == trace.who and row.cost)
    unit = "USD" if offer.kind == "purchase" else "USD/h"
    return f"{offer.usd:,.10g} {unit} {offer.kind} ({offer.date})"


def describe_front(result: Comparison) -> str:
    """The chart in words, for those who cannot see it."""
    fastest, cheapest = result.front[0], result.front[-1]
    ends = [
        f"{word} {p.hardware} {p.dtype} at batch {p.batch} with {format_quantity(p.tpot_s, 'time_s')} and "
        f"{p.usd_per_million:.3g} USD per million tokens"
        for word, p in (("fastest", fastest), ("cheapest", cheapest))
    ]
    return f"{result.question.model.name}, cost against TPOT: {'; '.join(ends)}."


def front_rows(result: Comparison) -> list[dict[str, Any]]:
    """The data behind the chart: a row per hardware and batch."""
    front = {(point.hardware, point.dtype, point.batch) for point in result.front}
    curves = {row.curve.who: row.curve for row in result.rows}
    return [
        {"model": result.question.model.name, "hardware": trace.label, "batch": int(batch), "tpot_s": float(time),
         "usd_per_million_tokens": float(cost),
         "on_front": (curves[trace.who].hardware.name, curves[trace.who].dtype, int(batch)) in front}
        for trace in traces_of(result)
        for batch, time, cost in zip(trace.batches, trace.times, trace.costs, strict=True)
    ]  # fmt: skip
