"""The verb ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from roofline.cli import plot as cli_plot
from roofline.cli.console import refuse, show, tell, warn, without_color, write_answer
from roofline.cli.traced import model_of
from roofline.options.groups import Tracing
from roofline.options.keywords import part
from roofline.options.verbs.predicting import PredictFlags, PredictOptions, PredictOutput

if TYPE_CHECKING:
    from roofline.models.model import Model
    from roofline.prediction.predict import Prediction
    from roofline.prediction.sensitivity import Gains

NO_MODEL = (
    "MODEL is missing; a name such as llama-3.1-8b, qwen3-32b, gpt-oss-120b, deepseek-v3 or bert-base "
    "(roofline models list), a config.json or its folder, a .gguf"
)


def check_named_once(model: str | None, launched: str | None, form: str, what: str) -> None:
    """Refuses a question whose model neither MODEL nor what --from reads names, or both do."""
    if model is None and launched is None:
        refuse(f"{NO_MODEL}, or give --from {form}")
    if model is not None and launched is not None:
        refuse(f"{model} and --from: the {what} names the model; give one of them")


def predict(model: str | None, flags: PredictFlags) -> None:
    """Time, memory and bottleneck of a model on a device, phase by phase and operator by operator."""
    check_named_once(model, flags["launched"], "LINE", "launch line")
    if flags["hardware"] is None:
        refuse("--hardware is missing; try h100, mi300x or t4 (roofline hardware list)")
    without_color(flags["no_color"])
    _check_files(flags["output"], flags["plot"])
    batch, prompt, context = flags["batch"], flags["prompt"], flags["context"]
    traced = part(Tracing, flags)
    meant: str | Model | None = None
    if model is not None:
        both = flags["generate"] is not None
        meant = model_of(model, traced, batch=batch, prompt=prompt, context=context, generating=both)
    if _asks_for_several(flags):
        _predict_several(meant, flags)
        return
    output, plot = flags["output"], flags["plot"]
    result = _predicted(meant, flags["hardware"], flags)
    more, below = _deployed(result, flags["launch"], verifies=flags["verify"])
    if result.documents_per_s is not None:
        from roofline.buying.documents import documents_of, in_words

        read = documents_of(result)
        assert read is not None
        more["documents"], below = dict(read), [in_words(read), *below]
    for warning in result.model.warnings:
        warn(warning)
    found = _gains(result) if flags["sensitivity"] else {}
    if output is not None:
        from roofline.prediction.sensitivity import with_gains
        from roofline.reports.export import operator_rows

        write_answer(lambda: with_gains(result, found) | more, lambda: operator_rows(result), output)
    if plot is not None:
        cli_plot.plot_prediction(result, plot)
    _show(result, found, part(PredictOutput, flags), more)
    for words in below if not flags["json"] else ():
        show(f"\n{words}")
    if flags["check"] and result.memory.fits is not True:
        raise click.exceptions.Exit(4)


def _predicted(model: str | Model | None, hardware: str, flags: PredictFlags) -> Prediction:
    """The prediction of a model, under the engine that it is to be launched with, or of a launch line."""
    from roofline.prediction.predict import predict

    options = part(PredictOptions, flags)
    if flags["launched"] is not None:
        from roofline.prediction.launching import predict_launched

        return predict_launched(flags["launched"], hardware, **options)
    if flags["launch"] is not None:
        from roofline.prediction.launching import predict_to_launch

        return predict_to_launch(model or "", hardware, flags["launch"], **options)
    return predict(model or "", hardware, **options)


def _deployed(result: Prediction, engine: str | None, *, verifies: bool) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What starts and what measures a prediction, as blocks of its JSON and in words; nothing where none is asked."""
    found: dict[str, dict[str, Any]] = {}
    told = []
    if engine is not None:
        from roofline.prediction.launching import launch_in_json, launch_line

        found["launch"] = launch = launch_in_json(launch_line(result, engine))
        told.append(f"{launch['engine']} {launch['version']}: {launch['line']}")
    if verifies:
        from roofline.prediction.verifying import verify

        measuring = verify(result)
        found["verify"] = measuring.to_dict()
        told.append(measuring.words)
    return found, told


def _gains(result: Prediction) -> Gains:
    """What more of each resource would buy."""
    from roofline.prediction.sensitivity import gains

    return gains(result)


_OF_ONE = {
    "plot": "plot", "explain": "explain", "sensitivity": "sensitivity", "operators": "operators", "launch": "launch",
    "launched": "from", "verify": "verify",
}  # fmt: skip


def _asks_for_several(flags: PredictFlags) -> bool:
    """Whether a flag has a list of numbers, or several devices."""
    from roofline.prediction.fleet import names_several

    numbers = (flags["batch"], flags["prompt"], flags["generate"], flags["context"])
    return any(isinstance(each, tuple) for each in numbers) or names_several(flags["hardware"])


def _predict_several(model: str | Model | None, flags: PredictFlags) -> None:
    """A table with a row of each point. Raises UsageError for flags that show one point alone."""
    from roofline.reports.points import points_text
    from roofline.reports.prediction import to_json
    from roofline.sweeps.several import predict_several, several_devices

    if strange := [flag for name, flag in _OF_ONE.items() if flags.get(name)]:
        refuse(f"--{strange[0]} shows one point; give one device, one batch, one length")
    output = flags["output"]
    _check_files(output, None)
    devices = several_devices(flags["hardware"])
    options = part(PredictOptions, flags)
    found = predict_several(model or "", devices or [str(flags["hardware"])], bool(devices), options)
    write_answer(found.to_dict, found.rows, output)
    if flags["json"]:
        tell(to_json(found.to_dict()))
    elif output is None:
        show(points_text(found, wide=flags["wide"], quiet=flags["quiet"]))
    if flags["check"] and not all(row["fits"] for row in found.rows()):
        raise click.exceptions.Exit(4)


def _check_files(output: Path | None, plot: Path | None) -> None:
    """Raises UsageError for a suffix that names no format, SpecError where nothing can be written: before any work."""
    if output is not None:
        from roofline.reports.export import check_output

        check_output(output)
    if plot is not None:
        cli_plot.check(plot)


def _show(result: Prediction, found: Gains, shown: PredictOutput, more: dict[str, dict[str, Any]]) -> None:
    """A prediction as JSON, or as text with what was asked for besides."""
    from roofline.reports import answer

    if shown["json"]:
        from roofline.prediction.sensitivity import with_gains
        from roofline.reports import prediction as report

        tell(report.to_json(with_gains(result, found) | more))
        return
    if shown["output"] is None:
        whole = {"operators": shown["operators"], "wide": shown["wide"], "quiet": shown["quiet"]}
        show(answer.text(result, **whole))
    if found:
        show("\n" + answer.gains_text(found))
    if shown["explain"]:
        from roofline.reports.explanation import explain

        show("\n" + explain(result))
