"""The families of the encoder's shape: one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import USUAL, Family, Fields, names
from roofline.models.families.patterns import alternating_from_the_first, label_count, unless_equal, whole
from roofline.models.shapes import encoder

_TEXT = {**USUAL, "is_decoder": False}
_LABELS = names("num_labels id2label")


def _classes(stem: str, *, pooler: Fields, sentence: Fields, token: Fields | None = None) -> dict[str, Fields]:
    """A family's classes: bare with its ``pooler``, masked LM, and classifiers of sentences, tokens and spans."""
    of_tokens = {"head": "token_classifier", **(token or {})}
    return {
        f"{stem}Model": pooler,
        f"{stem}ForMaskedLM": {"head": "masked_lm"},
        f"{stem}ForSequenceClassification": {"head": "classifier", **sentence},
        f"{stem}ForTokenClassification": of_tokens,
        f"{stem}ForQuestionAnswering": of_tokens,
    }


def _first(function: str) -> Fields:
    return {"pooling": "first", "head_act": function}


def _padding_rows(pad: int) -> Any:
    """RoBERTa: positions are counted from the padding token's number on, so that the rows up to it stay unused."""
    return lambda fields: whole(fields, "pad_token_id", pad) + 1


def _bert_like(stem: str, *, segments: int = 2, pad: int | None = None, masked_act: str | None = None) -> Family:
    """BERT and the families that only number their positions in another way (``pad``)."""
    classes = _classes(stem, pooler=_first("tanh"), sentence=_first("tanh"))
    if masked_act:
        classes[f"{stem}ForMaskedLM"] = {"head": "masked_lm", "head_act": masked_act}
    return Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("type_vocab_size tie_word_embeddings"),
        classes=classes,
        defaults={
            "type_vocab_size": segments,
            "hidden_act": "gelu",
            "tie_word_embeddings": True,
            "num_labels": label_count,
            **({} if pad is None else {"unused_positions": _padding_rows(pad)}),
        },
        only={**_TEXT, "position_embedding_type": "absolute"},
        reads=_LABELS | (names("") if pad is None else names("pad_token_id")),
    )


def _modernbert_pooling(fields: Mapping[str, Any]) -> str:
    return "mean" if fields.get("classifier_pooling") == "mean" else "first"


def _modernbert_norm(fields: Mapping[str, Any]) -> str:
    return "layer" if fields.get("norm_bias") else "layer_gain"


_DISENTANGLED: Fields = {
    # what DeBERTa V3 states and the class has otherwise where it is absent
    "relative_attention": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}


def _deberta_distances(fields: Mapping[str, Any]) -> int:
    """Rows of the table of distances, on either side: buckets, else the longest distance, else all positions."""
    for name, modelled in _DISENTANGLED.items():
        stated = fields.get(name)
        listed = "|".join(sorted(map(str, stated), reverse=True)) if isinstance(stated, list) else stated
        if listed != modelled:
            msg = f"{name}: given {shown(stated)}; only {shown(modelled)} is modelled"
            raise ValueError(msg)
    if fields.get("pooler_hidden_size", width := fields["hidden_size"]) not in (None, width):
        msg = f"pooler_hidden_size: given {shown(fields['pooler_hidden_size'])}; only hidden_size is modelled"
        raise ValueError(msg)
    both = ("position_buckets", "max_relative_positions")
    spans = [0 if fields.get(name) == -1 else whole(fields, name, 0) for name in both]  # -1: none
    return 2 * next((span for span in spans if span > 0), whole(fields, "max_position_embeddings", 512))


_MODERN_HEAD: Fields = {"head_norm": True}
_MODERN_TOKENS: Fields = {"pooling": "every", **_MODERN_HEAD}

ENCODERS: dict[str, Family] = {
    "albert": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("type_vocab_size embedding_size num_hidden_groups tie_word_embeddings"),
        classes=_classes("Albert", pooler=_first("tanh"), sentence=_first("tanh")),
        defaults={
            "type_vocab_size": 2,
            "embedding_size": 128,
            "hidden_act": "gelu_new",
            "num_hidden_groups": 1,
            "tie_word_embeddings": True,
            "num_labels": label_count,
        },
        only={**_TEXT, "inner_group_num": 1, "position_embedding_type": "absolute"},
        reads=_LABELS,
        inert=names("classifier_dropout_prob net_structure_type gap_size num_memory_blocks down_scale_factor"),
    ),
    "bert": _bert_like("Bert"),
    "camembert": _bert_like("Camembert", pad=1, masked_act="gelu"),
    "deberta-v2": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("type_vocab_size tie_word_embeddings"),
        classes=_classes("DebertaV2", pooler={}, sentence=_first("gelu")),
        defaults={
            "type_vocab_size": 0,
            "hidden_act": "gelu",
            "max_position_embeddings": 512,
            "distances": _deberta_distances,
            "tie_word_embeddings": True,
            "num_labels": label_count,
        },
        fixed={"positions": "disentangled"},
        only={
            **_TEXT,
            "pooler_hidden_act": "gelu",
            "legacy": True,
            "conv_kernel_size": 0,
            "embedding_size": None,
            "attention_head_size": None,
        },
        reads=_LABELS | names(f"position_buckets max_relative_positions pooler_hidden_size {' '.join(_DISENTANGLED)}"),
        inert=names("pooler_dropout pooler_size cls_dropout summary_type"),
    ),
    "distilbert": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("tie_word_embeddings"),
        classes=_classes("DistilBert", pooler={}, sentence=_first("relu")),
        rename={
            "dim": "hidden_size",
            "n_layers": "num_hidden_layers",
            "n_heads": "num_attention_heads",
            "hidden_dim": "intermediate_size",
            "activation": "hidden_act",
        },
        defaults={"hidden_act": "gelu", "tie_word_embeddings": True, "num_labels": label_count},
        only=_TEXT,
        reads=_LABELS,
        inert=names("dropout qa_dropout seq_classif_dropout sinusoidal_pos_embds"),
    ),
    "electra": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("type_vocab_size tie_word_embeddings"),
        classes={
            **_classes("Electra", pooler={}, sentence=_first("gelu")),
            "ElectraForMaskedLM": {"head": "masked_lm", "head_act": "gelu"},
            "ElectraForPreTraining": {"head": "token_classifier", "pooling": "every", "num_labels": 1},
        },
        defaults={
            "type_vocab_size": 2,
            "embedding_size": unless_equal("embedding_size", "hidden_size", 128),
            "hidden_act": "gelu",
            "tie_word_embeddings": True,
            "num_labels": label_count,
        },
        only={**_TEXT, "position_embedding_type": "absolute"},
        reads=_LABELS | names("embedding_size"),
        inert=names("summary_type summary_use_proj summary_activation summary_last_dropout"),
    ),
    "modernbert": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("attention_bias mlp_bias layer_types local_attention head_bias head_act tie_word_embeddings"),
        classes=_classes("ModernBert", pooler={"pooling": "none"}, sentence=_MODERN_HEAD, token=_MODERN_TOKENS),
        rename={
            "hidden_activation": "hidden_act",
            "classifier_bias": "head_bias",
            "classifier_activation": "head_act",
        },
        defaults={
            "hidden_act": "gelu",
            "head_act": "gelu",
            "head_bias": False,
            "attention_bias": False,
            "mlp_bias": False,
            "local_attention": 128,
            "layer_types": alternating_from_the_first("global_attn_every_n_layers", 3),
            "norm": _modernbert_norm,
            "pooling": _modernbert_pooling,
            "tie_word_embeddings": True,
            "num_labels": label_count,
        },
        fixed={"blocks": "pre", "positions": "rotary", "gated": True, "packed_qkv": True, "packed_gate": True},
        only={**_TEXT, "decoder_bias": True},
        reads=_LABELS | names("norm_bias global_attn_every_n_layers classifier_pooling"),
        inert=names(
            "norm_eps cls_token_id embedding_dropout mlp_dropout initializer_cutoff_factor deterministic_flash_attn "
            "sparse_prediction sparse_pred_ignore_index global_rope_theta local_rope_theta reference_compile "
            "repad_logits_with_grad"
        ),
    ),
    "mpnet": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("position_buckets tie_word_embeddings"),
        classes={
            **_classes("MPNet", pooler=_first("tanh"), sentence=_first("tanh")),
            "MPNetForMaskedLM": {"head": "masked_lm", "head_act": "gelu"},
        },
        rename={"relative_attention_num_buckets": "position_buckets"},
        defaults={
            "position_buckets": 32,
            "hidden_act": "gelu",
            "tie_word_embeddings": True,
            "num_labels": label_count,
        },
        fixed={"unused_positions": 2},  # its padding token is number 1, whatever the file says
        only=_TEXT,
        reads=_LABELS,
    ),
    "roberta": _bert_like("Roberta", pad=1, masked_act="gelu"),
    "tutorial_encoder": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("type_vocab_size"),
        classes={"TutorialEncoder": {"head": "linear"}},
        fixed={"blocks": "plain", "tie_word_embeddings": False},
        only=USUAL,
    ),
    "xlm-roberta": _bert_like("XLMRoberta", pad=1, masked_act="gelu"),
}
