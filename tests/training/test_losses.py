"""How cross-entropy runs: what of the scores is there, and what that costs."""

from __future__ import annotations

import pytest
from shell import refusal

import roofline
from roofline.errors import UsageError, WorkloadError
from roofline.training.step import TrainingStep

BATCH, LENGTH, VOCABULARY = 4, 1024, 50257
SCORES = BATCH * LENGTH * VOCABULARY


def step(loss: str | None, **options: object) -> TrainingStep:
    asked = {"batch": 8, "sequence": LENGTH, "microbatch": BATCH, "recompute": "none", "zero": 0, **options}
    return roofline.train("gpt2", "h100", loss=loss, **asked).step  # type: ignore[arg-type]


def held(found: TrainingStep) -> float:
    (stage,) = found.memory.values()
    return stage.saved + stage.working


def test_each_keeps_less_than_the_one_before() -> None:
    """In 16 bits: logarithms in fp32, gradients in fp32 and 16 bits, for the scores, and their gradients."""
    eager, fused, inplace, chunked = (step(loss) for loss in ("eager", "fused", "inplace", "chunked:1024"))
    assert held(fused) - held(inplace) == pytest.approx(2 * SCORES)
    assert held(eager) > held(fused)
    assert held(chunked) < held(inplace)
    assert eager.timing.time_s > fused.timing.time_s == inplace.timing.time_s


def test_a_chunk_of_all_tokens_is_in_place() -> None:
    """It holds all scores while the head runs, and no chunk adds to another's gradients."""
    whole, inplace = step(f"chunked:{BATCH * LENGTH}"), step("inplace")
    assert held(whole) == pytest.approx(held(inplace))
    assert float(whole.timing.time_s) == pytest.approx(float(inplace.timing.time_s), rel=0.002)


def test_smaller_chunks_hold_less_and_sum_up_more() -> None:
    small, large = (step(f"chunked:{tokens}", trained="head") for tokens in (512, 2048))
    assert small.causes["loss"] > large.causes["loss"]
    assert held(step("chunked:512")) <= held(step("chunked:2048")) < held(step("fused"))


def test_usual_is_what_the_engine_runs() -> None:
    assert step(None).question.network.loss.words == "fused"
    assert step(None, engine="transformers").question.network.loss.words == "eager"
    assert held(step("fused", engine="transformers")) < held(step(None, engine="transformers"))
    assert held(step(None)) == held(step("fused"))


def test_it_splits_with_the_vocabulary() -> None:
    """Devices of tensor parallelism have a part of the scores each, in place as in chunks."""
    for loss in ("inplace", "chunked:512"):
        one, four = (roofline.train("llama-3.2-1b", "4xh100", loss=loss, batch=8, microbatch=2, tp=tp, dp=4 // tp, cp=1,
                                    pp=1, zero=0, recompute="none").step for tp in (1, 4))  # fmt: skip
        assert held(four) < held(one)


@pytest.mark.parametrize("word", ["plain", "fused:2", "chunked:", "chunked:0", "chunked:x"])
def test_another_word_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=f'loss "{word}": expected'):
        step(word)


def test_what_has_no_scores_has_no_loss() -> None:
    with pytest.raises(WorkloadError, match="no scores over a vocabulary"):
        roofline.train("bert-base", "h100", batch=8, loss="fused")
    problem = refusal(
        2, "train", "llama-3.1-8b", "--hardware", "64xh100", "--loss", "chunked", "--launch", "torchtitan"
    )
    assert "no field says loss chunked:1024" in problem
