"""Small random networks that see, with Hugging Face field names, and what their modules are run on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

FEW = st.integers(1, 3)
Draw = Callable[[st.DrawFn], dict[str, Any]]


def text_of(draw: st.DrawFn, model_type: str, **more: Any) -> dict[str, Any]:
    """A small text model of a type."""
    heads, kv_heads = draw(st.sampled_from(((4, 2), (2, 1), (3, 3))))
    return {
        "model_type": model_type,
        "hidden_size": heads * 16,
        "num_hidden_layers": draw(FEW),
        "intermediate_size": draw(st.integers(1, 9)),
        "vocab_size": 7,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 64,
        **more,
    }


def _qwen_tower(draw: st.DrawFn, width: int, **more: Any) -> dict[str, Any]:
    heads = draw(FEW)
    return {
        "depth": draw(FEW),
        "hidden_size": 16 * heads,
        "intermediate_size": draw(st.integers(1, 9)),
        "num_heads": heads,
        "in_channels": draw(FEW),
        "patch_size": draw(st.sampled_from((2, 4))),
        "spatial_merge_size": draw(st.sampled_from((1, 2))),
        "temporal_patch_size": draw(st.sampled_from((1, 2))),
        "out_hidden_size": width,
        **more,
    }


def _qwen2(draw: st.DrawFn) -> dict[str, Any]:
    text = text_of(draw, "qwen2_vl_text")
    tower = _qwen_tower(draw, 0, mlp_ratio=draw(FEW), embed_dim=32, num_heads=2)
    tower |= {"hidden_size": text["hidden_size"]}
    for name in ("out_hidden_size", "intermediate_size"):
        del tower[name]
    return {"text_config": text, "vision_config": tower}


def _qwen2_5(draw: st.DrawFn) -> dict[str, Any]:
    text = text_of(draw, "qwen2_5_vl_text")
    tower = _qwen_tower(draw, text["hidden_size"], fullatt_block_indexes=draw(st.sampled_from(([], [0], [1, 2]))))
    tower["window_size"] = tower["patch_size"] * tower["spatial_merge_size"] * draw(FEW)
    return {"text_config": text, "vision_config": tower}


def _qwen3(text_type: str, **of_text: Any) -> Draw:
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        text = text_of(draw, text_type, head_dim=16, **of_text)
        tower = _qwen_tower(draw, text["hidden_size"], num_position_embeddings=draw(FEW) ** 2)
        if "3_5" not in text_type:
            tower["deepstack_visual_indexes"] = draw(st.sampled_from(([], [0])))
        return {"text_config": text, "vision_config": tower}

    return drawn


_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 5}

SEEN: dict[str, tuple[str, Draw]] = {
    "qwen2_5_vl": ("Qwen2_5_VLForConditionalGeneration", _qwen2_5),
    "qwen2_vl": ("Qwen2VLForConditionalGeneration", _qwen2),
    "qwen3_5": ("Qwen3_5ForConditionalGeneration", _qwen3("qwen3_5_text")),
    "qwen3_5_moe": ("Qwen3_5MoeForConditionalGeneration", _qwen3("qwen3_5_moe_text", **_EXPERTS)),
    "qwen3_vl": ("Qwen3VLForConditionalGeneration", _qwen3("qwen3_vl_text")),
    "qwen3_vl_moe": ("Qwen3VLMoeForConditionalGeneration", _qwen3("qwen3_vl_moe_text", **_EXPERTS)),
}
"""``model_type`` -> its class, and how a small one is drawn."""


@st.composite
def seeing_configs(draw: st.DrawFn, model_type: str) -> dict[str, Any]:
    """A small network of a type that sees."""
    name, drawn = SEEN[model_type]
    return {"model_type": model_type, "architectures": [name], "tie_word_embeddings": False, **drawn(draw)}
