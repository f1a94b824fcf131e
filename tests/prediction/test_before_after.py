"""Before and after: one table of what pruning, sparsity and quantisation change together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.reports.compression import compared


def rows(**keywords: Any) -> dict[str, Any]:
    after = predict("llama-3.1-8b", "h100", **keywords)
    return {change.name: change for change in after.changes}


def test_all_of_them_together() -> None:
    after = predict(
        "llama-3.1-8b", "h100", batch=16, prune="heads=0.25,ffn=0.5,layers=6", sparsity="2:4", dtype="w4a16+kv8"
    )
    before = predict("llama-3.1-8b", "h100", batch=16, dtype="bf16")
    assert after.before == before
    found = {change.name: change for change in after.changes}
    assert found["parameters"].before == 8_030_261_248
    matrices = 26 * (2 * 4096 * 24 * 128 + 2 * 4096 * 1024 + 3 * 4096 * 7168)
    assert found["parameters"].after == matrices // 2 + 2 * 128256 * 4096 + 26 * 2 * 4096 + 4096
    assert found["kv_cache_bytes"].ratio == pytest.approx(26 / 32 / 2, rel=1e-6)
    assert found["request_s"].after == after.request_s < before.request_s
    assert found["decode.time_s"].before == before.phases["decode"].figures.time_s
    assert list(found) == [
        *("parameters", "weights_bytes", "kv_cache_bytes", "total_bytes", "max_batch"),
        *(f"{phase}.{figure}" for phase in (Phase.PREFILL, Phase.DECODE)
          for figure in ("flops", "vector_flops", "bytes", "time_s", "bound_by")),
        "request_s",
    ]  # fmt: skip


def test_the_bottleneck_that_moved_is_named() -> None:
    after = predict("llama-3.1-8b", "h100", context=2000, sparsity="0.95:bitmap")
    assert rows(context=2000, sparsity="0.95:bitmap")["decode.bound_by"].after == "latency"
    line = next(line for line in compared(after).splitlines() if line.startswith("decode bound by"))
    assert line.split() == [Phase.DECODE, "bound", "by", "memory", "latency", "changed"]


def test_nothing_compressed_has_no_before() -> None:
    plain = predict("llama-3.1-8b", "h100")
    assert (plain.before, plain.changes, compared(plain)) == (None, (), "")
    assert "before_after" not in plain.to_dict()
    assert predict("llama-3.1-8b", "h100", kv_dtype="fp8").changes


def test_the_json_has_each_figure_with_its_ratio() -> None:
    found = json.loads(json.dumps(predict("bert-base", "t4", prune="ffn=0.5").to_dict()))["before_after"]
    weights = next(row for row in found if row["name"] == "weights_bytes")
    assert weights["ratio"] == weights["after"] / weights["before"] < 1
    assert not any(row["name"].startswith(Phase.DECODE) for row in found)


def test_constants_asked_for_hold_before_too() -> None:
    after = predict("llama-2-7b", "a100-sxm-80gb-tensorrt-llm", dtype="w8a8")
    assert after.before is not None
    assert after.before.constants.name == "a100-sxm-80gb-tensorrt-llm"
