"""Speculative decoding: tokens per step, what checking and drafting cost, memory of both models."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import question
from shell import answer, refusal

from roofline.buying.api import compare
from roofline.errors import RooflineError, UsageError
from roofline.models.model import load_model
from roofline.models.prediction_head import prediction_head
from roofline.program.traffic.traffic import Traffic, fixed
from roofline.serving.batch_sweep import curves
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.speculation import Speculation, read_speculation

MODEL, DRAFT = load_model("llama-3.1-70b"), load_model("llama-3.2-1b")
ONE = Traffic("one", fixed(1024), fixed(129))


def curve(speculation: Speculation | None, chunk: int = 0, hardware: str = "8xh100", **fields: object) -> Curve:
    edits = {"engine.chunk": chunk, **{f"engine.{name}": value for name, value in fields.items()}}
    asked = replace(question(MODEL, ONE, set=edits), speculation=speculation)
    (*_, last) = curves(asked, read_hardware([hardware]))
    assert last.layout == "tp 8"
    return last


@given(st.integers(1, 32), st.floats(0, 1))
def test_a_step_yields_from_one_token_to_all_and_the_one_after(tokens: int, acceptance: float) -> None:
    yielded = Speculation(tokens, acceptance).yielded
    assert 1 <= yielded <= tokens + 1
    if acceptance < 1:
        assert yielded == pytest.approx((1 - acceptance ** (tokens + 1)) / (1 - acceptance))


def test_nothing_proposed_is_accepted_costs_and_gains_nothing() -> None:
    """Checking one more token each step, all in vain, is slower than not to speculate, by little where weights bind."""
    plain, vain = curve(None), curve(Speculation(1, 0.0))
    assert 1 < vain.of("tpot_s")[0] / plain.of("tpot_s")[0] < 1.05


def test_what_is_accepted_divides_the_time_of_a_step() -> None:
    vain, best = curve(Speculation(4, 0.0)), curve(Speculation(4, 1.0))
    assert best.of("tpot_s")[0] == pytest.approx(vain.of("tpot_s")[0] / 5)  # one alone: no prompt between its steps
    prompts = curve(None).of("ttft_s")[8]
    assert vain.of("tpot_s")[8] / 5 < best.of("tpot_s")[8] < vain.of("tpot_s")[8] / 5 + 8 * prompts / 128


@settings(max_examples=5)
@given(st.floats(0, 1), st.floats(0, 1))
def test_more_acceptance_is_never_slower(one: float, other: float) -> None:
    """Where graphs hold any number of tokens: beyond the largest captured one the host launches anew.

    And on a device without tiles: whole waves of a prompt's pieces may turn the order of two.
    """
    ends = sorted((one, other))
    less, more = (curve(Speculation(3, acceptance, DRAFT), 2048, "8xmi300x", captured=[]) for acceptance in ends)
    kept = (less.of("sustained") > 0)[:64]
    assert (more.of("tpot_s")[:64][kept] <= less.of("tpot_s")[:64][kept] * (1 + 1e-9)).all()


def test_a_draft_costs_time_and_memory() -> None:
    free, drafted = curve(Speculation(4, 0.7)), curve(Speculation(4, 0.7, DRAFT))
    assert drafted.of("tpot_s")[0] > free.of("tpot_s")[0]
    assert drafted.most is not None
    assert free.most is not None
    assert drafted.most < free.most


@pytest.mark.parametrize(
    "text",
    ["", "4", "4:", ":0.7", "0:0.5", "33:0.5", "4:1.5", "4:-1", "4:nan", "x:0.5", "1.5:0.5", "3:0.9,0.7", "2:0.5,nan"],
)
def test_bad_speculation_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected TOKENS:ACCEPTANCE"):
        read_speculation({"speculate": text}, MODEL)


def test_acceptance_by_position() -> None:
    found = read_speculation({"speculate": "3:0.9,0.7,0.5"}, MODEL)
    assert found is not None
    assert found.accepted == (0.9, 0.7, 0.5)
    assert found.yielded == pytest.approx(3.1)
    alike = read_speculation({"speculate": "3:0.8"}, MODEL)
    assert alike is not None
    assert alike.accepted == pytest.approx((0.8, 0.64, 0.512))
    with pytest.raises(UsageError, match="never rise"):
        read_speculation({"speculate": "2:0.5,0.7"}, MODEL)


def test_at_the_shell() -> None:
    asked = ("compare", "llama-3.1-70b", "--hardware", "8xh100", "--tpot", "40ms")
    text = answer(*asked, "--speculate", "4:0.7", "--draft", "llama-3.2-1b")
    assert "speculation: 4 tokens proposed by llama-3.2-1b, each accepted with 0.7: 2.77 per step" in text
    assert "a draft goes with speculate" in refusal(2, *asked, "--draft", "llama-3.2-1b")


def test_states_that_must_be_restored_are_said() -> None:
    spoken = compare("mamba2-130m", "h100", workload="chat", speculate="4:0.7").to_dict()["notes"]
    assert [note.split(" ")[:3] for note in spoken] == [["no", "scan", "was"], ["the", "states", "that"]]
    assert "restored at no cost" in answer("compare", "mamba2-130m", "--hardware", "h100", "--speculate", "4:0.7")
    assert compare("llama-3.2-1b", "h100", workload="chat", speculate="4:0.7").to_dict()["notes"] == []


def _weights(found: Curve) -> float:
    assert found.held is not None
    return found.held.weights


def test_a_prediction_head_is_a_layer_and_a_projection_that_lie_where_the_network_does() -> None:
    head, layers, width = prediction_head(MODEL), 80, 8192
    own = MODEL.parameters - 2 * 128256 * width - width  # without embedding, output head and the last norm
    projection = 2 * width * width  # which every device has whole
    assert head.parameters == own // layers + projection + 3 * width
    spread, none = (curve(Speculation(2, 0.8, draft)) for draft in (head, None))
    assert _weights(spread) - _weights(none) == pytest.approx(
        2 * (projection + (head.parameters - projection) / 8), rel=0.01
    )
    assert none.of("tpot_s")[5] < spread.of("tpot_s")[5] < curve(Speculation(2, 0.8, DRAFT)).of("tpot_s")[5]


def test_a_head_of_what_is_no_plain_decoder_is_refused_by_name() -> None:
    with pytest.raises(RooflineError, match="draft mtp: olmo-2-7b is no plain decoder"):
        read_speculation({"speculate": "2:0.8", "draft": "mtp"}, load_model("olmo-2-7b"))
