"""The entries of the families: real fields, each stated once, and the defaults of transformers."""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import Any

import pytest

from roofline.models.families import FAMILIES, LINES
from roofline.models.families.family import Family, Rule, causal
from roofline.models.families.llama_line import LLAMA
from roofline.models.model import load_model
from roofline.models.shapes.config import Config
from roofline.models.shapes.recurrence import Recurrence
from roofline.models.shapes.vision import VisionConfig

NO_DEFAULT = {
    # No field of the configuration's class: what these were trained at, since their positions set no limit.
    ("bloom", "max_position_embeddings"),
    ("mt5", "max_position_embeddings"),
    # The wrapper ties or unties; the configuration of its text part does not say.
    ("qwen2_5_vl_text", "tie_word_embeddings"),
    ("glm4v_text", "tie_word_embeddings"),
    ("qwen2_vl_text", "tie_word_embeddings"),
    ("qwen3_vl_text", "tie_word_embeddings"),
    ("t5", "max_position_embeddings"),
    # Set on its class beside the fields, and true, as in all of BERT's kin.
    ("nomic_bert", "tie_word_embeddings"),
    ("qwen3_omni_moe_text", "tie_word_embeddings"),
}


NOT_THEIRS = ("mimo", "step3_text", "tutorial_encoder")
"""Types that transformers has not."""


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_families_is_named_whole(line: str) -> None:
    table = getattr(import_module(f"roofline.models.families.{line}"), line.upper())
    assert sorted(table) == sorted(LINES[line].split())


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_family_names_real_fields(model_type: str) -> None:
    family = FAMILIES[model_type]
    fields = set(family.config.stated) | {f"recurrence.{field}" for field in Recurrence.stated}
    fields |= {f"images.{field}" for field in VisionConfig.stated}
    assert set(family.rename.values()) | set(family.options) | set(family.fixed) <= fields
    assert all(set(built_in) <= fields for built_in in family.classes.values())
    assert family.classes
    assert issubclass(family.config, Config)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_family_states_each_field_once(model_type: str) -> None:
    family = FAMILIES[model_type]
    assert not set(family.options) & set(family.fixed)
    assert not set(family.only) & family.inert
    assert not family.consumed & (family.inert | set(family.only))
    assert not {*family.rename} & (family.inert | set(family.only))


def defaults_of_transformers(model_type: str) -> Any:
    """What the class of the configuration has where a file says nothing, by path."""
    transformers = pytest.importorskip("transformers")
    fields = transformers.AutoConfig.for_model(model_type).to_dict()
    for block in FAMILIES[model_type].nested:
        inner = fields.get(block) or {}  # some only read what a file nests
        fields |= {f"{block}.{name}": value for name, value in inner.items()}
    return fields


def stated_defaults(family: Family) -> dict[str, Any]:
    """What the absence of an option means, where that is a value: no rule of other fields, nor left to the shape."""
    found = {}
    for option, absent in family.options.items():
        with contextlib.suppress(KeyError):  # derived from a field that an empty file does not have
            found[option] = absent({}) if callable(absent) and not isinstance(absent, Rule) else absent
    return {option: value for option, value in found.items() if value is not None and not isinstance(value, Rule)}


@pytest.mark.parametrize("model_type", [name for name in FAMILIES if name not in NOT_THEIRS])
def test_an_option_that_is_absent_means_what_it_means_in_transformers(model_type: str) -> None:
    family, theirs = FAMILIES[model_type], defaults_of_transformers(model_type)
    called = {option: name for name, option in family.rename.items()}
    for option, value in stated_defaults(family).items():
        names = [name for name in (called.get(option), option) if name in theirs]
        assert names or (model_type, option) in NO_DEFAULT
        assert all(theirs[name] == value for name in names[:1]), option


@pytest.mark.parametrize(
    "model_type",
    [name for name, family in FAMILIES.items() if "num_key_value_heads" in family.options and name not in NOT_THEIRS],
)
def test_key_heads_that_are_absent_are_those_of_transformers(model_type: str) -> None:
    transformers = pytest.importorskip("transformers")
    absent = FAMILIES[model_type].options["num_key_value_heads"]
    ours = absent({}) if callable(absent) else absent
    config = transformers.AutoConfig.for_model(model_type, num_attention_heads=48, hidden_size=960)
    assert config.num_key_value_heads in ((48, None) if ours is None else (ours,))  # Nemotron's module takes no None


def test_a_family_but_for_what_differs() -> None:
    family = LLAMA.but(causal("Other"), without="mlp_bias", options={"norm": "rms"}, fixed={"head_dim": 64})
    assert isinstance(family, Family)
    assert list(family.classes) == ["OtherForCausalLM", "OtherModel"]
    assert set(LLAMA.options) - set(family.options) == {"mlp_bias", "head_dim"}
    assert family.options["norm"] == "rms"
    assert "norm" not in family.fixed
    assert family.fixed["head_dim"] == 64
    assert LLAMA.but() == LLAMA


def test_a_family_cannot_lack_what_the_other_does_not_have() -> None:
    with pytest.raises(KeyError, match="mlp_bais"):
        LLAMA.but(without="mlp_bais")


def test_a_rule_consumes_a_field_that_is_no_option() -> None:
    assert "use_qk_norm" in FAMILIES["cohere"].consumed
    assert FAMILIES["llama"].consumed == {"num_labels", "id2label"}


@pytest.mark.parametrize("preset", ["llama-3.1-8b", "gpt-neox-20b", "granite-3.0-8b"])
def test_a_null_option_is_an_absent_one(preset: str) -> None:
    fields = {key: value for key, value in load_model(preset).fields.items() if key != "attention_bias"}
    assert load_model({**fields, "attention_bias": None}).config == load_model(fields).config


def test_a_rule_does_not_see_a_field_that_is_ignored() -> None:
    """Mistral has no ``attention_bias``: neither its three projections nor the one of the output get a bias."""
    fields = dict(load_model("mistral-7b").fields)
    model = load_model({**fields, "attention_bias": True})
    assert model.config == load_model(fields).config
    assert model.warnings == ("a mapping: field attention_bias is not modelled and was ignored",)


def test_a_mixer_is_as_wide_beside_experts_as_beside_a_dense_layer() -> None:
    """Also where the dense layers happen to be as wide as the mixer, which is as wide as the network (LFM2)."""
    narrow, equal = (
        load_model(
            {
                "model_type": "lfm2_moe",
                "vocab_size": 8,
                "hidden_size": 64,
                "num_attention_heads": 8,
                "num_key_value_heads": 2,
                "intermediate_size": width,
                "moe_intermediate_size": 4,
                "num_hidden_layers": 5,
                "num_dense_layers": 1,
                "layer_types": ["conv"] * 4 + ["full_attention"],
            }
        )
        for width in (63, 64)
    )
    assert equal.parameters - narrow.parameters == 3 * 64
