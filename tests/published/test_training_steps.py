"""Steps of training as their authors published them, to which nothing is fitted."""

from __future__ import annotations

import pytest

import roofline


@pytest.mark.parametrize(
    ("devices", "sequence", "cp", "tflops"), [(8192, 8192, 1, 430), (16384, 8192, 1, 400), (16384, 131072, 16, 380)]
)
def test_llama_3_405b(devices: int, sequence: int, cp: int, tflops: float) -> None:
    """Llama 3 (arXiv 2407.21783), table 4: tp 8, pp 16, 16M tokens a step; its parts of a stage are not stated.

    On Grand Teton with 400 Gbit/s to each GPU. Meta kept all activations of 8,192 tokens, by freeing tensors early and
    splitting gradients; here full recomputation is what is fastest of what fits, and the model's FLOPs are compared.
    """
    found = roofline.train(
        "llama-3.1-405b", f"{devices}xh100", sequence=sequence, batch=2**24 // sequence, tp=8, pp=16, cp=cp, sp=8,
        dp=devices // 128 // cp, microbatch=1, schedule="interleaved:8",
    ).step  # fmt: skip
    published = tflops * 1e12 / 989.4e12
    assert found.mfu == pytest.approx(published, rel=0.15)
    assert found.timing.low_s < found.timing.time_s * found.mfu / published < found.timing.high_s


@pytest.mark.parametrize(
    ("model", "hardware", "layout", "batch", "microbatch", "sequence", "tokens_per_s"),
    [
        ("llama-2-13b", "16xh100", {"pp": 4, "schedule": "interleaved:10"}, 128, 1, 4096, 8646),
        ("llama-2-70b", "64xh100", {"tp": 4, "sp": 4, "pp": 4, "schedule": "interleaved:20"}, 128, 1, 4096, 1707),
        (
            "llama-3.1-70b",
            "64xh100",
            {"tp": 4, "sp": 4, "pp": 4, "cp": 2, "schedule": "interleaved:5"},
            128,
            1,
            8192,
            1533,
        ),
        ("llama-3.1-8b", "8xb200", {}, 128, 2, 8192, 30624),
    ],
)
def test_llamas_in_fp8_under_nemo(
    model: str, hardware: str, layout: dict[str, int | str], batch: int, microbatch: int, sequence: int,
    tokens_per_s: float,
) -> None:  # fmt: skip
    """NVIDIA's performance summaries of NeMo 24.07 and, on B200, 25.11: tokens a second and GPU in fp8.

    What is recomputed is not stated, and nothing need be.
    """
    own = {"tp": 1, "pp": 1, "cp": 1, "sp": 1, **layout}
    step = roofline.train(
        model, hardware, batch=batch, microbatch=microbatch, sequence=sequence, dtype="fp8-mixed", zero=1,
        recompute="none", **own,
    ).step  # fmt: skip
    told = step.tokens_per_s / step.devices
    assert told == pytest.approx(tokens_per_s, rel=0.15)
    assert step.timing.low_s < step.timing.time_s * told / tokens_per_s < step.timing.high_s
