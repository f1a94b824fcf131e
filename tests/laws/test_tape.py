"""A recording played by numpy, by plain Python and by JavaScript is what predict says: for every architecture, recipe,
engine and kind of layout. Each change of the tape or of what records it draws another sample; ``-m slow`` takes all.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strategies import ARCHITECTURES

import roofline
from roofline.compression.formats import PLAIN
from roofline.compression.recipes import _RECIPES
from roofline.engines.library import engine_names
from roofline.models.sources import preset_names
from roofline.tape.tape import Tape

TIMES = ("time_s", "bound_s", "low_s", "high_s", "flops", "bytes", "mfu", "mbu")
MEMORY = ("activation_bytes", "total_bytes")

Case = tuple[str, str, dict[str, Any]]
LAYOUTS: list[Case] = [
    ("llama-3.1-8b", "8xh100", {"tp": 8}),
    ("llama-3.1-8b", "16xh100", {"tp": 16, "sp": 16, "prompt": 1024}),
    ("llama-3.1-8b", "8xh100", {"tp": 2, "pp": 4, "batch": 12}),
    ("llama-3.1-8b", "4xmi300x", {"cp": 2, "dp": 2, "batch": 2, "context": 4096}),
    ("deepseek-v2-lite", "4xh100", {"tp": 4, "dcp": 2, "prompt": 9000, "generate": 8}),
    ("deepseek-v3", "8xh200", {"tp": 4, "dp": 2, "ep": 8, "batch": 4}),
    ("deepseek-v3", "gb200-nvl72", {"tp": 8, "dp": 9, "ep": 8, "batch": 18}),
    ("mixtral-8x7b", "8xh200", {"tp": 2, "ep": 2, "pp": 2, "dp": 2, "batch": 16, "context": 900}),
]
HOW: list[Case] = [
    ("llama-3.1-8b", "a100", {"dtype": "w4a16", "context": 500}),
    ("mixtral-8x7b", "a100-sxm-80gb", {"engine": "eager", "generate": 4}),
    ("mixtral-8x7b", "b200", {"dtype": "w4a4", "activation_dtype": "bf16"}),  # no device contracts in int4
    ("llama-3.1-8b", "rtx-4090", {"dtype": "fp16+acc16"}),
    ("bert-base", "a10", {"engine": "tensorrt"}),
    ("gpt-oss-120b", "h100", {"constants": "datasheet", "context": 600}),
    ("llama-3.1-8b", "h100", {"prune": "layers=0.25", "sparsity": "2:4"}),
    ("gpt2", "epyc-9654", {"set": {"engine.attention": "materialised"}}),
]
RECIPES = [*PLAIN, *(recipe for recipe in _RECIPES if recipe != "w4a4"), "fp8+kv8", "bf16+kv4", "fp8+kv16"]
RECIPES += [f"w4a16+{change}" for change in ("g64+zp", "channel", "zp16", "experts")]
OTHERS = ("tensorrt", "llama-cpp")
CASES: list[Case] = [
    *((model, "mi300x", {}) for model in ARCHITECTURES),
    *(("mixtral-8x7b", "b200", {"dtype": dtype}) for dtype in RECIPES),
    *(
        ("llama-3.1-8b", "m4-max" if each == "mlx" else "h100", {"engine": each, "generate": 3})
        for each in engine_names()
        if each not in OTHERS
    ),
    ("llama-3.1-8b", "h100", {"engine": "llama-cpp", "generate": 3, "set": {"engine.chunk": 8192}}),  # one piece
    ("llama-3.1-8b", "rtx-4090", {"dtype": "q4_k_m", "generate": 3}),
    *HOW,
    *LAYOUTS,
]


def _turn() -> int:
    """Another number for each state of the recorder and of the tape."""
    room = Path(roofline.__file__).parent
    sources = [*sorted((room / "tape").glob("*.py")), room / "prediction" / "recording.py"]
    return int(hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest(), 16)


EACH = 13
SAMPLE = CASES[_turn() % EACH :: EACH]

Player = Callable[[Tape, list[dict[str, int]]], list[dict[str, float]]]


def points(tape: Tape, asked: dict[str, Any], seed: str, count: int = 3) -> list[dict[str, int]]:
    """Random points at which a recording holds: batches and prompts that the layout divides."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        point = {}
        for letter in tape.letters:
            if letter.name == "batch":
                point["batch"] = asked["batch"] if "pp" in asked else asked.get("dp", 1) * rng.randint(1, 64)
            elif letter.name == "prompt" and asked.get("prompt", 0) > 8192:
                point["prompt"] = rng.randint(8193, 2 * 8192)  # two pieces
            elif letter.name == "prompt":
                unit = asked.get("cp", 1) * asked.get("sp", 1)
                point["prompt"] = unit * rng.randint(1, max(1, int(min(letter.high, 4000) / 2 / unit)))
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


def check(case: Case, count: int) -> tuple[Tape, list[dict[str, int]]]:
    """Plain Python and numpy against predict, at random points; the tape and the points."""
    model, hardware, asked = case
    tape = roofline.record(model, hardware, **asked)
    drawn = points(tape, asked, f"{case}", count)
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


def check_javascript(tape: Tape, drawn: list[dict[str, int]], node: Player) -> None:
    for played, point in zip(node(tape, drawn), drawn, strict=True):
        assert played == pytest.approx(tape.at(**point), rel=1e-12)


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_a_sample_agrees(case: Case, request: pytest.FixtureRequest) -> None:
    tape, drawn = check(case, count=1)
    check_javascript(tape, drawn, request.getfixturevalue("node"))  # skips where node is not installed


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_agrees(case: Case, node: Player) -> None:
    check_javascript(*check(case, count=3), node)


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(set(preset_names()) - set(ARCHITECTURES)))
def test_every_other_preset(model: str) -> None:
    check((model, "mi300x", {}), count=3)


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
