"""The decoders with other mixers than Mamba beside attention, delta nets and the like: how each departs from Llama."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Family, Fields, Rule, causal, rule
from roofline.models.families.llama_line import LLAMA
from roofline.models.families.mixtures import DEEPSEEK, MIXTURE, shared_width
from roofline.models.families.recurrent_rules import (
    LINEAR,
    adjusted_width,
    attending_at,
    attending_every,
    expanded,
    experts_beyond_one,
    listed,
    repeated_blocks,
)
from roofline.models.families.rules import (
    FULL,
    SLIDING,
    by_flag,
    layers,
    numbers,
    routed_as_named,
    routed_every,
    routed_from,
    unless_null,
    whole,
)
from roofline.program.workload import MAX_LENGTH


@rule("intermediate_size")
def _half_the_stated_width(fields: Fields) -> int:
    return whole(fields, "intermediate_size", 7680) // 2


@rule("lru_width")
def _width_per_head(fields: Fields) -> int:
    width = whole(fields, "lru_width", whole(fields, "hidden_size", 0))
    heads: int = fields["num_attention_heads"]
    return width // max(heads, 1)


def _of_delta(name: str, own: str, usual: int = 0, consumes: str = "") -> Rule[int]:
    """Ling 3.0: a size of layers that scan, under ``own``, which transformers writes as ``name``."""

    def size(fields: Fields) -> int:
        return whole(fields, name if fields.get(name) is not None else own, usual)

    return Rule(f"{name} {consumes}", size)


@rule("n_shared_experts num_shared_experts")
def _shared(fields: Fields) -> int:
    """Ling 3.0: the width of all shared experts, by either of the names that a file counts them under."""
    return whole(fields, "num_shared_experts", whole(fields, "n_shared_experts", 1)) * int(
        fields["moe_intermediate_size"]
    )


@rule("layer_types layer_group_size")
def _attending_last(fields: Fields) -> list[Any]:
    """Ling 3.0: the last layer of each ``layer_group_size`` attends, unless the layers are listed."""
    step = max(whole(fields, "layer_group_size", 6), 1)
    return listed(fields, "layer_types") or [FULL if (layer + 1) % step == 0 else LINEAR for layer in layers(fields)]


@rule("layer_types")
def _attending_fourth(fields: Fields) -> list[Any]:
    """OLMo Hybrid: each fourth layer attends, or the last one of fewer, unless the layers are listed."""
    count = len(layers(fields))
    usual = [LINEAR if (layer + 1) % 4 and (count > 3 or layer + 1 < count) else FULL for layer in range(count)]
    return listed(fields, "layer_types") or usual


@rule("layer_types")
def _in_fours(fields: Fields) -> list[Any]:
    """LFM3: of each four layers the third attends in full, and the first, but the network's, in a window."""
    kinds = {2: FULL, 0: SLIDING}
    usual = [kinds.get(layer % 4, LINEAR) if layer else LINEAR for layer in layers(fields)]
    return listed(fields, "layer_types") or usual


_ROUTER = "output_router_logits router_aux_loss_coef norm_topk_prob routed_scaling_factor"
_QWEN = LLAMA.but(  # gated delta nets, gated attention
    without="mlp_bias",
    rename={
        "linear_num_key_heads": "recurrence.groups",
        "linear_num_value_heads": "recurrence.heads",
        "linear_key_head_dim": "recurrence.state_size",
        "linear_value_head_dim": "recurrence.head_dim",
        "linear_conv_kernel_dim": "recurrence.conv_kernel",
    },
    options={
        "head_dim": 256,
        "recurrence.groups": 16,
        "recurrence.heads": 32,
        "recurrence.state_size": 128,
        "recurrence.head_dim": 128,
        "recurrence.conv_kernel": 4,
    },
    fixed={
        "layer_types": attending_every(4),
        "query_key_norm": "shared",
        "attention_gate": "element",
        "shared_expert_gate": True,
        "recurrence.kind": "delta",
        "recurrence.conv_bias": False,
        "recurrence.chunk_size": 64,  # of flash-linear-attention's kernel and transformers' own code
    },
    only={"attn_output_gate": True},
    inert=f"{_ROUTER} partial_rotary_factor",
)
_LFM2 = LLAMA.but(  # short convolutions
    without="head_dim attention_bias mlp_bias",
    rename={
        "conv_L_cache": "recurrence.conv_kernel",
        "conv_bias": "recurrence.bias",
        "tie_embedding": "tie_word_embeddings",
    },
    options={
        "tie_word_embeddings": True,
        "num_key_value_heads": 8,
        "max_position_embeddings": 128_000,
        "recurrence.conv_kernel": 3,
    },
    fixed={
        "query_key_norm": "shared",
        "hidden_act": "silu",
        "recurrence.kind": "convolution",
        "recurrence.width": expanded("", 1),
    },
    inert="norm_eps",
)


@rule("layer_types linear_attn_config.full_attn_layers linear_attn_config.kda_layers")
def _attending_by_number(fields: Fields) -> list[Any]:
    """Kimi Linear: ``full_attn_layers`` numbers the layers that attend, from 1 on; else each fourth but the first."""
    stated, count = listed(fields, "layer_types"), len(layers(fields))
    if stated is not None:
        return stated
    given = "linear_attn_config.full_attn_layers"
    if fields.get(given) is None:
        return [FULL if layer and layer % 4 == 0 else LINEAR for layer in range(count)]
    chosen = numbers(fields, given)
    return [FULL if layer + 1 in chosen else LINEAR for layer in range(count)]


def _of_kda(name: str, default: int) -> Rule[int]:
    """A size of Kimi's delta attention, within ``linear_attn_config`` or beside it."""
    inner = {"linear_num_heads": "num_heads", "linear_head_dim": "head_dim"}.get(name, "short_conv_kernel_size")
    path = f"linear_attn_config.{inner}"
    return Rule(f"{name} {path}", lambda fields: whole(fields, path, whole(fields, name, default)))


@rule("layer_types attn_type_list")
def _attending_by_type(fields: Fields) -> list[Any]:
    """MiniMax-01: 1 in ``attn_type_list`` for a layer that attends, 0 for one that scans; else every other one."""
    stated, types = listed(fields, "layer_types"), fields.get("attn_type_list")
    if stated is not None:
        return stated
    if types is None:
        return [LINEAR if layer % 2 else FULL for layer in layers(fields)]
    if not isinstance(types, list) or any(kind not in (0, 1) for kind in types):
        msg = f"attn_type_list: given {shown(types)}, expected 0 or 1 for each layer"
        raise ValueError(msg)
    return [FULL if kind else LINEAR for kind in types]


def _width_of_a_head(fields: Fields) -> int:
    width = whole(fields, "head_dim", 0)
    return width or whole(fields, "hidden_size", 0) // max(whole(fields, "num_attention_heads", 1), 1)


_FACTORS = (
    "full_attn_alpha_factor full_attn_beta_factor linear_attn_alpha_factor linear_attn_beta_factor mlp_alpha_factor "
    "mlp_beta_factor layernorm_full_attention_alpha layernorm_full_attention_beta layernorm_linear_attention_alpha "
    "layernorm_linear_attention_beta layernorm_mlp_alpha layernorm_mlp_beta rotary_dim shared_moe_mode "
    "router_jitter_noise output_router_logits router_aux_loss_coef"
)
"""What residuals and branches of MiniMax-01 are scaled by, and its rotation."""

LINEAR_HYBRIDS: dict[str, Family] = {
    "bailing_hybrid": replace(DEEPSEEK, inert=DEEPSEEK.inert - {"head_dim"}).but(
        causal("BailingHybrid"),
        without="q_lora_rank",
        rename={
            "num_experts": "num_local_experts",
            "num_experts_per_token": "num_experts_per_tok",
            "model_max_length": "max_position_embeddings",
        },
        options={
            "num_local_experts": 512,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 768,
        },
        fixed={
            "attention_gate": "head",
            "shared_expert_intermediate_size": _shared,
            "moe_layers": routed_as_named(2),
            "layer_types": _attending_last,
            "recurrence.kind": "kda",
            "recurrence.conv_bias": False,
            "recurrence.chunk_size": 64,  # of flash-linear-attention's kernel and transformers' own code
            "recurrence.conv_kernel": _of_delta(
                "linear_conv_kernel_dim", "short_conv_kernel_size", 4, "short_conv_kernel_size"
            ),
            "recurrence.heads": _of_delta("linear_num_heads", "num_attention_heads"),
            "recurrence.groups": _of_delta("linear_num_heads", "num_attention_heads"),
            "recurrence.head_dim": _of_delta("linear_head_dim", "file.head_dim", 128, "head_dim"),
            "recurrence.state_size": _of_delta("linear_head_dim", "file.head_dim", 128, "head_dim"),
        },
        only={"q_lora_rank": None, "tie_word_embeddings": False},
        inert="kda_safe_gate kda_lower_bound mtp_loss_scaling_factor moe_renormalize num_expert_group",
    ),
    "kimi_linear": replace(
        DEEPSEEK.but(
            causal("KimiLinear"),
            rename={
                "num_experts": "num_local_experts",
                "num_experts_per_token": "num_experts_per_tok",
                "model_max_length": "max_position_embeddings",
            },
            options={
                "q_lora_rank": None,
                "num_local_experts": 256,
                "num_experts_per_tok": 8,
                "moe_intermediate_size": 1024,
            },
            fixed={
                "positions": "none",
                "shared_expert_intermediate_size": shared_width(1, "num_shared_experts"),
                "moe_layers": routed_as_named(1),
                "layer_types": _attending_by_number,
                "recurrence.kind": "kda",
                "recurrence.conv_bias": False,
                "recurrence.chunk_size": 64,  # of flash-linear-attention's kernel and transformers' own code
                "recurrence.heads": _of_kda("linear_num_heads", 32),
                "recurrence.groups": _of_kda("linear_num_heads", 32),
                "recurrence.head_dim": _of_kda("linear_head_dim", 128),
                "recurrence.state_size": _of_kda("linear_head_dim", 128),
                "recurrence.time_step_rank": _of_kda("linear_head_dim", 128),
                "recurrence.conv_kernel": _of_kda("linear_conv_kernel_dim", 4),
            },
            only={"mla_use_nope": True, "use_grouped_topk": True},
            inert="moe_renormalize num_expert_group n_group moe_router_activation_func",
        ),
        nested=("linear_attn_config",),
    ),
    "lfm2": _LFM2.but(
        causal("Lfm2"),
        fixed={
            "intermediate_size": adjusted_width,
            "layer_types": attending_at("full_attn_idxs", usual="full_attention"),
        },
        inert="block_dim block_mlp_init_scale block_norm_eps block_out_init_scale block_use_swiglu "
        "block_use_xavier_init conv_dim conv_dim_out conv_use_xavier_init num_heads use_pos_enc theta",
    ),
    "lfm2_moe": _LFM2.but(
        causal("Lfm2Moe"),
        rename={"num_experts": "num_local_experts"},
        options={"num_local_experts": 32, "num_experts_per_tok": 4, "moe_intermediate_size": 1792},
        fixed={"moe_layers": routed_from("num_dense_layers", 2), "layer_types": attending_at("full_attn_idxs")},
        inert=f"{_ROUTER} use_expert_bias",
    ),
    "lfm3": LLAMA.but(
        causal("Lfm3"),
        without="mlp_bias",
        rename={"conv_L_cache": "recurrence.conv_kernel", "conv_bias": "recurrence.bias"},
        options={
            "tie_word_embeddings": True,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "max_position_embeddings": 128_000,
            "sliding_window": 256,
            "recurrence.conv_kernel": 7,
        },
        fixed={
            "layer_types": _in_fours,
            "blocks": by_flag("use_sandwich_norm", True, yes="sandwich", no="pre"),
            "attention_gate": by_flag("use_attention_gate", True, yes="head", no="none"),
            "query_key_norm": "shared",
            "hidden_act": "silu",
            "recurrence.kind": "convolution",
            "recurrence.width": expanded("", 1),
        },
        inert="norm_eps",
    ),
    "minimax": MIXTURE.but(
        {**causal("MiniMax"), **causal("MiniMaxText01"), **causal("MiniMaxM1")},
        without="attention_bias",
        rename={"block_size": "recurrence.chunk_size"},
        options={
            "num_key_value_heads": 8,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "sliding_window": None,
            "recurrence.chunk_size": 256,
        },
        fixed={
            "layer_types": _attending_by_type,
            "recurrence.kind": "lightning",
            "recurrence.heads": lambda fields: fields["num_attention_heads"],
            "recurrence.groups": lambda fields: fields["num_attention_heads"],
            "recurrence.head_dim": _width_of_a_head,
            "recurrence.state_size": _width_of_a_head,
            "recurrence.function": lambda fields: fields["hidden_act"],
        },
        only={"postnorm": True, "sliding_window": None, "shared_intermediate_size": 0},
        inert=_FACTORS,
    ),
    "olmo_hybrid": _QWEN.but(  # where it attends norms stand behind each branch: as many, of the same width
        causal("OlmoHybrid"),
        without="head_dim",
        options={
            "recurrence.groups": lambda fields: fields["num_attention_heads"],
            "recurrence.heads": lambda fields: fields["num_attention_heads"],
            "recurrence.state_size": lambda fields: int(0.75 * fields["hidden_size"] / fields["recurrence.groups"]),
            "recurrence.head_dim": lambda fields: 2 * fields["recurrence.state_size"],
        },
        fixed={"layer_types": _attending_fourth, "query_key_norm": "across", "attention_gate": "none"},
        inert="linear_a_log_min linear_a_log_max linear_dt_min linear_dt_max linear_dt_init_floor "
        "linear_allow_neg_eigval",
    ),
    "qwen3_5_moe_text": _QWEN.but(
        causal("Qwen3_5Moe", "Qwen3_5MoeText"),
        rename={"num_experts": "num_local_experts"},
        options={
            "num_key_value_heads": 2,
            "num_local_experts": 256,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 512,
            "intermediate_size": lambda fields: fields["moe_intermediate_size"],
            "shared_expert_intermediate_size": 512,
        },
        positive="shared_expert_intermediate_size",
    ),
    "qwen3_5_text": _QWEN.but(causal("Qwen3_5", "Qwen3_5Text"), options={"num_key_value_heads": 4}),
    "qwen3_next": _QWEN.but(
        causal("Qwen3Next"),
        options={
            "num_key_value_heads": 2,
            "num_local_experts": experts_beyond_one("num_experts", 512),
            "num_experts_per_tok": 10,
            "moe_intermediate_size": 512,
            "intermediate_size": 5632,
            "shared_expert_intermediate_size": 512,
        },
        fixed={"moe_layers": routed_every("decoder_sparse_step", but="mlp_only_layers")},
        positive="shared_expert_intermediate_size",
    ),
    "recurrent_gemma": LLAMA.but(
        causal("RecurrentGemma"),
        without="head_dim mlp_bias",
        rename={
            "hidden_activation": "hidden_act",
            "attention_window_size": "sliding_window",
            "logits_soft_cap": "final_logit_softcapping",
            "conv1d_width": "recurrence.conv_kernel",
        },
        options={
            "tie_word_embeddings": True,
            "hidden_act": "gelu_pytorch_tanh",
            "sliding_window": 2048,
            "final_logit_softcapping": unless_null("logits_soft_cap", 30.0),
            "recurrence.conv_kernel": 4,
        },
        fixed={
            "layer_types": repeated_blocks,
            "intermediate_size": _half_the_stated_width,
            "mlp_bias": True,
            "attention_out_bias": True,
            "max_position_embeddings": MAX_LENGTH,
            "recurrence.kind": "lru",
            "recurrence.heads": lambda fields: fields["num_attention_heads"],
            "recurrence.head_dim": _width_per_head,
            "recurrence.function": lambda fields: fields["hidden_act"],
        },
        inert="w_init_variance_scale final_w_init_variance_scale partial_rotary_factor",
    ),
}
