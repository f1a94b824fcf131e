"""The verbs ``compare`` and ``size``: the buyer's questions."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import click

from roofline.cli.console import refuse, show, tell, warn, write_answer
from roofline.cli.traced import model_of
from roofline.options.groups import Launch, Tracing
from roofline.options.keywords import part
from roofline.options.verbs.serving import CompareFlags, CompareOptions, ServingOutput, SizeFlags, SizeOptions

Options = TypeVar("Options", CompareOptions, SizeOptions)


def compare(model: str, flags: CompareFlags) -> None:
    """Hardware side by side, each at its best batch under the targets: times, rates, power, cost, and how sure."""
    hardware, shown = _checked(flags["hardware"], part(ServingOutput, flags))
    from roofline.buying import api as buying
    from roofline.reports.serving import comparison as report_serving
    from roofline.reports.serving import rows as serving_rows

    text = partial(report_serving.comparison_text, pareto=flags["pareto"], wide=flags["wide"])
    options = _under(part(CompareOptions, flags), flags["launch"])
    meant = model_of(model, part(Tracing, flags), generating=True)
    result = buying.compare(meant, hardware, **options)
    _tell(result, text, serving_rows.comparison_rows, shown, part(Launch, flags))


def size(model: str, flags: SizeFlags) -> None:
    """The fewest rentable units that serve a load within the targets, and the runner-up; exit 4 if none does."""
    hardware, shown = _checked(flags["hardware"], part(ServingOutput, flags))
    from roofline.buying import api as buying
    from roofline.reports.serving import rows as serving_rows
    from roofline.reports.serving import sizing as report_sizing

    text = partial(report_sizing.sizing_text, wide=flags["wide"])
    options = _under(part(SizeOptions, flags), flags["launch"])
    meant = model_of(model, part(Tracing, flags), generating=True)
    result = buying.size(meant, hardware, **options)
    _tell(result, text, serving_rows.sizing_rows, shown, part(Launch, flags))


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


def _tell(result: Any, text: Any, rows: Any, shown: ServingOutput, deployed: Launch) -> None:
    """Print or write the result, with what starts and measures it; exit 4 where nothing meets the targets."""
    from roofline.buying.launching import launch_chosen, verify_chosen
    from roofline.reports.prediction import to_json

    launch = deployed["launch"]
    found = {
        "launch": launch_chosen(result, launch) if launch is not None else None,
        "verify": verify_chosen(result) if deployed["verify"] else None,
    }
    more = {name: each for name, each in found.items() if each is not None}

    def fields() -> dict[str, Any]:
        return {**result.to_dict(), **{name: each.to_dict() for name, each in more.items()}}

    for warning in result.question.model.warnings:
        warn(warning)
    write_answer(fields, partial(rows, result), shown["output"])
    if shown["json"]:
        tell(to_json(fields()))
    elif shown["output"] is None:
        show(text(result, quiet=shown["quiet"]))
    for each in more.values() if not shown["json"] else ():
        show(f"\n{each.words}")
    if not result.qualifies:
        raise click.exceptions.Exit(4)
