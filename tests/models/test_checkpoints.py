"""``quantization_config`` of published checkpoints: recipes, warnings, refusals."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.compression.recipes import read_recipe
from roofline.errors import ConfigError
from roofline.models.model import load_model
from roofline.models.shapes.checkpoints import checkpoint_recipe
from roofline.prediction.predict import predict

INT4 = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True}
FP8 = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
TOKEN = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}


def compressed(weights: Any, activations: Any = None, **more: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head"], **more}


@pytest.mark.parametrize(
    ("config", "recipe"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": True}, "w4a16+zp"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": False}, "w4a16+g32+zp"),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "w8a16"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}, "w4a16+zp"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "zero_point": False}, "w4a16+g64"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}, "fp8-block"),
        ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8-tensor"),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}, "mxfp4+experts"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "w8a8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "nf4"),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
             "bnb_4bit_use_double_quant": True},
            "nf4-dq",
        ),
        (compressed(INT4), "w4a16"),
        (compressed({**INT4, "symmetric": False, "group_size": 64}), "w4a16+g64+zp"),
        (compressed(FP8, TOKEN), "fp8"),
        (compressed(FP8, TOKEN, kv_cache_scheme={"num_bits": 8, "type": "float", "strategy": "tensor"}), "fp8+kv8"),
        (compressed({**FP8, "type": "int"}, {**TOKEN, "type": "int"}), "w8a8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}, "nvfp4+kv8"),
        ({"quant_method": "modelopt", "quantization": {"quant_algo": "FP8"}}, "fp8-tensor"),
    ],
)  # fmt: skip
def test_common_checkpoints(config: dict[str, Any], recipe: str) -> None:
    assert checkpoint_recipe({"quantization_config": config}, "config.json") == (recipe, ())
    assert read_recipe(recipe, default="bf16").quantizes


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bits": 4}, "quant_method nothing of quantization_config is not modelled"),
        ("awq", 'quantization_config "awq": expected a mapping with a quant_method'),
        ({"quant_method": "aqlm"}, "quant_method"),
        ({"quant_method": ["gptq"]}, "quant_method a list of quantization_config is not modelled"),
        ({"quant_method": "gptq", "bits": 3, "group_size": 128}, "gptq with bits 3, group_size 128 is not modelled"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128.5}, "gptq with bits 4, group_size 128.5"),
        ({"quant_method": "fp8", "weight_block_size": [64, 64]}, "fp8 with weight_block_size a list"),
        ({"quant_method": "fp8", "weight_block_size": 128}, "fp8 with weight_block_size 128 is not modelled"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "bitsandbytes with"),
        (compressed(FP8, {"num_bits": 4, "type": "int", "strategy": "token"}), "compressed-tensors with config_groups"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": 1}}, "compressed-tensors with config_groups"),
    ],
)
def test_what_has_no_recipe_is_refused_by_name(config: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        checkpoint_recipe({"quantization_config": config}, "config.json")


def test_modules_that_the_recipe_does_not_know_to_leave_are_warned_of() -> None:
    given_config = {"quant_method": "awq", "modules_to_not_convert": ["lm_head", "model.layers.0.mlp"]}
    _, (warning,) = checkpoint_recipe({"quantization_config": given_config}, "config.json")
    assert 'leaves "model.layers.0.mlp" alone (1 such); counted quantised' in warning


def test_a_quantised_config_is_predicted_as_it_is_stored() -> None:
    fields = dict(load_model("qwen2.5-7b").fields)
    awq = {**fields, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
    stored, asked = predict(awq, "h100"), predict(fields, "h100", dtype="awq")
    assert stored.memory == asked.memory
    assert predict(awq, "h100", dtype="bf16").memory == predict(fields, "h100", dtype="bf16").memory


def test_a_refused_checkpoint_can_be_asked_for_in_another_dtype(tmp_path: Any) -> None:
    import json

    fields = {**load_model("qwen2.5-7b").fields, "quantization_config": {"quant_method": "aqlm"}}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(fields))
    with pytest.raises(ConfigError, match=r"--set model\.quantization_config=null"):
        predict(file, "h100")
    assert predict(file, "h100", set={"model.quantization_config": None}).request_s > 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "bits group_size zero_point weight_block_size load_in_4bit load_in_8bit bnb_4bit_quant_type config_groups ignore "
    "modules_to_not_convert quantization quant_algo kv_cache_scheme kv_cache_quant_algo"
).split()


@given(
    st.sampled_from(("gptq", "awq", "fp8", "compressed-tensors", "mxfp4", "bitsandbytes", "modelopt")),
    st.dictionaries(st.sampled_from(KEYS), JSON | st.just({"g": {"weights": INT4}}), max_size=5),
)
def test_any_options_give_a_recipe_or_one_line(method: str, options: dict[str, Any]) -> None:
    fields = {"quantization_config": {**options, "quant_method": method}}
    try:
        recipe, _ = checkpoint_recipe(fields, "config.json")
    except ConfigError:
        with pytest.raises(ConfigError, match=r"\A[^\n]*\Z"):
            checkpoint_recipe(fields, "config.json")
    else:
        assert read_recipe(recipe, default="bf16").quantizes
