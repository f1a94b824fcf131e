"""The lone layers of sparse attention, and of residual connections of other forms than one sum."""

from __future__ import annotations

from roofline.formulas.lone_layers import Layer, fixed
from roofline.layers.residuals import alternating_updates as updates
from roofline.layers.residuals import hyper_connections as streams
from roofline.layers.residuals import per_layer_inputs as own
from roofline.layers.sparse import block_attention as blocks
from roofline.layers.sparse import compressed_attention as sparse

SPARSE: dict[str, Layer] = {
    "compressed_projections": Layer(
        "projections of compressed sparse attention",
        fixed(*sparse.compressed_projections()),
        sparse.compressed_projections,
    ),
    "block_indexer": Layer("indexer of blocks of keys", fixed(*blocks.block_indexer()), blocks.block_indexer),
    "block_attention": Layer(
        "attention to picked blocks of keys", fixed(*blocks.block_attention()), blocks.block_attention
    ),
    "compressor": Layer(
        "compressor of tokens to entries, decode", fixed(*sparse.compressor(step=True)), sparse.compressor
    ),
    "entry_indexer": Layer(
        "indexer of compressed entries, decode", fixed(*sparse.entry_indexer(step=True)), sparse.entry_indexer
    ),
    "compressed_sparse_attention": Layer(
        "attention to a window and to picked entries",
        fixed(*sparse.compressed_attention(compressed=True, picked=True)),
        sparse.compressed_attention,
    ),
    "heavily_compressed_attention": Layer(
        "attention to a window and to all entries",
        fixed(*sparse.compressed_attention(compressed=True)),
        sparse.compressed_attention,
    ),
    "grouped_output": Layer(
        "output projection by groups of heads", fixed(*sparse.grouped_output()), sparse.grouped_output
    ),
    "stream_spread": Layer("embedding as streams", fixed(streams.spread()), streams.spread),
    "stream_collapse": Layer(
        "one stream of several, and its norm",
        fixed(*streams.collapse("ffn", kind="rms", rounds=20)),
        streams.collapse,
    ),
    "stream_expand": Layer("a branch added to each stream", fixed(streams.expand("ffn", "f")), streams.expand),
    "last_stream_collapse": Layer(
        "one stream of several behind the last layer", fixed(*streams.last_collapse(kind="rms")), streams.last_collapse
    ),
    "altup_first_streams": Layer(
        "alternating updates: streams beside the embedding", fixed(*updates.first_streams()), updates.first_streams
    ),
    "altup_attended": Layer(
        "alternating updates: attention added to the active stream",
        fixed(updates.attended(kind="rms")),
        updates.attended,
    ),
    "altup_added": Layer(
        "alternating updates: a branch added to the other streams",
        fixed(updates.added_to_others("p", kind="rms")),
        updates.added_to_others,
    ),
    "altup_last_streams": Layer(
        "alternating updates: streams behind the last layer",
        fixed(*updates.last_streams(kind="rms")),
        updates.last_streams,
    ),
    "altup_predict": Layer(
        "alternating updates: streams predicted", fixed(*updates.predict(kind="rms")), updates.predict
    ),
    "altup_correct": Layer(
        "alternating updates: streams corrected", fixed(*updates.correct(kind="rms")), updates.correct
    ),
    "learned_residual": Layer(
        "learned residual beside attention (LAuReL)",
        fixed(*updates.learned_residual(kind="rms")),
        updates.learned_residual,
    ),
    "per_layer_embeddings": Layer(
        "embeddings of all layers", fixed(*own.per_layer_inputs(kind="rms", rows=262_144)), own.per_layer_inputs
    ),
    "per_layer_branch": Layer(
        "what a layer makes of its own embedding",
        fixed(*own.per_layer_branch(function="gelu")),
        own.per_layer_branch,
    ),
}
