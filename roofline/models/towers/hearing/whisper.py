"""What the towers of sound that come from Whisper's encoder share: two convolutions, 50 places a second."""

from __future__ import annotations

from typing import Any

from roofline.models.families.family import Family, Rule, names
from roofline.models.families.rules import stated
from roofline.models.shapes.sound_tower import SoundTowerConfig, program
from roofline.models.towers.fields import sizes

WHISPER = Family(
    SoundTowerConfig,
    program,
    classes={"": {}},
    rename={
        "d_model": "hidden_size",
        "encoder_layers": "num_hidden_layers",
        "encoder_attention_heads": "num_attention_heads",
        "encoder_ffn_dim": "intermediate_size",
        "activation_function": "hidden_act",
        "max_source_positions": "max_position_embeddings",
    },
    options={**sizes(1280, 5120, 32, 20, "gelu"), "num_mel_bins": 128, "max_position_embeddings": 1500},
    fixed={"key_bias": False, "piece_frames": Rule("", lambda fields: 2 * fields["max_position_embeddings"])},
    inert=names(
        "dropout activation_dropout encoder_layerdrop layerdrop scale_embedding init_std vocab_size is_encoder_decoder"
    ),
)


def seconds(default: int) -> Rule[int]:
    """The longest sound that the processor reads whole. [s]"""
    return stated("processor.chunk_length", default)


def matmul(width: int, **more: Any) -> list[dict[str, Any]]:
    """A projector of one matmul."""
    return [{"width": width, **more}]
