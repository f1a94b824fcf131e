"""A server's results beside what was predicted of it, as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from roofline.reports.prediction import quantity, table
from roofline.served.comparison import Figure, ServingComparison, score_of
from roofline.units import format_figures
from roofline.validation.served_results import METRICS, RATES


def served_text(found: Sequence[ServingComparison]) -> str:
    """The verdict, then each run with its figures."""
    score = score_of(found)
    lines = []
    if score:
        told = [each.inside for run in found for each in run.figures if each.inside is not None]
        lines += [
            f"median APE {score.median:.1%}, mean {score.mean:.1%}, bias {score.bias:.2f} x over {score.n} figures; "
            f"{sum(told)} of {len(told)} lie in the band"
        ]
    for each in found:
        lines += ["", *_run(each)]
    return "\n".join(lines).lstrip("\n")


def _run(found: ServingComparison) -> list[str]:
    load = found.result.load
    named = found.result.model or "a model that it does not name"
    lines = [
        f"{found.result.tool}: {named}, {load.words}",
        f"predicted: {found.engine.words} on {found.hardware}, {found.layout}",
    ]
    header = ("metric", "statistic", "measured", "predicted", "off", "band", "in band")
    lines += table(header, [_row(each) for each in found.figures], left=(0, 1))
    return [*lines, *(f"note: {note}" for note in found.notes)]


def _row(each: Figure) -> tuple[str, ...]:
    def told(value: float | None) -> str:
        if value is None:
            return "-"
        return format_figures(value) if each.metric in RATES else quantity(value, "time_s")

    band = "-" if each.inside is None else f"{told(each.low)} to {told(each.high)}"
    inside = {None: "not predicted", True: "yes", False: "no"}[each.inside]
    error = "-" if each.error is None else f"{each.error:+.1%}"
    return METRICS[each.metric], each.statistic, told(each.measured), told(each.predicted), error, band, inside
