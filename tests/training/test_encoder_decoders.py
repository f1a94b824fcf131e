"""Training of networks with two lengths: an encoder's input and a target behind it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

import roofline
from roofline.errors import RooflineError
from roofline.models.model import load_model
from roofline.training.step import TrainingStep

SMALL = load_model("t5-small", overrides={"num_layers": 2, "num_decoder_layers": 2})


def step(model: Any = SMALL, hardware: str = "h100", **options: Any) -> TrainingStep:
    asked = {"batch": 8, "microbatch": 8, "recompute": "none", "zero": 0, "sequence": 64, "target_sequence": 16}
    return roofline.train(model, hardware, **{**asked, **options}).step


def test_flops_by_hand() -> None:
    """Thrice: per input token an encoder layer, a cross-attention's keys and values; per target token the rest."""
    width, ffn, vocabulary, source, target, batch, layers = 512, 2048, 32128, 64, 16, 8, 2
    inner = 8 * 64
    encoder = layers * (8 * width * inner + 4 * width * ffn) * source + layers * 4 * inner * source**2
    cross = layers * (4 * width * inner * source + 4 * width * inner * target + 4 * inner * source * target)
    decoder = layers * (8 * width * inner + 4 * width * ffn) * target + layers * 2 * inner * target * (target + 1)
    head = 2 * width * vocabulary * target
    assert Fraction(step().flops) == 3 * batch * (encoder + cross + decoder + head)
    assert step().question.tokens == batch * (source + target)


def test_lengths_that_are_left_open() -> None:
    assert step(target_sequence=None).question.target == 64
    found = roofline.train("whisper-tiny", "h100", batch=8, microbatch=8, recompute="none", zero=0).step
    assert (found.question.sequence, found.question.target) == (1500, 448)
    own, other = (found.causes[f"matmul_{what}_gradients"] for what in ("weight", "input"))
    assert own < 2 * other  # the window of a convolution is no column of its gradient


def test_replicas_and_tensors_split_both_stacks() -> None:
    one, halves = step(), step(hardware="2xh100", tp=2, dp=1)
    assert halves.memory["first"].weights < 0.6 * one.memory["first"].weights
    replicas = step(hardware="2xh100", tp=1, dp=2, microbatch=4, zero=1).memory["first"]
    assert replicas.optimizer == pytest.approx(one.memory["first"].optimizer / 2)
    assert replicas.saved == pytest.approx(
        one.memory["first"].saved / 2, rel=0.01
    )  # position biases are of no sequence


def test_a_network_that_sees_is_trained_on_text_alone() -> None:
    asked: dict[str, Any] = {"batch": 4, "microbatch": 1, "recompute": "full", "sequence": 256}
    found = roofline.train("gemma-3-4b", "h200", **asked)
    (row,) = found.to_dict()["rows"]
    assert row["step"]["inputs"]["text_alone"]
    assert not step().question.text_alone
    assert found.model.parameters == load_model("gemma-3-4b").of_text_alone().parameters


@pytest.mark.parametrize(
    ("model", "options", "text"),
    [
        ("gpt2", {}, "gpt2 is no encoder-decoder"),
        ("whisper-tiny", {"sequence": None, "target_sequence": 449}, "target-sequence 449 exceeds"),
        ("bart-base", {"hardware": "2xh100", "pp": 2}, "pp can be 1"),
        (SMALL, {"sequence": None, "sequence_lengths": "8x2"}, "packed documents of an encoder-decoder"),
    ],
)
def test_what_cannot_be_is_refused(model: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(RooflineError, match=text):
        step(model, **options)
