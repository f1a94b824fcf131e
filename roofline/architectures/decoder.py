"""Decoder-only transformers: GPT-2, Llama, Mistral, Gemma, Falcon and their kin are options of one shape."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from roofline.architectures.config import MAX_LAYERS, Config, Size
from roofline.axes import Binding
from roofline.conventions import Conventions
from roofline.errors import shown
from roofline.layers.attention import (
    Mask,
    attention,
    output_projection,
    projections,
    query_key_norm,
    rotary,
    window_keys,
)
from roofline.layers.embedding import embedding_sum, position_embedding, token_embedding
from roofline.layers.feed_forward import feed_forward
from roofline.layers.head import lm_head, sampling
from roofline.layers.normalization import Norm, Placement, norm, parallel_residual_norm, residual_norm
from roofline.op import Op, Tensor
from roofline.program import Group, Phase, Program

_PHASES: tuple[Phase, ...] = ("prefill", "decode")
_PLACEMENTS: dict[str, Placement] = {"pre": "pre", "sandwich": "sandwich", "branch": "branch"}

LayerType = Literal["full_attention", "sliding_attention"]


class Layer(NamedTuple):
    """What tells the layers of one network apart."""

    attention: LayerType
    rotary: bool


class DecoderConfig(Config):
    """Causal decoder: which norms and where, which positions, how many key/value heads, which biases, which windows.

    blocks: ``pre`` norms the input of each branch, ``branch`` its output (OLMo 2), ``sandwich`` both (Gemma 2);
    ``parallel`` runs attention and feed-forward on the same input (GPT-J), ``parallel_norms`` with a norm each
    (GPT-NeoX).
    """

    num_key_value_heads: Size
    head_dim: Size
    tie_word_embeddings: bool
    norm: Norm
    positions: Literal["rotary", "learned", "alibi"]
    gated: bool
    blocks: Literal["pre", "branch", "sandwich", "parallel", "parallel_norms"] = "pre"
    attention_bias: bool = False
    attention_out_bias: bool = Field(default=False, description="bias of the output projection")
    mlp_bias: bool = False
    head_bias: bool = False
    packed_qkv: bool = Field(default=False, description="query, key and value projections are one matmul")
    packed_gate: bool = Field(default=False, description="gate and up projections are one matmul")
    query_key_norm: Literal["none", "shared", "per_head"] = "none"
    embedding_norm: bool = False
    position_offset: int = Field(default=0, ge=0, le=2, description="rows of the position table before the first")
    attn_logit_softcapping: float | None = Field(default=None, gt=0)
    final_logit_softcapping: float | None = Field(default=None, gt=0)
    sliding_window: Size | None = None
    layer_types: list[LayerType] = Field(default=[], description="the attention of each layer; empty: full everywhere")
    no_rope_layers: list[int] = Field(default=[], description="0 for each layer without rotation; empty: all rotate")
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
        layers = fields.get("num_hidden_layers")
        for name, usual in (("layer_types", "full_attention"), ("no_rope_layers", 1)):
            if isinstance(layers, int) and layers <= MAX_LAYERS and derived.get(name) == [usual] * layers:
                derived[name] = []  # all alike
        kv_heads = derived["num_key_value_heads"]
        if isinstance(kv_heads, int) and isinstance(heads, int) and kv_heads > 0 and heads % kv_heads:
            msg = f"num_key_value_heads {shown(kv_heads)} does not divide num_attention_heads {shown(heads)}"
            raise ValueError(msg)
        return derived

    @model_validator(mode="after")
    def _layers_agree(self) -> DecoderConfig:
        for name in ("layer_types", "no_rope_layers"):
            given = len(getattr(self, name))
            if given not in (0, self.num_hidden_layers):
                msg = f"{name} has {given} entries, expected one for each of {self.num_hidden_layers} layers"
                raise ValueError(msg)
        if "sliding_attention" in self.layer_types and self.sliding_window is None:
            msg = "sliding_window: missing, expected a whole number, since layer_types has sliding_attention"
            raise ValueError(msg)
        return self

    @property
    def layers(self) -> list[Layer]:
        """Each layer in the order in which they run."""
        number = self.num_hidden_layers
        attentions = self.layer_types or ["full_attention"] * number
        rotations = self.no_rope_layers or [int(self.positions == "rotary")] * number
        return [Layer(kind, rotation != 0) for kind, rotation in zip(attentions, rotations, strict=True)]


def program(config: DecoderConfig, conventions: Conventions) -> Program:
    """The program of a decoder: embedding and first norm, the layers, the head.

    Layers of one kind are one group, wherever they stand. The norm behind a branch belongs to the residual addition
    before it, so a layer ends with the next layer's input norm, or, in the last layer, with the final one.
    """
    kinds = Counter(config.layers)
    groups = [Group("embedding", _embedding(config), phases=_PHASES)]
    for kind, times in kinds.items():
        name, repeat = ("layers", "L") if len(kinds) == 1 else (_name(kind, list(kinds)), times)
        local = _LOCAL[kind.attention]
        groups.append(Group(name, _layer(config, kind, conventions), repeat, _PHASES, local=local))
    if config.blocks == "branch":
        final = norm("final_norm", Tensor("x", "B T D"), Tensor("h", "B T D"), kind=config.norm)
        groups.append(Group("final_norm", (final,), phases=_PHASES))
    if config.head:
        groups.append(Group("head", _head(config, conventions), phases=_PHASES))
    return Program(tuple(groups), _sizes(config))


_MASKS: dict[LayerType, Mask] = {"full_attention": "causal", "sliding_attention": "sliding"}
_LOCAL: dict[LayerType, dict[str, Binding]] = {"full_attention": {}, "sliding_attention": {"S": window_keys}}


def _name(kind: Layer, kinds: list[Layer]) -> str:
    """What tells ``kind`` from the other kinds: ``sliding_layers``, ``full_layers``."""
    words = []
    if len({other.attention for other in kinds}) > 1:
        words.append(kind.attention.removesuffix("_attention"))
    if len({other.rotary for other in kinds}) > 1:
        words.append("rotary" if kind.rotary else "no_rotary")
    return "_".join([*words, "layers"])


def _sizes(config: DecoderConfig) -> dict[str, int]:
    kv_heads = config.num_key_value_heads
    sizes = {
        "D": config.hidden_size,
        "F": config.intermediate_size,
        "K": kv_heads,
        "G": config.num_attention_heads // kv_heads,
        "H": config.head_dim,
        "V": config.vocab_size,
        "L": config.num_hidden_layers,
        "P": config.max_position_embeddings + config.position_offset,
    }
    return sizes | ({"W": config.sliding_window} if config.sliding_window else {})


def _embedding(config: DecoderConfig) -> tuple[Op, ...]:
    x = Tensor("x", "B T D")
    ops = [token_embedding(tied=config.head and config.tie_word_embeddings)]
    if config.positions == "learned":
        ops += [position_embedding(), embedding_sum(position=True, segment=False)]
    if config.embedding_norm:
        ops.append(norm("embedding_norm", x, x, kind=config.norm))
    if config.blocks != "branch":
        ops.append(norm("input_norm", x, Tensor("h", "B T D"), kind=config.norm))
    return tuple(ops)


def _layer(config: DecoderConfig, kind: Layer, conventions: Conventions) -> tuple[Op, ...]:
    if config.blocks not in _PLACEMENTS:
        return _parallel_layer(config, kind, conventions)
    placement = _PLACEMENTS[config.blocks]
    source = "x" if placement == "branch" else "h"
    return (
        *_attention(config, kind, conventions, source),
        residual_norm("ffn_norm", Tensor("a", "B T D"), kind=config.norm, placement=placement),
        *_feed_forward(config, source),
        residual_norm("output_norm", Tensor("f", "B T D"), kind=config.norm, placement=placement),
    )


def _parallel_layer(config: DecoderConfig, kind: Layer, conventions: Conventions) -> tuple[Op, ...]:
    two = config.blocks == "parallel_norms"
    own = norm("ffn_norm", Tensor("x", "B T D"), Tensor("ffn_input", "B T D"), kind=config.norm)
    return (
        *((own,) if two else ()),
        *_attention(config, kind, conventions, "h"),
        *_feed_forward(config, "ffn_input" if two else "h"),
        parallel_residual_norm("output_norm", kind=config.norm),
    )


def _attention(config: DecoderConfig, kind: Layer, conventions: Conventions, source: str) -> tuple[Op, ...]:
    per_head = config.query_key_norm == "per_head"
    return (
        *projections(bias=config.attention_bias, packed=config.packed_qkv, source=source),
        *((query_key_norm(kind=config.norm, per_head=per_head),) if config.query_key_norm != "none" else ()),
        *((rotary(),) if kind.rotary else ()),
        *attention(
            mask=_MASKS[kind.attention],
            fused=conventions.attention == "fused",
            square=conventions.count == "square",
            alibi=config.positions == "alibi",
            cap=config.attn_logit_softcapping is not None,
        ),
        output_projection(bias=config.attention_out_bias),
    )


def _feed_forward(config: DecoderConfig, source: str) -> tuple[Op, ...]:
    return feed_forward(
        function=config.hidden_act,
        gated=config.gated,
        bias=config.mlp_bias,
        packed=config.packed_gate,
        source=source,
    )


def _head(config: DecoderConfig, conventions: Conventions) -> tuple[Op, ...]:
    head = lm_head(tied=config.tie_word_embeddings, bias=config.head_bias)
    capped = config.final_logit_softcapping is not None
    return (head.rebound(T=1) if conventions.lm_head == "last" else head, sampling(cap=capped))
