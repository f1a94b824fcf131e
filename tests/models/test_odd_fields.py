"""A field that is deleted, nulled or mistyped is counted as transformers counts it, or refused."""

from __future__ import annotations

from random import Random

import pytest
from modules import transformers_count
from odd_fields import changed, contradiction, short_defaults, shortened
from strategies import ARCHITECTURES

from roofline.errors import ConfigError
from roofline.models.families import FAMILIES
from roofline.models.model import load_model

NOT_THEIRS = ("bert-tutorial", "kimi-vl-a3b", "mimo-7b", "step-3")
"""Networks that transformers does not have."""
THEIRS = [name for name in ARCHITECTURES if name not in NOT_THEIRS]
LLAMA_4 = load_model("llama-4-maverick").fields["text_config"]
WITHOUT_PRESET = sorted(set(FAMILIES) - {load_model(name).model_type for name in ARCHITECTURES})


@pytest.mark.parametrize("name", Random(7).sample(THEIRS, 10))
def test_some_odd_fields_are_counted_as_transformers_does_or_refused(name: str) -> None:
    fields = shortened(name)
    for words, odd in Random(name).sample(list(changed(fields)), 4):
        assert contradiction(odd) == "", words


@pytest.mark.parametrize("model_type", Random(11).sample(WITHOUT_PRESET, 6))
def test_some_odd_fields_of_types_without_a_preset(model_type: str) -> None:
    fields = short_defaults(model_type)
    assert load_model(fields).parameters == transformers_count(fields)
    for words, odd in Random(model_type).sample(list(changed(fields)), 4):
        assert contradiction(odd) == "", words


@pytest.mark.slow
@pytest.mark.parametrize("model_type", WITHOUT_PRESET)
def test_every_odd_field_of_a_type_without_a_preset(model_type: str) -> None:
    fields = short_defaults(model_type)
    assert load_model(fields).parameters == transformers_count(fields)
    found = {words: wrong for words, odd in changed(fields) if (wrong := contradiction(odd))}
    assert found == {}


_HEADS_OF_THEIR_OWN = {"mistral-small-3.2-24b": "without tie_word_embeddings"}
"""The published file is silent, and its checkpoint has a head; transformers ties what is silent since its release 5."""


@pytest.mark.slow
@pytest.mark.parametrize("name", THEIRS)
def test_every_odd_field_is_counted_as_transformers_does_or_refused(name: str) -> None:
    fields = shortened(name)
    assert load_model(fields).parameters
    found = {words: wrong for words, odd in changed(fields) if (wrong := contradiction(odd))}
    assert found.keys() <= {_HEADS_OF_THEIR_OWN.get(name)}


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("albert-base-v2", {"num_hidden_groups": 0}, "num_hidden_groups: given 0, expected a whole number from 1 on"),
        ("flan-t5-base", {"relative_attention_num_buckets": 0}, "relative_attention_num_buckets: given 0"),
        ("qwen1.5-moe-a2.7b", {"shared_expert_intermediate_size": 0}, "shared_expert_intermediate_size: given 0"),
        ("mpt-7b", {"n_heads": 3}, "num_attention_heads 3 does not divide hidden_size 4096"),
        ("albert-base-v2", {"inner_group_num": True}, "inner_group_num true is not modelled; expected 1"),
        ("mpt-7b", {"attn_config": []}, "attn_config.alibi: not modelled"),
        ("lfm2-8b-a1b", {"layer_types": []}, "layer_types: given an empty list"),
        ("lfm2-1.2b", {"full_attn_idxs": {}}, "full_attn_idxs: given an empty mapping"),
        ("modernbert-base", {"norm_bias": "x"}, "norm_bias"),
        ("llama-4-text", {"use_qk_norm": 1.5}, "use_qk_norm"),
        ("nomic-embed-text-v1.5", {"num_attention_heads": 0}, "num_attention_heads: given 0"),
        ("deepseek-v4-flash", {"n_shared_experts": 3}, "n_shared_experts 3 is not modelled; expected 1"),
        ("hy3-preview", {"num_shared_experts": 0}, "num_shared_experts: given 0, expected a whole number from 1 on"),
        ("mistral-small-3.2-24b", {"tie_word_embeddings": True}, "given true, and its text_config says false"),
        ("qwen2-audio-7b", {"tie_word_embeddings": True}, "given true, and transformers ties none of qwen2_audio"),
    ],
)
def test_what_says_nothing_is_refused_by_name(name: str, change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as failure:
        load_model({**(LLAMA_4 if name == "llama-4-text" else load_model(name).fields), **change})
    assert words in str(failure.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_global_key_value_heads": 3}, "num_global_key_value_heads 3 does not divide num_attention_heads 16"),
        (
            {"moe_intermediate_size": 0},
            "moe_intermediate_size: given 0, expected a whole number from 1 on, since enable",
        ),
    ],
)
def test_fields_of_gemma_4_that_make_no_layer_are_refused(change: dict[str, int], words: str) -> None:
    fields = load_model("gemma-4-26b-a4b").fields
    with pytest.raises(ConfigError, match=words):
        load_model({**fields, "text_config": {**fields["text_config"], **change}})


def test_one_tower_of_two_is_said_to_be_missing() -> None:
    fields = load_model("qwen2.5-omni-7b").fields
    found = load_model({**fields, "vision_config": None}).warnings
    assert found == ("a mapping: vision_config is missing: what it would state is not counted",)


def test_null_key_heads_of_smollm3_are_as_many_as_query_heads() -> None:
    fields = load_model("smollm3-3b").fields
    assert (
        load_model({**fields, "num_key_value_heads": None}).config
        == load_model({**fields, "num_key_value_heads": fields["num_attention_heads"]}).config
    )
