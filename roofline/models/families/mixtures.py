"""The decoders with mixtures of experts: one entry each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roofline.models.families.family import BASE, CAUSAL, USUAL, Family, causal, names
from roofline.models.families.llama_line import MODERN
from roofline.models.families.patterns import (
    as_attention_bias,
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
from roofline.models.shapes import decoder

_ROUTER = names("output_router_logits router_aux_loss_coef router_jitter_noise norm_topk_prob")
_EXPERTS = " num_local_experts num_experts_per_tok moe_intermediate_size"


def _shared_width(shared: int) -> Callable[[Mapping[str, Any]], int]:
    """The width of the shared experts together; ``shared`` of them where the file does not say how many."""
    return lambda fields: whole(fields, "n_shared_experts", shared) * int(fields["moe_intermediate_size"])


def _deepseek(stem: str, *, dense: int, shared: int, **defaults: Any) -> Family:
    """DeepSeek-V2 and V3: latents for keys and values, first layers dense, shared experts."""
    return Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names(
            "attention_bias mlp_bias tie_word_embeddings "
            "head_dim kv_lora_rank q_lora_rank qk_rope_head_dim v_head_dim" + _EXPERTS
        ),
        classes=causal(stem),
        rename={"n_routed_experts": "num_local_experts", "qk_nope_head_dim": "head_dim"},
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "attention_out_bias": as_attention_bias,
            "q_lora_rank": unless_null("q_lora_rank", 1536),
            **defaults,
            "shared_expert_intermediate_size": _shared_width(shared),
            "moe_layers": routed_from("first_k_dense_replace", dense),
        },
        fixed=MODERN,
        only=USUAL,
        reads=names("n_shared_experts first_k_dense_replace"),
        inert=_ROUTER
        | names(
            "num_key_value_heads head_dim qk_head_dim routed_scaling_factor n_group topk_group topk_method "
            "scoring_func aux_loss_alpha seq_aux ep_size rope_interleave"
        ),
    )


MIXTURES: dict[str, Family] = {
    "deepseek_v2": _deepseek(
        "DeepseekV2",
        kv_lora_rank=512,
        qk_rope_head_dim=64,
        head_dim=128,
        v_head_dim=128,
        num_local_experts=64,
        moe_intermediate_size=1407,
        dense=0,
        shared=2,
    ),
    "deepseek_v3": _deepseek(
        "DeepseekV3",
        kv_lora_rank=512,
        qk_rope_head_dim=64,
        head_dim=128,
        v_head_dim=128,
        num_local_experts=256,
        num_experts_per_tok=8,
        moe_intermediate_size=2048,
        dense=3,
        shared=1,
    ),
    "gpt_oss": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names(
            "num_key_value_heads head_dim tie_word_embeddings attention_bias sliding_window layer_types" + _EXPERTS
        ),
        classes=causal("GptOss"),
        defaults={
            "num_key_value_heads": 8,
            "head_dim": 64,
            "tie_word_embeddings": False,
            "attention_bias": True,
            "attention_out_bias": lambda fields: fields.get("attention_bias", True),
            "sliding_window": 128,
            "layer_types": full_every(2, ""),
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
        },
        fixed={**MODERN, "sinks": True, "expert_bias": True, "hidden_act": "silu", "expert_activation": "clamped_silu"},
        only={**USUAL, "hidden_act": "silu"},
        inert=_ROUTER | names("swiglu_limit swiglu_alpha initial_context_length experts_per_token"),
    ),
    "llama4_text": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names(
            "num_key_value_heads head_dim attention_bias tie_word_embeddings attention_chunk_size "
            "layer_types no_rope_layers moe_intermediate_size num_local_experts num_experts_per_tok"
        ),
        classes={"Llama4ForCausalLM": CAUSAL, "Llama4TextModel": BASE},
        rename={"intermediate_size": "moe_intermediate_size", "intermediate_size_mlp": "intermediate_size"},
        defaults={
            "head_dim": unless_null("head_dim", 128),
            "num_key_value_heads": 8,
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "attention_out_bias": as_attention_bias,
            "attention_chunk_size": 8192,
            "num_local_experts": 16,
            "num_experts_per_tok": 1,
            "no_rope_layers": rotated_but_every(4),
            "layer_types": chunked_where_rotated,
            "moe_layers": routed_as_listed,
            "shared_expert_intermediate_size": lambda fields: fields["moe_intermediate_size"],
            "query_key_norm": lambda fields: "bare" if fields.get("use_qk_norm", True) else "none",
        },
        fixed=MODERN,
        only=USUAL,
        reads=names("use_qk_norm no_rope_layer_interval moe_layers interleave_moe_layer_step"),
        inert=_ROUTER | names("attn_temperature_tuning floor_scale attn_scale for_llm_compressor"),
    ),
    "mixtral": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names(
            "num_key_value_heads head_dim tie_word_embeddings sliding_window num_local_experts num_experts_per_tok"
        ),
        classes=causal("Mixtral"),
        defaults={
            "num_key_value_heads": 8,
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "layer_types": every_layer_windowed,
        },
        fixed=MODERN,
        only=USUAL,
        inert=_ROUTER,
    ),
    "olmoe": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads attention_bias tie_word_embeddings num_local_experts num_experts_per_tok"),
        classes=causal("Olmoe"),
        rename={"num_experts": "num_local_experts"},
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "num_local_experts": 64,
            "num_experts_per_tok": 8,
            "attention_out_bias": as_attention_bias,
        },
        fixed={**MODERN, "query_key_norm": "across"},
        only=USUAL,
        inert=_ROUTER | names("clip_qkv"),
    ),
    "qwen2_moe": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads tie_word_embeddings shared_expert_intermediate_size" + _EXPERTS),
        classes=causal("Qwen2Moe"),
        rename={"num_experts": "num_local_experts", "qkv_bias": "attention_bias"},
        defaults={
            "num_key_value_heads": 16,
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "num_local_experts": 60,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
            "attention_bias": lambda fields: fields.get("qkv_bias", True),
            "moe_layers": routed_every("decoder_sparse_step", but="mlp_only_layers"),
        },
        fixed={**MODERN, "shared_expert_gate": True},
        only={**USUAL, "use_sliding_window": False},
        reads=names("decoder_sparse_step mlp_only_layers qkv_bias"),
        inert=_ROUTER | names("sliding_window max_window_layers layer_types"),
    ),
    "qwen3_moe": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads head_dim attention_bias tie_word_embeddings" + _EXPERTS),
        classes=causal("Qwen3Moe"),
        rename={"num_experts": "num_local_experts"},
        defaults={
            "num_key_value_heads": 4,
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "num_local_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 768,
            "attention_out_bias": as_attention_bias,
            "moe_layers": routed_every("decoder_sparse_step", but="mlp_only_layers"),
        },
        fixed={**MODERN, "query_key_norm": "shared"},
        only={**USUAL, "use_sliding_window": False},
        reads=names("decoder_sparse_step mlp_only_layers"),
        inert=_ROUTER | names("sliding_window max_window_layers layer_types"),
    ),
}
