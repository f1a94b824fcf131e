"""The verb ``sweep``: a study from flags or a file, a dry run, what a folder is asked, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from json_schema import MismatchError, check
from shell import roofline


def test_a_study_from_flags_and_what_it_is_asked(tmp_path: Path) -> None:
    asked = ("sweep", "gpt2", "--hardware", "a10,l4", "--batch", "1..4:log2", "--context", "64,512")
    code, told, _ = roofline(*asked, "-o", str(tmp_path / "out"), "--dry-run")
    assert (code, told.splitlines()[0].split(";")[0]) == (0, "12 points in 2 parts")
    assert not (tmp_path / "out").exists()
    code, told, errors = roofline(*asked, "-o", str(tmp_path / "out"))
    assert (code, errors) == (0, "")
    assert told.startswith("12 rows in 2 files of ")
    show = ("sweep", "show", str(tmp_path / "out"))
    for question in (("--best", "tpot_s", "--top", "2"), ("--pareto", "tpot_s,tokens_per_s", "--by", "hardware"),
                     ("--pivot", "batch,context", "--where", "hardware = l4")):  # fmt: skip
        code, told, _ = roofline(*show, *question)
        assert code == 0
        assert "tpot_s" in told.splitlines()[0]
        assert len(told.splitlines()) > 3
    assert roofline(*show)[1].startswith("12 rows")


def test_a_study_from_a_file(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "models: gpt2\nhardware: [8xh100]\nlayouts: [{dp: 8}, {tp: 4, dp: 2}]\nbatch: [8, 9]\ncontext: 64\n"
    )
    code, told, _ = roofline("sweep", str(study), "-o", str(tmp_path / "out"))
    assert code == 0
    assert "4 rows in 2 files" in told
    assert "2 refused" in told


def test_flags_say_all_that_a_study_does(tmp_path: Path) -> None:
    words = ("--counts", "1,2", "--phase", "serving,decode", "--prompt", "64", "--context", "90", "--ttft", "5ms")
    words = (*words, "--prices", "1,a10=2000USD", "--price-kind", "on_demand,purchase", "--years", "2")
    words = (*words, "--layouts", "dp=1/tp=2", "--concurrency", "4")
    out = str(tmp_path / "out")
    assert roofline("sweep", "gpt2", "--hardware", "a10", *words, "-o", out)[0] == 0
    (tmp_path / "study.yaml").write_text(
        "models: gpt2\nhardware: a10\ncounts: [1, 2]\nphases: [serving, decode]\nconcurrency: 4\n"
        "prompt: 64\ncontext: 90\n"
        "targets: {ttft: 5ms}\nprices: [1, a10=2000USD]\nprice_kind: [on_demand, purchase]\nowning: {years: 2}\n"
        "layouts: [{dp: 1}, {tp: 2}]\n"
    )
    told = roofline("sweep", str(tmp_path / "study.yaml"), "-o", out, "--dry-run")[1]
    assert told.startswith("16 points in 8 parts, 8 of them there")


def test_editors_are_told_what_a_study_may_be() -> None:
    schema = json.loads(roofline("sweep", "schema")[1])
    docs = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text("utf-8")
    study = yaml.safe_load(docs.partition("```yaml\n")[2].partition("```")[0])
    check(study, schema)
    check({"models": "gpt2", "hardware": "a10", "batch": [1, "1k", "1..512:log2"], "context": 64}, schema)
    check({"models": "gpt2", "hardware": "a10", "prices": [1.5, "a10=2USD/h"], "price_kind": "spot"}, schema)
    wrongs: tuple[dict[str, Any], ...] = (
        {"modells": "gpt2"}, {"phases": ["prefil"]}, {"targets": {"itl": 1}}, {"price_kind": "sport"},
        {"batch": {"from": 1}}, {"batch": 0}, {"models": []}, {"layouts": "some"},
    )  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(MismatchError):
            check({"models": "gpt2", "hardware": "a10", **wrong}, schema)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("gpt2", "-o", "parts"), 2, "--hardware is missing"),
        (("gpt2", "--hardware", "a10"), 2, "-o DIR is missing"),
        ((), 2, "Missing argument"),
        (("gpt2", "t4", "--hardware", "a10"), 2, "expected models with commas"),
        (("gpt2", "--hardware", "a10", "--best", "tpot_s"), 2, "goes with roofline sweep show DIR"),
        (("gpt2", "--hardware", "a10", "-o", "x", "--layouts", "tp=x"), 2, "expected best, all, or degrees"),
        (("nothing.yaml", "-o", "x"), 3, "nothing.yaml: no such file"),
        (("nothing.yaml", "-o", "x", "--batch", "4"), 2, "--batch: nothing.yaml has the study"),
        (("show", "x", "--hardware", "a10"), 2, "--hardware: sweep show asks what is there"),
        (("show", "nowhere", "--best", "tpot_s"), 2, "no finished sweep"),
        (("show",), 2, "expected the folder of one sweep"),
        (("show", "x", "--best", "tpot_s", "--pareto", "a,b"), 2, "one question at a time"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: tuple[str, ...], code: int, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, errors = roofline("sweep", *arguments)
    assert (found, errors.count("\n")) == (code, 1), errors
    assert problem in errors
    assert not list(tmp_path.iterdir())
