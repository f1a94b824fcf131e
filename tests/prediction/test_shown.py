"""Images and videos in a request: encode before prefill, their tokens in prompt and cache, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import roofline
from roofline.errors import RooflineError
from roofline.program.phases import Phase

ASKED: dict[str, Any] = {"prompt": 100, "generate": 20}


def test_images_are_encoded_and_are_a_part_of_the_prompt() -> None:
    text = roofline.predict("qwen3-vl-8b", "h100", **{**ASKED, "prompt": 100 + 2 * 768})
    seen = roofline.predict("qwen3-vl-8b", "h100", images=2, **ASKED)
    assert list(text.phases) == [Phase.PREFILL, Phase.DECODE]
    assert list(seen.phases) == [Phase.ENCODE, Phase.PREFILL, Phase.DECODE]
    for phase in text.phases:
        assert seen.phases[phase].figures.time_s == text.phases[phase].figures.time_s
    encode = seen.phases[Phase.ENCODE].figures.time_s
    assert seen.ttft_s == pytest.approx(encode + (text.ttft_s or 0))
    assert seen.memory.footprint.kv_cache_bytes == text.memory.footprint.kv_cache_bytes
    assert seen.memory.footprint.weights_bytes == text.memory.footprint.weights_bytes


def test_the_encoding_of_one_image_by_hand() -> None:
    """Qwen2.5-VL-7B, 448 x 448: 1,024 patches, 16 windows of 64; 2 FLOPs a product."""
    one = roofline.predict("qwen2.5-vl-7b", "h100", images=1, image_size="448x448", phase="encode")
    patches, width, inner, layers, full = 1024, 1280, 3420, 32, 4
    linear = 4 * width * width + 3 * width * inner
    pairs = full * patches**2 + (layers - full) * patches * 64
    merged = patches // 4 * (5120 * 5120 + 5120 * 3584)
    by_hand = 2 * (patches * (3 * 2 * 14 * 14 * width + layers * linear) + 2 * pairs * width + merged)
    assert one.phases[Phase.ENCODE].figures.flops == by_hand
    assert one.to_dict()["inputs"]["image_tokens"] == 256


@pytest.mark.parametrize("asked", [{"batch": 3}, {"images": 3}])
def test_the_images_of_all_requests_are_encoded(asked: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"images": 1, "image_size": "1024x768", "phase": "encode"}
    three, one = (roofline.predict("qwen2.5-vl-7b", "h100", **{**usual, **own}) for own in (asked, {}))
    assert three.phases[Phase.ENCODE].figures.flops == 3 * one.phases[Phase.ENCODE].figures.flops


def test_all_instants_of_a_video_are_encoded() -> None:
    """20 frames are 10 instants; of a size that is not bounded 5 of them are half as many."""
    long, short = (
        roofline.predict("qwen2.5-vl-7b", "h100", video=seconds, image_size="448x448", phase="encode")
        for seconds in (10, 5)
    )
    assert long.phases[Phase.ENCODE].figures.flops == 2 * short.phases[Phase.ENCODE].figures.flops


def test_several_points_and_devices_are_those_of_single_predictions() -> None:
    asked = {"images": 3, "image_size": "640x480", "generate": 20}
    rows = roofline.predict("qwen2.5-vl-7b", "2xh100", batch=[1, 4], prompt=[64, 500], tp=2, **asked)
    for i, batch in enumerate((1, 4)):
        for j, prompt in enumerate((64, 500)):
            one = roofline.predict("qwen2.5-vl-7b", "2xh100", batch=batch, prompt=prompt, tp=2, **asked)
            assert rows["ttft_s"][i, j] == pytest.approx(one.ttft_s, rel=1e-12)


@pytest.mark.parametrize(
    ("model", "asked", "words"),
    [
        ("llama-3.1-8b", {"images": 1}, "llama-3.1-8b sees no images; leave images out"),
        ("qwen3-vl-8b", {"images": 0}, "images 0: expected a whole number from 1 to"),
        ("qwen3-vl-8b", {"images": 1, "video": 3}, "one request shows the one or the other"),
        ("qwen3-vl-8b", {"image_size": "10x10"}, "image_size is of images or of a video"),
        ("qwen3-vl-8b", {"images": 1, "image_size": "10"}, "expected width and height in pixels, such as 1024x768"),
        ("qwen3-vl-8b", {"images": 1, "image_size": "5000x1"}, "more than 200 times the other"),
        ("qwen3-vl-8b", {"images": 1, "fps": 2}, "fps is of a video"),
        ("qwen3-vl-8b", {"video": "3 tokens"}, "3 tokens"),
        ("qwen3-vl-8b", {"video": 10, "fps": 0}, "fps 0: expected a number above 0"),
        ("qwen3-vl-8b", {"images": 1, "context": 100}, "one decode step, which sees no images"),
        ("qwen3-vl-8b", {"phase": "encode"}, "no encode phase; it has prefill, decode; it encodes images: give some"),
        ("qwen3-vl-8b", {"images": 1000}, "exceeds the model's max_position_embeddings"),
    ],
)
def test_what_does_not_go_together_is_refused(model: str, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(RooflineError, match=words):
        roofline.predict(model, "h100", **asked)
