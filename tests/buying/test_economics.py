"""Laws of money and energy: TDP is never exceeded, cost is linear in price, senseless terms are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.buying.economics import (
    ApiPrices,
    HourlyCost,
    Ownership,
    breakeven_utilization,
    buying_pays_after,
    ownership,
    rental,
    usd_per_million,
)
from roofline.buying.prices import Offer
from roofline.errors import UsageError
from roofline.timing.energy import PowerShares, busy_power, energy_j, mean_power

POSITIVE = st.floats(1e-3, 1e6)
PART = st.floats(0, 1)
RATED = st.floats(0, 5)  # cards reach more than their rating
SHARES = st.builds(PowerShares, PART, st.floats(0, 3), st.floats(0, 3))


def rented(usd: float, devices: int = 1) -> Offer:
    return Offer("on_demand", usd, devices, "2026-11", "a quote", "card")


def bought(usd: float, devices: int = 1) -> Offer:
    return Offer("purchase", usd, devices, "2026-11", "a quote", "card")


# Energy


@given(POSITIVE, POSITIVE, RATED, RATED, SHARES)
def test_energy_is_at_most_tdp_x_time_and_at_least_idle(
    tdp: float, time_s: float, mfu: float, mbu: float, shares: PowerShares
) -> None:
    energy = energy_j(tdp, time_s, mfu, mbu, shares)
    assert shares.idle * tdp * time_s * (1 - 1e-12) <= energy <= tdp * time_s


@given(POSITIVE, RATED, RATED, RATED)
def test_a_busier_device_draws_no_less(tdp: float, mfu: float, mbu: float, more: float) -> None:
    assert busy_power(tdp, mfu + more, mbu) >= busy_power(tdp, mfu, mbu)
    assert busy_power(tdp, mfu, mbu + more) >= busy_power(tdp, mfu, mbu)


@given(POSITIVE, PART, PART, PART)
def test_mean_power_lies_between_idle_and_busy(tdp: float, mfu: float, mbu: float, utilization: float) -> None:
    busy, idle = busy_power(tdp, mfu, mbu), busy_power(tdp, 0, 0)
    assert idle * (1 - 1e-12) <= mean_power(tdp, busy, utilization) <= busy * (1 + 1e-12)


def test_power_takes_arrays() -> None:
    assert busy_power(100, np.array([0.0, 10.0]), np.array([0.0, 0.0])).tolist() == [15.0, 100.0]


# Money


@given(POSITIVE, st.integers(1, 8), st.integers(1, 64), st.floats(1e-3, 1e3))
def test_rent_is_linear_in_price_and_comes_in_whole_shapes(usd: float, shape: int, devices: int, factor: float) -> None:
    cost = rental(rented(usd, shape), devices).at(0.5)
    assert rental(rented(usd * factor, shape), devices).at(0.5) == pytest.approx(cost * factor)
    assert cost == pytest.approx(-(-devices // shape) * usd)


@given(POSITIVE, POSITIVE, st.floats(0.01, 1))
def test_cost_per_token_is_linear_in_the_hourly_cost(usd: float, rate: float, utilization: float) -> None:
    one = usd_per_million(HourlyCost(usd), rate, utilization)
    assert usd_per_million(HourlyCost(3 * usd), rate, utilization) == pytest.approx(3 * one)
    assert usd_per_million(HourlyCost(usd), rate, utilization / 2) == pytest.approx(2 * one)


@given(POSITIVE, st.floats(1, 1000), PART, PART, st.floats(0.01, 1))
def test_ownership_is_linear_in_the_price_of_purchase_and_of_energy(
    usd: float, tdp: float, mfu: float, mbu: float, utilization: float
) -> None:
    busy = busy_power(tdp, mfu, mbu)

    def hourly(purchase: float, kwh: float) -> float:
        return float(ownership(bought(purchase), 1, tdp, busy, Ownership(usd_per_kwh=kwh)).at(utilization))

    both, purchase, energy = hourly(usd, 0.1), hourly(usd, 0.0), hourly(0.0, 0.1)
    assert both == pytest.approx(purchase + energy)
    assert hourly(2 * usd, 0.3) == pytest.approx(2 * purchase + 3 * energy)


@given(st.floats(1, 1000), PART, PART, st.floats(0.01, 1))
def test_energy_costs_at_most_what_tdp_around_the_clock_costs(
    tdp: float, mfu: float, mbu: float, utilization: float
) -> None:
    terms = Ownership(pue=1.5, usd_per_kwh=0.2)
    cost = ownership(bought(0.0), 1, tdp, busy_power(tdp, mfu, mbu), terms).at(utilization)
    assert cost <= tdp / 1000 * 1.5 * 0.2 * (1 + 1e-12)


def test_ownership_as_arithmetic() -> None:
    terms = Ownership(years=2, pue=1.5, usd_per_kwh=0.1, hosting_usd_per_h=0.25)
    cost = ownership(bought(35_040, 4), 2, 1000, 800, terms)
    # one box of 4: 35,040 USD / 17,520 h; 4 x 0.25 hosting; 4 x 150 W idle, 2 x 650 W more under load
    assert cost.fixed == pytest.approx(2.0 + 1.0 + 4 * 0.15 * 1.5 * 0.1)
    assert cost.loaded == pytest.approx(2 * 0.65 * 1.5 * 0.1)


@given(st.floats(0.01, 100), st.floats(0, 10), st.floats(0.01, 200))
def test_at_the_break_even_both_cost_the_same(fixed: float, loaded: float, elsewhere: float) -> None:
    cost = HourlyCost(fixed, loaded)
    at = breakeven_utilization(cost, elsewhere)
    if at is None:
        assert cost.at(1.0) >= elsewhere * (1 - 1e-9)
    else:
        assert 0 < at <= 1
        assert cost.at(at) == pytest.approx(at * elsewhere)


@given(POSITIVE, st.floats(0, 10), st.floats(0.01, 20))
def test_after_the_years_renting_has_cost_what_buying_did(purchase: float, running: float, rent: float) -> None:
    years = buying_pays_after(purchase, running, rent)
    if years is None:
        assert rent <= running
    else:
        assert purchase + running * years * 8760 == pytest.approx(rent * years * 8760)


# What is refused


@pytest.mark.parametrize("utilization", [0, 0.0, -0.5, 1.01, float("nan"), float("inf"), np.array([0.5, 0.0])])
def test_a_utilisation_of_zero_or_beyond_one_is_refused(utilization: object) -> None:
    with pytest.raises(UsageError, match=r"utilization .* above 0 to 1"):
        usd_per_million(HourlyCost(1.0), 100.0, utilization)


@pytest.mark.parametrize("usd", [-0.01, float("nan"), float("inf"), -1e9])
def test_negative_prices_are_refused(usd: float) -> None:
    for sold in (
        lambda: rental(rented(usd), 1),
        lambda: ownership(bought(usd), 1, 700, 500, Ownership()),
        lambda: ApiPrices(usd, 0.0),
        lambda: ApiPrices(1.0, 1.0, cached_usd=usd),
        lambda: Ownership(usd_per_kwh=usd),
        lambda: Ownership(hosting_usd_per_h=usd),
    ):
        with pytest.raises(UsageError, match="expected"):
            sold()


@pytest.mark.parametrize("terms", [{"years": 0}, {"years": -1}, {"pue": 0.9}, {"pue": float("nan")}, {"years": 51}])
def test_senseless_terms_are_refused(terms: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Ownership(**terms)


def test_kinds_of_price_are_not_mixed() -> None:
    with pytest.raises(UsageError, match="a purchase is no rent"):
        rental(bought(30_000), 1)
    with pytest.raises(UsageError, match="on_demand is no purchase"):
        ownership(rented(2.0), 1, 700, 500, Ownership())


def test_what_draws_an_unknown_power_has_no_cost_of_ownership() -> None:
    with pytest.raises(UsageError, match="states no TDP"):
        ownership(bought(30_000), 1, None, 500, Ownership())


@pytest.mark.parametrize("shares", [(-0.1, 1, 1), (1.1, 1, 1), (0.1, -1, 1), (0.1, 1, -1)])
def test_senseless_shares_of_power_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="parts of the TDP"):
        PowerShares(*shares)
