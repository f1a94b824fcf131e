"""The verbs that measure: ``doctor``, ``calibrate``, ``validate``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from roofline.cli.console import choice, edit, progress_bar, tell
from roofline.errors import UsageError

DeviceFlag: TypeAlias = Annotated[str | None, typer.Option(help="cuda, cpu or mps.  [default: the best there is]")]
ThreadsFlag: TypeAlias = Annotated[
    int | None, typer.Option(help="CPU threads.  [default: the cores; 1 on two or fewer]", metavar="N")
]
JsonFlag: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON in SI base units.")]


def doctor(device: DeviceFlag = None, threads: ThreadsFlag = None, json: JsonFlag = False) -> None:
    """What measuring would find here: device, threads, instructions, versions, a stall test, and what to set."""
    from roofline.reports import prediction as report
    from roofline.reports.measuring import examine, findings_text

    chosen = _threads(threads)
    found = examine(_open(device, chosen))
    tell(report.to_json(found.to_dict()) if json else findings_text(found))
    if found.stalled:
        raise typer.Exit(5)


def calibrate(
    device: DeviceFlag = None,
    budget: Annotated[str, typer.Option(help="How long it may take, such as 60s.")] = "120s",
    extends: Annotated[str | None, typer.Option(help="A known device that this is.  [default: measured anew]")] = None,
    dtype: Annotated[str | None, typer.Option(help="fp32, tf32, bf16 or fp16.  [default: bf16, on CPUs fp32]")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="FILE.yaml to write.")] = None,
    threads: ThreadsFlag = None,
    seed: Annotated[int, typer.Option(help="Of the order in which things are timed.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Time designed kernels, fit the constants, check them on other shapes, write a calibration for --hardware."""
    from roofline.fitting.calibrating import calibrate_device
    from roofline.reports import prediction as report
    from roofline.reports.measuring import calibration_text

    seconds = _seconds(budget)
    if output is not None and output.suffix not in (".yaml", ".yml"):
        msg = f"-o {output}: expected a name that ends in .yaml"
        raise UsageError(msg)
    opened = _open(device, _threads(threads))
    asked = dtype or ("fp32" if opened.kind == "cpu" else "bf16")
    with progress_bar("calibrating") as advance:
        found = calibrate_device(opened, dtype=asked, budget_s=seconds, extends=extends, seed=seed, tell=advance)
    written = found.write(output) if output else []
    if json:
        tell(report.to_json(found.to_dict()))
    else:
        tell(calibration_text(found))
    for path in written:
        typer.echo(f"wrote {path}", err=True)
    if found.interrupted:
        raise typer.Exit(130)


def validate(
    model: Annotated[str, typer.Argument(help="A preset, or a path to a config.json or its folder.")],
    hardware: Annotated[str | None, typer.Option(help="A device, a spec or a calibration.")] = None,
    device: DeviceFlag = None,
    phase: Annotated[str | None, typer.Option(help="encode, prefill or decode.  [default: all]")] = None,
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    prompt: Annotated[int | None, typer.Option(help="Tokens in.")] = None,
    generate: Annotated[int | None, typer.Option(help="Tokens out; decode is timed at the mean length.")] = None,
    context: Annotated[int | None, typer.Option(help="Attended length of one decode step.")] = None,
    dtype: Annotated[str | None, typer.Option(help="fp32, tf32, bf16 or fp16.  [default: the device's]")] = None,
    execution: Annotated[str | None, typer.Option(help="eager or graph, of the prediction.  [default: eager]")] = None,
    constants: Annotated[str | None, typer.Option(help="datasheet, class, published or calibrated.")] = None,
    edits: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE: edit a field of hardware or model.")
    ] = None,
    module: Annotated[str | None, typer.Option(help="FILE.py:FUNCTION that returns a torch module of yours.")] = None,
    measurements: Annotated[Path | None, typer.Option(help="Compare with a JSON or CSV file; time nothing.")] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Time torch.compile too.")] = False,
    budget: Annotated[str, typer.Option(help="How long to measure, such as 30s.")] = "30s",
    max_median_ape: Annotated[float | None, typer.Option(help="In percent: more is exit code 6.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="FILE.json: everything measured.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep what -o has of this prediction.")] = False,
    threads: ThreadsFlag = None,
    json: JsonFlag = False,
    wide: Annotated[bool, typer.Option("--wide", help="More columns.")] = False,
) -> None:
    """Predict, time the real torch module, and show where the prediction was wrong."""
    from roofline.prediction.predict import predict
    from roofline.reports import prediction as report
    from roofline.reports import validation as report_validation
    from roofline.validation import runner
    from roofline.validation.comparison import Verdict

    _check(hardware, output, resume, module, measurements, max_median_ape)
    assert hardware is not None
    seconds = _seconds(budget)
    prediction = predict(
        model,
        hardware,
        batch=batch,
        prompt=prompt,
        generate=generate,
        context=context,
        phase=choice("--phase", phase, "encode", "prefill", "decode"),
        dtype=dtype,
        execution=choice("--execution", execution, "graph", "eager") or "eager",
        constants=choice("--constants", constants, "datasheet", "class", "published", "calibrated"),
        set=dict(edit(text) for text in edits or ()),
    )
    if measurements is not None:
        cases, opened, interrupted = runner.compare_file(measurements, prediction), None, False
    else:
        opened = _open(device, _threads(threads))
        cases, interrupted = _timed(prediction, opened, seconds, output if resume else None, module, compiled)
    result = runner.record(cases, opened, command_line(), hardware=prediction.hardware.name)
    if output is not None:
        runner.write_record(result, output)
    verdict = Verdict.of(cases)
    tell(report.to_json(result) if json else report_validation.validation_text(cases, verdict, wide=wide))
    _leave(cases, verdict, max_median_ape, interrupted)


def _timed(
    prediction: Any, opened: Any, seconds: float, resumed: Path | None, module: str | None, compiled: bool
) -> tuple[list[Any], bool]:
    from roofline.validation import runner

    before = runner.finished(resumed, prediction) if resumed else []
    with progress_bar("validating") as advance:
        dtype = prediction.precision.weights
        run = runner.Runner(prediction, opened, dtype, seconds, module, compiled, advance)
        return [*before, *run.run(skip=[case.phase for case in before])], run.interrupted


def _leave(cases: Any, verdict: Any, most: float | None, interrupted: bool) -> None:
    """The exit code: 130 interrupted, 6 off by more than allowed, 5 not to be trusted, else 0."""
    from roofline.validation.session import untrusted

    if interrupted:
        raise typer.Exit(130)
    if most is not None and verdict.median_ape > most / 100:
        typer.echo(f"roofline: median APE {verdict.median_ape:.1%} exceeds --max-median-ape {most:g}", err=True)
        raise typer.Exit(6)
    if flags := untrusted(cases):
        typer.echo(f"roofline: not trustworthy: {flags[0]}", err=True)
        raise typer.Exit(5)


def _check(
    hardware: str | None,
    output: Path | None,
    resume: bool,
    module: str | None,
    measurements: Path | None,
    most: float | None,
) -> None:
    """Raises UsageError for flags that do not go together."""
    problem = None
    if hardware is None:
        problem = "--hardware is missing; name a device, or a calibration that roofline calibrate wrote"
    elif output is not None and output.suffix != ".json":
        problem = f"-o {output}: expected a name that ends in .json"
    elif resume and output is None:
        problem = "--resume needs -o FILE.json, which holds what was measured"
    elif module is not None and measurements is not None:
        problem = "--module does not go with --measurements, which times nothing"
    elif most is not None and not most > 0:
        problem = f"--max-median-ape {most:g}: expected a percentage above 0"
    if problem:
        raise UsageError(problem)


def command_line() -> str:
    """The command as it was typed, without the folders of this machine."""
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

    if asked is not None and asked < 1:
        msg = f"--threads {asked}: expected 1 or more"
        raise UsageError(msg)
    chosen = asked or default_threads()
    restart_with(chosen)
    return chosen


def _open(kind: str | None, threads: int) -> Any:
    from roofline.validation.devices import Device

    return Device.open(kind, threads)
