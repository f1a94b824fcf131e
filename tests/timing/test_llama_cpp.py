"""llama.cpp's kernels: what unpacking costs on Apple's and AMD's GPUs, and classes of which nothing was timed."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.hardware.loading import load_hardware
from roofline.prediction.predict import predict

OLD = dict.fromkeys(("engine.matmul", "engine.experts", "engine.attention"), "llama-cpp-b6000")


def prefill_s(device: str, dtype: str, **asked: Any) -> float:
    found = predict("llama-2-7b", device, dtype=dtype, engine="llama.cpp", prompt=512, generate=1, **asked)
    return float(dict(found.by_phase)["prefill"].figures.time_s)


def test_scales_of_scales_cost_where_integers_wait_for_matrices() -> None:
    """M2 Ultra: F16 before Q4_0 before Q4_K (llama.cpp, pull request 3084); since M3 all of them are alike."""
    wide, blocks, nested = (prefill_s("apple-m2-ultra", dtype) for dtype in ("fp16", "q4_0", "q4_k_m"))
    assert wide <= blocks * 1.01 < nested
    assert prefill_s("apple-m3-ultra", "q4_k_m") == pytest.approx(prefill_s("apple-m3-ultra", "q4_0"), rel=0.01)


@pytest.mark.parametrize("device", ["strix-halo", "rx-7900-xtx"])
def test_builds_without_matrix_units_are_slower_on_amd(device: str) -> None:
    assert prefill_s(device, "q4_k_m", set=OLD) > 1.2 * prefill_s(device, "q4_k_m")


def test_what_was_timed_is_not_said_to_be_untimed() -> None:
    notes = {device: " ".join(predict("llama-2-7b", device, dtype="q4_k_m", engine="llama.cpp", context=64).notes)
             for device in ("strix-halo", "mi300x")}  # fmt: skip
    assert "no matmul that unpacks" not in notes["strix-halo"]
    assert "no matmul that unpacks" in notes["mi300x"]


def test_units_that_unpack_hold_decode_up_where_memory_is_fast_for_them() -> None:
    """An RTX 3060 has 7.2 B of bandwidth per cycle and SM, an RTX 4070 Ti 3.2: twice as much gains it less."""

    def gain(device: str, bandwidth: float) -> float:
        times = [
            predict("llama-2-7b", device, dtype="q4_k_m", engine="llama.cpp", context=64, phase="decode",
                    set={"hardware.memory.gddr.bandwidth": f"{times * bandwidth} GB/s"})
            .phases["decode"].figures.time_s for times in (1, 2)
        ]  # fmt: skip
        return float(times[0] / times[1])

    assert gain("rtx-3060", 360.0) < 1.15
    assert gain("rtx-4070-ti", 504.2) > 1.3


@pytest.mark.parametrize(
    "device", ["a100-sxm-80gb", "h100-pcie-80gb", "b200-180gb", "v100-sxm2-32gb", "mi300x", "apple-m5-max"]
)
def test_units_that_nobody_timed_unpack_no_more_in_a_cycle_than_those_that_were(device: str) -> None:
    spec = load_hardware(device)
    assert spec.units is not None
    assert spec.clock is not None
    found = predict("llama-2-7b", device, dtype="q4_k_m", engine="llama.cpp", context=64, phase="decode")
    figures = found.phases["decode"].figures
    timed = 7.5 if device.startswith("apple") else 4.6
    assert figures.bytes / figures.time_s < timed * spec.units.count * spec.clock
    assert any("no matmul that unpacks" in note for note in found.notes)
