"""The money that serving costs: a price, its hours, and what a million tokens come to at several utilisations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from roofline.buying.economics import (
    HOURS_PER_YEAR,
    ApiPrices,
    HourlyCost,
    breakeven_utilization,
    buying_pays_after,
    ownership,
    usd_per_million,
)
from roofline.buying.prices import Offer
from roofline.buying.terms import Terms, hourly_cost
from roofline.classes import frozen
from roofline.options.words import PriceKind
from roofline.program.traffic.traffic import Traffic
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import Hardware
from roofline.serving.operating_points import OperatingPoint
from roofline.serving.pools.encode_pool import EncodeDeployment


@frozen
class ServingCost:
    """What hardware costs that serves so many requests per second, and of whom the prices are.

    ``prompt`` and ``generate`` are the mean tokens of a request, ``input_part`` is the prompts' part of the time, or of
    the cost at full load where two pools have prices of their own. ``reads``: what requests are that generate nothing;
    ``cached``: the part of a prompt that a prefix cache holds.
    """

    offers: tuple[Offer, ...]
    devices: int
    hourly: HourlyCost
    requests_per_s: float
    prompt: float
    generate: float
    input_part: float
    reads: str = ""
    cached: float = 0.0

    def usd_per_h(self, utilization: float) -> float:
        """The mean cost of an hour. [USD/h]"""
        return float(self.hourly.at(utilization))

    def total_usd(self, years: float) -> float:
        """All that it costs over so many years under load: a purchase with energy and hosting, or the rent. [USD]"""
        return self.usd_per_h(1.0) * HOURS_PER_YEAR * years

    def to_pay_usd(self, years: float) -> float:
        """The sum to pay: that of the purchase, or the rent of so many years. [USD]"""
        return self.hourly.once or self.total_usd(years)

    def api_usd_per_h(self, api: ApiPrices) -> float:
        """What an API charges for the same work in an hour under load. [USD/h]"""
        return api.usd_per_h(self.requests_per_s, self.prompt, self.generate, self.cached)

    def pays_after(self, api: ApiPrices, years: float) -> float | None:
        """Years under load after which an API has cost as much as a purchase and its running; None where never.

        ``years`` are those over which the purchase is paid off. 0 of a rent that costs less.
        """
        running = self.usd_per_h(1.0) - self.hourly.once / (years * HOURS_PER_YEAR)
        return buying_pays_after(self.hourly.once, running, self.api_usd_per_h(api))

    def each(self, utilization: float) -> float:
        """Cost of a million requests: documents or images, of a network that generates nothing. [USD]"""
        return float(usd_per_million(self.hourly, self.requests_per_s, utilization))

    def mix(self, utilization: float) -> float:
        """Cost of a million tokens of the traffic, prompts and answers alike; of a million passes' requests. [USD]"""
        if self.reads:
            return self.each(utilization)
        return float(usd_per_million(self.hourly, self.requests_per_s * (self.prompt + self.generate), utilization))

    def input(self, utilization: float) -> float:
        """Cost of a million prompt tokens: the time that prompts add. [USD]"""
        whole = usd_per_million(self.hourly, self.requests_per_s * self.prompt, utilization)
        return float(whole) * self.input_part

    def output(self, utilization: float) -> float:
        """Cost of a million generated tokens: the time of decoding alone. [USD]"""
        whole = usd_per_million(self.hourly, self.requests_per_s * self.generate, utilization)
        return float(whole) * (1 - self.input_part)

    def breakeven(self, api: ApiPrices) -> float | None:
        """The utilisation from which this costs less than an API; None where never."""
        return breakeven_utilization(self.hourly, self.api_usd_per_h(api))

    def to_dict(self, utilizations: Sequence[float], api: ApiPrices | None) -> dict[str, Any]:
        """The cost as JSON."""
        names = ("kind", "usd", "devices", "shape", "date", "source", "unverified", "note")
        price, *others = ({name: getattr(offer, name) for name in names} for offer in self.offers)
        at = [{"utilization": u, "usd_per_h": self.usd_per_h(u), **self._millions(u)} for u in utilizations]
        more: dict[str, Any] = {}
        if api:
            more = {"breakeven_utilization": self.breakeven(api), "api_usd_per_h": self.api_usd_per_h(api)}
        more |= {"other_prices": others} if others else {}
        part = {} if self.reads else {"input_part": self.input_part}
        return {"price": price, "at": at, **part, **more}

    def _millions(self, u: float) -> dict[str, float]:
        """What a million of each costs."""
        if self.reads:
            tokens = {"usd_per_million_input": self.input(u)} if self.reads == "documents" else {}
            return {"usd_per_million_requests": self.each(u), **tokens}
        return {
            "usd_per_million_input": self.input(u), "usd_per_million_output": self.output(u),
            "usd_per_million_tokens": self.mix(u),
        }  # fmt: skip


def serving_cost(
    hardware: Hardware, point: OperatingPoint, traffic: Traffic, terms: Terms
) -> tuple[ServingCost | None, str]:
    """The cost of hardware at an operating point, or None and why there is none."""
    found = hourly_cost(hardware, point.devices, (point.power_w or 0.0) / point.devices, terms)
    if isinstance(found, str):
        return None, found
    offer, hourly = found
    rate, devices = point.requests_per_s.value, max(point.devices, hardware.count)
    lengths = (traffic.prompt.mean, 0.0 if traffic.reads else traffic.generate.mean)
    return ServingCost((offer,), devices, hourly, rate, *lengths, point.input_part, traffic.reads, traffic.cached), ""


def cost_of_both(
    pools: Sequence[tuple[Hardware, int, float]], point: OperatingPoint, traffic: Traffic, terms: Terms
) -> tuple[ServingCost | None, str]:
    """The cost of a pool that prefills and one that decodes, each of hardware, devices and watts of its own."""
    found = [hourly_cost(*pool, terms) for pool in pools]
    if problems := [each for each in found if isinstance(each, str)]:
        return None, problems[0]
    (first, reading), (then, decoding) = [each for each in found if not isinstance(each, str)]
    hourly, devices = reading.beside(decoding), sum(devices for _, devices, _ in pools)
    whole = float(hourly.at(1.0))
    part = float(reading.at(1.0)) / whole if whole else 0.5
    rate, lengths = point.requests_per_s.value, (traffic.prompt.mean, traffic.generate.mean)
    return ServingCost((first, then), devices, hourly, rate, *lengths, part, cached=traffic.cached), ""


def cost_over_batches(curve: Curve, traffic: Traffic, terms: Terms) -> Any | None:
    """Cost of a million tokens of the traffic, or of what is read, under full load, at every batch. [USD]

    None without a price.
    """
    found = hourly_cost(curve.hardware, curve.hardware.count, curve.of("power_w"), terms)
    if isinstance(found, str):
        return None
    hourly = found[1]
    if curve.encoders is not None:
        more = encoders_cost(curve.encoders, curve.encoders.pool.devices, terms)
        if isinstance(more, str):
            return None
        hourly = hourly.beside(more[1])
    rate = curve.of("requests_per_s") * curve.replicas * traffic.counted
    return usd_per_million(hourly, rate, 1.0)


def encoders_cost(encoders: EncodeDeployment, devices: int, terms: Terms) -> tuple[Offer, HourlyCost] | str:
    """The price of so many devices that encode, and what an hour costs, the energy by their TDP; else why not."""
    one = replace(encoders.hardware, count=1)
    return hourly_cost(one, devices, one.device.tdp or 0.0, terms)


def rent_or_buy(
    hardware: Hardware, point: OperatingPoint, terms: Terms, rent: PriceKind
) -> tuple[str, float | None] | None:
    """The price that ``terms`` do not ask for, and after how many years of rent around the clock a purchase pays.

    The years are None where it never does. None where one of the prices, or the TDP, is missing.
    """
    bought, rented = terms.offer(hardware, "purchase"), terms.offer(hardware, rent)
    if bought is None or rented is None or hardware.device.tdp is None:
        return None
    devices = max(point.devices, hardware.count)
    owned = ownership(bought, devices, hardware.device.tdp, (point.power_w or 0.0) / point.devices, terms.owning)
    capital = bought.total_usd(devices)
    running = float(owned.at(1.0)) - capital / (terms.owning.years * HOURS_PER_YEAR)
    other = rented if terms.kind == "purchase" else bought
    return other.words(), buying_pays_after(capital, running, rented.total_usd(devices))
