"""The families of the encoder-decoder's shape: one entry each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import USUAL, Family, Fields, names
from roofline.models.shapes import encoder_decoder

_USUAL: Fields = {**USUAL, "is_encoder_decoder": True}
_GENERATION = (
    "forced_bos_token_id forced_eos_token_id num_beams max_length min_length length_penalty early_stopping "
    "no_repeat_ngram_size num_beam_groups diversity_penalty do_sample temperature top_k top_p repetition_penalty "
    "encoder_no_repeat_ngram_size num_return_sequences output_scores remove_invalid_values typical_p max_new_tokens "
    "tie_encoder_decoder exponential_decay_length_penalty"
)
_BART_NAMES = {
    "d_model": "hidden_size",
    "decoder_layers": "num_hidden_layers",
    "decoder_attention_heads": "num_attention_heads",
    "decoder_ffn_dim": "intermediate_size",
    "activation_function": "hidden_act",
}
_BART_INERT = names(
    "num_hidden_layers dropout activation_dropout classifier_dropout classif_dropout init_std scale_embedding "
    "encoder_layerdrop decoder_layerdrop add_bias_logits add_final_layer_norm normalize_before normalize_embedding "
    "static_position_embeddings extra_pos_embeddings force_bos_token_to_be_generated max_encoder_position_embeddings "
    "layernorm_variant gradient_checkpointing save_step " + _GENERATION
)
_BOTH = "encoder_layers encoder_attention_heads encoder_ffn_dim tie_word_embeddings"


def _classes(stem: str, head: str = "ForConditionalGeneration") -> dict[str, Fields]:
    return {f"{stem}{head}": {"head": True}, f"{stem}Model": {"head": False}}


def _same(name: str) -> Any:
    """What a field means that is absent: the same as ``name``."""
    return lambda fields: fields[name]


def _bart_like(classes: Mapping[str, Fields], act: str, only: Fields | None = None, **fixed: Any) -> Family:
    """BART and the families that differ in norms and positions."""
    return Family(
        encoder_decoder.EncoderDecoderConfig,
        encoder_decoder.program,
        options=names(_BOTH),
        classes=classes,
        rename=_BART_NAMES,
        defaults={
            "max_position_embeddings": 1024,
            "encoder_layers": 12,
            "encoder_ffn_dim": 4096,
            "encoder_attention_heads": 16,
            "num_hidden_layers": 12,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
            "hidden_act": act,
            "hidden_size": 1024,
            "tie_word_embeddings": True,
            "decoder_positions": _same("max_position_embeddings"),
        },
        fixed=fixed,
        only={**_USUAL, **(only or {})},
        inert=_BART_INERT,
    )


def _t5_function(usual: str) -> Callable[[Mapping[str, Any]], str]:
    """The activation of ``feed_forward_proj``: ``relu``, or ``gated-gelu``, whose GELU is the one by tanh."""

    def rule(fields: Mapping[str, Any]) -> str:
        stated = fields.get("feed_forward_proj", usual)
        gate, _, function = stated.rpartition("-") if isinstance(stated, str) else ("", "", "")
        if gate not in ("", "gated") or not function:
            msg = f'feed_forward_proj: given {shown(stated)}, expected an activation, or "gated-" and one'
            raise ValueError(msg)
        return "gelu_new" if stated == "gated-gelu" else function

    return rule


def _t5_like(stem: str, function: str) -> Family:
    """T5 and mT5. Positions are relative: ``n_positions`` is what it was trained at."""
    return Family(
        encoder_decoder.EncoderDecoderConfig,
        encoder_decoder.program,
        options=names("head_dim encoder_layers position_buckets tie_word_embeddings"),
        classes={**_classes(stem), f"{stem}EncoderModel": {"head": False, "stacks": "encoder"}},
        rename={
            "d_model": "hidden_size",
            "d_kv": "head_dim",
            "d_ff": "intermediate_size",
            "num_layers": "encoder_layers",
            "num_decoder_layers": "num_hidden_layers",
            "num_heads": "num_attention_heads",
            "relative_attention_num_buckets": "position_buckets",
            "n_positions": "max_position_embeddings",
            "feed_forward_proj": "hidden_act",
        },
        defaults={
            "head_dim": 64,
            "max_position_embeddings": 512,
            "position_buckets": 32,
            "hidden_act": _t5_function(function),
            "gated": lambda fields: str(fields.get("feed_forward_proj", function)).startswith("gated-"),
            "num_hidden_layers": _same("encoder_layers"),
            "encoder_attention_heads": _same("num_attention_heads"),
            "encoder_ffn_dim": _same("intermediate_size"),
            "decoder_positions": _same("max_position_embeddings"),
            "tie_word_embeddings": True,
        },
        fixed={
            "blocks": "pre",
            "norm": "rms",
            "bias": False,
            "positions": "relative",
            "position_fields": ("n_positions", "n_positions"),
        },
        only=_USUAL,
        reads=names("feed_forward_proj"),
        inert=names(
            "relative_attention_max_distance dropout_rate initializer_factor classifier_dropout dense_act_fn "
            "is_gated_act output_past num_hidden_layers scale_decoder_outputs " + _GENERATION
        ),
    )


def _whisper_start(fields: Mapping[str, Any]) -> int:
    """Tokens before the first one of speech: the start, then language, task and no times unless the file says which."""
    forced = fields.get("forced_decoder_ids")
    if forced is None:
        return 4
    if not isinstance(forced, list):
        msg = f"forced_decoder_ids: given {shown(forced)}, expected a list of places and tokens"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return 1 + len(forced)


_LEARNED: dict[str, Any] = {"positions": "learned", "position_offset": 2, "embedding_norm": True, "logits_bias": True}
_FIXED: dict[str, Any] = {"positions": "sinusoidal", "logits_bias": True}

ENCODER_DECODERS: dict[str, Family] = {
    "bart": _bart_like(_classes("Bart"), "gelu", blocks="post", **_LEARNED),
    "m2m_100": _bart_like(_classes("M2M100"), "relu", blocks="pre", positions="computed"),
    "marian": _bart_like(
        _classes("Marian", "MTModel"),
        "gelu",
        {"share_encoder_decoder_embeddings": True},
        blocks="post",
        **_FIXED,
    ),
    "mbart": _bart_like(_classes("MBart"), "gelu", blocks="pre", **_LEARNED),
    "mt5": _t5_like("MT5", "gated-gelu"),
    "pegasus": _bart_like(_classes("Pegasus"), "gelu", blocks="pre", **_FIXED),
    "t5": _t5_like("T5", "relu"),
    "whisper": Family(
        encoder_decoder.EncoderDecoderConfig,
        encoder_decoder.program,
        options=names(f"{_BOTH} num_mel_bins decoder_positions"),
        classes=_classes("Whisper"),
        rename={
            **_BART_NAMES,
            "max_source_positions": "max_position_embeddings",
            "max_target_positions": "decoder_positions",
        },
        defaults={
            "hidden_size": 384,
            "num_mel_bins": 80,
            "encoder_layers": 4,
            "encoder_ffn_dim": 1536,
            "encoder_attention_heads": 6,
            "num_hidden_layers": 4,
            "intermediate_size": 1536,
            "num_attention_heads": 6,
            "max_position_embeddings": 1500,
            "decoder_positions": 448,
            "hidden_act": "gelu",
            "tie_word_embeddings": True,
            "decoder_start_tokens": _whisper_start,
        },
        fixed={
            "blocks": "pre",
            "positions": "learned",
            "key_bias": False,
            "position_fields": ("max_source_positions", "max_target_positions"),
        },
        only=_USUAL,
        reads=names("forced_decoder_ids"),
        inert=_BART_INERT
        | names(
            "use_weighted_layer_sum classifier_proj_size apply_spec_augment mask_time_prob mask_time_length "
            "mask_time_min_masks mask_feature_prob mask_feature_length mask_feature_min_masks median_filter_width"
        ),
    ),
}
