"""The verbs that measure: ``doctor``, ``calibrate``, ``validate``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from roofline.cli.console import progress_bar, show, tell, warn, wrote
from roofline.cli.traced import model_of
from roofline.errors import RooflineError, SpecError, UsageError
from roofline.options.groups import Tracing
from roofline.options.keywords import part
from roofline.options.verbs.measuring import CalibrateFlags, DoctorFlags, ValidateFlags, ValidateOptions

if TYPE_CHECKING:
    from roofline.hardware.spec import HardwareSpec
    from roofline.prediction.predict import Prediction
    from roofline.validation.comparison import CaseComparison, Verdict
    from roofline.validation.training.comparison import TrainingComparison

Written = TypeVar("Written")


def doctor(flags: DoctorFlags) -> None:
    """What measuring would find here: device, threads, instructions, versions, a stall test, and what to set."""
    from roofline.reports import prediction as report
    from roofline.reports.measuring import findings_text
    from roofline.validation.doctor import examine

    chosen = _threads(flags["threads"])
    found = examine(_open(flags["device"], chosen))
    show(report.to_json(found.to_dict()) if flags["json"] else findings_text(found))
    if found.stalled:
        raise click.exceptions.Exit(5)


def calibrate(flags: CalibrateFlags) -> None:
    """Time designed kernels, fit the constants, check them on other shapes, write a calibration for --hardware."""
    from roofline.files.atomic import check_writable
    from roofline.fitting.calibrating import calibrate_device
    from roofline.reports import prediction as report
    from roofline.reports.measuring import calibration_text

    seconds, output = _seconds(flags["budget"]), flags["output"]
    if output is not None and output.suffix not in (".yaml", ".yml"):
        msg = f"-o {output}: expected a name that ends in .yaml"
        raise UsageError(msg)
    if output is not None:
        check_writable(output)
    opened = _open(flags["device"], _threads(flags["threads"]))
    asked = flags["dtype"] or ("fp32" if opened.kind == "cpu" else "bf16")
    with progress_bar("calibrating") as advance:
        found = calibrate_device(
            opened, dtype=asked, budget_s=seconds, extends=flags["extends"], seed=flags["seed"], tell=advance
        )
    written = _kept(found.write, output) if output else []
    if flags["json"]:
        tell(report.to_json(found.to_dict()))
    else:
        show(calibration_text(found, seconds))
    for path in written:
        wrote(path)
    if found.interrupted:
        raise click.exceptions.Exit(130)


def validate(model: str, flags: ValidateFlags) -> None:
    """Predict, time the real torch module, and show where the prediction was wrong."""
    from roofline.prediction.predict import predict
    from roofline.reports import prediction as report
    from roofline.reports import validation as report_validation
    from roofline.validation import runner
    from roofline.validation.comparison import ToldBy
    from roofline.validation.profiles.reading import read_profile
    from roofline.validation.profiles.rules import read_rules

    _check(model, flags)
    if flags["serving"] is not None:
        from roofline.cli.served import validate_served

        validate_served(model, flags, command_line())
        return
    if flags["train"]:
        _validate_training(model, flags)
        return
    hardware, output = flags["hardware"], flags["output"]
    assert hardware is not None
    seconds = _seconds(flags["budget"])
    profile = read_profile(flags["measurements"]) if flags["measurements"] is not None else None
    rules = read_rules(flags["kernel_rules"])
    known = rules.engine_of(profile) if profile and not flags["engine"] else None
    asked = part(ValidateOptions, {**flags, "engine": flags["engine"] or known or "transformers"})
    subject = model_of(model, part(Tracing, flags), batch=flags["batch"], prompt=flags["prompt"])
    prediction = predict(subject, hardware, **asked)
    if profile is not None:
        told_by: ToldBy = "asked" if flags["engine"] else "kernels" if known else "usual"
        cases = runner.compare_profile(profile, prediction, rules, flags["profiled_steps"], told_by)
        opened, interrupted = None, False
    elif flags["measurements"] is not None:
        usual = partial(predict, subject, hardware, **part(ValidateOptions, flags))
        prediction = prediction if flags["engine"] else _as_named(flags["measurements"], prediction, usual)
        cases, opened, interrupted = runner.compare_file(flags["measurements"], prediction), None, False
    else:
        opened = _open(flags["device"], _threads(flags["threads"]))
        cases, interrupted = _timed(prediction, opened, seconds, flags, None if isinstance(subject, str) else model)
        _warn_of_another(prediction.hardware, opened.kind)
    result = runner.Validation.of(cases, opened, command_line(), hardware=prediction.hardware.name)
    if output is not None:
        _kept(partial(runner.write_record, result.to_dict()), output)
    told = partial(report_validation.validation_text, cases, result.verdict, wide=flags["wide"])
    show(report.to_json(result.to_dict()) if flags["json"] else told())
    _leave(cases, result.verdict, flags["max_median_ape"], interrupted)


def _warn_of_another(spec: HardwareSpec, timed: str) -> None:
    """Warns where a CPU is timed beside the spec of what is none, or the other way round."""
    if (timed == "cpu") != (spec.kind == "cpu"):
        warn(f"{spec.name} is a {spec.kind}, and {timed} is timed here; roofline calibrate describes it")


def _as_named(file: Path, eager: Prediction, usual: Callable[[], Prediction]) -> Prediction:
    """The prediction that has more of a file's operators: that of eager torch, or the usual one, ``predict``'s."""
    from roofline.validation.measurements import unknown_operators

    strange = len(unknown_operators(file, eager))
    return other if strange and len(unknown_operators(file, other := usual())) < strange else eager


def _validate_training(model: str, flags: ValidateFlags) -> None:
    from roofline.cli.training import validate_trained
    from roofline.validation.runner import write_record

    device = _open(flags["device"], _threads(flags["threads"]))
    found = validate_trained(model, flags, device, _seconds(flags["budget"]), command_line())
    if flags["output"] is not None:
        _kept(partial(write_record, found.to_dict()), flags["output"])
    _leave(found.training, found.verdict, flags["max_median_ape"], False)


def _timed(
    prediction: Any, opened: Any, seconds: float, flags: ValidateFlags, code: str | None
) -> tuple[list[Any], bool]:
    """The phases beside their timings; ``code``: the module that was traced, if one was."""
    from roofline.validation import runner

    inputs: Any = ()
    if code is not None:
        from roofline.tracing.inputs import read_inputs

        inputs = read_inputs({**prediction.model.config.trace.inputs, **(flags["input"] or {})})
    module = flags["module"] if code is None else code

    resumed = flags["output"] if flags["resume"] else None
    before = runner.finished(resumed, prediction) if resumed else []
    with progress_bar("validating") as advance:
        dtype = prediction.precision.weights
        run = runner.Runner(prediction, opened, dtype, seconds, module, flags["compile"], inputs, advance)
        try:
            return [*before, *run.run(skip=[case.phase for case in before])], run.interrupted
        except RooflineError:
            if flags["output"] is not None and run.done:
                result = runner.Validation.of([*before, *run.done], opened, command_line())
                runner.write_record(result.to_dict(), flags["output"])
            raise


def _kept(write: Callable[[Path], Written], output: Path) -> Written:
    """Write what was measured; where that fails, elsewhere. Raises SpecError that then says where it is."""
    from tempfile import mkdtemp

    try:
        return write(output)
    except SpecError as failure:
        saved = Path(mkdtemp(prefix="roofline-")) / output.name
        write(saved)
        msg = f"{failure}; what was measured is in {saved}"
        raise SpecError(msg) from None


def _leave(
    cases: Sequence[CaseComparison | TrainingComparison], verdict: Verdict, most: float | None, interrupted: bool
) -> None:
    """The exit code: 130 interrupted, 6 off by more than allowed, 5 not to be trusted, else 0."""
    from roofline.validation.session import untrusted

    if interrupted:
        raise click.exceptions.Exit(130)
    if most is not None and verdict.median_ape > most / 100:
        click.echo(f"roofline: median APE {verdict.median_ape:.1%} exceeds --max-median-ape {most:g}", err=True)
        raise click.exceptions.Exit(6)
    if flags := untrusted(flag for case in cases for flag in case.flags):
        click.echo(f"roofline: not trustworthy: {flags[0]}", err=True)
        raise click.exceptions.Exit(5)


def _check(model: str, flags: ValidateFlags) -> None:
    """Raises UsageError for flags that do not go together."""
    from roofline.files.atomic import check_writable
    from roofline.parallelism.dimensions import given_degrees

    output, most = flags["output"], flags["max_median_ape"]
    problem = None
    if flags["hardware"] is None:
        problem = "--hardware is missing; name a device, or a calibration that roofline calibrate wrote"
    elif output is not None and output.suffix != ".json":
        problem = f"-o {output}: expected a name that ends in .json"
    elif flags["resume"] and output is None:
        problem = "--resume needs -o FILE.json, which holds what was measured"
    elif (wrong := _problem_of_training(flags)) or (wrong := _problem_of_code(model, flags)):
        problem = wrong
    elif flags["module"] is not None and flags["measurements"] is not None:
        problem = "--module does not go with --measurements, which times nothing"
    elif flags["serving"] is None and given_degrees(flags):
        problem = "degrees of parallelism go with --serving; validate times a module on one device"
    elif flags["measurements"] is None and (flags["profiled_steps"] is not None or flags["kernel_rules"] is not None):
        problem = "--profiled-steps and --kernel-rules go with --measurements, a profiler's file"
    elif flags["profiled_steps"] is not None and flags["profiled_steps"] < 1:
        problem = f"--profiled-steps {flags['profiled_steps']}: expected 1 or more"
    elif most is not None and not most > 0:
        problem = f"--max-median-ape {most:g}: expected a percentage above 0"
    if problem:
        raise UsageError(problem)
    if output is not None:
        check_writable(output)


def _problem_of_code(model: str, flags: ValidateFlags) -> str | None:
    """What does not go with a MODEL that is code, whose own module is timed; and recorded traces, which have none."""
    from roofline.models.sources import is_code

    if not is_code(model):
        return None
    given = next((name for name in ("module", "serving", "train") if flags[name]), None)
    return given and f"--{given} does not go with a MODEL that is code: {model} is traced, and timed itself"


def _problem_of_training(flags: ValidateFlags) -> str | None:
    """What of the flags of a training step does not go together."""
    if not flags["train"]:
        given = "sequence" if flags["sequence"] is not None else "optimizer" if flags["optimizer"] else None
        return given and f"--{given} goes with --train"
    others = ("serving", "module", "measurements", "compile", "resume", "phase", "prompt", "generate", "context")
    given = next((name for name in others if flags[name]), None)  # type: ignore[literal-required]
    instead = "; a sequence has --sequence tokens" if given in ("prompt", "generate", "context") else ""
    return given and f"--{given} does not go with --train{instead}"


def command_line() -> str:
    """The command as it was typed, without the folders of this machine."""
    import shlex

    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join(["roofline", *words])


def _seconds(text: str) -> float:
    """A budget. Raises UsageError for what is no time, or too short to time anything."""
    from roofline.errors import UnitError
    from roofline.units import parse_quantity

    spaced = text if " " in text else text.rstrip("smin") + " " + text[len(text.rstrip("smin")) :]
    try:
        value = float(parse_quantity(spaced.strip(), "time_s"))
    except UnitError as failure:
        msg = f"--budget {text!r}: {failure}"
        raise UsageError(msg) from None
    if value < 1:
        msg = f"--budget {text!r}: expected a second or more"
        raise UsageError(msg)
    return value


def _threads(asked: int | None) -> int:
    """How many threads; and the settings that libraries read when they load, for which the command starts anew."""
    from roofline.validation.environment import default_threads, restart_with

    cores = os.cpu_count() or 1
    if asked is not None and not 1 <= asked <= cores:
        msg = f"--threads {asked}: expected 1 or more, and at most the {cores} cores"
        raise UsageError(msg)
    chosen = asked or default_threads()
    restart_with(chosen)
    return chosen


def _open(kind: str | None, threads: int) -> Any:
    from roofline.validation.devices import Device

    return Device.open(kind, threads)
