"""The catalogue of lone layers: what ``roofline formula NAME`` and docs/formulas.md show without a model."""

from __future__ import annotations

from functools import partial
from typing import Any

from roofline.formulas.lone_layers import Layer
from roofline.formulas.lone_layers import fixed as _fixed
from roofline.formulas.recurrences import RECURRENCES
from roofline.formulas.sparse import SPARSE
from roofline.layers import attention as attention_layer
from roofline.layers import (
    cross_attention,
    disentangled_attention,
    embedding,
    feed_forward,
    gated_attention,
    head,
    latent_attention,
    mixture_of_experts,
    normalization,
    patches,
    relative_position,
    sound,
)
from roofline.program.conventions import Conventions
from roofline.program.op import Op, PerElement, Tensor, contract, elementwise, weight


def _attention(conventions: Conventions, mask: Any = "causal") -> tuple[Op, ...]:
    fused, square = conventions.attention == "fused", conventions.count == "square"
    return attention_layer.attention(mask=mask, fused=fused, square=square)


def _cross_attention(conventions: Conventions) -> tuple[Op, ...]:
    fused, square = conventions.attention == "fused", conventions.count == "square"
    return cross_attention.cross_attention(bias=False, out_bias=False, fused=fused, square=square)


_X, _H, _A = (Tensor(name, "B T D") for name in "xha")
_POOLED = patches.average_pool(1, 1)
_CHAIN = patches.projector([patches.Dense(1, function="gelu"), patches.Dense(1)], width=1, tokens=patches.Merged(1))
_TAIL = patches.gated_tail(1, "silu", width=1, tokens=patches.Merged(1))
_OPEN = {letter: letter for letter in "TIFO"}
_SCORES = attention_layer.attention(mask="full", fused=False)[1]

LAYERS: dict[str, Layer] = {
    "token_embedding": Layer("token embedding", _fixed(embedding.token_embedding()), embedding.token_embedding),
    "position_embedding": Layer(
        "learned position embedding", _fixed(embedding.position_embedding()), embedding.position_embedding
    ),
    "segment_embedding": Layer(
        "segment (token type) embedding", _fixed(embedding.segment_embedding()), embedding.segment_embedding
    ),
    "embedding_sum": Layer(
        "sum of the embeddings",
        _fixed(embedding.embedding_sum(position=True, segment=True)),
        embedding.embedding_sum,
    ),
    "embedding_projection": Layer(
        "projection of the embeddings to the hidden size",
        _fixed(embedding.embedding_projection()),
        embedding.embedding_projection,
    ),
    "position_bias": Layer(
        "bias of the scores by distance", _fixed(relative_position.position_bias()), relative_position.position_bias
    ),
    "distance_norm": Layer(
        "distances that content attends to",
        _fixed(disentangled_attention.distance_norm()),
        disentangled_attention.distance_norm,
    ),
    "disentangled_projections": Layer(
        "projections of disentangled attention",
        _fixed(*disentangled_attention.disentangled_projections()),
        disentangled_attention.disentangled_projections,
    ),
    "disentangled_scores": Layer(
        "scores of disentangled attention",
        _fixed(*disentangled_attention.disentangled_scores()),
        disentangled_attention.disentangled_scores,
    ),
    "patch_embedding": Layer(
        "patches of an image and a class token", _fixed(*patches.patch_embedding()), patches.patch_embedding
    ),
    "average_pool": Layer("mean of squares of patches", _fixed(_POOLED.rebound(T="T", I="I")), patches.average_pool),
    "projector": Layer(
        "projector of an image's tokens", _fixed(*(op.rebound(**_OPEN) for op in _CHAIN)), patches.projector
    ),
    "gated_tail": Layer(
        "gated layer behind a projector", _fixed(*(op.rebound(**_OPEN) for op in _TAIL)), patches.gated_tail
    ),
    "sound_embedding": Layer("two convolutions over time", _fixed(*sound.sound_embedding()), sound.sound_embedding),
    "spectrogram_embedding": Layer(
        "three convolutions in time and frequency",
        _fixed(*sound.spectrogram_embedding(128, 480)),
        sound.spectrogram_embedding,
    ),
    "layer_norm": Layer(
        "layer normalisation", _fixed(normalization.norm("norm", _X, _H, kind="layer")), normalization.norm
    ),
    "rms_norm": Layer(
        "root-mean-square normalisation", _fixed(normalization.norm("norm", _X, _H, kind="rms")), normalization.norm
    ),
    "residual": Layer(
        "residual addition", _fixed(normalization.residual("residual", _A, _X, _X)), normalization.residual
    ),
    "residual_norm": Layer(
        "residual addition and norm in one kernel",
        _fixed(normalization.residual_norm("norm", _A, kind="rms", placement="pre")),
        normalization.residual_norm,
    ),
    "parallel_residual_norm": Layer(
        "both branches added at once and the norm behind them",
        _fixed(normalization.parallel_residual_norm("norm", kind="layer")),
        normalization.parallel_residual_norm,
    ),
    "projections": Layer(
        "query, key and value projections", _fixed(*attention_layer.projections()), attention_layer.projections
    ),
    "factored_queries": Layer(
        "queries by way of a shared latent",
        _fixed(*attention_layer.factored_queries()),
        attention_layer.factored_queries,
    ),
    "query_key_norm": Layer(
        "norm of queries and keys", _fixed(attention_layer.query_key_norm()), attention_layer.query_key_norm
    ),
    "value_norm": Layer("norm of values", _fixed(attention_layer.value_norm()), attention_layer.value_norm),
    "rotary": Layer("rotary position embedding", _fixed(attention_layer.rotary()), attention_layer.rotary),
    "gated_projections": Layer(
        "query, key and value projections, with a gate",
        _fixed(*gated_attention.gated_projections()),
        gated_attention.gated_projections,
    ),
    "attention_gate": Layer(
        "gate on what the heads say", _fixed(gated_attention.attention_gate()), gated_attention.attention_gate
    ),
    "attention": Layer("scaled dot-product attention, causal", _attention, attention_layer.attention),
    "full_attention": Layer(
        "scaled dot-product attention, unmasked", partial(_attention, mask="full"), attention_layer.attention
    ),
    "local_attention": Layer(
        "scaled dot-product attention, local", partial(_attention, mask="local"), attention_layer.attention
    ),
    "cross_keys_values": Layer(
        "keys and values of cross-attention",
        _fixed(*cross_attention.cross_keys_values(bias=False)),
        cross_attention.cross_keys_values,
    ),
    "cross_attention": Layer(
        "cross-attention, with the projections around it", _cross_attention, cross_attention.cross_attention
    ),
    "materialised_attention": Layer(
        "attention with stored scores, unmasked",
        _fixed(*attention_layer.attention(mask="full", fused=False)),
        attention_layer.attention,
    ),
    "latent_projections": Layer(
        "projections of multi-head latent attention",
        _fixed(*latent_attention.latent_projections(query_latent=True)),
        latent_attention.latent_projections,
    ),
    "latent_attention": Layer(
        "multi-head latent attention, absorbed",
        _fixed(*latent_attention.latent_attention(absorbed=True)),
        latent_attention.latent_attention,
    ),
    "expanded_latent_attention": Layer(
        "multi-head latent attention, expanded",
        _fixed(*latent_attention.latent_attention(absorbed=False)),
        latent_attention.latent_attention,
    ),
    "lightning_indexer": Layer(
        "indexer of sparse attention", _fixed(*latent_attention.indexer()), latent_attention.indexer
    ),
    "latent_gate": Layer(
        "gate on the heads of multi-head latent attention",
        _fixed(*latent_attention.latent_gate()),
        latent_attention.latent_gate,
    ),
    "latent_output_projection": Layer(
        "output projection of multi-head latent attention",
        _fixed(latent_attention.latent_output_projection()),
        latent_attention.latent_output_projection,
    ),
    "output_projection": Layer(
        "output projection of attention", _fixed(attention_layer.output_projection()), attention_layer.output_projection
    ),
    "feed_forward": Layer(
        "feed-forward layer, GELU",
        _fixed(*feed_forward.feed_forward(function="gelu", gated=False)),
        feed_forward.feed_forward,
    ),
    "gated_feed_forward": Layer(
        "gated feed-forward layer, SiLU",
        _fixed(*feed_forward.feed_forward(function="silu", gated=True)),
        feed_forward.feed_forward,
    ),
    "router": Layer("router of a mixture of experts", _fixed(*mixture_of_experts.router()), mixture_of_experts.router),
    "experts": Layer(
        "mixture of experts, SiLU",
        _fixed(*mixture_of_experts.experts(function="silu")),
        mixture_of_experts.experts,
    ),
    "latent_experts": Layer(
        "mixture of experts that read a latent",
        _fixed(*mixture_of_experts.latent_experts(function="relu2", glu=False)),
        mixture_of_experts.latent_experts,
    ),
    "shared_experts": Layer(
        "experts that every token goes to",
        _fixed(*mixture_of_experts.shared_experts(function="silu")),
        mixture_of_experts.shared_experts,
    ),
    "activation": Layer(
        "activation function, GELU",
        _fixed(feed_forward.activation("act", Tensor("u", "B T F"), Tensor("m", "B T F"), "gelu")),
        feed_forward.activation,
    ),
    "lm_head": Layer("scores over the vocabulary", _fixed(head.lm_head(tied=False)), head.lm_head),
    "prediction_head": Layer(
        "what a head of multi-token prediction reads", _fixed(*head.joined_state(kind="rms")), head.joined_state
    ),
    "sampling": Layer("softmax over the vocabulary and the pick of a token", _fixed(head.sampling()), head.sampling),
    "pooler": Layer("pooler", _fixed(*head.pooler()), head.pooler),
    "classifier": Layer("scores for two labels", _fixed(head.classifier(labels=2)), head.classifier),
    "mean_pooling": Layer("mean over the tokens", _fixed(head.mean_pooling()), head.mean_pooling),
    "embedding_head": Layer("embedding of a sequence", _fixed(*head.embedding_head("image")), head.embedding_head),
    "similarity": Layer("similarity of every text to every image", _fixed(*head.similarity()), head.similarity),
    "masked_lm_head": Layer(
        "masked-LM head",
        _fixed(*head.masked_lm_head(function="gelu", kind="layer", tied=True)),
        head.masked_lm_head,
    ),
    **RECURRENCES,
    **SPARSE,
    "matmul": Layer(
        "matrix product, B x D times D x F",
        _fixed(contract("matmul", Tensor("x", "B D"), weight("w", "D F"), Tensor("y", "B F"))),
        contract,
    ),
    "elementwise": Layer(
        "sum of two tensors",
        _fixed(elementwise("elementwise", [Tensor("a", "B D"), Tensor("b", "B D")], Tensor("y", "B D"), PerElement(1))),
        elementwise,
    ),
    "softmax": Layer("softmax over the context", _fixed(_SCORES), attention_layer.attention),
}
"""Name -> layer, in the order of the page."""

ALIASES = {"embedding": "token_embedding", "norm": "rms_norm"}
"""Kinds of operators that the catalogue has under another name."""
