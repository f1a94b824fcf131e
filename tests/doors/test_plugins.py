"""Folders of ROOFLINE_PATH and installed plugins: found by name, refused in one line."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import pytest
from shell import answer, refusal, roofline

from roofline.engines.library import engine_names, load_engine
from roofline.files.library import data_folder
from roofline.files.plugins import plugin_folders
from roofline.hardware.library import find_file
from roofline.models.model import load_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "extend.md"
LLAMA = {
    "architectures": ["MyLlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1000, "max_position_embeddings": 512,
}  # fmt: skip


def fill(folder: Path) -> Path:
    """A folder with one of each, its plugin.py that of the documentation."""
    for kind in ("hardware", "engines", "models"):
        (folder / kind).mkdir(parents=True)
    spec = (data_folder("hardware_specs") / "t4.yaml").read_text()
    own = re.sub(r"(?m)^aliases:.*\n", "", spec).replace("name: t4", "name: my-gpu", 1)
    (folder / "hardware" / "my-gpu.yaml").write_text(own)
    engine = re.sub(r"(?m)^aliases:.*\n", "", (data_folder("engines") / "vllm.yaml").read_text())
    (folder / "engines" / "my-engine.yaml").write_text(engine.replace("name: vllm", "name: my-engine", 1))
    (folder / "models" / "My-Model.json").write_text(json.dumps({**LLAMA, "model_type": "my_llama"}))
    (code,) = re.findall(r'```python title="plugin.py"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    (folder / "plugin.py").write_text(code)
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = fill(tmp_path / "own")
    monkeypatch.setenv("ROOFLINE_PATH", str(folder))
    return folder


def test_a_folder_has_models_engines_hardware_and_code(own: Path) -> None:
    assert find_file("MY-GPU") == own / "hardware" / "my-gpu.yaml"
    assert load_engine("my-engine").name == "my-engine"
    assert "my-engine" in engine_names()
    bare = load_model(
        {**LLAMA, "model_type": "olmo", "architectures": ["OlmoForCausalLM"]}
    ).parameters  # Llama whose norm has neither gain nor shift
    assert load_model("my-model").parameters == bare
    assert "fits" in answer("predict", "my-model", "--hardware", "my-gpu", "--engine", "my-engine")
    assert answer("formula", "my_layer").splitlines()[1:] == answer("formula", "feed_forward").splitlines()[1:]
    assert "did you mean my_layer?" in refusal(2, "formula", "my_layr")
    assert re.search(r"(?m)^plugins +my_layer$", answer("formula"))
    assert "my-gpu" in answer("hardware", "list", "my-gpu")
    assert "My-Model" in answer("models", "list", "my-model")


def test_an_installed_plugin_is_a_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    folder = fill(site / "my_package")
    (folder / "__init__.py").touch()
    (site / "mine-1.dist-info").mkdir()
    (site / "mine-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    entry = "[roofline.plugins]\nmine = my_package.plugin\n"
    (site / "mine-1.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.delenv("ROOFLINE_PATH", raising=False)
    monkeypatch.syspath_prepend(str(site))
    assert folder in plugin_folders()
    assert find_file("my-gpu") == folder / "hardware" / "my-gpu.yaml"
    assert load_model("my-model").parameters == load_model({**LLAMA, "model_type": "my_llama"}).parameters


def test_a_name_of_the_package_is_not_replaced(own: Path) -> None:
    (own / "engines" / "vllm.yaml").write_text("name: vllm\n")
    (own / "models" / "gpt2.json").write_text("{}")
    assert load_engine("vllm").date
    assert load_model("gpt2").parameters == 124_439_808


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", "plugin.py: ZeroDivisionError: division by zero; the plugin's code does not run"),
        ("def", "SyntaxError"),
        ("LAYERS = 3", "LAYERS is a int, expected a mapping of names"),
        ("LAYERS = {'my_layer': 3}", "LAYERS['my_layer'] is a int, expected a Layer"),
    ],
)
def test_code_that_fails_is_one_line(own: Path, code: str, words: str) -> None:
    (own / "plugin.py").write_text(code)
    assert words in refusal(3, "formula", "my_layer")


def test_a_list_leaves_out_what_cannot_be_read_and_says_so(own: Path) -> None:
    (own / "models" / "broken.json").write_text("{ no")
    (own / "engines" / "broken.yaml").write_text("name: [")
    code, out, err = roofline("models", "list", "my-")
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith(f"warning: {own / 'models' / 'broken.json'}:1: ")
    assert "My-Model" in out
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # as a user has it
        code, out, err = roofline("engines", "list")
    assert re.fullmatch(rf"warning: {own / 'engines' / 'broken.yaml'}.*; left out\n", err)
    assert "my-engine" in out
    refusal(3, "predict", "broken", "--hardware", "h100")


def test_families_and_folders_that_fail_are_one_line(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own / "plugin.py").write_text("FAMILIES = {'my_llama': 'llama'}")
    assert "FAMILIES['my_llama'] is a str, expected a Family" in refusal(3, "predict", "my-model", "--hardware", "h100")
    twice = tmp_path / "twice"
    (twice / "models").mkdir(parents=True)
    (twice / "models" / "my-model.json").write_text("{}")
    monkeypatch.setenv("ROOFLINE_PATH", f"{own}:{twice}")
    assert "is also the name of" in refusal(3, "predict", "my-model", "--hardware", "h100")
    monkeypatch.setenv("ROOFLINE_PATH", str(tmp_path / "nowhere"))
    assert "ROOFLINE_PATH: " in refusal(3, "predict", "my-model", "--hardware", "h100")
