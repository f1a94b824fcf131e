"""Encoders of text: BERT, RoBERTa, ALBERT, ModernBERT and their kin are options of one shape."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from roofline.layers.attention import Mask, attention, output_projection, projections
from roofline.layers.disentangled_attention import distance_norm
from roofline.layers.embedding import (
    embedding_projection,
    embedding_sum,
    position_embedding,
    segment_embedding,
    token_embedding,
)
from roofline.layers.feed_forward import feed_forward
from roofline.layers.head import classifier, lm_head, masked_lm_head, mean_pooling, pooler
from roofline.layers.normalization import norm
from roofline.layers.relative_position import position_bias
from roofline.models.shapes.encoder_config import EncoderConfig
from roofline.models.shapes.stacks import Block, layer, stack_sizes
from roofline.program.axes import Binding
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor, fuse
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

__all__ = ["EncoderConfig", "program"]

_PHASES: tuple[Phase, ...] = (Phase.ENCODE,)
_X = Tensor("x", "B T D")


class _Kind(NamedTuple):
    """What tells the layers of one network apart: the mask, which set of weights, what the first branch reads."""

    mask: Mask
    weights: int
    source: str


def program(config: EncoderConfig, conventions: Conventions) -> Program:
    """The program of an encoder: embedding, layers, and the pooler or head if there is one."""
    width: dict[str, Binding] = {"D": "O"} if config.embedding_size else {}
    groups = [Group("embedding", _embedding(config), phases=_PHASES, local=width)]
    if config.embedding_size:
        groups.append(Group("embedding_projection", (embedding_projection(),), phases=_PHASES))
    if config.position_buckets:
        groups.append(Group("position_bias", (position_bias().rebound(P=config.position_buckets),), phases=_PHASES))
    if config.positions == "disentangled":
        groups.append(Group("distances", (distance_norm(),), phases=_PHASES))
    groups += _layers(config, conventions)
    if head := _head(config):
        groups.append(Group("head", head, phases=_PHASES))
    return Program(tuple(groups), _sizes(config))


def _sizes(config: EncoderConfig) -> dict[str, int]:
    window = None if config.local_attention is None else 2 * (config.local_attention // 2)
    more = {"Y": config.type_vocab_size or None, "O": config.embedding_size, "W": window, "P": config.distances}
    known = {letter: size for letter, size in more.items() if size is not None}
    return {**stack_sizes(config), "V": config.vocab_size, **known}


def _embedding(config: EncoderConfig) -> tuple[Op, ...]:
    stream, segments, learned = "e" if config.embedding_size else "x", config.type_vocab_size > 0, _learned(config)
    tied = config.head == "masked_lm" and config.tie_word_embeddings
    x = Tensor(stream, "B T D")
    ops = [token_embedding(output=stream, tied=tied)]
    ops += [position_embedding()] * learned + [segment_embedding()] * segments
    total = [embedding_sum(position=learned, segment=segments, stream=stream)] if learned or segments else []
    if config.blocks == "plain":
        return (*ops, *total)
    return (*ops, fuse("embedding_norm", [*total, norm("embedding_norm", x, x, kind=config.norm)], kind="norm"))


def _learned(config: EncoderConfig) -> bool:
    return config.positions == "learned"


def _layers(config: EncoderConfig, conventions: Conventions) -> list[Group]:
    """Layers of one kind are one group, wherever they stand. Where norms come first, the first layer has none of its
    own: the norm of the embedding stands before it."""
    number, sets = config.num_hidden_layers, config.num_hidden_groups
    types = config.layer_types or ["full_attention"] * number
    masks: list[Mask] = ["local" if kind == "sliding_attention" else "full" for kind in types]
    first = "x" if config.blocks == "pre" else ""
    kinds = Counter(_Kind(mask, place * sets // number, "" if place else first) for place, mask in enumerate(masks))
    groups = []
    for kind, times in kinds.items():
        name, repeat = ("layers", "L") if len(kinds) == 1 else (_name(kind, list(kinds)), times)
        groups.append(Group(name, _layer(config, conventions, kind), repeat, _PHASES, shared=sets > 0, stacked=True))
    return groups


def _name(kind: _Kind, kinds: list[_Kind]) -> str:
    words = ["first"] if kind.source else []
    if len({other.mask for other in kinds}) > 1:
        words.append("local" if kind.mask == "local" else "full")
    if len({other.weights for other in kinds}) > 1:
        words.append(f"set_{kind.weights + 1}")
    return "_".join([*words, "layers"])


def _layer(config: EncoderConfig, conventions: Conventions, kind: _Kind) -> tuple[Op, ...]:
    if config.blocks == "plain":
        return _plain_layer(config, conventions)
    block = Block(
        function=config.hidden_act,
        placement=config.blocks,
        norm=config.norm,
        gated=config.gated,
        attention_bias=config.attention_bias,
        out_bias=config.attention_bias,
        mlp_bias=config.mlp_bias,
        down_bias=config.down_bias,
        packed_qkv=config.packed_qkv,
        packed_gate=config.packed_gate,
        rotary=config.positions == "rotary",
        position_bias=config.position_buckets > 0,
        disentangled=config.positions == "disentangled",
    )
    return layer(block, conventions, mask=kind.mask, source=kind.source)


def _plain_layer(config: EncoderConfig, conventions: Conventions) -> tuple[Op, ...]:
    h = Tensor("h", "B T D")
    return (
        norm("attention_norm", _X, h, kind="layer"),
        *projections(bias=True, cached=False),
        *attention(mask="full", fused=conventions.attention == "fused", cached=False),
        output_projection(bias=True),
        norm("ffn_norm", Tensor("a", "B T D"), h, kind="layer"),
        *feed_forward(function=config.hidden_act, gated=False, bias=True, output="x"),
    )


def _head(config: EncoderConfig) -> tuple[Op, ...]:
    last = "h" if config.blocks == "pre" else "x"
    function = config.head_act or config.hidden_act
    if config.head == "masked_lm":
        return masked_lm_head(
            function=function,
            kind=config.norm,
            tied=config.tie_word_embeddings,
            width="O" if config.embedding_size else "D",
            bias=config.head_bias,
            source=last,
        )
    if config.head == "linear":
        return (lm_head(tied=False, bias=True, source="x"),)
    ops = _pooling(config, last)
    if config.head == "none":
        return ops
    return (*ops, _labels(config, "pooled" if ops else last))


def _labels(config: EncoderConfig, source: str) -> Op:
    """What scores the labels, of a sequence or of each token; the embeddings of tokens are as many labels (ColBERT)."""
    every = config.head == "token_classifier"
    return classifier(labels=config.num_labels, source=source, every=every, bias=config.labels_bias)


def _pooling(config: EncoderConfig, last: str) -> tuple[Op, ...]:
    """The dense layer before a classifier, or on its own."""
    if config.pooling == "none":
        return ()
    every, mean = config.pooling == "every", config.pooling == "mean"
    function, source = config.head_act or config.hidden_act, "mean" if mean else last
    ops = pooler(function=function, bias=config.head_bias, source=source, every=every)
    if config.head_norm:
        pooled = Tensor("pooled", "B T D")
        after = norm("pooler_norm", pooled, pooled, kind=config.norm)
        ops += (after if every else after.rebound(T=1),)
    return (mean_pooling(source=last), *ops) if mean else ops
