"""Decoder-only transformers: GPT-2, Llama, Qwen3 and their kin are options of one shape."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from roofline.architectures.config import Config, Size
from roofline.conventions import Conventions
from roofline.errors import shown
from roofline.layers.attention import attention, output_projection, projections, query_key_norm, rotary
from roofline.layers.embedding import embedding_sum, position_embedding, token_embedding
from roofline.layers.feed_forward import feed_forward
from roofline.layers.head import lm_head, sampling
from roofline.layers.normalization import Norm, norm, residual_norm
from roofline.op import Op, Tensor
from roofline.program import Group, Phase, Program

_PHASES: tuple[Phase, ...] = ("prefill", "decode")


class DecoderConfig(Config):
    """Pre-norm decoder: which norm, which positions, how many key/value heads, gated or not, which biases."""

    num_key_value_heads: Size
    head_dim: Size
    tie_word_embeddings: bool
    norm: Norm
    positions: Literal["rotary", "learned"]
    gated: bool
    attention_bias: bool = False
    attention_out_bias: bool = Field(default=False, description="bias of the output projection")
    mlp_bias: bool = False
    packed_qkv: bool = Field(default=False, description="query, key and value projections are one matmul")
    query_key_norm: bool = False
    head: bool = True

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, fields: Any) -> Any:
        heads = fields.get("num_attention_heads")
        derived = dict(fields)
        if derived.get("num_key_value_heads") is None:
            derived["num_key_value_heads"] = heads
        if derived.get("head_dim") is None and isinstance(heads, int) and isinstance(fields.get("hidden_size"), int):
            derived["head_dim"] = fields["hidden_size"] // max(heads, 1)
        kv_heads = derived["num_key_value_heads"]
        if isinstance(kv_heads, int) and isinstance(heads, int) and kv_heads > 0 and heads % kv_heads:
            msg = f"num_key_value_heads {shown(kv_heads)} does not divide num_attention_heads {shown(heads)}"
            raise ValueError(msg)
        return derived


def program(config: DecoderConfig, conventions: Conventions) -> Program:
    """The program of a decoder: embedding and first norm, the layers, the head.

    The norm behind a branch belongs to the residual addition before it, so a layer ends with the next layer's input
    norm, or, in the last layer, with the final one.
    """
    groups = [
        Group("embedding", _embedding(config), phases=_PHASES),
        Group("layers", _layer(config, conventions), repeat="L", phases=_PHASES),
    ]
    if config.head:
        groups.append(Group("head", _head(config, conventions), phases=_PHASES))
    return Program(tuple(groups), _sizes(config))


def _sizes(config: DecoderConfig) -> dict[str, int]:
    kv_heads = config.num_key_value_heads
    return {
        "D": config.hidden_size,
        "F": config.intermediate_size,
        "K": kv_heads,
        "G": config.num_attention_heads // kv_heads,
        "H": config.head_dim,
        "V": config.vocab_size,
        "L": config.num_hidden_layers,
        "P": config.max_position_embeddings,
    }


def _embedding(config: DecoderConfig) -> tuple[Op, ...]:
    ops = [token_embedding(tied=config.head and config.tie_word_embeddings)]
    if config.positions == "learned":
        ops += [position_embedding(), embedding_sum(position=True, segment=False)]
    return (*ops, norm("input_norm", Tensor("x", "B T D"), Tensor("h", "B T D"), kind=config.norm))


def _layer(config: DecoderConfig, conventions: Conventions) -> tuple[Op, ...]:
    return (
        *projections(bias=config.attention_bias, packed=config.packed_qkv),
        *((query_key_norm(),) if config.query_key_norm else ()),
        *((rotary(),) if config.positions == "rotary" else ()),
        *attention(
            mask="causal", fused=conventions.attention == "fused", square=conventions.count == "square", cached=True
        ),
        output_projection(bias=config.attention_out_bias),
        residual_norm("ffn_norm", Tensor("a", "B T D"), kind=config.norm, placement="pre"),
        *feed_forward(function=config.hidden_act, gated=config.gated, bias=config.mlp_bias),
        residual_norm("output_norm", Tensor("f", "B T D"), kind=config.norm, placement="pre"),
    )


def _head(config: DecoderConfig, conventions: Conventions) -> tuple[Op, ...]:
    head = lm_head(tied=config.tie_word_embeddings)
    return (head.rebound(T=1) if conventions.lm_head == "last" else head, sampling())
