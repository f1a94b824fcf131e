"""A network in Megatron-LM's arguments: which sizes they state, and of which family a network of such sizes is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from roofline.engines.said import Said
from roofline.errors import UsageError
from roofline.models.model import Model, load_model
from roofline.models.shapes.decoder_config import DecoderConfig
from roofline.training.launching.said import refuse, whole_number

_SIZES = {
    "layers": "num_hidden_layers", "hidden": "hidden_size", "ffn": "intermediate_size", "heads": "num_attention_heads",
    "head_dim": "head_dim", "positions": "max_position_embeddings", "vocab": "vocab_size",
}  # fmt: skip
"""Meaning -> field of Hugging Face's configuration."""

_NEEDED = {"layers": "--num-layers", "hidden": "--hidden-size", "heads": "--num-attention-heads",
           "vocab": "--vocab-size", "positions": "--max-position-embeddings"}  # fmt: skip


def sizes_of(model: Model) -> dict[str, Said]:
    """What arguments say of a network. Raises UsageError for one that they do not make, by the field that differs."""
    config = model.config
    if not isinstance(config, DecoderConfig) or not config.head:
        refuse("megatron", f"pretrain_gpt.py trains decoders with a head, and {model.name} is none")
    if config.kv_lora_rank:
        refuse("megatron", f"{model.name} has latent attention, whose flags are not modelled; give --launch torchtitan")
    fields = config.model_dump()
    said: dict[str, Said] = {meaning: fields[field] for meaning, field in _SIZES.items()}
    said |= {"position": config.positions, "norm": config.norm, "vocab_step": 1}
    switches = {
        "grouped": config.num_key_value_heads != config.num_attention_heads, "gated": config.gated,
        "unbiased": not config.mlp_bias, "qkv_bias": config.attention_bias and not config.mlp_bias,
        "qk_norm": config.query_key_norm == "shared", "untied": not config.tie_word_embeddings,
    }  # fmt: skip
    said |= {meaning: True for meaning, there in switches.items() if there}
    if switches["grouped"]:
        said["kv_heads"] = int(config.num_key_value_heads or config.num_attention_heads)
    if config.num_local_experts:
        width = config.moe_intermediate_size or config.intermediate_size
        said |= {"experts": config.num_local_experts, "topk": int(config.num_experts_per_tok or 1), "expert_ffn": width}
    _check_same(model, said)
    return said


def _check_same(model: Model, said: Mapping[str, Said]) -> None:
    """Raises UsageError where the arguments make another network."""
    read = load_model(model_of(said, 1))
    one, other = model.config.model_dump(), read.config.model_dump()
    if differs := next((name for name in one if name not in _FREE and one[name] != other.get(name)), None):
        refuse("megatron", f"no flags make the {differs} of {model.name}")
    if read.parameters != model.parameters:
        refuse("megatron", f"no flags make {model.name}: they make {read.parameters:,} parameters")


_FREE = ("intermediate_size", "moe_intermediate_size", "hidden_act", "max_position_embeddings")
"""Fields that sizes decide elsewhere, or that change nothing."""


def network_of(said: Mapping[str, Said], tp: int) -> Model:
    """The network that arguments make, called by its kind and its sizes. Raises UsageError for one of no family.

    >>> sizes = {"layers": 24, "hidden": 1024, "heads": 16, "vocab": 50257, "positions": 1024}
    >>> network_of(sizes, 1).name
    'gpt2 of 24 layers of 1024'
    """
    fields = model_of(said, tp)
    name = f"{fields['model_type']} of {fields['num_hidden_layers']} layers of {fields['hidden_size']}"
    return replace(load_model(fields), name=name)


def model_of(said: Mapping[str, Said], tp: int) -> dict[str, Any]:
    """The fields of Hugging Face of the network that arguments make. Raises UsageError for one of no family.

    The vocabulary is padded as Megatron-LM pads it, to a multiple of 128 on each device of tp.
    """
    if missing := next((flag for meaning, flag in _NEEDED.items() if meaning not in said), None):
        msg = f"from: {missing} is missing"
        raise UsageError(msg)
    step = whole_number(said, "vocab_step", 128)
    step = step * tp if step > 1 else 1
    hidden, heads = whole_number(said, "hidden", 1), whole_number(said, "heads", 1)
    fields: dict[str, Any] = {
        field: whole_number(said, meaning, 1) for meaning, field in _SIZES.items() if meaning in said
    }
    fields["vocab_size"] = -(-whole_number(said, "vocab", 1) // step) * step
    fields["tie_word_embeddings"] = not said.get("untied")
    fields.setdefault("intermediate_size", 4 * hidden)
    fields.setdefault("head_dim", hidden // heads)
    fields["num_key_value_heads"] = whole_number(said, "kv_heads", 1) if said.get("grouped") else heads
    own = _family(said, fields)
    alike = fields["head_dim"] * heads == hidden and fields["num_key_value_heads"] == heads
    if own["model_type"] == "gpt2" and not alike:
        msg = "from: heads of GPT-2's kind have keys of their own, and make up the hidden size; expected the same"
        raise UsageError(msg)
    lost = ("head_dim", "num_key_value_heads") if own["model_type"] == "gpt2" else ()  # which it has no fields for
    return {name: each for name, each in fields.items() if name not in lost} | own


def _family(said: Mapping[str, Said], fields: Mapping[str, Any]) -> dict[str, Any]:
    """What its family adds. Raises UsageError for a mix of switches that no family has."""
    kind = (said.get("position", "learned"), said.get("norm", "layer"), *(bool(said.get(each)) for each in _SWITCHES))
    if kind == ("learned", "layer", *(False,) * 6) and "experts" not in said:
        return {
            "model_type": "gpt2", "n_embd": fields["hidden_size"], "n_layer": fields["num_hidden_layers"],
            "n_head": fields["num_attention_heads"], "n_inner": fields["intermediate_size"],
            "n_positions": fields["max_position_embeddings"],
        }  # fmt: skip
    bias, normed = bool(said.get("qkv_bias")), bool(said.get("qk_norm"))
    if kind[:4] != ("rotary", "rms", True, True) or (bias and (normed or "experts" in said)):
        msg = (
            "from: of networks, GPT-2's kind is modelled, with biases, LayerNorm and learned positions, and Llama's, "
            "with --position-embedding-type rope, --normalization RMSNorm, --swiglu, --disable-bias-linear and, of "
            "dense ones, --add-qkv-bias or --qk-layernorm"
        )
        raise UsageError(msg)
    if "experts" not in said:
        return {"model_type": "qwen3" if normed else "qwen2" if bias else "llama", "hidden_act": "silu"}
    width, count = whole_number(said, "expert_ffn", int(fields["intermediate_size"])), whole_number(said, "experts", 1)
    own = {"num_experts_per_tok": whole_number(said, "topk", 2), "hidden_act": "silu"}
    if normed:
        return {**own, "model_type": "qwen3_moe", "num_experts": count, "moe_intermediate_size": width,
                "decoder_sparse_step": 1, "mlp_only_layers": []}  # fmt: skip
    return {**own, "model_type": "mixtral", "num_local_experts": count, "intermediate_size": width}


_SWITCHES = ("gated", "unbiased", "grouped", "qk_norm", "qkv_bias", "untied")
