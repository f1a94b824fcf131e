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
