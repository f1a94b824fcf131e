"""The tape, numpy, JavaScript and predict agree: every architecture, recipes, ways to run, layouts."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from strategies import ARCHITECTURES, SPANNING

import roofline
from roofline.models.sources import preset_names
from roofline.tape.tape import Tape

RECIPES = "bf16 fp8 w8a8 w8a16 w4a16 w4a16+g64+zp nf4 mxfp4 nvfp4 fp8+kv8 bf16+kv4 w4a16+experts".split()
TIMES = ("time_s", "bound_s", "low_s", "high_s", "flops", "bytes", "mfu", "mbu")
MEMORY = ("activation_bytes", "total_bytes")
LAYOUTS: list[tuple[str, str, dict[str, Any]]] = [
    ("llama-3.1-8b", "8xh100", {"tp": 8}),
    ("llama-3.1-8b", "16xh100", {"tp": 16, "sp": 16, "prompt": 1024}),
    ("llama-3.1-8b", "8xh100", {"tp": 2, "pp": 4, "batch": 12}),
    ("llama-3.1-8b", "4xmi300x", {"cp": 2, "dp": 2, "batch": 2, "context": 4096}),
    ("deepseek-v2-lite", "4xh100", {"tp": 4, "dcp": 2, "prompt": 9000, "generate": 8}),
    ("deepseek-v3", "8xh200", {"tp": 4, "dp": 2, "ep": 8, "batch": 4}),
    ("deepseek-v3", "gb200-nvl72", {"tp": 8, "dp": 9, "ep": 8, "batch": 18}),
    ("mixtral-8x7b", "8xh200", {"tp": 2, "ep": 2, "pp": 2, "dp": 2, "batch": 16, "context": 900}),
]
HOW: list[tuple[str, str, dict[str, Any]]] = [
    ("llama-3.1-8b", "a100", {"dtype": "w4a16", "context": 500}),
    ("mixtral-8x7b", "a100-sxm-80gb", {"engine": "transformers", "generate": 4}),
    ("llama-2-7b", "h100", {"dtype": "fp8", "engine": "vllm"}),
    ("gpt-oss-120b", "h100", {"constants": "datasheet", "context": 600}),
    ("llama-3.1-8b", "h100", {"prune": "layers=0.25", "sparsity": "2:4"}),
    ("gpt2", "epyc-9654", {"set": {"engine.attention": "materialised"}}),
]


def points(tape: Tape, asked: dict[str, Any], seed: str, count: int = 3) -> list[dict[str, int]]:
    """Random points at which a recording holds: batches and prompts that the layout divides."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        point = {}
        for letter in tape.letters:
            if letter.name == "batch":
                point["batch"] = asked["batch"] if "pp" in asked else asked.get("dp", 1) * rng.randint(1, 64)
            elif letter.name == "prompt":
                unit = asked.get("cp", 1) * asked.get("sp", 1)
                more = 8192 if "dcp" in asked else 0  # several pieces, of which later ones attend across devices
                point["prompt"] = more + unit * rng.randint(1, max(1, int(min(letter.high, 4000) / 2 / unit)))
            else:
                point[letter.name] = rng.randint(int(letter.low), int(max(letter.low, min(letter.high / 2, 60))))
        found.append(point)
    return found


def expected(prediction: roofline.Prediction, tape: Tape) -> dict[str, float]:
    """What ``predict`` says under the tape's names."""
    answer = prediction.to_dict()
    found = {f"{phase}.{name}": figures[name] for phase, figures in answer["phases"].items() for name in TIMES}
    found |= {name: answer[name] for name in ("request_s", "tokens_per_s", "fits")} | answer["memory"]
    return {name: float(value) for name, value in found.items() if name in tape.results}


def check(model: str, hardware: str, asked: dict[str, Any], *, count: int = 3) -> tuple[Tape, list[dict[str, int]]]:
    """Plain Python and numpy against predict, at random points; the tape and the points."""
    tape = roofline.record(model, hardware, **asked)
    drawn = points(tape, asked, f"{model} {hardware} {asked}", count)
    columns = tape(**{name: [point[name] for point in drawn] for name in drawn[0]})
    for row, point in enumerate(drawn):
        wanted = expected(roofline.predict(model, hardware, **{**asked, **point}), tape)
        assert len(wanted) > 10
        plain = tape.at(**point)
        for name, value in wanted.items():
            close = pytest.approx(value, rel=1e-12, abs=1.0 if name in MEMORY else 0.0)  # of bytes, the last one
            assert (name, plain[name]) == (name, close)
            assert (name, columns[name][row]) == (name, close)
    return tape, drawn


@pytest.mark.parametrize("model", SPANNING[::3])
def test_architectures(model: str) -> None:
    check(model, "mi300x", {}, count=1)


@pytest.mark.slow
@pytest.mark.parametrize("model", preset_names())
def test_every_preset(model: str) -> None:
    check(model, "mi300x", {})


@pytest.mark.parametrize(("model", "hardware", "asked"), LAYOUTS[::3])
def test_layouts(model: str, hardware: str, asked: dict[str, Any]) -> None:
    check(model, hardware, asked, count=1)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "hardware", "asked"), LAYOUTS)
def test_every_layout(model: str, hardware: str, asked: dict[str, Any]) -> None:
    check(model, hardware, asked)


@pytest.mark.parametrize(("model", "hardware", "asked"), HOW[::2])
def test_recipes_and_ways_to_run(model: str, hardware: str, asked: dict[str, Any]) -> None:
    check(model, hardware, asked, count=1)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "hardware", "asked"), HOW)
def test_every_way_to_run(model: str, hardware: str, asked: dict[str, Any]) -> None:
    check(model, hardware, asked)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", RECIPES)
def test_every_recipe(dtype: str) -> None:
    check("mixtral-8x7b", "b200", {"dtype": dtype})


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: JavaScript is not run")
def test_javascript_of_every_architecture(tmp_path: Path) -> None:
    lines, wanted = [], []
    for place, model in enumerate(ARCHITECTURES):
        tape, drawn = check(model, "mi300x", {}, count=2)
        (tmp_path / f"tape{place}.mjs").write_text(tape.javascript_source(), encoding="utf-8")
        lines.append(f'import {{ evaluate as e{place} }} from "./tape{place}.mjs";')
        lines.append(f"console.log(JSON.stringify({json.dumps(drawn)}.map(e{place})));")
        wanted.append([tape.at(**point) for point in drawn])
    (tmp_path / "run.mjs").write_text("\n".join(lines), encoding="utf-8")
    run = subprocess.run(["node", str(tmp_path / "run.mjs")], capture_output=True, text=True, check=True)
    for line, found in zip(run.stdout.splitlines(), wanted, strict=True):
        for played, point in zip(json.loads(line), found, strict=True):
            assert played == pytest.approx(point, rel=1e-12)


def test_other_rates_are_another_device() -> None:
    """One tape serves a device whose data sheet is edited: bandwidth, peak, links' and latencies' scale at 1."""
    letters = ["bandwidth", "peak", "vector_peak", "latency_scale", "link_scale"]
    tape = roofline.record("llama-3.1-8b", "2xa100", letters, tp=2, constants="class", context=3000)
    values = {letter.name: letter.example for letter in tape.letters}
    edits = {"hardware.memory.hbm.bandwidth": "4 TB/s"}
    values |= {"batch": 9, "bandwidth": 4e12}
    edited = roofline.predict("llama-3.1-8b", "2xa100", tp=2, constants="class", context=3000, batch=9, set=edits)
    wanted = expected(edited, tape)
    assert {name: tape.at(**values)[name] for name in wanted} == pytest.approx(wanted, rel=1e-12)
    assert tape.at(**{**values, "latency_scale": 2.0})["decode.latency_s"] > tape.at(**values)["decode.latency_s"] * 1.5
    assert tape.at(**{**values, "link_scale": 2.0})["decode.link_s"] < tape.at(**values)["decode.link_s"]


def test_a_lone_number_of_money() -> None:
    tape = roofline.record("llama-3.1-8b", "h100", ["usd_per_h"], context=2048)
    point = tape.at(batch=32, context=2048, usd_per_h=3.6)
    assert point["usd_per_mtoken"] == pytest.approx(3.6 / 3600 / point["tokens_per_s"] * 1e6, rel=1e-12)
    assert 0 < point["energy_j"] <= 700 * point["request_s"] * (1 + 1e-12)
