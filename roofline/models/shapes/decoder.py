"""Decoder-only transformers: GPT-2, Llama, Mistral, Gemma, Falcon and their kin are options of one shape."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from roofline.layers.attention import chunk_keys, kept_in_chunk, window_keys
from roofline.layers.embedding import embedding_sum, position_embedding, token_embedding
from roofline.layers.expert_load import touched_under
from roofline.layers.head import classifier, lm_head, sampling
from roofline.layers.normalization import norm
from roofline.layers.residuals.alternating_updates import first_streams, last_streams
from roofline.layers.residuals.hyper_connections import last_collapse, spread
from roofline.layers.residuals.per_layer_inputs import per_layer_inputs
from roofline.models.shapes.decoder_config import DecoderConfig, Layer, LayerType
from roofline.models.shapes.decoder_layers import layer, sizes_of
from roofline.models.shapes.sound_tower import sound_groups
from roofline.models.shapes.tower import tower_groups
from roofline.program.axes import Binding
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

__all__ = ["DecoderConfig", "program"]

_PHASES: tuple[Phase, ...] = (Phase.PREFILL, Phase.DECODE)


def program(config: DecoderConfig, conventions: Conventions) -> Program:
    """The program of a decoder: embedding and first norm, the layers, the head.

    Layers of one kind are one group, wherever they stand. The norm behind a branch belongs to the residual addition
    before it, so a layer ends with the next layer's input norm, or, in the last layer, with the final one. A classifier
    of sequences reads prompts alone. A tower of images runs before, in encode, one of sound in listen.
    """
    every = _PHASES[:1] if config.classifier else _PHASES
    numbers: dict[Layer, list[int]] = {}
    for number, kind in enumerate(config.layers):
        numbers.setdefault(kind, []).append(number)
    kinds = {kind: len(own) for kind, own in numbers.items()}
    groups = [] if config.vision is None else tower_groups(config.vision, conventions)
    groups += [] if config.sound is None else sound_groups(config.sound, conventions)
    groups.append(Group("embedding", _embedding(config), phases=every))
    for kind, times in kinds.items():
        name, repeat = ("layers", "L") if len(kinds) == 1 else (_name(config, kind, list(kinds)), times)
        for phases, how in _ways(config, kind, conventions, every):
            ops = layer(config, kind, how, step=all(phase.one_token for phase in phases))
            local = _local(config, kind, conventions)
            groups.append(Group(name, ops, repeat, phases, stacked=True, local=local, numbers=tuple(numbers[kind])))
    if config.residual_streams is not None:
        last = last_streams if config.stream_updates == "alternating" else last_collapse
        groups.append(Group("final_norm", last(kind=config.norm), phases=every))
    if config.blocks == "branch":
        final = norm("final_norm", Tensor("x", "B T D"), Tensor("h", "B T D"), kind=config.norm)
        groups.append(Group("final_norm", (final,), phases=every))
    if config.head:
        groups.append(Group("head", _head(config, conventions), phases=every))
    if config.classifier:
        scores = classifier(labels=config.num_labels, source="h", bias=False)
        groups.append(Group("head", (scores,), phases=every))
    return Program(tuple(groups), sizes_of(config))


def _ways(
    config: DecoderConfig, kind: Layer, conventions: Conventions, every: tuple[Phase, ...]
) -> list[tuple[tuple[Phase, ...], Conventions]]:
    """The phases, of those that there are, and how the layers run in them.

    Latents are expanded in prefill and absorbed in decode, and in both where an indexer picks keys; recurrences scan a
    prompt, and in decode take a step; so do compressors.
    """
    if kind.scans or kind.compresses:
        return [((phase,), conventions) for phase in every]
    if config.kv_lora_rank is None or conventions.latent != "usual":
        return [(every, conventions)]
    if config.index_topk is not None:
        return [(every, replace(conventions, latent="absorbed"))]
    ways: list[tuple[Phase, Literal["expanded", "absorbed"]]] = [
        (Phase.PREFILL, "expanded"),
        (Phase.DECODE, "absorbed"),
    ]
    return [((phase,), replace(conventions, latent=latent)) for phase, latent in ways if phase in every]


_SPANS: dict[LayerType, dict[str, Binding]] = {
    "sliding_attention": {"S": window_keys, "g": "S"},
    "chunked_attention": {"S": chunk_keys, "W": kept_in_chunk, "g": "S"},
}


def _local(config: DecoderConfig, kind: Layer, conventions: Conventions) -> dict[str, Binding]:
    """What the letters mean in layers of one kind: S under a window, F and X where there are experts."""
    local = dict(_SPANS.get(kind.attention, {}))
    rates = {"compressed_sparse_attention": (config.csa_rate, 2), "heavily_compressed_attention": (config.hca_rate, 1)}
    rate, series = rates.get(kind.attention, (None, 1))
    if rate is not None:
        local |= {"x": rate, "b": series, "y": series * rate}
    if kind.borrows and kind.dense and config.borrowing_intermediate_size is not None:
        local["F"] = config.borrowing_intermediate_size
    if kind.experts:
        local["X"] = touched_under(conventions.routing)
        if config.has_dense_layers and config.moe_intermediate_size is not None:
            local["F"] = config.moe_intermediate_size
    return local


def _name(config: DecoderConfig, kind: Layer, kinds: list[Layer]) -> str:
    """What tells ``kind`` from the other kinds: ``sliding_layers``, ``mamba2_layers``."""
    words = []
    if len({other.attention for other in kinds}) > 1:
        words.append(_word(config, kind))
    if kind.attends and len({other.rotary for other in kinds if other.attends}) > 1:
        words.append("rotary" if kind.rotary else "no_rotary")
    if len({other.borrows for other in kinds}) > 1:
        words.append("borrowing" if kind.borrows else "keeping")
    if len({other.picks for other in kinds}) > 1:
        words.append("picking" if kind.picks else "sharing")
    if not kind.lone and len({other.experts for other in kinds}) > 1:
        words.append("expert" if kind.experts else "dense")
    return "_".join([*words, "layers"])


def _word(config: DecoderConfig, kind: Layer) -> str:
    if kind.attention == "linear_attention" and config.recurrence is not None:
        return config.recurrence.kind
    return kind.attention.removesuffix("_attention")


def _embedding(config: DecoderConfig) -> tuple[Op, ...]:
    x, tied = Tensor("x", "B T D"), config.head and config.tie_word_embeddings
    if config.residual_streams is not None:
        streams = first_streams() if config.stream_updates == "alternating" else (spread(),)
        return token_embedding(output="x_token", tied=tied), *_of_layers(config, "x_token"), *streams
    ops = [token_embedding(tied=tied), *_of_layers(config, "x")]
    if config.positions == "learned":
        ops += [position_embedding(), embedding_sum(position=True, segment=False)]
    if config.embedding_norm:
        ops.append(norm("embedding_norm", x, x, kind=config.norm))
    if config.blocks != "branch":
        ops.append(norm("input_norm", x, Tensor("h", "B T D"), kind=config.norm))
    return tuple(ops)


def _of_layers(config: DecoderConfig, source: str) -> tuple[Op, ...]:
    """The embeddings that the layers have for themselves."""
    if config.per_layer_input_size is None:
        return ()
    return per_layer_inputs(kind=config.norm, rows=config.per_layer_vocab_size or config.vocab_size, source=source)


def _head(config: DecoderConfig, conventions: Conventions) -> tuple[Op, ...]:
    head = lm_head(tied=config.tie_word_embeddings, bias=config.head_bias)
    capped = config.final_logit_softcapping is not None
    return (head.rebound(T=1) if conventions.lm_head == "last" else head, sampling(cap=capped))
