"""Networks that see: parameters of tower, projector and decoder, and FLOPs of the tower, against transformers."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from grids import counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import check_parameters, counted, our_flops
from seeing_strategies import SEEN, seeing_configs

from roofline.models.families.seeing import SEEING
from roofline.models.model import Model, load_model
from roofline.models.towers.rules import Size, grid_of, pictures
from roofline.program.phases import Phase
from roofline.program.traffic.lengths import Pictures

GRIDDED = [name for name in SEEN if name.startswith(("qwen", "glm4"))]


_OLD = {
    "qwen2_vl": "Qwen2VisionTransformerPretrainedModel",
    "qwen2_5_vl": "Qwen2_5_VisionTransformerPretrainedModel",
    "glm46v": "Glm4vVisionModel",
    "qwen2_5_omni_thinker": "Qwen2_5OmniVisionEncoder",
    "qwen3_omni_moe_thinker": "Qwen3OmniMoeVisionEncoder",
}
"""Towers whose classes are not named after the whole."""


OWN_SIZE = ("kimi_k25", "gemma4", "lfm2_vl", "minimax_m3_vl")


def tower_of(model: Model) -> Any:
    """The module of the tower and of its projector, in eager attention."""
    transformers = pytest.importorskip("transformers")
    fields = {key: value for key, value in model.fields.items() if key not in ("model_type", "architectures")}
    config = transformers.AutoConfig.for_model(model.model_type, **fields)
    config.vision_config._attn_implementation = "eager"
    own = model.model_type.removesuffix("_thinker").replace("glm46v", "glm4v")
    file = importlib.import_module(f"transformers.models.{own}.modeling_{own}")
    stem = SEEN[model.model_type][0].removesuffix("ForConditionalGeneration")
    name = f"{stem}VisionModel" if hasattr(file, f"{stem}VisionModel") else _OLD[model.model_type]
    return getattr(file, name)(config.vision_config).eval()


def eager_whole(model: Model) -> Any:
    """The module of the whole, in eager attention; on the CPU, small as it is."""
    transformers = pytest.importorskip("transformers")
    fields = {key: value for key, value in model.fields.items() if key not in ("model_type", "architectures")}
    config = transformers.AutoConfig.for_model(model.model_type, **fields, attn_implementation="eager")
    name = SEEN[model.model_type][0]
    return getattr(transformers, name)(config).eval()


def counted_features(module: Any, pixels: Any, **more: Any) -> int:
    """What the counter sees of a tower and its projector, without the angles of rotations."""
    return counted(module.get_image_features, pixels, **more)


def flops_of(model: Model, seen: Pictures, number: int = 1) -> Any:
    """What the program says of a tower that has ``number`` pictures before it."""
    lengths = {"T": seen.patches, "S": seen.patches, "w": seen.window}
    return our_flops(model, Phase.ENCODE, B=seen.sequences * number, **lengths)


def test_every_family_is_drawn():
    assert set(SEEN) == set(SEEING) - {"kimi_vl"}  # which transformers has not


@pytest.mark.parametrize("count", counts(3, 30))
@pytest.mark.parametrize("model_type", SEEN)
def test_random_networks_that_see_have_the_parameters_of_transformers(model_type, count):
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(config=seeing_configs(model_type))
    def equal(config):
        check_parameters(load_model(config))

    equal()


@pytest.mark.parametrize("count", counts(2, 30))
@pytest.mark.parametrize("model_type", GRIDDED)
def test_towers_of_images_at_their_own_size(model_type, count):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seeing_configs(model_type), st.integers(1, 40), st.integers(1, 40), st.sampled_from((None, 4, 5)))
    def equal(config, width, height, frames):
        bounds = {"min_pixels": 1, "max_pixels": 900}
        model = load_model({**config, "processor": bounds, "video_processor": bounds})
        tower = model.tower
        size = Size(width, height, None if tower.video == "none" else frames)
        seen = pictures(tower, size, 1)
        module = tower_of(load_model(config))
        rows, columns = grid_of(tower, size)
        grid = torch.tensor([[seen.sequences, rows, columns]])
        patches = torch.zeros(seen.sequences * seen.patches, tower.patch_elements)
        assert flops_of(model, seen) == counted(module, patches, grid_thw=grid)

    equal()


@pytest.mark.parametrize("count", counts(2, 30))
@pytest.mark.parametrize("model_type", sorted({*SEEN} - {*GRIDDED, *OWN_SIZE}))
def test_towers_of_square_images(model_type, count):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seeing_configs(model_type), st.integers(1, 2))
    def equal(config, number):
        model = load_model(config)
        tower = model.tower
        side = tower.image_size
        lone = {"max_image_size": {"longest_edge": side}, "size": {"longest_edge": side}}
        tiled = load_model({**config, "processor": lone}).tower if "scale_factor" in config else tower
        seen = pictures(tiled, Size(side, side), 1)
        pixels = torch.ones(seen.sequences * number, tower.patch_elements // tower.patch_size**2, side, side)
        more = {}
        if model_type in ("llava_next", "mistral3"):
            more["image_sizes"] = torch.tensor([[side, side]] * number)
        if "scale_factor" in config:
            pixels = pixels[None]
        if model_type == "llava_next":
            pixels = pixels.reshape(number, seen.sequences, *pixels.shape[1:])
        if model_type == "mistral3":
            seen, number = Pictures(1, seen.patches * number, 0, seen.patches * number), 1  # it masks other images
        apart = 0
        if model_type == "llama4":  # whose last matmul runs where the text is embedded
            last, before = tower.projector[-1].width, tower.projector[-2].width
            apart = 2 * number * (seen.patches - 1) // tower.merge**2 * last * before
        assert flops_of(model, seen, number) - apart == counted_features(eager_whole(model), pixels, **more)

    equal()


@pytest.mark.parametrize("count", counts(2, 30))
def test_a_tower_of_images_padded_to_whole_tokens(count):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seeing_configs("kimi_k25"), st.integers(1, 4), st.integers(1, 4))
    def equal(config, rows, columns):
        model = load_model(config)
        patches = 4 * rows * columns
        pixels = torch.zeros(patches, 3, model.tower.patch_size, model.tower.patch_size)
        grid = torch.tensor([[1, 2 * rows, 2 * columns]])
        seen = Pictures(1, patches, rows * columns, patches)
        assert flops_of(model, seen) == counted_features(eager_whole(model), pixels, image_grid_thw=grid)

    equal()


@pytest.mark.parametrize("count", counts(2, 30))
def test_a_tower_whose_images_lie_in_a_batch_at_their_own_size(count):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seeing_configs("lfm2_vl"), st.integers(1, 4), st.integers(1, 4))
    def equal(config, rows, columns):
        model = load_model(config)
        side = model.tower.merge
        patches = side**2 * rows * columns
        pixels = torch.zeros(1, patches, model.tower.patch_elements)
        shapes, seen = torch.tensor([[side * rows, side * columns]]), torch.ones(1, patches, dtype=torch.long)
        found = counted_features(eager_whole(model), pixels, spatial_shapes=shapes, pixel_attention_mask=seen)
        assert flops_of(model, Pictures(1, patches, rows * columns, patches)) == found

    equal()


@pytest.mark.parametrize("count", counts(2, 30))
def test_a_tower_that_merges_behind_its_projector(count):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seeing_configs("minimax_m3_vl"), st.integers(1, 4), st.integers(1, 4))
    def equal(config, rows, columns):
        model = load_model(config)
        patches = rows * columns * model.tower.merge**2
        pixels = torch.zeros(patches, model.tower.patch_elements)
        grid = torch.tensor([[1, rows * model.tower.merge, columns * model.tower.merge]])
        seen = Pictures(1, patches, rows * columns, patches)
        assert flops_of(model, seen) == counted_features(eager_whole(model), pixels, image_grid_thw=grid)

    equal()


@pytest.mark.parametrize("count", counts(2, 30))
def test_a_tower_of_a_budget_of_tokens(count):
    """transformers takes the means by a matmul of every patch with every token, which no FLOP of ours is."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seeing_configs("gemma4"), st.integers(1, 3), st.integers(1, 3))
    def equal(config, rows, columns):
        model = load_model(config)
        tokens, patches = rows * columns, 4 * rows * columns
        where = torch.cartesian_prod(torch.arange(2 * columns), torch.arange(2 * rows))
        pixels = torch.zeros(1, patches, model.tower.patch_elements)
        means = 2 * tokens * patches * model.tower.hidden_size
        seen = Pictures(1, patches, tokens, patches)
        found = counted_features(eager_whole(model), pixels, image_position_ids=where[None])
        assert flops_of(model, seen) == found - means

    equal()
