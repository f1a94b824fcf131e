"""The verb ``plot`` and ``predict --plot``: files, data, words, refusals."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from shell import answer, refusal

LLAMA = ("llama-3.1-8b", "--hardware", "h100", "--context", "2048")


def test_a_picture_its_data_and_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    words = answer("plot", "roofline", *LLAMA, "-o", str(path), "--data")
    assert len(words.splitlines()) == 1
    assert "memory-bound" in words
    assert words.strip()[:60] in path.read_text()
    with (tmp_path / "a.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert {"hbm", "matrix bf16", "attention", "lm_head"} <= set(names)


def test_looks_and_sizes(tmp_path: Path) -> None:
    sizes = []
    for dpi in ("60", "120"):
        path = tmp_path / f"{dpi}.png"
        answer("plot", "breakdown", *LLAMA, "-o", str(path), "--theme", "dark", "--size", "column", "--dpi", dpi)
        sizes.append(int.from_bytes(path.read_bytes()[16:20], "big"))
    assert sizes == [210, 420]  # 3.5 inches


def test_several_devices(tmp_path: Path) -> None:
    words = answer(
        "plot", "roofline", "gpt2", "--hardware", "h100,t4", "--dtype", "fp16", "-o", str(tmp_path / "a.png")
    )
    assert "H100" in words
    assert "T4" in words


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "llama-3.1-8b", "--hardware", "h100,a100"),
        ("memory", *LLAMA[:3]),
        ("memory", "bert-base", "--hardware", "t4", "--over", "context"),
        ("breakdown", "gpt2", "--hardware", "xeon", "--over", "batch"),
        ("regime", "gpt2", "--hardware", "xeon"),
        ("regime", "bert-base", "--hardware", "h100,a100"),
        ("sensitivity", *LLAMA),
        ("timeplane", *LLAMA),
        ("waterfall", *LLAMA),
    ],
    ids=" ".join,
)
def test_every_kind_writes_a_picture_and_its_data(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    words = answer("plot", *arguments, "-o", str(tmp_path / "a.png"), "--data")
    assert words.endswith(".\n")
    with (tmp_path / "a.csv").open() as file:
        assert len(list(csv.DictReader(file))) > 1


def test_a_validation_needs_a_table_and_no_device(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("kind,m,k,n,measured_s\nmatmul,64,64,64,5e-6\nmatmul,4096,4096,4096,3e-4\n")
    words = answer("plot", "validation", str(table), "--hardware", "h100", "-o", str(tmp_path / "a.png"))
    assert "n 2" in words
    assert "column time_s is missing" in refusal(3, "plot", "validation", str(table), "-o", str(tmp_path / "b.png"))


def test_predict_draws_what_it_predicts(tmp_path: Path) -> None:
    plain = answer("predict", *LLAMA)
    assert answer("predict", *LLAMA, "--plot", str(tmp_path / "a.pdf")) == plain
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("code", "arguments", "problem"),
    [
        (2, ("rooflin", *LLAMA, "-o", "a.png"), "did you mean roofline"),
        (2, ("roofline", "gpt2", "-o", "a.png"), "--hardware is missing"),
        (2, ("roofline", *LLAMA), "-o FILE is missing"),
        (2, ("roofline", *LLAMA, "-o", "a.jpg"), "expected one of .png, .svg, .pdf"),
        (2, ("roofline", *LLAMA, "-o", "a.png", "--dpi", "5"), "expected 50 to 1200"),
        (2, ("roofline", *LLAMA, "-o", "a.png", "--theme", "pink"), "expected light or dark"),
        (2, ("roofline", *LLAMA, "-o", "a.png", "--over", "batch"), "roofline has no --over"),
        (2, ("breakdown", *LLAMA, "-o", "a.png", "--over", "context"), "goes over batch"),
        (2, ("compare", *LLAMA, "-o", "a.png", "--over", "cost", "--batch", "8"), "--batch 8: compare --over cost"),
        (2, ("compare", *LLAMA, "-o", "a.png", "--over", "cost"), "--context 2048: compare --over cost"),
        (2, ("breakdown", *LLAMA, "-o", "a.png", "--measured", "m.csv"), "--measured goes with roofline"),
        (2, ("waterfall", "gpt2", "--hardware", "h100,t4", "-o", "a.png"), "one model on one device"),
        (2, ("roofline", "gpt2", "--hardware", "h100,", "-o", "a.png"), "a name is empty"),
        (3, ("roofline", "gpt2", "--hardware", "h10", "-o", "a.png"), "did you mean h100"),
        (3, ("roofline", *LLAMA, "-o", "a.png", "--measured", "none.csv"), "none.csv: cannot be read"),
        (3, ("roofline", *LLAMA, "-o", "no/such/folder/a.png"), "cannot be written"),
    ],
)
def test_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, arguments: tuple[str, ...], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert problem in refusal(code, "plot", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_name_stops_predict_before_any_work() -> None:
    assert "expected one of .png" in refusal(2, "predict", "no-such-model", "--hardware", "h100", "--plot", "a.gif")


def test_without_matplotlib_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['matplotlib'] = None; sys.argv = ['roofline', *sys.argv[1:]];"
    code += "from roofline.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "plot", "roofline", *LLAMA, "-o", "a.png"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.strip().endswith("pip install '.[charts]' in the clone of roofline")
