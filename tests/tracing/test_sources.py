"""Modules by name on the command line: a function of a file, a configuration of transformers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shell import refusal, roofline

from roofline.errors import ConfigError
from roofline.models.model import load_model
from roofline.prediction.predict import predict
from roofline.sweeps.sweep import open_sweep

pytest.importorskip("torch")

from torch import nn

CODE = """
import torch
from torch import nn

print("building")

class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        return x + self.down(self.up(x).relu())

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(3))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))

class Sorter(nn.Module):
    def forward(self, x):
        return x.sort(1)[0]

class Choosy(nn.Module):
    def __init__(self):
        super().__init__()
        self.few, self.many = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        if x.shape[0] > 8:
            return self.many(x)
        if x.shape[1] < 10 or x.shape[0] == 1:
            x = self.many(x)
        return self.few(x)

def make_choosy():
    return Choosy()

def make_model():
    return Net()

def make_sorter():
    return Sorter()

def make_nothing():
    return 3

def broken():
    return 1 / 0
"""
SORTED, BROKEN, ASKED = (
    1 + CODE.splitlines().index(line)
    for line in ("        return x.sort(1)[0]", "    return 1 / 0", "        if x.shape[0] > 8:")
)
GIVEN = ("--input", "x=B,S,16", "--hardware", "h100", "--prompt", "64")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "my.py"
    path.write_text(CODE)
    return str(path)


def test_predict_formula_and_plot_trace_the_module_of_a_file(file: str, tmp_path: Path) -> None:
    code, out, err = roofline("predict", f"{file}:make_model", *GIVEN, "--batch", "4", "--json")
    answer = json.loads(out)  # what the code prints goes to stderr
    assert (code, err) == (0, "building\n")
    assert (answer["model"], answer["parameters"], list(answer["phases"])) == ("Net", 3_301, ["encode"])
    linear = next(op for op in answer["phases"]["encode"]["operators"] if op["name"] == "up")
    assert (linear["flops"], linear["count"]) == (3 * 2 * 4 * 64 * 16 * 32, 3)
    code, out, _ = roofline("formula", f"{file}:make_model", *GIVEN[:2], "--op", "up")
    assert (code, out.splitlines()[1].strip()) == (0, "1024*B*S")  # 2 x 16 x 32
    pytest.importorskip("matplotlib")
    code, out, _ = roofline("plot", "roofline", f"{file}:make_model", *GIVEN, "-o", str(tmp_path / "net.svg"))
    assert code == 0
    assert out.startswith("Roofline of Net on NVIDIA H100")


def test_an_answer_without_all_costs_says_at_least(file: str) -> None:
    code, out, err = roofline("predict", f"{file}:make_sorter", *GIVEN)
    assert code == 0
    assert f"warning: Sorter: at least: sort has no known cost, only its bytes count (my.py:{SORTED})" in err
    assert "request at least " in out
    code, _, err = roofline("predict", f"{file}:make_sorter", *GIVEN, "--strict")
    assert (code, err.splitlines()[-1][:40]) == (2, "roofline: Sorter: sort has no known cost")


@pytest.mark.parametrize(
    ("model", "flags", "message"),
    [
        ("my.py:broken", (), f"my.py:{BROKEN}: ZeroDivisionError: division by zero"),
        ("my.py:make_nothing", (), "make_nothing returns int, expected a torch.nn.Module"),
        ("my.py:none", (), "my.py has no function none"),
        ("other.py:make", (), "expected FILE.py:FUNCTION"),
        ("my.py:make_model", (), "Net.forward needs x; give --input x="),
        ("my.py:make_model", ("--input", "x"), "--input 'x': expected NAME=VALUE"),
        ("my.py:make_model", (*GIVEN[:2], "--dtype", "fp8"), "fp8: nothing says which matrices of a traced module"),
        ("my.py:make_model", (*GIVEN[:2], "--sparsity", "2:4"), "sparsity 2:4: nothing says"),
        ("transformers:none.json", (), "transformers:none.json: no such file"),
        ("bert-base", GIVEN[:2], "--input goes with a MODEL that is code"),
    ],
)
def test_what_cannot_be_traced_is_one_line(file: str, model: str, flags: tuple[str, ...], message: str) -> None:
    name = model.replace("my.py", file)
    code, out, err = roofline("predict", name, "--hardware", "h100", *flags)
    assert (code in (2, 3), out) == (True, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize(("verb", "needed"), [("compare", ()), ("size", ("--load", "9kreq/s"))])
def test_what_is_bought_may_run_code(file: str, verb: str, needed: tuple[str, ...]) -> None:
    code, out, _ = roofline(verb, f"{file}:make_model", *GIVEN, *needed, "--latency", "5ms", "--quiet")
    assert code == 0
    assert "inputs of 64 tokens" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--batch", "4,9"), f"its code was traced where B <= 8 (my.py:{ASKED})"),
        (("--batch", "4", "--prompt", "64,9"), "its code was traced where S >= 10"),
        (("--batch", "1"), "at B = 1 its code does something else"),
    ],
)
def test_what_the_code_asks_of_sizes_is_held_to(file: str, flags: tuple[str, ...], message: str) -> None:
    """A branch on the batch or the length is no silent guess: where it goes otherwise is refused with its line."""
    asked = ("predict", f"{file}:make_choosy", *GIVEN)
    asked = asked[: asked.index("--prompt")] + asked[asked.index("--prompt") + 2 :]
    usual = ("--prompt", "64")
    _, out, err = roofline(*asked, *flags, *(() if "--prompt" in flags else usual))
    assert message in " ".join((out + err).split())
    for alone in (("--batch", "4", *usual), ("--batch", "9", *usual), ("--batch", "4", "--prompt", "9")):
        assert roofline(*asked, *alone)[0] == 0  # traced where it is asked
    assert roofline(*asked[:2], "--input", "x=1,S,16", *GIVEN[2:])[0] == 0


def test_simulate_refuses_what_generates_nothing_by_one_line(file: str) -> None:
    code, _, err = roofline("simulate", f"{file}:make_model", *GIVEN[:2], "--hardware", "h100", "--load", "5req/s")
    assert (code, err.splitlines()[-1].count("generates no text from prompts alone")) == (3, 1)


def test_a_sweep_traces_what_is_code_into_its_folder(file: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    folder, grid = tmp_path / "sweep", ("--hardware", "h100", "--batch", "1,4", "--prompt", "64")
    code, out, _ = roofline("sweep", f"{file}:make_model", *GIVEN[:2], *grid, "-o", str(folder))
    assert code == 0
    assert out.startswith("2 rows in 1 file of ")
    rows = open_sweep(folder).scan().to_table(columns=["batch", "request_s"]).to_pylist()
    recorded = str(folder / "traces" / "make_model.json")
    for row in rows:
        alone = predict(recorded, "h100", batch=row["batch"], prompt=64)
        assert row["request_s"] == pytest.approx(alone.request_s, rel=1e-12)
    assert "--input goes with a MODEL that is code" in refusal(2, "sweep", "gpt2", *GIVEN[:2], *grid, "-o", str(folder))


def test_models_record_writes_what_predict_then_takes(file: str, tmp_path: Path) -> None:
    written = str(tmp_path / "net.json")
    code, out, _ = roofline("models", "record", f"{file}:make_model", *GIVEN[:2], "-o", written)
    assert (code, out) == (0, f"{written}: Net, 3,301 parameters\n")
    asked = ("--hardware", "h100", "--batch", "4", "--prompt", "64", "--json")
    of_file = json.loads(roofline("predict", written, *asked)[1])
    of_code = json.loads(roofline("predict", f"{file}:make_model", *GIVEN[:2], *asked)[1])
    assert of_file["phases"] == of_code["phases"]
    assert "ends in .json" in refusal(2, "models", "record", f"{file}:make_model", "-o", "x.yaml")


def test_a_configuration_of_transformers_is_traced_as_its_class(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    sizes = {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "vocab_size": 90,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"], **sizes}))
    asked = ("--hardware", "h100", "--prompt", "64", "--json", "--count", "square")
    traced = json.loads(roofline("predict", f"transformers:{path}", *asked)[1])
    ours = json.loads(roofline("predict", str(path), *asked)[1])
    assert (traced["model"], traced["parameters"]) == ("BertModel", ours["parameters"])
    assert traced["phases"]["encode"]["flops"] == ours["phases"]["encode"]["flops"]
    assert traced["memory"]["weights_bytes"] == ours["memory"]["weights_bytes"]


class Denoiser(nn.Module):  # type: ignore[misc]
    """What a library of diffusers might have."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__()
        self.config = SimpleNamespace(**fields)
        self.linear = nn.Linear(fields["in_channels"], 8)

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Denoiser:
        return cls(fields)

    def forward(self, hidden_states: Any, timestep: Any, class_labels: Any) -> Any:
        assert timestep.shape == class_labels.shape
        return self.linear(hidden_states.permute(0, 2, 3, 1))


def test_a_configuration_of_diffusers_is_traced_as_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(__version__="0.42.1", DiTTransformer2DModel=Denoiser)
    part = tmp_path / "transformer"
    part.mkdir()
    fields = {"_class_name": "DiTTransformer2DModel", "in_channels": 4, "sample_size": 16}
    (part / "config.json").write_text(json.dumps(fields))
    asked = ("predict", f"diffusers:{part}", "--hardware", "h100", "--batch", "2", "--json")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert "needs diffusers, which is not installed: pip install diffusers" in refusal(2, *asked)
    monkeypatch.setitem(sys.modules, "diffusers", library)
    found = json.loads(roofline(*asked)[1])
    assert (found["parameters"], found["phases"]["encode"]["flops"]) == (40, 2 * 2 * 16 * 16 * 4 * 8)
    (tmp_path / "model_index.json").write_text("{}")
    whole = refusal(2, "predict", f"diffusers:{tmp_path}", "--hardware", "h100")
    assert "is a pipeline of several networks; give one: transformer" in whole
    (part / "config.json").write_text(json.dumps({"_class_name": "Other"}))
    assert 'diffusers 0.42.1 has no "Other"' in refusal(2, *asked)


def test_a_name_of_diffusers_is_what_is_recorded_under_it() -> None:
    assert load_model("diffusers:flux.1-dev").parameters == load_model("flux.1-dev").parameters
    with pytest.raises(ConfigError, match=r'diffusers:"flux": no such file or folder, and nothing recorded'):
        load_model("diffusers:flux")


def test_train_takes_code_and_says_where_it_has_no_loss(file: str) -> None:
    asked = ("--hardware", "2xh100", "--sequence", "64", "--batch", "8")
    code, out, err = roofline("train", f"{file}:make_model", *GIVEN[:2], *asked, "--quiet")
    assert (code, "choice: dp 2" in out, "forward returns no loss" in err) == (0, True, True)
