"""What the header of a GGUF file says of a network, in the words of a ``config.json``.

Source of the keys: the constants of the package gguf 0.19.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from roofline.classes import frozen
from roofline.errors import ConfigError, near_matches, shown
from roofline.models.gguf.header import Header

_SHAPE = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
}
_HEAD = {"attention.key_length": "head_dim"}
_WINDOW = {"attention.sliding_window": "sliding_window"}
_CAPS = {"attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"}
_GPT2 = {
    "block_count": "n_layer",
    "context_length": "n_positions",
    "embedding_length": "n_embd",
    "feed_forward_length": "n_inner",
    "attention.head_count": "n_head",
}
_LATENT = {
    "attention.kv_lora_rank": "kv_lora_rank",
    "attention.q_lora_rank": "q_lora_rank",
    "rope.dimension_count": "qk_rope_head_dim",
}
_SPARSE = {
    "expert_count": "n_routed_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_shared_count": "n_shared_experts",
    "expert_feed_forward_length": "moe_intermediate_size",
    "leading_dense_block_count": "first_k_dense_replace",
}
_LOCAL = {"expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok"}
_EXPERTS = {"expert_count": "num_experts", "expert_used_count": "num_experts_per_tok"}
_WIDTH = {"expert_feed_forward_length": "moe_intermediate_size"}

_INERT = (
    "attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon", "rope.", "vocab_size", "embedding_length_out",
    "expert_weights_scale", "expert_weights_norm", "expert_gating_func", "expert_group_count", "attention.scale",
    "expert_group_used_count", "tensor_data_layout", "use_parallel_residual", "logit_scale", "attention.causal",
)  # fmt: skip
"""Keys, or what they begin with, that change no count."""


@frozen
class Architecture:
    """A network of GGUF: its ``model_type``, what its keys are called there, what is fixed, what follows from these."""

    model_type: str
    keys: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    derived: Callable[[Header], Mapping[str, Any]] | None = None
    read: tuple[str, ...] = ()


def _latent(header: Header) -> Mapping[str, Any]:
    """Heads of latent attention: newer files state them apart from the width of what is cached."""
    said, rotated = header.fields, _whole(header, "rope.dimension_count")
    keys, values = ("attention.key_length", "attention.value_length")
    if f"{keys}_mla" in said:
        keys, values = f"{keys}_mla", f"{values}_mla"
    heads = {"qk_nope_head_dim": _whole(header, keys) - rotated, "v_head_dim": _whole(header, values)}
    return heads if "attention.q_lora_rank" in said else heads | {"q_lora_rank": None}


def _biased(header: Header) -> Mapping[str, Any]:
    return {"attention_bias": "blk.0.attn_q.bias" in header.tensors}


def _normed(header: Header) -> Mapping[str, Any]:
    return {"use_qk_norm": "blk.0.attn_q_norm.weight" in header.tensors}


def _llama(header: Header) -> Mapping[str, Any]:
    return {"attention_bias": "blk.0.attn_q.bias" in header.tensors, "mlp_bias": "blk.0.ffn_up.bias" in header.tensors}


_MLA_KEYS = ("attention.key_length", "attention.value_length", "attention.key_length_mla", "attention.value_length_mla")
_SWIGLU = {"hidden_act": "silu"}
_GEGLU = {"hidden_activation": "gelu_pytorch_tanh"}

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("llama", _SHAPE | _HEAD, _SWIGLU, _llama),
    "mixtral": Architecture("mixtral", _SHAPE | _HEAD | _LOCAL, _SWIGLU),
    "qwen2": Architecture("qwen2", _SHAPE, _SWIGLU),
    "qwen2moe": Architecture(
        "qwen2_moe",
        _SHAPE | _EXPERTS | _WIDTH | {"expert_shared_feed_forward_length": "shared_expert_intermediate_size"},
        _SWIGLU,
    ),
    "qwen3": Architecture("qwen3", _SHAPE | _HEAD, _SWIGLU),
    "qwen3moe": Architecture("qwen3_moe", _SHAPE | _HEAD | _EXPERTS | _WIDTH, _SWIGLU),
    "phi3": Architecture("phi3", _SHAPE | _WINDOW, _SWIGLU),
    "gemma": Architecture("gemma", _SHAPE | _HEAD, _GEGLU),
    "gemma2": Architecture("gemma2", _SHAPE | _HEAD | _WINDOW | _CAPS, _GEGLU),
    "gemma3": Architecture("gemma3_text", _SHAPE | _HEAD | _WINDOW, _GEGLU | {"sliding_window_pattern": 6}),
    "gpt2": Architecture("gpt2", _GPT2, {"activation_function": "gelu_new"}),
    "starcoder2": Architecture("starcoder2", _SHAPE, {"hidden_act": "gelu_pytorch_tanh"}),
    "command-r": Architecture("cohere", _SHAPE, _SWIGLU, _normed),
    "olmo2": Architecture("olmo2", _SHAPE, _SWIGLU),
    "glm4moe": Architecture("glm4_moe", _SHAPE | _HEAD | _SPARSE, _SWIGLU, lambda h: {**_biased(h), **_normed(h)}),
    "deepseek2": Architecture("deepseek_v3", _SHAPE | _LATENT | _SPARSE, _SWIGLU, _latent, _MLA_KEYS),
    "gpt-oss": Architecture(
        "gpt_oss",
        _SHAPE | _HEAD | _WINDOW | _LOCAL | {"expert_feed_forward_length": "intermediate_size"},
        {"attention_bias": True},
    ),
}
"""What is read, by ``general.architecture``; a ``llama`` with experts is what others call mixtral."""


def fields_of(header: Header) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a ``config.json``, and warnings of keys that are not modelled.

    Raises ConfigError, in one line, for an architecture that is not known and a key that is missing or of layers that
    differ.
    """
    name = "mixtral" if header.architecture == "llama" and header.fields.get("expert_count") else header.architecture
    if name not in ARCHITECTURES:
        others = [each for each in ARCHITECTURES if each != "mixtral"]
        msg = f"{header.file}: architecture {shown(name)} is not modelled; {near_matches(name, others)}"
        raise ConfigError(msg)
    known = ARCHITECTURES[name]
    stated = {field: _whole(header, key) for key, field in known.keys.items() if key in header.fields}
    table = header.tensors.get("token_embd.weight")
    width = header.fields.get("embedding_length")
    rows = table.elements // width if table and isinstance(width, int) and width else header.vocabulary
    fields = {
        "model_type": known.model_type, **known.fixed, **stated, "vocab_size": rows,
        "tie_word_embeddings": "output.weight" not in header.tensors,
        **(known.derived(header) if known.derived else {}),
    }  # fmt: skip
    read = (*known.keys, *known.read)
    unread = sorted(key for key in header.fields if key not in read and not key.startswith(_INERT) and key not in _HEAD)
    return fields, tuple(f"{header.file}: {key} of the header is not modelled and was ignored" for key in unread)


def _whole(header: Header, key: str) -> Any:
    """A number of the header. Raises ConfigError where there is none, or one for each layer and these differ."""
    value = header.fields.get(key)
    if isinstance(value, list) and len(set(value)) == 1:
        value = value[0]
    if isinstance(value, list):
        msg = f"{header.file}: {key} differs from layer to layer, which is not modelled in a GGUF file"
        raise ConfigError(msg)
    if not isinstance(value, int | float) or isinstance(value, bool):
        msg = f"{header.file}: {key}: given {shown(value)}, expected a number"
        raise ConfigError(msg)
    return value
