"""Launch lines of comparisons and sizings: read again, a replica serves what the answer says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from roofline import compare, size
from roofline.buying.launching import ReplicaLaunch, launch_chosen
from roofline.engines.launch_line import read_launch_line
from roofline.errors import UsageError
from roofline.prediction.launching import predict_launched

ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("llama-3.1-8b", "4xh100", {"engine": "vllm", "tpot": 0.005}),
    ("llama-3.1-8b", "h100", {"engine": "sglang", "dtype": "bf16,fp8", "set": {"engine.chunk": 2048}}),
    ("deepseek-v3", "8xh200", {"engine": "tensorrt-llm", "prompt": 2000, "generate": 500, "reserve": 0.15}),
]


def launched(model: str, hardware: str, asked: dict[str, Any]) -> ReplicaLaunch:
    found = launch_chosen(compare(model, hardware, **asked), asked["engine"])
    assert found is not None
    return found


@pytest.mark.parametrize(("model", "hardware", "asked"), ASKED)
def test_a_line_starts_the_replica_that_the_best_row_has(model: str, hardware: str, asked: dict[str, Any]) -> None:
    row, found = compare(model, hardware, **asked).rows[0], launched(model, hardware, asked)
    assert row.point is not None
    line = read_launch_line(str(found.line))
    assert line == found.line
    read = predict_launched(str(line), f"{found.devices}x{found.hardware}", batch=row.point.batch // 8 * 8)
    assert (read.layout, read.recipe.name, read.engine) == (
        row.curve.split, row.curve.recipe.name if row.curve.recipe else "", read.request.engine
    )  # fmt: skip
    assert found.replicas * found.devices == row.point.devices
    assert line.by_meaning["share"] == (1 - asked["reserve"] if "reserve" in asked else read.engine.memory_share)
    if "prompt" in asked:
        assert line.by_meaning["length"] == asked["prompt"] + asked["generate"]


def test_a_line_admits_the_best_batch_and_the_load_takes_a_part_of_it() -> None:
    asked: dict[str, Any] = {"engine": "vllm", "tpot": 0.03}
    sized = launch_chosen(size("llama-3.1-8b", "h100", load=50, **asked), "vllm")
    best = compare("llama-3.1-8b", "h100", **asked).rows[0].point
    assert sized is not None
    assert best is not None
    assert (sized.line.by_meaning["sequences"], sized.replicas) == (best.batch, 3)
    assert sized.words.startswith("vllm 0.18.0, each of 3 replicas, on h100-sxm-80gb: vllm serve")


def test_what_meets_no_target_is_not_launched_and_pools_are_refused() -> None:
    assert launch_chosen(compare("llama-3.1-8b", "h100", engine="vllm", tpot=1e-6), "vllm") is None
    pooled = compare("llama-3.1-8b", "2xh100", ttft=0.06, tpot=0.0075, pools=True, engine="vllm")
    with pytest.raises(UsageError, match="pools that prefill and decode"):
        launch_chosen(replace(pooled, rows=pooled.rows[::-1]), "vllm")
