"""Files that people hand in and ask for: measurements, modules, specs of their own, places to write to, tables."""

from __future__ import annotations

import csv
import importlib.util
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shell import answer, refusal

import roofline as api
from roofline.errors import RooflineError, SpecError, UsageError
from roofline.files.atomic import atomic_writer, check_writable
from roofline.reports.export import write_result

BERT = ("validate", "bert-base", "--hardware", "h100")


@pytest.fixture(autouse=True)
def _no_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring starts the command anew with other settings, which would end the tests."""
    monkeypatch.setenv("ROOFLINE_RESTARTED", "1")


# Places to write to


@pytest.mark.parametrize(
    "command",
    [
        "calibrate -o {}/c.yaml --budget 60s",
        "validate bert-base --hardware h100 -o {}/v.json",
        "predict bert-base --hardware h100 -o {}/p.csv",
        "predict bert-base --hardware h100 --plot {}/p.png",
        "compare llama-3.1-8b --hardware h100 -o {}/c.md",
        "plot roofline bert-base --hardware h100 -o {}/p.svg",
    ],
)
def test_where_to_write_is_checked_before_work_begins(command: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere}" in refusal(3, *command.format(nowhere).split())


def test_checking_a_place_leaves_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("as it was")
    check_writable(tmp_path / "kept.json")
    check_writable(tmp_path / "new.json")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
    assert (tmp_path / "kept.json").read_text() == "as it was"
    with pytest.raises(SpecError, match="not a regular file"):
        check_writable(tmp_path)


def test_what_a_killed_run_left_neither_hinders_nor_stays(tmp_path: Path) -> None:
    old, young = (tmp_path / f".a.txt.{digit * 16}.tmp" for digit in "ab")
    for left in (old, young):
        left.write_text("half")
    hours_ago = time.time() - 7200
    os.utime(old, (hours_ago, hours_ago))
    with atomic_writer(tmp_path / "a.txt") as file:
        file.write("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "a.txt"]


def test_a_name_as_long_as_the_file_system_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 240 + ".json")
    with atomic_writer(path) as file:
        file.write("{}")
    assert path.read_text() == "{}"


def test_what_was_measured_is_kept_elsewhere_where_its_place_is_gone(tmp_path: Path) -> None:
    from roofline.cli.measure import _kept

    def write(path: Path) -> None:
        with atomic_writer(path) as file:
            file.write("measured")

    with pytest.raises(SpecError, match="what was measured is in ") as caught:
        _kept(write, tmp_path / "gone" / "m.json")
    assert Path(str(caught.value).rpartition(" is in ")[2]).read_text() == "measured"


# Measurements


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("q_proj,1_0", "line 2: time_s"),
        ("q_proj,true", "line 2: time_s"),
        ('q_proj,"1,5"', "line 2: time_s"),
        (f"q_proj,{'1' * 400}", "line 2: time_s"),
        ("q_proj,1,5", "line 2: 3 cells, expected 2"),
        ("q_proj", "line 2: 1 cells, expected 2"),
        (",1", "line 2: operator: empty"),
    ],
)
def test_a_row_that_is_misread_elsewhere_is_refused_by_its_line(row: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"operator,time_s\n{row}\n")
    assert words in refusal(3, *BERT, "--measurements", str(path))


_ONE = '{{"cases": [{{"phase": "encode", "operators": [{{"name": "q_proj", "measured_s": {}}}]}}]}}'


@pytest.mark.parametrize("content", [_ONE.format("1" * 400), _ONE.format("1" * 5000), _ONE.format("true"), "[" * 10**5])
def test_json_that_breaks_a_reader_is_refused_in_a_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(content)
    assert str(path) in refusal(3, *BERT, "--measurements", str(path))
    if importlib.util.find_spec("torch"):  # without it nothing is measured, and so nothing resumed
        assert str(path) in refusal(3, *BERT, "--resume", "-o", str(path))


def test_nothing_is_read_without_end() -> None:
    assert "not a regular file" in refusal(3, *BERT, "--measurements", "/dev/zero")


def test_an_operator_that_nobody_predicted_is_listed_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("operator,time_s\nq_proj,0.0001\nmy_kernel,0.0002\nk_pro,0.0001\n")
    text = answer(*BERT, "--measurements", str(path))
    assert "measured, not predicted: my_kernel 200 us, k_pro 100 us (did you mean k_proj?)" in text
    assert "faster than the device can" not in text


def test_times_below_what_the_device_can_do_are_told(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("operator,time_s\nup,1e-7\ndown,1e-7\nattention,0.5\n")
    assert "and 1 more measured at" not in answer(*BERT, "--measurements", str(path))  # too little of the step to count
    path.write_text("operator,time_s\nup,1e-7\ndown,1e-7\n")
    (line,) = (line for line in answer(*BERT, "--measurements", str(path)).splitlines() if "faster than" in line)
    assert line.startswith("look at    ")
    assert "and 1 more measured at" in line


def test_the_names_of_operators_tell_under_which_engine_they_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    asked = ("validate", "llama-3.2-1b", "--hardware", "h100", "--context", "2048", "--measurements", str(path))
    for name, told in (("gate_up", "vLLM"), ("up", "transformers"), ("down", "transformers")):
        path.write_text(f"operator,time_s\n{name},0.0001\nmy_kernel,0.0002\n")
        assert f"predicted under {told}" in answer(*asked)
    path.write_text("operator,time_s\nup,1\n")
    assert "no operator of it" in refusal(3, *asked, "--engine", "vllm")


# Modules


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def f(:", "m.py:1: SyntaxError"),
        ("\ndef f(): raise ValueError('no weights')", "m.py:2: ValueError: no weights"),
        ("def f(): return None", "f returns NoneType, expected a torch.nn.Module"),
        ("1 / 0", "m.py:1: ZeroDivisionError"),
        ("raise SystemExit(0)", "m.py:1: SystemExit"),
    ],
)
def test_a_module_that_fails_is_told_by_file_and_line(code: str, words: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "m.py"
    path.write_text(code)
    assert words in refusal(2, *BERT, "--module", f"{path}:f", "--device", "cpu")


def test_a_module_is_a_python_file_which_is_executed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "m.txt").write_text("def f(): return None")
    assert "expected FILE.py:FUNCTION" in refusal(2, *BERT, "--module", f"{tmp_path / 'm.txt'}:f", "--device", "cpu")
    assert "the file is executed" in " ".join(answer("validate", "--help-all").split())


# Python


class Module:
    """What is no configuration, as a torch.nn.Module is none."""


@pytest.mark.parametrize(
    ("model", "hardware"), [(3, "h100"), (None, "h100"), (Module(), "h100"), ("gpt2", 3), ("gpt2", None)]
)
def test_python_is_told_what_is_no_model_and_no_hardware(model: object, hardware: object) -> None:
    with pytest.raises(RooflineError, match=r": given (int|NoneType|Module), expected"):
        api.predict(model, hardware)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"lm_head": "Last"}, "--lm-head 'Last': expected last or all"),
        ({"count": "squared"}, "--count 'squared': expected attended or square"),
        ({"attention": "Fused"}, "attention is no keyword of it"),  # the engine's
        ({"execution": "Graph"}, "execution is no keyword of it"),
    ],
)
def test_a_word_that_no_option_has_is_refused_from_python(words: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        api.predict("bert-base", "h100", **words)
    with pytest.raises(UsageError, match="is no keyword of it"):
        api.compare("llama-3.1-8b", "h100", **words)
    with pytest.raises(UsageError, match="is no keyword of it"):
        api.predict_op("matmul", "h100", m=1, k=1, n=1, **words)


@pytest.mark.parametrize(
    ("verb", "asked", "message"),
    [
        (api.predict, {"prompt": "abc"}, "prompt 'abc': expected a whole number$"),
        (api.predict, {"reserve": [1]}, r"reserve \[1\]: expected a number or text$"),
        (api.compare, {"prefix_hits": "0.5"}, "prefix_hits '0.5': expected a number$"),
        (api.compare, {"years": True}, "years True: expected a number$"),
        (api.simulate, {"load": [1]}, r"load \[1\]: expected a number or text$"),
        (api.predict, {"kernels": 3}, "kernels 3: expected text$"),
        (api.predict, {"batch": 4.5}, "batch 4.5: expected a whole number from 1 to"),
        (api.compare, {"batch": 4.5}, "batch 4.5: expected a whole number from 1 to"),
        (api.train, {"batch": math.nan}, "batch nan: expected a whole number from 1 to"),
        (api.train, {"trained": ["attention"]}, r"trained \['attention'\]: expected text$"),
    ],
)
def test_a_value_of_another_type_is_refused_from_python(verb: Any, asked: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        verb("gpt2", "h100", **asked)


def test_numbers_and_lists_of_numpy_are_those_of_python() -> None:
    asked = {"batch": np.int64(4), "prompt": np.uint16(100), "reserve": np.float64(0.1), "dtype": np.str_("fp8")}
    plain = {"batch": 4, "prompt": 100, "reserve": 0.1, "dtype": "fp8"}
    first, second = (api.predict("gpt2", "h100", **each) for each in (asked, plain))  # type: ignore[arg-type]
    assert first.to_dict() == second.to_dict()
    devices = np.array(["h100", "a100"])
    ranked = api.compare("llama-3.1-8b", devices, batch=np.int64(4))  # type: ignore[arg-type]
    assert ranked.to_dict() == api.compare("llama-3.1-8b", ["h100", "a100"], batch=4).to_dict()


def test_a_float_that_is_whole_is_a_whole_number_at_every_door() -> None:
    """Numbers that were divided, and columns of pandas, are floats."""
    few: dict[str, Any] = {"prompt": 16.0, "generate": 2.0}
    for verb, hardware, whole in (
        (api.predict, "2xh100", {"batch": 4, "tp": 2, **few}),
        (api.compare, "h100", {"batch": 4, **few}),
        (api.train, "h100", {"batch": 4, "sequence": 64}),
        (api.simulate, "h100", {"concurrency": 4, "requests": 4, **few}),
    ):
        asked = {name: float(value) for name, value in whole.items()}
        found: list[Any] = [verb("gpt2", hardware, **each).to_dict() for each in (whole, asked)]  # type: ignore[operator]
        assert found[0] == found[1]


@pytest.mark.parametrize(("field", "word"), [("graphs", "Graph"), ("attention", "Fused")])
def test_a_word_that_no_engine_has_is_refused_from_python(field: str, word: str) -> None:
    with pytest.raises(SpecError, match=f'{field}.*: given "{word}"'):
        api.predict("bert-base", "h100", set={f"engine.{field}": word})


# Tables that another program opens


def test_no_cell_of_a_csv_is_a_formula_and_none_of_markdown_is_markup(tmp_path: Path) -> None:
    rows = [{"model": "=cmd|'/C calc'!A0", "time_s": -1.5, "notes": "<b>|\nx"}]
    for suffix in ("csv", "md"):
        write_result(dict, lambda: rows, tmp_path / f"t.{suffix}")
    (found,) = csv.DictReader((tmp_path / "t.csv").read_text().splitlines(keepends=True))
    assert found == {"model": "'=cmd|'/C calc'!A0", "time_s": "-1.5", "notes": "<b>|\nx"}
    last = (tmp_path / "t.md").read_text().splitlines()[-1]
    assert last == "| =cmd\\|'/C calc'!A0 | -1.5 | &lt;b&gt;\\| x |"


# Flags


@pytest.mark.parametrize(
    ("code", "words", "command"),
    [
        (3, "more than the 651 tokens", "predict llama-3.1-8b --hardware h100 --cp 100000 --context 651"),
        (3, "roofline formula lists the layers, roofline models list the models", "formula foo"),
        (2, "roofline formula alone lists the layers", "formula --quantity bytes"),
        (2, "--keep is given 2 times; give it once", "formula attention --keep D --keep F"),
        (2, "--batch is given 3 times", "predict gpt2 --hardware h100 --batch 1 --batch 2 --batch=3"),
        (2, "give one; compare, size and sweep take several", "predict gpt2 --hardware h100 --dtype bf16,fp8"),
        (3, "a Mac is named by its chip", "predict gpt2 --hardware mac-studio"),
        (2, "an engine states it; --set engine.chunk=VALUE", "predict llama-3.1-8b --hardware h100 --chunk 2048"),
        (2, "at most the", "doctor --threads 99999"),
        (2, "such as --users 30", "size llama-3.1-8b --hardware h100 --load 30users"),
        (2, "No such option", "compare llama-3.1-8b --hardware h100 --train 1T"),
        (2, "expected a number of tokens", "train llama-3.1-8b --hardware h100 --tokens 1X"),
        (2, 'batch "1_0": expected numbers', "predict bert-base --hardware h100 --batch 1_0"),
        (2, "'\uff14' is not a valid integer", "predict bert-base --hardware 4xh100 --tp \uff14"),
        (2, 'api "1_0/2": expected', "compare llama-3.1-8b --hardware h100 --api 1_0/2"),
        (3, "12345678901234 devices, expected 1 to", "predict bert-base --hardware 12345678901234xh100"),
    ],
)
def test_what_is_refused_in_a_line(code: int, words: str, command: str) -> None:
    assert words in refusal(code, *command.split())


def test_tokens_of_training_are_written_as_they_are_spoken() -> None:
    from roofline.options.values import read_tokens

    assert [read_tokens("tokens", text) for text in ("300Gtok", "300 Gtok", "300B", "300 G", 3e11)] == [3e11] * 5
    assert read_tokens("tokens", "1T") == 1e12
