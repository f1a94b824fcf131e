"""Encoders of images: ViT, and the image tower of CLIP. A sequence is the patches of one image and a class token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from roofline.files.fields import Field
from roofline.layers.head import classifier, embedding_head, pooler
from roofline.layers.normalization import norm
from roofline.layers.patches import patch_embedding
from roofline.models.shapes.config import ActivationName, Config, Size
from roofline.models.shapes.stacks import Block, layer, stack_sizes
from roofline.program.axes import Binding
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.traffic.lengths import Lengths

_PHASES: tuple[Phase, ...] = (Phase.ENCODE,)


class VisionConfig(Config):
    """Encoder of images whose norms come first; its positions follow from the sizes of image and patch.

    embedding_norm: a norm before the first layer (CLIP). projected: the class token is brought to an embedding of width
    projection_dim. Assumes: the last norm is of all tokens, as within the layers; CLIP's is of the class token alone,
    and the whole of it is below half a percent of a prediction's time.
    """

    image_size: Size
    patch_size: Size
    num_channels: Size = 3
    qkv_bias: bool = True
    patch_bias: bool = True
    embedding_norm: bool = False
    pooler: bool = Field(default=False, description="a dense layer on the class token")
    pooler_act: ActivationName = "tanh"
    head: Literal["none", "classifier"] = "none"
    num_labels: Size = 2
    projected: bool = False
    projection_dim: Size = 512

    @property
    def lengths(self) -> Lengths:
        """Every image is as long."""
        return Lengths(self.max_position_embeddings, whole=True, unit="images")


def program(config: VisionConfig, conventions: Conventions) -> Program:
    """The program of an encoder of images: patches, layers, and the pooler, projection or classifier."""
    block = Block(config.hidden_act, placement="pre", attention_bias=config.qkv_bias)
    groups = image_groups(block, conventions, patch_bias=config.patch_bias, embedding_norm=config.embedding_norm)
    if head := _head(config):
        groups.append(Group("head", head, phases=_PHASES))
    width = {"O": config.projection_dim} if config.projected else {}
    return Program(tuple(groups), sizes_of(config) | width)


def sizes_of(config: VisionConfig) -> dict[str, int]:
    """The letters of a tower of images."""
    return {**stack_sizes(config), "I": config.num_channels * config.patch_size**2}


def image_groups(
    block: Block,
    conventions: Conventions,
    *,
    patch_bias: bool,
    embedding_norm: bool,
    prefix: str = "",
    repeat: int | str = "L",
    local: Mapping[str, Binding] | None = None,
) -> list[Group]:
    """Patches and layers. A second tower has a ``prefix`` and its sizes as ``local`` letters."""
    x, h = Tensor("x", "B T D"), Tensor("h", "B T D")
    ops: tuple[Op, ...] = patch_embedding(bias=patch_bias)
    if embedding_norm:
        ops += (norm("embedding_norm", x, x, kind=block.norm),)
    ops += (norm("input_norm", x, h, kind=block.norm),)
    return [
        Group(f"{prefix}embedding", ops, phases=_PHASES, local=local or {}),
        Group(f"{prefix}layers", layer(block, conventions), repeat, _PHASES, stacked=True, local=local or {}),
    ]


def _head(config: VisionConfig) -> tuple[Op, ...]:
    if config.projected:
        return embedding_head("image")
    ops: tuple[Op, ...] = pooler(function=config.pooler_act, source="h") if config.pooler else ()
    if config.head == "classifier":
        ops += (classifier(labels=config.num_labels, source="h"),)
    return ops
