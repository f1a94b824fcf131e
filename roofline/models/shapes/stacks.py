"""The layers of which encoders, towers and encoder-decoders are stacked: options of one block, no copies."""

from __future__ import annotations

from typing import Literal

from roofline.classes import frozen
from roofline.layers.attention import Mask, Scores, attention, output_projection, projections, rotary
from roofline.layers.disentangled_attention import (
    CONTENT_TO_POSITION,
    POSITION_TO_CONTENT,
    disentangled_projections,
    disentangled_scores,
)
from roofline.layers.feed_forward import Activation, feed_forward
from roofline.layers.normalization import Norm, residual_norm
from roofline.models.shapes.config import Config
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor


def stack_sizes(config: Config) -> dict[str, int]:
    """The letters of a stack whose every head has keys and values of its own."""
    return {
        "D": config.hidden_size,
        "F": config.intermediate_size,
        "K": config.num_attention_heads,
        "G": 1,
        "H": config.hidden_size // config.num_attention_heads,
        "L": config.num_hidden_layers,
        "P": config.max_position_embeddings,
    }


@frozen
class Block:
    """What tells the layers of one stack from those of another.

    placement: ``post`` norms each sum (BERT), ``pre`` norms the input of each branch (ViT).
    """

    function: Activation
    placement: Literal["pre", "post"] = "post"
    norm: Norm = "layer"
    gated: bool = False
    attention_bias: bool = True
    key_bias: bool = True
    out_bias: bool = True
    mlp_bias: bool = True
    down_bias: bool = False
    packed_qkv: bool = False
    packed_gate: bool = False
    rotary: bool = False
    position_bias: bool = False
    disentangled: bool = False


def layer(block: Block, conventions: Conventions, *, mask: Mask = "full", source: str = "") -> tuple[Op, ...]:
    """One layer that keeps nothing for later: attention among the T tokens, feed-forward, and the norms.

    ``source`` is what the first branch reads, if not what the norm before it wrote.
    """
    return (
        *self_attention(block, conventions, mask=mask, cached=False, source=source),
        residual_norm("ffn_norm", Tensor("a", "B T D"), kind=block.norm, placement=block.placement),
        *feed_forward_of(block),
    )


def self_attention(
    block: Block, conventions: Conventions, *, mask: Mask, cached: bool, source: str = ""
) -> tuple[Op, ...]:
    """Projections, attention and output projection of one stack's layers."""
    if block.disentangled:
        return _disentangled(conventions, source=source or input_of(block), mask=mask)
    return (
        *projections(
            bias=block.attention_bias,
            key_bias=block.key_bias,
            packed=block.packed_qkv,
            cached=cached,
            source=source or input_of(block),
        ),
        *((rotary(cached=cached),) if block.rotary else ()),
        *attention(
            mask=mask,
            fused=conventions.attention == "fused",
            square=conventions.count == "square",
            cached=cached,
            scores=Scores(position_bias=block.position_bias),
        ),
        output_projection(bias=block.out_bias),
    )


def _disentangled(conventions: Conventions, *, source: str, mask: Mask) -> tuple[Op, ...]:
    return (
        *disentangled_projections(source=source),
        *disentangled_scores(),
        *attention(
            mask=mask,
            fused=conventions.attention == "fused",
            square=conventions.count == "square",
            cached=False,
            scores=Scores(picked=(CONTENT_TO_POSITION, POSITION_TO_CONTENT)),
        ),
        output_projection(bias=True),
    )


def feed_forward_of(block: Block) -> tuple[Op, ...]:
    """The feed-forward layer and the norm behind it, which is the next layer's first one where norms come first."""
    return (
        *feed_forward(
            function=block.function,
            gated=block.gated,
            bias=block.mlp_bias,
            down_bias=block.down_bias,
            packed=block.packed_gate,
            source=input_of(block),
        ),
        residual_norm("output_norm", Tensor("f", "B T D"), kind=block.norm, placement=block.placement),
    )


def input_of(block: Block) -> str:
    """What a branch reads: the normed input, or the stream itself."""
    return "h" if block.placement == "pre" else "x"
