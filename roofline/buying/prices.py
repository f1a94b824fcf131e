"""What hardware is sold and rented for: offers from the specs, and a user's own, each with its kind, date and source.

Kinds of price are never mixed: who asks for ``on_demand`` gets that or a line that says which kinds there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Annotated

from roofline.classes import frozen
from roofline.errors import UnitError, UsageError, shown
from roofline.files.ages import days_old
from roofline.files.fields import Field, model_validator
from roofline.files.findings import first_problem, validated
from roofline.files.library import read_yaml
from roofline.hardware.fields import Block, Covers, Date, Price, Text
from roofline.hardware.library import find_file, is_path, parted
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System, load_system
from roofline.options.groups import Prices
from roofline.options.words import PriceKind
from roofline.schema import Says

_FLAG = "--prices"
_ALONE = "the device alone, without chassis, CPUs and network"
_MACHINE = "a whole machine"
_SHARE = "its share of the box that alone is sold"
AS_GIVEN = "as given"
"""The date of a price that a flag states."""
PER_CHASSIS = 8
"""Devices that a chassis with CPUs and network holds, where they are bought by themselves."""
_EXAMPLE = "h100=2.71USD/h,l40s=8500USD or a YAML file with a list of prices"


@frozen
class Offer:
    """The price of the smallest shape that one can have: ``usd`` per hour, or once where it is a purchase.

    ``devices`` are how many that shape holds; what is needed is had in whole shapes. ``unverified``: the source was
    recalled or estimated. ``shape`` is the name of the device or of the box. ``chassis_usd``: what stands around each
    ``PER_CHASSIS`` devices that are bought by themselves. ``covers``: whether a device's is its share of a box.
    """

    kind: PriceKind
    usd: float
    devices: int
    date: str
    source: str
    shape: str
    unverified: bool = False
    note: str = ""
    chassis_usd: float = 0.0
    covers: Covers = "device"

    def shapes(self, devices: int) -> int:
        """How many whole shapes hold ``devices``.

        >>> Offer("on_demand", 55.04, 8, "2026-11", "list price", "aws-p5-48xlarge").shapes(9)
        2
        """
        return ceil(devices / self.devices)

    def total_usd(self, devices: int) -> float:
        """The price of the whole shapes that hold ``devices``, and of what stands around them. [USD/h, or USD]

        >>> Offer("purchase", 8500.0, 1, "2026", "list price", "l40s", chassis_usd=15000.0).total_usd(9)
        106500.0
        """
        shapes = self.shapes(devices)
        return shapes * self.usd + ceil(shapes * self.devices / PER_CHASSIS) * self.chassis_usd

    def words(self) -> str:
        """The price with its kind, date, age and source, in one line."""
        unit = "USD" if self.kind == "purchase" else "USD/h"
        each = f" for {self.devices}" if self.devices > 1 else ""
        unsure = ", unverified" if self.unverified else ""
        note = f", {self.note}" if self.note else ""
        when = self.date if self.date == AS_GIVEN else f"{self.date}, {days_old(self.date)} days old"
        return f"{self.shape} {self.usd:,.10g} {unit}{each}, {self.kind}, {when} ({self.source}{note}{unsure})"


class _OwnPrice(Block):
    hardware: Text = Field(description="the name or alias of a device or a system")
    kind: PriceKind
    value: Text = Field(description="a price such as 2.71 USD/h, or 30000 USD of a purchase")
    date: Date = Field(description="when, such as 2026-11")
    source: Text = Field(description="who says so")
    devices: Annotated[Annotated[int, Field(ge=1)] | None, Says("of how many; all of a box")] = None

    @model_validator(mode="after")
    def _has_the_right_unit(self) -> _OwnPrice:
        _ = self.usd
        return self

    @property
    def usd(self) -> float:
        """The price in USD, or USD/h unless it is a purchase."""
        return Price.model_construct(kind=self.kind, value=self.value, date=self.date).usd


class _PriceList(Block):
    prices: Annotated[list[_OwnPrice], Field(min_length=1)]


def offers_of(hardware: HardwareSpec | System, given: Sequence[Offer] = ()) -> tuple[Offer, ...]:
    """The offers for a device or a box: a user's own, which put those of the same kind in the shade, then the spec's.

    A box without prices of its own has those of its device.
    """
    spec = hardware.spec if isinstance(hardware, System) else hardware
    own = [offer for offer in given if offer.shape in (hardware.name, spec.name)]
    stated = _of_system(hardware) if isinstance(hardware, System) and hardware.prices else _of_device(spec)
    kinds = {offer.kind for offer in own}
    return (*own, *(offer for offer in stated if offer.kind not in kinds))


def in_chassis(offer: Offer, hardware: HardwareSpec | System, chassis_usd: float) -> Offer:
    """The offer with what stands around devices that are bought by themselves.

    A box and a rent have it already, and so do a machine around a system on a chip and a device's share of a box.
    """
    spec = hardware.spec if isinstance(hardware, System) else hardware
    if offer.kind != "purchase" or offer.shape != spec.name:
        return offer
    if spec.kind == "soc" or offer.covers == "box":
        around, chassis_usd = _MACHINE if spec.kind == "soc" else _SHARE, 0.0
    else:
        around = f"chassis, CPUs and network {chassis_usd:,.10g} USD for each {PER_CHASSIS}" if chassis_usd else _ALONE
    note = f"{offer.note}, {around}" if offer.note else around
    return replace(offer, chassis_usd=chassis_usd, note=note)


def pick_offer(offers: Sequence[Offer], kind: PriceKind) -> Offer | None:
    """The cheapest offer per device of a kind, or None: another kind is no substitute."""
    return min((o for o in offers if o.kind == kind), key=lambda o: o.usd / o.devices, default=None)


def missing_price(name: str, offers: Sequence[Offer], kind: PriceKind) -> str:
    """Why there is no cost, and what would give one."""
    others = ", ".join(dict.fromkeys(offer.kind for offer in offers))
    has = f"it has {others} (--price-kind)" if others else "the library has no price of it"
    unit = "30000USD" if kind == "purchase" else "2.5USD/h"
    return f"no {kind} price of {name}: {has}; or --prices {name}={unit}"


def own_prices(asked: Prices) -> tuple[Offer, ...]:
    """The prices that options give, if any; what is raised is as for :func:`read_prices`."""
    return () if asked["prices"] is None else read_prices(asked["prices"], asked["price_kind"])


def read_prices(text: str, kind: PriceKind = "on_demand") -> tuple[Offer, ...]:
    """A user's prices: ``h100=2.71USD/h,l40s=8500USD``, or the name of a YAML file.

    An inline price per hour is of ``kind``, unless that is a purchase: then on demand. A price without hours is a
    purchase. Raises UsageError for a text that is neither, SpecError for an unknown device or a malformed file.

    >>> [(o.shape, o.kind, o.usd) for o in read_prices("h100=2.71USD/h,l40s=8500USD")]
    [('h100-sxm-80gb', 'on_demand', 2.71), ('l40s', 'purchase', 8500.0)]
    """
    if "=" not in text:
        return _from_file(Path(text))
    rented: PriceKind = "on_demand" if kind == "purchase" else kind
    return _distinct([_from_text(entry.strip(), rented) for entry in text.split(",")])


def _from_text(entry: str, rented: PriceKind) -> Offer:
    name, equals, value = entry.partition("=")
    if not (name.strip() and equals and value.strip()):
        msg = f"{_FLAG} {shown(entry)}: expected {_EXAMPLE}"
        raise UsageError(msg)
    shape = _resolved(name.strip())
    try:
        price = Price(kind=rented if value.strip().endswith("/h") else "purchase", value=value.strip(), date="1970")
    except (ValueError, UnitError) as failure:
        problem = first_problem(failure, Price) if isinstance(failure, ValueError) else str(failure)
        msg = f"{_FLAG} {name.strip()}: {problem.removeprefix('value: ')}"
        raise UsageError(msg) from None
    usd, devices = _least(shape, price.kind, price.usd)
    return Offer(price.kind, usd, devices, AS_GIVEN, _FLAG, shape)


def _from_file(path: Path) -> tuple[Offer, ...]:
    if not is_path(str(path)):
        msg = f"{_FLAG} {shown(str(path))}: expected {_EXAMPLE}"
        raise UsageError(msg)
    entries = validated(_PriceList, read_yaml(path), path.name).prices
    return _distinct([_from_entry(entry) for entry in entries])


def _from_entry(entry: _OwnPrice) -> Offer:
    shape, unverified = _resolved(entry.hardware), entry.confidence == "low"
    usd, devices = _least(shape, entry.kind, entry.usd) if entry.devices is None else (entry.usd, entry.devices)
    return Offer(entry.kind, usd, devices, entry.date, str(entry.source), shape, unverified, entry.note or "")


def _distinct(offers: list[Offer]) -> tuple[Offer, ...]:
    """Raises UsageError where one thing has two prices of a kind: which one is meant?"""
    seen: set[tuple[str, str, int]] = set()
    for offer in offers:
        key = (offer.shape, offer.kind, offer.devices)
        if key in seen:
            msg = f"{_FLAG}: {offer.shape} has two {offer.kind} prices; give one"
            raise UsageError(msg)
        seen.add(key)
    return tuple(offers)


def _resolved(name: str) -> str:
    """The full name of a device or a system that is known by a name or an alias. Raises SpecError for neither."""
    count, word = parted(name)
    if count != 1:
        msg = f"{_FLAG} {shown(name)}: a price is that of one {word}; give the number of devices in a YAML file"
        raise UsageError(msg)
    return Path(word).stem if is_path(word) else find_file(str(word)).stem


def _of_device(spec: HardwareSpec) -> tuple[Offer, ...]:
    found = []
    for price in spec.prices:
        source, unverified = spec.source_of(price, "value")
        said = (price.date, source, spec.name, unverified, price.note or "")
        found.append(Offer(price.kind, price.usd, 1, *said, covers=price.covers))
    return tuple(found)


def _of_system(system: System) -> tuple[Offer, ...]:
    """The prices of the smallest part of a box that one can have."""
    found = []
    for price in system.prices:
        source, unverified = system.source_of(price, "value")
        usd, devices = _part(system, price.kind, price.usd)
        found.append(Offer(price.kind, usd, devices, price.date, source, system.name, unverified, price.note or ""))
    return tuple(found)


def _least(shape: str, kind: PriceKind, usd: float) -> tuple[float, int]:
    """A price of a device, or of a whole box: that of the smallest part of it that one can have, and its devices."""
    return _part(load_system(shape), kind, usd)


def _part(system: System, kind: PriceKind, usd: float) -> tuple[float, int]:
    least = system.count if kind == "purchase" else system.rentable or system.count
    return usd * least / system.count, least
