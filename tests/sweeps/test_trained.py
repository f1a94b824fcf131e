"""Rows of training steps are what ``train`` says of them, each refused one with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shell import refusal, roofline

import roofline as package
from roofline.errors import RooflineError, SpecError
from roofline.sweeps.study import read_study
from roofline.sweeps.sweep import plan
from roofline.training.recording import TrainingRecording

GRID: dict[str, Any] = {
    "models": "gpt2", "hardware": "4xa100", "layouts": [{"dp": 4}, {"pp": 2, "dp": 2}, {"pp": 8}], "batch": [4, 8, 16],
    "sequence": [512, 2048], "microbatch": [1, 2], "zero": 1, "recompute": "none", "optimizers": "lion",
}  # fmt: skip


def swept(study: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = package.sweep(study, folder).scan().to_table().to_pylist()
    return rows


def trained(row: dict[str, Any], **asked: Any) -> Any:
    its = {name: row[name] for name in ("batch", "sequence", "microbatch", "zero", "recompute", "optimizer")}
    return package.train(row["model"], row["hardware"], **{**its, "dtype": row["dtype"], **asked})


def check(row: dict[str, Any], training: Any) -> None:
    step = training.rows[0].step
    fullest = max(step.memory.values(), key=lambda memory: memory.total).to_dict()
    reserved = step.question.request.reserved
    assert (row["layout"], row["fits"]) == (str(step.choice.layout), step.fits)
    assert row["total_bytes"] == int(fullest["total_bytes"] + reserved)
    assert row["optimizer_bytes"] == int(fullest["optimizer_bytes"])
    times = {"request_s": step.timing.time_s, "tokens_per_s": step.tokens_per_s, "train_mfu": step.mfu}
    assert {name: row[name] for name in times} == pytest.approx(times, rel=1e-12)
    assert row["high"] * row["request_s"] == pytest.approx(step.timing.high_s, rel=1e-12)


def test_listed_layouts_are_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    of = TrainingRecording.of
    monkeypatch.setattr(TrainingRecording, "of", lambda *given: made.append(of(*given)) or made[-1])
    rows = swept(GRID, tmp_path)
    assert (len(rows), len(made)) == (36, 2)
    found = [row for row in rows if row["refused"] is None]
    degrees = {"dp 4": {"dp": 4}, "pp 2, dp 2": {"pp": 2, "dp": 2}}
    for row in found[::5]:
        check(row, trained(row, **dict.fromkeys(("tp", "pp", "dp", "cp"), 1) | degrees[row["layout"]]))
    why = {row["refused"].partition(":")[0].partition(" 2048")[0] for row in rows if row["refused"]}
    assert why == {"sequence", "microbatch 2", "layout pp 8"}
    assert all(row["train_mfu"] is None for row in rows if row["refused"])


def test_what_is_open_is_searched_at_each_point(tmp_path: Path) -> None:
    study = {"models": "gpt2", "hardware": "2xa100,no-such", "batch_tokens": "64k", "tokens": "1B", "prices": 2.0}
    with pytest.raises(RooflineError, match="no-such"):
        swept(study, tmp_path)
    (row,) = swept({**study, "hardware": "2xa100", "sequence": 1024}, tmp_path)
    training = package.train("gpt2", "2xa100", batch_tokens="64k", sequence=1024, tokens="1B", prices="a100=2USD/h")
    check(row, training)
    run = training.rows[0].run
    assert run is not None
    assert (row["batch"], row["microbatch"]) == (64, training.step.choice.microbatch)
    assert (row["days"], row["usd"]) == pytest.approx((run.days, run.usd), rel=1e-12)


def test_training_stands_beside_other_phases(tmp_path: Path) -> None:
    study = {"models": "gpt2", "hardware": "h100", "phases": "train,decode", "batch": 8, "context": 100}
    study |= {"sequence": 256, "dtypes": "bf16,fp8"}
    rows = {(row["phase"], row["dtype"] or "refused"): row for row in swept(study, tmp_path)}
    assert set(rows) == {("train", "bf16"), ("train", "refused"), ("decode", "bf16"), ("decode", "fp8")}
    assert rows["train", "refused"]["refused"].startswith("dtype 'fp8'")
    assert rows["decode", "bf16"]["tpot_s"] is not None
    assert rows["train", "bf16"]["tpot_s"] is rows["decode", "bf16"]["optimizer"] is None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"phases": "decode", "context": 9, "optimizers": "lion"}, "optimizers: is of training"),
        ({"batch": 8, "batch_tokens": "4M"}, "batch: is read by none of the phases train"),
        ({"sequence": 8, "prompt": 9}, "prompt: is read by none of the phases train"),
        ({"zero": 4}, "zero"),
        ({"tokens": "much"}, "tokens"),
        ({"tokens": 0.5}, "expected 1 to 1e"),
    ],
)
def test_a_study_that_makes_no_sense(more: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        read_study({"models": "gpt2", "hardware": "h100", **more})


@pytest.mark.parametrize("word", ["recompute", "schedules", "optimizers"])
def test_a_word_that_is_none_is_no_row(word: str, tmp_path: Path) -> None:
    with pytest.raises(RooflineError, match="fast"):
        plan(read_study({"models": "gpt2", "hardware": "h100", word: "fast"}), tmp_path)


def test_the_command_line(tmp_path: Path) -> None:
    given = ["sweep", "gpt2", "--hardware", "a100", "--sequence", "256,512", "--batch", "8", "--zero", "0,1"]
    code, out, _ = roofline(
        *given, "--optimizer", "sgd", "--recompute", "none", "--microbatch", "8", "-o", str(tmp_path)
    )
    assert code == 0
    assert out.startswith("4 rows in 2 files")
    code, out, _ = roofline("sweep", "show", str(tmp_path), "--best", "train_mfu", "--top", "1")
    assert code == 0
    assert "512" in out
    assert "sgd" in out
    assert "--sequence" in refusal(2, "sweep", "show", str(tmp_path), "--sequence", "1")
