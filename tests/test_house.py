"""House rules: floors, names, lazy imports, sizes of files, and lists that do not change by accident."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

import roofline
from roofline import cli
from roofline.data_files import read_yaml

PACKAGE = Path(roofline.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8"), str(file)) for file in FILES}

NEUTRAL, SOFTWARE, HARDWARE = "", "software", "hardware"

FLOORS: dict[str, tuple[int, str]] = {
    "roofline": (9, NEUTRAL),  # the shop window looks at everything
    "roofline.errors": (0, NEUTRAL),
    "roofline.number": (0, NEUTRAL),
    "roofline.units": (0, NEUTRAL),
    "roofline.reservation": (0, NEUTRAL),
    "roofline.parabolas": (0, NEUTRAL),
    "roofline.data_files": (0, NEUTRAL),
    "roofline.doors": (0, NEUTRAL),
    "roofline.axes": (0, SOFTWARE),
    "roofline.conventions": (0, SOFTWARE),
    "roofline.differentiation": (1, SOFTWARE),
    "roofline.op": (1, SOFTWARE),
    "roofline.program": (1, SOFTWARE),
    "roofline.layers": (2, SOFTWARE),
    "roofline.hardware": (2, HARDWARE),
    "roofline.hardware_checks": (2, HARDWARE),
    "roofline.hardware_fields": (2, HARDWARE),
    "roofline.hardware_library": (2, HARDWARE),
    "roofline.hardware_review": (2, HARDWARE),
    "roofline.hardware_schema": (2, HARDWARE),
    "roofline.hardware_selection": (2, HARDWARE),
    "roofline.hardware_systems": (2, HARDWARE),
    "roofline.hardware_template": (2, HARDWARE),
    "roofline.ceilings": (2, HARDWARE),
    "roofline.calibration": (2, HARDWARE),
    "roofline.calibration_fields": (2, HARDWARE),
    "roofline.provenance": (2, HARDWARE),
    "roofline.prices": (2, HARDWARE),
    "roofline.workload": (3, SOFTWARE),
    "roofline.precision": (3, SOFTWARE),
    "roofline.quantization": (4, SOFTWARE),
    "roofline.matrices": (2, SOFTWARE),
    "roofline.pruning": (4, SOFTWARE),
    "roofline.sparsity": (4, SOFTWARE),
    "roofline.compression": (4, SOFTWARE),
    "roofline.report_compression": (7, NEUTRAL),
    "roofline.report_overflow": (7, NEUTRAL),
    "roofline.overflow": (5, NEUTRAL),
    "roofline.before_after": (6, NEUTRAL),
    "roofline.architectures": (3, SOFTWARE),
    "roofline.transfers": (0, NEUTRAL),
    "roofline.parallelism": (4, SOFTWARE),
    "roofline.sharding": (4, SOFTWARE),
    "roofline.divisibility": (4, SOFTWARE),
    "roofline.replication": (4, SOFTWARE),
    "roofline.gradients": (4, SOFTWARE),
    "roofline.cost": (4, SOFTWARE),
    "roofline.eager_kernels": (3, SOFTWARE),
    "roofline.stages": (4, SOFTWARE),
    "roofline.link_constants": (3, HARDWARE),
    "roofline.networks": (3, HARDWARE),
    "roofline.deployment": (5, NEUTRAL),
    "roofline.request": (5, NEUTRAL),
    "roofline.steps": (5, NEUTRAL),
    "roofline.layouts": (5, NEUTRAL),
    "roofline.layout_evaluation": (5, NEUTRAL),
    "roofline.kernel_shapes": (4, SOFTWARE),
    "roofline.kernels": (5, NEUTRAL),
    "roofline.fitting": (6, NEUTRAL),
    "roofline.collective_fitting": (6, NEUTRAL),
    "roofline.collectives": (3, HARDWARE),
    "roofline.memory": (4, SOFTWARE),
    "roofline.fits": (4, SOFTWARE),
    "roofline.figures": (5, NEUTRAL),
    "roofline.timing": (5, NEUTRAL),  # here the wings meet
    "roofline.operator_sizes": (1, NEUTRAL),
    "roofline.operator_statements": (4, SOFTWARE),
    "roofline.operators": (5, NEUTRAL),
    "roofline.arithmetic": (5, NEUTRAL),
    "roofline.prediction": (5, NEUTRAL),
    "roofline.resources": (6, NEUTRAL),
    "roofline.sensitivity": (6, NEUTRAL),
    "roofline.energy": (6, NEUTRAL),
    "roofline.economics": (6, NEUTRAL),
    "roofline.training_runs": (6, NEUTRAL),
    "roofline.training_costs": (6, NEUTRAL),
    "roofline.report_training": (7, NEUTRAL),
    "roofline.traffic": (3, SOFTWARE),
    "roofline.speculation": (3, SOFTWARE),
    "roofline.mixed_steps": (4, SOFTWARE),
    "roofline.occupancy": (4, SOFTWARE),
    "roofline.device_stacks": (2, HARDWARE),
    "roofline.step_times": (6, NEUTRAL),
    "roofline.serving": (6, NEUTRAL),
    "roofline.candidates": (6, NEUTRAL),
    "roofline.replicas": (6, NEUTRAL),
    "roofline.contenders": (6, NEUTRAL),
    "roofline.question": (6, NEUTRAL),
    "roofline.serving_curve": (6, NEUTRAL),
    "roofline.pools": (6, NEUTRAL),
    "roofline.handover": (6, NEUTRAL),
    "roofline.pool_pairs": (6, NEUTRAL),
    "roofline.pool_sizing": (6, NEUTRAL),
    "roofline.report_pools": (7, NEUTRAL),
    "roofline.report_sizing": (7, NEUTRAL),
    "roofline.serving_rows": (7, NEUTRAL),
    "roofline.operating_points": (6, NEUTRAL),
    "roofline.serving_costs": (6, NEUTRAL),
    "roofline.pareto": (6, NEUTRAL),
    "roofline.ranking": (6, NEUTRAL),
    "roofline.sizing": (6, NEUTRAL),
    "roofline.buying": (6, NEUTRAL),
    "roofline.report_serving": (7, NEUTRAL),
    "roofline.cli_serving": (8, NEUTRAL),
    "roofline.operator_table": (6, NEUTRAL),
    "roofline.files": (0, NEUTRAL),
    "roofline.formulas": (6, NEUTRAL),
    "roofline.report_layout": (7, NEUTRAL),
    "roofline.report": (7, NEUTRAL),
    "roofline.export": (7, NEUTRAL),
    "roofline.explanation": (7, NEUTRAL),
    "roofline.report_comparison": (7, NEUTRAL),
    "roofline.report_hardware": (7, NEUTRAL),
    "roofline.report_op": (7, NEUTRAL),
    "roofline.cli_hardware": (8, NEUTRAL),
    "roofline.report_sensitivity": (7, NEUTRAL),
    "roofline.cli_op": (8, NEUTRAL),
    "roofline.cli_formula": (8, NEUTRAL),
    "roofline.report_models": (7, NEUTRAL),
    "roofline.cli_models": (8, NEUTRAL),
    "roofline.elasticities": (6, NEUTRAL),
    "roofline.regime_maps": (6, NEUTRAL),
    "roofline.charts": (7, NEUTRAL),
    "roofline.scores": (6, NEUTRAL),
    "roofline.validation": (7, NEUTRAL),
    "roofline.report_validation": (7, NEUTRAL),
    "roofline.cli_measure": (8, NEUTRAL),
    "roofline.cli_plot": (8, NEUTRAL),
    "roofline.cli": (8, NEUTRAL),
    "roofline.__main__": (8, NEUTRAL),
}
UPWARD = {("roofline.prediction", "roofline.report")}
"""The one lazy import that goes up: a notebook asks a prediction for its page."""


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The longest entry of FLOORS that ``module`` is or lies in."""
    rooms = [room for room in FLOORS if room != "roofline" and (module == room or module.startswith(room + "."))]
    if not rooms and module != "roofline":
        pytest.fail(f"{module} has no floor; give it one")
    return max(rooms, key=len, default="roofline")


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every roofline module that is imported anywhere in ``tree``: at the top, in a function, under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "roofline")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "roofline":
                yield from (f"roofline.{alias.name}" for alias in node.names)
            elif (node.module or "").startswith("roofline."):
                yield str(node.module)


def wrongs(importer: str, tree: ast.AST) -> list[str]:
    """What ``importer`` imports from above or from the other wing."""
    here = room_of(importer)
    floor, wing = FLOORS[here]
    found = []
    for imported in imports_of(tree):
        there = room_of(imported)
        above, side = FLOORS[there]
        if above > floor and (here, there) not in UPWARD:
            found.append(f"{importer} (floor {floor}) imports {imported} (floor {above})")
        if wing and side and wing != side:
            found.append(f"{importer} ({wing}) imports {imported} ({side})")
    return found


# Floors


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_go_downwards_and_wings_do_not_know_each_other(file: Path) -> None:
    assert wrongs(module_of(file), TREES[file]) == []


def test_every_floor_is_lived_on() -> None:
    assert set(FLOORS) - {room_of(module_of(file)) for file in FILES} <= {"roofline.doors"}


@pytest.mark.parametrize(
    ("importer", "code"),
    [
        ("roofline.op", "from roofline.layers.attention import attention"),
        ("roofline.op", "from roofline import cost"),
        ("roofline.units", "import roofline.op"),
        ("roofline.hardware", "def f():\n    from roofline.op import Op"),
        ("roofline.cost", "if TYPE_CHECKING:\n    from roofline.hardware import HardwareSpec"),
        ("roofline.layers.head", "from roofline.ceilings import Roofline"),
        ("roofline.ceilings", "from roofline.axes import LEGEND"),
        ("roofline.timing", "from roofline.report import text"),
        ("roofline.report", "from roofline import predict"),
    ],
)
def test_the_rule_of_the_floors_can_fail(importer: str, code: str) -> None:
    if code == "from roofline import predict":
        FLOORS_OF_WINDOW = "roofline.predict"
        with pytest.raises(pytest.fail.Exception, match="has no floor"):
            room_of(FLOORS_OF_WINDOW)
    else:
        assert wrongs(importer, ast.parse(code))


def test_modules_do_not_import_each_other_at_the_top() -> None:
    edges: dict[str, set[str]] = {}
    for file, tree in TREES.items():
        tops = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        edges[module_of(file)] = set(imports_of(ast.Module(body=list(tops), type_ignores=[])))
    done: set[str] = set()
    while ready := {module for module in edges if module not in done and edges[module] & set(edges) <= done}:
        done |= ready
    assert set(edges) - done == set(), "these import in a circle"


# Names


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def test_the_shop_window_is_sorted_and_exact() -> None:
    """What type checkers see, what is listed and what is handed out on first use are one and the same."""
    (typed,) = (node for node in TREES[PACKAGE / "__init__.py"].body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert roofline.__all__ == sorted(roofline.__all__) == sorted(seen)
    for name, module in seen.items():
        assert getattr(roofline, name) is getattr(importlib.import_module(str(module)), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = roofline.nothing
    assert set(roofline.__all__) <= set(dir(roofline))


def test_every_other_list_of_exports_is_sorted_and_true() -> None:
    for file, tree in TREES.items():
        names = exported(tree)
        if names is not None and file != PACKAGE / "__init__.py":
            assert names == sorted(set(names)), file
            bound = {getattr(node, "name", None) for node in tree.body}
            bound |= {
                alias.asname or alias.name for n in tree.body if isinstance(n, ast.ImportFrom) for alias in n.names
            }
            assert set(names) <= bound, file


def test_the_frozen_window() -> None:
    assert roofline.__all__ == (
        "Ceiling Comparison Formula HardwareSpec Model OperatorPrediction Prediction Roofline RooflineError Sizing "
        "compare formula load_hardware load_model predict predict_op size".split()
    )


def test_no_module_is_named_as_a_public_function() -> None:
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules & set(roofline.__all__) == set()
    in_rooms = {node.name for tree in TREES.values() for node in tree.body if isinstance(node, ast.FunctionDef)}
    rooms_of_functions = {module_of(file).split(".")[-1] for file in FILES} & {n for n in in_rooms if n[0] != "_"}
    # A layer's formula may bear its file's name (layers/attention.py); nothing at the top of the house may.
    assert rooms_of_functions & (modules - {"layers"}) <= {"program"}


def test_only_the_command_line_prints() -> None:
    for file, tree in TREES.items():
        if file.name == "cli.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "sys.stdout.write", "sys.stderr.write"), file


def test_shipped_data_are_named_after_their_files_and_have_a_source() -> None:
    folders = (ROOT / "hardware_specs", ROOT / "calibrations", PACKAGE / "architectures" / "presets")
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    data = [file for file in files if file.suffix == ".yaml"]
    assert len(data) >= 19
    assert {file.name for file in files if file.suffix not in (".yaml", ".md")} <= {"index.json", "schema.json"}
    for file in data:
        fields = read_yaml(file)
        assert fields["name"] == file.stem, file
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", file.stem), file
        assert fields["source"], file


# Sizes


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_a_file_has_at_most_300_lines(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_a_function_body_has_at_most_45_lines(file: Path) -> None:
    for node in ast.walk(TREES[file]):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = 1 + (body[-1].end_lineno or 0) - body[0].lineno if body else 0
            assert lines <= 45, f"{file.name}: {node.name} has {lines} lines"


def test_inheritance_is_one_deep() -> None:
    bases = {node.name: [ast.unparse(base) for base in node.bases] for tree in TREES.values() for node in ast.walk(tree)
             if isinstance(node, ast.ClassDef)}  # fmt: skip
    roots = {"BaseModel", "Exception", "RooflineError", "Block", "Config", "_Data", "Data"}
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

HEAVY = ("matplotlib", "scipy", "sympy", "torch", "transformers")
_RUN = """
import json, sys
sys.argv = json.loads(sys.argv[1])
import roofline
{extra}
if len(sys.argv) > 1:
    from roofline.cli import main
    try:
        main()
    except SystemExit as leaving:
        assert not leaving.code, leaving.code
print("LOADED", json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""


def loaded_by(*arguments: str, extra: str = "") -> list[str]:
    """Which heavy libraries a fresh process has loaded after ``roofline`` with these arguments."""
    code = _RUN.format(extra=extra, heavy=HEAVY)
    words = json.dumps(["roofline", *arguments])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    return list(json.loads(last.removeprefix("LOADED ")))


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--help",
        "--version",
        "predict --help",
        "predict llama-3.1-8b --hardware h100 --batch 16",
        "predict bert-base --hardware t4 --json",
        "formula --help",
        "op matmul --hardware h100 --m 16 --k 4096 --n 14336",
        "plot --help",
        "compare llama-3.1-8b --hardware h100,mi300x",
        "size llama-3.1-8b --hardware h100 --load 50req/s",
        "hardware list",
        "hardware show h100",
        "hardware show 8xh100",
        "hardware diff h100 mi300x",
        "hardware schema",
        "models list",
        "models show gpt2",
    ],
)
def test_nothing_heavy_is_loaded(arguments: str) -> None:
    assert loaded_by(*arguments.split()) == []


def test_the_test_of_start_up_can_fail() -> None:
    assert loaded_by(extra="import sympy") == ["sympy"]


# Frozen lists


SERVING = (
    "--workload --prompt --generate --prefix-hits --ttft --tpot --dtype --weight-dtype --activation-dtype --kv-dtype "
    "--execution --constants --chunk --memory-share --reserve --speculate --draft --pools --price-kind --prices "
    "--utilization --api --years --pue --power-price --hosting --set --json --output -o --wide --quiet"
)
VERBS = {
    "predict": "--hardware --batch --prompt --generate --context --phase --dtype --weight-dtype --activation-dtype "
    "--kv-dtype --prune --sparsity --attention --count --lm-head --execution --constants --tp --pp --dp --ep --cp --sp "
    "--overlap --kv-block --reserve --memory-share --set --json --output -o --explain --sensitivity --wide --quiet "
    "--no-color --plot",
    "op": "--hardware --m --k --n --batch --query --context --heads --kv-heads --head-dim --causal --rows --columns "
    "--inputs --tokens --operation --message-bytes --devices --dtype "
    "--execution --constants --set --table --output -o --json --no-color",
    "compare": f"--hardware {SERVING} --pareto".replace("--json", "--train --frozen --json"),
    "size": f"--hardware --load --headroom {SERVING}".replace("--pools", "--pools --prefill-on"),
    "plot": "--hardware --output -o --data --theme --size --dpi --over --measured --batch --prompt --generate "
    "--context --phase --dtype --weight-dtype --activation-dtype --kv-dtype --attention --execution --constants --set",
    "doctor": "--device --threads --json",
    "calibrate": "--device --budget --extends --dtype --output -o --threads --seed --json",
    "validate": "--hardware --device --phase --batch --prompt --generate --context --dtype --execution --constants "
    "--set --module --measurements --compile --budget --max-median-ape --output -o --resume --threads --json --wide",
    "hardware list": "--vendor --kind --memory --dtype --sort --announced --json",
    "formula": "--op --phase --quantity --keep --subs --mean --solve --elasticity --hardware --dtype --attention "
    "--count --lm-head --execution --constants --latex --python --js --json",
    "hardware show": "--json",
    "hardware check": "",
    "hardware diff": "--json",
    "hardware new": "--from --output -o",
    "hardware schema": "",
    "models list": "--sort --json",
    "models show": "--json",
    "models check": "",
}


def test_the_verbs_and_their_flags_do_not_change_by_accident() -> None:
    found: dict[str, str] = {}

    def walk(command: typer.main.click.Command, name: str) -> None:
        options = [p.opts for p in command.params if p.param_type_name == "option"]
        if hasattr(command, "commands"):
            for verb, inner in command.commands.items():
                walk(inner, f"{name} {verb}".strip())
        else:
            found[name] = " ".join(" ".join(opts) for opts in options)

    top = typer.main.get_command(cli.app)
    walk(top, "")
    assert found == VERBS
    assert [p.opts for p in top.params] == [["--version"]]


@pytest.mark.parametrize("verb", ["compare", "predict", "size"])
def test_the_flags_are_the_keywords(verb: str) -> None:
    function = getattr(roofline, verb)
    flags = {word[2:].replace("-", "_") for word in VERBS[verb].split() if word[:2] == "--"}
    flags -= {
        "json",
        "output",
        "explain",
        "sensitivity",
        "wide",
        "quiet",
        "pareto",
        "no_color",
        "plot",
    }  # how it is shown, not asked
    arguments = function.__code__.co_varnames[: 2 + function.__code__.co_kwonlyargcount]
    assert flags | {"model", "hardware"} == set(arguments)
