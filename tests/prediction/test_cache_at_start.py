"""The KV cache that an engine makes at its start: as users have seen it printed, and by hand."""

from __future__ import annotations

from typing import Any

import pytest

from roofline import predict
from roofline.prediction.cache_at_start import CacheAtStart

EAGER = {"engine.graphs": {}, "engine.captured": []}
OLD = {**EAGER, "engine.eager_held": 2}
"""Releases of 2024, whose MLP named what its first matmul wrote until its second one had run."""


def made(hardware: str = "h100", model: str = "llama-3.1-8b", **options: Any) -> CacheAtStart:
    found = predict(model, hardware, engine="vllm", **options).cache_at_start
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("hardware", "total", "outside", "step", "printed"),
    [
        ("rtx-3090", "23.58GiB", "0.35GiB", 20_000, 1952 * 16),  # vllm-project/vllm issue 10517
        ("rtx-3090", "23.58GiB", "0.35GiB", 29_000, 23_648),  # the same
        ("a10", "22.07GiB", "0.05GiB", 2048, 37_696),  # worker.py of March 2025: 4.60 GiB for the cache
    ],
)
def test_what_users_have_seen_printed(hardware: str, total: str, outside: str, step: int, printed: int) -> None:
    edits = {"hardware.memory.gddr.usable": total, "engine.workspace": outside, "engine.chunk": step, **OLD}
    found = made(hardware, set=edits)
    assert found.tokens == pytest.approx(printed, rel=0.05)
    if step > 2048:  # 17.06 and 17.98 GiB at the peak, less 14.99 of weights
        assert found.profile_bytes / 2**30 == pytest.approx(2.07 if step == 20_000 else 2.99, abs=0.015)


def test_the_run_at_start_by_hand() -> None:
    d, f, v, copies = 4096, 14336, 128256, 3
    drawing = 1024 * v * (2 + 4 * copies) + (8192 + 2 * 1024) * d * 2
    assert made() == made(batch=64, prompt=100)  # whatever is asked
    assert made().profile_bytes == drawing
    wide = made(set={"engine.max_sequences": 16})
    assert wide.profile_bytes == 8192 * 2 * (3 * f + d)  # gate and up, their product, the residual
    assert made(set={"engine.max_sequences": 16, **EAGER}).profile_bytes == 8192 * 2 * (3 * f + 2 * d)
    room = 0.9 * 81559 * 2**20 - predict("llama-3.1-8b", "h100").memory.footprint.weights_bytes - drawing
    assert made().tokens == room // (16 * 131072) * 16
    assert made().bytes == made().tokens * 131072


def test_devices_of_tp_hold_a_part_of_each_token() -> None:
    assert made("2xh100", tp=2).bytes == made("2xh100", tp=2).tokens * 65536
    assert made("2xh100", dp=2, batch=2).tokens == made().tokens


def test_sequences_are_those_of_the_device() -> None:
    assert [made(each).profiled_sequences for each in ("h100", "a100", "rtx-3090")] == [1024, 256, 256]


@pytest.mark.parametrize(
    ("model", "hardware", "options"),
    [
        ("gemma-2-9b", "h100", {}),  # windows
        ("mamba-2.8b", "h100", {}),
        ("bert-base", "h100", {}),
        ("llama-3.1-8b", "h100", {"engine": "sglang"}),
        ("llama-3.1-8b", "2xh100", {"pp": 2}),
    ],
)
def test_what_is_not_known_is_left_out(model: str, hardware: str, options: dict[str, Any]) -> None:
    found = predict(model, hardware, **{"engine": "vllm", **options})
    assert found.cache_at_start is None
    assert "cache_at_start" not in found.to_dict()
