"""``train --explain`` and ``--sensitivity``: every byte and every operator is told; more of a resource is an edit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from shell import answer

import roofline
from roofline.reports.explanation import single
from roofline.reports.training_explanation import explain_training
from roofline.training.step import TrainingStep
from roofline.units import parse_quantity


def step(**asked: Any) -> TrainingStep:
    given = {"batch": 16, "sequence": 256, "microbatch": 2, "tp": 2, "pp": 2, "cp": 1, "recompute": "none", "zero": 1}
    return roofline.train("gpt2", "8xh100", **{**given, **asked}).step


def bytes_of(lines: list[str], pattern: str) -> float:
    return sum(parse_quantity(found[1], "bytes") for line in lines if (found := re.search(pattern, line)))


@pytest.mark.parametrize("asked", [{}, {"lora": 8, "weight_dtype": "nf4"}, {"zero": 3, "recompute": "full"}])
def test_every_byte_that_is_held_is_told(asked: dict[str, Any]) -> None:
    """What rests adds up to what the stages hold, tensors that are saved to what one microbatch leaves."""
    found = step(**asked)
    lines = explain_training(found).split("\n")
    stages = found.memory.values()
    for name, cause in (("weights", "weights"), ("gradients", "gradients"), ("states and master", "optimizer")):
        told = bytes_of(lines, rf"alike on .* {name} ([0-9.]+ [kMGT]?B)")
        assert told == pytest.approx(sum(getattr(stage, cause) for stage in stages), rel=5e-3)
    saved = bytes_of(lines, r" B(?: x \w+)?: ([0-9.]+ [kMGT]?B), written by")
    assert saved == pytest.approx(sum(single(part) for part in found.steps.memory.held[0].saved), rel=5e-3)


def test_every_operator_is_told_and_the_step_of_them() -> None:
    found = step()
    text = explain_training(found)
    for each in found.steps.passes.operators:
        assert f"\n{each.op}  x " in text
    assert "attention.backward" in text
    assert "which is 2.5 x its forward pass" in text
    assert f"= {found.tokens_per_s:,.0f}" in text


def test_what_does_not_fit_is_explained_without_times() -> None:
    text = explain_training(roofline.train("llama-3.1-8b", "h100", batch=4).step)
    assert "saved by a microbatch" in text
    assert "a step =" not in text


def test_more_of_a_resource_is_what_an_edit_gives() -> None:
    found = {gain.resource.name: gain for gain in step().gains()}
    bandwidth = step().question.request.device.bandwidth
    edited = step(set={"hardware.memory.hbm.bandwidth": f"{1.1 * bandwidth} B/s"})
    assert found["bandwidth"].better_s == pytest.approx(float(edited.timing.time_s), rel=1e-9)
    assert found["bandwidth"].time_s == step().timing.time_s
    assert all(gain.better_s <= gain.time_s <= gain.worse_s for gain in found.values())
    assert found["link"].saved > 0


def test_both_from_the_shell() -> None:
    asked = ("train", "gpt2", "--hardware", "h100", "--batch", "4", "--sensitivity")
    assert "10% more bandwidth" in answer(*asked, "--explain")
    import json

    told = json.loads(answer(*asked, "--json"))["sensitivity"]
    assert set(told) == {"bandwidth", "FLOP/s", "link", "latency"}
