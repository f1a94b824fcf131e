"""The verb ``train``."""

from __future__ import annotations

from functools import partial

import click

from roofline.cli import plot as cli_plot
from roofline.cli.console import refuse, tell, warn
from roofline.options.keywords import part
from roofline.options.verbs import TrainFlags, TrainOptions


def train(model: str, flags: TrainFlags) -> None:
    """Training: what fits, the best layout, the time of a step, the days and money of a run; exit 4 beyond --days."""
    if flags["hardware"] is None:
        refuse("--hardware is missing; try 64xh100, or 64xh100,64xmi300x (roofline hardware list)")
    from roofline.reports.export import check_output, write_result

    if flags["output"] is not None:
        check_output(flags["output"])
    if flags["plot"] is not None:
        cli_plot.check(flags["plot"])
    from roofline.buying import api as buying
    from roofline.reports.prediction import to_json
    from roofline.reports.training import training_rows, training_text

    found = buying.train(model, flags["hardware"], **part(TrainOptions, flags))
    for warning in found.model.warnings:
        warn(warning)
    if flags["output"] is not None:
        write_result(found.to_dict, partial(training_rows, found), flags["output"])
    if flags["plot"] is not None:
        cli_plot.plot_training(found.step, flags["plot"])
    if flags["json"]:
        tell(to_json(found.to_dict()))
    elif flags["output"] is None:
        tell(training_text(found, quiet=flags["quiet"], wide=flags["wide"]))
    if not found.qualifies:
        raise click.exceptions.Exit(4)
