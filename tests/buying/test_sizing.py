"""Comparing and sizing: targets kept, reasons told, ties by the ratio's band, the fewest units, prices of one kind."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline import Comparison, RooflineError, Sizing, compare, size
from roofline.buying.economics import ApiPrices, usd_per_million
from roofline.buying.ranking import Row
from roofline.models.model import load_model
from roofline.reports.serving.comparison import comparison_text
from roofline.serving.batch_sweep import curves
from roofline.serving.operating_points import Band, OperatingPoint, Targets, ratio_band
from roofline.serving.scenario import read_question

MODEL = load_model("llama-3.1-8b")
MIXED = "8xh100,8xmi300x,l40s,t4,h100,aws-p5-48xlarge"


def comparison(**asked: object) -> Comparison:
    return compare(MODEL, **{"hardware": MIXED, "ttft": "500 ms", "tpot": "30 ms", **asked})  # type: ignore[arg-type]


def sizing(**asked: object) -> Sizing:
    wanted = {"hardware": "h100,mi300x", "load": "50 req/s", "ttft": 0.5, "tpot": 0.03, **asked}
    return size(MODEL, **wanted)  # type: ignore[arg-type]


def point(row: Row) -> OperatingPoint:
    assert row.point is not None
    return row.point


# Comparing


def test_rows_that_qualify_meet_their_targets_and_come_first() -> None:
    rows = comparison().rows
    assert [row.qualifies for row in rows] == sorted((row.qualifies for row in rows), reverse=True)
    for row in rows:
        if row.qualifies:
            assert point(row).ttft.value <= 0.5
            assert point(row).tpot.value <= 0.03
            assert not row.misses
        else:
            assert row.misses


def test_a_larger_batch_that_fits_would_miss_or_serve_less() -> None:
    for row in comparison().rows:
        if row.point is None:
            continue
        curve = row.curve
        assert curve.state is not None
        for column, batch in enumerate(curve.state.batches):
            allowed = curve.holds[column] and curve.of("tpot_s")[column] <= 0.03 and curve.of("ttft_s")[column] <= 0.5
            if allowed:
                assert curve.of("requests_per_s")[column] * curve.replicas <= row.point.requests_per_s.value * (
                    1 + 1e-9
                )
            assert batch >= 1


def test_the_cheapest_comes_first_then_what_has_no_price() -> None:
    rows = [row for row in comparison().rows if row.qualifies]
    prices = [row.cost.mix(1.0) if row.cost else float("inf") for row in rows]
    assert prices == sorted(prices)
    (card,) = (row for row in rows if row.hardware.name == "l40s")
    assert card.cost is None
    assert "no on_demand price of l40s: it has purchase, spot" in card.no_cost


def test_a_box_costs_its_own_price_and_a_count_that_of_its_devices() -> None:
    rows = {row.hardware.name: row for row in comparison().rows}
    count, box, one = rows["8xh100-sxm-80gb"], rows["aws-p5-48xlarge"], rows["h100-sxm-80gb"]
    assert count.cost is not None
    assert box.cost is not None
    assert one.cost is not None
    assert count.cost.usd_per_h(1.0) == pytest.approx(8 * 2.71)
    assert box.cost.usd_per_h(1.0) == pytest.approx(55.04)
    assert point(count).requests_per_s.value == pytest.approx(8 * point(one).requests_per_s.value)
    assert count.cost.mix(1.0) == pytest.approx(one.cost.mix(1.0))
    assert point(box).tokens_per_s == pytest.approx(point(count).tokens_per_s)


@pytest.mark.parametrize("kind", ["on_demand", "reserved", "spot", "purchase"])
def test_kinds_of_price_are_never_mixed(kind: str) -> None:
    for row in comparison(price_kind=kind, prices="h100=1.5USD/h,t4=1USD/h").rows:
        assert row.cost is None or row.cost.offers[0].kind == kind


@settings(max_examples=20)
@given(st.floats(0.01, 100), st.floats(0.01, 1))
def test_cost_is_linear_in_price_and_in_the_inverse_of_utilisation(usd: float, used: float) -> None:
    base, found = (comparison_of_one(f"h100={price:.9f}USD/h") for price in (1.0, usd))
    for kind in ("mix", "input", "output"):
        one, other = getattr(base, kind), getattr(found, kind)
        assert other(1.0) == pytest.approx(one(1.0) * round(usd, 9))
        assert other(used) == pytest.approx(other(1.0) / used)


_ROWS: dict[str, Row] = {}


def comparison_of_one(prices: str) -> object:
    """The cost of one H100 at a price; its figures are computed once."""
    from roofline.buying.prices import read_prices
    from roofline.buying.serving_costs import serving_cost
    from roofline.buying.terms import Terms
    from roofline.program.traffic.asked import read_traffic

    row = _ROWS.setdefault("h100", comparison(hardware="h100").rows[0])
    cost, _ = serving_cost(
        row.hardware, point(row), read_traffic({"workload": "chat"}), Terms(given=read_prices(prices))
    )
    return cost


def test_input_and_output_add_up_to_what_an_hour_costs() -> None:
    (row,) = comparison(hardware="h100").rows
    assert row.cost is not None
    cost, rate = row.cost, point(row).requests_per_s.value
    hour = rate * 3600 / 1e6 * (cost.input(1.0) * cost.prompt + cost.output(1.0) * cost.generate)
    assert hour == pytest.approx(2.71)
    assert cost.mix(1.0) == pytest.approx(usd_per_million(cost.hourly, rate * (cost.prompt + cost.generate), 1.0))


def test_owned_hardware_pays_for_its_energy_and_never_for_more_than_its_tdp() -> None:
    (dear,) = comparison(hardware="h100", price_kind="purchase", power_price="1 USD/kWh", pue=2.0).rows
    (free,) = comparison(hardware="h100", price_kind="purchase", power_price=0.0).rows
    assert dear.cost is not None
    assert free.cost is not None
    assert free.cost.usd_per_h(1.0) == pytest.approx(30_000 / (4 * 8760))
    energy = dear.cost.usd_per_h(1.0) - free.cost.usd_per_h(1.0)
    assert energy == pytest.approx((point(dear).power_w or 0) / 1000 * 2.0)
    assert energy <= 0.7 * 2.0


def test_what_states_no_tdp_has_no_cost_of_owning() -> None:
    (row,) = comparison(hardware="apple-m3-ultra", price_kind="purchase", tpot=None, ttft=None).rows
    assert row.cost is None
    assert "states no TDP" in row.no_cost


def test_nothing_qualifies_and_every_row_says_why() -> None:
    result = comparison(tpot="1 ms")
    assert not result.qualifies
    assert all(row.misses for row in result.rows)
    reasons = {row.hardware.name: row.misses for row in result.rows}
    assert reasons["t4"] == (
        "does not fit: 16.7 GB of 14.5 GB; 2 devices hold it (tp 2: 8.34 GB on each) or --dtype w8a16 does (9.69 GB)",
    )
    assert reasons["h100-sxm-80gb"][0].startswith("TPOT ")


@pytest.mark.parametrize("target", ["tpot", "ttft"])
def test_what_misses_is_shown_in_the_layout_that_is_nearest(target: str) -> None:
    """No layout at one sequence is nearer: neither the one that serves the most, nor another device's."""
    rows = comparison(**{"hardware": "2xh100,2xl40s", "tpot": None, "ttft": None, target: "100 us"}).rows
    assert [row.excess for row in rows] == sorted(row.excess for row in rows)
    for row in rows:
        able = [curve for curve in curves(read_question(MODEL), [row.hardware]) if not curve.problem]
        least = min(float(curve.of(f"{target}_s")[curve.holds].min()) for curve in able)
        assert not row.qualifies
        assert getattr(point(row), target).value == pytest.approx(least, rel=1e-12)


def test_a_size_of_what_no_unit_holds_says_how_many_do() -> None:
    (miss,) = size(load_model("llama-3.1-405b"), "h100", load="1 req/s", dtype="bf16").misses
    assert "16 devices hold it (tp 16: " in miss.reasons[0]


def test_where_nothing_runs_no_price_is_said_to_be_wanting() -> None:
    result = compare(MODEL, "h100", batch=100_000)
    assert "cost" not in comparison_text(result)
    assert "no batch of 100000: " in comparison_text(result, quiet=True)


@pytest.mark.parametrize("batch", [1, 49, 113, 128, 222])
def test_any_batch_that_fits_is_answered_at_that_batch(batch: int) -> None:
    rows = compare(MODEL, "h100,2xh100", batch=batch).rows
    assert [row.point.batch for row in rows if row.point] == [batch, batch]


def test_break_even_with_an_api() -> None:
    (row,) = comparison(hardware="h100", api="1/2").rows
    assert row.cost is not None
    at = row.cost.breakeven(ApiPrices(1.0, 2.0))
    assert at is not None
    request = (row.cost.prompt * 1.0 + row.cost.generate * 2.0) / 1e6
    assert at == pytest.approx(2.71 / (point(row).requests_per_s.value * 3600 * request))
    assert row.cost.breakeven(ApiPrices(1e-6, 1e-6)) is None


# Ties


@given(st.floats(0.1, 10), st.floats(0.1, 1), st.floats(1, 10), st.floats(0.1, 1), st.floats(1, 10))
def test_the_band_of_a_ratio(value: float, low_a: float, high_a: float, low_b: float, high_b: float) -> None:
    a, b = Band(value, value * low_a, value * high_a), Band(1.0, low_b, high_b)
    ratio, inverse = ratio_band(a, b, correlated=False), ratio_band(b, a, correlated=False)
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.low == pytest.approx(1 / inverse.high)
    assert ratio.low >= a.low / b.high * (1 - 1e-9)  # never wider than the worst case
    assert ratio.high <= a.high / b.low * (1 + 1e-9)
    assert ratio.high >= value * high_a * (1 - 1e-9)  # never narrower than one of both alone


def test_devices_tie_where_the_band_of_their_ratio_holds_one() -> None:
    result = comparison(hardware="mi300x,h100", prices="mi300x=2USD/h,h100=2.2USD/h")
    first, second = result.rows
    assert second.tie
    assert not first.tie
    clear = comparison(hardware="mi300x,h100", prices="mi300x=2USD/h,h100=20USD/h")
    assert [row.tie for row in clear.rows] == [False, False]


def test_the_same_device_at_two_prices_is_told_apart() -> None:
    result = comparison(hardware="8xh100,aws-p5-48xlarge")
    assert [row.tie for row in result.rows] == [False, False]


# Sizing


def test_the_units_serve_the_load_with_headroom_and_one_less_would_not() -> None:
    for order in sizing().orders:
        each, replicas = order.capacity / order.point.replicas, order.point.replicas
        assert order.units == replicas * order.curve.devices
        assert replicas * each * 0.8 >= 50 * (1 - 1e-9)
        assert (replicas - 1) * each * 0.8 < 50
        assert order.units_low <= order.units
        assert order.units_high is None or order.units <= order.units_high
        assert order.used == pytest.approx(50 / order.capacity)
        assert order.used <= 0.8 * (1 + 1e-9)


def test_at_its_load_a_order_is_faster_than_at_its_limit() -> None:
    for order in sizing().orders:
        assert order.point.requests_per_s.value >= 50 * (1 - 1e-9)
        assert order.point.tpot.value <= 0.03
        assert order.point.ttft.value <= 0.5


def test_more_load_never_takes_fewer_units() -> None:
    units = [sizing(hardware="h100", load=load).orders[0].units for load in (0.1, 1.0, 10.0, 50.0, 51.0, 500.0)]
    assert units[0] == 1
    for less, more in pairwise(units):
        assert less <= more


def test_units_are_whole_shapes() -> None:
    order = sizing(hardware="aws-p5-48xlarge").orders[0]
    assert (order.unit, order.units, order.devices) == (8, 1, 8)
    assert order.cost is not None
    assert order.cost.usd_per_h(1.0) == pytest.approx(55.04)


def test_orders_are_sorted_by_price_where_all_have_one() -> None:
    first, second, *_ = sizing().orders
    assert first.cost is not None
    assert second.cost is not None
    assert first.cost.usd_per_h(1.0) <= second.cost.usd_per_h(1.0)
    devices = [order.devices for order in sizing(hardware="h100,l40s").orders]  # the card has no price on demand
    assert devices == sorted(devices)


def test_a_miss_is_told_the_nearest_first() -> None:
    result = sizing(hardware="h100,mi300x,t4", tpot="1 ms")
    assert not result.qualifies
    assert [miss.hardware.name for miss in result.misses] == ["h100-sxm-80gb", "mi300x", "t4"]
    assert [miss.excess for miss in result.misses] == sorted(miss.excess for miss in result.misses)


def test_a_model_that_one_device_does_not_hold_is_split() -> None:
    result = size("llama-3.1-70b", "h100,mi300x", load="20 req/s", tpot="40 ms")
    best = result.orders[0]
    assert best.curve.layout.startswith("tp")
    assert best.units == best.point.replicas * best.curve.devices
    assert result.misses == ()
    (box,) = compare("llama-3.1-70b", "8xh100", tpot="40 ms").rows
    assert point(box).devices == 8
    assert box.qualifies


# What is refused


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"hardware": ""}, "a name is empty"),
        ({"hardware": "h100,,t4"}, "a name is empty"),
        ({"hardware": []}, "no hardware to compare"),
        ({"hardware": "nothing"}, "unknown hardware"),
        ({"ttft": "0 s"}, "a time above 0"),
        ({"ttft": "5 GB"}, "is a size"),
        ({"tpot": float("nan")}, "a time above 0"),
        ({"set": {"engine.chunk": -1}}, "chunk.default: given -1, expected at least 0"),
        ({"set": {"engine.memory_share": 1.5}}, "memory_share: given 1.5, expected at most 1"),
        ({"engine": "tensorrt"}, "tensorrt serves encoders, and this network has decoders"),
        ({"engine": "vlm"}, "unknown engine 'vlm'; did you mean vllm"),
        ({"utilization": "0"}, "above 0 to 1"),
        ({"utilization": "0.5,x"}, "expected 0.25,0.5,1"),
        ({"utilization": []}, "no utilization"),
        ({"api": "1"}, "expected IN/OUT"),
        ({"api": "-1/2"}, "zero or more USD"),
        ({"price_kind": "rent"}, "--price-kind"),
        ({"prices": "h100=-1USD/h"}, "is negative"),
        ({"pue": 0.5}, "PUE 0.5"),
        ({"years": 0}, "years 0"),
        ({"power_price": "1 USD"}, "a sum of money"),
        ({"workload": "games"}, "workload"),
        ({"dtype": "fp9"}, 'dtype "fp9" is not known'),
    ],
)  # fmt: skip
def test_bad_questions_are_refused_in_one_line(asked: dict[str, object], told: str) -> None:
    with pytest.raises(RooflineError) as caught:
        comparison(**asked)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("load", ["0 req/s", "-1 req/s", "50", float("inf"), -1.0, 0.0])
def test_a_senseless_load_is_refused(load: object) -> None:
    with pytest.raises(RooflineError):
        sizing(load=load)


@pytest.mark.parametrize("headroom", [-0.1, 1.0])
def test_a_senseless_headroom_is_refused(headroom: float) -> None:
    with pytest.raises(RooflineError, match="from 0 to below 1"):
        sizing(headroom=headroom)


def test_targets_in_words() -> None:
    targets = Targets.means(0.5, 0.03)
    assert targets.misses(0.6, 0.02) == ["TTFT 600 ms > 500 ms"]
    assert float(targets.excess(0.6, 0.06)) == pytest.approx(2.0)
    assert float(Targets().excess(9.0, 9.0)) == 0.0
