"""Networks that hear: parameters of tower, projector and decoder, and FLOPs of the tower, against transformers."""

from __future__ import annotations

from typing import Any

import pytest
from grids import counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import check_parameters, counted, our_flops
from seeing_strategies import HEARD, seeing_configs

from roofline.models.families.seeing import HEARING
from roofline.models.model import Model, load_model
from roofline.models.towers.hearing.rules import sounds
from roofline.program.phases import Phase

IN_PIECES = {"qwen2_5_omni_thinker": "qwen2_5_omni", "qwen3_omni_moe_thinker": "qwen3_omni_moe"}


def heard_by(model: Model, frames: int) -> int:
    """FLOPs that the counter sees of the tower of sound and its projector, in eager attention."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    fields = {key: value for key, value in model.fields.items() if key not in ("model_type", "architectures")}
    config = transformers.AutoConfig.for_model(model.model_type, **fields, attn_implementation="eager")
    config.audio_config._attn_implementation = "eager"
    whole = getattr(transformers, HEARD[model.model_type][0])(config).eval().model
    mel, length = config.audio_config.num_mel_bins, torch.tensor([frames])
    if model.model_type in IN_PIECES:
        return counted(whole.audio_tower, torch.zeros(mel, frames), feature_lens=length)
    pixels = torch.zeros(frames // 40, mel, 40)
    if model.model_type == "voxtral":
        return counted(whole.get_audio_features, pixels)
    return counted(lambda: whole.multi_modal_projector(whole.audio_tower(pixels).last_hidden_state))


def test_every_family_is_drawn():
    assert set(HEARD) == set(HEARING)


@pytest.mark.parametrize("count", counts(2, 30))
@pytest.mark.parametrize("model_type", sorted({*HEARD} - {*IN_PIECES}))  # the others are drawn among those that see
def test_random_networks_that_hear_have_the_parameters_of_transformers(model_type, count):
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(config=seeing_configs(model_type))
    def equal(config):
        check_parameters(load_model(config))

    equal()


@pytest.mark.parametrize("count", counts(2, 30))
@pytest.mark.parametrize("model_type", HEARD)
def test_towers_of_sound(model_type, count):
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seeing_configs(model_type), st.integers(3, 930) if model_type in IN_PIECES else st.just(40))
    def equal(config, frames):
        model = load_model(config)
        assert model.hearing is not None
        sizes: dict[str, Any] = dict(sounds(model.hearing, frames / 100).sizes)
        assert our_flops(model, Phase.LISTEN, **sizes) == heard_by(model, frames)

    equal()
