"""The tokens of a mixed step under targets: searched unless stated, in ``compare``, ``size`` and the launch line."""

from __future__ import annotations

import pytest

from roofline import compare, predict, size
from roofline.buying.launching import launch_chosen
from roofline.serving.batch_sweep import CHUNKS, curves
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.operating_points import Targets, standing
from roofline.serving.scenario import read_question

TIGHT = Targets.means(tpot_s=0.012)
ASKED = {"prompt": 2000, "generate": 100}


def best(targets: Targets | None, chunk: int | None = None, engine: str = "vllm") -> Curve:
    stated = {"engine.chunk": chunk} if chunk is not None else None
    (found,) = curves(
        read_question("llama-3.1-8b", **ASKED, engine=engine, set=stated), read_hardware(["h100"]), targets
    )
    return found


def chunk_of(curve: Curve) -> int:
    assert curve.running is not None
    return curve.running.to_dict()["chunk"]


def test_the_chunk_that_is_found_is_the_best_of_those_that_can_be_stated() -> None:
    """As far as it serves 5 % more than the engine's own, and to the digit what stating it gives."""
    found, own = best(TIGHT), best(None)
    rates = {chunk: standing(best(TIGHT, chunk), TIGHT) for chunk in CHUNKS}
    assert chunk_of(own) == 8192
    assert rates[8192] == standing(own, TIGHT)
    assert chunk_of(found) == max(rates, key=lambda chunk: rates[chunk]) != 8192
    assert standing(found, TIGHT) == pytest.approx(rates[chunk_of(found)], rel=1e-12)
    assert standing(found, TIGHT)[1] > 1.05 * rates[8192][1]


def test_a_chunk_that_gains_little_is_left_as_the_engine_has_it() -> None:
    loose = Targets.means(tpot_s=1.0)
    assert chunk_of(best(loose)) == 8192
    assert chunk_of(best(Targets())) == 8192
    assert chunk_of(best(TIGHT, 4096)) == 4096
    assert chunk_of(best(TIGHT, engine="sglang")) == 0  # which reads prompts while nothing decodes


def test_the_answer_names_the_chunk_and_its_launch_line_states_it() -> None:
    (row,) = compare("llama-3.1-8b", "h100", tpot="12 ms", **ASKED).rows
    told = row.to_dict(compare_terms := compare("llama-3.1-8b", "h100", tpot="12 ms", **ASKED).terms)["engine"]
    assert told["chunk_searched"]
    sized = size("llama-3.1-8b", "h100", load="5 req/s", tpot="12 ms", **ASKED)
    assert sized.orders[0].to_dict(compare_terms)["engine"]["chunk"] == told["chunk"]
    assert row.curve.running is not None
    assert f"chunked prefill of {told['chunk']} tokens (searched; its own is 8192)" in row.curve.running.words
    line = launch_chosen(sized, "vllm")
    assert line is not None
    assert f"--max-num-batched-tokens {told['chunk']} " in str(line.line)


@pytest.mark.parametrize("engine", ["sglang", "vllm", "transformers"])
def test_a_prompt_longer_than_the_chunk_is_read_alike_in_predict_and_compare(engine: str) -> None:
    asked = {"prompt": 16000, "generate": 100, "engine": engine}
    (row,) = compare("llama-3.1-8b", "h100", batch=1, **asked).rows
    assert row.point is not None
    assert row.point.ttft.value == pytest.approx(predict("llama-3.1-8b", "h100", **asked).ttft_s, rel=1e-4)


def test_prompts_by_themselves_are_read_in_as_many_passes_beside_others_as_alone() -> None:
    """SGLang's prompts of two chunks hold decoding up for as long as both passes take."""
    (row,) = compare("llama-3.1-8b", "h100", batch=4, prompt=16000, generate=100, engine="sglang").rows
    (other,) = compare(
        "llama-3.1-8b", "h100", batch=4, prompt=16000, generate=100, engine="sglang", set={"engine.chunk": 1000}
    ).rows
    assert row.point is not None
    assert other.point is not None
    assert row.point.input_part < other.point.input_part  # sixteen passes read the weights sixteen times


def test_prompts_by_themselves_hold_the_activations_of_a_pass() -> None:
    """Of 60,000 tokens SGLang reads some thousand at once, so that more sequences fit beside fewer of them."""
    most = []
    for chunk in (8192, 1000):
        (row,) = compare(
            "llama-3.1-8b", "h100", prompt=60000, generate=50, engine="sglang", set={"engine.chunk": chunk}
        ).rows
        held = row.curve.held
        assert held is not None
        most.append((held.most_read, held.reading.first))
    assert most[0][0] > 4 * most[1][0]
    assert most[0][1] > 4 * most[1][1]


def test_a_stated_number_of_sequences_is_kept_and_more_than_usual_is_told() -> None:
    asked = {"prompt": 100, "generate": 100}
    (row,) = compare("llama-3.1-8b", "a100", **asked).rows
    assert row.point is not None
    assert row.point.batch > 256
    assert any("more than the 256 that vLLM takes by itself" in note for note in row.curve.notes_at(row.point.batch))
    (kept,) = compare("llama-3.1-8b", "a100", **asked, set={"engine.max_sequences": 100}).rows
    assert kept.point is not None
    assert kept.point.batch <= 100 == kept.curve.most
    assert kept.curve.notes_at(100) == kept.curve.cautions
