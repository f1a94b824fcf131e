"""The verbs ``compare`` and ``size``: the buyer's questions."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import click

from roofline.cli.console import refuse, tell, warn
from roofline.options.keywords import part
from roofline.options.verbs import CompareFlags, CompareOptions, ServingOutput, SizeFlags, SizeOptions

Options = TypeVar("Options", CompareOptions, SizeOptions)


def compare(model: str, flags: CompareFlags) -> None:
    """Hardware side by side, each at its best batch under the targets: times, rates, power, cost, and how sure."""
    hardware, shown = _checked(flags["hardware"], part(ServingOutput, flags))
    from roofline.buying import api as buying
    from roofline.reports.serving import comparison as report_serving
    from roofline.reports.serving import rows as serving_rows

    text = partial(report_serving.comparison_text, pareto=flags["pareto"], wide=flags["wide"])
    options = _under(part(CompareOptions, flags), flags["launch"])
    result = buying.compare(model, hardware, **options)
    _tell(result, text, serving_rows.comparison_rows, shown, flags["launch"])


def size(model: str, flags: SizeFlags) -> None:
    """The fewest rentable units that serve a load within the targets, and the runner-up; exit 4 if none does."""
    hardware, shown = _checked(flags["hardware"], part(ServingOutput, flags))
    from roofline.buying import api as buying
    from roofline.reports.serving import rows as serving_rows
    from roofline.reports.serving import sizing as report_sizing

    text = partial(report_sizing.sizing_text, wide=flags["wide"])
    options = _under(part(SizeOptions, flags), flags["launch"])
    _tell(buying.size(model, hardware, **options), text, serving_rows.sizing_rows, shown, flags["launch"])


def _checked(hardware: str | None, shown: ServingOutput) -> tuple[str, ServingOutput]:
    """The hardware. Raises UsageError where it is missing, or for a suffix that names no format."""
    if hardware is None:
        refuse("--hardware is missing; try h100,mi300x,l40s, or all (roofline hardware list)")
    if shown["output"] is not None:
        from roofline.reports.export import check_output

        check_output(shown["output"])
    return hardware, shown


def _under(options: Options, launch: str | None) -> Options:
    """The options under the engine that the answer is to be launched with, where they name none."""
    if launch is None:
        return options
    from roofline.engines.launch_flags import launch_flags

    launch_flags(launch)  # before any work
    return {**options, "engine": launch} if options["engine"] is None else options


def _tell(result: Any, text: Any, rows: Any, shown: ServingOutput, launch: str | None) -> None:
    """Print or write the result, with its launch line; exit 4 where nothing meets the targets."""
    from roofline.buying.launching import launch_chosen
    from roofline.reports.export import write_result
    from roofline.reports.prediction import to_json

    started = launch_chosen(result, launch) if launch is not None else None

    def fields() -> dict[str, Any]:
        return {**result.to_dict(), **({"launch": started.to_dict()} if started else {})}

    for warning in result.question.model.warnings:
        warn(warning)
    if shown["output"] is not None:
        write_result(fields, partial(rows, result), shown["output"])
    if shown["json"]:
        tell(to_json(fields()))
    elif shown["output"] is None:
        tell(text(result, quiet=shown["quiet"]))
    if started and not shown["json"]:
        tell(f"\n{started.words}")
    if not result.qualifies:
        raise click.exceptions.Exit(4)
