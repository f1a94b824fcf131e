"""Sizing by percentiles: targets are kept, fewer units would not keep them, and one replica stands for all."""

from __future__ import annotations

from functools import cache

import pytest

import roofline
from roofline import RooflineError, Sizing, size
from roofline.buying.percentile_sizing import Asked, fewest_that
from roofline.reports.serving.sizing import sizing_text
from roofline.serving.operating_points import Targets
from roofline.serving.scenario import read_question

MODEL = roofline.load_model("llama-3.1-8b")
SHORT = {"prompt": 512, "generate": "32/64/96"}


def sizing(**asked: object) -> Sizing:
    return size(MODEL, "h100", **{**SHORT, "load": 120, "ttft": "p95:60ms", **asked})  # type: ignore[arg-type]


@cache
def usual() -> Sizing:
    return sizing()


def test_percentiles_are_kept_and_fewer_units_would_not_keep_them() -> None:
    (order,) = usual().orders
    assert order.simulated is not None
    reached = order.simulated.reached.ttft
    assert reached is not None
    assert (reached.percentile, usual().load.headroom) == (95, 0.0)
    assert reached.time_s == pytest.approx(order.simulated.outcome.times["ttft_s"].percentiles[95])
    assert reached.time_s <= 0.06
    fewer = roofline.simulate(MODEL, f"{order.units - 1}xh100", load=120, tp=1, requests=1500, **SHORT)  # type: ignore[arg-type]
    assert order.units > 1
    assert fewer.outcome.times["ttft_s"].percentiles[95] > 0.06
    assert order.units_low <= order.units <= (order.units_high or order.units)


def test_one_replica_waits_as_all_of_them_do() -> None:
    (order,) = usual().orders
    assert order.simulated is not None
    whole = roofline.simulate(MODEL, f"{order.units}xh100", load=120, tp=1, requests=3000, **SHORT)  # type: ignore[arg-type]
    for name in ("ttft_s", "tpot_s"):
        own, other = order.simulated.outcome.times[name], whole.outcome.times[name]
        assert own.mean == pytest.approx(other.mean, rel=0.05)
        assert own.percentiles[95] == pytest.approx(other.percentiles[95], rel=0.15)


def test_speculation_is_in_the_percentiles() -> None:
    (order,) = sizing(speculate="3:0.9,0.7,0.5").orders
    (plain,) = usual().orders
    assert order.simulated is not None
    assert plain.simulated is not None
    assert order.units <= plain.units
    own, other = (each.simulated.outcome.times["tpot_s"].percentiles[95] for each in (order, plain))
    assert own < other


def test_sessions_that_begin_at_a_rate_are_simulated_until_they_end_at_it() -> None:
    """The first thousand turns are of a dozen sessions, in a cache that is still empty."""
    chat, agents = (
        Asked(read_question(MODEL, workload=name), usual().load, usual().targets, usual().terms)
        for name in ("chat", "agent")
    )
    assert (chat.requests(1.0), agents.requests(1.0)) == (1000, 8000)


def test_tiers_below_a_replica_are_simulated() -> None:
    asked = {"workload": "agent", "concurrency": 2, "ttft": "p95:10s"}
    (order,) = size(MODEL, "h100", offload="kv=100GB+remote:1TB", **asked).orders  # type: ignore[arg-type]
    assert order.simulated is not None
    assert [tier.name for tier in order.simulated.outcome.tiers] == ["host", "remote"]
    with pytest.raises(RooflineError, match="is no tier"):
        size(MODEL, "h100", offload="kv=tape:1TB", **asked)  # type: ignore[arg-type]


@pytest.mark.slow
def test_pools_keep_percentiles_that_a_simulation_of_them_has() -> None:
    asked = {"prompt": 1500, "generate": 12, "load": 45}
    found = size(MODEL, "h100", **asked, ttft="p95:60ms", tpot="p95:9ms", pools=True)  # type: ignore[arg-type]
    (order,) = (each for each in found.orders if each.curve.pools)
    assert order.simulated is not None
    assert order.curve.pools is not None
    reached = order.simulated.reached
    assert reached.ttft_s is not None
    assert reached.tpot_s is not None
    assert (reached.ttft_s <= 0.06, reached.tpot_s <= 0.009) == (True, True)
    counts = [pool.replicas for pool in (order.curve.pools.prefill, order.curve.pools.decode)]
    assert sum(counts) == order.units

    def ttft(prefill: int, decode: int) -> float:
        own = roofline.simulate(MODEL, f"{decode}xh100", prefill_on=f"{prefill}xh100", tp=1, requests=1000,
                                router="least-loaded", **asked)  # type: ignore[arg-type]  # fmt: skip
        return own.outcome.times["ttft_s"].percentiles[95]

    assert ttft(counts[0], counts[1]) == pytest.approx(reached.ttft_s)
    assert counts[0] > 1
    assert ttft(counts[0] - 1, counts[1]) > 0.06
    assert "prefill" in sizing_text(found, quiet=False)


def test_the_verdict_names_the_statistic() -> None:
    text = sizing_text(usual(), quiet=True)
    assert "targets: p95 TTFT <= 60.0 ms; load 120 req/s, no capacity kept free" in text
    assert "at this load p95 TTFT" in text
    told = usual().to_dict()
    assert (told["inputs"]["ttft_s"], told["inputs"]["ttft_percentile"]) == (0.06, 95)
    assert told["choice"]["simulated"]["ttft_s"]["p95"] <= 0.06


def test_what_nobody_keeps_even_alone_is_a_miss() -> None:
    missed = sizing(load=1, ttft="p95:1ms", generate=2)
    assert not missed.qualifies
    assert missed.misses[0].reasons[0].startswith("p95 TTFT ")


def test_clients_that_wait_take_a_replica_as_soon_as_targets_are_loose() -> None:
    (order,) = sizing(load=None, concurrency=4, ttft="p95:10s", generate=4).orders
    assert order.units == 1


@pytest.mark.parametrize("first", [1, 2, 17, 40])
def test_the_fewest_that_keep_something_are_found(first: int) -> None:
    assert first <= (fewest_that(lambda units: units >= first, 1, 64) or 0) <= 1.03 * first
    assert fewest_that(lambda units: units >= first + 64, 1, 64) is None


def test_a_mean_may_be_called_so() -> None:
    assert Targets.of({"ttft": "mean:500ms", "tpot": 0.03}) == Targets.means(0.5, 0.03)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"ttft": "p100:1s"}, r'ttft "p100": expected the mean, or a percentile from p1 to p99\.9'),
        ({"ttft": "95:1s"}, 'ttft "95": expected the mean'),
        ({"ttft": "p95:1"}, "has no unit"),
        ({"offload": "kv=1TB"}, "offload: what requests share is known of workload agent"),
        ({"offload": "kv=1TB", "ttft": "1s"}, "offload: what tiers hold is simulated; ask for percentiles"),
        ({"headroom": 0.2}, "headroom 0.2: percentiles have the queues in them"),
        ({"pools": True, "load": None, "concurrency": 20}, "pools are sized for requests that arrive"),
    ],
)
def test_what_is_not_simulated_is_refused(asked: dict[str, object], words: str) -> None:
    with pytest.raises(RooflineError, match=words):
        sizing(**asked)


def test_compare_knows_means_alone() -> None:
    with pytest.raises(RooflineError, match=r"targets p95 TTFT <= 500 ms: compare answers with means"):
        roofline.compare(MODEL, "h100", ttft="p95:500ms")
