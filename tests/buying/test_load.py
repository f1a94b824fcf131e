"""Loads in buyers' words: users, what is in flight, budgets and power; each by the value that it must have."""

from __future__ import annotations

from itertools import pairwise, permutations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline import RooflineError, Sizing, compare, size
from roofline.buying.load import SELDOM, InFlight
from roofline.models.model import load_model
from roofline.reports.serving.sizing import sizing_text

MODEL = load_model("llama-3.1-8b")


def sizing(**asked: object) -> Sizing:
    return size(MODEL, **{"hardware": "h100,l40s", "tpot": 0.03, **asked})  # type: ignore[arg-type]


@given(st.integers(1, 200), st.floats(0.01, 0.99))
def test_users_exceed_what_is_sized_for_in_a_twentieth_of_all_moments(users: int, activity: float) -> None:
    def more_than(many: int) -> float:
        return sum(comb(users, k) * activity**k * (1 - activity) ** (users - k) for k in range(many + 1, users + 1))

    found = InFlight.of_users(users, activity).requests
    assert more_than(found) <= SELDOM + 1e-9
    assert found == 1 or more_than(found - 1) > SELDOM - 1e-9


def test_what_is_in_flight_is_the_rate_times_the_time_of_a_request() -> None:
    for order in sizing(concurrency=300).orders:
        point = order.point
        request_s = point.ttft.value + (order.curve.generated - 1) * point.tpot.value
        held = point.requests_per_s.value * request_s
        assert held >= 300 * (1 - 1e-9)
        one = point.replicas * order.curve.groups
        assert held / one < 300 / one + 4  # batches of a group are 3 % apart, or one
        assert order.used == pytest.approx(300 / order.most)
        assert order.point.tpot.value <= 0.03


def test_fewer_units_would_hold_fewer_than_are_in_flight() -> None:
    for order in sizing(concurrency=1000).orders:
        if order.unit == order.curve.devices:
            assert order.most * (order.units - 1) / order.units < 1000 <= order.most * (1 + 1e-9)


def test_more_in_flight_never_takes_fewer_units() -> None:
    units = [{o.curve.layout: o.units for o in sizing(hardware="h100", concurrency=n).orders} for n in (99, 700, 2500)]
    for few, many in pairwise(units):
        assert min(few.values()) <= min(many.values())
        assert all(few[layout] <= many[layout] for layout in few.keys() & many.keys())


def test_no_layout_is_ordered_that_another_of_the_same_hardware_beats_in_all() -> None:
    """Neither dearer and slower in both times, nor as dear, as slow and serving less."""
    for one, other in permutations(sizing(load=50).orders, 2):
        if one.curve.who == other.curve.who:
            faster = one.point.ttft.value <= other.point.ttft.value and one.point.tpot.value <= other.point.tpot.value
            assert not (faster and one.devices < other.devices)
            assert not (faster and one.devices == other.devices and one.most >= other.most)


def test_headroom_is_what_is_asked_for_and_none_is_kept_where_requests_wait_for_answers() -> None:
    assert sizing(load=50).load.headroom == 0.2
    assert sizing(concurrency=500).load.headroom == 0.0
    free, kept = (sizing(hardware="h100", concurrency=1000, headroom=h).orders[0] for h in (0.0, 0.5))
    assert kept.units == pytest.approx(2 * free.units, abs=1)


def test_an_order_within_its_budget_costs_at_most_that_and_what_exceeds_it_says_what_it_buys() -> None:
    asked = {"load": 50, "price_kind": "purchase", "hardware": "l40s,rtx-4090"}
    free = sizing(**asked)
    costs = sorted(order.cost.to_pay_usd(4.0) for order in free.orders if order.cost)
    assert costs[0] == free.orders[0].units * 1600
    middle = (costs[0] + costs[-1]) / 2
    limited = sizing(**asked, budget=middle)
    assert [o.units for o in limited.orders] == [
        o.units for o in free.orders if o.cost and o.cost.to_pay_usd(4) <= middle
    ]
    exact = sizing(**asked, budget=f"{costs[0]}USD")
    assert exact.orders[0].units == free.orders[0].units
    none = sizing(**asked, budget=f"{costs[0] / 2}USD")
    assert not none.qualifies
    reasons = {str(miss.who): miss.reasons[0] for miss in none.misses}
    rented = sizing(load=50, hardware="l40s,rtx-4090", price_kind="on_demand", budget="1kUSD")
    told = sizing_text(rented)
    assert "to rent for 4 years > 1,000 USD" in told
    assert "for 4 years of rent (--years)" in told
    units, most = free.orders[0].units, free.orders[0].most
    half, replicas = units // 2, free.orders[0].point.replicas
    serves = most * (half * replicas // units) / replicas * 0.8  # whole ones
    assert reasons["rtx-4090"] == (
        f"{units} units cost {units * 1600:,} USD > {units * 800:,} USD, {half} units serve {serves:.3g} req/s of 50"
    )


def test_rents_are_paid_over_the_years_and_budgets_may_be_those_of_an_hour() -> None:
    (order, *_) = sizing(load=50, hardware="h100", years=2).orders
    assert order.cost is not None
    assert order.cost.to_pay_usd(2) == pytest.approx(order.devices * 2.71 * 8760 * 2)
    assert order.cost.total_usd(2) == order.cost.to_pay_usd(2)
    assert not sizing(load=50, hardware="h100", budget="8USD/h").qualifies
    assert sizing(load=50, hardware="h100", budget="9USD/h").orders[0].units == 3


def test_owning_costs_the_purchase_and_its_energy() -> None:
    (order, *_) = sizing(load=50, hardware="h100", price_kind="purchase", hosting="0.1USD/h").orders
    assert order.cost is not None
    assert order.point.power_w is not None
    energy = order.point.power_w / 1000 * 1.3 * 0.12 + order.devices * 0.1
    assert order.cost.total_usd(4) == pytest.approx(order.devices * 30_000 + energy * 8760 * 4)


def test_power_is_that_of_the_site_with_all_devices_at_their_tdp() -> None:
    free = sizing(load=50, pue=1.5)
    for order in free.orders:
        tdp = {"h100-sxm-80gb": 700, "l40s": 350}[order.hardware.device.name]
        assert order.all_in_w(1.5) == pytest.approx(tdp * order.devices * 1.5)
    limited = sizing(load=50, pue=1.5, power="4.3kW")
    within = [order.devices for order in free.orders if order.all_in_w(1.5) <= 4300]
    assert 0 < len(within) < len(free.orders)
    assert [order.devices for order in limited.orders] == within
    assert any("draw" in reason for miss in limited.misses for reason in miss.reasons)


def test_tokens_per_kwh_are_what_the_energy_of_an_hour_generates() -> None:
    (row,) = compare(MODEL, "h100", tpot=0.03, pue=1.2).rows
    assert row.point is not None
    assert row.point.power_w is not None
    kilowatts = row.point.power_w * 1.2 / 1000
    assert row.point.tokens_per_kwh(1.2) == pytest.approx(row.point.tokens_per_s * 3600 / kilowatts)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "load is missing"),
        ({"load": 5, "users": 30}, "not load and users"),
        ({"concurrency": 0}, "concurrency 0: expected a whole number"),
        ({"users": 1.5}, "users 1.5: expected a whole number"),
        ({"users": 30, "activity": 0}, "activity 0: expected the part of the time"),
        ({"load": 5, "activity": 0.2}, "it is that of users"),
        ({"load": 5, "budget": "150kW"}, 'budget "150kW": expected a sum such as 150kUSD, or a rent'),
        ({"load": 5, "budget": -1}, "budget -1: expected one above 0"),
        ({"load": 5, "power": "40kUSD"}, "power: "),
        ({"concurrency": 5, "pools": True}, "pools are sized for requests that arrive"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(asked: dict[str, object], words: str) -> None:
    with pytest.raises(RooflineError, match=words.replace(".", r"\.")) as refused:
        sizing(**asked)
    assert "\n" not in str(refused.value)
