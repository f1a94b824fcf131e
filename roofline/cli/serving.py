"""The verbs ``compare`` and ``size``: the buyer's questions."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from roofline.cli.console import refuse, tell, warn
from roofline.options.keywords import part
from roofline.options.verbs import CompareFlags, CompareOptions, ServingOutput, SizeFlags, SizeOptions


def compare(model: str, flags: CompareFlags) -> None:
    """Hardware side by side, each at its best batch under the targets: times, rates, power, cost, and how sure."""
    hardware, shown = _checked(flags["hardware"], part(ServingOutput, flags))
    from roofline.buying import api as buying
    from roofline.reports.serving import comparison as report_serving
    from roofline.reports.serving import rows as serving_rows

    text = partial(report_serving.comparison_text, pareto=flags["pareto"], wide=flags["wide"])
    result = buying.compare(model, hardware, **part(CompareOptions, flags))
    _tell(result, text, serving_rows.comparison_rows, shown)


def size(model: str, flags: SizeFlags) -> None:
    """The fewest rentable units that serve a load within the targets, and the runner-up; exit 4 if none does."""
    hardware, shown = _checked(flags["hardware"], part(ServingOutput, flags))
    from roofline.buying import api as buying
    from roofline.reports.serving import rows as serving_rows
    from roofline.reports.serving import sizing as report_sizing

    text = partial(report_sizing.sizing_text, wide=flags["wide"])
    _tell(buying.size(model, hardware, **part(SizeOptions, flags)), text, serving_rows.sizing_rows, shown)


def _checked(hardware: str | None, shown: ServingOutput) -> tuple[str, ServingOutput]:
    """The hardware. Raises UsageError where it is missing, or for a suffix that names no format."""
    if hardware is None:
        refuse("--hardware is missing; try h100,mi300x,l40s, or all (roofline hardware list)")
    if shown["output"] is not None:
        from roofline.reports.export import check_output

        check_output(shown["output"])
    return hardware, shown


def _tell(result: Any, text: Any, rows: Any, shown: ServingOutput) -> None:
    """Print or write the result; exit 4 where nothing meets the targets."""
    from roofline.reports.export import write_result
    from roofline.reports.prediction import to_json

    for warning in result.question.model.warnings:
        warn(warning)
    if shown["output"] is not None:
        write_result(result.to_dict, partial(rows, result), shown["output"])
    if shown["json"]:
        tell(to_json(result.to_dict()))
    elif shown["output"] is None:
        tell(text(result, quiet=shown["quiet"]))
    if not result.qualifies:
        raise click.exceptions.Exit(4)
