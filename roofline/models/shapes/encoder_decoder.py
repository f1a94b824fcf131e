"""Encoder-decoders: T5, BART, Marian, Whisper and their kin are options of one shape.

In encode the encoder reads M tokens, and each layer of the decoder projects them to its cross-attention's keys and
values; in prefill the decoder reads the tokens that it begins with, in decode one token a step.
"""

from __future__ import annotations

from roofline.layers.cross_attention import cross_attention, cross_keys_values
from roofline.layers.embedding import embedding_sum, position_embedding, token_embedding
from roofline.layers.head import lm_head, sampling
from roofline.layers.normalization import norm, residual_norm
from roofline.layers.relative_position import position_bias
from roofline.layers.sound import sound_embedding
from roofline.models.shapes.encoder_decoder_config import EncoderDecoderConfig
from roofline.models.shapes.stacks import Block, feed_forward_of, input_of, layer, self_attention, stack_sizes
from roofline.program.axes import Binding
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

__all__ = ["EncoderDecoderConfig", "program"]

_ENCODE: tuple[Phase, ...] = (Phase.ENCODE,)
_DECODE: tuple[Phase, ...] = (Phase.PREFILL, Phase.DECODE)
_X = Tensor("x", "B T D")


def program(config: EncoderDecoderConfig, conventions: Conventions) -> Program:
    """The program: the encoder and the cross-attention's keys and values, then the decoder and its head."""
    groups = _encoder(config, conventions)
    if config.stacks == "both":
        groups += _decoder(config, conventions)
    return Program(tuple(groups), _sizes(config))


def _sizes(config: EncoderDecoderConfig) -> dict[str, int]:
    """The decoder's sizes; an encoder alone has its own."""
    positions = config.position_buckets or config.decoder_positions + config.position_offset
    sizes = {**stack_sizes(config), "V": config.vocab_size, "P": positions}
    if config.head_dim:
        sizes["H"] = config.head_dim
    return sizes if config.stacks == "both" else {**sizes, **_encoder_sizes(config), "L": config.encoder_layers}


def _encoder_sizes(config: EncoderDecoderConfig) -> dict[str, int]:
    heads = config.encoder_attention_heads
    sizes = {
        "F": config.encoder_ffn_dim,
        "K": heads,
        "H": config.head_dim or config.hidden_size // heads,
        "P": config.position_buckets or config.max_position_embeddings + config.position_offset,
    }
    return sizes | ({} if config.num_mel_bins is None else {"I": config.num_mel_bins})


def _block(config: EncoderDecoderConfig) -> Block:
    return Block(
        config.hidden_act,
        placement=config.blocks,
        norm=config.norm,
        gated=config.gated,
        attention_bias=config.bias,
        key_bias=config.key_bias,
        out_bias=config.bias,
        mlp_bias=config.bias,
        position_bias=config.positions == "relative",
    )


def _encoder(config: EncoderDecoderConfig, conventions: Conventions) -> list[Group]:
    """The encoder, whose letters are bound anew where its sizes are not the decoder's."""
    block, outer = _block(config), _sizes(config)
    local: dict[str, Binding] = {
        letter: size for letter, size in _encoder_sizes(config).items() if outer.get(letter) != size
    }
    repeat = "L" if config.encoder_layers == outer["L"] else config.encoder_layers
    tokens = _tokens(config) if config.num_mel_bins is None else sound_embedding()
    groups = [Group("encoder_embedding", (*tokens, *_first_norms(config)), phases=_ENCODE, local=local)]
    if block.position_bias:
        groups.append(Group("encoder_position_bias", (position_bias(),), phases=_ENCODE, local=local))
    return [*groups, Group("encoder_layers", layer(block, conventions), repeat, _ENCODE, stacked=True, local=local)]


def _decoder(config: EncoderDecoderConfig, conventions: Conventions) -> list[Group]:
    block = _block(config)
    read = cross_keys_values(bias=config.bias, key_bias=config.key_bias, source=input_of(block))
    groups = [
        Group("decoder_layers", read, "L", _ENCODE, stacked=True),
        Group("decoder_embedding", (*_tokens(config), *_first_norms(config)), phases=_DECODE),
    ]
    if block.position_bias:
        groups.append(Group("decoder_position_bias", (position_bias(),), phases=_DECODE))
    groups.append(Group("decoder_layers", _decoder_layer(block, config, conventions), "L", _DECODE, stacked=True))
    if config.head:
        groups.append(Group("head", _head(config, conventions, input_of(block)), phases=_DECODE))
    return groups


def _tokens(config: EncoderDecoderConfig) -> tuple[Op, ...]:
    """Tokens and their positions; both stacks read one table of tokens."""
    token = token_embedding(tied=True)
    if config.positions == "relative":
        return (token,)
    total = embedding_sum(position=True, segment=False, given=config.positions == "computed")
    return (token, total) if config.positions == "computed" else (token, position_embedding(), total)


def _first_norms(config: EncoderDecoderConfig) -> tuple[Op, ...]:
    """The norm of the embedding, where there is one, and the first layer's, where norms come first."""
    embedded = (norm("embedding_norm", _X, _X, kind=config.norm),) if config.embedding_norm else ()
    first = (norm("input_norm", _X, Tensor("h", "B T D"), kind=config.norm),) if config.blocks == "pre" else ()
    return (*embedded, *first)


def _decoder_layer(block: Block, config: EncoderDecoderConfig, conventions: Conventions) -> tuple[Op, ...]:
    attended = Tensor("a", "B T D")
    return (
        *self_attention(block, conventions, mask="causal", cached=True),
        residual_norm("cross_norm", attended, kind=block.norm, placement=block.placement),
        *cross_attention(
            bias=config.bias,
            out_bias=config.bias,
            source=input_of(block),
            fused=conventions.attention == "fused",
            square=conventions.count == "square",
        ),
        residual_norm("ffn_norm", attended, kind=block.norm, placement=block.placement),
        *feed_forward_of(block),
    )


def _head(config: EncoderDecoderConfig, conventions: Conventions, source: str) -> tuple[Op, ...]:
    head = lm_head(tied=config.tie_word_embeddings, fixed_bias=config.logits_bias, source=source)
    return (head.rebound(T=1) if conventions.lm_head == "last" else head, sampling())
