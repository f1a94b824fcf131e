"""Random small networks that see or hear, whole: an image and a sound before a text, read in one pass, and a step.

FLOPs of tower, projector and decoder together equal torch's counter.
"""

from __future__ import annotations

from typing import Any

import pytest
from forward_passes import turned
from grids import quick
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from modules import module_of
from perceived import check_whole
from seeing_strategies import HEARD, SEEN, seeing_configs

from roofline.models.model import load_model
from roofline.models.towers.rules import Size

PHASES = (Phase.generate,)
"""A network that fails is not made smaller: whole ones take long."""

BOUNDS = {"min_pixels": 1, "max_pixels": 900}
"""Of processors: images of few patches."""


def small(config: dict[str, Any]) -> dict[str, Any]:
    """The network with processors whose images are small, and where it scans a first layer that attends."""
    text = config["text_config"]
    if text["model_type"].startswith("qwen3_5"):  # its cache asks for one
        kinds = ["full_attention", "linear_attention", "linear_attention"]
        config = {**config, "text_config": {**text, "layer_types": kinds[: text["num_hidden_layers"]]}}
    if "scale_factor" in config:
        side = config["vision_config"]["image_size"]
        return {**config, "processor": {"max_image_size": {"longest_edge": side}, "size": {"longest_edge": side}}}
    return {**config, "processor": BOUNDS, "video_processor": BOUNDS} if "vision_config" in config else config


FEW = [(name, 2) for name in ("gemma4", "llava_next", "qwen3_5_moe", "qwen3_omni_moe_thinker", "voxtral")]


@pytest.mark.parametrize(("model_type", "count"), quick(FEW, of=[*FEW, *((name, 15) for name in {**SEEN, **HEARD})]))
def test_random_wholes(model_type, count):
    pytest.importorskip("torch")

    @settings(max_examples=count, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(seeing_configs(model_type), st.integers(8, 60), st.integers(8, 60), st.integers(10, 300), st.integers(1, 9))
    def equal(config, width, height, frames, text):
        model = load_model(small(config))
        module = module_of(turned(model), device="meta", experts="batched_mm")
        check_whole(model, module, Size(width, height), frames / 100, text)

    equal()
