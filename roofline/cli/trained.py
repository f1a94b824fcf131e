"""``validate --train``: a training step of the real module beside its prediction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from roofline.cli.console import progress_bar, tell
from roofline.cli.measure import kept, open_device, seconds_of, threads_of
from roofline.options.keywords import completed, part
from roofline.options.verbs import TrainOptions, ValidateFlags

if TYPE_CHECKING:
    from roofline.training.step import TrainingStep
    from roofline.validation.comparison import Verdict
    from roofline.validation.trained import TrainingComparison

SEQUENCE = 128
"""Tokens of a sequence that is timed."""


def validate_trained(model: str, flags: ValidateFlags, command: str) -> tuple[list[TrainingComparison], Verdict]:
    """Predict the step, freeze the prediction, time the real one, print both."""
    from roofline.reports import prediction as report
    from roofline.reports.validation import trained_text
    from roofline.validation import runner
    from roofline.validation.modules import build_module
    from roofline.validation.trained import check_step, compare_step, digest_of_step
    from roofline.validation.training_session import measure_step, trained_module

    seconds = seconds_of(flags["budget"])
    device = open_device(flags["device"], threads_of(flags["threads"]))
    step = _step(model, flags, "fp32" if device.kind == "cpu" else "bf16")
    check_step(step)
    digest, request = digest_of_step(step), step.question.request
    module = build_module(request.model, device, step.question.recipe.name)
    with progress_bar("validating") as advance:
        trained = trained_module(step, module, device)
        measured = measure_step(trained, seconds, reference_s=request.constants.probe_s, tell=advance)
    found = compare_step(step, digest, measured)
    result = runner.Validation.of((), device, command, hardware=request.device.name, training=(found,))
    if flags["output"] is not None:
        kept(partial(runner.write_record, result.to_dict()), flags["output"])
    tell(report.to_json(result.to_dict()) if flags["json"] else trained_text([found], result.verdict))
    return [found], result.verdict


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
