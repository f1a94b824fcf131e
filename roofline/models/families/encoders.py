"""The families of the encoder's shape: BERT, and how the others depart from it."""

from __future__ import annotations

from roofline.errors import shown
from roofline.models.families.family import USUAL, Family, Fields, Rule, rule
from roofline.models.families.rules import alternating_from_the_first, by_flag, label_count, unless_equal, whole
from roofline.models.shapes import encoder


def _classes(
    stem: str, *, pooler: Fields, sentence: Fields, token: Fields | None = None, masked: Fields | None = None
) -> dict[str, Fields]:
    """A family's classes: bare with its ``pooler``, masked LM, and classifiers of sentences, tokens and spans."""
    of_tokens = {"head": "token_classifier", **(token or {})}
    return {
        f"{stem}Model": pooler,
        f"{stem}ForMaskedLM": {"head": "masked_lm", **(masked or {})},
        f"{stem}ForSequenceClassification": {"head": "classifier", **sentence},
        f"{stem}ForTokenClassification": of_tokens,
        f"{stem}ForQuestionAnswering": of_tokens,
    }


def _without_spans(classes: dict[str, Fields]) -> dict[str, Fields]:
    return {name: fields for name, fields in classes.items() if not name.endswith("ForQuestionAnswering")}


def _first(function: str) -> Fields:
    return {"pooling": "first", "head_act": function}


def _pooled(stem: str, masked: Fields | None = None) -> dict[str, Fields]:
    """The classes of BERT's kin: the first token goes through a dense layer and tanh."""
    return _classes(stem, pooler=_first("tanh"), sentence=_first("tanh"), masked=masked)


_padding_rows = Rule("pad_token_id", lambda fields: whole(fields, "pad_token_id", 1) + 1)
"""RoBERTa: positions are counted from the padding token's number on, so that the rows up to it stay unused."""


@rule("classifier_pooling")
def _modernbert_pooling(fields: Fields) -> str:
    return "mean" if fields.get("classifier_pooling") == "mean" else "first"


@rule("head_dim")
def _heads_fill_the_width(fields: Fields) -> bool:
    """Nomic's projections have no bias; a head of another width than a whole part of the hidden size is refused."""
    given = fields.get("head_dim")
    if given not in (None, fields["hidden_size"] // fields["num_attention_heads"]):
        msg = f"head_dim {shown(given)} is not modelled; expected hidden_size / num_attention_heads"
        raise ValueError(msg)
    return False


_DISENTANGLED: Fields = {
    # what DeBERTa V3 states and the class has otherwise where it is absent
    "relative_attention": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}


@rule(f"position_buckets max_relative_positions pooler_hidden_size {' '.join(_DISENTANGLED)}")
def _deberta_distances(fields: Fields) -> int:
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


_ENCODER = Family(
    encoder.EncoderConfig,
    encoder.program,
    classes={},
    options={"hidden_act": "gelu", "tie_word_embeddings": True},
    fixed={"num_labels": label_count},
    only={**USUAL, "is_decoder": False},
)
_BERT = _ENCODER.but(options={"type_vocab_size": 2}, only={"position_embedding_type": "absolute"})
_ROTARY = _ENCODER.but(fixed={"positions": "rotary"})
_GELU: Fields = {"head_act": "gelu"}
_MODERN_HEAD: Fields = {"head_norm": True}
_MODERN_TOKENS: Fields = {"pooling": "every", **_MODERN_HEAD}

_TOKENS_OF_128: Fields = {"head": "token_classifier", "num_labels": 128, "labels_bias": False}
"""ColBERT (arXiv 2004.12832, section 3.2): an embedding of 128 for each token."""

ENCODERS: dict[str, Family] = {
    "albert": _BERT.but(
        _pooled("Albert"),
        options={"embedding_size": 128, "hidden_act": "gelu_new", "num_hidden_groups": 1},
        only={"inner_group_num": 1},
        positive="num_hidden_groups",
        inert="classifier_dropout_prob net_structure_type gap_size num_memory_blocks down_scale_factor",
    ),
    "bert": _BERT.but({**_pooled("Bert"), "HF_ColBERT": _TOKENS_OF_128}),
    "camembert": _BERT.but(_pooled("Camembert", masked=_GELU), fixed={"unused_positions": _padding_rows}),
    "deberta-v2": _ENCODER.but(
        _classes("DebertaV2", pooler={}, sentence=_first("gelu")),
        options={"type_vocab_size": 0, "max_position_embeddings": 512},
        fixed={"positions": "disentangled", "distances": _deberta_distances},
        only={
            "pooler_hidden_act": "gelu",
            "legacy": True,
            "conv_kernel_size": 0,
            "embedding_size": None,
            "attention_head_size": None,
        },
        inert="pooler_dropout pooler_size cls_dropout summary_type",
    ),
    "distilbert": _ENCODER.but(
        _classes("DistilBert", pooler={}, sentence=_first("relu")),
        rename={
            "dim": "hidden_size",
            "n_layers": "num_hidden_layers",
            "n_heads": "num_attention_heads",
            "hidden_dim": "intermediate_size",
            "activation": "hidden_act",
        },
        inert="dropout qa_dropout seq_classif_dropout sinusoidal_pos_embds",
    ),
    "electra": _BERT.but(
        {
            **_classes("Electra", pooler={}, sentence=_first("gelu"), masked=_GELU),
            "ElectraForPreTraining": {"head": "token_classifier", "pooling": "every", "num_labels": 1},
        },
        fixed={"embedding_size": unless_equal("embedding_size", "hidden_size", 128)},
        inert="summary_type summary_use_proj summary_activation summary_last_dropout",
    ),
    "gte": _ROTARY.but(
        _without_spans(_classes("Gte", pooler={}, sentence=_first("tanh"), masked=_GELU)),
        options={"type_vocab_size": 1, "max_position_embeddings": 8192},
        fixed={"gated": True, "mlp_bias": False, "down_bias": True},
    ),
    "jina_embeddings_v3": _ROTARY.but(
        _classes("JinaEmbeddingsV3", pooler=_first("tanh"), sentence=_first("tanh"), masked=_GELU),
        options={"type_vocab_size": 1, "max_position_embeddings": 8194},
    ),
    "modernbert": _ENCODER.but(
        _classes("ModernBert", pooler={"pooling": "none"}, sentence=_MODERN_HEAD, token=_MODERN_TOKENS),
        rename={
            "hidden_activation": "hidden_act",
            "classifier_bias": "head_bias",
            "classifier_activation": "head_act",
        },
        options={
            "head_act": "gelu",
            "head_bias": False,
            "attention_bias": False,
            "mlp_bias": False,
            "local_attention": 128,
            "layer_types": alternating_from_the_first("global_attn_every_n_layers", 3),
        },
        fixed={
            "blocks": "pre",
            "norm": by_flag("norm_bias", False, yes="layer", no="layer_gain"),
            "positions": "rotary",
            "gated": True,
            "packed_qkv": True,
            "packed_gate": True,
            "pooling": _modernbert_pooling,
        },
        only={"decoder_bias": True},
        inert="norm_eps cls_token_id embedding_dropout mlp_dropout initializer_cutoff_factor deterministic_flash_attn "
        "sparse_prediction sparse_pred_ignore_index global_rope_theta local_rope_theta reference_compile "
        "repad_logits_with_grad",
    ),
    "mpnet": _ENCODER.but(
        _pooled("MPNet", masked=_GELU),
        rename={"relative_attention_num_buckets": "position_buckets"},
        options={"position_buckets": 32},
        positive="relative_attention_num_buckets",
        fixed={"unused_positions": 2},  # its padding token is number 1, whatever the file says
    ),
    "nomic_bert": _ROTARY.but(
        _without_spans(_classes("NomicBert", pooler={}, sentence=_first("tanh"))),
        options={"type_vocab_size": 2, "max_position_embeddings": 2048, "hidden_act": "silu"},
        fixed={"gated": True, "attention_bias": _heads_fill_the_width, "mlp_bias": False},
    ),
    "roberta": _BERT.but(_pooled("Roberta", masked=_GELU), fixed={"unused_positions": _padding_rows}),
    "tutorial_encoder": Family(
        encoder.EncoderConfig,
        encoder.program,
        classes={"TutorialEncoder": {"head": "linear"}},
        options={"type_vocab_size": None},
        fixed={"blocks": "plain", "tie_word_embeddings": False},
        only=USUAL,
    ),
    "xlm-roberta": _BERT.but(_pooled("XLMRoberta", masked=_GELU), fixed={"unused_positions": _padding_rows}),
}
