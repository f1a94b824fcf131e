"""House rules: names, lazy imports, lengths of functions, and lists that do not change by accident."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from source import FILES, PACKAGE, absent_extras, module_of, trees

import roofline
from roofline.cli import app as cli
from roofline.files.library import read_yaml

ROOT = PACKAGE.parent


# Names


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def test_the_shop_window_is_sorted_and_exact() -> None:
    """What type checkers see, what is listed and what is handed out on first use are one and the same."""
    (typed,) = (node for node in trees()[PACKAGE / "__init__.py"].body if isinstance(node, ast.If))
    imports = [node for node in typed.body if isinstance(node, ast.ImportFrom) and node.module != "roofline"]  # charts
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert roofline.__all__ == sorted(roofline.__all__) == sorted(seen)
    for name, module in seen.items():
        assert getattr(roofline, name) is getattr(importlib.import_module(str(module)), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = roofline.nothing
    assert set(roofline.__all__) <= set(dir(roofline))


def test_every_other_list_of_exports_is_sorted_and_true() -> None:
    for file, tree in trees().items():
        names = exported(tree)
        if names is not None and file != PACKAGE / "__init__.py":
            assert names == sorted(set(names)), file
            bound = {getattr(node, "name", None) for node in tree.body}
            bound |= {
                alias.asname or alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names
            }
            assert set(names) <= bound, file


def test_the_frozen_window() -> None:
    assert roofline.__all__ == (
        "Ceiling Comparison Formula HardwareSpec Model OperatorPrediction Prediction Predictions Roofline "
        "RooflineError Simulation Sizing StepClock Sweep Tape Training compare formula load_hardware load_model "
        "predict predict_op record record_training simulate size sweep trace train".split()
    )


def test_no_module_is_named_as_a_public_function() -> None:
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules & set(roofline.__all__) == set()
    in_rooms = {node.name for tree in trees().values() for node in tree.body if isinstance(node, ast.FunctionDef)}
    rooms_of_functions = {module_of(file).split(".")[-1] for file in FILES} & {n for n in in_rooms if n[0] != "_"}
    # A layer's formula may bear its file's name (layers/attention.py); nothing at the top of the house may.
    assert rooms_of_functions & (modules - {"layers"}) <= {"program"}


def test_only_the_command_line_prints() -> None:
    for file, tree in trees().items():
        if file.name == "console.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "sys.stdout.write", "sys.stderr.write"), file


def test_shipped_data_are_named_after_their_files_and_have_a_source() -> None:
    folders = (ROOT / "hardware_specs", ROOT / "calibrations", ROOT / "engines", PACKAGE / "models" / "presets")
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    data = [file for file in files if file.suffix == ".yaml"]
    assert len(data) >= 19
    assert {file.name for file in files if file.suffix not in (".yaml", ".md")} <= {"index.json", "schema.json"}
    for file in data:
        fields = read_yaml(file)
        assert fields["name"] == file.stem, file
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", file.stem), file
        assert fields["source"], file


def test_benchmarks_and_examples_import_what_is_there() -> None:
    """In code that they hand to other processes too, which stands in strings."""
    checked = 0
    for file in [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "examples").glob("*.py")]:
        whole = ast.parse(file.read_text(encoding="utf-8"))
        texts = [node.value for node in ast.walk(whole) if isinstance(node, ast.Constant)]
        handed = [ast.parse(text) for text in texts if isinstance(text, str) and "from roofline" in text]
        for node in (node for tree in (whole, *handed) for node in ast.walk(tree)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "roofline":
                module = None
                with absent_extras():
                    module = importlib.import_module(str(node.module))
                if module is None:
                    continue
                for name in (alias.name for alias in node.names):
                    checked += 1
                    assert hasattr(module, name) or importlib.util.find_spec(f"{node.module}.{name}"), (file.name, name)
    assert checked > 100


# Sizes


def test_a_function_body_has_at_most_45_lines() -> None:
    for file in FILES:
        for node in ast.walk(trees()[file]):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = 1 + (body[-1].end_lineno or 0) - body[0].lineno if body else 0
                assert lines <= 45, f"{module_of(file)}: {node.name} has {lines} lines"


def test_a_function_has_at_most_eight_parameters() -> None:
    found = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                found |= {node.name} if len([name for name in names if name not in ("self", "cls")]) > 8 else set()
    assert found == set()


def test_only_one_module_builds_flags() -> None:
    """All others come from ``roofline.options``, but ``--version``."""
    builders = ("click.Option", "click.option", "click.Argument", "click.argument")
    for file, tree in trees().items():
        called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        if file.name != "verb.py":
            assert sum(name in builders for name in called) == (file.name == "app.py"), file


def test_inheritance_is_one_deep() -> None:
    put_together = ("options", "verbs", "answers.py")  # TypedDicts, records that are put together
    plain = [tree for file, tree in trees().items() if not {file.parent.name, file.name} & set(put_together)]
    bases = {node.name: [ast.unparse(base) for base in node.bases] for tree in plain for node in ast.walk(tree)
             if isinstance(node, ast.ClassDef)}  # fmt: skip
    roots = {"BaseModel", "Door", "Exception", "RooflineError", "Block", "Config", "Data", "Correction", "Corrections",
             "Record", "Closed", "Answer", "Remembering", "TowerStack"}  # fmt: skip
    for name, parents in bases.items():
        assert all(p in roots or p not in bases for p in parents), f"{name} inherits {parents}"


def tracked() -> list[Path]:
    """Files of the repository, or of the source tree where there is no repository."""
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        files = [ROOT / name for name in done.stdout.split("\0") if name]
    else:
        files = [file for folder in ("roofline", "tests") for file in (ROOT / folder).rglob("*.py")]
    return [file for file in files if file.is_file()]


def test_no_path_of_a_machine_in_the_repository() -> None:
    machine = re.compile("|".join("/" + folder + "/" for folder in ("work", "root", "Users", "home/[a-z]+")))
    for file in tracked():
        text = file.read_text(encoding="utf-8", errors="replace")
        assert not machine.search(text), f"{file}: {machine.search(text)}"


# Start-up

HEAVY = ("matplotlib", "pydantic", "scipy", "sympy", "torch", "transformers")
ELSEWHERE = (
    "roofline.cli.sweep", "roofline.models.families.vision", "roofline.models.towers.moonvit",
    "roofline.models.traced.trace", "roofline.prediction.sensitivity",
)  # fmt: skip
"""Modules of ours that one prediction of a decoder has no use for."""
_RUN = """
import json, sys
lines = json.loads(sys.argv[1])
import roofline
{extra}
loaded = {{}}
for line in lines:
    if line:
        from roofline.cli.app import main
        sys.argv = ["roofline", *line.split()]
        try:
            main()
        except SystemExit as leaving:
            assert not leaving.code, (line, leaving.code)
    loaded[line] = [name for name in {heavy!r} if name in sys.modules]
print("LOADED", json.dumps(loaded))
"""


def loaded_by(*lines: str, extra: str = "") -> dict[str, list[str]]:
    """Which heavy libraries a fresh process has loaded after ``roofline`` with each of these lines, in turn."""
    code = _RUN.format(extra=extra, heavy=HEAVY + ELSEWHERE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(lines)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    return dict(json.loads(last.removeprefix("LOADED ")))


PREDICTED = "predict llama-3.1-8b --hardware h100 --batch 16"
LIGHT = (
    "",
    "--help",
    "--version",
    "predict --help",
    PREDICTED,
    "predict bert-base --hardware t4 --json",
    "formula --help",
    "op matmul --hardware h100 --m 16 --k 4096 --n 14336",
    "plot --help",
    "compare llama-3.1-8b --hardware h100,mi300x",
    "size llama-3.1-8b --hardware h100 --load 50req/s",
    "simulate llama-3.1-8b --hardware h100 --load 5req/s --requests 50 --quiet",
    "train gpt2 --hardware h100 --batch 8 --quiet",
    "hardware list",
    "hardware show h100",
    "hardware show 8xh100",
    "hardware diff h100 mi300x",
    "models list",
    "models show gpt2",
)
"""What is asked without a formula, a picture, a module or a malformed file; an empty line imports the package alone."""


@pytest.mark.parametrize("lines", [LIGHT, *(pytest.param((line,), marks=pytest.mark.slow) for line in LIGHT)])
def test_nothing_heavy_is_loaded(lines: tuple[str, ...]) -> None:
    found = loaded_by(*lines)
    assert {line: [name for name in some if name in HEAVY] for line, some in found.items()} == {n: [] for n in lines}
    assert not found.get(PREDICTED)


def test_the_test_of_start_up_can_fail() -> None:
    found = loaded_by("", "hardware schema", extra="import sympy, roofline.cli.sweep")
    assert found[""] == ["sympy", "roofline.cli.sweep"]
    assert found["hardware schema"][:2] == ["pydantic", "sympy"]


# Frozen lists


SERVING = (
    "--workload --prompt --generate --prefix-hits --images --image-size --video --fps --audio --denoise-steps --ttft "
    "--tpot --latency --dtype --weight-dtype --activation-dtype --kv-dtype --state-dtype --lora --routing --fusion "
    "--engine --kernels --constants --speculate --draft --pools --encode-on --reserve --price-kind --prices --years "
    "--chassis --pue --power-price --hosting --utilization --api --set"
)
VERBS = {
    "predict": "--hardware --batch --prompt --generate --context --images --image-size --video --fps --audio "
    "--denoise-steps --phase --dtype --weight-dtype --activation-dtype --kv-dtype --state-dtype --prune "
    "--sparsity --lora --routing --fusion --count --lm-head --engine --kernels --constants --reserve --offload --set "
    "--tp --pp --dp --ep --cp --dcp --sp --input --dims --strict --from --launch --verify --json --output -o "
    "--wide --quiet --no-color --explain --sensitivity --check --operators --plot --help-all",
    "op": "--hardware --m --k --n --batch --query --context --heads --kv-heads --head-dim --rope-dim --value-dim "
    "--window --latent-dim --causal --full --rule --key-heads --key-dim --chunk --channels --taps --rows --columns "
    "--inputs --tokens --experts --topk --hidden --width --operation --message-bytes "
    "--devices --dtype --routing --engine --kernels --constants --set --json --no-color --table --output -o --help-all",
    "compare": f"--hardware {SERVING} --offload --batch --input --dims --strict --launch --verify --json --output -o "
    "--wide --quiet --pareto --help-all",
    "size": "--hardware --load --concurrency --users --activity --headroom --budget --power "
    f"{SERVING} --prefill-on --offload --input --dims --strict --launch --verify --json --output -o --wide --quiet "
    "--help-all",
    "train": "--hardware --sequence --target-sequence --sequence-lengths --batch-tokens --batch --microbatch --zero "
    "--replicate --recompute --schedule --optimizer --gradients --offload --loss --dropout --hidden --dtype "
    "--weight-dtype --lora --trained --tokens --days --tp --pp --dp --ep --cp --dcp --sp --routing --fusion "
    "--engine --kernels --constants --reserve --price-kind --prices --years --chassis --pue --power-price "
    "--hosting --set --input --dims --strict --from --launch --json --output -o --wide --quiet --explain "
    "--sensitivity --check --plot --help-all",
    "simulate": "--hardware --load --concurrency --arrivals --think --requests --router --seed --workload --prompt "
    "--generate --prefix-hits --images --image-size --video --fps --audio --denoise-steps --ttft --tpot --dtype "
    "--weight-dtype --activation-dtype --kv-dtype --state-dtype --prune --sparsity --lora --routing --fusion --count "
    "--lm-head --engine --kernels --constants --set --tp --pp --dp --ep --cp --dcp --sp --speculate --draft "
    "--prefill-on --encode-on --reserve --offload --price-kind --prices --years --chassis --pue --power-price "
    "--hosting --input --dims --strict --json --output -o --quiet --plot --help-all",
    "sweep": "--hardware --years --chassis --pue --power-price --hosting --fusion --set --input --dims --strict --json "
    "--output -o --batch --prompt "
    "--generate --context --concurrency --batch-tokens --sequence --microbatch --zero --recompute --schedule "
    "--optimizer --tokens --phase --counts --dtype --engine --layouts --ttft --tpot --price-kind "
    "--prices --columns --workers --dry-run --best --pareto --pivot --of --by --where --unfit --top "
    "--plot --help-all",
    "plot": "--hardware --batch --prompt --generate --context --phase --dtype --weight-dtype --activation-dtype "
    "--kv-dtype --state-dtype --fusion --engine --kernels --constants --set --input --dims --strict --output -o --data "
    "--theme --size --dpi --over --measured --help-all",
    "doctor": "--device --threads --json",
    "calibrate": "--device --threads --json --budget --extends --dtype --output -o --seed --help-all",
    "validate": "--hardware --device --threads --batch --prompt --generate --context --phase --dtype --engine "
    "--kernels --constants --set --tp --pp --dp --ep --cp --dcp --sp --train --sequence "
    "--optimizer --input --dims --strict --json --wide --serving --module --measurements --profiled-steps "
    "--kernel-rules --compile --budget --max-median-ape --output -o --resume --help-all",
    "mcp": "",
    "page": "--hardware --port --open --output -o --lesson --models --dtypes",
    "hardware list": "--json --vendor --kind --memory --dtype --sort --announced",
    "formula": "--hardware --phase --dtype --attention --routing --fusion --count --lm-head --engine --kernels "
    "--constants --keep --op --subs --policy --dropout --quantity --mean --input --dims --strict --json --solve "
    "--elasticity --latex --python --js --help-all",
    "hardware show": "--json",
    "hardware check": "--older",
    "hardware diff": "--json",
    "hardware new": "--from --output -o",
    "hardware schema": "",
    "engines list": "--json",
    "engines show": "--json",
    "engines check": "",
    "engines new": "--from --output -o",
    "models list": "--json --family --parameters --kind --moe --fits --sort",
    "models show": "--json",
    "models check": "",
    "completion": "",
    "models record": "--input --dims --strict --output -o --help-all",
}


def test_the_verbs_and_their_flags_do_not_change_by_accident() -> None:
    found: dict[str, str] = {}
    hidden: dict[str, str] = {}

    def walk(command: click.Command, name: str) -> None:
        if isinstance(command, click.Group):
            for verb, inner in command.commands.items():
                walk(inner, f"{name} {verb}".strip())
        else:
            params = command.get_params(click.Context(command))[:-1]  # --help is everyone's
            options = [p for p in params if isinstance(p, click.Option)]
            found[name] = " ".join(" ".join([*p.opts, *p.secondary_opts]) for p in options if not p.hidden)
            hidden[name] = " ".join(" ".join(p.opts) for p in options if p.hidden)

    walk(cli.app, "")
    assert found == VERBS
    assert hidden == {name: "--json-schema" if "--json" in flags.split() else "" for name, flags in VERBS.items()}
    assert [p.opts for p in cli.app.params] == [["--version"]]


@pytest.mark.parametrize("verb", ["compare", "predict", "simulate", "size", "train"])
def test_the_flags_are_the_keywords(verb: str) -> None:
    flags = {word[2:].replace("-", "_") for word in VERBS[verb].split() if word[:2] == "--"}
    shown = (  # how it is shown, not asked; and of code, how it is traced before it is asked about
        "help_all json output operators explain sensitivity check wide quiet pareto no_color plot from launch "
        "verify input dims strict"
    ).split()
    assert flags - {*shown} | {"model"} == set(inspect.signature(getattr(roofline, verb)).parameters)
