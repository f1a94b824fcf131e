"""Prefixes in tiers below the devices' memory, in answers of means: loaded where that is faster, else computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import roofline
from roofline.buying.ranking import Row
from roofline.errors import UsageError

ASKED: dict[str, Any] = {"prompt": 8000, "generate": 100, "ttft": 2.0}


def row(**asked: Any) -> Row:
    return roofline.compare("llama-3.1-8b", "h100", **ASKED, **asked).rows[0]


def test_prefixes_are_loaded_before_the_rest_of_a_prompt_is_read() -> None:
    held, loaded = row(prefix_hits=0.9), row(prefix_hits=0.9, offload="kv=200GB")
    load_s = 0.9 * 8000 * 32 * 2 * 8 * 128 * 2 / 63e9  # layers, keys and values, heads of 128 in 16 bits, over PCIe 5
    ttft, before = (each.curve.of("ttft_s") for each in (loaded, held))
    assert ttft - before == pytest.approx(np.full(len(ttft), load_s), rel=0.02)  # whole blocks
    assert np.array_equal(loaded.curve.of("tpot_s"), held.curve.of("tpot_s"))
    (note,) = [note for note in loaded.curve.cautions if "break-even" in note]
    assert note.startswith("h100-sxm-80gb: prefixes are loaded from host 200 GB at 63.0 GB/s, in 1")


def test_what_is_computed_sooner_is_computed() -> None:
    slow, none = row(prefix_hits=0.9, offload="kv=ssd:4TB@1GB/s"), row()
    assert np.array_equal(slow.curve.of("ttft_s"), none.curve.of("ttft_s"))
    assert "prompts are computed, since no tier is read faster" in slow.curve.below
    second = row(prefix_hits=0.9, offload="kv=ssd:4TB@1GB/s+host:200GB")
    assert "loaded from host" in second.curve.below


def test_a_link_limits_how_many_prompts_are_loaded() -> None:
    fast, slow = (row(prefix_hits=0.99, offload=f"kv=ssd:4TB@{rate}GB/s") for rate in (60, 8))
    size = 0.99 * 8000 * 32 * 2 * 8 * 128 * 2
    assert fast.point is not None
    assert slow.point is not None
    assert slow.point.requests_per_s.value <= 8e9 / size * 1.02 < fast.point.requests_per_s.value


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"offload": "kv=200GB"}, "no part of a prompt is said to be cached"),
        ({"offload": "weights=3", "prefix_hits": 0.5}, "expected kv=SIZE"),
        ({"offload": "kv=ssd:1TB", "prefix_hits": 0.5}, "no rate of it is stated"),
    ],
)
def test_what_is_no_tier_of_prefixes_is_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        row(**asked)
