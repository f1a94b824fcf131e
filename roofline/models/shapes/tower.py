"""The tower of a network that sees: patches, layers, and the projector that makes tokens of a decoder of them.

It runs in the phase encode, on B sequences of T patches: images, tiles of them, or instants of a video.
"""

from __future__ import annotations

from typing import Any, Literal

from roofline.files.fields import Field
from roofline.layers.normalization import Norm, norm
from roofline.layers.patches import (
    IMAGE_TOKENS,
    Merged,
    Positions,
    average_pool,
    gated_tail,
    patch_embedding,
    projector,
)
from roofline.models.shapes.config import Size
from roofline.models.shapes.stacks import stack_sizes
from roofline.models.shapes.tower_layers import DenseConfig, TowerStack, chain_of, input_norm, stacked_layers
from roofline.program.axes import Binding
from roofline.program.conventions import Conventions
from roofline.program.op import Op, PerElement, Tensor, elementwise, weight
from roofline.program.phases import Phase
from roofline.program.program import TOWER, Group, Program

_PHASES: tuple[Phase, ...] = (Phase.ENCODE,)
_X = Tensor("x", "B T D")


class TowerConfig(TowerStack):
    """Encoder of images in front of a decoder.

    patch_elements: of one patch, all its channels and, of a video, all frames that it spans. positions: those that are
    added; ``rotary`` ones come on top. merge: the side of the square of patches that become one token; pool: of one
    whose mean becomes one. taps: so many further projectors read layers within (DeepStack, arXiv 2406.04334), each
    behind a norm of its own.
    rule: how an image's size becomes sequences and tokens; the fields after it are the rule's.
    """

    patch_elements: Size
    patch_bias: bool = True
    class_token: bool = False
    positions: Positions = "table"
    embedding_norm: bool = False
    merge: Size = 1
    pool: Size = 1
    projector_width: Size | None = Field(
        default=None, description="inner width of a norm, an activation and a gated layer behind the matmuls"
    )
    merger: list[DenseConfig] = Field(
        default=[], description="further matmuls, on patches that are merged behind the first ones, not before"
    )
    patch_norm: Norm | None = Field(default=None, description="a further norm, of each patch that the projector reads")
    newline: bool = Field(default=False, description="a trained token behind each row of an image's tokens")
    taps: int = Field(default=0, ge=0, le=100)
    rule: Literal[
        "resized", "fixed", "tiled", "chunked", "anyres", "rows", "padded", "budget", "split", "canvas", "roomy"
    ] = "fixed"
    patch_size: Size
    temporal_patch_size: Size = 1
    image_frames: Size = Field(default=1, description="frames of an image by which its pixels are bounded")
    max_tokens: Size = Field(default=280, description="the most tokens of an image")
    image_size: Size = 224
    tile_size: Size = 364
    longest_edge: Size = Field(default=4 * 364, description="to which an image is brought before it is cut in tiles")
    window_size: Size = 112
    min_pixels: Size = 56 * 56
    max_pixels: Size = 28 * 28 * 1280
    min_tiles: Size = 1
    max_tiles: Size = 1
    pinpoints: list[list[int]] = Field(default=[], description="heights and widths that an image may be brought to")
    max_patches: Size = 16384
    max_side: Size = Field(default=512, description="the most patches along a side")
    video: Literal["none", "each", "all"] = Field(
        default="none", description="whose pixels are bounded: frames, or all"
    )
    video_min_pixels: Size = 128 * 28 * 28
    video_max_pixels: Size = 28 * 28 * 768

    @property
    def sizes(self) -> dict[str, Binding]:
        """The letters of the tower."""
        found: dict[str, Binding] = {**stack_sizes(self), "I": self.patch_elements}
        del found["L"]
        return found

    @property
    def merged(self) -> Merged:
        """How T patches become tokens."""
        return Merged((self.merge * self.pool) ** 2, skipped=int(self.class_token))

    @property
    def token_width(self) -> int:
        """The elements of a token, as the decoder reads it."""
        return (self.merger or self.projector)[-1].width

    @property
    def width(self) -> int:
        """The elements of what a token is made of."""
        return self.hidden_size * self.merge**2


def program(config: TowerConfig, conventions: Conventions) -> Program:
    """The program of a tower alone."""
    return Program(tuple(tower_groups(config, conventions)), {})


def tower_groups(config: TowerConfig, conventions: Conventions) -> list[Group]:
    """Patches, layers, the projector of tokens and those of layers within."""
    local = config.sizes

    def group(name: str, ops: tuple[Op, ...], **more: Any) -> Group:
        return Group(f"{TOWER}{name}", ops, phases=_PHASES, local=local, **more)

    groups = [group("embedding", _embedding(config)), *stacked_layers(config, conventions, group)]
    return [*groups, group("projector", _projector(config)), *_taps(config, local)]


def _embedding(config: TowerConfig) -> tuple[Op, ...]:
    ops = patch_embedding(bias=config.patch_bias, class_token=config.class_token, positions=config.positions)
    first = (norm("embedding_norm", _X, _X, kind=config.norm),) if config.embedding_norm else ()
    return (*ops, *first, *((input_norm(config),) if config.final_norm else ()))


def _projector(config: TowerConfig) -> tuple[Op, ...]:
    source = "h" if config.final_norm else "x"
    lines = (_newline(config),) if config.newline else ()
    pooled: tuple[Op, ...] = ()
    if config.pool > 1:
        pooled, source = (average_pool(config.pool**2, config.hidden_size, source=source),), "pooled"
    normed = () if config.patch_norm is None else (_of_patches(config.patch_norm, source),)
    first = config.projector[-1].width
    chain = projector(
        chain_of(config.projector),
        width=config.hidden_size if config.merger else config.width,
        tokens=Merged(1, skipped=int(config.class_token)) if config.merger else config.merged,
        normed=config.projector_norm,
        source="patches" if normed else source,
        output="patch_tokens" if config.merger else IMAGE_TOKENS,
    )
    rest: tuple[Op, ...] = ()
    if config.projector_width is not None:
        rest = gated_tail(config.projector_width, config.hidden_act, width=first, tokens=config.merged)
    if config.merger:
        width = first * config.merge**2
        rest = projector(
            chain_of(config.merger), width=width, tokens=config.merged, prefix="merged_", source="patch_tokens"
        )
    return (*pooled, *normed, *chain, *rest, *lines)


def _of_patches(kind: Norm, source: str) -> Op:
    return norm("patch_norm", Tensor(source, "B T D"), Tensor("patches", "B T D"), kind=kind)


def _newline(config: TowerConfig) -> Op:
    """What is put behind each row (LLaVA-NeXT): a token of the decoder's width."""
    width = config.token_width
    new = elementwise("newline", [weight("image_newline", "O")], Tensor(IMAGE_TOKENS, "B T O"), PerElement(0))
    return new.rebound(T=1, O=width)


def _taps(config: TowerConfig, local: dict[str, Binding]) -> list[Group]:
    """The projectors of layers within: of the stream, each behind a norm of the merged patches."""
    if not config.taps:
        return []
    ops = projector(
        chain_of(config.projector),
        width=config.width,
        tokens=config.merged,
        normed=config.norm,
        prefix="tap_",
        source="x",
        output="tapped_tokens",
    )
    return [Group(f"{TOWER}taps", ops, config.taps, _PHASES, local=local)]
