"""Devices side by side: how soon the first token, how fast the next ones, how many in all, each with its band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roofline.charts.drawing.legend import Entry, draw_legend
from roofline.charts.drawing.scales import Scale, frame, si
from roofline.charts.drawing.sheet import POINTS, Sheet, measure, names, shorten, wrap
from roofline.charts.marks.points import as_list, devices_of, distinct_label, inputs_of, trust_of
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase
from roofline.units import format_quantity

_MOST, _MOST_INSIDE = 120, 16
"""So many lines a picture that grows with them has, and one inside an Axes, whose height is given."""

_FOOT = 16  # lines

_PITCH = 2.4
"""From one line of a picture to the next, in heights of type: a marker, and its value above it."""

_SHAPE = {"compute": "o", "memory": "s", "latency": "^", "link": "D"}


@frozen
class Measure:
    """A figure by which devices are compared, with its band; ``bound_by`` is what binds it. [s or tokens/s]"""

    name: str
    value: float
    low: float
    high: float
    bound_by: str

    @property
    def words(self) -> str:
        """The value with its unit."""
        if self.name == "tokens/s":
            return f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:.3g}"
        return format_quantity(self.value, "time_s")


def measures_of(prediction: Prediction) -> list[Measure]:
    """TTFT, TPOT and tokens/s, as far as the prediction has them; an encoder's time of one pass.

    The band of the rate is that of the request's time: all its errors are fully correlated.
    """
    found = []
    whole = prediction.ttft_s is not None
    names = {
        Phase.ENCODE: "time of a pass",
        Phase.LISTEN: "time of a pass",
        Phase.PREFILL: "TTFT" if whole else "time of a prefill",
        Phase.DECODE: "TPOT",
    }
    for phase, one in prediction.by_phase:
        f = one.figures
        found.append(Measure(names[phase], f.time_s, f.low_s, f.high_s, f.bound_by))
    first = sum(not phase.one_token for phase in prediction.phases)
    if whole:
        found[:first] = [_together(found[:first])]
    ends = [(p.steps * p.figures.time_s, p.figures.bound_by) for p in prediction.phases.values()]
    low = sum(p.steps * p.figures.low_s for p in prediction.phases.values())
    high = sum(p.steps * p.figures.high_s for p in prediction.phases.values())
    rate, request = prediction.tokens_per_s, prediction.request_s
    return [*found, Measure("tokens/s", rate, rate * request / high, rate * request / low, max(ends)[1])]


def _together(phases: list[Measure]) -> Measure:
    """The time to the first token: of encoders and prefill, bound by what binds the longest one."""
    longest = max(phases, key=lambda one: one.value)
    value, low, high = (sum(getattr(each, name) for each in phases) for name in ("value", "low", "high"))
    return Measure("TTFT", value, low, high, longest.bound_by)


def draw_compare(
    predictions: Sequence[Prediction], *, theme: str = "light", size: str = "slide", ax: Axes | None = None
) -> Figure:
    """One panel a figure, one line a device, the best first: expected value, band, and what binds.

    Raises UsageError where the predictions have not the same phases.
    """
    several = _ranked(predictions, _MOST if ax is None else _MOST_INSIDE)
    count = len(measures_of(several[0]))
    sheet = Sheet.open(theme, size, ax)
    narrow = sheet.narrow
    if ax is None:
        sheet = Sheet.open(theme, size, ax, tall=_tall(sheet, several, count))
    models = list(dict.fromkeys(p.model.name for p in several))
    sheet.head(f"{names(models)} on {devices_of(several)}", inputs_of(several[0]))
    sheet.foot(trust_of(*several), most=_FOOT)
    bounds = [b for b in _SHAPE if any(m.bound_by == b for p in several for m in measures_of(p))]
    entries = [
        Entry(f"{bound}-bound", _SHAPE[bound], "", sheet.theme.bound[bound], sheet.theme.ink) for bound in bounds
    ]
    entries.append(Entry("band", line="-", edge=sheet.theme.muted, width=2.6))
    if misfits := [p for p in several if p.memory.fits is False]:
        entries.append(Entry(f"does not fit: {names([distinct_label(several, p) for p in misfits])}", "x", "", "none",
                             sheet.theme.ink))  # fmt: skip
    sheet.y0 = draw_legend(sheet, entries, sheet.x0, sheet.x1, sheet.y0) + 0.5 * sheet.line
    column = sheet.x0
    if not narrow:  # one column of names for all panels
        widest = max(measure(distinct_label(several, p), sheet.size.small)[0] for p in several)
        sheet.x0 += min(widest + sheet.size.small, 0.3 * sheet.width)
    for index, box in enumerate(sheet.panels(count, stacked=narrow)):
        rows_at = _draw_panel(sheet, several, index, box, named=narrow)
    if not narrow:
        for p, middle in zip(several, rows_at, strict=True):
            sheet.write((column, middle), shorten(distinct_label(several, p), sheet.size.small, sheet.x0 - column))
    return sheet.figure


def describe_compare(predictions: Sequence[Prediction]) -> str:
    """The chart in words, for those who cannot see it."""
    several = _ranked(predictions)
    told = []
    for p in several:
        figures = [m.words if m.name == "tokens/s" else f"{m.name} {m.words}" for m in measures_of(p)]
        misfit = ", which does not fit" if p.memory.fits is False else ""
        told.append(f"{distinct_label(several, p)} {', '.join(figures)} tokens/s{misfit}")
    models = names(list(dict.fromkeys(p.model.name for p in several)))
    return f"{models} ({inputs_of(several[0])}), most tokens/s first: {'; '.join(told)}."


def compare_rows(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The data behind the chart: a row per device and figure."""
    return [
        {"model": p.model.name, "hardware": p.hardware.name, "fits": p.memory.fits, "figure": m.name, "value": m.value,
         "low": m.low, "high": m.high, "bound_by": m.bound_by, "provenance": p.constants.provenance,
         "constants": p.constants.whose}
        for p in _ranked(predictions)
        for m in measures_of(p)
    ]  # fmt: skip


def _tall(sheet: Sheet, several: list[Prediction], count: int) -> float:
    """How many times its usual height a picture needs, so that no line of a device lies on another's."""
    size, line = sheet.size, sheet.line
    foot = len(wrap(trust_of(*several), size.small, sheet.width, _FOOT))
    around = 2 * size.title + (5 + foot) * line + 3 * size.text  # title, what it rests on, legend, foot, margins
    panel = _PITCH * size.small * len(several) + 4 * line  # its rows, its name, its scale
    panels = count * panel + (count - 1) * 2 * size.small if sheet.narrow else panel
    return max((around + panels) / (size.height * POINTS), 1 if size.name == "slide" else 0)


def _ranked(predictions: Sequence[Prediction], most: int = _MOST) -> list[Prediction]:
    several = sorted(as_list(predictions, most), key=lambda p: -p.tokens_per_s)
    if len({tuple(p.phases) for p in several}) > 1:
        msg = "compare needs the same phases of each model; encoders and decoders have no figure in common"
        raise UsageError(msg)
    return several


def _draw_panel(
    sheet: Sheet, several: list[Prediction], index: int, box: tuple[float, float, float, float], *, named: bool
) -> list[float]:
    """One figure of every device; returns where the lines of the devices are. [pt]"""
    x0, y0, x1, y1 = box
    points = sheet.size.small
    chosen = [measures_of(p)[index] for p in several]
    name = chosen[0].name
    better = "more is better" if name == "tokens/s" else "less is better"
    sheet.write((x0, y1), shorten(f"{name} ({better})", points, x1 - x0, "bold"), align=("left", "top"), weight="bold")
    y1 -= 1.2 * sheet.line
    labels = [shorten(distinct_label(several, p), points, 0.42 * (x1 - x0)) for p in several]
    low, high = min(m.low for m in chosen), max(m.high for m in chosen)
    text = si() if name == "tokens/s" else si("s")
    x = Scale(low / 1.25, high * 1.25, "tokens/s" if name == "tokens/s" else "time", text=text)
    ticks = tuple((float(i), label) for i, label in enumerate(labels)) if named else ()
    y = Scale(len(several) - 0.3, -0.7, "", log=False, ticks=ticks or ((0.0, ""),), grid=False)
    ax = frame(sheet, (x0, y0, x1, y1), x, y)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for row, m in enumerate(chosen):
        whose = f"{several[row].hardware.name}:{m.name}"
        ax.plot([m.low, m.high], [row, row], color=sheet.theme.muted, linewidth=2.6, linestyle="-", marker="none",
                solid_capstyle="butt", alpha=0.75, gid=f"band:{whose}", zorder=2)  # fmt: skip
        misfit = several[row].memory.fits is False
        ax.plot([m.value], [row], marker="x" if misfit else _SHAPE[m.bound_by], markersize=0.95 * points,
                markerfacecolor=sheet.theme.bound[m.bound_by], markeredgecolor=sheet.theme.ink, linestyle="none",
                markeredgewidth=1.5 if misfit else 0.7, gid=f"value:{whose}", zorder=3)  # fmt: skip
        _write_value(sheet, ax, m, row)
    return [sheet.locate(ax, low, row)[1] for row in range(len(several))]


def _write_value(sheet: Sheet, ax: Axes, m: Measure, row: int) -> None:
    """The value above its marker, pushed inwards where the axes end."""
    points = sheet.size.small
    centre, middle = sheet.locate(ax, m.value, row)
    left, _ = sheet.locate(ax, ax.get_xlim()[0], row)
    right, _ = sheet.locate(ax, ax.get_xlim()[1], row)
    half = measure(m.words, points, "bold")[0] / 2
    at = min(max(centre, left + half + 1), right - half)
    sheet.write((at, middle + 0.7 * points), m.words, align=("center", "bottom"), weight="bold")
