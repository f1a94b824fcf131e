"""The decoders with delta nets, short convolutions or linear recurrences beside attention: one entry each."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import BASE, CAUSAL, USUAL, Family, causal, names
from roofline.models.families.llama_line import MODERN
from roofline.models.families.patterns import as_attention_bias, routed_every, routed_from, unless_null, whole
from roofline.models.families.recurrent_fields import (
    adjusted_width,
    attending_at,
    attending_every,
    expanded,
    experts_beyond_one,
    repeated_blocks,
)
from roofline.models.shapes import decoder
from roofline.program.workload import MAX_LENGTH

_ROUTER = names("output_router_logits router_aux_loss_coef norm_topk_prob routed_scaling_factor")
_DELTA_NAMES = {
    "linear_num_key_heads": "recurrence.groups",
    "linear_num_value_heads": "recurrence.heads",
    "linear_key_head_dim": "recurrence.state_size",
    "linear_value_head_dim": "recurrence.head_dim",
    "linear_conv_kernel_dim": "recurrence.conv_kernel",
}
_DELTA: dict[str, Any] = {
    "recurrence.groups": 16,
    "recurrence.heads": 32,
    "recurrence.state_size": 128,
    "recurrence.head_dim": 128,
    "recurrence.conv_kernel": 4,
}
_DELTA_FIXED = {
    **MODERN,
    "query_key_norm": "shared",
    "attention_gate": True,
    "shared_expert_gate": True,
    "recurrence.kind": "delta",
    "recurrence.conv_bias": False,
    "recurrence.chunk_size": 64,  # of flash-linear-attention's kernel and transformers' own code
}


def _qwen(stem: str, *, experts: bool, reads: str = "", **defaults: Any) -> Family:
    """Qwen3-Next and Qwen3.5: gated delta nets, gated attention, experts or not."""
    mixture = " num_local_experts num_experts_per_tok moe_intermediate_size shared_expert_intermediate_size"
    return Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads head_dim attention_bias tie_word_embeddings" + mixture * experts),
        classes=causal(stem) if stem == "Qwen3Next" else {f"{stem}ForCausalLM": CAUSAL, f"{stem}TextModel": BASE},
        rename=_DELTA_NAMES | ({"num_experts": "num_local_experts"} if experts and stem != "Qwen3Next" else {}),
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "head_dim": 256,
            "attention_out_bias": as_attention_bias,
            "layer_types": attending_every(4),
            **_DELTA,
            **defaults,
        },
        fixed=_DELTA_FIXED,
        only=USUAL,
        reads=names("layer_types full_attention_interval " + reads),
        inert=_ROUTER | names("partial_rotary_factor mamba_ssm_dtype"),
    )


LINEAR_HYBRIDS: dict[str, Family] = {
    "lfm2": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads tie_word_embeddings"),
        classes=causal("Lfm2"),
        rename={
            "conv_L_cache": "recurrence.conv_kernel",
            "conv_bias": "recurrence.bias",
            "tie_embedding": "tie_word_embeddings",
        },
        defaults={
            "tie_word_embeddings": True,
            "num_key_value_heads": 8,
            "max_position_embeddings": 128_000,
            "intermediate_size": adjusted_width,
            "layer_types": attending_at("full_attn_idxs", usual="full_attention"),
            "recurrence.conv_kernel": 3,
            "recurrence.width": expanded("", 1),
        },
        fixed={**MODERN, "query_key_norm": "shared", "hidden_act": "silu", "recurrence.kind": "convolution"},
        only=USUAL,
        reads=names(
            "full_attn_idxs layer_types intermediate_size block_ff_dim block_auto_adjust_ff_dim "
            "block_ffn_dim_multiplier block_multiple_of"
        ),
        inert=names(
            "norm_eps block_dim block_mlp_init_scale block_norm_eps block_out_init_scale block_use_swiglu "
            "block_use_xavier_init conv_dim conv_dim_out conv_use_xavier_init num_heads use_pos_enc theta"
        ),
    ),
    "lfm2_moe": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names(
            "num_key_value_heads tie_word_embeddings moe_intermediate_size num_local_experts num_experts_per_tok"
        ),
        classes=causal("Lfm2Moe"),
        rename={
            "conv_L_cache": "recurrence.conv_kernel",
            "conv_bias": "recurrence.bias",
            "tie_embedding": "tie_word_embeddings",
            "num_experts": "num_local_experts",
        },
        defaults={
            "tie_word_embeddings": True,
            "num_key_value_heads": 8,
            "max_position_embeddings": 128_000,
            "num_local_experts": 32,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1792,
            "moe_layers": routed_from("num_dense_layers", 2),
            "layer_types": attending_at("full_attn_idxs"),
            "recurrence.conv_kernel": 3,
            "recurrence.width": expanded("", 1),
        },
        fixed={**MODERN, "query_key_norm": "shared", "hidden_act": "silu", "recurrence.kind": "convolution"},
        only=USUAL,
        reads=names("full_attn_idxs layer_types num_dense_layers"),
        inert=_ROUTER | names("norm_eps use_expert_bias"),
    ),
    "qwen3_5_moe_text": _qwen(
        "Qwen3_5Moe",
        experts=True,
        num_key_value_heads=2,
        num_local_experts=256,
        num_experts_per_tok=8,
        moe_intermediate_size=512,
        intermediate_size=lambda fields: fields["moe_intermediate_size"],
        shared_expert_intermediate_size=512,
    ),
    "qwen3_5_text": _qwen("Qwen3_5", experts=False, num_key_value_heads=4),
    "qwen3_next": _qwen(
        "Qwen3Next",
        experts=True,
        reads="num_experts decoder_sparse_step mlp_only_layers",
        num_key_value_heads=2,
        num_local_experts=experts_beyond_one("num_experts", 512),
        num_experts_per_tok=10,
        moe_intermediate_size=512,
        intermediate_size=5632,
        shared_expert_intermediate_size=512,
        moe_layers=routed_every("decoder_sparse_step", but="mlp_only_layers"),
    ),
    "recurrent_gemma": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads attention_bias tie_word_embeddings final_logit_softcapping sliding_window"),
        classes=causal("RecurrentGemma"),
        rename={
            "hidden_activation": "hidden_act",
            "attention_window_size": "sliding_window",
            "logits_soft_cap": "final_logit_softcapping",
            "conv1d_width": "recurrence.conv_kernel",
        },
        defaults={
            "tie_word_embeddings": True,
            "hidden_act": "gelu_pytorch_tanh",
            "sliding_window": 2048,
            "final_logit_softcapping": unless_null("logits_soft_cap", 30.0),
            "layer_types": repeated_blocks,
            "intermediate_size": lambda fields: whole(fields, "intermediate_size", 7680) // 2,
            "recurrence.conv_kernel": 4,
            "recurrence.heads": lambda fields: fields["num_attention_heads"],
            "recurrence.head_dim": lambda fields: (
                whole(fields, "lru_width", whole(fields, "hidden_size", 0)) // max(fields["num_attention_heads"], 1)
            ),
            "recurrence.function": lambda fields: fields["hidden_act"],
        },
        fixed={
            **MODERN,
            "mlp_bias": True,
            "attention_out_bias": True,
            "max_position_embeddings": MAX_LENGTH,
            "recurrence.kind": "lru",
        },
        only=USUAL,
        reads=names("block_types intermediate_size lru_width"),
        inert=names("w_init_variance_scale final_w_init_variance_scale partial_rotary_factor"),
    ),
}
