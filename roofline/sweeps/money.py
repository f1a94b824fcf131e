"""Which prices a sweep's hardware has, and what rows cost at them: rents, and purchases under terms of ownership."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.buying.economics import Ownership, usd_per_million
from roofline.buying.prices import Offer, missing_price, offers_of, read_prices
from roofline.buying.terms import Terms, hourly_cost
from roofline.classes import frozen
from roofline.errors import RooflineError, UsageError, shown
from roofline.options.edits import edits_by_room
from roofline.options.groups import Owning
from roofline.options.keywords import part
from roofline.options.words import PriceKind
from roofline.serving.hardware_choice import Hardware, read_hardware
from roofline.sweeps.columns import MONEY, PRICED

Entry = str | float
"""A price of a study: USD per hour of any device, ``h100=2.71USD/h``, or a YAML file."""

Owned = tuple[tuple[str, Any], ...]
"""Terms of ownership by the names of their flags."""


@frozen
class Price:
    """One price of hardware: an offer of its kind, None where it has none, under terms of ownership."""

    kind: PriceKind
    offer: Offer | None
    hardware: Hardware | None
    owning: Ownership

    @property
    def told(self) -> dict[str, str | None]:
        """What the columns of text say of it."""
        return dict(zip(PRICED, (self.kind, self._words), strict=True))

    @property
    def _words(self) -> str | None:
        if self.offer is not None:
            return self.offer.words()
        its = self.hardware
        return None if its is None else missing_price(its.device.name, offers_of(its.sold), self.kind)

    def columns(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """What the devices of each row cost [USD/h], and a million tokens at full load; of a run all of it. [USD]"""
        size = len(found["devices"])
        made = {name: np.full(size, np.nan) for name in MONEY}
        if self.offer is None or "tokens_per_s" not in found:
            return made
        watts = found.get("power_w", np.full(size, np.nan))
        for devices in np.unique(found["devices"][~np.isnan(found["devices"])]):
            own = found["devices"] == devices
            cost = self._hourly(int(devices), watts[own] / devices)
            if cost is not None:
                made["usd_per_h"][own] = cost.at(1.0)
                made["usd_per_mtoken"][own] = usd_per_million(cost, found["tokens_per_s"][own], 1.0)
        if "days" in found:
            made["usd"] = made["usd_per_h"] * found["days"] * 24.0
        return made

    def _hourly(self, devices: int, busy_w: Any) -> Any:
        assert self.offer is not None
        assert self.hardware is not None
        found = hourly_cost(self.hardware, devices, busy_w, Terms(self.kind, (self.offer,), self.owning))
        return None if isinstance(found, str) else found[1]


@frozen
class Money:
    """What a study says of money: its own prices, kinds of price, terms of ownership; ``each``: rows of each point."""

    entries: tuple[Entry, ...]
    kinds: tuple[PriceKind, ...]
    owned: Owned
    each: int = 1

    @classmethod
    def asked(
        cls, hardware: str, told: tuple[tuple[Entry, ...], tuple[PriceKind, ...], Owned], edits: Mapping[str, Any]
    ) -> Money:
        """For some hardware, with fields of it edited. Raises RooflineError for prices that are none."""
        plain = cls(*told)
        return replace(plain, each=len(plain.of(hardware, edits)))

    def of(self, hardware: str, edits: Mapping[str, Any]) -> list[Price]:
        """The prices of some hardware: one's own that concern it; else, of each kind, the cheapest of the library."""
        owning = read_owning(self.owned)
        try:
            (its,) = read_hardware([hardware], edits_by_room(edits)["hardware"])
        except RooflineError:  # which every point of it says
            return [Price(kind, None, None, owning) for kind in self.kinds]
        own = [offer for entry in self.entries for offer in offers(entry, self.kinds, its)]
        found = []
        for kind in self.kinds:
            stated: list[Offer | None] = [offer for offer in own if offer.kind == kind] or [Terms(kind).offer(its)]
            found += [Price(kind, offer, its, owning) for offer in stated]
        return found


def offers(entry: Entry, kinds: Sequence[PriceKind], its: Hardware) -> list[Offer]:
    """What a price of a study offers for some hardware; an hourly one without a kind is the first rent of ``kinds``."""
    rent: PriceKind = next((kind for kind in kinds if kind != "purchase"), "on_demand")
    if isinstance(entry, str):
        return [offer for offer in read_prices(entry, rent) if offer.shape in (its.sold.name, its.device.name)]
    return [Offer(rent, entry, 1, "as given", "prices", its.device.name)]


def check_prices(entries: Sequence[Entry], kinds: Sequence[PriceKind], devices: Iterable[str]) -> None:
    """Raises RooflineError for a price that is none, of another kind, or of nothing that is swept over."""
    hardware = read_hardware([*devices]) if entries else []
    for entry in entries:
        concerned = [offer for its in hardware for offer in offers(entry, kinds, its)]
        if not concerned:
            msg = f"prices {shown(entry)}: is the price of nothing in hardware"
            raise UsageError(msg)
        if not any(offer.kind in kinds for offer in concerned):
            kind = concerned[0].kind
            msg = f"prices {shown(entry)}: is of kind {kind}; price_kind has {', '.join(kinds)}, add {kind}"
            raise UsageError(msg)


def read_owning(owned: Owned) -> Ownership:
    """The terms of ownership. Raises UsageError."""
    return Ownership.of(part(Owning, dict(owned)))
