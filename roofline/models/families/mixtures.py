"""The decoders with mixtures of experts: how each departs from Llama."""

from __future__ import annotations

from dataclasses import replace

from roofline.models.families.family import Family, Fields, Rule, causal, rule, text_part
from roofline.models.families.llama_line import LLAMA
from roofline.models.families.rules import (
    alike,
    as_attention_bias,
    attending_in_full,
    by_flag,
    chunked_where_rotated,
    every_layer_windowed,
    full_every,
    full_first_and_every,
    picking_as_named,
    rotated_but_every,
    rotated_unless_zero,
    routed_as_listed,
    routed_as_named,
    routed_between,
    routed_every,
    routed_from,
    unless_null,
    whole,
    windowed_from_layer,
)


def shared_width(shared: int, name: str = "n_shared_experts") -> Rule[int]:
    """The width of the shared experts together; ``shared`` of them where the file does not say how many."""

    @rule(name)
    def width(fields: Fields) -> int:
        return whole(fields, name, shared) * int(fields["moe_intermediate_size"])

    return width


_ROUTER = "output_router_logits router_aux_loss_coef router_jitter_noise norm_topk_prob"
MIXTURE = LLAMA.but(without="mlp_bias", options={"num_local_experts": None, "num_experts_per_tok": None}, inert=_ROUTER)
_QWEN = MIXTURE.but(
    rename={"num_experts": "num_local_experts"},
    fixed={"moe_layers": routed_every("decoder_sparse_step", but="mlp_only_layers")},
    only={"use_sliding_window": False},
    inert="sliding_window max_window_layers layer_types",
)

_QWEN3 = _QWEN.but(
    options={
        "num_key_value_heads": 4,
        "num_local_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
    },
    fixed={"query_key_norm": "shared"},
)
_GRANITE = MIXTURE.but(
    without="head_dim",
    options={"num_local_experts": 8, "num_experts_per_tok": 2},
    inert="embedding_multiplier logits_scaling residual_multiplier attention_multiplier",
)
DEEPSEEK = LLAMA.but(  # latents for keys and values, first layers dense, shared experts
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

_SPARSE = DEEPSEEK.but(  # an indexer picks the keys of each query
    options={
        "q_lora_rank": 1536,
        "num_local_experts": 256,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 2048,
        "index_topk": 2048,
        "index_n_heads": 64,
        "index_head_dim": 128,
    },
    fixed={"shared_expert_intermediate_size": shared_width(1), "moe_layers": routed_as_named(3)},
    only={"mlp_bias": False},
    inert="layer_types indexer_rope_interleave",
)
DENSE_FIRST = MIXTURE.but(  # grouped queries; first layers dense, shared experts, scores of sigmoids
    rename={"n_routed_experts": "num_local_experts"},
    options={"num_key_value_heads": 8, "num_local_experts": 128, "num_experts_per_tok": 8},
    fixed={"shared_expert_intermediate_size": shared_width(1), "attention_out_bias": False},
    inert=f"{_ROUTER} routed_scaling_factor n_group topk_group topk_method scoring_func partial_rotary_factor",
)

_ATTENTION, _EXPERTS = "attn_config", "ffn_config"
_DBRX = MIXTURE.but(
    causal("Dbrx"),
    without="attention_bias head_dim hidden_act",
    rename={
        "d_model": "hidden_size",
        "n_heads": "num_attention_heads",
        "n_layers": "num_hidden_layers",
        "max_seq_len": "max_position_embeddings",
        f"{_ATTENTION}.kv_n_heads": "num_key_value_heads",
        f"{_EXPERTS}.ffn_hidden_size": "intermediate_size",
        f"{_EXPERTS}.moe_num_experts": "num_local_experts",
        f"{_EXPERTS}.moe_top_k": "num_experts_per_tok",
    },
    options={
        "num_key_value_heads": 1,
        "hidden_size": 2048,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "max_position_embeddings": 2048,
        "vocab_size": 32_000,
        "intermediate_size": 3584,
        "num_local_experts": 4,
        "num_experts_per_tok": 1,
    },
    fixed={
        "norm": "layer_gain",
        "packed_qkv": True,
        "hidden_act": "silu",
        "attention_out_bias": False,
        "tie_word_embeddings": False,
    },
    only={"tie_word_embeddings": False, f"{_EXPERTS}.ffn_act_fn": {"name": "silu"}},
    inert=" ".join(
        [
            "emb_pdrop num_key_value_heads",
            *(f"{_ATTENTION}.{name}" for name in "attn_pdrop clip_qkv rope_theta model_type".split()),
            *(f"{_EXPERTS}.{name}" for name in "hidden_size moe_jitter_eps moe_loss_weight model_type".split()),
            f"{_EXPERTS}.moe_normalize_expert_weights {_EXPERTS}.uniform_expert_assignment",
        ]
    ),
)

MIXTURES: dict[str, Family] = {
    "dbrx": replace(_DBRX, nested=(_ATTENTION, _EXPERTS)),
    "deepseek_v2": DEEPSEEK.but(
        causal("DeepseekV2"),
        options={"mlp_bias": False, "num_local_experts": 64, "moe_intermediate_size": 1407},
        fixed={
            "shared_expert_intermediate_size": shared_width(2),
            "moe_layers": routed_from("first_k_dense_replace", 0),
        },
    ),
    "deepseek_v3": DEEPSEEK.but(
        causal("DeepseekV3"),
        options={"num_local_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048},
        fixed={
            "shared_expert_intermediate_size": shared_width(1),
            "moe_layers": routed_from("first_k_dense_replace", 3),
        },
    ),
    "deepseek_v32": _SPARSE.but(causal("DeepseekV32")),
    "dots1": DENSE_FIRST.but(
        causal("Dots1"),
        without="head_dim",
        options={
            "num_key_value_heads": unless_null("num_key_value_heads", 32),
            "num_local_experts": None,
            "num_experts_per_tok": None,
            "moe_intermediate_size": 1408,
            "sliding_window": unless_null("sliding_window", 4096),
            "layer_types": windowed_from_layer("max_window_layers", 62),
        },
        fixed={
            "query_key_norm": "shared",
            "shared_expert_intermediate_size": shared_width(0),
            "moe_layers": routed_from("first_k_dense_replace", 0),
            "attention_out_bias": as_attention_bias,
        },
        only={"moe_layer_freq": 1},
    ),
    "ernie4_5_moe": MIXTURE.but(
        causal("Ernie4_5_Moe"),
        without="head_dim attention_bias",
        rename={"moe_num_experts": "num_local_experts", "moe_k": "num_experts_per_tok"},
        options={
            "num_key_value_heads": unless_null("num_key_value_heads", 4),
            "tie_word_embeddings": True,
            "num_local_experts": 64,
            "num_experts_per_tok": 6,
            "moe_intermediate_size": 1536,
        },
        fixed={
            "router_bias": True,
            "shared_expert_intermediate_size": shared_width(2, "moe_num_shared_experts"),
            "moe_layers": routed_between,
        },
        only={"use_bias": False},
        inert="moe_norm_min moe_capacity moe_use_aux_free moe_gate moe_group",
    ),
    "flex_olmo": MIXTURE.but(
        causal("FlexOlmo"),
        without="head_dim",
        rename={"num_experts": "num_local_experts"},
        options={"num_local_experts": 7, "num_experts_per_tok": 5},
        fixed={"blocks": "branch", "query_key_norm": "across"},
    ),
    "glm4_moe": DENSE_FIRST.but(
        causal("Glm4Moe"),
        options={"moe_intermediate_size": 1408},
        fixed={
            "query_key_norm": by_flag("use_qk_norm", False, yes="shared", no="none"),
            "moe_layers": routed_from("first_k_dense_replace", 1),
        },
    ),
    "glm4_moe_lite": DEEPSEEK.but(
        causal("Glm4MoeLite"),
        options={
            "head_dim": 192,
            "v_head_dim": 256,
            "q_lora_rank": unless_null("q_lora_rank", 768),
            "num_local_experts": 64,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1536,
        },
        fixed={"shared_expert_intermediate_size": shared_width(1), "moe_layers": routed_as_named(1)},
        inert="partial_rotary_factor",
    ),
    "glm_moe_dsa": _SPARSE.but(
        causal("GlmMoeDsa"),
        options={"head_dim": 192, "v_head_dim": 256, "q_lora_rank": 2048, "index_n_heads": 32},
        fixed={"indexers": picking_as_named},
        inert="index_share_for_mtp_iteration",
    ),
    "glm4v_moe_text": DENSE_FIRST.but(
        text_part("Glm4vMoe"),
        options={"attention_bias": True, "moe_intermediate_size": 1408},
        fixed={"moe_layers": routed_from("first_k_dense_replace", 1)},
        only={"use_qk_norm": False},
    ),
    "gpt_oss": MIXTURE.but(
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
        fixed={"sinks": "all", "expert_bias": True, "hidden_act": "silu", "expert_activation": "clamped_silu"},
        only={"hidden_act": "silu"},
        inert="swiglu_limit swiglu_alpha initial_context_length experts_per_token",
    ),
    "granitemoe": _GRANITE.but(causal("GraniteMoe")),
    "granitemoe_swa": _GRANITE.but(
        causal("GraniteMoeSWA"),
        rename={"shared_intermediate_size": "shared_expert_intermediate_size"},
        options={
            "shared_expert_intermediate_size": 0,
            "sliding_window": unless_null("sliding_window", 128),
            "layer_types": full_first_and_every(4),
        },
        fixed={"sinks": "all", "no_rope_layers": rotated_unless_zero},
    ),
    "granitemoeshared": _GRANITE.but(
        causal("GraniteMoeShared"),
        rename={"shared_intermediate_size": "shared_expert_intermediate_size"},
        options={"shared_expert_intermediate_size": 0},
    ),
    "hunyuan_v1_moe": MIXTURE.but(
        causal("HunYuanMoEV1"),
        fixed={
            "query_key_norm": "shared",
            "num_local_experts": alike("num_experts", 1),
            "num_experts_per_tok": alike("moe_topk", 1),
            "shared_expert_intermediate_size": lambda fields: fields["intermediate_size"],
        },
        only={"use_mixed_mlp_moe": True, "use_cla": False, "use_mla": False},
        inert="use_qk_norm moe_intermediate_size num_shared_expert moe_layer_num_skipped",
    ),
    "hy_v3": DENSE_FIRST.but(
        causal("HYV3"),
        rename={"num_experts": "num_local_experts"},
        options={"head_dim": 128, "num_local_experts": 192, "moe_intermediate_size": 1536},
        fixed={
            "query_key_norm": "shared",
            "attention_out_bias": as_attention_bias,
            "shared_expert_intermediate_size": shared_width(1, "num_shared_experts"),
            "moe_layers": routed_as_named(1),
        },
        only={"mlp_bias": False, "qk_norm": True},
        positive="num_shared_experts",
        inert="router_scaling_factor enable_moe_fp32_combine moe_router_use_sigmoid route_norm "
        "moe_router_enable_expert_bias enable_lm_head_fp32 enable_attention_fp32_softmax expert_hidden_dim "
        "use_grouped_mm",
    ),
    "llama4_text": MIXTURE.but(
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
    "mellum": MIXTURE.but(
        causal("Mellum"),
        rename={"num_experts": "num_local_experts"},
        options={
            "num_key_value_heads": 4,
            "head_dim": 128,
            "sliding_window": unless_null("sliding_window", 1024),
            "num_local_experts": 64,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 896,
            "layer_types": None,
        },
        fixed={"query_key_norm": "shared", "moe_layers": routed_as_named(0)},
        inert="num_mtp_layers mtp_layer_types mtp_mlp_layer_types",
    ),
    "minicpm3": DEEPSEEK.but(
        causal("MiniCPM3"),
        without="num_experts_per_tok",
        options={
            "kv_lora_rank": 256,
            "q_lora_rank": unless_null("q_lora_rank", 768),
            "head_dim": 64,
            "qk_rope_head_dim": 32,
            "v_head_dim": lambda fields: fields["hidden_size"] // fields["num_attention_heads"],
            "tie_word_embeddings": True,
            "mlp_bias": False,
        },
        inert="scale_emb scale_depth dim_model_base",
    ),
    "minimax_m2": MIXTURE.but(
        causal("MiniMaxM2"),
        without="attention_bias",
        options={
            "num_key_value_heads": 8,
            "head_dim": 128,
            "num_local_experts": 256,
            "num_experts_per_tok": 8,
        },
        fixed={"query_key_norm": "across", "layer_types": attending_in_full("attn_type_list")},
        only={"use_qk_norm": True, "qk_norm_type": "per_layer", "shared_intermediate_size": 0},
        inert="rotary_dim use_routing_bias scoring_func",
    ),
    "mistral4": DEEPSEEK.but(
        causal("Mistral4"),
        options={
            "kv_lora_rank": 256,
            "q_lora_rank": unless_null("q_lora_rank", 1024),
            "head_dim": 64,
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 2048,
        },
        fixed={
            "shared_expert_intermediate_size": shared_width(1),
            "moe_layers": routed_from("first_k_dense_replace", 0),
        },
        only={"mlp_bias": False},
    ),
    "mixtral": MIXTURE.but(
        causal("Mixtral"),
        without="attention_bias",
        options={"num_key_value_heads": 8, "sliding_window": None, "num_local_experts": 8, "num_experts_per_tok": 2},
        fixed={"layer_types": every_layer_windowed},
    ),
    "olmoe": MIXTURE.but(
        causal("Olmoe"),
        without="head_dim",
        rename={"num_experts": "num_local_experts"},
        options={"num_local_experts": 64, "num_experts_per_tok": 8},
        fixed={"query_key_norm": "across"},
        inert="clip_qkv",
    ),
    "phimoe": MIXTURE.but(
        causal("Phimoe"),
        without="head_dim",
        rename={"lm_head_bias": "head_bias"},
        options={
            "num_key_value_heads": 8,
            "sliding_window": None,
            "head_bias": False,
            "num_local_experts": 16,
            "num_experts_per_tok": 2,
        },
        fixed={"norm": "layer", "layer_types": every_layer_windowed},
        inert="input_jitter_noise original_max_position_embeddings",
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
    "qwen3_moe": _QWEN3.but(causal("Qwen3Moe")),
    "qwen3_omni_moe_text": _QWEN3.but(text_part("Qwen3OmniMoeThinker")),
    "qwen3_vl_moe_text": _QWEN.but(
        text_part("Qwen3VLMoe"),
        options={
            "num_key_value_heads": 16,
            "head_dim": 128,
            "tie_word_embeddings": True,
            "num_local_experts": 60,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1408,
        },
        fixed={"query_key_norm": "shared"},
    ),
    "youtu": DEEPSEEK.but(
        causal("Youtu"),
        without="num_experts_per_tok",
        options={"tie_word_embeddings": True},
        fixed={"num_local_experts": None},
        only={"mlp_bias": False},
        inert="embedding_initializer_range",
    ),
    "solar_open": DENSE_FIRST.but(
        causal("SolarOpen"),
        without="attention_bias",
        options={
            "head_dim": 128,
            "moe_intermediate_size": 1280,
            "intermediate_size": lambda fields: fields["moe_intermediate_size"],
        },
        only={"attention_bias": False, "use_qk_norm": False, "first_k_dense_replace": 0},
    ),
}
