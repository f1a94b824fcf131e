"""Encoder-only transformers: BERT and the tutorial's encoder are options of one shape."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from roofline.architectures.config import Config
from roofline.conventions import Conventions
from roofline.layers.attention import attention, output_projection, projections
from roofline.layers.embedding import embedding_sum, position_embedding, segment_embedding, token_embedding
from roofline.layers.feed_forward import feed_forward
from roofline.layers.head import lm_head, masked_lm_head, pooler
from roofline.layers.normalization import norm, residual_norm
from roofline.op import Op, Tensor, fuse
from roofline.program import Group, Phase, Program

_PHASES: tuple[Phase, ...] = ("encode",)


class EncoderConfig(Config):
    """Bidirectional encoder with learned positions and biases everywhere.

    ``post``: the norm follows each residual addition (BERT). ``plain``: a norm before each branch, no residuals.
    """

    type_vocab_size: int = Field(default=0, ge=0, description="rows of the segment table, 0 for none")
    tie_word_embeddings: bool = True
    blocks: Literal["post", "plain"] = "post"
    pooler: bool = False
    head: Literal["none", "masked_lm", "linear"] = "none"


def program(config: EncoderConfig, conventions: Conventions) -> Program:
    """The program of an encoder: embedding, layers, and the pooler or head if there is one."""
    layer = _post_layer if config.blocks == "post" else _plain_layer
    groups = [
        Group("embedding", _embedding(config), phases=_PHASES),
        Group("layers", layer(config, conventions), repeat="L", phases=_PHASES),
    ]
    if head := _head(config):
        groups.append(Group("head", head, phases=_PHASES))
    return Program(tuple(groups), _sizes(config))


def _sizes(config: EncoderConfig) -> dict[str, int]:
    sizes = {
        "D": config.hidden_size,
        "F": config.intermediate_size,
        "K": config.num_attention_heads,
        "G": 1,
        "H": config.hidden_size // config.num_attention_heads,
        "V": config.vocab_size,
        "L": config.num_hidden_layers,
        "P": config.max_position_embeddings,
    }
    return sizes | ({"Y": config.type_vocab_size} if config.type_vocab_size else {})


def _embedding(config: EncoderConfig) -> tuple[Op, ...]:
    segments = config.type_vocab_size > 0
    tied = config.head == "masked_lm" and config.tie_word_embeddings
    ops = [token_embedding(tied=tied), position_embedding(), *((segment_embedding(),) if segments else ())]
    total = embedding_sum(position=True, segment=segments)
    if config.blocks == "post":
        x = Tensor("x", "B T D")
        total = fuse("embedding_norm", [total, norm("embedding_norm", x, x, kind="layer")], kind="norm")
    return (*ops, total)


def _attention(conventions: Conventions, source: str) -> tuple[Op, ...]:
    return (
        *projections(bias=True, cached=False, source=source),
        *attention(mask="full", fused=conventions.attention == "fused", cached=False),
        output_projection(bias=True),
    )


def _post_layer(config: EncoderConfig, conventions: Conventions) -> tuple[Op, ...]:
    return (
        *_attention(conventions, "x"),
        residual_norm("attention_norm", Tensor("a", "B T D"), kind="layer", placement="post"),
        *feed_forward(function=config.hidden_act, gated=False, bias=True, source="x"),
        residual_norm("output_norm", Tensor("f", "B T D"), kind="layer", placement="post"),
    )


def _plain_layer(config: EncoderConfig, conventions: Conventions) -> tuple[Op, ...]:
    h = Tensor("h", "B T D")
    return (
        norm("attention_norm", Tensor("x", "B T D"), h, kind="layer"),
        *_attention(conventions, "h"),
        norm("ffn_norm", Tensor("a", "B T D"), h, kind="layer"),
        *feed_forward(function=config.hidden_act, gated=False, bias=True, output="x"),
    )


def _head(config: EncoderConfig) -> tuple[Op, ...]:
    ops: tuple[Op, ...] = pooler() if config.pooler else ()
    if config.head == "masked_lm":
        ops += masked_lm_head(function=config.hidden_act, kind="layer", tied=config.tie_word_embeddings)
    elif config.head == "linear":
        ops += (lm_head(tied=False, bias=True, source="x"),)
    return ops
