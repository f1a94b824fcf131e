"""Decoder-only transformers: GPT-2, Llama, Mistral, Gemma, Falcon and their kin are options of one shape."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

from roofline.architectures.decoder_config import DecoderConfig, Layer, LayerType
from roofline.axes import Binding
from roofline.conventions import Conventions
from roofline.layers.attention import (
    Mask,
    attention,
    chunk_keys,
    kept_in_chunk,
    output_projection,
    projections,
    query_key_norm,
    rotary,
    window_keys,
)
from roofline.layers.embedding import embedding_sum, position_embedding, token_embedding
from roofline.layers.feed_forward import feed_forward
from roofline.layers.head import lm_head, sampling
from roofline.layers.latent_attention import latent_attention, latent_output_projection, latent_projections
from roofline.layers.mixture_of_experts import experts, router, shared_experts, touched_experts
from roofline.layers.normalization import Placement, norm, parallel_residual_norm, residual_norm
from roofline.op import Op, Tensor
from roofline.program import Group, Phase, Program

__all__ = ["DecoderConfig", "program"]

_PHASES: tuple[Phase, ...] = ("prefill", "decode")
_PLACEMENTS: dict[str, Placement] = {"pre": "pre", "sandwich": "sandwich", "branch": "branch"}


def program(config: DecoderConfig, conventions: Conventions) -> Program:
    """The program of a decoder: embedding and first norm, the layers, the head.

    Layers of one kind are one group, wherever they stand. The norm behind a branch belongs to the residual addition
    before it, so a layer ends with the next layer's input norm, or, in the last layer, with the final one.
    """
    kinds = Counter(config.layers)
    groups = [Group("embedding", _embedding(config), phases=_PHASES)]
    for kind, times in kinds.items():
        name, repeat = ("layers", "L") if len(kinds) == 1 else (_name(kind, list(kinds)), times)
        for phases, how in _ways(config, conventions):
            groups.append(Group(name, _layer(config, kind, how), repeat, phases, local=_local(config, kind)))
    if config.blocks == "branch":
        final = norm("final_norm", Tensor("x", "B T D"), Tensor("h", "B T D"), kind=config.norm)
        groups.append(Group("final_norm", (final,), phases=_PHASES))
    if config.head:
        groups.append(Group("head", _head(config, conventions), phases=_PHASES))
    return Program(tuple(groups), _sizes(config))


def _ways(config: DecoderConfig, conventions: Conventions) -> list[tuple[tuple[Phase, ...], Conventions]]:
    """The phases, and how the layers run in them: latents are expanded in prefill and absorbed in decode."""
    if config.kv_lora_rank is None or conventions.latent != "usual":
        return [(_PHASES, conventions)]
    ways: list[tuple[Phase, Literal["expanded", "absorbed"]]] = [("prefill", "expanded"), ("decode", "absorbed")]
    return [((phase,), replace(conventions, latent=latent)) for phase, latent in ways]


_MASKS: dict[LayerType, Mask] = {
    "full_attention": "causal",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
}
_SPANS: dict[LayerType, dict[str, Binding]] = {
    "full_attention": {},
    "sliding_attention": {"S": window_keys},
    "chunked_attention": {"S": chunk_keys, "W": kept_in_chunk},
}


def _local(config: DecoderConfig, kind: Layer) -> dict[str, Binding]:
    """What the letters mean in layers of one kind: S under a window, F and X where there are experts."""
    local = dict(_SPANS[kind.attention])
    if kind.experts:
        local["X"] = touched_experts
        if config.has_dense_layers and config.moe_intermediate_size is not None:
            local["F"] = config.moe_intermediate_size
    return local


def _name(kind: Layer, kinds: list[Layer]) -> str:
    """What tells ``kind`` from the other kinds: ``sliding_layers``, ``full_layers``."""
    words = []
    if len({other.attention for other in kinds}) > 1:
        words.append(kind.attention.removesuffix("_attention"))
    if len({other.rotary for other in kinds}) > 1:
        words.append("rotary" if kind.rotary else "no_rotary")
    if len({other.experts for other in kinds}) > 1:
        words.append("expert" if kind.experts else "dense")
    return "_".join([*words, "layers"])


def _sizes(config: DecoderConfig) -> dict[str, int]:
    kv_heads = config.num_key_value_heads
    sizes = {
        "D": config.hidden_size,
        "F": config.intermediate_size if config.has_dense_layers else _expert_width(config),
        "K": kv_heads,
        "G": config.num_attention_heads // kv_heads,
        "H": config.head_dim,
        "V": config.vocab_size,
        "L": config.num_hidden_layers,
        "P": config.max_position_embeddings + config.position_offset,
    }
    more = {
        "W": config.sliding_window or config.attention_chunk_size,
        "E": config.num_local_experts,
        "A": config.num_experts_per_tok,
        "R": config.kv_lora_rank,
        "Q": config.q_lora_rank,
        "J": config.qk_rope_head_dim,
        "U": config.v_head_dim,
    }
    return sizes | {letter: size for letter, size in more.items() if size is not None}


def _expert_width(config: DecoderConfig) -> int:
    return config.moe_intermediate_size or config.intermediate_size


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
        *_feed_forward(config, kind, source),
        residual_norm("output_norm", Tensor("f", "B T D"), kind=config.norm, placement=placement),
    )


def _parallel_layer(config: DecoderConfig, kind: Layer, conventions: Conventions) -> tuple[Op, ...]:
    two = config.blocks == "parallel_norms"
    own = norm("ffn_norm", Tensor("x", "B T D"), Tensor("ffn_input", "B T D"), kind=config.norm)
    return (
        *((own,) if two else ()),
        *_attention(config, kind, conventions, "h"),
        *_feed_forward(config, kind, "ffn_input" if two else "h"),
        parallel_residual_norm("output_norm", kind=config.norm),
    )


def _attention(config: DecoderConfig, kind: Layer, conventions: Conventions, source: str) -> tuple[Op, ...]:
    if config.kv_lora_rank is not None:
        return _latent_attention(config, conventions, source)
    held = "B W K H" if kind.attention == "chunked_attention" else "B S K H"
    return (
        *projections(bias=config.attention_bias, packed=config.packed_qkv, source=source, held=held),
        *_query_key_norm(config, kind),
        *((rotary(),) if kind.rotary else ()),
        *attention(
            mask=_MASKS[kind.attention],
            fused=conventions.attention == "fused",
            square=conventions.count == "square",
            alibi=config.positions == "alibi",
            cap=config.attn_logit_softcapping is not None,
            sinks=config.sinks,
        ),
        output_projection(bias=config.attention_out_bias),
    )


def _latent_attention(config: DecoderConfig, conventions: Conventions, source: str) -> tuple[Op, ...]:
    return (
        *latent_projections(query_latent=config.q_lora_rank is not None, bias=config.attention_bias, source=source),
        *latent_attention(
            absorbed=conventions.latent == "absorbed",
            fused=conventions.attention == "fused",
            square=conventions.count == "square",
        ),
        latent_output_projection(bias=config.attention_out_bias),
    )


def _query_key_norm(config: DecoderConfig, kind: Layer) -> tuple[Op, ...]:
    if config.query_key_norm == "none" or (config.query_key_norm == "bare" and not kind.rotary):
        return ()
    norms = "rms_bare" if config.query_key_norm == "bare" else config.norm
    across = config.query_key_norm == "across"
    return (query_key_norm(kind=norms, per_head=across or config.query_key_norm == "per_head", across=across),)


def _experts(config: DecoderConfig, source: str) -> tuple[Op, ...]:
    routed = experts(function=config.expert_activation or config.hidden_act, bias=config.expert_bias, source=source)
    shared = shared_experts(function=config.hidden_act, gated=config.shared_expert_gate, source=source)
    width = config.shared_expert_intermediate_size
    return (
        *router(bias=config.expert_bias, source=source),
        *routed,
        *(op.rebound(F=width) for op in shared if width),
    )


def _feed_forward(config: DecoderConfig, kind: Layer, source: str) -> tuple[Op, ...]:
    if kind.experts:
        return _experts(config, source)
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
