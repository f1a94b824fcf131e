"""``validate --serving``: a server's results beside what is predicted of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from roofline.cli.console import show
from roofline.errors import UsageError
from roofline.options.keywords import part
from roofline.options.verbs.measuring import MeasuredServingOptions, ValidateFlags

if TYPE_CHECKING:
    from roofline.served.comparison import ServingComparison

_OF_MODULES = ("module", "measurements", "profiled_steps", "kernel_rules", "compile", "resume", "device", "threads")


def validate_served(model: str, flags: ValidateFlags, command: str) -> None:
    """Print or write each run beside its prediction; exit 6 where they are off by more than is allowed."""
    from roofline.reports.prediction import to_json
    from roofline.reports.serving.measured import served_text
    from roofline.served.comparison import compare_served, score_of
    from roofline.validation.runner import write_record

    if given := next((name for name in _OF_MODULES if flags[name]), None):  # type: ignore[literal-required]
        msg = f"--{given.replace('_', '-')} does not go with --serving, which times nothing"
        raise UsageError(msg)
    assert flags["serving"] is not None
    assert flags["hardware"] is not None
    output, most = flags["output"], flags["max_median_ape"]
    found = compare_served(flags["serving"], model, flags["hardware"], **part(MeasuredServingOptions, flags))
    result = served_in_json(found, command)
    if output is not None:
        write_record(result, output)
    show(to_json(result) if flags["json"] else served_text(found))
    score = score_of(found)
    if most is not None and score is not None and score.median > most / 100:
        click.echo(f"roofline: median APE {score.median:.1%} exceeds --max-median-ape {most:g}", err=True)
        raise click.exceptions.Exit(6)


def served_in_json(found: Sequence[ServingComparison], command: str) -> dict[str, Any]:
    """The JSON of ``validate`` without steps, and with runs of servers."""
    from roofline.served.comparison import score_of
    from roofline.validation.runner import Validation

    whole = Validation.of([], None, command, hardware=found[0].hardware).to_dict()
    score = score_of(found)
    verdict = {**whole["verdict"], **({"serving": score.to_dict()} if score else {})}
    return {**whole, "verdict": verdict, "serving": [each.to_dict() for each in found]}
