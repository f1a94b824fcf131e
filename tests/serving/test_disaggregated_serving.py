"""Prefill and decode on devices of their own: against predictions, against arithmetic, and laws of pools and links."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import question
from shell import invoked as run

from roofline import compare, predict, size
from roofline.buying.prices import Offer
from roofline.buying.serving_costs import cost_of_both
from roofline.buying.sizing import Order, Sizing
from roofline.buying.terms import Terms
from roofline.calibration.constants import Provenance
from roofline.calibration.provenance import constants_of
from roofline.cost.kv_cache import cache_bytes
from roofline.engines.library import load_engine
from roofline.errors import RooflineError, WorkloadError
from roofline.hardware.fields import Link
from roofline.models.model import load_model
from roofline.number import exact
from roofline.program.phases import Phase
from roofline.program.traffic.asked import read_traffic
from roofline.program.traffic.traffic import Traffic, fixed
from roofline.serving.batch_sweep import curves
from roofline.serving.curve import Curve, Pools
from roofline.serving.disaggregated_serving import Pair, best_split, joined, pair_of, pooled_curves, splits, watts
from roofline.serving.hardware_choice import Hardware, growing, read_hardware
from roofline.serving.kv_cache_transfer import End, hand_over
from roofline.serving.operating_points import OperatingPoint, Targets, point_at

MODEL = load_model("llama-3.1-8b")
ONE = Traffic("one", fixed(1024), fixed(129))
NONE = Targets()


@cache
def of_role(
    only: Phase | None,
    hardware: str = "h100",
    traffic: Traffic = ONE,
    model: str = "",
    chunk: int | None = None,
    waiting: bool = False,
    **asked: object,
) -> dict[str, Curve]:
    """The curves of one pool by layout; ``waiting``: of an engine whose host is not ahead of the device."""
    asked |= {} if chunk is None else {"set": {"engine.chunk": chunk}}
    asked |= {"set": {"engine.host_ahead": False}} if waiting else {}
    asking = question(load_model(model) if model else MODEL, traffic, only, **asked)
    return {curve.layout: curve for curve in curves(asking, read_hardware([hardware]))}


@cache
def pair(hardware: str = "h100", traffic: Traffic = ONE, devices: int = 2, **asked: object) -> Pair:
    first, then = (of_role(role, hardware, traffic, **asked)["one device"] for role in (Phase.PREFILL, Phase.DECODE))
    return pair_of(first, then, devices)


@cache
def sizing(**asked: object) -> Sizing:
    wanted = {"hardware": "h100,mi300x", "load": "50 req/s", "ttft": 0.5, "tpot": 0.015, "pools": True, **asked}
    return size(MODEL, **wanted)  # type: ignore[arg-type]


def pooled(result: Sizing) -> list[Order]:
    return [order for order in result.orders if order.curve.pools]


def pools_of(curve: Curve) -> Pools:
    assert curve.pools is not None
    return curve.pools


# Each pool by itself


def test_one_prompt_and_one_sequence_are_predictions() -> None:
    asked = predict("llama-3.1-8b", "h100", prompt=1024, generate=129)
    first, then = of_role(Phase.PREFILL)["one device"], of_role(Phase.DECODE)["one device"]
    assert first.of("tpot_s")[0] == pytest.approx(asked.ttft_s, rel=1e-6)
    assert first.of("ttft_s")[0] == pytest.approx(1.5 * (asked.ttft_s or 0), rel=1e-6)
    assert first.of("requests_per_s")[0] == pytest.approx(1 / (asked.ttft_s or 0), rel=1e-6)
    assert then.of("tpot_s")[0] == pytest.approx(asked.tpot_s, rel=1e-4)
    assert then.of("requests_per_s")[0] == pytest.approx(1 / (128 * (asked.tpot_s or 0)), rel=1e-4)


def test_several_prompts_at_once_are_a_prediction_of_that_batch() -> None:
    first = of_role(Phase.PREFILL)["one device"]
    assert first.state is not None
    for column in (1, 3):
        batch = int(first.state.batches[column])
        asked = predict("llama-3.1-8b", "h100", prompt=1024, batch=batch, generate=129, phase="prefill").ttft_s
        assert first.of("tpot_s")[column] == pytest.approx(asked, rel=1e-6)
        assert first.of("requests_per_s")[column] == pytest.approx(batch / (asked or 0), rel=1e-6)


def test_lengths_of_prompts_count_as_often_as_they_come() -> None:
    mixed = Traffic("m", replace(fixed(512), tokens=(512, 2048), weights=(0.25, 0.75)), fixed(129))
    short, long = (
        of_role(Phase.PREFILL, traffic=Traffic("t", fixed(n), fixed(129)))["one device"] for n in (512, 2048)
    )
    both = of_role(Phase.PREFILL, traffic=mixed)["one device"]
    assert both.of("tpot_s") == pytest.approx(0.25 * short.of("tpot_s") + 0.75 * long.of("tpot_s"))


@pytest.mark.parametrize("name", ["chat", "code-completion", "summarise", "rag", "batch"])
@pytest.mark.parametrize("chunk", [0, 2048])
def test_decoding_alone_is_never_slower_than_mixed_steps_at_the_same_batch(name: str, chunk: int) -> None:
    traffic = read_traffic({"workload": name})
    alone = of_role(Phase.DECODE, "8xh100", traffic)
    for layout, mixed in of_role(None, "8xh100", traffic, chunk=chunk).items():
        assert mixed.state is not None
        state = alone[layout].state
        assert state is not None
        shared = np.isin(mixed.state.batches, state.batches)
        kept = np.isin(state.batches, mixed.state.batches)
        assert (alone[layout].of("tpot_s")[kept] <= mixed.of("tpot_s")[shared] * (1 + 1e-12)).all()


def test_a_pool_that_decodes_has_room_for_no_fewer_sequences() -> None:
    mixed, alone = of_role("both")["one device"], of_role(Phase.DECODE)["one device"]
    assert (alone.most or 0) >= (mixed.most or 0) > 0


def test_memory_of_prefill_as_arithmetic() -> None:
    """llama-3.1-8b in bf16: 2 x 32 layers x 8 heads x 128 x 2 B = 131,072 B of cache per token, there twice."""
    from roofline.program.workload import Precision
    from roofline.serving.occupancy import prefill_occupancy

    held = prefill_occupancy(MODEL.program(), Precision("bf16", "bf16", "bf16"), ONE)
    assert held.weights == 2 * 8_030_261_248
    assert held.prompt == 131_072 * 1024
    assert held.each >= 2 * held.prompt
    assert held.longest == pytest.approx(held.each, rel=0.5)


def test_drafts_read_prompts_too_and_their_caches_are_handed_over() -> None:
    for role in (Phase.PREFILL, Phase.DECODE):
        plain, drafted = (
            of_role(role, waiting=True)["one device"],
            of_role(role, speculate="4:0.7", draft="llama-3.2-1b", waiting=True)["one device"],
        )
        own = of_role(role, model="llama-3.2-1b", waiting=True)["one device"]
        assert drafted.prompt_cache == plain.prompt_cache + own.prompt_cache
        if role == Phase.PREFILL:
            assert plain.state is not None
            host = load_engine("vllm").host_s(plain.state.batches)  # once, of a step that the draft is in
            assert drafted.of("tpot_s") == pytest.approx(plain.of("tpot_s") + own.of("tpot_s") - host)


# The hand-over


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-8b", "mixtral-8x7b", "gemma-2-9b", "mamba-2.8b"])
@pytest.mark.parametrize("layout", ["one device", "tp 8"])
def test_what_is_handed_over_is_the_cache_of_the_prompt(model: str, layout: str) -> None:
    found = of_role(Phase.DECODE, "8xh100", model=model)
    if layout not in found:
        pytest.skip(f"{model} is not split by eight")
    then, program = found[layout], load_model(model).program()
    assert then.recipe is not None
    sizes = {name: exact(size) for name, size in {**program.sizes, "B": 1, "T": 1, "S": 1024}.items()}
    whole = float(cache_bytes(program, sizes, then.recipe.precision))
    (hardware,) = read_hardware(["8xh100"])
    end = End(hardware.fleet, hardware.device, constants_of(hardware.device), then.devices)
    handed = hand_over(then.prompt_cache, end, end, np.array([1.0]), 16)
    assert handed.bytes == pytest.approx(whole)


def test_what_several_devices_hold_is_sent_to_each() -> None:
    """A latent cache has no heads to split."""
    one, eight = (
        of_role(Phase.DECODE, "8xh200", model="deepseek-v2-lite")[layout] for layout in ("one device", "tp 8")
    )
    assert eight.prompt_cache == one.prompt_cache


def ends(devices: int = 1, rate: float | None = None, constants: Provenance | None = None) -> End:
    (hardware,) = read_hardware(["h100"])
    if rate is not None:
        links = {
            name: Link.model_construct(bandwidth_per_direction=rate, domain=8) for name in ("scale_up", "scale_out")
        }
        fleet = replace(hardware.fleet, links=links)
        hardware = replace(hardware, fleet=fleet)
    return End(hardware.fleet, hardware.device, constants_of(hardware.device, constants), devices)


@pytest.mark.parametrize("devices", [8, 9])
def test_a_link_without_end_takes_no_time(devices: int) -> None:
    end = ends(rate=1e30, constants="datasheet")
    handed = hand_over(1e9, end, end, np.array([1.0, 8.0]), devices)
    assert handed.time_s == pytest.approx([0, 0], abs=1e-15)


@pytest.mark.parametrize(("devices", "link", "rate"), [(8, "scale-up", 450e9), (9, "scale-out", 50e9)])
def test_the_link_is_that_of_the_box_where_both_pools_lie_in_one(devices: int, link: str, rate: float) -> None:
    end = ends(constants="datasheet")
    handed = hand_over(1e9, end, end, np.array([1.0, 8.0]), devices)
    assert handed.link == link
    assert handed.time_s == pytest.approx([1e9 / rate, 8e9 / rate])
    shipped = ends()
    slower = hand_over(1e9, shipped, shipped, np.array([1.0, 8.0]), devices)
    assert (slower.time_s > handed.time_s).all()
    assert (slower.low < 1).all()
    assert (slower.high > 1).all()


def test_the_side_with_fewer_devices_is_the_slower_one() -> None:
    one, four = ends(1, constants="datasheet"), ends(4, constants="datasheet")
    for sender, receiver, part in ((one, four, 0.25e9), (four, one, 1e9), (one, one, 1e9)):
        assert hand_over(part, sender, receiver, np.array([1.0]), 9).time_s == pytest.approx([1e9 / 50e9])
    assert hand_over(0.25e9, four, four, np.array([1.0]), 9).time_s == pytest.approx([0.25e9 / 50e9])


def test_two_kinds_of_hardware_talk_over_the_slower_network() -> None:
    (card,) = read_hardware(["a100-sxm-80gb"])
    old = End(card.fleet, card.device, constants_of(card.device, "datasheet"), 1)
    handed = hand_over(1e9, ends(constants="datasheet"), old, np.array([1.0]), 2)
    assert (handed.link, handed.time_s[0]) == ("scale-out", pytest.approx(1e9 / 25e9))


def test_without_a_link_there_is_no_hand_over() -> None:
    (card,) = read_hardware(["l40s"])
    end = End(card.fleet, card.device, constants_of(card.device), 1)
    assert hand_over(1e9, end, end, np.array([1.0]), 8).link == "host"
    with pytest.raises(WorkloadError, match="no link hands caches over between boxes of l40s"):
        hand_over(1e9, end, end, np.array([1.0]), 9)
    (pair,) = read_hardware(["a100-pcie-80gb"])
    bridged = End(pair.fleet, pair.device, constants_of(pair.device), 1)
    links = [hand_over(1e9, bridged, bridged, np.array([1.0]), devices).link for devices in (2, 4)]
    assert links == ["scale-up", "host"]


def test_caches_of_two_dtypes_are_not_handed_over() -> None:
    first = of_role(Phase.PREFILL, kv_dtype="fp8")["one device"]
    with pytest.raises(WorkloadError, match="the cache is fp8"):
        pair_of(first, of_role(Phase.DECODE)["one device"], 2)


def test_a_slow_link_bounds_both_pools() -> None:
    fast = pair()
    slow_link = replace(fast.handed, time_s=fast.handed.time_s * 1e4)
    from roofline.serving.disaggregated_serving import _receiving, _sending

    for curve, batches in ((_sending(of_role(Phase.PREFILL)["one device"], slow_link), fast.handed.prompts),
                           (_receiving(of_role(Phase.DECODE)["one device"], slow_link), 1.0)):  # fmt: skip
        times = slow_link.time_s if curve.of("requests_per_s").shape == slow_link.time_s.shape else slow_link.each_s
        assert (curve.of("requests_per_s") <= batches / times * (1 + 1e-12)).all()


# Both together


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 11))
def test_two_pools_serve_the_lesser_of_both(reading: int, decoding: int, column: int) -> None:
    both = pair()
    curve = joined(both, column, (reading, decoding), "pools")
    sides = (reading * both.prefill.of("requests_per_s")[column], decoding * both.decode.of("requests_per_s"))
    assert curve.of("requests_per_s") == pytest.approx(np.minimum(*sides))
    assert curve.of("tpot_s") == pytest.approx(both.decode.of("tpot_s"))
    step = both.prefill.of("tpot_s")[column]
    assert curve.of("ttft_s") == pytest.approx(np.full_like(sides[1], 1.5 * step + both.handed.time_s[column]))
    assert (curve.of("ttft_low") <= 1).all()
    assert (curve.of("ttft_high") >= 1).all()
    assert (curve.of("rate_low") <= 1).all()
    assert (curve.of("rate_high") >= 1).all()
    assert (curve.of("power_w") <= 700 * (1 + 1e-12)).all()
    assert (curve.of("power_w") >= 0.15 * 700 * (1 - 1e-12)).all()
    assert curve.state is not None
    assert sum(share[0] for share in curve.state.shares.values()) == pytest.approx(np.ones_like(sides[1]))


def test_the_parts_of_the_first_token_add_up() -> None:
    curve = joined(pair(traffic=read_traffic({"workload": "chat"})), 2, (2, 3), "pools")
    told = pools_of(curve).to_dict(8)
    assert sum(told["ttft_parts"].values()) == pytest.approx(curve.of("ttft_s")[0])
    assert told["hand_over"]["low_s"] < told["hand_over"]["time_s"] < told["hand_over"]["high_s"]
    used = [told[name]["utilization"] for name in (Phase.PREFILL, Phase.DECODE)]
    assert max(used) == pytest.approx(1)
    assert told[told["bound_by"]]["utilization"] == max(used)
    assert (told[Phase.PREFILL]["batch"], told[Phase.DECODE]["batch"]) == (3, 8)


def test_the_power_of_both_is_that_of_the_whole() -> None:
    curve = joined(pair(), 0, (2, 3), "pools")
    reading, decoding = watts(curve, 20)
    assert (2 * reading + 3 * decoding) / 5 == pytest.approx(curve.of("power_w")[20])


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 60), st.integers(0, 11), st.integers(0, 40))
def test_the_best_split_is_the_best_of_all(p: int, d: int, spare: int, column: int, other: int) -> None:
    base = pair()
    both = Pair(replace(base.prefill, devices=p), replace(base.decode, devices=d), base.handed)
    a, b = both.prefill.of("requests_per_s")[column], both.decode.of("requests_per_s")[other]
    devices = p + d + spare
    found = best_split(devices, both, (column, other))
    assert found[0] * p + found[1] * d <= devices
    best = max(min(x * a, y * b) for x, y in splits(devices, p, d))
    assert min(found[0] * a, found[1] * b) == pytest.approx(best)


def test_all_splits_of_a_box_use_no_more_than_its_devices() -> None:
    asking = question(MODEL, read_traffic({"workload": "chat"}))
    found = pooled_curves(asking, read_hardware(["8xh100", "h100"]), Targets.means(0.5, 0.015))
    assert {str(curve.who) for curve in found} == {"8xh100-sxm-80gb pools"}
    layouts = {pools_of(curve).layout for curve in found}
    assert {"1 x one device prefill, 7 x one device decode", "1 x tp 4 prefill, 1 x tp 4 decode"} <= layouts
    assert len(layouts) == len(found)
    assert all(curve.devices <= 8 and curve.replicas == 1 for curve in found)


# Comparing


def row_point(point: OperatingPoint | None) -> OperatingPoint:
    assert point is not None
    return point


def test_the_tighter_tpot_the_more_pools_pay() -> None:
    """Mixed steps read prompts in between; a target that leaves little room for it costs them their batch."""
    gains = []
    for tpot in (0.015, 0.03, 0.1):
        rows = {bool(row.curve.pools): row for row in compare(MODEL, "8xh100", ttft="1 s", tpot=tpot, pools=True).rows}
        gains.append(
            row_point(rows[True].point).requests_per_s.value / row_point(rows[False].point).requests_per_s.value
        )
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 1


def test_a_box_in_pools_costs_what_the_box_costs() -> None:
    rows = compare(MODEL, "aws-p5-48xlarge", ttft=0.5, tpot=0.015, pools=True).rows
    assert [str(row.curve.who) for row in rows] == ["aws-p5-48xlarge pools", "aws-p5-48xlarge"]
    for row in rows:
        assert row.cost is not None
        assert row.cost.usd_per_h(1.0) == pytest.approx(55.04)


def test_what_does_not_fit_says_so_in_pools_too() -> None:
    rows = compare("llama-3.1-70b", "2xh100", pools=True).rows
    reasons = {str(row.curve.who): row.misses for row in rows}
    assert reasons["2xh100-sxm-80gb pools"][0].startswith("does not fit")


@pytest.mark.parametrize("hardware", ["h100", "h100,l40s"])
def test_one_device_makes_no_pools(hardware: str) -> None:
    with pytest.raises(RooflineError, match="two devices at least"):
        compare(MODEL, hardware, pools=True)


# Sizing


def test_the_pools_serve_the_load_with_headroom_and_fewer_units_would_not() -> None:
    for order in pooled(sizing()):
        pools = pools_of(order.curve)
        assert order.capacity * 0.8 >= 50 * (1 - 1e-9)
        assert order.used == pytest.approx(50 / order.capacity)
        sides = ((pools.prefill, Targets.means(0.5, None)), (pools.decode, Targets.means(None, 0.015)))
        least = 0
        for pool, targets in sides:
            curve = pool.curve
            met = curve.holds & (targets.excess(curve.of("ttft_s"), curve.of("tpot_s")) <= 1)
            each = float(curve.of("requests_per_s")[met].max())
            if pool is pools.prefill:  # no more prompts than fill a device
                each = float(next(r for r in curve.of("requests_per_s")[met] if r >= 0.97 * each))
            least += int(np.ceil(50 / 0.8 / each)) * curve.devices
            assert pool.replicas * each * 0.8 >= 50 * (1 - 1e-9)
        assert order.units == least
        assert order.units_low <= order.units
        assert order.units_high is None or order.units <= order.units_high
        assert order.point.tpot.value <= 0.015
        assert order.point.ttft.value <= 0.5
        assert order.point.requests_per_s.value >= 50 * (1 - 1e-9)


def test_mixed_steps_stay_as_they_are_beside_pools() -> None:
    plain, both = sizing(pools=False), sizing()
    assert [order for order in both.orders if not order.curve.pools] != []
    assert [(str(o.curve.who), o.curve.layout, o.units) for o in plain.orders] == [
        (str(o.curve.who), o.curve.layout, o.units) for o in both.orders if not o.curve.pools
    ]


def test_more_load_never_takes_fewer_units_of_pools() -> None:
    units = [pooled(sizing(hardware="h100", load=load))[0].units for load in (0.1, 50.0, 5000.0)]
    assert units == sorted(units)
    assert units[0] == 2  # one to prefill, one to decode


def test_beyond_a_box_the_network_hands_over() -> None:
    for load, link in ((50.0, "scale-up"), (5000.0, "scale-out")):
        (order,) = pooled(sizing(hardware="h100", load=load))
        assert pools_of(order.curve).handed.link == link


def test_pools_share_the_boxes_of_one_hardware() -> None:
    (order,) = pooled(sizing(hardware="aws-p5-48xlarge"))
    assert (order.unit, order.units, order.devices) == (8, 1, 8)
    assert order.cost is not None
    assert order.cost.usd_per_h(1.0) == pytest.approx(55.04)
    assert order.capacity > 2 * 50  # spare devices serve too


def test_hardware_of_its_own_for_each_pool() -> None:
    (order,) = pooled(sizing(hardware="h200", prefill_on="h100", pools=False))
    pools = pools_of(order.curve)
    assert str(order.curve.who) == "h100-sxm-80gb to h200-sxm-141gb pools"
    assert [pool.curve.hardware.name for pool in (pools.prefill, pools.decode)] == ["h100-sxm-80gb", "h200-sxm-141gb"]
    assert order.pools is not None
    assert order.cost is not None
    first, then = order.pools.units
    assert order.cost.usd_per_h(1.0) == pytest.approx(2.71 * first + 4.45 * then)
    assert order.devices == first + then
    hour = order.cost.requests_per_s * 3600 / 1e6
    assert hour * order.cost.input(1.0) * order.cost.prompt == pytest.approx(2.71 * first)
    assert hour * order.cost.output(1.0) * order.cost.generate == pytest.approx(4.45 * then)


def test_prefill_on_the_same_hardware_is_pools() -> None:
    one, other = sizing(hardware="h100", prefill_on="h100", pools=False), sizing(hardware="h100")
    (a,), (b,) = pooled(one), pooled(other)
    assert (str(a.curve.who), a.curve.layout, a.units) == (str(b.curve.who), b.curve.layout, b.units)


@settings(max_examples=25)
@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_the_cost_of_pools_is_linear_in_both_prices(a: float, b: float) -> None:
    base, point = _both()
    shapes = zip((pool[0].name for pool in base), (a, b), strict=True)
    given = tuple(Offer("on_demand", usd, 1, "2026", "a quote", shape) for shape, usd in shapes)
    cost, _ = cost_of_both(base, point, read_traffic({"workload": "chat"}), Terms(given=given))
    assert cost is not None
    assert cost.usd_per_h(1.0) == pytest.approx(2 * a + 3 * b)
    assert cost.mix(0.5) == pytest.approx(2 * cost.mix(1.0))


@cache
def _both() -> tuple[list[tuple[Hardware, int, float]], OperatingPoint]:
    first, then = read_hardware(["h100", "h200"])
    return [(first, 2, 500.0), (then, 3, 400.0)], point_at(joined(pair(), 0, (2, 3), "pools"), 4, 1)


@pytest.mark.parametrize("kind", ["spot", "purchase"])
def test_kinds_of_price_are_never_mixed_between_pools(kind: str) -> None:
    for order in sizing(hardware="h200", prefill_on="h100,mi300x", price_kind=kind).orders:
        assert order.cost is None or {offer.kind for offer in order.cost.offers} == {kind}
        assert order.cost is not None or f"no {kind} price" in order.no_cost


def test_owned_pools_pay_for_no_more_energy_than_their_tdp() -> None:
    asked = {"hardware": "h200", "prefill_on": "h100", "pools": False, "price_kind": "purchase", "pue": 2.0}
    prices = "h100=30000USD,h200=35000USD"
    dear, free = (
        pooled(sizing(**asked, prices=prices, power_price=price))[0].cost for price in ("1 USD/kWh", "0 USD/kWh")
    )
    assert dear is not None
    assert free is not None
    energy = dear.usd_per_h(1.0) - free.usd_per_h(1.0)
    assert 0 < energy <= dear.devices * 0.7 * 2.0


def test_pools_that_miss_say_what_they_miss_and_exit_4_stays() -> None:
    result = sizing(tpot=0.001)
    assert not result.qualifies
    (miss,) = (miss for miss in result.misses if str(miss.who) == "h100-sxm-80gb pools")
    assert miss.reasons[0].startswith("TPOT ")
    result = sizing(hardware="l40s", load=500.0, tpot=0.05, prices="l40s=1USD/h")
    (miss,) = (miss for miss in result.misses if str(miss.who) == "l40s pools")
    assert "no link hands caches over between boxes of l40s" in miss.reasons[0]


def test_what_pools_decode_mixed_steps_do_one_sequence_at_a_time() -> None:
    """No piece of a prompt stands between the steps of a sequence that is alone, nor between those of a pool."""
    result = size("llama-3.1-8b", "h100", load=5.0, prompt=8192, generate=64, tpot="2.8 ms", pools=True)
    found = {str(order.curve.who): order.point for order in result.orders}
    assert found.keys() == {"h100-sxm-80gb", "h100-sxm-80gb pools"}
    assert {point.batch for point in found.values()} == {1}
    assert found["h100-sxm-80gb"].ttft.value < found["h100-sxm-80gb pools"].ttft.value  # a wait, and the hand-over


# At the shell


def test_the_table_of_pools_and_who_wins() -> None:
    code, text = run(
        "size llama-3.1-8b --hardware h100 --load 50req/s --ttft 500ms --tpot 15ms --pools --prefill-on h200 "
        "--set engine.chunk=8192"
    )
    assert code == 0
    assert "\nchoice: 4 x h100-sxm-80gb pools (band:" in text
    assert "2 x h200-sxm-141gb + 2 x h100-sxm-80gb as pools" in text
    assert "TTFT = wait + prefill + transfer" in text
    assert "h100-sxm-80gb pools against aggregated serving: pools win, " in text
    assert "no prompt stands between decode steps" in text
    assert "pools (disaggregated prefill and decode): prompts are read whole" in text
    assert [text.count(f"constants: calibrated {name}") for name in ("h100-sxm-80gb", "h200-sxm-141gb")] == [1, 1]


def test_without_targets_mixed_steps_win_and_the_table_says_why() -> None:
    code, text = run("compare llama-3.1-8b --hardware 8xh100 --pools")
    assert code == 0
    assert "8xh100-sxm-80gb pools against aggregated serving: aggregated serving wins; " in text
    assert "which chunked prefill fills with prompts" in text


def test_the_json_of_pools() -> None:
    asked = "--hardware h100 --tpot 15ms --ttft 500ms --load 50req/s --set engine.chunk=8192 --json"
    (plain, *_) = json.loads(run(f"size llama-3.1-8b {asked}")[1]).pop("others")
    assert plain["pools"] is None
    told = json.loads(run(f"size llama-3.1-8b {asked} --pools --prefill-on h200")[1])
    choice = told["choice"]
    assert choice["hardware"] == "h100-sxm-80gb"
    assert choice["pools"]["hand_over"]["bytes"] == pytest.approx(151.3e6, rel=1e-3)
    assert choice["pools"][Phase.PREFILL]["devices"] + choice["pools"][Phase.DECODE]["devices"] == choice["devices"]
    both = next(o for o in (told["runner_up"], *told["others"]) if o["pools"] and "units" in o["pools"][Phase.PREFILL])
    assert both["cost"]["other_prices"][0]["shape"] == "h100-sxm-80gb"
    assert both["cost"]["price"]["shape"] == "h200-sxm-141gb"


def test_growing_hardware_is_looked_at_once() -> None:
    (each,) = read_hardware(["h100"])
    assert growing(growing(each)) == growing(each)
