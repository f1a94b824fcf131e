"""Two towers, one of images and one of text, whose embeddings are compared: CLIP. The one of text may stand alone."""

from __future__ import annotations

from roofline.files.fields import Field
from roofline.layers.embedding import embedding_sum, position_embedding, token_embedding
from roofline.layers.head import embedding_head, similarity
from roofline.layers.normalization import norm
from roofline.models.shapes.config import Config, Size
from roofline.models.shapes.stacks import Block, layer, stack_sizes
from roofline.models.shapes.vision import VisionConfig, image_groups, sizes_of
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.traffic.lengths import Lengths

_PHASES: tuple[Phase, ...] = (Phase.ENCODE,)


class TwoTowersConfig(Config):
    """A text tower with a causal mask and, beside it, a tower of images or none.

    The fields are the text tower's; ``images`` are the other's. projection_dim: width of the embeddings.
    """

    vocab_size: Size
    projection_dim: Size
    projected: bool = Field(description="whether sequences are brought to an embedding")
    images: VisionConfig | None = None

    @property
    def lengths(self) -> Lengths:
        """The positions of the text."""
        return Lengths(self.max_position_embeddings, unit="pairs" if self.images else "")


def program(config: TwoTowersConfig, conventions: Conventions) -> Program:
    """The program of B images and B texts: each tower and its embedding, then the similarity of every pair."""
    groups = _images(config, conventions) if config.images else []
    block = Block(config.hidden_act, placement="pre")
    masked = layer(block, conventions, mask="causal")
    groups += [
        Group("text_embedding", _embedding(), phases=_PHASES),
        Group("text_layers", masked, repeat="L", phases=_PHASES, stacked=True),
    ]
    if config.projected:
        groups.append(Group("text_head", embedding_head("text"), phases=_PHASES))
    if config.images:
        groups.append(Group("similarity", similarity(), phases=_PHASES))
    return Program(tuple(groups), _sizes(config))


def _sizes(config: TwoTowersConfig) -> dict[str, int]:
    return {**stack_sizes(config), "V": config.vocab_size, "O": config.projection_dim}


def _images(config: TwoTowersConfig, conventions: Conventions) -> list[Group]:
    images = config.images
    assert images is not None
    tokens = images.max_position_embeddings
    local = {**sizes_of(images), "T": tokens, "S": tokens}
    groups = image_groups(
        Block(images.hidden_act, placement="pre", attention_bias=images.qkv_bias),
        conventions,
        patch_bias=images.patch_bias,
        embedding_norm=images.embedding_norm,
        prefix="image_",
        repeat=images.num_hidden_layers,
        local=local,
    )
    return [*groups, Group("image_head", embedding_head("image"), phases=_PHASES, local=local)]


def _embedding() -> tuple[Op, ...]:
    x, h = Tensor("x", "B T D"), Tensor("h", "B T D")
    total = embedding_sum(position=True, segment=False)
    return token_embedding(), position_embedding(), total, norm("input_norm", x, h, kind="layer")
