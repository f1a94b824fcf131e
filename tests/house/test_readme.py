"""What README, CONTRIBUTING and docs show is what the code does.

``python tests/house/test_readme.py`` writes the output anew.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from shell import printed, printed_afresh, roofline  # noqa: E402

from roofline.cli import app as cli  # noqa: E402

TUTORIALS = ROOT / "docs" / "tutorials"  # which test_tutorials.py lives through
PAGES = sorted(page for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if page.parent != TUTORIALS)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
_YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_CSV = re.compile(r"```csv\n(.*?)```", re.DOTALL)
MEASURED = {"doctor", "calibrate", "validate", "mcp"}
"""Verbs that time this machine, or serve until they are stopped: their own tests run them."""
YOURS = ("page --open", "dask://", "my.py:", "run.toml", " ... ")
"""Commands that open a browser, ask for a cluster, or name code, a run or words of the reader's."""
SMALL = {
    "model_type": "llama", "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4,
    "num_attention_heads": 8, "vocab_size": 1000, "max_position_embeddings": 4096,
}  # fmt: skip
_TYPED = re.compile(r"(?m)^    (roofline .*)$")
TYPED = [page for page in PAGES if _TYPED.search(page.read_text()) and page.name != "gallery.md"]  # which is drawn
_CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def _need_torch(what: bool) -> None:
    if what:
        pytest.importorskip("torch")


def filled(block: str, run: Callable[[str], str] = printed_afresh) -> str:
    """A console block with the output of each of its commands."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    return "\n".join(f"{command}\n{run(command[2:])}" for command in commands)


@pytest.mark.parametrize("run", [printed, pytest.param(printed_afresh, marks=pytest.mark.slow)])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_console_blocks_show_what_the_commands_print(page: Path, run: Callable[[str], str]) -> None:
    for block in _CONSOLE.findall(page.read_text()):
        _need_torch(".py:" in block)
        assert block == filled(block, run)


def test_the_first_answer_is_explained_by_what_it_says() -> None:
    """Times and quoted words of "How to read it" stand in the answer above it."""
    text = (ROOT / "README.md").read_text()
    answer = _CONSOLE.findall(text)[0]
    told = text.split("How to read it:")[1].split("## ")[0]
    quoted = re.findall(r"[0-9.]+ ms|`[^`]+`", told)
    assert len(quoted) >= 4
    assert [each for each in quoted if each.strip("`") not in answer] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page: Path) -> None:
    _need_torch("roofline.trace(" in page.read_text())
    assert doctest.testfile(str(page), module_relative=False).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_typed_commands_have_verbs_and_flags_that_exist(page: Path) -> None:
    for command in _TYPED.findall(page.read_text()):
        whole = click.Context(cli.app)
        _, verb, words = cli.app.resolve_command(whole, shlex.split(command)[1:])
        while isinstance(verb, click.Group):
            _, verb, words = verb.resolve_command(whole, words)
        assert verb is not None
        verb.make_context("typed", words, parent=whole)


@pytest.mark.slow
@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.name)
def test_typed_commands_answer(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, in a folder with the files that it speaks of."""
    pytest.importorskip("torch")
    text = page.read_text()
    monkeypatch.chdir(tmp_path)
    for name in ("examples", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    own = (ROOT / "docs" / "how-to" / "own-hardware.md").read_text()
    study = (ROOT / "docs" / "sweeps.md").read_text()
    (tmp_path / "my_gpu.yaml").write_text(_YAML.findall(own)[0])
    (tmp_path / "my-cpu.yaml").write_text(_YAML.findall(own)[0].replace("fp16: 200", "fp32: 100"))
    (tmp_path / "study.yaml").write_text(_YAML.findall(study)[0])
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "shapes.csv").write_text(_CSV.findall((ROOT / "docs" / "how-to" / "operators.md").read_text())[0])
    for command in _TYPED.findall(text):
        words = shlex.split(command)[1:]
        if words[0] in MEASURED or any(each in command for each in YOURS):
            continue
        code, out, err = roofline(*words)
        assert code == 0, f"{command}: {err}"
        assert out or Path(words[words.index("-o") + 1]).stat().st_size


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", ["docs/how-to/own-hardware.md", "CONTRIBUTING.md"])
def test_the_gpu_of_ten_lines_answers(page: str, tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    lines = [line.removeprefix("   ") if page == "CONTRIBUTING.md" else line for line in block.rstrip().splitlines()]
    assert len(lines) <= 10
    (tmp_path / "my-gpu.yaml").write_text("\n".join(lines) + "\n")
    assert "fits" in printed(f"roofline predict bert-base --hardware {tmp_path / 'my-gpu.yaml'}")


def test_the_family_of_the_walk_through_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from roofline.models import families
    from roofline.models.families import llama_line
    from roofline.models.model import load_model

    (entry,) = re.findall(r"```python\n(\"olmo\".*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    added = eval("{" + entry + "}", vars(llama_line))
    monkeypatch.setattr(families, "FAMILIES", {**families.FAMILIES, **added})
    monkeypatch.setattr("roofline.models.model.FAMILIES", {**families.FAMILIES, **added})
    config = transformers.OlmoConfig(
        vocab_size=1000, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=8,
        num_key_value_heads=2, architectures=["OlmoForCausalLM"],
    )  # fmt: skip
    with torch.device("meta"):
        module = transformers.OlmoForCausalLM(config)
    assert load_model(config.to_dict()).parameters == sum(parameter.numel() for parameter in module.parameters())


# What times a model takes its minute, and a process of its own, which it restarts.
@pytest.mark.parametrize("example", [e for e in EXAMPLES if "validate" not in e.stem], ids=lambda example: example.stem)
def test_examples_run(example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _need_torch("torch" in example.read_text())
    monkeypatch.setattr(sys, "argv", [str(example)])
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_examples_run_as_a_reader_runs_them(example: Path) -> None:
    here = {**os.environ, "PYTHONPATH": str(ROOT)}  # this tree, wherever the package is installed from
    done = subprocess.run([sys.executable, str(example)], env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


if __name__ == "__main__":
    for path in PAGES:
        text = path.read_text()
        path.write_text(_CONSOLE.sub(lambda match: f"```console\n{filled(match.group(1), printed)}```", text))
