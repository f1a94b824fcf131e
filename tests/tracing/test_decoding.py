"""A decode step that is traced: one token over caches, a user's own or those of a module of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import answer, refusal
from shell import roofline as shell

torch = pytest.importorskip("torch")

import roofline  # noqa: E402
from roofline.errors import UsageError, WorkloadError  # noqa: E402
from roofline.models.model import Model  # noqa: E402

CODE = """
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

class Step(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.kv = nn.Linear(512, 512), nn.Linear(512, 256)

    def forward(self, x, k, v):
        q = self.q(x).view(-1, 1, 8, 64).transpose(1, 2)
        kv = self.kv(x).view(-1, 1, 2, 2, 64)
        k[:, :, -1:] = kv[:, :, 0].transpose(1, 2)
        v[:, :, -1:] = kv[:, :, 1].transpose(1, 2)
        return scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2)
"""
INPUTS = {"x": "B,1,512", "k": "cache:B,2,S,64", "v": "cache:B,2,S,64"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("step") / "own.py"
    path.write_text(CODE)
    return path


@pytest.fixture(scope="module")
def own() -> Model:
    names: dict[str, type[torch.nn.Module]] = {}
    exec(CODE, names)
    return roofline.trace(names["Step"](), INPUTS)


def test_a_step_over_caches_of_ones_own_is_a_decode_step(own: Model) -> None:
    found = roofline.predict(own, "h100", batch=8, context=4096)
    projections, attended, kept = 512 * 512 + 512 * 256, 2 * 8 * 64 * 4096, 2 * 2 * 64 * 4096
    assert found.phases["decode"].figures.flops == 2 * 8 * (projections + attended)
    assert found.memory.footprint.kv_cache_bytes == 2 * 8 * kept
    assert found.tpot_s == found.request_s
    assert own.warnings == ()


def test_its_formula_is_in_the_length_of_the_cache(own: Model) -> None:
    assert str(roofline.formula(own).expression) == "2048*B*(S + 384)"
    assert str(roofline.formula(own, quantity="kv_cache").expression) == "512*B*S"


def test_what_is_no_decode_step_of_it_is_refused(own: Model) -> None:
    with pytest.raises(UsageError, match="give context"):
        roofline.predict(own, "h100", prompt=100)
    with pytest.raises(WorkloadError, match="predict takes it"):
        roofline.compare(own, "h100")


def test_the_command_line_asks_for_caches_where_there_are_none(file: Path) -> None:
    inputs = [word for name, sizes in INPUTS.items() for word in ("--input", f"{name}={sizes}")]
    asked = ("predict", f"{file}:Step", "--hardware", "h100", "--context", "4096")
    assert "decode" in json.loads(answer(*asked, *inputs, "--json"))["phases"]
    assert "--input k=cache:B,8,S,64" in refusal(2, *asked, "--input", "x=B,1,512")


def test_a_decoder_of_transformers_steps_over_the_caches_that_it_makes(tmp_path: Path) -> None:
    """FLOPs are those of our statement; its cache holds the tokens before, and is copied with the new one."""
    pytest.importorskip("transformers")
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
             "num_hidden_layers": 2, "vocab_size": 101, "max_position_embeddings": 512}  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"], **sizes}))
    asked = ("--hardware", "h100", "--batch", "4", "--context", "257", "--engine", "torch-compile", "--json")
    traced, ours = (json.loads(shell("predict", name, *asked)[1]) for name in (f"transformers:{path}", str(path)))
    steps = [each["phases"]["decode"] for each in (traced, ours)]
    assert steps[0]["flops"] == steps[1]["flops"]
    assert traced["memory"]["weights_bytes"] == ours["memory"]["weights_bytes"]
    assert 257 * traced["memory"]["kv_cache_bytes"] == 256 * ours["memory"]["kv_cache_bytes"]
    assert any("the caches are copied (cache_utils.py:" in note for note in traced["notes"])
    named = [{op["name"]: op for op in step["operators"]} for step in steps]
    for own_name, our_name in (("q_proj", "q_proj"), ("gate_proj", "gate"), ("attention", "attention")):
        assert named[0][own_name]["time_s"] == pytest.approx(named[1][our_name]["time_s"], rel=1e-12)


def test_an_encoder_has_no_decode_step(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"], "num_hidden_layers": 1}))
    said = refusal(2, "predict", f"transformers:{path}", "--hardware", "h100", "--context", "128")
    assert "BertModel is no decoder of transformers" in said
