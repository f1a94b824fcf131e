"""Generators of images and videos: their passes are those of the pipelines, whatever size and steps are asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from grids import quick
from shell import answer, refusal

import roofline
from roofline.models.generators.generator import GENERATORS
from roofline.models.generators.statement import PARTS
from roofline.models.sources import TRACES, generator_names

PUBLISHED = {
    "dit-xl-2": (833_480_327, 73_066_664_656_896),
    "sd3-medium": (7_692_768_483, 1_542_391_845_838_848),
    "flux.1-dev": (16_870_599_139, 6_294_301_564_022_784),
    "wan2.1-t2v-1.3b": (7_226_799_283, 85_755_661_288_685_568),
    "wan2.1-t2v-14b": (20_096_294_067, 504_366_209_913_274_368),
    "sd-1.5": (1_066_235_307, 248_605_380_206_592),
    "sdxl": (3_468_837_867, 2_060_115_582_038_016),
}
"""Parameters of all modules of a pipeline, and what torch's FlopCounterMode sees of all their passes for a batch of 3,
in diffusers 0.42.1 and transformers 5.23.0: ``benchmarks/record_traces.py --check``."""

SMALL = "dit-xl-2"
"""The one that is read fastest."""


@pytest.mark.parametrize("name", quick([SMALL, "flux.1-dev"], of=list(PUBLISHED)))
def test_parameters_and_flops_are_those_of_the_pipeline(name: str) -> None:
    model = roofline.load_model(name)
    whole = roofline.formula(model, count="square", subs="B=3")
    assert (model.parameters, whole.expression) == PUBLISHED[name]
    assert (model.model_type, model.reads) == ("generator", GENERATORS[name].makes)


def test_each_generator_is_checked_and_each_recording_used() -> None:
    used = {part.trace for made in GENERATORS.values() for part in made.components}
    assert set(generator_names()) == set(PUBLISHED)
    assert {path.stem for path in PARTS.glob("*.json")} <= used
    assert used <= {path.stem for folder in (PARTS, TRACES) for path in folder.glob("*.json")}


def test_steps_run_the_transformer_again_with_the_same_weights() -> None:
    one, two, ten = (_asked(denoise_steps=steps) for steps in (1, 2, 10))
    figures = [each["phases"]["encode"] for each in (one, two, ten)]
    for field in ("flops", "bytes", "time_s"):
        first, second, tenth = (each[field] for each in figures)
        assert tenth - first == pytest.approx(9 * (second - first), rel=1e-9)
    assert one["memory"]["weights_bytes"] == ten["memory"]["weights_bytes"]
    assert [each["passes"] for each in ten["components"]] == [10, 1]


def test_components_are_the_whole() -> None:
    found = _asked(batch=2)
    assert sum(each["time_s"] for each in found["components"]) == pytest.approx(found["request_s"], rel=1e-9)
    assert sum(each["weights_bytes"] for each in found["components"]) == found["memory"]["weights_bytes"]


def test_guidance_doubles_the_batch_of_the_transformer() -> None:
    """Of DiT, whose decoder is not guided: twice the images without guidance cost the transformer as much."""
    transformer = [_asked(batch=1)["components"][0], _asked(batch=2, set={"model.guided": False})["components"][0]]
    assert transformer[0] == transformer[1]


@pytest.mark.slow
def test_sizes_of_what_is_made_are_those_of_every_component() -> None:
    """The formula in height, width and steps has the FLOPs of each question."""
    letters = "height,width,denoise_steps"
    whole = roofline.formula("flux.1-dev", keep=letters).expression
    for height, width, steps in ((1024, 1024, 28), (512, 768, 4), (2048, 1024, 50)):
        asked = {"height": height, "width": width, "denoise_steps": steps, "B": 1}
        numbers = {symbol: asked[str(symbol)] for symbol in whole.free_symbols}
        size = f"{width}x{height}"
        found = roofline.predict("flux.1-dev", "h100", image_size=size, denoise_steps=steps)
        assert found.phases["encode"].figures.flops == int(whole.subs(numbers))


@pytest.mark.slow
def test_a_video_has_one_frame_more_than_a_multiple_of_four() -> None:
    found = roofline.predict("wan2.1-t2v-1.3b", "h100", video="3s")
    assert found.model.fields["frames"] == 49
    passes = {each.name: each.passes for each in found.components}
    assert passes == {"text_encoder": 2, "transformer": 100, "vae": 1, "vae_later": 12}


def test_weights_that_nothing_reads_rest_on_each_replica() -> None:
    """The encoder of a decoder's network lies beside it in memory."""
    one, two = roofline.predict(SMALL, "h100"), roofline.predict(SMALL, "2xh100", batch=2, dp=2)
    assert one.memory.footprint.weights_bytes == two.memory.footprint.weights_bytes


def test_a_thousand_images_have_a_price() -> None:
    words = ("compare", SMALL, "--hardware", "h100", "--prices", "h100=2USD/h")
    table = answer(*words, "--denoise-steps", "20")
    assert "USD per thousand generated images" in table
    row = json.loads(answer(*words, "--json"))["rows"][0]
    (full,) = [each for each in row["cost"]["at"] if each["utilization"] == 1]
    assert full["usd_per_million_requests"] == pytest.approx(2 / 3600 / row["requests_per_s"] * 1e6)


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (3, (SMALL, "--image-size", "512x512"), "its height is 256 pixels and no other"),
        (3, ("sd3-medium", "--image-size", "1000x1024"), "expected a multiple of 16 pixels"),
        (3, (SMALL, "--denoise-steps", "0"), "expected 1 to 10,000"),
        (2, (SMALL, "--images", "2"), "batch says how many generated images there are"),
        (2, (SMALL, "--video", "3s"), "makes images; leave it out"),
        (3, (SMALL, "--prompt", "77"), "leave prompt out"),
        (3, ("flux.1-dev", "--set", "model.guided=true"), "takes its guidance as an input"),
        (3, ("dit-xl-2-transformer", "--denoise-steps", "4"), "it is one step of dit-xl-2"),
        (3, ("gpt2", "--denoise-steps", "4"), "makes no images in steps"),
        (3, (SMALL, "--set", "model.steps=4"), "no field of a generator"),
    ],
)
def test_what_a_generator_does_not_make_is_refused_in_a_line(code: int, words: tuple[str, ...], said: str) -> None:
    assert said in refusal(code, "predict", *words, "--hardware", "h100")


def test_a_generator_is_not_trained_at_once() -> None:
    assert "give the code of its transformer" in refusal(3, "train", SMALL, "--hardware", "8xh100")


def _asked(**options: Any) -> dict[str, Any]:
    found: dict[str, Any] = roofline.predict(SMALL, "h100", **options).to_dict()
    return found
