"""Tokens of sound: ten durations a family, against the rule of the family's own processor in transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from processors import rule_of

from roofline.errors import WorkloadError
from roofline.models.model import load_model
from roofline.models.shapes.sound_tower import SoundTowerConfig
from roofline.models.towers.hearing.rules import frames_of, sounds

DURATIONS = [0.05, 0.1, 0.93, 1.0, 1.999, 2.0, 7.0625, 10.0, 29.995, 30.0]
_TEXT = {"hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 9, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 64}  # fmt: skip


def tower(model_type: str, text: str, **outer: Any) -> SoundTowerConfig:
    """The tower of a network of a type, with the fields that its class has where a file states none."""
    sound = {"output_dim": 64} if "omni" in model_type else {}
    fields = {"model_type": model_type, "text_config": {**_TEXT, "model_type": text}, "audio_config": sound}
    found = load_model({**fields, **outer}).hearing
    assert found is not None
    return found


QWEN2_AUDIO = tower("qwen2_audio", "qwen2")
QWEN2_5_OMNI = tower("qwen2_5_omni_thinker", "qwen2_5_omni_text", processor={"chunk_length": 300})
QWEN3_OMNI = tower("qwen3_omni_moe_thinker", "qwen3_omni_moe_text")
VOXTRAL = tower("voxtral", "llama")


def extracted(duration: float, **asked: Any) -> int:
    """The frames that the feature extractor of all these families marks as sound."""
    transformers = pytest.importorskip("transformers")
    extractor = transformers.WhisperFeatureExtractor(feature_size=2)
    samples = np.zeros(int(duration * 16_000), dtype=np.float32)
    found = extractor(samples, sampling_rate=16_000, return_attention_mask=True, return_tensors="np", **asked)
    return int(found["attention_mask"].sum())


@pytest.mark.parametrize("duration", DURATIONS)
def test_sound_of_qwen(duration: float) -> None:
    pytest.importorskip("torch")
    padded, lone = extracted(duration), extracted(duration, padding=True, truncation=False)
    assert frames_of(QWEN2_AUDIO, duration) == frames_of(QWEN2_5_OMNI, duration) == padded
    assert frames_of(QWEN3_OMNI, duration) == lone
    name = "_get_feat_extract_output_lengths"
    audio = rule_of("models/qwen2_audio/modeling_qwen2_audio.py", name)[name](None, padded)[1]
    omni = rule_of("models/qwen2_5_omni/processing_qwen2_5_omni.py", name)[name](padded)
    third = rule_of("models/qwen3_omni_moe/processing_qwen3_omni_moe.py", name)[name](lone)
    assert [sounds(each, duration).tokens for each in (QWEN2_AUDIO, QWEN2_5_OMNI, QWEN3_OMNI)] == [audio, omni, third]


@pytest.mark.parametrize("duration", [*DURATIONS[::2], 30.01, 59.0, 60.0, 61.0, 3600.0])
def test_sound_of_voxtral(duration: float) -> None:
    """Padded to whole parts of 480,000 samples by its processor; 1,500 places of each, four of them a token."""
    parts = -(-int(duration * 16_000) // 480_000)
    found = sounds(VOXTRAL, duration)
    assert (found.sequences, found.places, found.frames, found.tokens) == (parts, 1500, 3000, 375 * parts + 1)


def test_sound_that_a_processor_cuts_or_loses_is_refused() -> None:
    with pytest.raises(WorkloadError, match="cuts sound off behind 30 s"):
        sounds(QWEN2_AUDIO, 30.5)
    with pytest.raises(WorkloadError, match="no token is left"):
        sounds(QWEN2_AUDIO, 0.01)
    assert sounds(QWEN2_5_OMNI, 300.0).tokens == 7500
    assert sounds(QWEN3_OMNI, 3600.0).tokens == 13 * 3600
