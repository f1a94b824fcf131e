"""Serving of requests that show images: what they add to times, memory and prompts, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import roofline
from roofline.errors import UsageError, WorkloadError
from roofline.program.phases import Phase
from roofline.serving.batch_sweep import curves
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.scenario import read_question

ASKED: dict[str, Any] = {"prompt": 1000, "generate": 200}


@pytest.mark.parametrize("chunk", [0, 8192])
def test_one_request_at_a_time_waits_for_its_images_as_predict_says(chunk: int) -> None:
    """TTFT has the encoding; steps that decode do not, and the time of a request does once."""
    encode = roofline.predict("qwen2.5-vl-7b", "h100", images=2, **ASKED).to_dict()["phases"]["encode"]["time_s"]
    own: dict[str, Any] = {"set": {"engine.chunk": chunk}, "generate": 200}
    shown = roofline.compare("qwen2.5-vl-7b", "h100", images=2, prompt=1000, **own)
    text = roofline.compare("qwen2.5-vl-7b", "h100", prompt=1000 + 1998, **own)
    seen, read = (found.to_dict()["rows"][0]["batch_1"] for found in (shown, text))
    assert seen["tpot_s"] == pytest.approx(read["tpot_s"])
    assert seen["ttft_s"] - read["ttft_s"] == pytest.approx(encode)
    assert 1 / seen["requests_per_s"] - 1 / read["requests_per_s"] == pytest.approx(encode)
    assert shown.to_dict()["inputs"]["image_tokens"] == 1998


def test_more_images_serve_fewer_requests_and_no_more_fit() -> None:
    rows = [roofline.compare("qwen3-vl-8b", "h100", images=n, **ASKED).to_dict()["rows"][0] for n in (1, 4)]
    assert rows[0]["requests_per_s"] > 2 * rows[1]["requests_per_s"]
    assert rows[0]["max_batch"] > rows[1]["max_batch"]


def test_what_is_sized_serves_its_images() -> None:
    bare, seen = (
        roofline.size("qwen3-vl-8b", "h100", load="50 req/s", tpot="40ms", **ASKED, **shown).orders[0].units
        for shown in ({}, {"images": 4})
    )
    assert seen > bare


@pytest.mark.parametrize(
    ("model", "asked", "says"),
    [
        ("qwen3-8b", {"images": 1}, "qwen3-8b sees no images"),
        ("qwen3-vl-8b", {"image_size": "3x3"}, "give images or video too"),
        ("qwen3-vl-8b", {"images": 400}, "exceeds the model's max_position_embeddings"),
    ],
)
def test_what_is_refused(model: str, asked: dict[str, Any], says: str) -> None:
    with pytest.raises((UsageError, WorkloadError), match=says):
        roofline.compare(model, "8xh100", **{**ASKED, **asked})


def test_a_pool_that_prefills_encodes_and_one_that_decodes_does_not() -> None:
    encode = roofline.predict("qwen2.5-vl-7b", "h100", images=2, **ASKED).phases["encode"].figures.time_s
    asked = replace(read_question("qwen2.5-vl-7b", images=2, **ASKED), only=Phase.PREFILL)
    text = replace(read_question("qwen2.5-vl-7b", prompt=1000 + 1998, generate=200), only=Phase.PREFILL)
    (seen,), (read,) = (curves(each, read_hardware(["h100"], {})) for each in (asked, text))
    assert seen.state is not None
    steps = seen.of("tpot_s") - read.of("tpot_s")
    assert steps == pytest.approx(encode * seen.state.batches), "a step of so many prompts encodes so many"
    alike = [replace(each, only=Phase.DECODE) for each in (asked, text)]
    (shown,), (plain,) = (curves(each, read_hardware(["h100"], {})) for each in alike)
    assert shown.of("tpot_s") == pytest.approx(plain.of("tpot_s"))
