"""What is bought: boxes as they are sold, chassis around cards, sums to pay, and when an API has cost as much."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline import RooflineError, Sizing, compare, size
from roofline.buying.economics import ApiPrices
from roofline.buying.prices import in_chassis, offers_of, read_prices
from roofline.buying.serving_costs import ServingCost
from roofline.errors import UsageError
from roofline.hardware.fields import WAYS
from roofline.hardware.loading import load_hardware
from roofline.hardware.systems import System
from roofline.models.model import load_model
from roofline.reports.serving.comparison import comparison_text
from roofline.serving.hardware_choice import boxed_by_maker, read_hardware

MODEL = load_model("llama-3.1-8b")
HOURS = 4 * 8760


def bought(hardware: str, **asked: object) -> Sizing:
    return size(MODEL, hardware, price_kind="purchase", **{"load": 50, "tpot": 0.03, **asked})  # type: ignore[arg-type]


def cost_of(sizing: Sizing, place: int = 0) -> ServingCost:
    cost = sizing.orders[place].cost
    assert cost is not None
    return cost


def test_modules_are_bought_in_the_boxes_of_their_maker_and_cards_by_themselves() -> None:
    found = bought("h100,l40s").orders
    assert {(order.hardware.name, order.unit) for order in found} == {("hgx-h100", 8), ("l40s", 1)}
    assert all(order.devices == order.units * order.unit for order in found)
    assert {order.hardware.name for order in bought("h100,hgx-h100").orders} == {"hgx-h100"}
    assert {order.unit for order in bought("4xh100").orders} == {4}
    assert {order.unit for order in size(MODEL, "h100", load=50, tpot=0.03).orders} == {1}


def test_all_is_what_one_can_have_that_way() -> None:
    rented, owned = ({each.name: each for each in read_hardware(["all"], way=way)} for way in WAYS)
    assert {*rented} > {*owned}
    assert all("purchase" not in rented[name].device.offered for name in {*rented} - {*owned})
    boxes = [boxed_by_maker(each).sold for each in owned.values()]
    assert sum(isinstance(box, System) for box in boxes) > 5
    assert all(box.had_by("purchase") for box in boxes)


def test_a_box_without_a_price_costs_its_devices_and_a_chassis_for_each_eight() -> None:
    bare, housed = (bought("h100", chassis=price) for price in (0, "15kUSD"))
    for order, other in zip(bare.orders, housed.orders, strict=True):
        assert order.cost is not None
        assert other.cost is not None
        assert order.cost.to_pay_usd(4) == order.devices * 30_000
        assert other.cost.to_pay_usd(4) == order.devices * 30_000 + order.units * 15_000
        assert "the device alone, without chassis, CPUs and network" in order.cost.offers[0].words()
        assert "chassis, CPUs and network 15,000 USD for each 8" in other.cost.offers[0].words()
    box = cost_of(bought("gaudi3", chassis="15kUSD"))
    assert box.to_pay_usd(4) == 125_000
    assert "alone" not in box.offers[0].words()


@pytest.mark.parametrize(("name", "usd", "words"), [
    ("dgx-spark", 3999, "a whole machine"), ("jetson-agx-orin-64gb", 2000, "developer kit, a whole machine"),
    ("gb200-186gb", 42_000, "of a rack, its share of the box that alone is sold"),
])  # fmt: skip
def test_a_machine_and_a_share_of_a_box_need_no_chassis(name: str, usd: float, words: str) -> None:
    spec = load_hardware(name)
    (offer,) = [in_chassis(each, spec, 15_000.0) for each in offers_of(spec) if each.kind == "purchase"]
    assert offer.total_usd(1) == usd
    assert words in offer.words()
    assert "alone, without" not in offer.words()


@pytest.mark.parametrize(("name", "usd", "devices"), [("hgx-h100", 310_000, 8), ("h100", 31_000, 1)])
def test_a_price_is_that_of_what_it_names(tmp_path: Path, name: str, usd: int, devices: int) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"prices: [{{hardware: {name}, kind: purchase, value: {usd} USD, date: '2026', source: quote}}]")
    for prices in (f"{name}={usd}USD", str(path)):
        (offer,) = read_prices(prices)
        assert (offer.usd, offer.devices) == (usd, devices)
        assert cost_of(bought("h100", prices=prices)).to_pay_usd(4) == usd * 8 / devices
    (rent,) = read_prices("aws-p5-48xlarge=55USD/h")
    assert (rent.usd, rent.devices) == (55, 8)


def test_of_as_many_devices_one_whose_cost_is_not_known_comes_last() -> None:
    found = bought("m4-max,rtx-5090", load=0.1, tpot=0.1).orders
    assert [str(order.curve.who) for order in found if order.devices == 1] == ["rtx-5090", "apple-m4-max"]
    assert found[1].cost is None


def test_an_api_has_cost_as_much_when_it_pays_off() -> None:
    cost, api = cost_of(bought("h100", hosting="0.1USD/h")), ApiPrices(0.1, 0.3)
    years, charged = cost.pays_after(api, 4), cost.api_usd_per_h(api)
    assert years is not None
    running = (cost.total_usd(4) - cost.to_pay_usd(4)) / HOURS
    assert years * 8760 * charged == pytest.approx(cost.to_pay_usd(4) + years * 8760 * running)
    assert charged == pytest.approx(3600 * cost.requests_per_s * (cost.prompt * 0.1 + cost.generate * 0.3) / 1e6)
    used = cost.breakeven(api)
    assert used is not None
    assert cost.usd_per_h(used) == pytest.approx(charged * used)
    assert cost.pays_after(ApiPrices(1e-6, 1e-6), 4) is None
    (rent, *_) = size(MODEL, "h100", load=50, api=(0.1, 0.3)).orders
    assert rent.cost is not None
    assert rent.cost.pays_after(api, 4) == 0.0


def test_an_api_charges_cached_input_at_its_own_price() -> None:
    asked = {"tpot": 0.03, "prompt": 1000, "generate": 100, "prefix_hits": 0.8}
    plain, cached = (compare(MODEL, "h100", api=api, **asked) for api in ("1/2", "1/0.1/2"))
    for found, mean in ((plain, 1.0), (cached, 0.8 * 0.1 + 0.2)):
        cost = found.rows[0].to_dict(found.terms)["cost"]
        assert found.rows[0].cost is not None
        assert cost["api_usd_per_h"] == pytest.approx(3600 * found.rows[0].cost.requests_per_s * (mean + 0.2) * 1e-3)
    told = "the API charges 80% of the prompt tokens, those that a prefix cache holds, "
    assert f"{told}in full (--api IN/CACHED/OUT)" in comparison_text(plain)
    assert f"{told}at its price of cached input" in comparison_text(cached)
    assert cached.to_dict()["inputs"]["api_cached_usd_per_million"] == 0.1
    with pytest.raises(UsageError, match=r"api .1.: expected IN/OUT or IN/CACHED/OUT"):
        compare(MODEL, "h100", api="1", **asked)


def test_prompts_pay_for_the_time_that_they_add() -> None:
    (row,) = compare(MODEL, "h100", tpot=0.03).rows
    cost = row.cost
    assert cost is not None
    tokens_per_h = 3600 * cost.requests_per_s / 1e6
    assert cost.input(1.0) * cost.prompt * tokens_per_h == pytest.approx(cost.usd_per_h(1.0) * cost.input_part)
    assert cost.output(1.0) * cost.generate * tokens_per_h == pytest.approx(cost.usd_per_h(1.0) * (1 - cost.input_part))


@pytest.mark.parametrize("chassis", ["15kW", -1, "15 USD/h"])
def test_a_chassis_has_a_price(chassis: object) -> None:
    with pytest.raises(RooflineError, match="chassis"):
        bought("h100", chassis=chassis)
