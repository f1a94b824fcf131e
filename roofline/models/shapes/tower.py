"""The tower of a network that sees: patches, layers, and the projector that makes tokens of a decoder of them.

It runs in the phase encode, on B sequences of T patches: images, tiles of them, or instants of a video.
"""

from __future__ import annotations

from typing import Any, Literal

from roofline.files.door import Door
from roofline.files.fields import Field, model_validator
from roofline.layers.attention import (
    attention,
    output_projection,
    projections,
    query_key_norm,
    rotary,
    value_norm,
)
from roofline.layers.normalization import Norm, Placement, norm, residual, residual_norm
from roofline.layers.patches import (
    IMAGE_TOKENS,
    Dense,
    Merged,
    Positions,
    average_pool,
    gated_tail,
    patch_embedding,
    projector,
    window_of,
)
from roofline.models.shapes.config import ActivationName, Config, Size
from roofline.models.shapes.stacks import Block, feed_forward_of, stack_sizes
from roofline.program.axes import Binding
from roofline.program.conventions import Conventions
from roofline.program.op import Op, PerElement, Tensor, elementwise, weight
from roofline.program.phases import Phase
from roofline.program.program import TOWER, Group, Program

_PHASES: tuple[Phase, ...] = (Phase.ENCODE,)
_X, _H = Tensor("x", "B T D"), Tensor("h", "B T D")


class DenseConfig(Door):
    """A matmul of a projector; see :class:`roofline.layers.patches.Dense`."""

    width: Size
    bias: bool = True
    function: ActivationName | None = None


class TowerConfig(Config):
    """Encoder of images in front of a decoder.

    patch_elements: of one patch, all its channels and, of a video, all frames that it spans. positions: those that are
    added; ``rotary`` ones come on top. windows: 1 for each layer whose patches see their own window alone; empty: none
    does. layer_scale: a gain on what each branch says. final_norm: a norm behind the last layer.
    placement: ``pre`` norms the input of each branch, ``sandwich`` its output too.
    merge: the side of the square of patches that become one token; pool: of one whose mean becomes one. taps: so many
    further projectors read layers within (DeepStack, arXiv 2406.04334), each behind a norm of its own.
    rule: how an image's size becomes sequences and tokens; the fields after it are the rule's.
    """

    patch_elements: Size
    patch_bias: bool = True
    class_token: bool = False
    positions: Positions = "table"
    rotary: bool = False
    embedding_norm: bool = False
    norm: Norm = "layer"
    gated: bool = False
    attention_bias: bool = True
    out_bias: bool = True
    mlp_bias: bool = True
    packed_qkv: bool = False
    placement: Literal["pre", "sandwich"] = "pre"
    query_key_norm: Literal["none", "shared", "across"] = "none"
    value_norm: bool = Field(default=False, description="a norm of the values, without a gain")
    layer_scale: bool = False
    windows: list[int] = Field(default=[])
    final_norm: bool = True
    merge: Size = 1
    pool: Size = 1
    projector: list[DenseConfig]
    projector_norm: Norm | None = None
    projector_width: Size | None = Field(
        default=None, description="inner width of a norm, an activation and a gated layer behind the matmuls"
    )
    merger: list[DenseConfig] = Field(
        default=[], description="further matmuls, on patches that are merged behind the first ones, not before"
    )
    patch_norm: Norm | None = Field(default=None, description="a further norm, of each patch that the projector reads")
    newline: bool = Field(default=False, description="a trained token behind each row of an image's tokens")
    taps: int = Field(default=0, ge=0, le=100)
    rule: Literal["resized", "fixed", "tiled", "chunked", "anyres", "rows", "padded", "budget"] = "fixed"
    patch_size: Size
    temporal_patch_size: Size = 1
    image_frames: Size = Field(default=1, description="frames of an image by which its pixels are bounded")
    max_tokens: Size = Field(default=280, description="the most tokens of an image")
    image_size: Size = 224
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

    @model_validator(mode="after")
    def _windows_agree(self) -> TowerConfig:
        if self.windows and len(self.windows) != self.num_hidden_layers:
            msg = f"windows has {len(self.windows)} entries, expected one for each of {self.num_hidden_layers} layers"
            raise ValueError(msg)
        return self

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

    windows = config.windows or [0] * config.num_hidden_layers
    groups = [group("embedding", _embedding(config))]
    for name, windowed in (("layers", False), ("window_layers", True)):
        if times := sum(bool(each) == windowed for each in windows):
            layer = _layer(config, conventions, windowed=windowed)
            groups.append(group(name, layer, repeat=times, stacked=True))
    return [*groups, group("projector", _projector(config)), *_taps(config, local)]


def _embedding(config: TowerConfig) -> tuple[Op, ...]:
    ops = patch_embedding(bias=config.patch_bias, class_token=config.class_token, positions=config.positions)
    first = (norm("embedding_norm", _X, _X, kind=config.norm),) if config.embedding_norm else ()
    return (*ops, *first, *((_input_norm(config),) if config.final_norm else ()))


def _input_norm(config: TowerConfig) -> Op:
    return norm("input_norm", _X, _H, kind=config.norm)


def _layer(config: TowerConfig, conventions: Conventions, *, windowed: bool) -> tuple[Op, ...]:
    """A layer: it ends with the next one's first norm, or, where no norm is behind the last, begins with its own."""
    block = Block(config.hidden_act, placement="pre", norm=config.norm, gated=config.gated, mlp_bias=config.mlp_bias)
    *ffn, behind = feed_forward_of(block)
    if not config.final_norm and config.placement == "pre":
        behind = residual("output_sum", Tensor("f", "B T D"), _X, _X)
    elif config.placement == "sandwich":
        ends: Placement = "sandwich" if config.final_norm else "branch"
        behind = residual_norm("output_norm", Tensor("f", "B T D"), kind=config.norm, placement=ends)
    return (
        *(() if config.final_norm else (_input_norm(config),)),
        *_attention(config, conventions, windowed=windowed),
        *(_scale("a") if config.layer_scale else ()),
        residual_norm("ffn_norm", Tensor("a", "B T D"), kind=config.norm, placement=config.placement),
        *ffn,
        *(_scale("f") if config.layer_scale else ()),
        behind,
    )


def _attention(config: TowerConfig, conventions: Conventions, *, windowed: bool) -> tuple[Op, ...]:
    attend = attention(
        mask="full",
        fused=conventions.attention == "fused",
        square=conventions.count == "square",
        cached=False,
        windows=windowed,
    )
    return (
        *projections(bias=config.attention_bias, packed=config.packed_qkv, cached=False),
        *((value_norm(cached=False),) if config.value_norm else ()),
        *((_query_key_norm(config),) if config.query_key_norm != "none" else ()),
        *((rotary(cached=False),) if config.rotary else ()),
        *((op.rebound(S=window_of) for op in attend) if windowed else attend),
        output_projection(bias=config.out_bias),
    )


def _query_key_norm(config: TowerConfig) -> Op:
    across = config.query_key_norm == "across"
    return query_key_norm(per_head=across, across=across, cached=False)


def _scale(branch: str) -> tuple[Op, ...]:
    """A gain on what a branch says (LayerScale, Touvron et al. 2021, arXiv 2103.17239)."""
    said, name = Tensor(branch, "B T D"), f"{branch}_scale"
    return (elementwise(name, [said, weight(name, "D")], said, PerElement(1), linear=True, function="multiply"),)


def _chain(matmuls: list[DenseConfig]) -> list[Dense]:
    return [Dense(each.width, each.bias, each.function) for each in matmuls]


def _projector(config: TowerConfig) -> tuple[Op, ...]:
    source = "pooled" if config.pool > 1 else "h" if config.final_norm else "x"
    normed = () if config.patch_norm is None else (_of_patches(config.patch_norm, source),)
    lines = (_newline(config),) if config.newline else ()
    pooled = (average_pool(config.pool**2, config.hidden_size),) if config.pool > 1 else ()
    first = config.projector[-1].width
    chain = projector(
        _chain(config.projector),
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
            _chain(config.merger), width=width, tokens=config.merged, prefix="merged_", source="patch_tokens"
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
        _chain(config.projector),
        width=config.width,
        tokens=config.merged,
        normed=config.norm,
        prefix="tap_",
        source="x",
        output="tapped_tokens",
    )
    return [Group(f"{TOWER}taps", ops, config.taps, _PHASES, local=local)]
