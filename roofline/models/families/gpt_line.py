"""The decoders with LayerNorm, the line of GPT-2: how each departs from Llama."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Family, Fields, Rule, causal, rule
from roofline.models.families.llama_line import LLAMA
from roofline.models.families.rules import (
    as_attention_bias,
    by_flag,
    every_layer_windowed,
    flag,
    full_every,
    rotated_where_windowed,
    unless_null,
)


def _four_times(fields: Fields) -> int:
    width: int = fields["hidden_size"]
    return 4 * width


def _all_biases(value: Any) -> dict[str, Any]:
    return dict.fromkeys(("attention_bias", "attention_out_bias", "mlp_bias"), value)


@rule("parallel_attn new_decoder_architecture num_ln_in_parallel_attn")
def _falcon_blocks(fields: Fields) -> str:
    new = flag(fields, "new_decoder_architecture", False)
    if not flag(fields, "parallel_attn", True):
        return "pre"
    stated = fields.get("num_ln_in_parallel_attn")
    if stated not in (None, 1, 2):
        msg = f"num_ln_in_parallel_attn: given {shown(stated)}, expected 1 or 2"
        raise ValueError(msg)
    return "parallel_norms" if (stated or 1 + new) == 2 else "parallel"


@rule("new_decoder_architecture multi_query num_kv_heads")
def _falcon_kv_heads(fields: Fields) -> Any:
    heads = fields["num_attention_heads"]
    if not flag(fields, "new_decoder_architecture", False):
        return 1 if flag(fields, "multi_query", True) else heads
    return heads if fields.get("num_kv_heads") is None else fields["num_kv_heads"]


@rule("attn_config")
def _mpt_positions(fields: Fields) -> str:
    attention = {} if fields.get("attn_config") is None else fields["attn_config"]
    usual = {"alibi": True, "qk_ln": False, "prefix_lm": False, "attn_type": "multihead_attention"}
    for name, value in usual.items():
        if not isinstance(attention, Mapping) or attention.get(name, value) != value:
            msg = f"attn_config.{name}: not modelled; expected {shown(value)}"
            raise ValueError(msg)
    return "alibi"


@rule("word_embed_proj_dim")
def _opt_offset(fields: Fields) -> int:
    hidden = fields["hidden_size"]
    if fields.get("word_embed_proj_dim") not in (None, hidden):
        msg = f"word_embed_proj_dim: not modelled; expected hidden_size {shown(hidden)}"
        raise ValueError(msg)
    return 2


_GPT = LLAMA.but(
    without="num_key_value_heads head_dim",
    options={"tie_word_embeddings": True},
    fixed={"norm": "layer", "gated": False, **_all_biases(True)},
)
"""What GPT-2 shares with those after it: LayerNorm, no gate, biases everywhere, as many key as query heads."""

_NAMES_OF_GPT2 = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_positions": "max_position_embeddings",
    "n_inner": "intermediate_size",
    "activation_function": "hidden_act",
}
_INERT_IN_GPT2 = (
    "n_ctx scale_attn_weights summary_activation summary_first_dropout summary_proj_to_labels summary_type "
    "summary_use_proj"
)

GPT_LINE: dict[str, Family] = {
    "bloom": _GPT.but(
        causal("Bloom"),
        rename={
            "n_layer": "num_hidden_layers",
            "n_head": "num_attention_heads",
            "n_embed": "hidden_size",
            "num_attention_heads": "num_attention_heads",
            "seq_length": "max_position_embeddings",
        },
        options={
            "intermediate_size": _four_times,
            "max_position_embeddings": 2048,  # what it was trained at (arXiv 2211.05100, table 3); ALiBi sets no limit
        },
        fixed={"positions": "alibi", "hidden_act": "gelu", "packed_qkv": True, "embedding_norm": True},
        only={"apply_residual_connection_post_layernorm": False},
        inert="slow_but_exact skip_bias_add skip_bias_add_qkv attention_softmax_in_fp32 bias_dropout_fusion "
        "masked_softmax_fusion offset_alibi unk_token_id n_inner",
    ),
    "cohere": LLAMA.but(
        causal("Cohere"),
        without="head_dim mlp_bias",
        options={"tie_word_embeddings": True},
        fixed={
            "norm": "layer_gain",
            "blocks": "parallel",
            "query_key_norm": by_flag("use_qk_norm", False, yes="per_head", no="none"),
        },
        inert="logit_scale model_max_length",
    ),
    "cohere2": LLAMA.but(
        causal("Cohere2"),
        without="head_dim mlp_bias",
        options={
            "tie_word_embeddings": True,
            "sliding_window": unless_null("sliding_window", 4096),
            "layer_types": full_every(4),
        },
        fixed={"norm": "layer_gain", "blocks": "parallel", "no_rope_layers": rotated_where_windowed},
        inert="logit_scale model_max_length head_dim order_of_interleaved_layers use_gated_activation "
        "use_parallel_block use_parallel_embedding use_embedding_sharing rotary_pct "
        "cache_implementation",
        only={"use_qk_norm": False},
    ),
    "falcon": _GPT.but(
        causal("Falcon"),
        rename={
            "n_layer": "num_hidden_layers",
            "n_head": "num_attention_heads",
            "activation": "hidden_act",
            "ffn_hidden_size": "intermediate_size",
        },
        options={"intermediate_size": _four_times, "max_position_embeddings": 2048, "hidden_act": "gelu"},
        fixed={
            **_all_biases(by_flag("bias", False)),
            "num_key_value_heads": _falcon_kv_heads,
            "blocks": _falcon_blocks,
            "positions": by_flag("alibi", False, yes="alibi", no="rotary"),
            "packed_qkv": True,
        },
        inert="apply_residual_connection_post_layernorm",
    ),
    "gpt2": _GPT.but(
        {"GPT2LMHeadModel": {"head": True}, "GPT2Model": {"head": False}},
        rename=_NAMES_OF_GPT2,
        options={"intermediate_size": _four_times, "hidden_act": "gelu_new"},
        fixed={"positions": "learned", "packed_qkv": True},
        inert=f"{_INERT_IN_GPT2} scale_attn_by_inverse_layer_idx reorder_and_upcast_attn",
    ),
    "gpt_bigcode": _GPT.but(
        causal("GPTBigCode"),
        rename=_NAMES_OF_GPT2,
        options={"intermediate_size": _four_times, "hidden_act": "gelu_pytorch_tanh"},
        fixed={
            "positions": "learned",
            "packed_qkv": True,
            "num_key_value_heads": Rule(
                "multi_query", lambda f: 1 if flag(f, "multi_query", True) else f["num_attention_heads"]
            ),
        },
        inert=f"{_INERT_IN_GPT2} attention_softmax_in_fp32 scale_attention_softmax_in_fp32 inference_runner "
        "validate_runner_input pre_allocate_kv_cache max_sequence_length max_batch_size",
    ),
    "gpt_neox": _GPT.but(
        causal("GPTNeoX"),
        options={"attention_bias": True, "tie_word_embeddings": False, "hidden_act": "gelu"},
        fixed={
            "attention_out_bias": as_attention_bias,
            "blocks": by_flag("use_parallel_residual", True, yes="parallel_norms", no="pre"),
            "packed_qkv": True,
        },
        inert="rotary_pct rotary_emb_base",
    ),
    "gptj": _GPT.but(
        causal("GPTJ"),
        rename=_NAMES_OF_GPT2,
        options={"intermediate_size": _four_times, "hidden_act": "gelu_new", "tie_word_embeddings": False},
        fixed={"attention_bias": False, "attention_out_bias": False, "head_bias": True, "blocks": "parallel"},
        inert=f"{_INERT_IN_GPT2} rotary rotary_dim",
    ),
    "mpt": _GPT.but(
        causal("Mpt"),
        rename={
            "d_model": "hidden_size",
            "n_heads": "num_attention_heads",
            "n_layers": "num_hidden_layers",
            "max_seq_len": "max_position_embeddings",
        },
        options={"intermediate_size": _four_times, "max_position_embeddings": 2048},
        fixed={
            **_all_biases(False),
            "norm": "layer_gain",
            "positions": _mpt_positions,
            "hidden_act": "gelu",
            "packed_qkv": True,
        },
        only={"no_bias": True, "expansion_ratio": 4},
        inert="emb_pdrop init_device logit_scale embedding_fraction norm_type learned_pos_emb verbose",
    ),
    "opt": _GPT.but(
        causal("OPT"),
        rename={"ffn_dim": "intermediate_size", "activation_function": "hidden_act"},
        options={"hidden_act": "relu"},
        fixed={"positions": "learned", "position_offset": _opt_offset},
        only={
            "do_layer_norm_before": True,
            "_remove_final_layer_norm": False,
            "enable_bias": True,
            "layer_norm_elementwise_affine": True,
        },
        inert="dropout activation_dropout layerdrop init_std",
    ),
    "phi": _GPT.but(
        causal("Phi"),
        options={"num_key_value_heads": None, "tie_word_embeddings": False, "hidden_act": "gelu_new"},
        fixed={"head_bias": True, "blocks": "parallel"},
        only={"qk_layernorm": False},
        inert="partial_rotary_factor",
    ),
    "stablelm": LLAMA.but(
        causal("StableLm"),
        without="head_dim mlp_bias",
        options={"num_key_value_heads": unless_null("num_key_value_heads", 32)},
        fixed={
            "norm": "layer",
            "attention_bias": by_flag("use_qkv_bias", False),
            "attention_out_bias": False,
            "blocks": by_flag("use_parallel_residual", False, yes="parallel", no="pre"),
        },
        only={"qk_layernorm": False},
        inert="partial_rotary_factor rope_pct",
    ),
    "starcoder2": _GPT.but(
        causal("Starcoder2"),
        options={"num_key_value_heads": 2, "hidden_act": "gelu_pytorch_tanh", "sliding_window": None},
        fixed={**_all_biases(by_flag("use_bias", True)), "layer_types": every_layer_windowed},
        inert="norm_epsilon residual_dropout embedding_dropout mlp_type norm_type",
    ),
}
