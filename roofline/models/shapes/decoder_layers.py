"""The layers of a decoder: attention or a recurrence, a feed-forward layer or experts, and the norms between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from roofline.layers.attention import (
    Mask,
    Scores,
    attention,
    factored_queries,
    output_projection,
    projections,
    query_key_norm,
    rotary,
    value_norm,
)
from roofline.layers.feed_forward import feed_forward
from roofline.layers.gated_attention import attention_gate, gated_projections
from roofline.layers.latent_attention import (
    indexer,
    latent_attention,
    latent_gate,
    latent_output_projection,
    latent_projections,
)
from roofline.layers.mixture_of_experts import experts, latent_experts, router, shared_experts
from roofline.layers.normalization import Placement, norm, parallel_residual_norm, residual_norm
from roofline.layers.residuals.alternating_updates import (
    added_to_others,
    attended,
    correct,
    learned_residual,
    predict,
)
from roofline.layers.residuals.hyper_connections import collapse, expand
from roofline.layers.residuals.per_layer_inputs import per_layer_branch
from roofline.layers.sparse.block_attention import block_attention, block_indexer
from roofline.layers.sparse.compressed_attention import (
    compressed_attention,
    compressed_projections,
    compressor,
    entry_indexer,
    grouped_output,
)
from roofline.models.shapes.decoder_config import DecoderConfig, Layer, LayerType
from roofline.models.shapes.recurrence import mixer
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor

_PLACEMENTS: dict[str, Placement] = {"pre": "pre", "sandwich": "sandwich", "branch": "branch"}
_MASKS: dict[LayerType, Mask] = {
    "full_attention": "causal",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "block_sparse_attention": "causal",
    "hybrid": "causal",
}


def sizes_of(config: DecoderConfig) -> dict[str, int]:
    """What each letter counts, before a layer gives it another meaning."""
    kv_heads = config.o_groups or config.num_key_value_heads  # one key serves all groups
    streams = config.residual_streams
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
        "W": config.sliding_window or config.attention_chunk_size or config.index_topk,
        "E": config.num_local_experts,
        "A": config.num_experts_per_tok,
        "O": config.moe_latent_size or config.per_layer_input_size,
        "R": config.kv_lora_rank,
        "Q": config.q_lora_rank,
        "J": config.qk_rope_head_dim,
        "U": config.v_head_dim,
        "n": config.index_n_heads,
        "d": config.index_head_dim,
        "o": config.o_lora_rank,
        "e": config.index_topk if config.o_groups else config.index_topk_blocks,
        "x": config.index_block_size,
        "h": streams,
        "j": streams * (streams + 2 * (config.stream_updates == "hyper_connections")) if streams else None,
        "u": config.laurel_rank,
    }
    given = sizes | {letter: size for letter, size in more.items() if size is not None}
    return (config.recurrence.sizes if config.recurrence else {}) | given


def _expert_width(config: DecoderConfig) -> int:
    return config.moe_intermediate_size or config.intermediate_size


def layer(config: DecoderConfig, kind: Layer, conventions: Conventions, *, step: bool) -> tuple[Op, ...]:
    """The operators of a layer of ``kind``; with a recurrence, in a ``step`` of decode or over a prompt."""
    if config.residual_streams is not None and config.stream_updates == "alternating":
        return _alternating_layer(config, kind, conventions, step=step)
    if config.residual_streams is not None:
        return _streamed_layer(config, kind, conventions, step=step)
    if config.blocks not in _PLACEMENTS:
        return _parallel_layer(config, kind, conventions)
    placement = _PLACEMENTS[config.blocks]
    source = "x" if placement == "branch" else "h"
    if kind.lone:
        return _lone_branch(config, kind, conventions, step=step)
    if kind.attention == "hybrid":
        both = (*_attention(config, kind, conventions, source), *_recurrence(config, kind, conventions, "m", step=step))
        mixed: tuple[Op, ...] = (*both, parallel_residual_norm("ffn_norm", kind=config.norm, branches="am"))
    else:
        mixed = (
            *_mixed(config, kind, conventions, source, step=step),
            residual_norm("ffn_norm", Tensor("a", "B T D"), kind=config.norm, placement=placement),
        )
    ops = (*mixed, *_feed_forward(config, kind, source))
    if config.per_layer_input_size is None:
        return *ops, residual_norm("output_norm", Tensor("f", "B T D"), kind=config.norm, placement=placement)
    behind: Placement = "branch" if placement == "sandwich" else placement
    return (
        *ops,
        residual_norm("output_norm", Tensor("f", "B T D"), kind=config.norm, placement=behind),
        *per_layer_branch(function=config.hidden_act),
        residual_norm("per_layer_norm", Tensor("p", "B T D"), kind=config.norm, placement=placement),
    )


def _mixed(config: DecoderConfig, kind: Layer, conventions: Conventions, source: str, *, step: bool) -> tuple[Op, ...]:
    """What mixes the tokens: attention or a recurrence."""
    if config.o_groups is not None:
        return _compressed_attention(kind, conventions, source, step=step)
    if kind.attends:
        ops, own = _attention(config, kind, conventions, source), config.own_heads(kind)
        return tuple(op.rebound(**own) for op in ops) if own else ops
    return _recurrence(config, kind, conventions, "a", step=step)


def _compressed_attention(kind: Layer, conventions: Conventions, source: str, *, step: bool) -> tuple[Op, ...]:
    """Attention to a window, and to what compressors made of the tokens before it."""
    square, picked = conventions.count == "square", kind.attention == "compressed_sparse_attention"
    return (
        *compressed_projections(source=source),
        *(compressor(step=step, source=source) if kind.compresses else ()),
        *(entry_indexer(step=step, square=square, source=source) if picked else ()),
        *compressed_attention(
            compressed=kind.compresses, picked=picked, fused=conventions.attention == "fused", square=square
        ),
        *grouped_output(),
    )


def _streamed_layer(config: DecoderConfig, kind: Layer, conventions: Conventions, *, step: bool) -> tuple[Op, ...]:
    """A layer whose branches read one stream made of several, which they are added to and which are then mixed."""
    return (
        *collapse("attention", kind=config.norm, rounds=config.stream_rounds),
        *_mixed(config, kind, conventions, "h", step=step),
        expand("attention", "a"),
        *collapse("ffn", kind=config.norm, rounds=config.stream_rounds),
        *_feed_forward(config, kind, "h"),
        expand("ffn", "f"),
    )


def _alternating_layer(config: DecoderConfig, kind: Layer, conventions: Conventions, *, step: bool) -> tuple[Op, ...]:
    """A layer that reads one of several streams, predicts all of them before and corrects them behind (Gemma 3n)."""
    return (
        *predict(kind=config.norm),
        *learned_residual(kind=config.norm),
        *_mixed(config, kind, conventions, "h", step=step),
        attended(kind=config.norm),
        *_feed_forward(config, kind, "h"),
        *correct(kind=config.norm),
        *per_layer_branch(function=config.hidden_act, source="first"),
        added_to_others("p", kind=config.norm),
    )


def _recurrence(
    config: DecoderConfig, kind: Layer, conventions: Conventions, output: str, *, step: bool
) -> tuple[Op, ...]:
    """The mixer with a state, whose letters may mean something else than in the rest of its layer."""
    assert config.recurrence is not None, "a layer that scans has a recurrence"
    outer = sizes_of(config) | ({"F": _expert_width(config)} if kind.experts else {})
    differing = {letter: size for letter, size in config.recurrence.sizes.items() if outer[letter] != size}
    ops = mixer(config.recurrence, step=step, square=conventions.count == "square", output=output)
    return tuple(op.rebound(**differing) for op in ops)


def _lone_branch(config: DecoderConfig, kind: Layer, conventions: Conventions, *, step: bool) -> tuple[Op, ...]:
    """A layer that mixes tokens or feeds forward, not both (Nemotron-H)."""
    if kind.dense or kind.experts:
        branch, output = _feed_forward(config, kind, "h"), "f"
    else:
        branch, output = _mixed(config, kind, conventions, "h", step=step), "a"
    return *branch, residual_norm("output_norm", Tensor(output, "B T D"), kind=config.norm, placement="pre")


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
        return _latent_attention(config, kind, conventions, source)
    held = "B W K H" if kind.attention == "chunked_attention" else "B S K H"
    of_keys = config.keys_as_values and kind.attention == "full_attention"
    value = "H" if config.v_head_dim is None else "U"
    gate, factored = config.attention_gate, config.q_lora_rank is not None
    made = "q" if kind.borrows else "kv" if factored else "qk" if of_keys else "qkv"
    options: dict[str, Any] = {"made": made} if gate == "none" else {"per_head": gate == "head"}
    options |= {"value": value} if value != "H" else {}
    project = gated_projections if gate != "none" else projections
    own, core = not kind.borrows, _core(config, kind, conventions, value, source)
    return (
        *(factored_queries(source=source) if factored else ()),
        *project(bias=config.attention_bias, packed=config.packed_qkv, source=source, held=held, **options),
        *((value_norm(of_keys=of_keys),) if config.value_norm and own else ()),
        *_query_key_norm(config, kind),
        *((rotary(keys=own),) if kind.rotary else ()),
        *(core if own else map(_borrowed, core)),
        *((attention_gate(per_head=gate == "head"),) if gate != "none" else ()),
        *((_context_norm(config),) if config.inner_norms else ()),
        output_projection(bias=config.attention_out_bias, value=value),
    )


def _context_norm(config: DecoderConfig) -> Op:
    """A norm of what all heads say together (BitNet)."""
    context = Tensor("context", "B T K G H")
    return norm("context_norm", context, context, kind=config.norm, axis="K G H", mixes="K G H")


def _borrowed(op: Op) -> Op:
    """An operator that reads the keys and values that another layer keeps."""
    reads = (replace(tensor, borrowed=tensor.role == "kv_cache") for tensor in op.reads)
    return replace(op, reads=tuple(reads), parts=tuple(map(_borrowed, op.parts)))


def _core(config: DecoderConfig, kind: Layer, conventions: Conventions, value: str, source: str) -> tuple[Op, ...]:
    """Scores, softmax and context of grouped queries, of all keys, of a window or of the blocks that are picked."""
    fused, square = conventions.attention == "fused", conventions.count == "square"
    if kind.attention == "block_sparse_attention":
        return *block_indexer(square=square, source=source), *block_attention(fused=fused, square=square)
    sinks = config.sinks == "all" or (config.sinks == "sliding" and kind.attention == "sliding_attention")
    return attention(
        mask=_MASKS[kind.attention],
        fused=fused,
        square=square,
        scores=Scores(alibi=config.positions == "alibi", cap=config.attn_logit_softcapping is not None, sinks=sinks),
        values=value,
    )


def _latent_attention(config: DecoderConfig, kind: Layer, conventions: Conventions, source: str) -> tuple[Op, ...]:
    gates = latent_gate(source=source) if config.attention_gate == "head" else ()
    return (
        *latent_projections(
            query_latent=config.q_lora_rank is not None,
            bias=config.attention_bias,
            source=source,
            turned=kind.rotary,
        ),
        *(indexer(square=conventions.count == "square", source=source) if kind.picks else ()),
        *latent_attention(
            absorbed=conventions.latent == "absorbed",
            fused=conventions.attention == "fused",
            square=conventions.count == "square",
            picked=config.index_topk is not None,
        ),
        *gates,
        latent_output_projection(bias=config.attention_out_bias),
    )


def _query_key_norm(config: DecoderConfig, kind: Layer) -> tuple[Op, ...]:
    if config.query_key_norm == "none" or (config.query_key_norm == "bare" and not kind.rotary):
        return ()
    norms = "rms_bare" if config.query_key_norm == "bare" else config.norm
    across = config.query_key_norm == "across"
    per_head = across or config.query_key_norm == "per_head"
    return (query_key_norm(kind=norms, per_head=per_head, across=across, keys=not kind.borrows),)


def _normed_experts(config: DecoderConfig) -> tuple[Op, ...]:
    """Experts beside a dense layer, each with norms of its own: what they read is the stream (Gemma 4)."""
    x, f, shared = Tensor("x", "B T D"), Tensor("f", "B T D"), Tensor("shared", "B T D")
    router_input, expert_input = Tensor("router_input", "B T D"), Tensor("expert_input", "B T D")
    *dense, total = shared_experts(function=config.hidden_act, glu=config.gated)
    return (
        *(op.rebound(F=config.shared_expert_intermediate_size) for op in dense),
        norm("shared_norm", shared, shared, kind=config.norm),
        norm("router_norm", x, router_input, kind=config.norm),
        *router(bias=config.router_bias, source=router_input.name),
        norm("expert_input_norm", x, expert_input, kind=config.norm),
        *experts(function=config.hidden_act, glu=config.gated, source=expert_input.name),
        norm("expert_norm", f, f, kind=config.norm),
        total,
    )


def _experts(config: DecoderConfig, source: str) -> tuple[Op, ...]:
    if config.expert_norms:
        return _normed_experts(config)
    function, glu = config.expert_activation or config.hidden_act, config.expert_gate
    between = experts if config.moe_latent_size is None else latent_experts
    routed = between(function=function, bias=config.expert_bias, glu=glu, source=source)
    shared = shared_experts(function=config.hidden_act, gated=config.shared_expert_gate, glu=glu, source=source)
    width = config.shared_expert_intermediate_size
    return (
        *router(bias=config.expert_bias or config.router_bias, source=source),
        *routed,
        *(op.rebound(F=width) for op in shared if width),
    )


def _feed_forward(config: DecoderConfig, kind: Layer, source: str) -> tuple[Op, ...]:
    if kind.experts:
        return _experts(config, source)
    *before, last = feed_forward(
        function=config.hidden_act,
        gated=config.gated,
        bias=config.mlp_bias,
        packed=config.packed_gate,
        source=source,
    )
    inner = Tensor("m", "B T F")
    normed = (norm("inner_norm", inner, inner, kind=config.norm, axis="F"),) if config.inner_norms else ()
    return *before, *normed, last
