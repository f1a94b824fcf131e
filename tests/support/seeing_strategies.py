"""Small random networks that see or hear, with Hugging Face field names, and what their modules are run on."""

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


def _square(draw: st.DrawFn, model_type: str, **more: Any) -> dict[str, Any]:
    """A small tower of square images of 4 x 4 patches."""
    heads, patch = draw(FEW), draw(st.sampled_from((2, 3)))
    return {
        "model_type": model_type,
        "hidden_size": 16 * heads,
        "intermediate_size": draw(st.integers(1, 9)),
        "num_hidden_layers": draw(FEW),
        "num_attention_heads": heads,
        "num_channels": draw(FEW),
        "patch_size": patch,
        "image_size": 4 * patch,
        **more,
    }


def _gemma3(draw: st.DrawFn) -> dict[str, Any]:
    text = text_of(draw, "gemma3_text", head_dim=16)
    tower = _square(draw, "siglip_vision_model", vision_use_head=False)
    return {"text_config": text, "vision_config": tower, "mm_tokens_per_image": draw(st.sampled_from((1, 4, 16)))}


def _cohere2(draw: st.DrawFn) -> dict[str, Any]:
    tower = _square(draw, "siglip_vision_model", vision_use_head=False)
    more = {"alignment_intermediate_size": 2 * draw(FEW), "downsample_factor": draw(st.sampled_from((1, 2, 4)))}
    return {"text_config": text_of(draw, "cohere2", sliding_window=9), "vision_config": tower, **more}


def _llava(draw: st.DrawFn) -> dict[str, Any]:
    tower = _square(draw, "clip_vision_model")
    bias = draw(st.booleans())
    return {"text_config": text_of(draw, "llama"), "vision_config": tower, "multimodal_projector_bias": bias}


def _llava_next(draw: st.DrawFn) -> dict[str, Any]:
    drawn = _llava(draw)
    side = drawn["vision_config"]["image_size"]
    return {**drawn, "image_grid_pinpoints": [[side, 2 * side], [2 * side, side], [2 * side, 2 * side]]}


def _mistral3(draw: st.DrawFn) -> dict[str, Any]:
    tower = _square(draw, "pixtral", hidden_act="silu")
    text = text_of(draw, "mistral", head_dim=16)
    more = {"spatial_merge_size": draw(st.sampled_from((1, 2))), "multimodal_projector_bias": draw(st.booleans())}
    return {"text_config": text, "vision_config": tower, **more}


def _llama4(draw: st.DrawFn) -> dict[str, Any]:
    tower = _square(draw, "llama4_vision_model", projector_input_dim=draw(FEW))
    tower["intermediate_size"] = 4 * tower["hidden_size"]
    tower["projector_output_dim"] = tower["vision_output_dim"] = tower["projector_input_dim"]
    own = {"num_local_experts": 3, "num_experts_per_tok": 1, "intermediate_size_mlp": draw(FEW), "head_dim": 16}
    return {"text_config": text_of(draw, "llama4_text", **own), "vision_config": tower}


def _internvl(draw: st.DrawFn) -> dict[str, Any]:
    flags = {name: draw(st.booleans()) for name in ("attention_bias", "use_qk_norm", "use_mean_pooling")}
    tower = _square(draw, "internvl_vision", norm_type=draw(st.sampled_from(("layer_norm", "rms_norm"))), **flags)
    tower["use_mean_pooling"] |= tower["norm_type"] == "rms_norm"  # else its last norm is of another kind
    tower |= {name: [tower[name]] * 2 for name in ("image_size", "patch_size")}
    return {"text_config": text_of(draw, "qwen2"), "vision_config": tower}


def _kimi(draw: st.DrawFn) -> dict[str, Any]:
    latents = {"kv_lora_rank": 8, "q_lora_rank": None, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
    routed = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 3, "n_group": 1,
              "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1}  # fmt: skip
    text = text_of(draw, "deepseek_v3", **latents, **routed)
    text["num_key_value_heads"] = text["num_attention_heads"]
    tower = _square(draw, "kimi_k25_vision", pos_emb_height=draw(FEW), num_channels=3)
    tower["pos_emb_width"] = tower["pos_emb_height"]
    for name in ("image_size", "num_channels"):
        del tower[name]
    return {"text_config": text, "vision_config": tower, "projection_hidden_size": tower["hidden_size"]}


def _paligemma(draw: st.DrawFn) -> dict[str, Any]:
    text = text_of(draw, "gemma", head_dim=16)
    tower = _square(draw, "siglip_vision_model", vision_use_head=False)
    return {"text_config": text, "vision_config": tower, "projection_dim": text["hidden_size"]}


def _idefics3(kind: str) -> Draw:
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        tower = _square(draw, f"{kind}_vision")
        scale = draw(st.sampled_from((1, 2, 4)))
        return {"text_config": text_of(draw, "llama"), "vision_config": tower, "scale_factor": scale}

    return drawn


def _lfm2(draw: st.DrawFn) -> dict[str, Any]:
    text = text_of(draw, "lfm2", block_auto_adjust_ff_dim=False, conv_L_cache=3)
    text["layer_types"] = ["full_attention", "conv", "conv"][: text["num_hidden_layers"]]
    tower = _square(draw, "siglip2_vision_model", vision_use_head=False, num_patches=draw(st.sampled_from((4, 9))))
    del tower["image_size"]
    projector = {"projector_hidden_size": draw(FEW), "projector_bias": draw(st.booleans())}
    projector |= {"projector_use_layernorm": draw(st.booleans()), "downsample_factor": draw(st.sampled_from((1, 2)))}
    return {"text_config": text, "vision_config": tower, **projector}


def _minimax(draw: st.DrawFn) -> dict[str, Any]:
    routed = {"num_local_experts": 4, "num_experts_per_tok": 2, "dense_intermediate_size": 3}
    indexed = {"index_head_dim": 16, "index_n_heads": 2, "rotary_dim": 8, "shared_intermediate_size": 5}
    text = text_of(draw, "minimax_m3_vl_text", head_dim=16, **routed, **indexed)
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 64}
    tower = _square(draw, "minimax_m3_vl_vision", spatial_merge_size=draw(st.sampled_from((1, 2))))
    tower["temporal_patch_size"] = draw(st.sampled_from((1, 2)))
    return {"text_config": text, "vision_config": tower, "projector_hidden_size": draw(FEW)}


def _glm4v(draw: st.DrawFn) -> dict[str, Any]:
    text = text_of(draw, "glm4v_text")
    return {"text_config": text, "vision_config": _glm_tower(draw, text["hidden_size"])}


def _glm4v_moe(draw: st.DrawFn) -> dict[str, Any]:
    routed = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 3, "n_group": 1,
              "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1}  # fmt: skip
    text = text_of(draw, "glm4v_moe_text", **routed)
    return {"text_config": text, "vision_config": _glm_tower(draw, text["hidden_size"])}


def _glm_tower(draw: st.DrawFn, width: int) -> dict[str, Any]:
    tower = _qwen_tower(draw, width, attention_bias=draw(st.booleans()))
    return tower | {"image_size": tower["patch_size"] * draw(FEW)}


def _gemma4(draw: st.DrawFn) -> dict[str, Any]:
    own = {"hidden_size_per_layer_input": draw(st.sampled_from((0, 2))), "vocab_size_per_layer_input": 7}
    text = text_of(draw, "gemma4_text", head_dim=16, global_head_dim=16, **own)
    sizes = {"position_embedding_size": draw(st.integers(6, 9)), "pooling_kernel_size": 2, "head_dim": 16}
    tower = _square(draw, "gemma4_vision", **sizes)
    tower["num_key_value_heads"] = tower["num_attention_heads"]
    for name in ("image_size", "num_channels"):
        del tower[name]
    return {"text_config": text, "vision_config": tower, "audio_config": None}


def _sound(draw: st.DrawFn, **more: Any) -> dict[str, Any]:
    heads, inner = draw(FEW), draw(st.sampled_from((1, 2, 4)))
    return {
        "d_model": 16 * heads,
        "encoder_layers": draw(FEW),
        "encoder_attention_heads": heads,
        "encoder_ffn_dim": 16 * heads * inner,
        "num_mel_bins": draw(st.integers(1, 9)),
        "max_source_positions": 20,
        **more,
    }


def _qwen2_audio(draw: st.DrawFn) -> dict[str, Any]:
    tower = _sound(draw, model_type="qwen2_audio_encoder")
    return {"text_config": text_of(draw, "qwen2"), "audio_config": tower}


_VOXTRAL = {"d_model": "hidden_size", "encoder_layers": "num_hidden_layers",
            "encoder_attention_heads": "num_attention_heads", "encoder_ffn_dim": "intermediate_size"}  # fmt: skip


def _voxtral(draw: st.DrawFn) -> dict[str, Any]:
    tower = {_VOXTRAL.get(name, name): value for name, value in _sound(draw, model_type="voxtral_encoder").items()}
    return {"text_config": text_of(draw, "llama", head_dim=16), "audio_config": tower}


def _qwen2_5_omni(draw: st.DrawFn) -> dict[str, Any]:
    text = text_of(draw, "qwen2_5_omni_text")
    tower = _qwen_tower(draw, text["hidden_size"], fullatt_block_indexes=[0])
    tower["window_size"] = tower["patch_size"] * tower["spatial_merge_size"]
    sound = _sound(draw, n_window=draw(FEW), output_dim=text["hidden_size"])
    return {"text_config": text, "vision_config": tower, "audio_config": sound}


def _qwen3_omni(draw: st.DrawFn) -> dict[str, Any]:
    text = text_of(draw, "qwen3_omni_moe_text", **_EXPERTS)
    tower = _qwen_tower(draw, text["hidden_size"], num_position_embeddings=4, deepstack_visual_indexes=[0])
    windows = {"n_window_infer": draw(st.sampled_from((100, 200, 350))), "downsample_hidden_size": draw(FEW)}
    sound = _sound(draw, n_window=50, output_dim=text["hidden_size"], **windows)
    return {"text_config": text, "vision_config": tower, "audio_config": sound}


_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 5}

SEEN: dict[str, tuple[str, Draw]] = {
    "cohere2_vision": ("Cohere2VisionForConditionalGeneration", _cohere2),
    "gemma4": ("Gemma4ForConditionalGeneration", _gemma4),
    "glm46v": ("Glm46VForConditionalGeneration", _glm4v),
    "glm4v": ("Glm4vForConditionalGeneration", _glm4v),
    "glm4v_moe": ("Glm4vMoeForConditionalGeneration", _glm4v_moe),
    "minimax_m3_vl": ("MiniMaxM3SparseForConditionalGeneration", _minimax),
    "paligemma": ("PaliGemmaForConditionalGeneration", _paligemma),
    "gemma3": ("Gemma3ForConditionalGeneration", _gemma3),
    "idefics3": ("Idefics3ForConditionalGeneration", _idefics3("idefics3")),
    "smolvlm": ("SmolVLMForConditionalGeneration", _idefics3("smolvlm")),
    "internvl": ("InternVLForConditionalGeneration", _internvl),
    "kimi_k25": ("Kimi_K25ForConditionalGeneration", _kimi),
    "lfm2_vl": ("Lfm2VlForConditionalGeneration", _lfm2),
    "llama4": ("Llama4ForConditionalGeneration", _llama4),
    "llava": ("LlavaForConditionalGeneration", _llava),
    "llava_next": ("LlavaNextForConditionalGeneration", _llava_next),
    "mistral3": ("Mistral3ForConditionalGeneration", _mistral3),
    "qwen2_5_omni_thinker": ("Qwen2_5OmniThinkerForConditionalGeneration", _qwen2_5_omni),
    "qwen3_omni_moe_thinker": ("Qwen3OmniMoeThinkerForConditionalGeneration", _qwen3_omni),
    "qwen2_5_vl": ("Qwen2_5_VLForConditionalGeneration", _qwen2_5),
    "qwen2_vl": ("Qwen2VLForConditionalGeneration", _qwen2),
    "qwen3_5": ("Qwen3_5ForConditionalGeneration", _qwen3("qwen3_5_text")),
    "qwen3_5_moe": ("Qwen3_5MoeForConditionalGeneration", _qwen3("qwen3_5_moe_text", **_EXPERTS)),
    "qwen3_vl": ("Qwen3VLForConditionalGeneration", _qwen3("qwen3_vl_text")),
    "qwen3_vl_moe": ("Qwen3VLMoeForConditionalGeneration", _qwen3("qwen3_vl_moe_text", **_EXPERTS)),
}
"""``model_type`` -> its class, and how a small one is drawn."""


HEARD: dict[str, tuple[str, Draw]] = {
    **{name: SEEN[name] for name in ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")},
    "qwen2_audio": ("Qwen2AudioForConditionalGeneration", _qwen2_audio),
    "voxtral": ("VoxtralForConditionalGeneration", _voxtral),
}
"""``model_type`` of networks that hear -> the class, and how a small one is drawn."""


@st.composite
def seeing_configs(draw: st.DrawFn, model_type: str) -> dict[str, Any]:
    """A small network of a type that sees or hears."""
    name, drawn = {**SEEN, **HEARD}[model_type]
    return {"model_type": model_type, "architectures": [name], "tie_word_embeddings": False, **drawn(draw)}
