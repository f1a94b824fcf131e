"""Checkpoints read as they are published: their parameters, and the bytes of weights, KV cache and recurrent states.

``checkpoints/`` holds the fields of published files. Parameters are those of the file's tensors; bytes were worked out
by hand, unless a case says where they are published. GPTQ stores zero points, symmetric or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import roofline
from roofline.prediction.predict import Prediction

FOLDER = Path(__file__).parent / "checkpoints"
GB = 1e9


def asked(name: str, hardware: str = "h200", **options: Any) -> Prediction:
    return roofline.predict(FOLDER / name, hardware, **options)


@pytest.mark.parametrize(
    ("name", "parameters", "recipe"),
    [
        ("bge-reranker-v2-m3", 567_755_777, ""),
        ("deepseek-v3-remote-code", 671_026_404_352, "fp8-block"),
        ("granite-3.3-8b", 8_170_864_640, ""),
        ("kimi-k2", 1_026_408_209_408, "fp8-block"),
        ("kimi-k2.5-int4-experts", 1_026_408_209_408, "w4a16+g32"),
        ("lfm2.5-vl-text", 1_170_340_608, ""),
        ("llama-3.1-70b-fp8-side-file", 70_553_706_496, "fp8-tensor+kv8"),
        ("llama-3.1-8b-auto-round", 8_030_261_248, "w4a16+zp"),
        ("llama-3.1-8b-nvfp4-cache-scheme", 8_030_261_248, "nvfp4+kv8"),
        ("llama-3.1-8b-w8a16-groups", 8_030_261_248, "w8a16+g128"),
        ("llama-4-scout-wrapper", 107_769_861_120, ""),
        ("mistral-7b-v0.1", 7_241_732_096, ""),
        ("phi-3-mini-remote-code", 3_821_079_552, ""),
        ("qwen2.5-7b-gptq-8bit", 7_615_616_512, "w8a16+g128+zp"),
        ("qwen3-32b-modelopt-unnamed", 32_762_123_264, "fp8-tensor+kv8"),
        ("qwen3-8b-yarn", 8_190_735_360, ""),
        ("qwen3-embedding-4b", 4_021_774_336, ""),
        ("qwen3.5-27b-wrapper", 27_356_728_560, ""),
        ("qwen3.5-35b-fp32-states", 34_660_610_688, ""),
        ("smollm3-3b", 3_075_098_624, ""),
        ("whisper-large-v3-turbo", 808_878_080, ""),
    ],
)
def test_parameters_and_precision(name: str, parameters: int, recipe: str) -> None:
    model = roofline.load_model(FOLDER / name)
    assert (model.parameters, model.checkpoint.recipe) == (parameters, recipe)


LLAMA_LINEAR, LLAMA_REST = 32 * (4096 * (4096 + 2 * 1024 + 4096) + 3 * 4096 * 14336), 2 * 128256 * 4096 + 65 * 4096


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("llama-3.1-70b-fp8-side-file", 72.7 * GB),
        ("kimi-k2.5-int4-experts", 594 * GB),  # total_size of the published index
        ("qwen2.5-7b-gptq-8bit", 6.53 * GB * (8 + (16 + 8) / 128) / 8 + 1.09 * GB * 2),
        ("qwen3-32b-modelopt-unnamed", 64 * 5120 * (2 * 64 * 128 + 2 * 8 * 128 + 3 * 25600) + 2 * 151936 * 5120 * 2),
        ("llama-3.1-8b-w8a16-groups", LLAMA_LINEAR * (8 + 16 / 128) / 8 + LLAMA_REST * 2),
        ("llama-3.1-8b-auto-round", LLAMA_LINEAR * (4 + (16 + 4) / 128) / 8 + LLAMA_REST * 2),
        ("llama-3.1-8b-nvfp4-cache-scheme", LLAMA_LINEAR * (4 + 8 / 16) / 8 + LLAMA_REST * 2),
    ],
)
def test_bytes_of_the_weights(name: str, weights: float) -> None:
    assert asked(name).memory.footprint.weights_bytes == pytest.approx(weights, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "batch", "context", "cache"),
    [
        ("llama-3.1-70b-fp8-side-file", 8, 8192, 10.7 * GB),
        ("llama-3.1-8b-nvfp4-cache-scheme", 8, 32768, 17.2 * GB),
        ("qwen3-8b-yarn", 1, 131_072, 19.3 * GB),
        ("deepseek-v3-remote-code", 1, 1024, 1024 * 70_272),
        ("kimi-k2", 1, 1024, 1024 * 70_272),
    ],
)
def test_bytes_of_the_kv_cache(name: str, batch: int, context: int, cache: float) -> None:
    assert asked(name, batch=batch, context=context).memory.footprint.kv_cache_bytes == pytest.approx(cache, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "batch", "context", "elements", "width", "columns"),
    [
        ("qwen3.5-35b-fp32-states", 256, 1024, 30 * 32 * 128 * 128, 4, 30 * 3 * (2 * 16 * 128 + 32 * 128)),
        ("qwen3.5-27b-wrapper", 1, 262_144, 48 * 48 * 128 * 128, 4, 48 * 3 * (2 * 16 * 128 + 48 * 128)),
    ],
)
def test_bytes_of_the_states(name: str, batch: int, context: int, elements: int, width: int, columns: int) -> None:
    """Recurrent states in the dtype of the file, and three columns of each convolution in bf16."""
    found = asked(name, batch=batch, context=context)
    assert found.memory.footprint.state_bytes == batch * (elements * width + columns * 2)
    read_and_written = 2 * batch * elements * width
    bytes_of_scans = sum(op.figures.bytes for op in found.phases["decode"].operators if op.kind == "scan")
    assert read_and_written < bytes_of_scans < 1.02 * read_and_written


def test_llama_cpp_keeps_all_states_in_fp32() -> None:
    """LM Studio's issue 1862: 598.5 MiB for four sequences of Qwen3.6-27B."""
    found = asked("qwen3.5-27b-wrapper", batch=4, context=1024, engine="llama-cpp").memory.footprint.state_bytes
    assert found == pytest.approx(598.5 * 2**20, rel=1e-3)
    halved = asked("qwen3.5-27b-wrapper", batch=4, context=1024, engine="llama-cpp", state_dtype="bf16")
    assert halved.memory.footprint.state_bytes < 0.6 * found


def test_modules_left_in_16_bits_are_read_in_16_bits() -> None:
    """One token on eight devices, of a context of 8,192: attention, the shared expert and the router are as trained."""
    down, up, absorbed, out = 7168 * (1536 + 576), 1536 * 64 * 192, 512 * 64 * 256, 64 * 128 * 7168
    attention = 61 * (down + (up + absorbed + out) / 8)
    dense, shared, router, head = 3 * 7168 * 18432 / 8, 60 * 3 * 7168 * 2048 / 8, 60 * 384 * 7168, 163840 * 7168 / 8
    experts = 60 * 8 * 3 * 7168 * 2048 / 8 * (4 + 16 / 32) / 8
    cache = 61 * 8192 * (512 + 64)
    read = asked("kimi-k2.5-int4-experts", "8xb200", tp=8, context=8192).phases["decode"].figures.bytes
    assert read == pytest.approx(2 * (attention + dense + shared + router + head + cache) + experts, rel=0.01)
    assert read == pytest.approx(6.65 * GB, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "hardware", "options"),
    [
        ("llama-3.1-70b-fp8-side-file", "h200", {"batch": 8, "context": 8192}),
        ("deepseek-v3-remote-code", "8xh200", {"tp": 8, "ep": 8}),
    ],
)
def test_what_fits_because_of_its_precision(name: str, hardware: str, options: dict[str, Any]) -> None:
    assert asked(name, hardware, **options).memory.fits
    assert not asked(name, hardware, **options, dtype="bf16").memory.fits
