"""What fits beside the runtime and in blocks; how many devices it takes where it does not; the host's memory."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from shell import answer

from roofline.buying.api import compare
from roofline.errors import SpecError, UsageError
from roofline.prediction.overflow import needed_layout
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.reports.overflow import overflow_lines

# Blocks


def test_a_cache_in_blocks_by_hand() -> None:
    """1,001 + 7 - 1 tokens are 1,007: 63 blocks of 16 hold 1,008."""
    plain, paged = (
        predict("llama-3.1-8b", "h100", batch=3, prompt=1001, generate=7, set={"engine.kv_block": b}) for b in (1, 16)
    )
    token = 2 * 32 * 8 * 128 * 2 * 3
    assert plain.memory.footprint.kv_cache_bytes == token * 1007
    assert paged.memory.footprint.kv_cache_bytes == token * 1008
    assert paged.request_s == plain.request_s


@pytest.mark.parametrize("keywords", [{"batch": 50, "generate": 100}, {"batch": 300, "context": 2048}])
@pytest.mark.parametrize("block", [16, 256])
def test_the_longest_context_in_blocks_is_the_edge(keywords: dict[str, Any], block: int) -> None:
    lone, blocks = "context" in keywords, {"engine.kv_block": block}

    def fits(length: int) -> bool | None:
        asked = {**keywords, "context": length} if lone else {**keywords, "prompt": length - keywords["generate"] + 1}
        return predict("llama-3.1-8b", "a100", **asked, set=blocks).memory.fits

    most = predict("llama-3.1-8b", "a100", **keywords, set=blocks).memory.max_context
    assert most is not None
    assert 0 < most < 131072
    assert (fits(most), fits(most + 1)) == (True, False)


# What the runtime keeps


def test_what_is_reserved_is_not_there() -> None:
    """vLLM leaves a tenth of the device alone by default (gpu_memory_utilization 0.9)."""
    plain, kept = (predict("llama-3.1-8b", "h100", reserve=share).memory for share in (0, 0.1))
    assert kept.overhead_bytes == round(0.1 * 81559 * 2**20)
    assert kept.total_bytes - plain.total_bytes == kept.overhead_bytes
    assert kept.capacity_bytes == plain.capacity_bytes
    assert kept.max_batch is not None
    assert predict("llama-3.1-8b", "h100", reserve=0.1, batch=kept.max_batch).memory.fits
    assert not predict("llama-3.1-8b", "h100", reserve=0.1, batch=kept.max_batch + 1).memory.fits
    assert predict("llama-3.1-8b", "h100", reserve="2GiB").memory.overhead_bytes == 2**31


def test_the_share_that_is_left_says_the_same() -> None:
    share = {"engine.memory_share": 0.8}
    kept, left = predict("llama-3.1-8b", "h100", reserve=0.2), predict("llama-3.1-8b", "h100", set=share)
    assert kept.memory == left.memory
    assert predict("llama-3.1-8b", "h100").memory == predict("llama-3.1-8b", "h100", reserve=0.1).memory
    assert predict("llama-3.1-8b", "h100", engine="torch-compile").memory.overhead_bytes == 0
    with pytest.raises(SpecError, match=r"memory_share: given 0\.0, expected above 0"):
        predict("llama-3.1-8b", "h100", set={"engine.memory_share": 0.0})


def test_graphs_and_libraries_keep_memory_of_their_own() -> None:
    edits = {"engine.graph_memory": "1 GiB", "engine.workspace": "256 MiB"}
    more = predict("llama-3.1-8b", "h100", set=edits).memory
    assert more.overhead_bytes == predict("llama-3.1-8b", "h100").memory.overhead_bytes + 2**30 + 2**28


def test_predict_and_compare_have_the_same_room() -> None:
    """A whole prompt at a time and one answer: what compare says does not fit, predict says too, and the reverse."""
    for reserve, fits in (("60 GB", True), ("75 GB", False)):
        asked = {"reserve": reserve, "prompt": 1024, "generate": 2}
        (row,) = compare("llama-3.1-8b", "h100", set={"engine.chunk": 0}, **asked).rows  # type: ignore[arg-type]
        assert (row.point is not None) is fits
        assert predict("llama-3.1-8b", "h100", **asked).memory.fits is fits  # type: ignore[arg-type]
    words = ({"reserve": 0.25}, {"set": {"engine.memory_share": 0.75}}, {"reserve": f"{0.25 * 81559 * 2**20:.0f} B"})
    most = {compare("llama-3.1-8b", "h100", **each).rows[0].curve.most for each in words}  # type: ignore[arg-type]
    assert len(most) == 1


@pytest.mark.parametrize("reserve", [1.0, -0.1, "much", "3 TB/s", "nan"])
def test_what_cannot_be_reserved(reserve: Any) -> None:
    with pytest.raises(UsageError, match=re.escape("expected a share of the device's memory below 1, or a size")):
        predict("llama-3.1-8b", "h100", reserve=reserve)


# What does not fit


@pytest.mark.parametrize(("name", "devices"), [("llama-3.1-70b", 2), ("llama-3.1-405b", 16), ("mixtral-8x7b", 2)])
def test_the_fewest_devices_that_hold_it(name: str, devices: int) -> None:
    alone = predict(name, "h100")
    assert alone.memory.fits is False
    found = needed_layout(alone.request)
    assert found is not None
    layout, fit = found
    assert layout.devices == devices
    degrees = {"tp": layout.tp, "pp": layout.pp}
    spread = predict(name, "h100", **degrees)
    assert spread.memory == fit
    assert spread.memory.fits
    half = {"tp": min(layout.tp, devices // 2), "pp": max(1, layout.pp // 2)}
    assert not predict(name, "h100", **half).memory.fits


def test_offloaded_weights_by_hand() -> None:
    alone = predict("llama-3.1-70b", "h100")
    host = alone.to_dict()["overflow"]["offload"]
    assert alone.memory.capacity_bytes is not None
    assert host["bytes"] == alone.memory.total_bytes - alone.memory.capacity_bytes
    transfer, step = host["bytes"] / 63e9, alone.phases["decode"].figures.time_s  # PCIe 5.0 x16
    assert host["steps_s"]["decode"] == [max(transfer, step), transfer + step]
    assert "over PCIe 5.0 x16 at 63.0 GB/s" in overflow_lines(alone.overflow)[1]


def test_a_cache_that_is_too_large_is_no_matter_of_weights() -> None:
    found = predict("llama-3.1-8b", "h100", batch=10_000).to_dict()["overflow"]
    assert found["offload"] is None


def test_what_fits_needs_nothing() -> None:
    for found in (predict("llama-3.1-8b", "h100"), predict("llama-3.1-70b", "h100", tp=4)):
        assert found.overflow is None
        assert "overflow" not in found.to_dict()
        assert overflow_lines(found.overflow) == []


def test_chunked_prefill_is_told_where_an_engine_without_it_reads_prompts_at_once() -> None:
    asked: dict[str, Any] = {"batch": 140, "prompt": 3000, "generate": 2, "engine": "transformers"}
    whole = predict("llama-3.1-8b", "h100", **asked)
    chunked = predict("llama-3.1-8b", "h100", **asked, set={"engine.chunk": 2048})
    assert whole.overflow is not None
    assert whole.overflow.chunked_bytes == chunked.memory.total_bytes < whole.memory.total_bytes
    assert "chunked prefill of 2048 tokens a step" in "".join(overflow_lines(whole.overflow))
    assert chunked.overflow is None


def test_weights_in_the_host_s_memory_move_once_a_forward_pass() -> None:
    asked: dict[str, Any] = {"batch": 8, "prompt": 4096, "generate": 2, "dtype": "bf16"}
    several = predict("llama-3.1-70b", "h200", **asked)
    offload = several.overflow and several.overflow.offload
    assert offload
    assert several.phases["prefill"].chunks == 4  # of 32,768 tokens
    least, most = several.overflow.steps_s[Phase.PREFILL] if several.overflow else (0.0, 0.0)
    time = several.phases["prefill"].figures.time_s
    assert (least, most) == (max(4 * offload.transfer_s, time), 4 * offload.transfer_s + time)


def test_several_devices_that_are_too_few_are_told_what_would_do() -> None:
    overflow = predict("mixtral-8x22b", "2xh100", dtype="bf16", tp=2).overflow
    assert overflow is not None
    assert overflow.offload is None
    assert overflow.layout is not None
    assert overflow.layout.devices == 4
    assert overflow.narrower is not None
    name, fit = overflow.narrower
    assert predict("mixtral-8x22b", "2xh100", dtype=name, tp=2).memory == fit
    (row,) = compare("mixtral-8x22b", "2xh100", dtype="bf16").rows
    assert row.misses == (
        "does not fit: 141 GB of 77.0 GB on each of 2 devices (tp 2, ep 2); "
        "4 devices hold it (tp 4: 70.6 GB on each) or --dtype fp8 does (71.1 GB)",
    )


def test_the_command_line_says_it() -> None:
    arguments = ("predict", "llama-3.1-70b", "--hardware", "h100")
    assert json.loads(answer(*arguments, "--json"))["overflow"]["devices"]["count"] == 2
    assert "needs 2 of these devices (tp 2): 79.7 GB on each; or --dtype fp8: 82.3 GB\n" in answer(
        *arguments, "--quiet"
    )
