"""The door of the networks: what load_model takes, and how it refuses the rest."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import model_configs

from roofline.errors import ConfigError
from roofline.files.library import read_yaml
from roofline.models.families import FAMILIES
from roofline.models.model import Model, load_model
from roofline.models.sources import FACTS, PRESETS, find_source, preset_names

LLAMA = dict(load_model("llama-3.1-8b").fields)
QWEN3 = dict(load_model("qwen3-8b").fields)
GPT2 = dict(load_model("gpt2").fields)
GEMMA = dict(load_model("gemma-3-1b").fields)
OPT = dict(load_model("opt-1.3b").fields)
MPT = dict(load_model("mpt-7b").fields)
FALCON = dict(load_model("falcon-7b").fields)
BERT = dict(load_model("bert-base").fields)


def refusal(model: Any, **options: Any) -> str:
    """The text of the ConfigError, which is one line of sane length."""
    with pytest.raises(ConfigError) as caught:
        load_model(model, **options)
    text = str(caught.value)
    assert len(text.splitlines()) == 1, text
    assert len(text) < 500, text
    return text


def without(fields: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in keys}


# Presets


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_named_after_its_file_and_has_a_source(name):
    preset = read_yaml(PRESETS / f"{name}.yaml", ConfigError)
    assert preset["name"] == name
    assert len(preset["source"]) > 20
    model = load_model(name)
    assert (model.name, model.source) == (name, preset["source"])
    assert model.warnings == ()
    assert model.parameters > 10**7


def test_aliases_are_unique_and_lead_to_their_preset():
    presets = {name: read_yaml(PRESETS / f"{name}.yaml", ConfigError) for name in preset_names()}
    aliases = [(alias, name) for name, preset in presets.items() for alias in preset["aliases"]]
    assert len({alias for alias, _ in aliases} | set(presets)) == len(aliases) + len(presets)
    for alias, name in aliases:
        same = [replace(load_model(each), name=name, source="", facts={}) for each in (alias, name)]
        assert same[0] == same[1]
    assert load_model("llama3.1-8b").name == "llama-3.1-8b"  # a spelling of it
    assert (r1 := load_model("DeepSeek-R1")).name == "deepseek-r1"  # a model of its own
    assert r1.source.startswith("the network of deepseek-v3; ")
    ids = [(each, name) for name, preset in presets.items() for each in preset.get("hub", ())]
    assert len({each.lower() for each, _ in ids}) == len(ids)
    for each, name in ids:
        assert find_source(each).name == name


def test_what_is_told_of_a_model_has_a_date_or_a_licence_and_its_source():
    told = [(name, key, fact) for name in preset_names() for key, fact in load_model(name).facts.items()]
    assert len(told) > 15
    for name, key, fact in told:
        assert key in FACTS, name
        assert len(fact.source) > 10, name
        assert (date.fromisoformat(fact.value) > date(2017, 1, 1)) if key == "released" else fact.value, name
    shown = load_model("gpt-oss-20b").to_dict()
    assert shown["licence"] == {"value": "Apache-2.0", "source": "README.md of openai/gpt-oss"}
    assert load_model("gpt2").to_dict()["released"] is None
    assert load_model("deepseek-r1").facts == {}  # the network of another one, which has them


def test_what_a_published_file_has_that_is_not_modelled_is_told_apart_from_the_source():
    models = {name: load_model(name) for name in preset_names()}
    assert [name for name, model in models.items() if re.search(r"\b(without|alone)\b", model.source)] == [
        "laguna-xs.2"  # of whose quantization the preset says nothing
    ]
    assert [name for name, model in models.items() if model.warnings] == []
    heads = {name for name, model in models.items() if any("multi-token" in each for each in model.left_out)}
    assert {"deepseek-v3", "glm-5", "qwen3.5-27b", "minimax-m3", "nemotron-3-super-120b-a12b", "hy3-preview"} < heads
    published = models["deepseek-v3"]
    assert published.to_dict()["left_out"] == ["its multi-token prediction (1) is not counted"]
    own = load_model({**published.fields, "strange": 1, "vision_config": None})
    assert own.left_out == (*published.left_out, "field strange is not read")
    assert own.warnings[0] == f"a mapping: {published.left_out[0]}"
    assert load_model("gemma-3n-e2b").left_out == ("its towers of images and sound are not counted",)
    assert load_model("llama-3.1-8b").left_out == ()


def test_an_unknown_preset_gets_near_matches():
    assert refusal("lama-3.1-8b") == ('unknown model "lama-3.1-8b"; did you mean llama-3.1-8b? (roofline models list)')


def test_an_unknown_preset_unlike_any_gets_what_is_known():
    assert "known by kind: " in refusal("zzzzzz")


# Fields


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "a mapping: has no model_type; known: afmoe, albert, apertus, "),
        (
            {"_class_name": "DiTTransformer2DModel"},
            'a mapping: "DiTTransformer2DModel" of diffusers is not modelled; trace',
        ),
        (
            {"architectures": ["Qwen3ForCausalLM"]},
            'has no model_type; "Qwen3ForCausalLM" is of qwen3: --set model.model_type=qwen3',
        ),
        (
            {**LLAMA, "architectures": ["Qwen3ForCausalLM"]},
            'architectures "Qwen3ForCausalLM" is no class of model_type "llama"; that is of model_type qwen3',
        ),
        ({**LLAMA, "model_type": "lama"}, 'model_type "lama" is not modelled; did you mean llama?'),
        ({**LLAMA, "model_type": "rwkv"}, 'model_type "rwkv" is not modelled; '),
        ({**LLAMA, "model_type": ["llama"]}, "model_type a list is not modelled"),
        ({**LLAMA, "model_type": "x" * 10_000}, "is not modelled"),
        (without(LLAMA, "hidden_size"), "hidden_size: missing, expected a whole number"),
        ({**LLAMA, "hidden_size": None}, "hidden_size: missing, expected a whole number"),
        (without(GPT2, "n_embd"), "n_embd"),  # under the family's own name for it
        (without(BERT, "vocab_size"), "vocab_size: missing, expected a whole number"),
        ({**BERT, "num_attention_heads": 7}, "num_attention_heads 7 does not divide hidden_size 768"),
        ({**LLAMA, "num_key_value_heads": 5}, "num_key_value_heads 5 does not divide num_attention_heads 32"),
        ({**LLAMA, "num_key_value_heads": 0}, "num_key_value_heads: given 0, expected at least 1"),
        ({**LLAMA, "hidden_size": "4096"}, 'hidden_size: given "4096", expected a whole number'),
        ({**LLAMA, "hidden_size": 4096.5}, "hidden_size: given 4096.5, expected a whole number"),
        ({**LLAMA, "num_hidden_layers": True}, "num_hidden_layers: given true, expected a whole number"),
        ({**LLAMA, "vocab_size": [32000]}, "vocab_size: given a list, expected a whole number"),
        ({**LLAMA, "intermediate_size": math.nan}, "intermediate_size: given nan, expected a whole number"),
        ({**without(GPT2, "n_inner"), "n_embd": math.inf}, "n_embd: given inf, expected a whole number"),
        ({**without(GPT2, "n_inner"), "n_embd": "wide"}, 'n_embd: given "wide", expected a whole number'),
        (
            {**LLAMA, "intermediate_size": -1},
            "intermediate_size: given -1, expected at least 1",
        ),
        ({**LLAMA, "num_hidden_layers": 0}, "num_hidden_layers: given 0, expected at least 1"),
        ({**LLAMA, "vocab_size": 10**30}, "vocab_size: "),
        ({**LLAMA, "tie_word_embeddings": "yes"}, 'tie_word_embeddings: given "yes", expected true or false'),
        ({**LLAMA, "hidden_act": "sliu"}, 'activation "sliu" is not modelled; did you mean silu?'),
        (
            {**LLAMA, "quantization_config": {"bits": 4}},
            "quant_method nothing of quantization_config is not modelled",
        ),
        ({**QWEN3, "use_sliding_window": "yes"}, 'use_sliding_window: given "yes", expected true or false'),
        (
            {**QWEN3, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": -1},
            "max_window_layers: given -1, expected a whole number from 0 on",
        ),
        ({**QWEN3, "layer_types": ["full_attention"]}, "layer_types has 1 entries, expected one for each of 36 layers"),
        ({**QWEN3, "layer_types": ["sliding_attention"] * 36}, "sliding_window: missing, expected a whole number"),
        ({**QWEN3, "layer_types": ["odd_attention"] * 36}, 'layer_types.0: given "odd_attention"'),
        ({**QWEN3, "layer_types": 3}, "layer_types: given 3, expected a list"),
        ({**LLAMA, "num_hidden_layers": 10**6}, "num_hidden_layers: given 1000000, expected at most 10000"),
        (
            {**LLAMA, "rope_scaling": {"type": "spiral"}},
            'rope_scaling of kind "spiral" is not modelled; known: default',
        ),
        (
            {**GEMMA, "rope_parameters": {"full_attention": {"rope_type": "yarm"}}},
            'rope_parameters of kind "yarm" is not modelled; did you mean yarn?',
        ),
        ({**GEMMA, "use_bidirectional_attention": True}, "use_bidirectional_attention true is not modelled"),
        ({**OPT, "word_embed_proj_dim": 512}, "word_embed_proj_dim: not modelled; expected hidden_size 2048"),
        ({**MPT, "attn_config": {"alibi": False}}, "attn_config.alibi: not modelled; expected true"),
        ({**MPT, "attn_config": 3}, "attn_config.alibi: not modelled"),
        ({**FALCON, "num_ln_in_parallel_attn": 3}, "num_ln_in_parallel_attn: given 3, expected 1 or 2"),
        ({**LLAMA, "architectures": ["LlamaForCausal"]}, "did you mean LlamaForCausalLM?"),
        ({**LLAMA, "architectures": 3}, "architectures 3 is not modelled"),
        ({**BERT, "is_decoder": True}, "is_decoder true is not modelled; expected false"),
        ({**BERT, "position_embedding_type": "relative_key"}, 'position_embedding_type "relative_key" is not modelled'),
        ({**LLAMA, "is_encoder_decoder": True}, "is_encoder_decoder true is not modelled"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_field_that_is_refused_is_named(fields, text):
    assert text in refusal(fields)


@pytest.mark.parametrize("value", [["silu"], {"name": "silu"}, 3, True, "s" * 10_000, "a\nb"])
def test_an_activation_of_a_wrong_type_is_refused(value):
    assert "hidden_act" in refusal({**LLAMA, "hidden_act": value})


def test_a_number_too_long_to_print_is_refused():
    assert "hidden_size" in refusal({**LLAMA, "hidden_size": 10**5000})


def test_overrides_are_checked_as_fields_are():
    assert "llama-2-7b: num_key_value_heads 5 does not divide" in refusal(
        "llama-2-7b", overrides={"num_key_value_heads": 5}
    )
    assert load_model("llama-2-7b", overrides={"num_hidden_layers": 1}).parameters < 10**9


def test_an_unknown_field_gives_a_warning():
    model = load_model({**LLAMA, "rope_flavour": "new", "a_field": 1})
    assert model.warnings == (
        "a mapping: field a_field is not modelled and was ignored",
        "a mapping: field rope_flavour is not modelled and was ignored",
    )
    assert model.parameters == load_model(LLAMA).parameters


def test_a_field_that_asks_for_nothing_gives_no_warning():
    model = load_model({**LLAMA, "rope_flavour": None, "heads_to_skip": [], "with_extras": False})
    assert model.warnings == ()
    assert model.unread == ("heads_to_skip", "rope_flavour", "with_extras")
    assert model.ignored == ()


@pytest.mark.parametrize(
    ("model_type", "more", "hint"),
    [
        ("lama", {}, "did you mean llama?"),
        ("llava", {}, "nearest by its fields: llama, "),
        ("exaone5", {"layer_types": [], "sliding_window": 4096}, "nearest by its fields: "),
        ("glm9_glow", {"glow": 1, "shine": 2, "light": 3, "lamp": 4}, "no modelled type has its fields"),
        ("aria", {"text_config": {"model_type": "aria_text"}}, "no modelled type has its fields"),
    ],
)
def test_a_hint_is_a_misspelling_or_what_reads_the_fields(model_type, more, hint):
    assert hint in refusal({**LLAMA, "model_type": model_type, **more})


READ = """
afmoe apertus arcee cohere2 cohere2_moe deepseek_v32 deepseek_v4 dots1 ernie4_5 ernie4_5_moe exaone4
gemma3n_text gemma4_text glm4_moe glm_moe_dsa granitemoe gte hunyuan_v1_dense hunyuan_v1_moe
jina_embeddings_v3 mimo minimax_m2 minimax_m3_vl_text ministral3 nomic_bert olmo3 phimoe qwen2_5_vl_text
qwen3_vl_moe_text qwen3_vl_text seed_oss step3_text step3p5
"""
REFUSED = "dinov2 dinov3_vit flux hubert rwkv siglip step3 t5gemma wan wav2vec2 zamba2"
"""Types of published files that came up as refused: those that are read, and those that are not yet."""


def test_types_of_published_files_are_read_or_refused_by_name():
    assert set(READ.split()) <= set(FAMILIES)
    for model_type in REFUSED.split():
        assert f'model_type "{model_type}" is not modelled' in refusal({**LLAMA, "model_type": model_type})


def test_an_unknown_type_of_remote_code_is_refused_for_its_type():
    message = refusal({**LLAMA, "model_type": "phi5", "auto_map": {"AutoModel": "m.M"}})
    assert 'model_type "phi5" is not modelled' in message
    assert "auto_map" not in message


# Files as they are published


def test_remote_code_of_a_known_type_is_noted_once():
    model = load_model({**LLAMA, "auto_map": {"AutoConfig": "configuration_x.XConfig"}})
    assert model.parameters == load_model(LLAMA).parameters
    assert model.warnings == ("a mapping: auto_map is not run: llama is modelled as transformers has it",)


def test_kimi_k2_has_the_fields_of_deepseek_v3():
    fields = {**load_model("kimi-k2").fields, "model_type": "kimi_k2"}
    model = load_model(fields)
    assert (model.model_type, model.parameters) == ("deepseek_v3", 1_026_408_209_408)


def test_a_wrapper_stands_for_its_text_model():
    text = {
        "model_type": "qwen3_5_text",
        "attn_output_gate": True,
        "hidden_size": 5120,
        "intermediate_size": 17408,
        "num_hidden_layers": 64,
        "num_attention_heads": 24,
        "num_key_value_heads": 4,
        "linear_num_value_heads": 48,
        "max_position_embeddings": 262144,
        "mlp_only_layers": [],
        "vocab_size": 248320,
        "mtp_num_hidden_layers": 1,
    }
    wrapper = {"model_type": "qwen3_5", "architectures": ["Qwen3_5ForConditionalGeneration"], "text_config": text}
    model = load_model({**wrapper, "tie_word_embeddings": False})
    assert (model.model_type, model.parameters) == ("qwen3_5_text", 26_895_998_464)
    assert model.warnings == (
        'a mapping: the text model of "qwen3_5" alone is read',
        "a mapping: its multi-token prediction (1) is not counted",
    )
    whole = load_model(
        {**wrapper, "vision_config": {"depth": 27, "out_hidden_size": 5120}, "tie_word_embeddings": False}
    )
    assert (whole.model_type, whole.parameters) == ("qwen3_5", 27_356_728_560)
    assert whole.warnings == ("a mapping: its multi-token prediction (1) is not counted",)
    tied = load_model({**wrapper, "tie_word_embeddings": True})
    assert tied.parameters == model.parameters - 5120 * 248320
    assert load_model(wrapper, overrides={"num_hidden_layers": 32}).config.num_hidden_layers == 32


def test_fields_that_a_wrapper_leaves_to_transformers():
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    assert load_model({"model_type": "gemma3", "text_config": text}).parameters == 3_880_263_168  # of Gemma 3 4B


@pytest.mark.parametrize(
    ("scaling", "positions"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131_072),
        ({"type": "yarn", "factor": 2}, 81_920),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 40_960),
        ({"rope_type": "yarn", "factor": "4"}, 40_960),
        (None, 40_960),
    ],
)
def test_yarn_allows_more_positions(scaling, positions):
    assert load_model({**QWEN3, "rope_scaling": scaling}).lengths.positions == positions


def test_a_file_that_lists_every_layer_and_infinity_are_read(tmp_path):
    fields = {**LLAMA, "time_step_limit": [0.0, math.inf], "quantization_config": None, "notes": ["x" * 1000] * 3100}
    (tmp_path / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    assert (tmp_path / "config.json").stat().st_size > 3_000_000
    assert load_model(tmp_path).parameters == load_model(LLAMA).parameters


def test_a_field_with_two_values_is_refused(tmp_path):
    path = tmp_path / "config.json"
    fields = json.dumps(LLAMA)
    path.write_text(fields.replace("{", f'{{"hidden_size": {LLAMA["hidden_size"]}, ', 1), encoding="utf-8")
    assert load_model(path).parameters == load_model(LLAMA).parameters
    path.write_text(fields.replace("{", '{"hidden_size": 1, ', 1), encoding="utf-8")
    with pytest.raises(ConfigError, match="hidden_size is given twice, 1 and "):
        load_model(path)


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B", "META-LLAMA/llama-3.1-8b-instruct"])
def test_the_hub_id_of_a_preset_is_the_preset(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", None)
    assert load_model(name) == load_model("llama-3.1-8b")


def test_a_path_that_leads_nowhere_never_asks_the_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", None)
    assert refusal("configs/lama").startswith("configs/lama: no such file or folder")


def test_a_warning_is_one_line():
    (warning,) = load_model({**LLAMA, "two\nlines": 1}).warnings
    assert len(warning.splitlines()) == 1


@pytest.mark.parametrize(
    ("fields", "stray"),
    [
        (GPT2, {"num_key_value_heads": 3}),  # transformers' GPT2Config has none of these
        (GPT2, {"head_dim": 8}),
        (QWEN3, {"mlp_bias": True}),
        (LLAMA, {"query_key_norm": True}),
        (LLAMA, {"packed_qkv": True}),
        (LLAMA, {"attention_out_bias": True}),
        (BERT, {"blocks": "plain"}),
        (BERT, {"head": "linear"}),
    ],
    ids=lambda value: "-".join(value) if len(value) == 1 else value["model_type"],
)
def test_a_field_of_another_family_changes_nothing_and_says_so(fields, stray):
    """A shape's own option is no field of the family: transformers would ignore it."""
    model = load_model({**fields, **stray})
    assert model.parameters == load_model(fields).parameters
    assert model.program() == load_model(fields).program()
    assert model.warnings == tuple(f"a mapping: field {key} is not modelled and was ignored" for key in stray)


# Files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = tmp_path / "my-llama" / "config.json"
    file.parent.mkdir()
    file.write_text(json.dumps(LLAMA), encoding="utf-8")
    return file.parent


def test_a_file_and_its_folder_are_the_preset(folder):
    preset = load_model("llama-3.1-8b")
    for path in (folder, str(folder), folder / "config.json", str(folder / "config.json")):
        model = load_model(path)
        assert (model.name, model.config, model.program()) == ("my-llama", preset.config, preset.program())
        assert model.source == str(folder / "config.json")
        assert model.warnings == ()


def test_a_file_of_another_name(folder):
    other = (folder / "config.json").rename(folder / "tiny.json")
    assert load_model(other).name == "tiny"


def test_a_mapping_is_the_preset():
    for preset in preset_names():
        assert load_model(json.loads(json.dumps(load_model(preset).fields))).config == load_model(preset).config, preset


def test_what_transformers_writes_loads_without_warnings(tmp_path):
    transformers = pytest.importorskip("transformers")
    for preset in (
        "bert-base",
        "gpt2",
        "llama-3.1-8b",
        "qwen3-8b",
        "gemma-2-2b",
        "gemma-3-1b",
        "mistral-7b",
        "falcon-7b",
        "opt-1.3b",
        "phi-2",
        "phi-4",
        "smollm3-3b",
        "olmo-2-7b",
        "starcoder2-3b",
        "gpt-neox-20b",
    ):
        model = load_model(preset)
        fields = {key: value for key, value in model.fields.items() if key != "model_type"}
        transformers.AutoConfig.for_model(model.model_type, **fields).save_pretrained(tmp_path / preset)
        written = load_model(tmp_path / preset)
        assert written.warnings == ()
        assert written.config == model.config


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[1, 2]", "config.json: holds a list, expected an object with the model's fields"),
        ("3", "config.json: holds 3, expected an object"),
        ("null", "config.json: holds nothing, expected an object"),
        ('{"model_type": "llama",\n "hidden_size": }', "config.json:2: "),
        ("", "config.json:1: an empty file; expected a Hugging Face config.json"),
        ("\n<!DOCTYPE html><html>", "config.json:2: a page of HTML; expected a Hugging Face config.json"),
        (
            "version https://git-lfs.github.com/spec/v1\n",
            "config.json: a pointer of Git LFS, not the file; git lfs pull",
        ),
        ('{"model_type": "llama", "hidden_size": NaN}', "config.json: hidden_size: given nan, expected a whole number"),
        ('{"model_type": "llama", "hidden_size": -Infinity}', "hidden_size: given -inf, expected a whole number"),
        ("[" * 100_000, "config.json: "),
        ('{"hidden_size": ' + "9" * 5000 + "}", "config.json: "),
        ("\ufeff{}", "config.json: has no model_type"),
        ("{}", "config.json: has no model_type"),
    ],
    ids=[
        *("list", "number", "null", "broken", "empty", "html", "pointer", "nan", "infinity", "deep", "long-number"),
        *("byte-order-mark", "nothing"),
    ],
)
def test_a_file_that_is_refused(tmp_path, content, text):
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    assert text in refusal(tmp_path)


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00{}")
    assert "config.json: not UTF-8 text" in refusal(tmp_path)


def test_a_file_with_an_error_names_itself(folder):
    (folder / "config.json").write_text(json.dumps(without(LLAMA, "hidden_size")), encoding="utf-8")
    assert refusal(folder).startswith(f"{folder / 'config.json'}: hidden_size: missing, expected a whole number")


def test_a_folder_without_a_configuration(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path / 'config.json'}: no such file"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        (
            "adapter_config.json",
            '{"base_model_name_or_path": "meta-llama/Llama-3.1-8B", "peft_type": "LORA", "r": 16}',
            'it is of an adapter: predict its base model, "meta-llama/Llama-3.1-8B", with --lora 1x16',
        ),
        (
            "model_index.json",
            '{"_class_name": "FluxPipeline"}',
            '"FluxPipeline" of diffusers is not modelled; trace it',
        ),
        ("params.json", "{}", "no such file; params.json is the publisher's own form"),
        ("x.gguf", "", "no such file; x.gguf is a model of its own: give its path"),
    ],
)
def test_a_folder_without_a_configuration_tells_what_it_holds(tmp_path, name, content, text):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert text in refusal(tmp_path)


def test_a_file_of_windows_is_read(tmp_path):
    (tmp_path / "config.json").write_text("\ufeff" + json.dumps(LLAMA), encoding="utf-8")
    assert load_model(tmp_path).config == load_model(LLAMA).config


def test_a_file_that_is_absent(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.json")
    assert "no such file" in refusal(tmp_path / "absent" / "model")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    assert "config.json: not a regular file" in refusal(tmp_path)


def test_a_loop_of_links(tmp_path):
    (tmp_path / "config.json").symlink_to(tmp_path / "other.json")
    (tmp_path / "other.json").symlink_to(tmp_path / "config.json")
    assert str(tmp_path / "config.json") in refusal(tmp_path)


def test_a_lone_link_is_a_file_and_not_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").symlink_to("there")
    (tmp_path / "there").symlink_to("here")
    message = refusal("here")
    assert "here: " in message
    assert "unknown model" not in message


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(100_000_000)  # sparse: takes no room
    assert "config.json: 100000000 bytes, expected at most" in refusal(tmp_path)


@pytest.mark.parametrize("path", ["a/\0/b", "x/z/" + "y" * 300, "a\0.json"])
def test_a_path_that_is_none(path):
    refusal(path)


# Fuzz

SEEDS = (LLAMA, QWEN3, GPT2, BERT, GEMMA, OPT, MPT, FALCON)
_NAMES = sorted({key for fields in SEEDS for key in fields} | {"auto_map", "head_dim", "head"})
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 300)
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(sorted(FAMILIES))
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """A configuration with a few fields dropped, replaced or added."""
    fields = copy.copy(draw(st.sampled_from(SEEDS) | model_configs()))
    for _ in range(draw(st.integers(1, 4))):
        key = draw(st.sampled_from([*_NAMES, *fields]) | st.text(max_size=8))
        if draw(st.booleans()):
            fields.pop(key, None)
        else:
            fields[key] = draw(_VALUES)
    return fields


def lines_of(fields: dict[str, Any]) -> list[str]:
    """What a user reads: the refusal, or the warnings of a model that counts. Never another exception."""
    try:
        model = load_model(fields)
    except ConfigError as refused:
        return [str(refused)]
    assert isinstance(model, Model)
    assert model.parameters > 0
    return list(model.warnings)


def check_mutant(fields: dict[str, Any]) -> None:
    assert all(len(text.splitlines()) == 1 for text in lines_of(fields))


@settings(max_examples=100, deadline=None)
@given(fields=mutants())
def test_fuzz(fields):
    check_mutant(fields)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fields=mutants())
def test_fuzz_at_length(fields):
    check_mutant(fields)


def test_a_hub_out_of_reach_is_one_line(monkeypatch, caplog):
    def unreachable(*_):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise OSError

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    assert "the hub has no config.json for this id (OSError)" in refusal("hf:owner/name")
    assert not caplog.records


def test_names_ignore_case() -> None:
    assert load_model("GPT-OSS-120b").name == "gpt-oss-120b"
    assert load_model("Llama-3.1-8B").name == load_model("llama-3.1-8b").name


def test_a_name_that_is_too_long_for_a_file_is_unknown() -> None:
    with pytest.raises(ConfigError, match=r"^unknown model"):
        load_model("x" * 5000)


# As published


@pytest.mark.parametrize(
    ("name", "recipe"),
    [("deepseek-v3", "fp8-block"), ("kimi-k2", "fp8-block"), ("gpt-oss-120b", "mxfp4+experts"), ("llama-3.1-8b", "")],
)
def test_a_preset_has_the_precision_that_it_was_published_in(name, recipe):
    assert load_model(name).checkpoint.recipe == recipe


@pytest.mark.parametrize(("field", "dtype"), [("mamba_ssm_dtype", "float32"), ("mamba_ssm_cache_dtype", "bfloat16")])
def test_the_dtype_of_states_is_that_of_the_file(field, dtype):
    text = load_model("qwen3.5-9b").fields["text_config"]
    fields = {key: value for key, value in text.items() if key != "mamba_ssm_dtype"}
    assert load_model({**fields, field: dtype}).checkpoint.state == {"float32": "fp32", "bfloat16": "bf16"}[dtype]
    assert load_model(fields).checkpoint.state == ""
    assert 'mamba_ssm_dtype "float8" is not modelled' in refusal({**fields, "mamba_ssm_dtype": "float8"})
