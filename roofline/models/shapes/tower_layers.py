"""The layers of towers, of images and of sound, whatever stands before and behind them."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from roofline.files.door import Door
from roofline.files.fields import Field, model_validator
from roofline.layers.attention import attention, output_projection, projections, query_key_norm, rotary, value_norm
from roofline.layers.normalization import Norm, Placement, norm, residual, residual_norm
from roofline.layers.patches import Dense, window_of
from roofline.models.shapes.config import ActivationName, Config, Size
from roofline.models.shapes.stacks import Block, feed_forward_of
from roofline.program.conventions import Conventions
from roofline.program.op import Op, PerElement, Tensor, elementwise, weight
from roofline.program.program import Group

_X, _H = Tensor("x", "B T D"), Tensor("h", "B T D")


class DenseConfig(Door):
    """A matmul of a projector; see :class:`roofline.layers.patches.Dense`."""

    width: Size
    bias: bool = True
    function: ActivationName | None = None
    gated: bool = False


class TowerStack(Config):
    """Layers of a tower, and the matmuls that make tokens of a decoder of what they say.

    windows: 1 for each layer whose places see their own window alone; empty: none does. layer_scale: a gain on what
    each branch says. final_norm: a norm behind the last layer. placement: ``pre`` norms the input of each branch,
    ``sandwich`` its output too.
    """

    rotary: bool = False
    norm: Norm = "layer"
    gated: bool = False
    attention_bias: bool = True
    key_bias: bool = True
    out_bias: bool = True
    mlp_bias: bool = True
    packed_qkv: bool = False
    placement: Literal["pre", "sandwich"] = "pre"
    query_key_norm: Literal["none", "shared", "across"] = "none"
    value_norm: bool = Field(default=False, description="a norm of the values, without a gain")
    layer_scale: bool = False
    windows: list[int] = Field(default=[])
    final_norm: bool = True
    projector: list[DenseConfig]
    projector_norm: Norm | None = None

    @model_validator(mode="after")
    def _windows_agree(self) -> TowerStack:
        if self.windows and len(self.windows) != self.num_hidden_layers:
            msg = f"windows has {len(self.windows)} entries, expected one for each of {self.num_hidden_layers} layers"
            raise ValueError(msg)
        return self


class Grouped(Protocol):
    """What makes a group of a tower of operators, with the tower's letters."""

    def __call__(self, name: str, ops: tuple[Op, ...], **more: Any) -> Group: ...


def stacked_layers(config: TowerStack, conventions: Conventions, group: Grouped) -> list[Group]:
    """The layers, those of windows by themselves."""
    windows, found = config.windows or [0] * config.num_hidden_layers, []
    for name, windowed in (("layers", False), ("window_layers", True)):
        if times := sum(bool(each) == windowed for each in windows):
            layer = _layer(config, conventions, windowed=windowed)
            found.append(group(name, layer, repeat=times, stacked=True))
    return found


def chain_of(matmuls: list[DenseConfig]) -> list[Dense]:
    """The matmuls of a projector."""
    return [Dense(each.width, each.bias, each.function, each.gated) for each in matmuls]


def input_norm(config: TowerStack) -> Op:
    """The norm of what the first branch of a layer reads."""
    return norm("input_norm", _X, _H, kind=config.norm)


def _layer(config: TowerStack, conventions: Conventions, *, windowed: bool) -> tuple[Op, ...]:
    """A layer: it ends with the next one's first norm, or, where no norm is behind the last, begins with its own."""
    block = Block(config.hidden_act, placement="pre", norm=config.norm, gated=config.gated, mlp_bias=config.mlp_bias)
    *ffn, behind = feed_forward_of(block)
    if not config.final_norm and config.placement == "pre":
        behind = residual("output_sum", Tensor("f", "B T D"), _X, _X)
    elif config.placement == "sandwich":
        ends: Placement = "sandwich" if config.final_norm else "branch"
        behind = residual_norm("output_norm", Tensor("f", "B T D"), kind=config.norm, placement=ends)
    return (
        *(() if config.final_norm else (input_norm(config),)),
        *_attention(config, conventions, windowed=windowed),
        *(_scale("a") if config.layer_scale else ()),
        residual_norm("ffn_norm", Tensor("a", "B T D"), kind=config.norm, placement=config.placement),
        *ffn,
        *(_scale("f") if config.layer_scale else ()),
        behind,
    )


def _attention(config: TowerStack, conventions: Conventions, *, windowed: bool) -> tuple[Op, ...]:
    attend = attention(
        mask="full",
        fused=conventions.attention == "fused",
        square=conventions.count == "square",
        cached=False,
        windows=windowed,
    )
    return (
        *projections(bias=config.attention_bias, key_bias=config.key_bias, packed=config.packed_qkv, cached=False),
        *((value_norm(cached=False),) if config.value_norm else ()),
        *((_query_key_norm(config),) if config.query_key_norm != "none" else ()),
        *((rotary(cached=False),) if config.rotary else ()),
        *((op.rebound(S=window_of) for op in attend) if windowed else attend),
        output_projection(bias=config.out_bias),
    )


def _query_key_norm(config: TowerStack) -> Op:
    across = config.query_key_norm == "across"
    return query_key_norm(per_head=across, across=across, cached=False)


def _scale(branch: str) -> tuple[Op, ...]:
    """A gain on what a branch says (LayerScale, Touvron et al. 2021, arXiv 2103.17239)."""
    said, name = Tensor(branch, "B T D"), f"{branch}_scale"
    return (elementwise(name, [said, weight(name, "D")], said, PerElement(1), linear=True, function="multiply"),)
