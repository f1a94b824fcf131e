"""Encoding on devices of its own in means: TTFT has it, steps hold none of it, and its devices are paid."""

from __future__ import annotations

from math import ceil
from typing import Any

import pytest
from shell import answer, refusal

import roofline
from roofline.errors import RooflineError

MODEL = "qwen2.5-vl-7b"
SHOWN = {"images": 2, "image_size": "1024x768"}
ASKED: dict[str, Any] = {"prompt": 500, "generate": 300, "set": {"engine.chunk": 4096}}
TOKENS = 1998


def test_ttft_has_what_encodes_and_steps_are_those_of_the_text_alone() -> None:
    apart = roofline.compare(MODEL, "h100", encode_on="8xh100", batch=32, **SHOWN, **ASKED).rows[0]
    text = roofline.compare(MODEL, "h100", batch=32, **{**ASKED, "prompt": 500 + TOKENS}).rows[0]
    assert apart.point is not None
    assert text.point is not None
    encoders = apart.curve.encoders
    assert encoders is not None
    assert apart.point.tpot.value == pytest.approx(text.point.tpot.value)
    assert apart.point.ttft.value == pytest.approx(text.point.ttft.value + encoders.seconds[0])
    assert apart.point.ttft.low < apart.point.ttft.value < apart.point.ttft.high
    alone = roofline.predict(MODEL, "h100", phase="encode", prompt=500, **SHOWN).phases["encode"].figures
    assert encoders.pool.seconds == pytest.approx(alone.time_s)
    simulated = roofline.simulate(
        MODEL, "h100", encode_on="8xh100", prompt=500, generate=4, requests=2, load=0.5, **SHOWN
    )
    assert simulated.deployment.encoding is not None
    assert simulated.deployment.encoding.seconds == encoders.pool.seconds
    assert apart.curve.held is not None
    assert text.curve.held is not None
    own = roofline.compare(MODEL, "h100", batch=32, **SHOWN, **ASKED).rows[0]
    assert own.curve.held is not None
    assert apart.curve.held.weights < own.curve.held.weights  # no replica holds the tower
    assert own.point is not None
    assert own.point.tpot.value > apart.point.tpot.value  # whose steps wait for it


def test_a_row_serves_what_is_encoded_and_pays_for_it() -> None:
    few, many = (
        roofline.compare(
            MODEL, "4xh100", encode_on=pool, ttft="2s", tpot="50ms", prices="h100=2USD/h", **SHOWN, **ASKED
        )
        for pool in ("h100", "4xh100")
    )
    for found, devices in ((few, 1), (many, 4)):
        told = found.to_dict()["rows"][0]
        encode, rate = told["encode"], told["requests_per_s"]
        assert encode["devices"] == devices
        assert encode["utilization"] == pytest.approx(rate * encode["encode_s"] / devices)
        assert told["cost"]["at"][0]["usd_per_h"] == pytest.approx(2.0 * (4 + devices))
        assert found.rows[0].cost is not None
        best = min(point.usd_per_million for point in found.front)
        assert best <= found.rows[0].cost.mix(1.0) * (1 + 1e-9)
    assert (
        0.9
        < few.to_dict()["rows"][0]["encode"]["utilization"]
        <= 1
        < many.rows[0].point.requests_per_s.value / (few.rows[0].point.requests_per_s.value)
    )


def test_too_few_devices_that_encode_are_said_with_how_many_it_takes() -> None:
    asked = {"images": 8, "image_size": "1024x768", "prompt": 100, "generate": 50, "set": {"engine.chunk": 0}}
    (row,) = roofline.compare(MODEL, "128xh100", encode_on="h100", **asked).rows
    assert "requests/s are encoded at most" in row.misses[0]
    need = int(row.misses[0].rpartition("give ")[2].split()[0])
    assert roofline.compare(MODEL, "128xh100", encode_on=f"{need}xh100", **asked).rows[0].point


def test_pools_that_encode_prefill_and_decode() -> None:
    rows = roofline.compare(
        MODEL, "4xh100", encode_on="2xh100", pools=True, ttft="2s", tpot="50ms", **SHOWN, **ASKED
    ).rows
    told = next(row for row in rows if row.curve.pools is not None)
    assert told.point is not None
    assert told.curve.pools is not None
    assert told.curve.encoders is not None
    parts = sum(told.curve.pools.to_dict(told.point.batch)["ttft_parts"].values())
    assert told.point.ttft.value == pytest.approx(told.curve.encoders.seconds[0] + parts)


def test_size_has_as_many_devices_that_encode_as_its_load_takes() -> None:
    asked = {"load": "60 req/s", "headroom": 0.2, "ttft": "2s", "tpot": "50ms", "prices": "h100=2USD/h"}
    found = roofline.size(MODEL, "h100", encode_on="h100", **asked, **SHOWN, **ASKED).orders[0]
    encoders = found.curve.encoders
    assert encoders is not None
    assert found.encode_devices == ceil(60 * encoders.pool.seconds / 0.8)
    assert found.cost is not None
    assert found.cost.usd_per_h(1.0) == pytest.approx(2.0 * (found.devices + found.encode_devices))
    flags = ("--load", "60req/s", "--ttft", "2s", "--images", "2", "--prompt", "500", "--generate", "300", "--quiet")
    words = answer("size", MODEL, "--hardware", "h100", "--encode-on", "h100", *flags, "--image-size", "1024x768")
    assert " x h100-sxm-80gb to encode" in words


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: roofline.compare(MODEL, "h100", encode_on="h100"), "requests show nothing that is encoded"),
        (lambda: roofline.compare(MODEL, "h100", encode_on="h100,l4", **SHOWN), "one pool encodes"),
        (lambda: roofline.size(MODEL, "h100", encode_on="h100", load=1, ttft="p95:1s", **SHOWN), "simulate has pools"),
        (lambda: roofline.size(MODEL, "h100", encode_on="h100", load=1, pools=True, **SHOWN), "simulate has pools"),
    ],
)
def test_what_is_not_known_of_it_is_refused(ask: Any, said: str) -> None:
    with pytest.raises(RooflineError, match=said):
        ask()
    shown = ("--images", "1", "--encode-on", "h100", "--launch", "vllm")
    assert "leave encode_on out" in refusal(2, "compare", MODEL, "--hardware", "h100", *shown)
