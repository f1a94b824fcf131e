"""What it costs: rent or ownership per hour, money per token at a utilisation, and where alternatives break even.

    rent  [USD/h] = whole shapes x price
    own   [USD/h] = purchase / (years x 8760) + hosting + watts / 1000 x PUE x price of a kWh
    token [USD]   = USD/h / 3600 / (tokens/s x utilisation)

Utilisation, the part of the paid time in which the hardware is loaded as stated, is the hinge: it is never assumed in
silence, and tables show several.
"""

from __future__ import annotations

from math import isfinite

from roofline.buying.prices import Offer
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.number import Number, is_symbolic
from roofline.options.groups import Money, Owning
from roofline.options.keywords import completed
from roofline.options.values import read_value
from roofline.timing.energy import ASSUMED, PowerShares, mean_power

HOURS_PER_YEAR = 8760.0
SECONDS_PER_HOUR = 3600.0
MILLION = 1_000_000.0
_USUAL = completed(Money, {}, "money")
UTILIZATIONS: tuple[float, ...] = _USUAL["utilization"]
"""At which a cost is told where none is asked for."""


@frozen
class Ownership:
    """The terms of owning: years of amortisation, PUE, price of energy, hosting per device. [years, USD/kWh, USD/h]

    ``chassis_usd`` is what stands around each few devices that are bought by themselves. [USD]
    The defaults, those of the flags, are assumed; nothing is left of a device's value after these years.
    """

    years: float = _USUAL["years"]
    pue: float = _USUAL["pue"]
    usd_per_kwh: float = _USUAL["power_price"]
    hosting_usd_per_h: float = _USUAL["hosting"]
    chassis_usd: float = _USUAL["chassis"]

    def __post_init__(self) -> None:
        _check("years", self.years, 0.0, 50.0, "years of amortisation such as 4", open_low=True)
        _check("PUE", self.pue, 1.0, 10.0, "power of the site / power of the devices such as 1.3")
        _check("power price", self.usd_per_kwh, 0.0, 100.0, "a price such as 0.12 USD/kWh")
        _check("hosting", self.hosting_usd_per_h, 0.0, 1e6, "a price per device such as 0.2 USD/h")
        _check("chassis", self.chassis_usd, 0.0, 1e9, "a price such as 20 kUSD")

    @classmethod
    def of(cls, asked: Owning) -> Ownership:
        """What options ask for; prices in USD/kWh and USD/h, or with a unit. Raises UsageError."""
        energy = read_value("power price", asked["power_price"], "usd_per_kwh")
        chassis = read_value("chassis", asked["chassis"], "usd")
        return cls(asked["years"], asked["pue"], energy, read_value("hosting", asked["hosting"], "usd_per_h"), chassis)

    def words(self, power: bool = True) -> str:
        """The terms in one line."""
        energy = f", PUE {self.pue:g}, {self.usd_per_kwh:g} USD/kWh" if power else ""
        return f"{self.years:g} years without rest value{energy}, hosting {self.hosting_usd_per_h:g} USD/h per device"


@frozen
class HourlyCost:
    """Of some devices: what every hour costs, loaded or not, and what an hour under load costs besides. [USD/h]

    ``once``: what a purchase costs, whose part of an hour is in ``fixed``; 0 of a rent. [USD]
    """

    fixed: Number
    loaded: Number = 0.0
    once: float = 0.0

    def at(self, utilization: Number) -> Number:
        """The mean cost of an hour. [USD/h]"""
        return self.fixed + utilization * self.loaded

    def beside(self, other: HourlyCost) -> HourlyCost:
        """Both together."""
        return HourlyCost(self.fixed + other.fixed, self.loaded + other.loaded, self.once + other.once)


def rental(offer: Offer, devices: int) -> HourlyCost:
    """The rent of whole shapes that hold ``devices``; energy is in it.

    Raises UsageError for a purchase, and for a price below zero or not finite.

    >>> rental(Offer("on_demand", 55.04, 8, "2026-11", "list price", "aws-p5-48xlarge"), 4).at(0.5)
    55.04
    """
    _check_price(offer.usd)
    if offer.kind == "purchase":
        msg = "a purchase is no rent; ask for ownership"
        raise UsageError(msg)
    return HourlyCost(offer.total_usd(devices))


def ownership(
    offer: Offer,
    devices: int,
    tdp: float | None,
    busy_w: Number,
    terms: Ownership,
    shares: PowerShares = ASSUMED,
) -> HourlyCost:
    """Owning whole shapes that hold ``devices`` of ``tdp`` watts, each of which draws ``busy_w`` under load.

    Raises UsageError where the offer is no purchase, the price is below zero or the TDP is not known.

    >>> card = Offer("purchase", 35040, 1, "2026", "quote", "card")
    >>> cost = ownership(card, 1, 700, 500, Ownership(pue=1.0, usd_per_kwh=0.1))  # 1 USD/h and 0.0105 idle
    >>> round(cost.fixed, 4), round(cost.loaded, 4), round(cost.at(1.0), 4)
    (1.0105, 0.0395, 1.05)
    """
    _check_price(offer.usd)
    if offer.kind != "purchase":
        msg = f"a price of kind {offer.kind} is no purchase; ask for rental"
        raise UsageError(msg)
    if tdp is None:
        msg = f"{offer.shape} states no TDP, so what it draws is not known; add tdp to its spec"
        raise UsageError(msg)
    held = offer.shapes(devices) * offer.devices
    once = offer.total_usd(devices)
    capital = once / (terms.years * HOURS_PER_YEAR) + held * terms.hosting_usd_per_h
    per_watt = terms.pue * terms.usd_per_kwh / 1000
    idle_w = mean_power(tdp, busy_w, 0.0, shares)
    return HourlyCost(capital + held * idle_w * per_watt, devices * (busy_w - idle_w) * per_watt, once)


def usd_per_million(cost: HourlyCost, tokens_per_s: Number, utilization: Number) -> Number:
    """Money per million tokens at a rate under load. [USD per 1e6 tokens]

    Raises UsageError for a utilisation outside (0, 1].

    >>> usd_per_million(HourlyCost(3.6), tokens_per_s=1000.0, utilization=0.5)
    2.0
    """
    check_utilization(utilization)
    return cost.at(utilization) / SECONDS_PER_HOUR / (tokens_per_s * utilization) * MILLION


def breakeven_utilization(cost: HourlyCost, usd_per_loaded_hour: float) -> float | None:
    """The utilisation from which one's own costs less than what the same work costs elsewhere; None where never.

    ``usd_per_loaded_hour`` is what an hour's work at full load is sold for, by an API or by the hour.

    >>> breakeven_utilization(HourlyCost(2.0, 0.5), 4.5)
    0.5
    >>> breakeven_utilization(HourlyCost(2.0, 0.5), 2.4) is None
    True
    """
    margin = usd_per_loaded_hour - float(cost.loaded)
    if margin <= 0 or float(cost.fixed) > margin:
        return None
    return float(cost.fixed) / margin


@frozen
class ApiPrices:
    """What an API charges for a million tokens of input and of output, and of cached input. [USD]

    Without a price of its own cached input costs what input does. Raises UsageError for a price below zero.
    """

    input_usd: float
    output_usd: float
    cached_usd: float | None = None

    def __post_init__(self) -> None:
        for price in self.each:
            _check_price(price)

    @property
    def each(self) -> tuple[float, ...]:
        """The prices as they are given: input, cached input where it has its own, output."""
        return (self.input_usd, *(() if self.cached_usd is None else (self.cached_usd,)), self.output_usd)

    @property
    def words(self) -> str:
        """The prices in words."""
        which = "in / out" if self.cached_usd is None else "in / cached in / out"
        return f"{' / '.join(f'{price:g}' for price in self.each)} USD per million tokens {which}"

    def usd_per_h(self, requests_per_s: float, prompt: float, generate: float, cached: float = 0.0) -> float:
        """What an hour's requests cost, of whose ``prompt`` tokens the part ``cached`` is cached input. [USD/h]

        >>> round(ApiPrices(0.5, 1.5).usd_per_h(1.0, 1000, 100), 6)
        2.34
        >>> round(ApiPrices(0.5, 1.5, cached_usd=0.05).usd_per_h(1.0, 1000, 100, cached=0.9), 6)
        0.882
        """
        held = self.input_usd if self.cached_usd is None else self.cached_usd
        read = prompt * ((1 - cached) * self.input_usd + cached * held)
        return requests_per_s * SECONDS_PER_HOUR * (read + generate * self.output_usd) / MILLION


def buying_pays_after(purchase_usd: float, running_usd_per_h: float, rent_usd_per_h: float) -> float | None:
    """Years of renting whose cost is the purchase and the running of one's own; None where rent is the cheaper.

    >>> buying_pays_after(17520.0, 0.5, 2.5)
    1.0
    """
    saved = rent_usd_per_h - running_usd_per_h
    return purchase_usd / saved / HOURS_PER_YEAR if saved > 0 else None


def check_utilization(utilization: Number) -> None:
    """Raises UsageError for a utilisation, or one of an array, outside (0, 1]."""
    if is_symbolic(utilization):
        return
    for value in utilization if hasattr(utilization, "__iter__") else (utilization,):
        _check("utilization", float(value), 0.0, 1.0, "the part of the paid time under load such as 0.5", open_low=True)


def _check_price(usd: float) -> None:
    _check("price", usd, 0.0, 1e15, "zero or more USD")


def _check(name: str, value: float, low: float, high: float, example: str, *, open_low: bool = False) -> None:
    if not (isfinite(value) and low <= value <= high) or (open_low and value == low):
        reach = f"above {low:g}" if open_low else f"from {low:g}"
        msg = f"{name} {value:g}: expected {example}, {reach} to {high:g}"
        raise UsageError(msg)
