"""A recorded training step, played by numpy, by plain Python and by JavaScript, is what ``train`` says of it: for
architectures, recipes, optimizers, schedules, engines and every kind of layout. Each change of what records it draws
another sample; ``-m slow`` takes all.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import roofline
from roofline.errors import RooflineError, UsageError
from roofline.number import Number
from roofline.options.keywords import completed
from roofline.options.verbs.training import TrainOptions
from roofline.prediction.recording import MACHINE
from roofline.tape.numbers import Remembered
from roofline.tape.operations import KEPT
from roofline.tape.tape import Tape
from roofline.timing.timing import SECONDS
from roofline.training.question import read_training
from roofline.training.recording import TrainingRecording
from roofline.training.step import TrainingStep

Case = tuple[str, str, dict[str, Any]]
CASES: list[Case] = [
    ("llama-3.1-8b", "8xh100", {"tp": 2, "sp": 2, "pp": 2, "recompute": "selective", "zero": 1}),
    ("llama-3.1-8b", "8xh100", {"pp": 4, "schedule": "interleaved:2", "recompute": "full", "zero": 2}),
    ("llama-3.1-8b", "8xh100", {"pp": 8, "schedule": "zb-h1"}),
    ("llama-3.1-8b", "8xh100", {"pp": 4, "schedule": "zb-h2", "gradients": "bf16"}),
    ("llama-3.1-8b", "8xh100", {"pp": 4, "tp": 2, "schedule": "gpipe", "recompute": "every:2"}),
    ("llama-3.1-8b", "8xmi300x", {"cp": 2, "dp": 4, "zero": 3, "optimizer": "muon"}),
    ("mixtral-8x7b", "16xh200", {"ep": 8, "dp": 8, "tp": 2, "zero": 1, "optimizer": "adafactor"}),
    ("deepseek-v3", "256xh800", {"pp": 16, "ep": 16, "dp": 16, "schedule": "dualpipe", "optimizer": "adamw8bit"}),
    ("bert-base", "a100", {"dtype": "fp16-mixed", "engine": "eager", "dropout": True}),
    ("gpt2", "epyc-9654", {"optimizer": "sgd"}),
    ("mamba2-2.7b", "h100", {"dtype": "bf16-autocast", "microbatch": 1}),
    ("gemma-2-9b", "8xb200", {"dtype": "bf16", "gradients": "fp32", "hidden": 0.5, "optimizer": "lion"}),
    ("qwen3-30b-a3b", "8xh100", {"ep": 8, "routing": "uniform"}),
    ("gpt-oss-20b", "8xh100", {"zero": 3, "recompute": "full"}),
    ("jamba-v0.1", "16xh100", {"tp": 8, "zero": 3, "constants": "datasheet"}),
]
OF_THE_POINT = ("tp", "pp", "dp", "ep", "cp", "sp", "zero", "recompute", "microbatch", "batch", "sequence")


def _turn() -> int:
    """Another number for each state of what records a step."""
    room = Path(roofline.__file__).parent
    sources = [room / "training" / "recording.py", room / "training" / "rows.py", room / "tape" / "numbers.py"]
    return int(hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest(), 16)


SAMPLE = [CASES[_turn() % len(CASES)]]


def trained(case: Case, **more: Any) -> TrainingStep:
    model, hardware, asked = case
    return TrainingStep(read_training(model, hardware, completed(TrainOptions, {**asked, **more}, "train")))


def recorded(step: TrainingStep, *letters: str) -> tuple[TrainingRecording, dict[str, Number]]:
    recording = TrainingRecording.of(step.question, step.choice, letters)
    return recording, recording.results()


def expected(step: TrainingStep) -> dict[str, float]:
    """What ``train`` says under the tape's names."""
    fullest = max(step.memory.values(), key=lambda memory: float(memory.total))
    found = {name: float(getattr(step.timing, name)) for name in SECONDS}
    found |= {name: float(getattr(step, name)) for name in ("microbatches", "tokens_per_s", "flops", "mfu", "hfu")}
    parts = {name: float(getattr(step.parts, name).time_s) for name in ("stages", "sends", "exchanges", "update")}
    found |= {f"{name}_s": seconds for name, seconds in parts.items()}
    return found | fullest.to_dict() | ({} if step.fits is None else {"fits": float(step.fits)})


def check(case: Case, count: int) -> tuple[Tape, list[dict[str, Any]]]:
    """Plain Python and numpy against ``train``, at random points that the choice divides; the tape and the points."""
    asked, rng = case[2], random.Random(str(case))
    step = trained(case, batch=2 * (asked.get("pp", 1) ** 2) * 8)
    choice, letters = step.choice, MACHINE if rng.random() < 0.5 else ()
    recording, results = recorded(step, *letters)
    tape, drawn = recording.tape(results), []
    rates = {each.name: each.example for each in tape.letters[3:]}
    fixed = {name: value for name, value in asked.items() if name not in OF_THE_POINT}
    if step.question.request.fleet.counted:
        fixed |= {name: int(degree) for name, degree in choice.layout.to_dict().items() if name != "dcp"}
    fixed |= {"zero": choice.sharding.zero, "replicate": choice.sharding.replicate, "recompute": choice.policy.words}
    for _ in range(count):
        microbatch, pp = rng.randint(1, 3), int(choice.layout.pp)
        batch = microbatch * int(choice.layout.dp) * rng.randint(1, 6) * (2 * pp if pp > 1 else 1)
        point = {"microbatch": microbatch, "batch": batch, "sequence": 64 * rng.randint(2, 8)}
        wanted = expected(trained((*case[:2], fixed), **point))
        drawn.append({**point, **rates})
        plain = tape.at(**drawn[-1])
        columns = tape(**{name: [value, value] for name, value in drawn[-1].items()})
        for name, value in wanted.items():
            close = pytest.approx(value, rel=1e-12, abs=1e-15)
            assert (name, plain[name]) == (name, close)
            assert (name, columns[name][1]) == (name, close)
    return tape, drawn


def check_javascript(tape: Tape, drawn: list[dict[str, Any]], node: Callable[..., Any]) -> None:
    for played, point in zip(node(tape, drawn), drawn, strict=True):
        assert played == pytest.approx(tape.at(**point), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_a_sample_agrees(case: Case, request: pytest.FixtureRequest) -> None:
    tape, drawn = check(case, count=1)
    check_javascript(tape, drawn, request.getfixturevalue("node"))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_agrees(case: Case, node: Callable[..., Any]) -> None:
    check_javascript(*check(case, count=3), node)


def test_what_is_recorded_lies_within_its_range() -> None:
    """By ranges it is decided which side of a maximum never counts."""
    recording, _ = recorded(trained(("gpt2", "2xa100", {"dtype": "fp16-mixed", "engine": "eager"}), batch=4))
    nodes = recording.trace.nodes
    several = {name for name, kept in KEPT.items() if kept.values > 1}  # each value is a node of its own
    some = [place for place, node in enumerate(nodes) if node.operands and node.operation not in several]
    tape = recording.tape({str(place): Remembered(recording.trace, place) for place in some})
    for point in ((1, 2, 128), (1, 512, 1024), (3, 6, 1), (64, 128, 1024)):
        found = tape.at(**dict(zip(("microbatch", "batch", "sequence"), point, strict=True)))
        for place in (each for each in some if isinstance(found[str(each)], float)):  # a tiling is three numbers
            low, high = nodes[place].range
            slack = 1e-9 * max(1e-9, abs(found[str(place)]))
            assert low - slack <= found[str(place)] <= high + slack, (place, nodes[place])


def test_where_it_holds_is_where_train_answers() -> None:
    case: Case = ("gpt2", "4xa100", {"pp": 2, "dp": 2, "schedule": "interleaved:2", "zero": 1, "recompute": "none"})
    recording, results = recorded(trained(case, batch=16, microbatch=1))
    tape = recording.tape(results)
    points = [(1, 16, 512), (1, 6, 512), (3, 16, 512), (1, 15, 512), (4, 16, 512), (2, 16, 2048), (1, 4, 7)]
    holds, _ = tape.where_it_holds(
        **dict(zip(("microbatch", "batch", "sequence"), zip(*points, strict=True), strict=True))
    )
    for held, (microbatch, batch, sequence) in zip(holds, points, strict=True):
        try:
            trained(case, microbatch=microbatch, batch=batch, sequence=sequence)
        except RooflineError:
            assert not held
        else:
            assert held
    assert holds.tolist() == [True, False, False, False, True, False, True]


@pytest.mark.parametrize(
    "asked", [{"sequence_lengths": "256x2,128"}, {"lora": 8}, {"lora": 16, "weight_dtype": "int4"}], ids=str
)
def test_what_else_a_step_may_be(asked: dict[str, Any]) -> None:
    case: Case = ("gpt2", "2xa100", {"dp": 2, "zero": 1, "recompute": "none", **asked})
    recording, results = recorded(trained(case, batch=8, microbatch=1))
    tape = recording.tape(results)
    point = {"microbatch": 2, "batch": 16, "sequence": 640 if "sequence_lengths" in asked else 300}
    more = {} if "sequence_lengths" in asked else {"sequence": 300}
    wanted = expected(trained(case, batch=16, microbatch=2, **more))
    assert {name: tape.at(**point)[name] for name in wanted} == pytest.approx(wanted, rel=1e-12, abs=1e-15)
    if "sequence_lengths" in asked:
        with pytest.raises(UsageError, match="sequence"):
            tape.at(**{**point, "sequence": 300})


def test_a_run_has_days_and_money() -> None:
    asked: dict[str, Any] = {"batch": 64, "zero": 1, "recompute": "none", "microbatch": 1}
    tape = roofline.record_training("gpt2", "8xh100", ["tokens", "usd_per_h"], **asked)
    point = tape.at(microbatch=1, batch=64, sequence=1024, tokens=1e12, usd_per_h=16.0)
    (row,) = roofline.train("gpt2", "8xh100", tokens=1e12, prices="h100=2USD/h", **asked).rows
    assert row.run is not None
    assert (point["days"], point["usd"]) == pytest.approx((row.run.days, row.run.usd), rel=1e-12)
    assert point["usd_per_mtoken"] == pytest.approx(point["usd"] / 1e6, rel=1e-12)
    with pytest.raises(UsageError, match="days is searched by train"):
        roofline.record_training("gpt2", "h100", days=3.0, tokens=1e12)
    with pytest.raises(UsageError, match="no such letter"):
        roofline.record_training("gpt2", "h100", ["bandwith"])
