"""Disaggregated serving: what a hand-over takes, who waits for whom, and that nothing is lost between the pools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_clock import PlainClock, at, room

import roofline
from roofline.errors import RooflineError
from roofline.program.traffic.traces import Path
from roofline.serving.disaggregated_serving import pooled_curves
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.operating_points import Targets
from roofline.serving.scenario import read_question
from roofline.simulation.arrivals import Arrivals, renewals
from roofline.simulation.events import ROUTERS, run
from roofline.simulation.ledger import Ledger
from roofline.simulation.pools import Transfers
from roofline.simulation.scheduler import Replica

STEP = 1.01  # of a sequence that decodes; a prompt of ten takes 1.1 s


def pooled(
    ledger: Ledger, arrivals: Arrivals, counts: tuple[int, int] = (1, 1), sends: float = 0.1, **how: Any
) -> list[Replica]:
    """Requests served by pools of so many replicas, whose links take so long for each token."""
    transfers = Transfers("wire", np.array([0.0, 1e6]), np.array([0.0, sends * 1e6]))
    rooms = {"room": room(), "most": 100, **how}
    first, then = (
        [Replica(before + n, PlainClock(), ledger=ledger, transfers=transfers, **rooms) for n in range(many)]
        for before, many in zip((0, counts[0]), counts, strict=True)
    )
    for each in first:
        each.hands_over = True
    run(ledger, arrivals, first, ROUTERS["round-robin"], then)
    return [*first, *then]


def asked(*lengths: tuple[int, int], paths: dict[int, Path] | None = None) -> Ledger:
    prompt, generate = np.array(lengths).T
    return Ledger.of(prompt, generate, paths)


def test_the_first_token_comes_with_the_cache_and_no_prompt_stands_between_steps() -> None:
    ledger = asked((10, 5), (500, 3), (10, 1))
    pooled(ledger, at(0, 2.0, 100.0))
    assert ledger.first[0] == pytest.approx(1.1 + 10 * 0.1)
    assert ledger.tpot_s[0] == pytest.approx(STEP), "the second prompt is read elsewhere"
    assert ledger.first[2] == ledger.finished[2] == pytest.approx(101.1), "one token alone is not handed over"
    assert ledger.replica.tolist() == [1, 1, 0]


def test_links_take_one_cache_after_the_other() -> None:
    ledger = asked((10, 2), (10, 2))
    pooled(ledger, at(0, 0), counts=(1, 2), sends=1.0)
    both_read = 1.2
    assert sorted(ledger.first) == pytest.approx([both_read + 10, both_read + 20]), "of one sender"
    ledger = asked((10, 2), (10, 2))
    pooled(ledger, at(0, 0), counts=(2, 1), sends=1.0)
    assert ledger.first[0] == pytest.approx(1.1 + 10)
    assert ledger.first[1] == pytest.approx(1.1 + 20, abs=STEP), "of one receiver, at the end of a step"


def test_a_prompt_keeps_its_room_until_it_is_taken() -> None:
    ledger = asked((10, 2), (10, 2))
    pooled(ledger, at(0, 0), room=room(11), sends=1.0)
    assert ledger.scheduled.tolist() == pytest.approx([0, 1.1 + 10])


def test_what_the_receiver_has_of_a_prompt_is_not_sent_again() -> None:
    paths: dict[int, Path] = dict.fromkeys(range(2), (("session", 200),))
    ledger = asked((100, 2), (110, 2), paths=paths)
    one, two = pooled(ledger, at(0, 100.0), sends=0.1)
    assert ledger.cached.tolist() == [0, 100]
    assert two.meter.linked_s == pytest.approx(0.1 * (100 + 110 - 101)), "nor is the token that it made"
    assert one.meter.tokens == 110


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_request_and_no_token_is_lost_between_pools(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=20))
    counts = data.draw(st.sampled_from([(1, 1), (2, 1), (1, 3)]))
    rate, tokens = data.draw(st.sampled_from([0.05, 5.0])), data.draw(st.sampled_from([108, 140, 500]))
    ledger = asked(*lengths)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    arrivals = Arrivals.at(renewals("poisson", rate, len(ledger), rng))
    replicas = pooled(ledger, arrivals, counts, data.draw(st.sampled_from([0.0, 0.3])), room=room(tokens, 4), most=5)
    assert not np.isnan(ledger.finished).any()
    assert np.all(ledger.arrived <= ledger.scheduled)
    assert np.all(ledger.scheduled < ledger.first)
    assert np.all((ledger.first == ledger.finished) == (ledger.generate == 1))
    assert not any(each.sent or each.sources or each.running or each.in_flight for each in replicas)
    assert max(each.meter.most_cache for each in replicas) <= 1
    assert not any(each.sent_bytes or each.loading_bytes for each in replicas)
    if not ledger.preempted.any():
        read, decoded = (sum(each.meter.tokens for each in replicas if each.hands_over == first) for first in (1, 0))
        assert (read, decoded) == (ledger.prompt.sum(), (ledger.generate - 1).sum())


def test_littles_law_of_what_decodes() -> None:
    rng = np.random.default_rng(3)
    ledger = asked(*zip(rng.integers(1, 90, 300).tolist(), rng.integers(2, 30, 300).tolist(), strict=True))
    replicas = pooled(ledger, Arrivals.at(renewals("gamma:0.5", 0.5, 300, rng)), (2, 2))
    span = ledger.finished.max()
    counted = sum(each.meter.running_s for each in replicas if not each.hands_over) / span
    assert counted == pytest.approx(len(ledger) / span * (ledger.finished - ledger.first).mean())


def test_one_prompt_at_a_time_waits_as_m_d_1_whatever_decodes() -> None:
    many, batches, service, utilization = 4_000, 10, 1.1, 0.7
    rng = np.random.default_rng(5)
    ledger = asked(*[(10, 2)] * many)
    pooled(ledger, Arrivals.at(renewals("poisson", utilization / service, many, rng)), sends=0.0, most=1)
    means = ledger.queued_s.reshape(batches, -1).mean(axis=1)
    expected = utilization * service / (2 * (1 - utilization))
    off = 2.26 * means.std(ddof=1) / batches**0.5  # Student's t with 9 degrees of freedom, 95 %
    assert abs(means.mean() - expected) < off < 0.35 * expected


def simulated(**more: Any) -> roofline.Simulation:
    given: dict[str, Any] = {"load": 2.0, "requests": 150, "prompt": 2048, "generate": 256, **more}
    return roofline.simulate("llama-3.1-70b", "4xh100", prefill_on="4xh100", tp=4, **given)


def test_pools_serve_what_compare_says_of_them() -> None:
    found = simulated(prices="h100=2USD/h")
    question = replace(read_question("llama-3.1-70b", prompt=2048, generate=256), staged=False)
    served = [
        float(curve.of("requests_per_s")[curve.holds].max())
        for curve in pooled_curves(question, read_hardware(["8xh100"]), Targets())
        if curve.pools and curve.layout is not None
        and [pool.curve.devices for pool in (curve.pools.prefill, curve.pools.decode)] == [4, 4]
    ]  # fmt: skip
    assert found.saturation == pytest.approx(max(served), rel=0.1)
    assert found.cost is not None
    assert found.cost.usd_per_h == 16
    prefill, decode = found.to_dict()["pools"]
    assert (prefill["role"], decode["role"], prefill["replicas"]) == ("prefill", "decode", 1)
    assert found.deployment.transfers is not None
    held = 80 * 2 * 8 * 128 * 2 * 2048
    assert found.deployment.transfers.seconds_of(2048) == pytest.approx(held / 4 / 450e9, rel=0.35)
    alone = roofline.simulate("llama-3.1-70b", "8xh100", load=2.0, requests=150, prompt=2048, generate=256, tp=4)
    assert found.outcome.times["tpot_s"].percentiles[99] < alone.outcome.times["tpot_s"].percentiles[99]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"prefill_on": "h100,h200"}, "one pool prefills"),
        ({"prefill_on": "nothing"}, "nothing"),
        ({"prefill_on": "8xl40s"}, "kv_dtype|links.scale_out"),
    ],
)
def test_pools_that_do_not_go_together_are_refused(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(RooflineError, match=problem) as refusal:
        roofline.simulate("llama-3.1-8b", "4xh100", load=1.0, requests=5, **more)
    assert "\n" not in str(refusal.value)
