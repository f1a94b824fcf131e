"""How money is counted: kinds of price, terms of ownership, and what hardware costs an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from roofline.buying.economics import (
    UTILIZATIONS,
    ApiPrices,
    HourlyCost,
    Ownership,
    check_utilization,
    ownership,
    rental,
)
from roofline.buying.prices import Offer, in_chassis, missing_price, offers_of, own_prices, pick_offer
from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.hardware.fields import Way
from roofline.options.groups import Money
from roofline.options.values import read_numbers
from roofline.options.words import PriceKind
from roofline.serving.hardware_choice import Hardware, boxed_by_maker


@frozen
class Terms:
    """How money is counted: the kind of price, one's own prices, terms of ownership, utilisations.

    ``api`` are the prices of tokens elsewhere.
    """

    kind: PriceKind = "on_demand"
    given: tuple[Offer, ...] = ()
    owning: Ownership = field(default_factory=Ownership)
    utilizations: tuple[float, ...] = UTILIZATIONS
    api: ApiPrices | None = None

    def __post_init__(self) -> None:
        if not self.utilizations:
            msg = "no utilization is given; expected some such as 0.25,0.5,1"
            raise UsageError(msg)
        for utilization in self.utilizations:
            check_utilization(utilization)

    @classmethod
    def of(cls, asked: Money) -> Terms:
        """What options ask for. Raises UsageError."""
        owning = Ownership.of(asked)
        used = read_numbers("utilization", asked["utilization"], ",", "0.25,0.5,1")
        return cls(asked["price_kind"], own_prices(asked), owning, used, _api(asked))

    @property
    def way(self) -> Way:
        """Whether hardware is rented or bought."""
        return "purchase" if self.kind == "purchase" else "rent"

    def offer(self, hardware: Hardware, kind: PriceKind | None = None) -> Offer | None:
        """What it is had for: of this kind of price, or of that which was asked for; None without one."""
        found = pick_offer(offers_of(hardware.sold, self.given), kind or self.kind)
        return found and in_chassis(found, hardware.sold, self.owning.chassis_usd)


def _api(asked: Money) -> ApiPrices | None:
    """The prices of an API: input and output, or input, cached input and output. [USD per million tokens]"""
    if asked["api"] is None:
        return None
    example = "IN/OUT or IN/CACHED/OUT in USD per million tokens such as 0.5/1.5 or 0.5/0.05/1.5"
    prices = read_numbers("api", asked["api"], "/", example)
    if len(prices) not in (2, 3):
        msg = f"api {shown(asked['api'])}: expected {example}"
        raise UsageError(msg)
    return ApiPrices(prices[0], prices[-1], prices[1] if len(prices) == 3 else None)


def hourly_cost(hardware: Hardware, devices: int, busy_w: Any, terms: Terms) -> tuple[Offer, HourlyCost] | str:
    """The price of so many devices, each of which draws ``busy_w`` watts, and what an hour costs; else why not."""
    offer = terms.offer(hardware)
    if offer is None:
        return missing_price(hardware.device.name, offers_of(hardware.sold, terms.given), terms.kind)
    held = max(devices, hardware.count)
    if terms.kind != "purchase":
        return offer, rental(offer, held)
    if hardware.device.tdp is None:
        return f"{hardware.device.name} states no TDP, so the cost of its energy is not known"
    return offer, ownership(offer, held, hardware.device.tdp, busy_w, terms.owning)


def as_sold(hardware: Sequence[Hardware], terms: Terms) -> list[Hardware]:
    """The same; where it is bought, the smallest box of its maker in place of a device that comes in boxes."""
    if terms.kind != "purchase":
        return list(hardware)
    boxed = [boxed_by_maker(each) for each in hardware]
    return list({each.name: each for each in boxed}.values())
