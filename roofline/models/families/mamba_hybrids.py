"""The decoders with Mamba beside attention: one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.models.families.family import USUAL, Family, causal, names
from roofline.models.families.llama_line import MODERN
from roofline.models.families.patterns import as_attention_bias, whole
from roofline.models.families.recurrent_fields import (
    attending_at,
    attending_each,
    expanded,
    experts_beyond_one,
    number_spelled_out,
    rank_of_time_steps,
    spelled_out,
    width_of_heads,
)
from roofline.models.shapes import decoder

_ROUTER = names("output_router_logits router_aux_loss_coef norm_topk_prob routed_scaling_factor")
_SCAN = names(
    "time_step_limit time_step_min time_step_max time_step_floor use_mamba_kernels use_mambapy use_associative_scan "
    "num_logits_to_keep calc_logits_for_entire_prompt"
)
_MULTIPLIERS = names(
    "embedding_multiplier lm_head_multiplier mlp_multipliers key_multiplier attention_out_multiplier "
    "attention_in_multiplier ssm_multipliers ssm_in_multiplier ssm_out_multiplier logits_scaling residual_multiplier "
    "attention_multiplier"
)
_MAMBA2_NAMES = {
    "mamba_n_groups": "recurrence.groups",
    "mamba_n_heads": "recurrence.heads",
    "mamba_d_state": "recurrence.state_size",
    "mamba_d_conv": "recurrence.conv_kernel",
    "mamba_chunk_size": "recurrence.chunk_size",
    "mamba_conv_bias": "recurrence.conv_bias",
    "mamba_proj_bias": "recurrence.bias",
}
_MAMBA2: dict[str, Any] = {
    "recurrence.groups": 1,
    "recurrence.heads": 128,
    "recurrence.state_size": 256,
    "recurrence.conv_kernel": 4,
    "recurrence.chunk_size": 256,
    "recurrence.head_dim": width_of_heads,
    "recurrence.out_bias": lambda fields: fields.get("mamba_proj_bias", False),
}


def _granite_width(fields: Mapping[str, Any]) -> int:
    return whole(fields, "shared_intermediate_size", 1024)


MAMBA_HYBRIDS: dict[str, Family] = {
    "bamba": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads attention_bias mlp_bias tie_word_embeddings"),
        classes=causal("Bamba"),
        rename=_MAMBA2_NAMES,
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "num_key_value_heads": 8,
            "attention_out_bias": as_attention_bias,
            "layer_types": attending_at("attn_layer_indices"),
            **_MAMBA2,
        },
        fixed={**MODERN, "recurrence.kind": "mamba2"},
        only=USUAL,
        reads=names("attn_layer_indices mamba_expand mamba_d_head layer_types"),
        inert=_SCAN | names("z_loss_coefficient attn_rotary_emb partial_rotary_factor"),
    ),
    "falcon_h1": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads head_dim attention_bias mlp_bias tie_word_embeddings"),
        classes=causal("FalconH1"),
        rename=_MAMBA2_NAMES | {"projectors_bias": "recurrence.out_bias", "mamba_rms_norm": "recurrence.normed"},
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "num_key_value_heads": 8,
            "attention_out_bias": as_attention_bias,
            "layer_types": lambda fields: ["hybrid"] * whole(fields, "num_hidden_layers", 0),
            **_MAMBA2,
            "recurrence.out_bias": False,
            "recurrence.normed": False,
        },
        fixed={**MODERN, "recurrence.kind": "mamba2"},
        only=USUAL,
        reads=names("mamba_d_ssm mamba_expand mamba_d_head"),
        inert=_SCAN | _MULTIPLIERS | names("mamba_norm_before_gate mamba_use_mlp mlp_expansion_factor"),
    ),
    "granitemoehybrid": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads attention_bias tie_word_embeddings"),
        classes=causal("GraniteMoeHybrid"),
        rename=_MAMBA2_NAMES,
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "attention_out_bias": as_attention_bias,
            "positions": lambda fields: "rotary" if fields.get("position_embedding_type") == "rope" else "none",
            "layer_types": attending_at("layer_types", usual="linear_attention"),
            "num_local_experts": lambda fields: whole(fields, "num_local_experts", 8) or None,
            "num_experts_per_tok": lambda fields: whole(fields, "num_experts_per_tok", 2) or None,
            "moe_intermediate_size": lambda fields: whole(fields, "intermediate_size", 11008),
            "intermediate_size": _granite_width,
            "shared_expert_intermediate_size": _granite_width,
            **_MAMBA2,
        },
        fixed={"norm": "rms", "gated": True, "packed_gate": True, "recurrence.kind": "mamba2"},
        only=USUAL,
        reads=names(
            "layer_types mamba_expand mamba_d_head position_embedding_type num_local_experts intermediate_size "
            "shared_intermediate_size num_experts_per_tok"
        ),
        inert=_SCAN | _ROUTER | _MULTIPLIERS | names("normalization_function init_method"),
    ),
    "jamba": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads tie_word_embeddings num_experts_per_tok"),
        classes=causal("Jamba"),
        rename={
            "mamba_d_state": "recurrence.state_size",
            "mamba_d_conv": "recurrence.conv_kernel",
            "mamba_conv_bias": "recurrence.conv_bias",
            "mamba_proj_bias": "recurrence.bias",
        },
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "num_key_value_heads": 8,
            "max_position_embeddings": 262_144,
            "layer_types": attending_each("attn_layer_period", "attn_layer_offset", 8, 4),
            "num_local_experts": experts_beyond_one("num_experts", 16),
            "num_experts_per_tok": 2,
            "moe_layers": lambda fields: [
                int(kind == "full_attention")
                for kind in attending_each("expert_layer_period", "expert_layer_offset", 2, 1)(fields)
            ],
            "recurrence.state_size": 16,
            "recurrence.conv_kernel": 4,
            "recurrence.width": expanded("mamba_expand"),
            "recurrence.time_step_rank": rank_of_time_steps("mamba_dt_rank"),
        },
        fixed={**MODERN, "positions": "none", "recurrence.kind": "mamba", "recurrence.norms": "rms"},
        only=USUAL,
        reads=names(
            "attn_layer_period attn_layer_offset expert_layer_period expert_layer_offset mamba_expand mamba_dt_rank "
            "num_experts"
        ),
        inert=_SCAN | _ROUTER | names("sliding_window"),
    ),
    "nemotron_h": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names(
            "num_key_value_heads head_dim num_local_experts num_experts_per_tok "
            "moe_intermediate_size shared_expert_intermediate_size mlp_bias"
        ),
        classes=causal("NemotronH"),
        rename={
            "mlp_hidden_act": "hidden_act",
            "n_routed_experts": "num_local_experts",
            "moe_shared_expert_intermediate_size": "shared_expert_intermediate_size",
            "mamba_num_heads": "recurrence.heads",
            "mamba_head_dim": "recurrence.head_dim",
            "ssm_state_size": "recurrence.state_size",
            "n_groups": "recurrence.groups",
            "conv_kernel": "recurrence.conv_kernel",
            "chunk_size": "recurrence.chunk_size",
            "use_bias": "recurrence.bias",
            "use_conv_bias": "recurrence.conv_bias",
        },
        defaults={
            "hidden_act": "relu2",
            "head_dim": 128,
            "num_key_value_heads": 8,
            "intermediate_size": 21504,
            "num_hidden_layers": number_spelled_out,
            "layer_types": spelled_out,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 7688,
            "shared_expert_intermediate_size": 7688,
            "recurrence.heads": 128,
            "recurrence.head_dim": 64,
            "recurrence.state_size": 128,
            "recurrence.groups": 8,
            "recurrence.conv_kernel": 4,
            "recurrence.chunk_size": 128,
            "recurrence.out_bias": lambda fields: fields.get("use_bias", False),
        },
        fixed={
            "norm": "rms",
            "positions": "none",
            "gated": False,
            "expert_gate": False,
            "lone_branches": True,
            "tie_word_embeddings": False,  # transformers ties nothing here, whatever a file says
            "recurrence.kind": "mamba2",
        },
        only={
            **USUAL,
            "attention_bias": False,
            "tie_word_embeddings": False,
            "mlp_bias": False,
            "moe_latent_size": None,
            "sliding_window": None,
            "mamba_hidden_act": "silu",
            "num_nextn_predict_layers": 0,
        },
        reads=names("hybrid_override_pattern layers_block_type layer_types num_hidden_layers"),
        inert=_SCAN
        | _ROUTER
        | names(
            "expand mamba_expand mamba_ssm_cache_dtype mamba_proj_bias n_shared_experts n_group topk_group "
            "moe_shared_expert_overlap residual_in_fp32 rescale_prenorm_residual mtp_layers_block_type hidden_act"
        ),
    ),
}
