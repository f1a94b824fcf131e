"""The verb ``train``, and ``validate --train``: a step of the real module beside its prediction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import click

from roofline.cli import plot as cli_plot
from roofline.cli.console import progress_bar, refuse, show, tell, warn
from roofline.options.keywords import completed, part
from roofline.options.verbs import TrainFlags, TrainOptions, ValidateFlags

if TYPE_CHECKING:
    from roofline.prediction.sensitivity import Sensitivity
    from roofline.training.step import TrainingStep
    from roofline.validation.devices import Device
    from roofline.validation.runner import Validation

SEQUENCE = 128
"""Tokens of a sequence that is timed."""


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
    gains = found.step.gains() if flags["sensitivity"] and found.step.fits is not False else []
    if flags["json"]:
        told = {gain.resource.name: gain.to_dict() for gain in gains}
        tell(to_json(found.to_dict() | ({"sensitivity": told} if told else {})))
    elif flags["output"] is None:
        show(training_text(found, quiet=flags["quiet"], wide=flags["wide"]))
    if not flags["json"]:
        _show_more(found.step, gains, explain=flags["explain"])
    if not found.qualifies:
        raise click.exceptions.Exit(4)


def _show_more(step: TrainingStep, gains: list[Sensitivity], *, explain: bool) -> None:
    """What more of each resource would buy, and where each number comes from, of the first hardware."""
    if gains:
        from roofline.reports.answer import gains_table

        show("\n" + "\n".join(gains_table("a step", gains)))
    if explain:
        from roofline.reports.training_explanation import explain_training

        show("\n" + explain_training(step))


def validate_trained(model: str, flags: ValidateFlags, device: Device, budget_s: float, command: str) -> Validation:
    """Predict the step, freeze the prediction, time the real one, print both."""
    from roofline.reports import prediction as report
    from roofline.reports.validation import trained_text
    from roofline.validation.modules import build_module
    from roofline.validation.runner import Validation
    from roofline.validation.training.comparison import check_step, compare_step, digest_of_step
    from roofline.validation.training.session import measure_step, trained_module

    step = _step(model, flags, "fp32" if device.kind == "cpu" else "bf16")
    check_step(step)
    digest, request = digest_of_step(step), step.question.request
    module = build_module(request.model, device, step.question.recipe.name)
    with progress_bar("validating") as advance:
        trained = trained_module(step, module, device)
        measured = measure_step(trained, budget_s, reference_s=request.constants.probe_s, tell=advance)
    found = compare_step(step, digest, measured)
    result = Validation.of((), device, command, hardware=request.device.name, training=(found,))
    show(report.to_json(result.to_dict()) if flags["json"] else trained_text([found], result.verdict))
    return result


def _step(model: str, flags: ValidateFlags, usual: str) -> TrainingStep:
    from roofline.training.question import read_training
    from roofline.training.step import TrainingStep

    batch = flags["batch"] or 1
    asked: dict[str, Any] = {
        **part(TrainOptions, flags), "batch": batch, "microbatch": batch, "sequence": flags["sequence"] or SEQUENCE,
        "dtype": flags["dtype"] or usual, "optimizer": flags["optimizer"] or "adamw",
        "engine": flags["engine"] or "transformers", "recompute": "none", "zero": 0,
    }  # fmt: skip
    options = cast(TrainOptions, completed(TrainOptions, asked, "validate"))
    return TrainingStep(read_training(model, flags["hardware"], options))
