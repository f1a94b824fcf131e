"""The command line: the verbs, and what happens when one of them fails."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path
from typing import NoReturn, TextIO

import click

from roofline.cli.console import fail, interrupted, tell, unwritable, warn
from roofline.cli.verb import Argument, Verb, Verbs
from roofline.errors import RooflineError
from roofline.options.groups import JsonOutput
from roofline.options.verbs import libraries, measuring, operators, pictures, predicting, serving, sweeping, training
from roofline.options.words import PICTURES
from roofline.reports.width import set_room

_WELCOME = """\
How fast is a transformer on any hardware, what limits it, what does it cost?

  Does it fit, how fast?  roofline predict llama-3.1-8b --hardware h100
  What should I buy?      roofline compare llama-3.1-8b --hardware h100,mi300x
  Why?                    roofline formula attention --quantity intensity

{rows}

MODEL: a name, a config.json, a folder, a .gguf or my.py:make_model.
Flags and examples: roofline VERB --help. Tab key: roofline completion SHELL.\
"""


def _page(panels: dict[str, list[str]]) -> str:
    """The first page: what it is, three questions, the verbs in rows, what MODEL is."""
    return _WELCOME.format(rows="\n".join(f"{panel:9}{'  '.join(names)}" for panel, names in panels.items()))


_MODEL = Argument("model", "A name (roofline models list), a config.json or its folder, or a .gguf.")
_MODEL_OR_CODE = Argument("model", f"{_MODEL.help.removesuffix('.')}; or my.py:make_model, whose code is run.")
_MODEL_OR_LINE = Argument(
    "model",
    "A name (roofline models list), a config.json or its folder, a .gguf, or my.py:make_model, whose code is run; "
    "none with --from.",
    optional=True,
)
_MODEL_OR_CONFIGURATION = Argument("model", f"{_MODEL.help.removesuffix('.')}; none with --from.", optional=True)
_SUBJECT = Argument("subject", "A model as for predict, or a layer; none lists the layers.", optional=True)
_KINDS = (
    "matmul grouped_matmul experts attention latent_attention scan convolution elementwise quantize norm softmax "
    "embedding collective"
).split()
_KIND = Argument("kind", f"{', '.join(_KINDS[:-1])} or {_KINDS[-1]}.", optional=True, words=tuple(_KINDS))
_PICTURE = Argument("kind", f"{', '.join(PICTURES)}.", words=tuple(PICTURES))
_DRAWN = Argument("model", "As for predict; several with commas where a kind shows several. For validation: a CSV.")
_SWEPT = Argument("what", "Models with commas, a STUDY.yaml, schema, or show and the folder of a sweep.", many=True)
_DEVICE = Argument("name", "A device or a system: name, alias, YAML file, or a count: 8xh100.", completes="hardware")
_FILES = Argument("files", "YAML files of devices or systems.", optional=True, many=True)
_ONE, _OTHER = Argument("one", "A device.", completes="hardware"), Argument("other", "Another.", completes="hardware")
_NEW = Argument("name", "The new device, lower case and hyphens: my-gpu.")
_OF = Argument("of", "device or system.", optional=True, words=("device", "system"))
_ENGINE = Argument("name", "An engine: name, alias or YAML file.", completes="engine")
_ENGINE_FILES = Argument("files", "YAML files of engines.", many=True)
_NEW_ENGINE = Argument("name", "The new engine, lower case and hyphens: my-engine.")
_TEXT = Argument("text", "Only presets with this in their name or family.", optional=True)
_NAME = Argument("name", "A preset or a path.", completes="model")
_CODE = Argument("code", "my.py:make_model, transformers: or diffusers:config.json, whose code is run.")
_SHELL = Argument("shell", "bash, zsh or fish.", words=("bash", "zsh", "fish"))
_PART = Argument("text", "Only those with this in their name, title or an alias.", optional=True)
_FILE = Argument("file", "A config.json, or the folder that holds it.")


@click.group(cls=Verbs, page=_page, invoke_without_command=True, context_settings={"max_content_width": 120})
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def app(context: click.Context, version: bool) -> None:
    """What a transformer costs on hardware you do not own yet, why, and how sure that is."""
    if version:
        from importlib.metadata import version as installed

        tell(installed("roofline"))
    elif context.invoked_subcommand is None:
        tell(context.get_help())


hardware_app = Verbs(help="The devices: list, show, check, diff, new, schema.")
hardware_app.add(
    "Verbs",
    "list",
    Verb("hardware:hardware_list", libraries.HardwareListFlags, _PART, answer="hardware.answers:HardwareListAnswer"),
)
hardware_app.add(
    "Verbs",
    "show",
    Verb("hardware:hardware_show", JsonOutput, _DEVICE, answer="hardware.answers:HardwareShowAnswer"),
)
hardware_app.add("Verbs", "check", Verb("hardware:hardware_check", libraries.HardwareCheckFlags, _FILES))
hardware_app.add(
    "Verbs",
    "diff",
    Verb("hardware:hardware_diff", JsonOutput, _ONE, _OTHER, answer="hardware.answers:DiffAnswer"),
)
hardware_app.add("Verbs", "new", Verb("hardware:hardware_new", libraries.HardwareNewFlags, _NEW))
hardware_app.add("Verbs", "schema", Verb("hardware:hardware_print_schema", None, _OF))

models_app = Verbs(help="The models: list, show, check, record.")
models_app.add(
    "Verbs",
    "list",
    Verb("library:models_list", libraries.ModelListFlags, _TEXT, answer="models.answers:ModelListAnswer"),
)
models_app.add("Verbs", "show", Verb("library:models_show", JsonOutput, _NAME, answer="models.answers:ModelAnswer"))
models_app.add("Verbs", "check", Verb("library:models_check", None, _FILE))
models_app.add("Verbs", "record", Verb("library:models_record", libraries.ModelRecordFlags, _CODE))

engines_app = Verbs(help="The engines: list, show, check, new.")
engines_app.add("Verbs", "list", Verb("library:engines_list", JsonOutput, answer="engines.answers:EngineListAnswer"))
engines_app.add(
    "Verbs", "show", Verb("library:engines_show", JsonOutput, _ENGINE, answer="engines.answers:EngineAnswer")
)
engines_app.add("Verbs", "check", Verb("library:engines_check", None, _ENGINE_FILES))
engines_app.add("Verbs", "new", Verb("library:engines_new", libraries.EngineNewFlags, _NEW_ENGINE))

assert isinstance(app, Verbs)
app.add(
    "Ask",
    "predict",
    Verb(
        "predict:predict",
        predicting.PredictFlags,
        _MODEL_OR_LINE,
        answer="prediction.answers:PredictAnswer",
        several=("batch", "prompt", "generate", "context"),
        examples=(
            "predict llama-3.1-8b --hardware h100 --context 4096",
            "predict llama-3.1-70b --hardware 8xh100 --batch 16 --dtype fp8",
            "predict llama-3.1-8b --hardware h100,l40s --batch 1,8,64",
        ),
        exits="4 it does not fit (--check)",
    ),
)
app.add(
    "Ask",
    "compare",
    Verb(
        "serving:compare",
        serving.CompareFlags,
        _MODEL_OR_CODE,
        answer="buying.answers:CompareAnswer",
        examples=(
            "compare llama-3.1-8b --hardware h100,mi300x,l40s --workload chat --ttft 500ms --tpot 30ms",
            "compare bge-m3 --hardware h100,l40s,l4 --prompt 512 --latency 50ms",
        ),
        exits="4 none meets the targets",
    ),
)
app.add(
    "Ask",
    "size",
    Verb(
        "serving:size",
        serving.SizeFlags,
        _MODEL_OR_CODE,
        answer="buying.answers:SizeAnswer",
        examples=(
            "size llama-3.1-8b --hardware h100,mi300x --load 50req/s --tpot 30ms",
            "size llama-3.1-70b --hardware h100 --dtype fp8 --users 30 --budget 300kUSD --price-kind purchase",
        ),
        exits="4 none serves the load within the targets",
    ),
)
app.add(
    "Ask",
    "train",
    Verb(
        "training:train",
        training.TrainFlags,
        _MODEL_OR_CONFIGURATION,
        answer="buying.answers:TrainAnswer",
        examples=("train llama-3.1-8b --hardware 64xh100 --tokens 1T",),
        exits="4 takes more than --days, or does not fit (--check)",
    ),
)
app.add(
    "Explore",
    "simulate",
    Verb(
        "simulation:simulate",
        serving.SimulateFlags,
        _MODEL,
        answer="simulation.answers:SimulateAnswer",
        examples=("simulate llama-3.1-8b --hardware h100 --load 5req/s --ttft 100ms --tpot 10ms",),
    ),
)
app.add(
    "Explore",
    "sweep",
    Verb(
        "sweep:sweep",
        sweeping.SweepFlags,
        _SWEPT,
        answer="sweeps.answers:RowsAnswer",
        examples=(
            "sweep llama-3.1-8b --hardware h100,mi300x --batch 1..512:log2 --context 1k,8k -o swept",
            "sweep show swept --pareto tpot_s,usd_per_mtoken --by hardware",
        ),
    ),
)
app.add(
    "Explore",
    "page",
    Verb(
        "page:show_page",
        pictures.PageFlags,
        examples=("page --open", "page -o page.html --models llama-3.1-8b --hardware h100"),
    ),
)
app.add("Explore", "mcp", Verb("page:show_tools", None))
app.add(
    "Explain",
    "formula",
    Verb(
        "formula:show_formula",
        operators.FormulaFlags,
        _SUBJECT,
        answer="formulas.regimes:FormulaAnswer",
        examples=("formula attention", "formula llama-3.1-8b --op up --phase decode --solve B --hardware h100"),
    ),
)
app.add(
    "Explain",
    "plot",
    Verb(
        "plot:plot",
        pictures.PlotFlags,
        _PICTURE,
        _DRAWN,
        examples=("plot roofline llama-3.1-8b --hardware h100 --batch 16 -o roofline.svg",),
    ),
)
app.add(
    "Explain",
    "op",
    Verb(
        "op:operator",
        operators.OpFlags,
        _KIND,
        answer="operators.answers:OpAnswer",
        examples=("op matmul --m 4096 --k 4096 --n 14336 --dtype bf16 --hardware h100",),
    ),
)
app.add(
    "Measure",
    "doctor",
    Verb(
        "measure:doctor",
        measuring.DoctorFlags,
        answer="validation.answers:DoctorAnswer",
        examples=("doctor",),
        exits="5 timings would stall",
    ),
)
app.add(
    "Measure",
    "calibrate",
    Verb(
        "measure:calibrate",
        measuring.CalibrateFlags,
        answer="fitting.answers:CalibrateAnswer",
        examples=("calibrate -o my-cpu.yaml --budget 60s",),
        exits="5 timings not to be trusted",
    ),
)
app.add(
    "Measure",
    "validate",
    Verb(
        "measure:validate",
        measuring.ValidateFlags,
        _MODEL,
        answer="validation.answers:ValidateAnswer",
        examples=("validate bert-base --hardware my-cpu.yaml --dtype fp32 --prompt 128 --max-median-ape 15",),
        exits="5 timings not to be trusted, 6 off by more than --max-median-ape",
    ),
)
app.add("Library", "hardware", hardware_app)
app.add("Library", "models", models_app)
app.add("Library", "engines", engines_app)
app.add_command(Verb("completion:completion", None, _SHELL), "completion")


def _verb_of(failure: click.ClickException) -> str:
    return str(getattr(getattr(failure, "ctx", None), "command_path", "roofline"))


def _no_verb(context: click.Context) -> str:
    """What to type after the name of a group alone."""
    verbs = context.command.commands if isinstance(context.command, click.Group) else ()
    return f"one of {', '.join(verbs)} is missing ({context.command_path} --help)"


def _unknown_option(failure: click.NoSuchOption) -> str:
    """What to type in place of an option that is none: an engine's own are its fields."""
    from roofline.engines.engine import Engine  # whose files no help needs

    field = failure.option_name.lstrip("-").replace("-", "_")
    known = failure.ctx.command.params if failure.ctx else ()
    if field in Engine.stated and any(each.name == "set" for each in known):
        told = f"No such option '{failure.option_name}': an engine states it; --set engine.{field}=VALUE edits it"
        return f"{told} ({_verb_of(failure)} --help)"
    return f"{failure.format_message()} ({_verb_of(failure)} --help)"


def _missing(failure: click.MissingParameter) -> str:
    """What to type where an argument is missing: for MODEL a few names, for a picture its KIND before it."""
    told = failure.format_message()
    name = failure.param.name if failure.param is not None else None
    before = failure.ctx.params if failure.ctx else {}
    if name == "kind" or (kind := before.get("kind", PICTURES[0])) not in PICTURES:
        given = "" if name == "kind" else f"{kind!r} stands in its place; "
        told = f"KIND is missing: {given}one of {', '.join(PICTURES)}, then MODEL"
    elif name == "model":
        from roofline.cli.predict import NO_MODEL

        told = NO_MODEL
    return f"{told} ({_verb_of(failure)} --help)"


def main() -> NoReturn:
    """Run the command line: data to stdout, one line to stderr for whatever the user got wrong."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would look through every installed package
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a narrow terminal encoding is no reason to fail
    if sys.stdout.isatty():
        set_room(shutil.get_terminal_size().columns)
    warnings.showwarning = _told
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # half-written files are removed on the way out
    try:
        code = app.main(prog_name="roofline", standalone_mode=False)
    except RooflineError as failure:
        fail(str(failure), failure.exit_code)
    except (KeyboardInterrupt, click.Abort):
        interrupted()
    except click.exceptions.NoArgsIsHelpError as failure:
        fail(_no_verb(failure.ctx), 2)
    except click.NoSuchOption as failure:
        fail(_unknown_option(failure), 2)
    except click.MissingParameter as failure:
        fail(_missing(failure), 2)
    except click.ClickException as failure:
        fail(f"{failure.format_message()} ({_verb_of(failure)} --help)", 2)
    except OSError as failure:
        unwritable(failure)
    if code == 130:
        interrupted()
    sys.exit(code or 0)


def _nowhere() -> TextIO:
    """What is written to in place of a standard stream that whoever started the command had closed."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _told(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """What the library warns of, as a verb's own warnings."""
    warn(str(message))
