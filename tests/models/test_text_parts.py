"""The text parts of networks that see: parameters of their modules, and of the text models that they were made of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import check_parameters

from roofline.models.model import load_model

FEW = st.integers(1, 3)
DENSE = {"hidden_size": st.just(48), "num_hidden_layers": FEW, "intermediate_size": FEW, "vocab_size": FEW}
OF_3 = {"head_dim": st.sampled_from((8, 16)), "attention_bias": st.booleans()}
PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2_5_vl_text": ("Qwen2_5_VLTextModel", {}),
    "qwen2_vl_text": ("Qwen2VLTextModel", {}),
    "qwen3_vl_moe_text": (
        "Qwen3VLMoeTextModel",
        {**OF_3, "num_experts": st.integers(3, 5), "num_experts_per_tok": FEW, "moe_intermediate_size": FEW}
        | {"decoder_sparse_step": FEW, "mlp_only_layers": st.lists(st.integers(0, 2), max_size=2)},
    ),
    "qwen3_vl_text": ("Qwen3VLTextModel", OF_3),
}


@pytest.mark.parametrize("model_type", PARTS)
def test_random_text_parts_equal_transformers(model_type: str) -> None:
    pytest.importorskip("transformers")
    name, own = PARTS[model_type]
    heads = st.sampled_from(((4, 2), (6, 1), (3, 3)))

    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.fixed_dictionaries({**DENSE, **own}), heads)
    def equal(fields: dict[str, Any], heads: tuple[int, int]) -> None:
        counts = {"num_attention_heads": heads[0], "num_key_value_heads": heads[1], "max_position_embeddings": 64}
        check_parameters(load_model({"model_type": model_type, "architectures": [name], **fields, **counts}))

    equal()


QWEN25 = dict(load_model("qwen2.5-7b").fields)
QWEN3 = dict(load_model("qwen3-8b").fields)
VISION = {"depth": 32, "hidden_size": 1280}


def without_a_class(fields: dict[str, Any], model_type: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "architectures"} | {"model_type": model_type}


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({**QWEN25, "architectures": ["Qwen2_5_VLForConditionalGeneration"]}, "flat"),
        ({"text_config": without_a_class(QWEN25, "qwen2_5_vl_text"), "tie_word_embeddings": False}, "nested"),
    ],
)
def test_a_flat_file_and_a_nested_one_are_the_same_text_model(fields: dict[str, Any], kind: str) -> None:
    model = load_model({**fields, "model_type": "qwen2_5_vl", "vision_config": VISION})
    assert load_model("qwen2.5-7b").parameters == 7_615_616_512
    assert model.parameters - 7_615_616_512 == 676_550_144, kind
    assert model.warnings == ()


def test_the_text_part_of_qwen3_vl_is_qwen3() -> None:
    text = without_a_class(QWEN3, "qwen3_vl_text")
    model = load_model({"model_type": "qwen3_vl", "text_config": text})
    assert model.parameters == load_model("qwen3-8b").parameters
    assert model.generates
