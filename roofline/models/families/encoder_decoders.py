"""The families of the encoder-decoder's shape: the lines of BART and of T5."""

from __future__ import annotations

from typing import Any

from roofline.errors import shown
from roofline.models.families.family import USUAL, Family, Fields, Rule, names, rule
from roofline.models.shapes import encoder_decoder


def _classes(stem: str, head: str = "ForConditionalGeneration") -> dict[str, Fields]:
    return {f"{stem}{head}": {"head": True}, f"{stem}Model": {"head": False}}


def _same(name: str) -> Any:
    return lambda fields: fields[name]


def _stated_feed_forward(usual: str) -> tuple[Rule[str], Rule[bool]]:
    """The activation of ``feed_forward_proj``, ``relu`` or ``gated-gelu``, whose GELU is the one by tanh; the gate."""

    @rule("feed_forward_proj")
    def function(fields: Fields) -> str:
        stated = fields.get("feed_forward_proj", usual)
        gate, _, name = stated.rpartition("-") if isinstance(stated, str) else ("", "", "")
        if gate not in ("", "gated") or not name:
            msg = f'feed_forward_proj: given {shown(stated)}, expected an activation, or "gated-" and one'
            raise ValueError(msg)
        return "gelu_new" if stated == "gated-gelu" else name

    @rule("feed_forward_proj")
    def gated(fields: Fields) -> bool:
        return str(fields.get("feed_forward_proj", usual)).startswith("gated-")

    return function, gated


@rule("forced_decoder_ids")
def _whisper_start(fields: Fields) -> int:
    """Tokens before the first one of speech: the start, then language, task and no times unless the file says which."""
    forced = fields.get("forced_decoder_ids")
    if forced is None:
        return 4
    if not isinstance(forced, list):
        msg = f"forced_decoder_ids: given {shown(forced)}, expected a list of places and tokens"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return 1 + len(forced)


_ENCODER_DECODER = Family(
    encoder_decoder.EncoderDecoderConfig,
    encoder_decoder.program,
    classes={},
    options={"tie_word_embeddings": True},
    only={**USUAL, "is_encoder_decoder": True},
    inert=names(
        "forced_bos_token_id forced_eos_token_id num_beams max_length min_length length_penalty early_stopping "
        "no_repeat_ngram_size num_beam_groups diversity_penalty do_sample temperature top_k top_p repetition_penalty "
        "encoder_no_repeat_ngram_size num_return_sequences output_scores remove_invalid_values typical_p "
        "max_new_tokens tie_encoder_decoder exponential_decay_length_penalty num_hidden_layers classifier_dropout"
    ),
)
_BART = _ENCODER_DECODER.but(
    rename={
        "d_model": "hidden_size",
        "decoder_layers": "num_hidden_layers",
        "decoder_attention_heads": "num_attention_heads",
        "decoder_ffn_dim": "intermediate_size",
        "activation_function": "hidden_act",
    },
    options={
        "hidden_size": 1024,
        "encoder_layers": 12,
        "encoder_ffn_dim": 4096,
        "encoder_attention_heads": 16,
        "num_hidden_layers": 12,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "max_position_embeddings": 1024,
        "hidden_act": "gelu",
    },
    fixed={"decoder_positions": _same("max_position_embeddings")},
    inert="dropout activation_dropout classif_dropout init_std scale_embedding encoder_layerdrop decoder_layerdrop "
    "add_bias_logits add_final_layer_norm normalize_before normalize_embedding static_position_embeddings "
    "extra_pos_embeddings force_bos_token_to_be_generated max_encoder_position_embeddings layernorm_variant "
    "gradient_checkpointing save_step",
)
_LEARNED: Fields = {"positions": "learned", "position_offset": 2, "embedding_norm": True, "logits_bias": True}
_SINUSOIDAL: Fields = {"positions": "sinusoidal", "logits_bias": True}

_t5_function, _t5_gated = _stated_feed_forward("relu")
_mt5_function, _mt5_gated = _stated_feed_forward("gated-gelu")
_T5 = _ENCODER_DECODER.but(
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
    options={
        "head_dim": 64,
        "encoder_layers": None,
        "num_hidden_layers": _same("encoder_layers"),
        "max_position_embeddings": 512,  # what it was trained at; positions are relative
        "position_buckets": 32,
        "hidden_act": _t5_function,
    },
    fixed={
        "gated": _t5_gated,
        "encoder_attention_heads": _same("num_attention_heads"),
        "encoder_ffn_dim": _same("intermediate_size"),
        "decoder_positions": _same("max_position_embeddings"),
        "blocks": "pre",
        "norm": "rms",
        "bias": False,
        "positions": "relative",
        "position_fields": ("n_positions", "n_positions"),
    },
    positive="relative_attention_num_buckets",
    inert="relative_attention_max_distance dropout_rate initializer_factor dense_act_fn is_gated_act output_past "
    "scale_decoder_outputs",
)


def _t5_classes(stem: str) -> dict[str, Fields]:
    return {**_classes(stem), f"{stem}EncoderModel": {"head": False, "stacks": "encoder"}}


ENCODER_DECODERS: dict[str, Family] = {
    "bart": _BART.but(_classes("Bart"), fixed={"blocks": "post", **_LEARNED}),
    "m2m_100": _BART.but(
        _classes("M2M100"), options={"hidden_act": "relu"}, fixed={"blocks": "pre", "positions": "computed"}
    ),
    "marian": _BART.but(
        _classes("Marian", "MTModel"),
        fixed={"blocks": "post", **_SINUSOIDAL},
        only={"share_encoder_decoder_embeddings": True},
    ),
    "mbart": _BART.but(_classes("MBart"), fixed={"blocks": "pre", **_LEARNED}),
    "mt5": _T5.but(_t5_classes("MT5"), options={"hidden_act": _mt5_function}, fixed={"gated": _mt5_gated}),
    "pegasus": _BART.but(_classes("Pegasus"), fixed={"blocks": "pre", **_SINUSOIDAL}),
    "t5": _T5.but(_t5_classes("T5")),
    "whisper": _BART.but(
        _classes("Whisper"),
        rename={"max_source_positions": "max_position_embeddings", "max_target_positions": "decoder_positions"},
        options={
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
        },
        fixed={
            "decoder_start_tokens": _whisper_start,
            "blocks": "pre",
            "positions": "learned",
            "key_bias": False,
            "position_fields": ("max_source_positions", "max_target_positions"),
        },
        inert="use_weighted_layer_sum classifier_proj_size apply_spec_augment mask_time_prob mask_time_length "
        "mask_time_min_masks mask_feature_prob mask_feature_length mask_feature_min_masks median_filter_width",
    ),
}
