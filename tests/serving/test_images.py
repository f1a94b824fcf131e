"""Serving of requests that show images: what they add to times, memory and prompts, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import roofline
from roofline.errors import UsageError, WorkloadError

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
        ("qwen3-vl-8b", {"images": 1, "pools": True}, "without an encoder; leave the pools out"),
        ("qwen3-vl-8b", {"image_size": "3x3"}, "give images or video too"),
        ("qwen3-vl-8b", {"images": 400}, "exceeds the model's max_position_embeddings"),
    ],
)
def test_what_is_refused(model: str, asked: dict[str, Any], says: str) -> None:
    with pytest.raises((UsageError, WorkloadError), match=says):
        roofline.compare(model, "8xh100", **{**ASKED, **asked})


def test_percentiles_of_images_are_refused() -> None:
    with pytest.raises(UsageError, match="percentiles are simulated, and no images are"):
        roofline.size("qwen3-vl-8b", "h100", load="5 req/s", ttft="p95:1s", images=1, **ASKED)
