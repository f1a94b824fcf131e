"""The decoders with Mamba beside attention: how each departs from Llama."""

from __future__ import annotations

from roofline.models.families.family import Family, Fields, Rule, causal, rule
from roofline.models.families.llama_line import LLAMA
from roofline.models.families.recurrent_rules import (
    attending_at,
    attending_each,
    expanded,
    experts_beyond_one,
    number_spelled_out,
    rank_of_time_steps,
    spelled_out,
    width_of_heads,
)
from roofline.models.families.rules import whole


def _count_or_none(name: str, default: int) -> Rule[int | None]:
    return Rule(name, lambda fields: whole(fields, name, default) or None)


_granite_width = Rule("shared_intermediate_size", lambda fields: whole(fields, "shared_intermediate_size", 1024))


@rule("expert_layer_period expert_layer_offset")
def _jamba_experts(fields: Fields) -> list[int]:
    kinds = attending_each("expert_layer_period", "expert_layer_offset", 2, 1)(fields)
    return [int(kind == "full_attention") for kind in kinds]


_ROUTER = "output_router_logits router_aux_loss_coef norm_topk_prob routed_scaling_factor"
_SCAN = (
    "time_step_limit time_step_min time_step_max time_step_floor use_mamba_kernels use_mambapy use_associative_scan "
    "num_logits_to_keep calc_logits_for_entire_prompt"
)
_MULTIPLIERS = (
    "embedding_multiplier lm_head_multiplier mlp_multipliers key_multiplier attention_out_multiplier "
    "attention_in_multiplier ssm_multipliers ssm_in_multiplier ssm_out_multiplier logits_scaling residual_multiplier "
    "attention_multiplier"
)
_HYBRID = LLAMA.but(inert=_SCAN)
_MAMBA2 = _HYBRID.but(  # the mixers of Bamba
    without="head_dim",
    rename={
        "mamba_n_groups": "recurrence.groups",
        "mamba_n_heads": "recurrence.heads",
        "mamba_d_state": "recurrence.state_size",
        "mamba_d_conv": "recurrence.conv_kernel",
        "mamba_chunk_size": "recurrence.chunk_size",
        "mamba_conv_bias": "recurrence.conv_bias",
        "mamba_proj_bias": "recurrence.bias",
    },
    options={
        "recurrence.groups": 1,
        "recurrence.heads": 128,
        "recurrence.state_size": 256,
        "recurrence.conv_kernel": 4,
        "recurrence.chunk_size": 256,
    },
    fixed={
        "recurrence.kind": "mamba2",
        "recurrence.head_dim": width_of_heads(),
        "recurrence.out_bias": lambda fields: fields.get("mamba_proj_bias", False),
    },
)

MAMBA_HYBRIDS: dict[str, Family] = {
    "bamba": _MAMBA2.but(
        causal("Bamba"),
        options={"num_key_value_heads": 8},
        fixed={"layer_types": attending_at("attn_layer_indices")},
        inert="z_loss_coefficient attn_rotary_emb partial_rotary_factor",
    ),
    "falcon_h1": _MAMBA2.but(
        causal("FalconH1"),
        rename={"projectors_bias": "recurrence.out_bias", "mamba_rms_norm": "recurrence.normed"},
        options={
            "num_key_value_heads": 8,
            "head_dim": None,
            "recurrence.out_bias": False,
            "recurrence.normed": False,
        },
        fixed={
            "layer_types": lambda fields: ["hybrid"] * whole(fields, "num_hidden_layers", 0),
            "recurrence.head_dim": width_of_heads("mamba_d_ssm", 1024),
        },
        inert=f"{_MULTIPLIERS} mamba_norm_before_gate mamba_use_mlp mlp_expansion_factor",
    ),
    "granitemoehybrid": _MAMBA2.but(
        causal("GraniteMoeHybrid"),
        without="mlp_bias",
        fixed={
            "positions": Rule(
                "position_embedding_type",
                lambda fields: "rotary" if fields.get("position_embedding_type") == "rope" else "none",
            ),
            "packed_gate": True,
            "layer_types": attending_at("layer_types", usual="linear_attention"),
            "num_local_experts": _count_or_none("num_local_experts", 8),
            "num_experts_per_tok": _count_or_none("num_experts_per_tok", 2),
            "moe_intermediate_size": Rule(
                "intermediate_size", lambda fields: whole(fields, "intermediate_size", 11008)
            ),
            "intermediate_size": _granite_width,
            "shared_expert_intermediate_size": _granite_width,
        },
        inert=f"{_ROUTER} {_MULTIPLIERS} normalization_function init_method",
    ),
    "jamba": _HYBRID.but(
        causal("Jamba"),
        without="head_dim attention_bias mlp_bias",
        rename={
            "mamba_d_state": "recurrence.state_size",
            "mamba_d_conv": "recurrence.conv_kernel",
            "mamba_conv_bias": "recurrence.conv_bias",
            "mamba_proj_bias": "recurrence.bias",
        },
        options={
            "num_key_value_heads": 8,
            "max_position_embeddings": 262_144,
            "num_experts_per_tok": 2,
            "recurrence.state_size": 16,
            "recurrence.conv_kernel": 4,
        },
        fixed={
            "positions": "none",
            "layer_types": attending_each("attn_layer_period", "attn_layer_offset", 8, 4),
            "num_local_experts": experts_beyond_one("num_experts", 16),
            "moe_layers": _jamba_experts,
            "recurrence.kind": "mamba",
            "recurrence.norms": "rms",
            "recurrence.width": expanded("mamba_expand"),
            "recurrence.time_step_rank": rank_of_time_steps("mamba_dt_rank"),
        },
        inert=f"{_ROUTER} sliding_window",
    ),
    "nemotron_h": _HYBRID.but(
        causal("NemotronH"),
        positive="moe_shared_expert_intermediate_size",
        without="attention_bias mlp_bias",
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
        options={
            "hidden_act": "relu2",
            "head_dim": 128,
            "num_key_value_heads": 8,
            "intermediate_size": 21504,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 7688,
            "shared_expert_intermediate_size": 7688,
            "moe_latent_size": None,
            "recurrence.heads": 128,
            "recurrence.head_dim": 64,
            "recurrence.state_size": 128,
            "recurrence.groups": 8,
            "recurrence.conv_kernel": 4,
            "recurrence.chunk_size": 128,
        },
        fixed={
            "positions": "none",
            "gated": False,
            "expert_gate": False,
            "lone_branches": True,
            "num_hidden_layers": number_spelled_out,
            "layer_types": spelled_out,
            "tie_word_embeddings": False,  # transformers ties nothing here, whatever a file says
            "recurrence.kind": "mamba2",
            "recurrence.out_bias": lambda fields: fields.get("use_bias", False),
        },
        only={
            "attention_bias": False,
            "tie_word_embeddings": False,
            "mlp_bias": False,
            "sliding_window": None,
            "mamba_hidden_act": "silu",
        },
        inert=f"{_ROUTER} expand mamba_expand mamba_ssm_cache_dtype mamba_proj_bias n_shared_experts n_group "
        "topk_group moe_shared_expert_overlap residual_in_fp32 rescale_prenorm_residual mtp_layers_block_type "
        "mtp_hybrid_override_pattern "
        "hidden_act",
    ),
}
