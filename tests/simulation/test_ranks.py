"""Data-parallel ranks that share experts, simulated: each with its own queue and cache, all in step."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import roofline
from roofline.buying.percentile_sizing import replica_of
from roofline.errors import RooflineError
from roofline.parallelism.layout import Layout
from roofline.serving.batch_sweep import curves, curves_in_flight
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.scenario import read_question
from roofline.serving.step_clock import StepClock
from roofline.simulation.simulate import Simulation

MODEL = "deepseek-v2-lite"
RANKS: dict[str, Any] = {"tp": 1, "dp": 4, "ep": 4}
AT_ONCE = {"engine.front_end": "0 s"}


def ranked(**asked: Any) -> Simulation:
    return roofline.simulate(MODEL, "4xh100", **{"set": AT_ONCE, **RANKS, **asked})


@pytest.fixture(scope="module")
def clock() -> StepClock:
    return StepClock.of_ranks(MODEL, "4xh100", dp=4, ep=4)


@pytest.mark.parametrize("batch", [1, 8, 150])
def test_ranks_alike_take_the_step_of_predict(clock: StepClock, batch: int) -> None:
    new, attended = np.ones(batch), np.full(batch, 1000.0)
    expected = roofline.predict(MODEL, "4xh100", dp=4, ep=4, batch=4 * batch, context=1000).tpot_s
    assert clock.seconds_of_ranks([(new, attended)] * 4) == pytest.approx(expected, rel=1e-9)
    read = np.full(1, 64.0)
    prompt = roofline.predict(MODEL, "4xh100", dp=4, ep=4, batch=4, prompt=64, phase="prefill").ttft_s
    assert clock.seconds_of_ranks([(read, read)] * 4) == pytest.approx(prompt, rel=1e-9)


@pytest.mark.parametrize("batch", [1, 8, 64, 150])
def test_ranks_in_halves_take_the_step_of_predict(batch: int) -> None:
    """vLLM cuts steps from 32 tokens of a rank on."""
    cut: dict[str, Any] = {"set": {"engine.two_batches": True}, "dp": 4, "ep": 4}
    clock, new, attended = StepClock.of_ranks(MODEL, "4xl40s", **cut), np.ones(batch), np.full(batch, 1000.0)
    found = roofline.predict(MODEL, "4xl40s", batch=4 * batch, context=1000, **cut)
    assert bool(found.dispatch_hidden) == (batch >= 32)
    assert clock.seconds_of_ranks([(new, attended)] * 4) == pytest.approx(found.tpot_s, rel=1e-9)
    assert clock.seconds_of_ranks([(new, attended)] * 3) > 0  # one is idle, and none is cut
    read = np.full(1, 1024.0)
    prompt = roofline.predict(MODEL, "4xl40s", batch=4, prompt=1024, phase="prefill", **cut)
    assert prompt.dispatch_hidden
    assert clock.seconds_of_ranks([(read, read)] * 4) == pytest.approx(prompt.ttft_s, rel=1e-9)


def test_the_slowest_rank_sets_the_step_and_experts_see_the_tokens_of_all(clock: StepClock) -> None:
    def step(*contexts: float, batch: int = 16) -> float:
        return clock.seconds_of_ranks([(np.ones(batch), np.full(batch, context)) for context in contexts])

    one = step(8000.0)
    assert step(8000.0, 100.0, 100.0, 100.0) == step(100.0, 8000.0, 100.0, 100.0)
    assert step(8000.0, 8000.0, 8000.0, 8000.0) == step(8000.0, 100.0, 100.0, 100.0)  # who waits costs nothing
    assert one < step(8000.0, 100.0) < step(8000.0, 100.0, 100.0, 100.0)  # but for their tokens in the experts
    assert one == clock.seconds(np.ones(16), np.full(16, 8000.0))
    again = pickle.loads(pickle.dumps(clock))
    assert again.seconds(np.ones(16), np.full(16, 8000.0)) == one


def test_where_little_is_read_a_closed_loop_is_the_steady_state_of_compare() -> None:
    # lengths without a common factor: answers that all end on multiples of 32 steps let prompts come together
    asked = {"prompt": "16/20", "generate": "23/31/59/73/97/127/149"}
    found = ranked(concurrency=64, requests=800, **asked).outcome
    (curve,) = curves_in_flight(read_question(MODEL, **asked), read_hardware(["4xh100"])[0], [64], Layout(dp=4, ep=4))
    assert found.requests_per_s == pytest.approx(curve.of("requests_per_s")[0], rel=0.04)
    assert found.times["tpot_s"].mean == pytest.approx(curve.of("tpot_s")[0], rel=0.04)
    assert found.sequences == pytest.approx(64, rel=0.1)  # of all ranks


def test_all_requests_are_served_and_a_prompt_holds_the_other_ranks_up() -> None:
    asked: dict[str, Any] = {"load": 8.0, "generate": 24, "requests": 120}
    short, long, again = ranked(prompt=100, **asked), ranked(prompt=6000, **asked), ranked(prompt=6000, **asked)
    for found in (short, long):
        own = found.ledger
        assert not np.isnan(own.finished).any()
        assert np.all(own.finished > own.first)
        assert sorted(np.unique(own.replica)) == [0, 1, 2, 3]
        assert found.deployment.devices == 4
    assert np.array_equal(long.ledger.finished, again.ledger.finished)
    assert long.outcome.times["tpot_s"].mean > 1.1 * short.outcome.times["tpot_s"].mean
    steps = [replica.meter.steps for replica in long.deployment.at_work(long.ledger.anew(), 0.0, [1.0], 0)[0]]
    assert steps == [0, 0, 0, 0]


def test_one_request_at_a_time_waits_for_nobody() -> None:
    found = ranked(concurrency=1, prompt=500, generate=5, requests=4)
    clock, new = found.deployment.clock, np.ones(1)
    steps = sum(clock.seconds(new, np.array([500.0 + done])) for done in range(1, 5))
    whole = np.full(1, 500.0)
    assert found.outcome.times["request_s"].mean == pytest.approx(clock.seconds(whole, whole) + steps, rel=1e-6)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"offload": "kv=100GB"}, "ranks that share experts are not simulated with offload"),
        ({"speculate": "3:0.7"}, "ranks that share experts are not simulated with speculate"),
        ({"prefill_on": "4xh100"}, "ranks that share experts are not simulated with prefill_on"),
    ],
)
def test_what_ranks_are_not_simulated_with_is_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(RooflineError, match=told):
        ranked(load=1.0, requests=20, **asked)


def test_sessions_keep_their_prefixes_on_their_rank() -> None:
    found = ranked(load=2.0, workload="agent", requests=60, router="prefix-aware")
    assert found.outcome.cached > 0.3


def test_replicas_of_percentiles_are_of_ranks_and_of_stages() -> None:
    question = read_question(MODEL, prompt=1000, generate=50)
    found = {curve.layout: replica_of(curve, question, 1100) for curve in curves(question, read_hardware(["2xh100"]))}
    assert {"dp 2, ep 2", "pp 2", "tp 2"} <= set(found)
    for layout, replica in found.items():
        assert str(replica.clock.replica.layout) == layout
        assert replica.replicas == 1
        assert replica.schedulers == (2 if layout in ("dp 2, ep 2", "pp 2") else 1)


@pytest.mark.slow
def test_percentiles_are_sized_with_ranks() -> None:
    sized = roofline.size(
        "deepseek-v3", "8xh200", load=2.0, ttft="p95:20s", tpot="p95:200ms", prompt=1000, generate=50,
        set={"engine.chunk": 2048},
    )  # fmt: skip
    (order,) = sized.orders
    assert order.curve.split.dp * order.curve.split.pp > 1
