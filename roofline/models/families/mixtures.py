"""The decoders with mixtures of experts: how each departs from Llama."""

from __future__ import annotations

from roofline.models.families.family import Family, Fields, Rule, causal, rule
from roofline.models.families.llama_line import LLAMA
from roofline.models.families.rules import (
    by_flag,
    chunked_where_rotated,
    every_layer_windowed,
    full_every,
    rotated_but_every,
    routed_as_listed,
    routed_every,
    routed_from,
    unless_null,
    whole,
)


def _shared_width(shared: int) -> Rule[int]:
    """The width of the shared experts together; ``shared`` of them where the file does not say how many."""

    @rule("n_shared_experts")
    def width(fields: Fields) -> int:
        return whole(fields, "n_shared_experts", shared) * int(fields["moe_intermediate_size"])

    return width


_ROUTER = "output_router_logits router_aux_loss_coef router_jitter_noise norm_topk_prob"
_MIXTURE = LLAMA.but(
    without="mlp_bias", options={"num_local_experts": None, "num_experts_per_tok": None}, inert=_ROUTER
)
_QWEN = _MIXTURE.but(
    rename={"num_experts": "num_local_experts"},
    fixed={"moe_layers": routed_every("decoder_sparse_step", but="mlp_only_layers")},
    only={"use_sliding_window": False},
    inert="sliding_window max_window_layers layer_types",
)
_DEEPSEEK = LLAMA.but(  # latents for keys and values, first layers dense, shared experts
    without="num_key_value_heads mlp_bias",
    rename={"n_routed_experts": "num_local_experts", "qk_nope_head_dim": "head_dim"},
    options={
        "head_dim": 128,
        "v_head_dim": 128,
        "qk_rope_head_dim": 64,
        "kv_lora_rank": 512,
        "q_lora_rank": unless_null("q_lora_rank", 1536),
        "num_experts_per_tok": None,
    },
    only={"moe_layer_freq": 1},
    inert=f"{_ROUTER} num_key_value_heads head_dim qk_head_dim routed_scaling_factor n_group topk_group topk_method "
    "scoring_func aux_loss_alpha seq_aux ep_size rope_interleave",
)

MIXTURES: dict[str, Family] = {
    "deepseek_v2": _DEEPSEEK.but(
        causal("DeepseekV2"),
        options={"mlp_bias": False, "num_local_experts": 64, "moe_intermediate_size": 1407},
        fixed={
            "shared_expert_intermediate_size": _shared_width(2),
            "moe_layers": routed_from("first_k_dense_replace", 0),
        },
    ),
    "deepseek_v3": _DEEPSEEK.but(
        causal("DeepseekV3"),
        options={"num_local_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048},
        fixed={
            "shared_expert_intermediate_size": _shared_width(1),
            "moe_layers": routed_from("first_k_dense_replace", 3),
        },
    ),
    "gpt_oss": _MIXTURE.but(
        causal("GptOss"),
        options={
            "num_key_value_heads": 8,
            "head_dim": 64,
            "attention_bias": True,
            "sliding_window": 128,
            "layer_types": full_every(2, ""),
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": None,  # experts are as wide as intermediate_size
        },
        fixed={"sinks": True, "expert_bias": True, "hidden_act": "silu", "expert_activation": "clamped_silu"},
        only={"hidden_act": "silu"},
        inert="swiglu_limit swiglu_alpha initial_context_length experts_per_token",
    ),
    "llama4_text": _MIXTURE.but(
        causal("Llama4", "Llama4Text"),
        rename={"intermediate_size": "moe_intermediate_size", "intermediate_size_mlp": "intermediate_size"},
        options={
            "num_key_value_heads": 8,
            "head_dim": unless_null("head_dim", 128),
            "attention_chunk_size": 8192,
            "no_rope_layers": rotated_but_every(4),
            "layer_types": chunked_where_rotated,
            "num_local_experts": 16,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 8192,
        },
        fixed={
            "moe_layers": routed_as_listed,
            "shared_expert_intermediate_size": lambda fields: fields["moe_intermediate_size"],
            "query_key_norm": by_flag("use_qk_norm", True, yes="bare", no="none"),
        },
        inert="attn_temperature_tuning floor_scale attn_scale for_llm_compressor",
    ),
    "mixtral": _MIXTURE.but(
        causal("Mixtral"),
        without="attention_bias",
        options={"num_key_value_heads": 8, "sliding_window": None, "num_local_experts": 8, "num_experts_per_tok": 2},
        fixed={"layer_types": every_layer_windowed},
    ),
    "olmoe": _MIXTURE.but(
        causal("Olmoe"),
        without="head_dim",
        rename={"num_experts": "num_local_experts"},
        options={"num_local_experts": 64, "num_experts_per_tok": 8},
        fixed={"query_key_norm": "across"},
        inert="clip_qkv",
    ),
    "qwen2_moe": _QWEN.but(
        causal("Qwen2Moe"),
        without="head_dim",
        rename={"qkv_bias": "attention_bias"},
        options={
            "num_key_value_heads": 16,
            "num_local_experts": 60,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
        },
        fixed={
            "attention_bias": Rule("qkv_bias", lambda fields: fields.get("qkv_bias", True)),
            "attention_out_bias": False,
            "shared_expert_gate": True,
        },
        positive="shared_expert_intermediate_size",
    ),
    "qwen3_moe": _QWEN.but(
        causal("Qwen3Moe"),
        options={
            "num_key_value_heads": 4,
            "num_local_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 768,
        },
        fixed={"query_key_norm": "shared"},
    ),
}
