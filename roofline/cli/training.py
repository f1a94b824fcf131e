"""The verb ``train``, and ``validate --train``: a step of the real module beside its prediction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import click

from roofline.cli import plot as cli_plot
from roofline.cli.console import progress_bar, refuse, show, tell, warn, write_answer
from roofline.cli.predict import check_named_once
from roofline.cli.traced import model_of
from roofline.options.groups import Tracing
from roofline.options.keywords import completed, part
from roofline.options.verbs.measuring import ValidateFlags
from roofline.options.verbs.training import TrainFlags, TrainOptions

if TYPE_CHECKING:
    from roofline.buying.training_costs import Training
    from roofline.prediction.sensitivity import Sensitivity
    from roofline.training.step import TrainingStep
    from roofline.validation.devices import Device
    from roofline.validation.runner import Validation

SEQUENCE = 128
"""Tokens of a sequence that is timed."""


def train(model: str | None, flags: TrainFlags) -> None:
    """Training: what fits, the best layout, the time of a step, the days and money of a run; exit 4 beyond --days."""
    hardware = _checked(model, flags)
    from roofline.reports.prediction import to_json
    from roofline.reports.training import training_rows, training_text

    found = _trained(model, hardware, flags)
    launch = _launch(found.step, flags["launch"])
    for warning in found.model.warnings:
        warn(warning)
    write_answer(found.to_dict, partial(training_rows, found), flags["output"])
    if flags["plot"] is not None:
        cli_plot.plot_training(found.step, flags["plot"])
    gains = found.step.gains() if flags["sensitivity"] and found.step.fits is not False else []
    if flags["json"]:
        told = {gain.resource.name: gain.to_dict() for gain in gains}
        more: dict[str, Any] = {"sensitivity": told} if told else {}
        tell(to_json(found.to_dict() | more | ({"launch": launch} if launch else {})))
    elif flags["output"] is None:
        show(training_text(found, quiet=flags["quiet"], wide=flags["wide"]))
    if not flags["json"]:
        _show_more(found.step, gains, explain=flags["explain"])
        if launch:
            show(f"\n# {launch['engine']} {launch['version']}, {found.step.devices} devices")
            show(launch["line"])
    if not found.qualifies or (flags["check"] and not all(row.step and row.step.fits for row in found.rows)):
        raise click.exceptions.Exit(4)


def _checked(model: str | None, flags: TrainFlags) -> str:
    """The hardware, after what is missing, and files that cannot be, are refused."""
    check_named_once(model, flags["launched"], "FILE", "configuration")
    if flags["hardware"] is None:
        refuse("--hardware is missing; try 64xh100, or 64xh100,64xmi300x (roofline hardware list)")
    if flags["output"] is not None:
        from roofline.reports.export import check_output

        check_output(flags["output"])
    if flags["plot"] is not None:
        cli_plot.check(flags["plot"])
    return flags["hardware"]


def _trained(model: str | None, hardware: str, flags: TrainFlags) -> Training:
    """The step of a model, under the engine that it is to be launched with, or of a configuration."""
    from roofline.buying import training_costs as buying

    options = part(TrainOptions, flags)
    if flags["launched"] is not None:
        return buying.train_launched(flags["launched"], hardware, **options)
    size, sequence = flags["microbatch"], flags["sequence"]
    subject = model_of(model or "", part(Tracing, flags), batch=size, prompt=sequence, training=True)
    if flags["launch"] is not None:
        return buying.train_to_launch(subject, hardware, flags["launch"], **options)
    return buying.train(subject, hardware, **options)


def _launch(step: TrainingStep, engine: str | None) -> dict[str, str]:
    """The configuration that starts a step, for JSON; nothing where none is asked for."""
    if engine is None:
        return {}
    from roofline.training.launching.launching import configuration, in_json

    return in_json(configuration(step, engine))


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
