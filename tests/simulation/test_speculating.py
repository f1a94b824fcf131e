"""Speculative decoding in simulations: what is accepted, what a verify step takes, and that no token is lost."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from plain_clock import PlainClock, at, room

import roofline
from roofline.models.model import load_model
from roofline.program.phases import Phase
from roofline.serving.batch_sweep import curves
from roofline.serving.chunked_prefill import Stream, mixed_step_costs
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.scenario import read_question
from roofline.simulation import scheduler
from roofline.simulation.arrivals import Arrivals, renewals
from roofline.simulation.events import round_robin, run
from roofline.simulation.ledger import Ledger
from roofline.simulation.scheduler import Replica
from roofline.simulation.speculating import Guesses


def guessed(*accepted: float, seed: int = 0) -> Guesses:
    return Guesses(np.array(accepted), np.random.default_rng(seed))


def served(lengths: list[tuple[int, int]], arrivals: Arrivals, guesses: Guesses | None, **how: Any) -> Any:
    ledger, clock = Ledger.of(*np.array(lengths).T), PlainClock()
    one = Replica(0, clock, ledger=ledger, guesses=guesses, **{"room": room(), "most": 1000, **how})  # type: ignore[arg-type]
    run(ledger, arrivals, [one], round_robin)
    return ledger, one, clock


def test_positions_are_accepted_as_often_as_asked() -> None:
    gained = np.diff(guessed(0.9, 0.7, 0.5).gains(4000, 10), axis=0)
    assert [float((gained > i).mean()) for i in (0, 1, 2, 3)] == pytest.approx([1, 0.9, 0.7, 0.5], abs=0.01)


@pytest.mark.parametrize(("accepted", "steps"), [((1.0, 1.0, 1.0), 2), ((1.0, 0.0, 0.0), 4), ((0.0, 0.0, 0.0), 8)])
def test_a_known_schedule(accepted: tuple[float, ...], steps: int) -> None:
    """Eight tokens after the first one, up to four in a step."""
    ledger, one, _ = served([(10, 9)], at(0), guessed(*accepted))
    assert ledger.finished[0] == pytest.approx(1.1 + 1.01 * steps)
    assert one.meter.tokens == 10 + 8


def test_runs_in_bulk_are_the_steps_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, arrivals = [(10, 40), (30, 25), (7, 60)], at(0, 3.0, 9.5)
    bulk, _, _ = served(lengths, arrivals, guessed(1.0, 0.0))
    monkeypatch.setattr(scheduler, "_LONGEST_RUN", 1)
    single, _, _ = served(lengths, arrivals, guessed(1.0, 0.0))
    assert bulk.finished == pytest.approx(single.finished)


@pytest.mark.parametrize("tokens", [110, 160, 10**6])
def test_no_token_is_lost_in_any_room(tokens: int) -> None:
    rng = np.random.default_rng(tokens)
    lengths = list(zip(rng.integers(1, 60, 40).tolist(), rng.integers(1, 40, 40).tolist(), strict=True))
    arrivals = Arrivals.at(renewals("poisson", 0.5, 40, rng))
    ledger, one, clock = served(lengths, arrivals, guessed(0.8, 0.6, 0.1), room=room(tokens, 4), most=6)
    assert not np.isnan(ledger.finished).any()
    assert one.meter.most_cache <= 1
    needed = int((ledger.prompt + ledger.generate - 1).sum())
    assert one.meter.tokens >= needed
    assert (one.meter.tokens == needed) == (ledger.preempted.sum() == 0)
    assert max(np.where(new == 1, 4, new).sum() for new, _ in clock.asked) <= 64 + 6 * 4
    longest = max(context.max() for _, context in clock.asked)
    assert longest <= (ledger.prompt + ledger.generate - 1).max()


@pytest.mark.parametrize(
    ("model", "hardware", "dtype"), [("llama-3.1-70b", "4xh100", None), ("deepseek-v3", "8xh200", "fp8")]
)
def test_a_verify_step_is_as_wide_as_what_it_checks(model: str, hardware: str, dtype: str | None) -> None:
    """The clock and the operators of a step, stated apart: 16 sequences, 4 tokens of each, alone and beside prompts."""
    clock = roofline.StepClock(model, hardware, tp=int(hardware[0]), dtype=dtype).checking(4)
    steps, ones, one = clock.replica, np.ones(16), np.ones(1)
    decode = Stream(Phase.DECODE, 16.0, one, 4 * one, 3003.0 * one, 4)
    prompts = Stream(Phase.PREFILL, 2.0, one, 500.0 * one, 700.0 * one)
    for streams, new, context in (
        ([decode], ones, 3000 * ones),
        ([decode, prompts], np.append(ones, [500.0, 500.0]), np.append(3000 * ones, [700.0, 700.0])),
    ):
        costs = mixed_step_costs(steps.program, streams, steps.precision, steps.engine)
        expected = float(np.asarray(steps.machine.step(costs).time_s).item())
        assert clock.seconds(new, context) == pytest.approx(expected)
        many = np.stack([new, context - new], axis=-1)[None].astype(int)
        assert clock.steps(many)[0] == pytest.approx(expected)
    assert pickle.loads(pickle.dumps(clock)).seconds(ones, 3000 * ones) == clock.seconds(ones, 3000 * ones)


def test_a_closed_loop_with_a_draft_is_the_steady_state_of_compare() -> None:
    asked: dict[str, Any] = {"prompt": 512, "generate": "64/128/192/256", "speculate": "3:0.9,0.7,0.5"}
    asked |= {"draft": "llama-3.2-1b"}
    found = roofline.simulate("llama-3.1-70b", "4xh100", concurrency=16, requests=300, tp=4, **asked)
    question = read_question(load_model("llama-3.1-70b"), **asked)
    (curve,) = (each for each in curves(question, read_hardware(["4xh100"])) if each.devices == 4)
    assert curve.state is not None
    column = int(np.searchsorted(curve.state.batches, 16))
    assert found.outcome.requests_per_s == pytest.approx(curve.of("requests_per_s")[column], rel=0.06)
    assert found.outcome.times["tpot_s"].mean == pytest.approx(curve.of("tpot_s")[column], rel=0.08)
    plain = roofline.simulate("llama-3.1-70b", "4xh100", concurrency=16, requests=2, tp=4, prompt=512, generate=64)
    assert found.deployment.room.bytes < plain.deployment.room.bytes - 2e9, "the draft's weights are on each device"
    assert found.to_dict()["inputs"]["speculate"].startswith("3 tokens proposed by llama-3.2-1b")
