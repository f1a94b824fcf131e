"""The lone layers of compressed sparse attention and of hyper-connections."""

from __future__ import annotations

from roofline.formulas.lone_layers import Layer, fixed
from roofline.layers.residuals import hyper_connections as streams
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
}
