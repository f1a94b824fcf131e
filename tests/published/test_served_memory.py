"""Memory of served models as others published it: weights, and the KV cache of a stated number of tokens."""

from __future__ import annotations

from typing import Any

import pytest

from roofline import predict
from roofline.compression.quantization import quantized
from roofline.compression.recipes import read_recipe
from roofline.cost.residency import footprint
from roofline.models.model import load_model
from roofline.program.phases import Phase
from roofline.program.workload import Workload

GB, GIB = 10**9, 2**30
OPT_66B = load_model("opt-66b").fields
OPT = {  # Zhang et al. 2022 (arXiv 2205.01068), table 1: layers, heads, hidden size
    "opt-13b": {**OPT_66B, "num_hidden_layers": 40, "num_attention_heads": 40, "hidden_size": 5120, "ffn_dim": 20480},
    "opt-66b": dict(OPT_66B),
    "opt-175b": {**OPT_66B, "num_hidden_layers": 96, "num_attention_heads": 96, "hidden_size": 12288, "ffn_dim": 49152},
}


def held(model: Any, batch: int, tokens: int, recipe_text: str = "fp16") -> Any:
    recipe = read_recipe(recipe_text, default="bf16")
    program = quantized(load_model(model).program(), recipe)
    return footprint(program, Workload(batch, 1, 1, context=tokens), (Phase.DECODE,), recipe.precision)


@pytest.mark.parametrize(
    ("name", "weights_gb", "slots", "cache_gib"),
    [("opt-13b", 26, 15_700, 12), ("opt-66b", 132, 9_700, 21), ("opt-175b", 346, 60_100, 264)],
)
def test_served_by_vllm(name: str, weights_gb: int, slots: int, cache_gib: int) -> None:
    """Kwon et al. 2023, PagedAttention (arXiv 2309.06180), table 1, in fp16: parameter size, memory for the KV cache,
    and how many tokens that holds. Sizes are rounded to a gigabyte; slots times bytes show that the cache's is binary.
    """
    found = held(OPT[name], 1, slots)
    total = found.weights_bytes + found.kv_cache_bytes
    assert found.weights_bytes == pytest.approx(weights_gb * GB, rel=0.02)
    assert found.kv_cache_bytes == pytest.approx(cache_gib * GIB, rel=0.02)
    assert total == pytest.approx(weights_gb * GB + cache_gib * GIB, rel=0.02)


def test_a_token_of_opt_13b_takes_800_kib() -> None:
    """Kwon et al. 2023, section 3: 2 (key and value) x 5,120 x 40 (layers) x 2 bytes."""
    assert held(OPT["opt-13b"], 1, 1).kv_cache_bytes == 2 * 5120 * 40 * 2 == 800 * 1024


@pytest.mark.parametrize(
    ("name", "weights_gb", "cache_gib"),
    [
        ("llama-3.1-8b", 16, (1.95, 15.62)),
        ("llama-3.1-70b", 140, (4.88, 39.06)),
        ("llama-3.1-405b", 810, (15.38, 123.05)),
    ],
)
def test_llama_as_its_release_states_it(name: str, weights_gb: int, cache_gib: tuple[float, float]) -> None:
    """Hugging Face, Llama 3.1 release notes (huggingface.co/blog/llama31): fp16 weights, and the cache of one sequence
    of 16k and of 128k tokens. The 405B was released with 16 key/value heads, and had 8 later.
    """
    fields = dict(load_model(name).fields)
    if name == "llama-3.1-405b":
        fields["num_key_value_heads"] = 16
    for tokens, gib in zip((16_000, 128_000), cache_gib, strict=True):
        found = held(fields, 1, tokens)
        assert found.kv_cache_bytes == pytest.approx(gib * GIB, rel=0.005)
        total = found.weights_bytes + found.kv_cache_bytes
        assert total == pytest.approx(weights_gb * GB + gib * GIB, rel=0.02)


@pytest.mark.parametrize(
    ("name", "kilobytes"), [("deepseek-v3", 70.272), ("qwen2.5-72b", 327.680), ("llama-3.1-405b", 516.096)]
)
def test_the_cache_of_a_token_exactly(name: str, kilobytes: float) -> None:
    """DeepSeek-AI 2025, Insights into DeepSeek-V3 (arXiv 2505.09343), table 1: KV cache per token in bf16."""
    assert held(name, 1, 1, "bf16").kv_cache_bytes == round(kilobytes * 1000)


def test_decode_context_parallelism_holds_what_tensor_parallelism_copies() -> None:
    """DeepSeek-V3 (arXiv 2412.19437), section 4.2: a latent of 512 and 64 rotated elements in each of 61 layers; heads
    of one latent are split over devices, the latent is not.
    """
    asked: dict[str, Any] = {"batch": 32, "context": 131_072, "dtype": "fp8+kv8", "tp": 8}
    copied, apart = (predict("deepseek-v3", "8xh200", **asked, dcp=dcp).memory for dcp in (1, 8))
    tokens = 32 * 131_072 * 61 * (512 + 64)
    assert copied.footprint.kv_cache_bytes == pytest.approx(tokens, rel=1e-3)  # 147 GB and a few scales
    assert apart.footprint.kv_cache_bytes * 8 == pytest.approx(copied.footprint.kv_cache_bytes, rel=1e-6)
    assert (copied.fits, apart.fits) == (False, True)
