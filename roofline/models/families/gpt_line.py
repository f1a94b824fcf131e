"""The decoders with LayerNorm, the line of GPT-2: one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import BASE, CAUSAL, USUAL, Family, causal, names
from roofline.models.families.patterns import (
    as_attention_bias,
    every_layer_windowed,
    flag,
)
from roofline.models.shapes import decoder

_GPT_FIELDS = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_positions": "max_position_embeddings",
    "n_inner": "intermediate_size",
    "activation_function": "hidden_act",
}
_ALL_BIASES = {"attention_bias": True, "attention_out_bias": True, "mlp_bias": True}


def _four_times(fields: Mapping[str, Any]) -> int:
    return 4 * int(fields["hidden_size"])


def _parallel(name: str, default: bool, parallel: str) -> Any:
    return lambda fields: parallel if flag(fields, name, default) else "pre"


def _falcon_blocks(fields: Mapping[str, Any]) -> str:
    new = flag(fields, "new_decoder_architecture", False)
    if not flag(fields, "parallel_attn", True):
        return "pre"
    stated = fields.get("num_ln_in_parallel_attn")
    if stated not in (None, 1, 2):
        msg = f"num_ln_in_parallel_attn: given {shown(stated)}, expected 1 or 2"
        raise ValueError(msg)
    return "parallel_norms" if (stated or 1 + new) == 2 else "parallel"


def _falcon_kv_heads(fields: Mapping[str, Any]) -> Any:
    heads = fields["num_attention_heads"]
    if not flag(fields, "new_decoder_architecture", False):
        return 1 if flag(fields, "multi_query", True) else heads
    return heads if fields.get("num_kv_heads") is None else fields["num_kv_heads"]


def _mpt_positions(fields: Mapping[str, Any]) -> str:
    attention = fields.get("attn_config") or {}
    usual = {"alibi": True, "qk_ln": False, "prefix_lm": False, "attn_type": "multihead_attention"}
    for name, value in usual.items():
        if not isinstance(attention, Mapping) or attention.get(name, value) != value:
            msg = f"attn_config.{name}: not modelled; expected {shown(value)}"
            raise ValueError(msg)
    return "alibi"


def _opt_offset(fields: Mapping[str, Any]) -> int:
    hidden = fields["hidden_size"]
    if fields.get("word_embed_proj_dim") not in (None, hidden):
        msg = f"word_embed_proj_dim: not modelled; expected hidden_size {shown(hidden)}"
        raise ValueError(msg)
    return 2


def _bias(name: str, default: bool) -> Any:
    return lambda fields: flag(fields, name, default)


GPT_LINE: dict[str, Family] = {
    "bloom": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("tie_word_embeddings"),
        classes=causal("Bloom"),
        rename={
            "n_layer": "num_hidden_layers",
            "n_head": "num_attention_heads",
            "n_embed": "hidden_size",
            "num_attention_heads": "num_attention_heads",
            "seq_length": "max_position_embeddings",
        },
        defaults={
            "intermediate_size": _four_times,
            "max_position_embeddings": 2048,  # what it was trained at (arXiv 2211.05100, table 3); ALiBi sets no limit
            "tie_word_embeddings": True,
        },
        fixed={
            **_ALL_BIASES,
            "norm": "layer",
            "positions": "alibi",
            "gated": False,
            "hidden_act": "gelu",
            "packed_qkv": True,
            "embedding_norm": True,
        },
        only={**USUAL, "apply_residual_connection_post_layernorm": False},
        inert=names(
            "slow_but_exact skip_bias_add skip_bias_add_qkv attention_softmax_in_fp32 bias_dropout_fusion "
            "masked_softmax_fusion offset_alibi unk_token_id n_inner"
        ),
    ),
    "cohere": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads attention_bias tie_word_embeddings"),
        classes=causal("Cohere"),
        defaults={
            "tie_word_embeddings": True,
            "hidden_act": "silu",
            "attention_out_bias": as_attention_bias,
            "query_key_norm": lambda fields: "per_head" if flag(fields, "use_qk_norm", False) else "none",
        },
        fixed={"norm": "layer_gain", "positions": "rotary", "gated": True, "blocks": "parallel"},
        only=USUAL,
        reads=names("use_qk_norm"),
        inert=names("logit_scale model_max_length"),
    ),
    "falcon": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("tie_word_embeddings"),
        classes=causal("Falcon"),
        rename={
            "ffn_hidden_size": "intermediate_size",
            "activation": "hidden_act",
            "n_layer": "num_hidden_layers",
            "n_head": "num_attention_heads",
        },
        defaults={
            "intermediate_size": _four_times,
            "max_position_embeddings": 2048,
            "hidden_act": "gelu",
            "tie_word_embeddings": True,
            "num_key_value_heads": _falcon_kv_heads,
            "blocks": _falcon_blocks,
            "positions": lambda fields: "alibi" if flag(fields, "alibi", False) else "rotary",
            **dict.fromkeys(_ALL_BIASES, _bias("bias", False)),
        },
        fixed={"norm": "layer", "gated": False, "packed_qkv": True},
        only=USUAL,
        reads=names(
            "bias alibi parallel_attn new_decoder_architecture multi_query num_kv_heads num_ln_in_parallel_attn"
        ),
        inert=names("apply_residual_connection_post_layernorm"),
    ),
    "gpt2": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("tie_word_embeddings"),
        classes={"GPT2LMHeadModel": CAUSAL, "GPT2Model": BASE},
        rename=_GPT_FIELDS,
        defaults={"intermediate_size": _four_times, "hidden_act": "gelu_new", "tie_word_embeddings": True},
        fixed={**_ALL_BIASES, "norm": "layer", "positions": "learned", "gated": False, "packed_qkv": True},
        only=USUAL,
        inert=names(
            "n_ctx scale_attn_weights scale_attn_by_inverse_layer_idx "
            "reorder_and_upcast_attn summary_activation summary_first_dropout summary_proj_to_labels "
            "summary_type summary_use_proj"
        ),
    ),
    "gpt_neox": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("attention_bias tie_word_embeddings"),
        classes=causal("GPTNeoX"),
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "gelu",
            "attention_bias": True,
            "attention_out_bias": as_attention_bias,
            "blocks": _parallel("use_parallel_residual", True, "parallel_norms"),
        },
        fixed={"norm": "layer", "positions": "rotary", "gated": False, "mlp_bias": True, "packed_qkv": True},
        only=USUAL,
        reads=names("use_parallel_residual"),
        inert=names("rotary_pct rotary_emb_base"),
    ),
    "gptj": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("tie_word_embeddings"),
        classes=causal("GPTJ"),
        rename=_GPT_FIELDS,
        defaults={"intermediate_size": _four_times, "hidden_act": "gelu_new", "tie_word_embeddings": False},
        fixed={
            "norm": "layer",
            "positions": "rotary",
            "gated": False,
            "mlp_bias": True,
            "head_bias": True,
            "blocks": "parallel",
        },
        only=USUAL,
        inert=names(
            "rotary rotary_dim scale_attn_weights summary_activation summary_first_dropout "
            "summary_proj_to_labels summary_type summary_use_proj n_ctx"
        ),
    ),
    "mpt": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("tie_word_embeddings"),
        classes=causal("Mpt"),
        rename={
            "d_model": "hidden_size",
            "n_heads": "num_attention_heads",
            "n_layers": "num_hidden_layers",
            "max_seq_len": "max_position_embeddings",
        },
        defaults={
            "intermediate_size": _four_times,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
            "positions": _mpt_positions,
        },
        fixed={"norm": "layer_gain", "gated": False, "hidden_act": "gelu", "packed_qkv": True},
        only={**USUAL, "no_bias": True, "expansion_ratio": 4},
        reads=names("attn_config"),
        inert=names("emb_pdrop init_device logit_scale embedding_fraction norm_type learned_pos_emb verbose"),
    ),
    "opt": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("tie_word_embeddings"),
        classes=causal("OPT"),
        rename={"ffn_dim": "intermediate_size", "activation_function": "hidden_act"},
        defaults={"hidden_act": "relu", "tie_word_embeddings": True, "position_offset": _opt_offset},
        reads=names("word_embed_proj_dim"),
        fixed={**_ALL_BIASES, "norm": "layer", "positions": "learned", "gated": False},
        only={
            **USUAL,
            "do_layer_norm_before": True,
            "_remove_final_layer_norm": False,
            "enable_bias": True,
            "layer_norm_elementwise_affine": True,
        },
        inert=names("dropout activation_dropout layerdrop init_std"),
    ),
    "phi": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads tie_word_embeddings"),
        classes=causal("Phi"),
        defaults={"tie_word_embeddings": False, "hidden_act": "gelu_new"},
        fixed={
            **_ALL_BIASES,
            "norm": "layer",
            "positions": "rotary",
            "gated": False,
            "head_bias": True,
            "blocks": "parallel",
        },
        only={**USUAL, "qk_layernorm": False},
        inert=names("partial_rotary_factor"),
    ),
    "stablelm": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads tie_word_embeddings"),
        classes=causal("StableLm"),
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "attention_bias": _bias("use_qkv_bias", False),
            "blocks": _parallel("use_parallel_residual", False, "parallel"),
        },
        fixed={"norm": "layer", "positions": "rotary", "gated": True},
        only={**USUAL, "qk_layernorm": False},
        reads=names("use_qkv_bias use_parallel_residual"),
        inert=names("partial_rotary_factor rope_pct"),
    ),
    "starcoder2": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=names("num_key_value_heads tie_word_embeddings sliding_window"),
        classes=causal("Starcoder2"),
        defaults={
            "tie_word_embeddings": True,
            "hidden_act": "gelu_pytorch_tanh",
            "num_key_value_heads": 2,
            "layer_types": every_layer_windowed,
            **dict.fromkeys(_ALL_BIASES, _bias("use_bias", True)),
        },
        fixed={"norm": "layer", "positions": "rotary", "gated": False},
        only=USUAL,
        reads=names("use_bias"),
        inert=names("norm_epsilon residual_dropout embedding_dropout mlp_type norm_type"),
    ),
}
