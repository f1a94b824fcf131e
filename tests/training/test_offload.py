"""Optimizer states in the host's memory: what leaves the device, what the link and the host's memory take, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import roofline
from roofline.errors import RooflineError
from roofline.training.step import TrainingStep


def step(hardware: str = "8xh100", **options: Any) -> TrainingStep:
    asked = {"batch": 8, "sequence": 1024, "tp": 1, "pp": 1, "cp": 1, "microbatch": 1, "recompute": "none", "zero": 1}
    return roofline.train("llama-3.2-1b", hardware, **{**asked, **options}).step


def test_states_leave_the_device_and_nothing_else_does() -> None:
    own, away = step(), step(offload="optimizer=200GB")
    held, left = own.memory["first"], away.memory["first"]
    assert (left.optimizer, away.host_bytes) == (0, held.optimizer)
    assert left.total == held.total - held.optimizer
    assert own.host_bytes == 0


def test_an_update_takes_what_the_link_and_the_memory_take() -> None:
    own, streamed = step(), step(offload="optimizer=200GB@10GB/s")
    seconds = float(streamed.parts.update.time_s)
    assert seconds == pytest.approx(streamed.host_bytes / 10e9)
    assert step(offload="optimizer=200GB@100TB/s").parts.update.time_s == own.parts.update.time_s
    moved, kept = 0.0, own.steps.memory
    part = sum(float(np.ravel(w.elements / w.replicas)[0]) for w in kept.weights)
    moved = part * (4 + 2 * 12 + 2)  # gradients and states in fp32, weights in bf16
    by_cpu = step(offload="optimizer-cpu=200GB@10GB/s:50GB/s").parts.update
    assert float(by_cpu.time_s) == pytest.approx(part * (4 + 2) / 10e9 + moved / 50e9)
    assert float(by_cpu.low_s) == pytest.approx(max(part * (4 + 2) / 10e9, moved / 50e9))


def test_what_fits_only_so_is_told_with_its_flag() -> None:
    asked: dict[str, Any] = {"batch": 16, "microbatch": 1, "recompute": "full"}
    found = roofline.train("llama-3.1-8b", "gh200-96gb", **asked).step
    flags = [each.flags for each in found.remedies]
    assert "--offload optimizer" in flags
    assert roofline.train("llama-3.1-8b", "gh200-96gb", offload="optimizer", **asked).step.fits
    assert not step(zero=0, offload="optimizer=4GB").fits


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("optimizer", "states no host_memory; give its size"),
        ("optimizer-cpu=200GB", "states no bandwidth of host_memory"),
        ("optimizer=0GB", "a size and rates above 0"),
        ("optimizer=200GB@55GB/s:75GB/s", "a size and rates above 0"),
        ("optimizer=many", "offload"),
        ("kv=200GB", "expected optimizer or optimizer-cpu"),
    ],
)
def test_what_is_not_known_is_refused(text: str, why: str) -> None:
    with pytest.raises(RooflineError, match=why):
        step(offload=text)
