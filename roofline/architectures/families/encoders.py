"""The families of the encoder's shape: one entry each."""

from __future__ import annotations

from roofline.architectures import encoder
from roofline.architectures.families.family import USUAL, Family, names

ENCODERS: dict[str, Family] = {
    "bert": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("type_vocab_size tie_word_embeddings"),
        classes={
            "BertModel": {"pooler": True},
            "BertForMaskedLM": {"head": "masked_lm"},
        },
        defaults={"type_vocab_size": 2, "hidden_act": "gelu", "tie_word_embeddings": True},
        only={**USUAL, "is_decoder": False, "position_embedding_type": "absolute"},
    ),
    "tutorial_encoder": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=names("type_vocab_size"),
        classes={"TutorialEncoder": {"head": "linear"}},
        fixed={"blocks": "plain", "tie_word_embeddings": False},
        only=USUAL,
    ),
}
