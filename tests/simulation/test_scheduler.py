"""Queueing theory, conservation and the scheduler's rules, with steps whose time is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_clock import PlainClock, at, room, served

import roofline
from roofline.number import Grid
from roofline.simulation import scheduler
from roofline.simulation.arrivals import Arrivals, renewals
from roofline.simulation.events import ROUTERS, run
from roofline.simulation.ledger import Ledger
from roofline.simulation.scheduler import Replica

# Theory


@pytest.mark.parametrize("utilization", [0.5, 0.8])
def test_one_at_a_time_waits_as_m_d_1(utilization: float) -> None:
    """Pollaczek and Khinchin: the mean wait of Poisson arrivals with a constant service S is rho S / (2 (1 - rho))."""
    many, batches, service = 8_000, 16, 1.1
    rng = np.random.default_rng(7)
    arrivals = Arrivals.at(renewals("poisson", utilization / service, many, rng))
    ledger, _ = served([10] * many, [1] * many, arrivals, most=1)
    assert np.ptp(ledger.finished - ledger.scheduled) < 1e-6
    means = ledger.queued_s.reshape(batches, -1).mean(axis=1)
    expected = utilization * service / (2 * (1 - utilization))
    off = 2.13 * means.std(ddof=1) / batches**0.5  # Student's t with 15 degrees of freedom, 95 %
    assert abs(means.mean() - expected) < off < 0.25 * expected


def test_littles_law() -> None:
    """Sequences in service, as the scheduler counts them in time, are throughput x time in service."""
    rng = np.random.default_rng(3)
    prompt, generate = rng.integers(1, 90, 400).tolist(), rng.integers(1, 30, 400).tolist()
    ledger, (one, two) = served(prompt, generate, Arrivals.at(renewals("gamma:0.5", 1.0, 400, rng)), replicas=2)
    span = ledger.finished.max()
    counted = (one.meter.running_s + two.meter.running_s) / span
    assert counted == pytest.approx(len(ledger) / span * (ledger.finished - ledger.scheduled).mean())


def test_arrivals_are_as_asked() -> None:
    rng = np.random.default_rng(0)
    gaps = np.diff(renewals("poisson", 20.0, 40_000, rng))
    assert gaps.mean() == pytest.approx(0.05, rel=0.02)
    assert gaps.std() == pytest.approx(0.05, rel=0.02)
    assert np.all(renewals("all", 0.0, 5, rng) == 0)


# Conservation


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_request_and_no_token_is_lost(data: st.DataObject) -> None:
    lengths = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=25)
    prompt, generate = zip(*data.draw(lengths), strict=True)
    tokens, block = data.draw(st.sampled_from([100, 130, 400])), data.draw(st.sampled_from([1, 8]))
    clock = PlainClock(data.draw(st.sampled_from([None, 3, 16, 64])))
    rate, most = data.draw(st.sampled_from([0.05, 5.0])), data.draw(st.integers(1, 9))
    arrivals = Arrivals.at(renewals("poisson", rate, len(prompt), np.random.default_rng(data.draw(st.integers(0, 9)))))
    ledger, (replica,) = served(
        list(prompt), list(generate), arrivals, clock, room=room(tokens + block, block), most=most
    )
    assert not np.isnan(ledger.finished).any()
    assert np.all(ledger.arrived <= ledger.scheduled)
    assert np.all(ledger.scheduled < ledger.first)
    assert np.all(ledger.first <= ledger.finished)
    assert np.all((ledger.first == ledger.finished) == (ledger.generate == 1))
    assert replica.meter.most_cache <= 1
    assert replica.meter.most_running <= most
    needed = int((ledger.prompt + ledger.generate - 1).sum())
    assert replica.meter.tokens >= needed
    assert (replica.meter.tokens == needed) == (ledger.preempted.sum() == 0)
    if clock.chunk is not None:
        assert max(new.sum() for new, _ in clock.asked) <= max(clock.chunk, most)


def test_a_step_of_a_known_schedule() -> None:
    """Two prompts of 100 at a budget of 64: pieces of 64, then 36 + 28, then 72 beside the first one's token."""
    clock = PlainClock()
    ledger, _ = served([100, 100], [3, 2], at(0, 0), clock)
    read = [new.tolist() for new, _ in clock.asked]
    assert read == [[64], [36, 28], [1, 63], [1, 9], [1]]
    assert clock.asked[1][1].tolist() == [100, 28]
    seconds = np.cumsum([1 + 0.01 * sum(new) for new in read])
    assert ledger.first.tolist() == pytest.approx([seconds[1], seconds[3]])
    assert ledger.finished.tolist() == pytest.approx([seconds[3], seconds[4]])


def test_prompts_that_run_by_themselves_stop_what_decodes() -> None:
    clock = PlainClock(chunk=None)
    ledger, _ = served([10, 500], [4, 2], at(0, 2.0), clock)
    assert [new.tolist() for new, _ in clock.asked] == [[10], [1], [1], [500], [1, 1], [1]]
    assert ledger.first.tolist() == pytest.approx([1.1, 1.1 + 1.01 + 6.0])


def test_what_does_not_fit_the_cache_is_preempted_and_computed_anew() -> None:
    """Two sequences grow to 30 tokens each in a cache of 50: the later one is computed twice."""
    clock = PlainClock()
    ledger, (replica,) = served([10, 10], [21, 21], at(0, 0.5), clock, room=room(50))
    assert ledger.preempted.tolist() == [0, 1]
    assert ledger.finished[0] < ledger.finished[1]
    again = next(new for new, _ in clock.asked[2:] if new.max() > 1)
    assert again.max() > 10, "its answer so far is read with its prompt"
    assert replica.meter.tokens == 2 * 30 + int(again.max()) - 1


def test_a_scheduler_that_polls_lets_requests_in_at_its_next_look() -> None:
    """Decode steps of 1.01 s after a prompt of 1.1 s: a look after each tenth, at once after prompts and when idle."""
    ledger, _ = served([10, 10, 10], [60, 1, 1], at(0, 3.0, 200.0), PlainClock(rules={"poll_steps": 10}))
    assert ledger.scheduled.tolist() == pytest.approx([0, 1.1 + 10 * 1.01, 200.0])


@pytest.mark.parametrize(("share", "waits"), [(1.0, 20), (0.5, 7)])
def test_prompts_wait_beside_decoding_for_a_batch(share: float, waits: int) -> None:
    """20 steps, or until the prompts that wait and what decodes fill the share of a budget of 64 tokens."""
    rules = {"wait_steps": 20, "wait_share": share}
    ledger, _ = served([10, 20, 20], [60, 1, 1], at(0, 0.5, 7.5), PlainClock(rules=rules))
    assert ledger.scheduled[0] == 0, "nothing waits for a batch while nothing decodes"
    assert ledger.scheduled[1:].tolist() == pytest.approx([1.1 + 1.01 * waits] * 2)


def test_what_arrives_waits_a_step_more_where_the_host_is_ahead() -> None:
    ledger, _ = served([10, 10, 10], [60, 2, 1], at(0, 3.0, 200.0), PlainClock(rules={"host_ahead": True}))
    assert ledger.scheduled.tolist() == pytest.approx([0, 1.1 + 3 * 1.01, 200.0])


def test_a_front_end_takes_as_long_for_each_request() -> None:
    ledger, _ = served([10, 10], [1, 1], at(0, 0), PlainClock(rules={"front_end": 5.0}))
    assert ledger.scheduled.tolist() == pytest.approx([5.0, 5.0])
    assert ledger.ttft_s.tolist() == pytest.approx([6.2, 6.2])


def test_a_request_cuts_a_run_short_and_starts_with_the_next_step() -> None:
    clock = PlainClock()
    ledger, _ = served([10, 10], [100, 2], at(0, 20.0), clock)
    one = 1.01
    ends = 1.1 + one * np.arange(40)
    assert ledger.scheduled[1] == pytest.approx(ends[ends >= 20][0])


def test_runs_in_bulk_are_the_steps_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = roofline.StepClock("llama-3.1-8b", "h100")
    rng = np.random.default_rng(5)
    prompt, generate = rng.integers(1, 4000, 30).tolist(), rng.integers(2, 200, 30).tolist()

    def finished() -> Grid:
        return served(prompt, generate, Arrivals.at(renewals("poisson", 20.0, 30, np.random.default_rng(1))), clock)[
            0
        ].finished

    bulk = finished()
    monkeypatch.setattr(scheduler, "_LONGEST_RUN", 1)
    assert bulk == pytest.approx(finished(), rel=1e-5)


def test_clients_of_a_closed_loop_ask_when_they_are_answered() -> None:
    ledger, (replica,) = served([10] * 9, [5] * 9, Arrivals.closed(3, np.zeros(9, dtype=bool), np.zeros(9)))
    assert np.count_nonzero(ledger.arrived == 0) == 3
    assert set(ledger.arrived[3:]) <= set(ledger.finished)
    assert replica.meter.most_running <= 3


def test_cached_tokens_are_not_computed() -> None:
    ledger, (replica,) = served([100, 7], [1, 1], at(0, 0), hits=0.5)
    assert ledger.cached.tolist() == [50, 3]
    assert replica.meter.tokens == 54


def test_the_least_loaded_replica_is_taken() -> None:
    ledger = Ledger.of(np.full(6, 10), np.array([500, 1, 1, 1, 1, 1]))
    two = [Replica(n, PlainClock(), room(), ledger, 100) for n in range(2)]  # type: ignore[arg-type]
    run(ledger, Arrivals.at(np.arange(6) * 10.0), two, ROUTERS["least-loaded"])
    assert ledger.replica.tolist() == [0, 1, 1, 1, 1, 1]
