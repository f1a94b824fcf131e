"""Published forms of ``quantization_config``: bytes tensor by tensor, modules left in 16 bits, refusals by content."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from checkpoint_forms import (
    BLOCKS,
    DENSE,
    FORMS,
    FP4,
    FP8,
    FP8_ROW,
    INT4,
    NVFP4,
    ROUTED,
    TOKEN,
    W4,
    Size,
    Tensor,
    compressed,
    dense_tensors,
    gptq,
    routed_tensors,
    stored,
    torchao,
    wide,
)
from hypothesis import given
from hypothesis import strategies as st

from roofline.compression.quantization import quantized
from roofline.compression.recipes import Checkpoint, read_recipe
from roofline.cost.residency import weights_bytes
from roofline.errors import ConfigError
from roofline.models.checkpoints.methods import METHODS, UNREAD
from roofline.models.checkpoints.reading import read_checkpoint
from roofline.models.model import load_model
from roofline.number import exact
from roofline.prediction.predict import predict


def held(fields: Mapping[str, Any] | Path) -> Fraction:
    """Bytes of the weights as the file stores them."""
    model = load_model(fields)
    recipe = read_recipe(None, default="bf16", checkpoint=model.checkpoint)
    program = quantized(model.program(), recipe)
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    return Fraction(weights_bytes(program, sizes, recipe.precision))


def summed(tensors: list[Tensor], size_of: Any) -> Fraction:
    """The sum over tensors; ``size_of`` gives the form of a linear one by its name."""
    return sum((each.copies * (size_of(each.name) if each.linear else wide)(each) for each in tensors), Fraction(0))


@pytest.mark.parametrize("name", FORMS)
def test_bytes_are_those_of_every_tensor(name: str) -> None:
    options, recipe, size = FORMS[name]
    model = load_model({**DENSE, "quantization_config": options})
    assert (model.checkpoint, model.warnings) == (Checkpoint(recipe), ())
    assert float(held(model.fields)) == pytest.approx(float(summed(dense_tensors(), lambda _: size)), rel=1e-3)


LEFT = {
    "a part of the name": ({"quant_method": "awq", "modules_to_not_convert": ["self_attn"]}, "self_attn"),
    "the network": ({"quant_method": "awq", "modules_to_not_convert": ["model"]}, ""),
    "all layers, with a dot": ({"quant_method": "awq", "modules_to_not_convert": ["model.layers."]}, ""),
    "the network of a wrapper": ({"quant_algo": "W4A16_AWQ", "ignore": ["model.language_model"]}, ""),
    "a layer with a dot": ({"quant_method": "awq", "modules_to_not_convert": ["model.layers.1."]}, r"layers\.1"),
    "transformers' expression": (
        {"quant_method": "awq", "modules_to_not_convert": [r".*\.(gate|up)_pro", r".*self_attn\.(k|v)_proj"]},
        "[kv]_proj",
    ),
    "a layer by name": ({"quant_method": "awq", "modules_to_not_convert": ["model.layers.0"]}, r"layers\.0"),
    "modules one by one": (
        {**compressed(INT4), "ignore": [f"model.layers.{layer}.mlp.down_proj" for layer in (0, 3)]},
        r"layers\.[03]\.mlp\.down",
    ),
    "a regular expression": ({**compressed(INT4), "ignore": ["re:.*self_attn.*", "lm_head"]}, "self_attn"),
    "a choice": ({**compressed(INT4), "ignore": [r"re:.*mlp\.(gate|up)_proj"]}, "gate|up"),
    "a wildcard": ({"quant_algo": "W4A16_AWQ", "ignore": ["model.layers.1*"]}, r"layers\.1"),
    "a wrapper's names": ({**compressed(INT4), "ignore": ["model.language_model.layers.2.self_attn"]}, r"2\.self_attn"),
    "all but one": ({**compressed(INT4), "ignore": [r"re:^(?!.*down_proj).*$"]}, "^(?!.*down_proj)"),
    "gptq's dynamic": (gptq(4, 128, dynamic={r"-:.*self_attn.*": {}}), "self_attn"),
}


@pytest.mark.parametrize("name", LEFT)
def test_modules_left_in_16_bits_are_counted_in_16_bits(name: str) -> None:
    options, pattern = LEFT[name]
    zero = options.get("quant_method") in ("awq", "gptq")
    narrow = stored(4, group=128, zero=0.5) if zero else W4
    expected = summed(dense_tensors(), lambda module: wide if re.search(pattern, module) else narrow)
    assert held({**DENSE, "quantization_config": options}) == expected
    assert expected > summed(dense_tensors(), lambda _: narrow)


def _by_module(rules: list[tuple[str, Size]]) -> Any:
    return lambda module: next(size for pattern, size in rules if re.search(pattern, module))


MIXED = {
    "experts alone": (
        {**compressed({**INT4, "group_size": 32}),
         "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
                    r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"]},
        [(r"mlp\.experts", stored(4, group=32)), ("", wide)],
    ),
    "each layer and expert by name": (
        {**compressed(INT4), "ignore": [f"model.layers.{layer}.mlp.experts.{expert}.{part}_proj" for layer in range(3)
                                        for expert in range(8) for part in ("gate", "up", "down")]},
        [(r"mlp\.experts", wide), ("", W4)],
    ),
    "two groups": (
        {"quant_method": "compressed-tensors", "config_groups": {
            "a": {"targets": ["re:.*self_attn.*"], "weights": FP8, "input_activations": TOKEN},
            "b": {"targets": ["re:.*mlp.experts.*"], "weights": FP4, "input_activations": FP4}}},
        [("self_attn", FP8_ROW), (r"mlp\.experts", NVFP4), ("", wide)],
    ),
    "a group and the rest": (
        {"quant_method": "compressed-tensors", "config_groups": {
            "a": {"targets": ["re:.*experts.*"], "weights": INT4},
            "b": {"targets": ["Linear"], "weights": FP8, "input_activations": TOKEN}}},
        [("experts", W4), ("", FP8_ROW)],
    ),
    "modelopt's list": (
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {
            **{f"model.layers.{layer}.mlp.experts": {"quant_algo": "NVFP4", "group_size": 16} for layer in range(3)},
            **{f"model.layers.{layer}.self_attn.o_proj": {"quant_algo": "FP8_PB_WO"} for layer in range(3)}}},
        [(r"mlp\.experts", NVFP4), ("o_proj", BLOCKS), ("", wide)],
    ),
    "gptq's dynamic": (
        gptq(4, 128, dynamic={r"+:.*shared_experts.*": {"bits": 8, "group_size": 64}, "-:.*self_attn.*": {}}),
        [("shared_experts", stored(8, group=64, zero=1)), ("self_attn", wide), ("", stored(4, group=128, zero=0.5))],
    ),
    "auto-round's extra": (
        {"quant_method": "auto-round", "bits": 4, "group_size": 128,
         "extra_config": {"model.layers.1.mlp.shared_experts": {"bits": 16}}},
        [(r"1\.mlp\.shared_experts", wide), ("", stored(4, group=128, zero=0.5))],
    ),
    "hqq's names": (
        {"quant_method": "hqq", "skip_modules": ["lm_head"], "quant_config": {
            "self_attn.o_proj": {"weight_quant_params": {"nbits": 8, "group_size": 128}},
            "mlp.shared_experts": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}},
        [("o_proj", stored(8, group=128, zero=2)), ("shared_experts", stored(4, group=64, zero=2)), ("", wide)],
    ),
    "quark's layers": (
        {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "int8", "qscheme": "per_channel"}},
         "layer_quant_config": {"*experts*": {"weight": {"dtype": "int4", "qscheme": "per_group", "group_size": 128}}},
         "exclude": ["*self_attn*"]},
        [("self_attn", wide), ("experts", W4), ("", stored(8, 4))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED)
def test_mixed_schemes_are_counted_module_by_module(name: str) -> None:
    options, rules = MIXED[name]
    fields = {**ROUTED, "quantization_config": options}
    assert float(held(fields)) == pytest.approx(float(summed(routed_tensors(), _by_module(rules))), rel=1e-3)
    assert load_model(fields).warnings == ()


def test_parameters_and_phases_stay_where_layers_are_told_apart() -> None:
    plain = load_model(DENSE).program()
    options = {**compressed(FP8, TOKEN), "ignore": ["model.layers.1", "model.layers.2.mlp"]}
    model = load_model({**DENSE, "quantization_config": options})
    program = quantized(model.program(), read_recipe(None, default="bf16", checkpoint=model.checkpoint))
    assert program.parameters() == plain.parameters()
    assert program.phases == plain.phases
    assert [(group.name, group.repeat) for group in program.groups if group.stacked] == [
        ("layers", 2),
        ("layers.1", 1),
        ("layers.2", 1),
    ]
    kept = {(group.name, tensor.dtype) for group, _, tensor in program.weights() if tensor.name in ("w_q", "w_up")}
    assert kept == {("layers", "fp8"), ("layers.1", ""), ("layers.2", "fp8"), ("layers.2", "")}
    assert predict(model, "h100", prompt=64, generate=2).request_s > 0


def test_a_side_file_says_what_the_configuration_does_not(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(DENSE), encoding="utf-8")
    assert held(tmp_path) == summed(dense_tensors(), lambda _: wide)
    scheme = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head", "*self_attn*"]}
    side = {"producer": {"name": "modelopt"}, "quantization": scheme}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(side), encoding="utf-8")
    assert load_model(tmp_path).checkpoint.recipe == "fp8-tensor+kv8"
    narrow = stored(8, 4, rows=0)
    expected = summed(dense_tensors(), lambda module: wide if "self_attn" in module else narrow)
    assert held(tmp_path) == expected
    fields = {**DENSE, "quantization_config": {"quant_method": "gptq", "bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    assert load_model(tmp_path).checkpoint.recipe == "w4a16+zp"  # what config.json says holds


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bits": 4}, "quant_method nothing of quantization_config is not modelled"),
        ("awq", 'quantization_config "awq": expected a mapping with a quant_method'),
        ({"quant_method": "aqml"}, 'quant_method "aqml" of quantization_config is not modelled'),
        (
            {"quant_method": "aqlm"},
            "aqlm of quantization_config stores indices into codebooks of vectors",
        ),
        ({"quant_method": "spqr", "bits": 3}, "spqr of quantization_config stores tiles of 16 x 16 with outliers"),
        ({"quant_method": "bitnet", "quantization_mode": "online"}, 'bitnet with quantization_mode "online" is not'),
        ({"quant_method": "bitnet", "use_rms_norm": True}, "bitnet with use_rms_norm true is not modelled"),
        ({"quant_method": "fouroversix", "weight_dtype": "mxfp4"}, 'fouroversix with weight_dtype "mxfp4" is not'),
        ({"quant_method": "fouroversix", "keep_master_weights": True}, "fouroversix with keep_master_weights true"),
        ({"quant_method": "higgs", "bits": 5}, "higgs with 5 bits is not modelled"),
        ({"quant_method": "metal", "group_size": "all"}, 'metal with groups of "all" is not modelled'),
        ({"quant_method": ["gptq"]}, "quant_method a list of quantization_config is not modelled"),
        ({"quant_method": "gptq", "bits": 5, "group_size": 128}, "gptq with 5 bits is not modelled"),
        ({"quant_method": "gptq", "bits": 4.0, "group_size": 128}, "gptq with 4.0 bits is not modelled"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128.5}, "gptq with groups of 128.5 is not modelled"),
        ({"quant_method": "fp8", "weight_block_size": [64, 64]}, "fp8 with blocks of 64 x 64 is not modelled"),
        ({"quant_method": "fp8", "weight_block_size": 128}, "fp8 with blocks of 128 is not modelled"),
        ({"quant_method": "fp8", "expert_dtype": "int4"}, 'fp8 with experts in "int4" is not modelled'),
        (
            {"quant_method": "fp_quant", "store_master_weights": True},
            "weights kept in 16 bits beside those in 4 is not",
        ),
        ({"quant_method": "fp_quant", "forward_dtype": "fp6"}, 'fp_quant with forward_dtype "fp6" is not modelled'),
        ({"quant_method": "fp8", "modules_to_convert": 1}, "modules_to_convert 1, expected a list"),
        ({"quant_method": "bitsandbytes"}, "bitsandbytes with neither load_in_8bit nor load_in_4bit"),
        ({"load_in_8bit": True, "load_in_4bit": True}, "bitsandbytes with both load_in_8bit and load_in_4bit is not"),
        ({"quant_method": "hqq", "dynamic_config": {}}, "hqq with neither nbits nor weight_quant_params is not"),
        ({"quant_method": "hqq", "weight_quant_params": {"nbits": 3}}, "hqq with 3 bits, ten to each 32 is not"),
        ({"quant_method": "torchao", "quant_type": "autoquant"}, 'torchao with quant_type "autoquant" is not modelled'),
        ({"quant_method": "modelopt", "quant_algo": "NVFP3"}, 'modelopt with quant_algo "NVFP3" is not modelled'),
        ({"quant_algo": "FP8", "kv_cache_scheme": "NVFP4"}, 'modelopt with a KV cache in "NVFP4" is not modelled'),
        (compressed({**INT4, "num_bits": 6}), "compressed-tensors with 6 bits is not modelled"),
        (
            compressed(INT4, kv_cache_scheme={"num_bits": 8, "type": "int"}),
            'with a KV cache in "8 int" is not modelled',
        ),
        (compressed(FP8, {"num_bits": 6, "type": "int", "strategy": "token"}), "activations of 6 bits, int, by token"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": 1}}, "with config_groups 1, expected a mapping"),
        ({**compressed(INT4), "ignore": ["re:(unclosed"]}, "re:(unclosed is no regular expression"),
        (
            {**compressed(INT4), "ignore": ["model"]},
            'ignore "model", which is no linear layer but',
        ),
        (
            {"quant_method": "awq", "modules_to_not_convert": ["lm_head", 1]},
            "that holds 1, expected names",
        ),
        ({"quant_method": "awq", "modules_to_not_convert": ["(q|k"]}, "(q|k is no regular expression"),
        ({**compressed(INT4), "ignore": 3}, "ignore 3, expected a list of modules is not modelled"),
    ],
)
def test_what_is_stored_otherwise_is_refused_by_what_it_is(config: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_checkpoint({"quantization_config": config}, "config.json")


def test_modules_that_no_network_has_are_warned_of() -> None:
    given_config = {
        "quant_method": "awq",
        "modules_to_not_convert": ["lm_head", "model.layers.0.glow", "visual.blocks"],
    }
    _, (warning,) = read_checkpoint({"quantization_config": given_config}, "config.json")
    assert 'names "model.layers.0.glow", which is not known; counted as the rest' in warning


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({**gptq(4, 128), "lm_head": True}, "lm_head"),
        ({**torchao("Int8WeightOnlyConfig"), "include_input_output_embeddings": True}, "embeddings and lm_head"),
        ({"quant_method": "fp8", "modules_to_convert": ["model.embed_tokens", "lm_head"]}, "model.embed_tokens and 1"),
        ({**compressed(INT4), "ignore": ["model.layers.0.mlp"]}, "lm_head"),
        ({"load_in_8bit": True, "llm_int8_skip_modules": ["model.layers.0.mlp"]}, "lm_head"),
    ],
)
def test_heads_and_embeddings_that_are_quantised_are_warned_of(config: Any, what: str) -> None:
    fields = {"quantization_config": config, "architectures": ["LlamaForCausalLM"]}
    _, warnings = read_checkpoint(fields, "config.json")
    assert any(f"quantises {what}" in each and "counted in 16 bits" in each for each in warnings)


@pytest.mark.parametrize(
    "fields",
    [{"architectures": ["LlamaModel"]}, {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}],
)
def test_without_a_head_of_its_own_none_is_warned_of(fields: dict[str, Any]) -> None:
    config = {**compressed(INT4), "ignore": ["model.layers.0.mlp"]}
    assert read_checkpoint({"quantization_config": config, **fields}, "config.json")[1] == ()


def test_a_quantised_config_is_predicted_as_it_is_stored() -> None:
    fields = dict(load_model("qwen2.5-7b").fields)
    awq = {**fields, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
    stored_so, asked = predict(awq, "h100"), predict(fields, "h100", dtype="awq")
    assert stored_so.memory == asked.memory
    assert predict(awq, "h100", dtype="bf16").memory == predict(fields, "h100", dtype="bf16").memory


def test_a_refused_checkpoint_can_be_asked_for_in_another_dtype(tmp_path: Any) -> None:
    fields = {**load_model("qwen2.5-7b").fields, "quantization_config": {"quant_method": "aqlm"}}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(fields))
    with pytest.raises(ConfigError, match=r"--set model\.quantization_config=null"):
        predict(file, "h100")
    assert predict(file, "h100", set={"model.quantization_config": None}).request_s > 0


def test_every_method_of_transformers_is_read_or_refused_by_what_it_stores() -> None:
    quantization = pytest.importorskip("transformers.utils.quantization_config")
    methods = {method.value for method in quantization.QuantizationMethod}
    assert methods - set(METHODS) - set(UNREAD) == {"mxfp8"}  # a name that no configuration of theirs has
    assert not set(METHODS) & set(UNREAD)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.floats(allow_nan=False) | st.just(4.0) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "bits group_size zero_point weight_block_size load_in_4bit load_in_8bit bnb_4bit_quant_type config_groups ignore "
    "modules_to_not_convert quantization quant_algo kv_cache_scheme kv_cache_quant_algo quantized_layers dynamic "
    "extra_config data_type quant_type quant_config weights global_quant_config layer_quant_config exclude"
).split()


@given(
    st.sampled_from(sorted(METHODS)),
    st.dictionaries(st.sampled_from(KEYS), JSON | st.just({"g": {"weights": INT4}}), max_size=5),
)
def test_any_options_give_a_recipe_or_one_line(method: str, options: dict[str, Any]) -> None:
    fields = {"quantization_config": {**options, "quant_method": method}}
    try:
        checkpoint, _ = read_checkpoint(fields, "config.json")
    except ConfigError:
        with pytest.raises(ConfigError, match=r"\A[^\n]*\Z"):
            read_checkpoint(fields, "config.json")
    else:
        assert read_recipe(None, default="bf16", checkpoint=checkpoint).name
