"""The command line: parse, call one public function, print one report."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from roofline.cli import formula as cli_formula
from roofline.cli import hardware as cli_hardware
from roofline.cli import measure as cli_measure
from roofline.cli import models as cli_models
from roofline.cli import op as cli_op
from roofline.cli import plot as cli_plot
from roofline.cli import serving as cli_serving
from roofline.cli.console import choice, edit, fail, refuse, tell, warn, without_color
from roofline.errors import RooflineError

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)
models_app = typer.Typer(help="The models: list, show, check.")
app.add_typer(cli_hardware.hardware_app, name="hardware", rich_help_panel="Library")
app.add_typer(models_app, name="models", rich_help_panel="Library")

_WELCOME = """\
roofline tells what a transformer costs on hardware you do not own yet, why, and how sure that is.

  roofline predict llama-3.1-8b --hardware h100 --batch 16     buyer: does it fit, how fast
  roofline predict llama-3.1-8b --hardware h100 --context 4096 engineer: what limits a decode step
  roofline formula attention --quantity intensity              teacher: the formula, in letters

verbs: predict, compare, size, op, formula, plot, doctor, calibrate, validate,
       hardware list|show|check|diff|new|schema, models list|show|check
"""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON in SI base units.")]


NoColorFlag = Annotated[bool, typer.Option("--no-color", help="No colour.", callback=without_color)]


@app.callback(invoke_without_command=True)
def welcome(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """What a transformer costs on hardware you do not own yet, why, and how sure that is."""
    if version:
        from importlib.metadata import version as installed

        tell(installed("roofline"))
    elif context.invoked_subcommand is None:
        tell(_WELCOME.rstrip())


@app.command(rich_help_panel="Ask")
def predict(
    model: Annotated[str, typer.Argument(help="A preset, or a path to a config.json or its folder.")],
    hardware: Annotated[str | None, typer.Option(help="A device, 8xh100, a system, or a YAML file.")] = None,
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    prompt: Annotated[
        int | None, typer.Option(help="Tokens in; what an encoder reads.  [default: 2048, encoders 512]")
    ] = None,
    generate: Annotated[int | None, typer.Option(help="Tokens out.  [default: 256]")] = None,
    context: Annotated[int | None, typer.Option(help="Attended length of one decode step.")] = None,
    phase: Annotated[str | None, typer.Option(help="encode, prefill or decode.  [default: all]")] = None,
    dtype: Annotated[str | None, typer.Option(help="A dtype, or a recipe: fp8, w8a8, w4a16+kv8 ...")] = None,
    weight_dtype: Annotated[str | None, typer.Option(help="The weights', if another.")] = None,
    activation_dtype: Annotated[str | None, typer.Option(help="The activations', if another.")] = None,
    kv_dtype: Annotated[str | None, typer.Option(help="The KV cache's, if another.")] = None,
    prune: Annotated[str | None, typer.Option(help="heads=0.25,ffn=0.5,layers=6: shares or numbers to remove.")] = None,
    sparsity: Annotated[str | None, typer.Option(help="2:4, or zeros and format: 0.9:csr, :bitmap, :block16.")] = None,
    attention: Annotated[str, typer.Option(help="fused or materialised.")] = "fused",
    count: Annotated[str, typer.Option(help="attended or square.")] = "attended",
    lm_head: Annotated[str, typer.Option(help="last or all.")] = "last",
    execution: Annotated[str | None, typer.Option(help="graph or eager.  [default: graph on GPUs]")] = None,
    constants: Annotated[
        str | None, typer.Option(help="datasheet, class, published or calibrated.  [default: the best there is]")
    ] = None,
    tp: Annotated[int | None, typer.Option(help="Tensor parallel degree.  [default: the best]", metavar="N")] = None,
    pp: Annotated[int | None, typer.Option(help="Pipeline stages.", metavar="N")] = None,
    dp: Annotated[int | None, typer.Option(help="Replicas.", metavar="N")] = None,
    ep: Annotated[
        int | None, typer.Option(help="Expert parallel degree, on the devices of tp and dp.", metavar="N")
    ] = None,
    cp: Annotated[int | None, typer.Option(help="Context parallel degree.", metavar="N")] = None,
    sp: Annotated[int | None, typer.Option(help="Sequences split too: 1 or tp.", metavar="N")] = None,
    overlap: Annotated[float, typer.Option(help="Part of each collective's time that other work hides, 0 to 1.")] = 0.0,
    kv_block: Annotated[int, typer.Option(help="Tokens in a block of a paged cache; vLLM has 16.")] = 1,
    reserve: Annotated[
        str | None, typer.Option(help="What the runtime keeps: a share, 0.1, or a size, 2GiB.  [default: 0]")
    ] = None,
    memory_share: Annotated[
        float | None, typer.Option(help="The share that it leaves, in place of --reserve.  [default: 1]")
    ] = None,
    edits: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE: edit a field of hardware or model.")
    ] = None,
    json: JsonFlag = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="FILE.json, .csv, .md or .parquet.")] = None,
    explained: Annotated[bool, typer.Option("--explain", help="Where each number comes from.")] = False,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="What 10 % more of each resource would buy.")
    ] = False,
    wide: Annotated[bool, typer.Option("--wide", help="More columns.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="The verdict alone, no warnings.")] = False,
    no_color: NoColorFlag = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the roofline: FILE.png, .svg or .pdf.")] = None,
) -> None:
    """Time, memory and bottleneck of a model on a device, phase by phase and operator by operator."""
    from roofline.prediction import predict as prediction
    from roofline.reports import export

    if hardware is None:
        refuse("--hardware is missing; try h100, mi300x or t4 (roofline hardware list)")
    _check_files(output, plot)
    result = prediction.predict(
        model,
        hardware,
        batch=batch,
        prompt=prompt,
        generate=generate,
        context=context,
        phase=choice("--phase", phase, "encode", "prefill", "decode"),
        dtype=dtype,
        weight_dtype=weight_dtype,
        activation_dtype=activation_dtype,
        kv_dtype=kv_dtype,
        prune=prune,
        sparsity=sparsity,
        attention=choice("--attention", attention, "fused", "materialised"),
        count=choice("--count", count, "attended", "square"),
        lm_head=choice("--lm-head", lm_head, "last", "all"),
        execution=choice("--execution", execution, "graph", "eager"),
        constants=choice("--constants", constants, "datasheet", "class", "published", "calibrated"),
        tp=tp,
        pp=pp,
        dp=dp,
        ep=ep,
        cp=cp,
        sp=sp,
        overlap=overlap,
        kv_block=kv_block,
        reserve=reserve,
        memory_share=memory_share,
        set=dict(edit(text) for text in edits or ()),
    )
    for warning in () if quiet else result.model.warnings:
        warn(warning)
    if output is not None:
        export.write(result, output)
    if plot is not None:
        cli_plot.plot_prediction(result, plot)
    _show(result, json=json, table=output is None, wide=wide, quiet=quiet, sensitivity=sensitivity, explained=explained)


def _check_files(output: Path | None, plot: Path | None) -> None:
    """Raises UsageError for a suffix that names no format, before any work is done."""
    if output is not None:
        from roofline.reports.export import check_suffix

        check_suffix(output)
    if plot is not None:
        cli_plot.check(plot)


def _show(result: Any, *, json: bool, table: bool, wide: bool, quiet: bool, sensitivity: bool, explained: bool) -> None:
    """A prediction as JSON, or as text with what was asked for besides."""
    from roofline.reports import compression as report_compression
    from roofline.reports import prediction as report
    from roofline.reports import sensitivity as report_sensitivity

    if json:
        more = report_sensitivity.fields(result) if sensitivity else {}
        tell(report.to_json(report_compression.to_dict(result) | more))
        return
    if table:
        tell(report_compression.text(result, wide=wide, quiet=quiet))
    if sensitivity:
        tell("\n" + report_sensitivity.text(result))
    if explained:
        _explain(result)


def _explain(result: Any) -> None:
    from roofline.reports.explanation import explain

    tell("\n" + explain(result))


app.command("compare", rich_help_panel="Ask")(cli_serving.compare)
app.command("size", rich_help_panel="Ask")(cli_serving.size)
app.command("op", rich_help_panel="Ask")(cli_op.operator)
app.command("formula", rich_help_panel="Explain")(cli_formula.show_formula)
app.command("plot", rich_help_panel="Explain")(cli_plot.plot)
app.command("doctor", rich_help_panel="Measure")(cli_measure.doctor)
app.command("calibrate", rich_help_panel="Measure")(cli_measure.calibrate)
app.command("validate", rich_help_panel="Measure")(cli_measure.validate)


models_app.command("list")(cli_models.models_list)
models_app.command("show")(cli_models.models_show)
models_app.command("check")(cli_models.models_check)


def main() -> NoReturn:
    """Run the command line: data to stdout, one line to stderr for whatever the user got wrong."""
    command = typer.main.get_command(app)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a narrow terminal encoding is no reason to fail
    try:
        code = command.main(prog_name="roofline", standalone_mode=False)
    except RooflineError as failure:
        fail(str(failure), failure.exit_code)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except Exception as failure:
        if not hasattr(failure, "format_message"):  # the parser's own errors have it, ours and bugs do not
            raise
        where = getattr(getattr(failure, "ctx", None), "command_path", "roofline")
        fail(f"{failure.format_message()} ({where} --help)", 2)
    if code == 130:  # the parser turns an interruption into its exit code
        fail("interrupted", 130)
    sys.exit(code or 0)
