"""How much hardware a load needs: the fewest rentable units that serve it within the targets, and the runner-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from roofline.buying.limits import Limits
from roofline.buying.load import Load
from roofline.buying.pools.encode import EncodingApart, encoders_needed, with_encoders
from roofline.buying.pools_or_mixed import PoolsOrMixed, pools_or_mixed
from roofline.buying.ranking import heading
from roofline.buying.serving_costs import ServingCost, serving_cost
from roofline.buying.terms import Terms
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.number import Grid
from roofline.serving.batch_sweep import curves
from roofline.serving.curve import Curve, Served
from roofline.serving.hardware_choice import Hardware, growing
from roofline.serving.operating_points import (
    OperatingPoint,
    Targets,
    least_of,
    most_of,
    nearest_column,
    point_at,
)
from roofline.serving.scenario import Question
from roofline.simulation.statistics import Outcome

MOST_UNITS = 1_000_000


@frozen
class PoolUnits:
    """Two pools on hardware of their own: units of each, and how many devices a unit holds; prefill first."""

    units: tuple[int, int]
    unit: tuple[int, int]

    @property
    def devices(self) -> int:
        """How many devices all units hold."""
        return sum(many * unit for many, unit in zip(self.units, self.unit, strict=True))


@frozen
class Simulated:
    """What an order's requests wait, where it is sized by percentiles: the ``outcome`` of one of its replicas.

    ``reached`` are the statistics that the targets are of.
    """

    reached: Targets
    outcome: Outcome

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        times = {name: each.to_dict() for name, each in self.outcome.times.items()}
        return {"requests": self.outcome.counted, **times}


@frozen
class Order:
    """Hardware that serves a load: so many units of what one can rent or buy.

    ``units_low`` and ``units_high`` are the numbers at the fast and the slow end of the band (None: then no number
    does). ``capacity`` is what it serves at most within the targets [requests/s], ``most`` the same in the load's own
    measure, ``used`` the part of it that the load takes, ``point`` what it does at the load itself. ``pools``: the
    units of each pool where their hardware differs. ``encode_devices``: how many encode beside them. ``simulated``:
    what requests wait, where percentiles are asked for.
    """

    curve: Curve
    unit: int
    units: int
    units_low: int
    units_high: int | None
    capacity: float
    most: float
    point: OperatingPoint
    used: float
    cost: ServingCost | None
    no_cost: str
    pools: PoolUnits | None = None
    simulated: Simulated | None = None
    encode_devices: int = 0

    @property
    def hardware(self) -> Hardware:
        """What it consists of."""
        return self.curve.hardware

    @property
    def devices(self) -> int:
        """How many devices all units hold."""
        return self.pools.devices if self.pools else self.units * self.unit

    def all_in_w(self, pue: float) -> float | None:
        """The power of the site with all devices at their TDP; None where that is not stated. [W]"""
        held = [(self.hardware.device.tdp, self.devices)]
        if self.pools and self.curve.pools:
            sides = (self.curve.pools.prefill, self.curve.pools.decode)
            held = [
                (pool.curve.hardware.device.tdp, many * unit)
                for pool, many, unit in zip(sides, self.pools.units, self.pools.unit, strict=True)
            ]
        if self.curve.encoders:
            held.append((self.curve.encoders.hardware.device.tdp, self.encode_devices))
        drawn = [tdp * devices for tdp, devices in held if tdp is not None]
        return pue * sum(drawn) if len(drawn) == len(held) else None

    def to_dict(self, terms: Terms) -> dict[str, Any]:
        """The order as JSON."""
        c = self.curve.constants
        return {
            "hardware": self.hardware.name, "device": self.hardware.device.name, "dtype": self.curve.dtype,
            "engine": self.curve.running.to_dict() if self.curve.running else None,
            "layout": self.curve.layout,
            "unit_devices": self.unit,
            "units": self.units, "units_low": self.units_low, "units_high": self.units_high, "devices": self.devices,
            "capacity_requests_per_s": self.capacity,
            "utilization": self.used,
            "all_in_power_w": self.all_in_w(terms.owning.pue),
            "at_load": self.point.to_dict(),
            **({"simulated": self.simulated.to_dict()} if self.simulated else {}),
            "pools": self._pools(),
            **self._encode(),
            "cost": self._cost(self.cost, terms) if self.cost else None,
            "no_cost": self.no_cost or None, "provenance": c.provenance if c else None,
            "constants": c.whose if c else None, "notes": list(self.curve.notes_at(self.point.batch)),
        }  # fmt: skip

    def _encode(self) -> dict[str, Any]:
        """What encodes apart."""
        encoders, rate = self.curve.encoders, self.point.requests_per_s.value
        return {"encode": encoders.to_dict(rate, self.encode_devices)} if encoders else {}

    def _cost(self, cost: ServingCost, terms: Terms) -> dict[str, Any]:
        years = terms.owning.years
        told = {"to_pay_usd": cost.to_pay_usd(years), "total_usd": cost.total_usd(years)}
        api = {"api_pays_after_years": cost.pays_after(terms.api, years)} if terms.api else {}
        return cost.to_dict(terms.utilizations, terms.api) | told | api

    def _pools(self) -> dict[str, Any] | None:
        if self.curve.pools is None:
            return None
        found = self.curve.pools.to_dict(self.point.batch)
        for place, name in enumerate(("prefill", "decode") if self.pools else ()):
            assert self.pools is not None
            found[name] |= {"units": self.pools.units[place], "unit_devices": self.pools.unit[place]}
        return found


@frozen
class Miss:
    """Hardware that cannot serve within the targets, why, and by what factor the worse one is missed."""

    hardware: Hardware
    who: Served
    reasons: tuple[str, ...]
    excess: float

    def to_dict(self) -> dict[str, Any]:
        """The miss as JSON."""
        excess = self.excess if self.excess != float("inf") else None
        return {"hardware": str(self.who), "reasons": list(self.reasons), "excess": excess}


@frozen
class Sizing:
    """Orders that serve the load, the best one first, and what misses, the nearest first."""

    question: Question
    load: Load
    targets: Targets
    terms: Terms
    orders: tuple[Order, ...]
    misses: tuple[Miss, ...]
    limits: Limits = Limits()

    @property
    def qualifies(self) -> bool:
        """Whether anything serves the load within the targets."""
        return bool(self.orders)

    @property
    def pools_or_mixed(self) -> tuple[PoolsOrMixed, ...]:
        """Each hardware in pools against aggregated serving, by the cost of an hour, or by devices without it.

        Of means alone, which say why one wins.
        """
        if not self.targets.of_means:
            return ()
        mixed: dict[Served, Order] = {}
        for order in self.orders:
            if order.curve.pools is None:
                mixed.setdefault(order.curve.who, order)
        found = []
        for order in self.orders:
            other = mixed.get(order.curve.who.mixed)
            if order.curve.pools is not None and other is not None:
                costs, unit = (float(order.devices), float(other.devices)), "devices"
                if order.cost and other.cost:
                    costs, unit = (order.cost.usd_per_h(1.0), other.cost.usd_per_h(1.0)), "USD/h"
                found.append(pools_or_mixed(order.curve, other.curve, costs, unit, self.targets))
        return tuple(found)

    def _repr_html_(self) -> str:
        from roofline.reports.serving.sizing import sizing_html  # noqa: PLC0415  (a floor up: only a notebook asks for it)

        return sizing_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``size``."""
        head = heading(self.question, self.targets, self.terms)
        head["inputs"] |= self.load.to_dict() | self.limits.to_dict()
        orders = [order.to_dict(self.terms) for order in self.orders]
        return {
            **head,
            "choice": orders[0] if orders else None,
            "runner_up": orders[1] if len(orders) > 1 else None,
            "others": orders[2:],
            "misses": [miss.to_dict() for miss in self.misses],
            **({"pools_or_mixed": [each.to_dict() for each in pools]} if (pools := self.pools_or_mixed) else {}),
        }


def size_hardware(
    question: Question, hardware: Sequence[Hardware], load: Load, targets: Targets, terms: Terms,
    apart: EncodingApart | None = None,
) -> Sizing:  # fmt: skip
    """The fewest units of each hardware for a load, within the targets; ``apart`` encodes for each of them.

    A unit is the smallest that one can have of it: a rentable shape, the box that a device is sold in, or the number of
    devices asked for. Orders are
    sorted by the cost of an hour if all have one of the kind of price, else by their devices. Raises UsageError without
    hardware.
    """
    if not hardware:
        msg = "no hardware to size; name some such as h100,mi300x"
        raise UsageError(msg)
    own = curves(apart.rest(question) if apart else question, [growing(each) for each in hardware], targets)
    if apart is not None:
        own = apart.joined(own, question, bounded=False)
    found = [order_by_means(curve, question, load, targets, terms) for curve in own]
    return sizing_of(question, load, targets, terms, found)


def sizing_of(question: Question, load: Load, targets: Targets, terms: Terms, found: Sequence[Order | Miss]) -> Sizing:
    """What was found, sorted, without layouts that are no better in anything than another of the same hardware.

    Of those that cost as much, the one that serves most comes first; by devices, one without a cost after those with.
    """
    orders = [each for each in found if isinstance(each, Order)]
    misses = _misses(found, {order.curve.who for order in orders})
    priced = all(order.cost for order in orders)

    def cost(order: Order) -> float:
        return _hourly(order) if priced else order.devices

    kept = [order for order in orders if not any(_beats(other, order, cost) for other in orders)]
    unknown = float("inf")
    kept.sort(
        key=lambda each: (
            cost(each), each.devices, _hourly(each) if each.cost else unknown, str(each.curve.who), -each.most
        )
    )  # fmt: skip
    return Sizing(question, load, targets, terms, tuple(kept), tuple(misses))


def _beats(one: Order, other: Order, cost: Callable[[Order], float]) -> bool:
    """Whether a layout is no worse than another of the same hardware: in cost, times, what it serves at equal cost."""
    if one.curve.who != other.curve.who:
        return False
    least = cost(one), *(figure.value for figure in (one.point.ttft, one.point.tpot))
    more = cost(other), *(figure.value for figure in (other.point.ttft, other.point.tpot))
    if least[0] == more[0]:
        least, more = (*least, -one.most), (*more, -other.most)
    return least != more and all(a <= b for a, b in zip(least, more, strict=True))


def within_limits(result: Sizing, limits: Limits) -> Sizing:
    """The sizing with orders that exceed a limit among what misses, each with what the units within it serve."""
    orders = [_exceeding(order, result, limits) or order for order in result.orders]
    found = sizing_of(result.question, result.load, result.targets, result.terms, (*orders, *result.misses))
    return replace(found, limits=limits)


def _exceeding(order: Order, result: Sizing, limits: Limits) -> Miss | None:
    """What an order exceeds; None where it exceeds nothing."""
    load, owning, cost = result.load, result.terms.owning, order.cost
    reasons, worst = [], 1.0
    to_pay, per_h = (cost.to_pay_usd(owning.years), cost.usd_per_h(1.0)) if cost else (None, None)
    for verb, value, limit, words in limits.limited(to_pay, per_h, order.all_in_w(owning.pue)):
        if value is None:
            reasons.append(order.no_cost if verb == "cost" else f"{order.hardware.device.name} states no TDP")
            worst = float("inf")
        elif value > limit * (1 + 1e-9):
            within = int(order.units * limit / value * (1 + 1e-9))
            rented = value == to_pay and result.terms.kind != "purchase"
            how = f" to rent for {owning.years:g} years" if rented else ""
            enough = _within(order, load, within)
            reasons.append(f"{_counted(order.units, verb)} {words(value)}{how} > {words(limit)}, {enough}")
            worst = max(worst, value / limit)
    return Miss(order.hardware, order.curve.who, tuple(reasons), worst) if reasons else None


def _within(order: Order, load: Load, units: int) -> str:
    """What so many units of an order serve: whole replicas of it, of pools a part of both."""
    if not units:
        return "not one is within it"
    replicas = order.point.replicas
    share = units / order.units if order.curve.pools else units * replicas // order.units / replicas
    if not share:
        return f"{_counted(units, 'hold')} no whole replica"
    return f"{_counted(units, 'serve')} {load.told(order.most * share * (1 - load.headroom))} of {load.amount:g}"


def _counted(count: int, verb: str) -> str:
    return f"1 unit {verb}s" if count == 1 else f"{count:,} units {verb}"


def _misses(found: Sequence[Order | Miss], served: set[Served]) -> list[Miss]:
    """What serves in no layout, each with the one that misses by the least; the nearest first.

    Of layouts that do not fit, the one whose reason says most: how much is wanting, and what would hold it.
    """
    nearest: dict[Served, Miss] = {}

    def rank(miss: Miss) -> tuple[float, int]:
        return miss.excess, -max(map(len, miss.reasons))

    for each in found:
        if isinstance(each, Miss) and each.who not in served:
            nearest[each.who] = min((nearest.get(each.who, each), each), key=rank)
    return sorted(nearest.values(), key=lambda miss: (miss.excess, str(miss.who)))


def _hourly(order: Order) -> float:
    return order.cost.usd_per_h(1.0) if order.cost else 0.0


def order_by_means(curve: Curve, question: Question, load: Load, targets: Targets, terms: Terms) -> Order | Miss:
    """The fewest units of a curve's hardware whose means meet the targets, or why none do."""
    if curve.problem or curve.state is None:
        return Miss(curve.hardware, curve.who, (curve.problem,), float("inf"))
    best = most_of(load.served(curve), curve, targets)
    if best is None:
        return _miss(curve, targets)
    unit = unit_of(curve.hardware, terms)
    units = _units(curve, load.replicas(float(load.served(curve)[best])), unit)
    if units > MOST_UNITS:
        return Miss(curve.hardware, curve.who, (f"needs {units:,} units",), units / MOST_UNITS)
    fast = _at_end(curve, load, targets, unit, curve.of("low"))
    slow = _at_end(curve, load, targets, unit, curve.of("high"))
    band = (min(fast or units, units), slow and max(slow, units))
    return order_of(curve, question, load, targets, terms, units, band)


def order_of(
    curve: Curve, question: Question, load: Load, targets: Targets, terms: Terms, units: int,
    band: tuple[int, int | None],
) -> Order:  # fmt: skip
    """So many units of a curve's hardware, of which some batch meets the targets, at the load."""
    best = most_of(load.served(curve), curve, targets)
    assert best is not None, "some batch meets the targets"
    unit = unit_of(curve.hardware, terms)
    replicas, each = max(1, units * unit // curve.devices), float(load.served(curve)[best])
    column = least_of(load.served(curve), load.amount / replicas, curve, targets)
    point = point_at(curve, best if column is None else column, replicas)
    cost, no_cost = serving_cost(replace(curve.hardware, count=units * unit), point, question.traffic, terms)
    encode = 0
    if (encoders := curve.encoders) is not None:
        held = unit_of(encoders.hardware, terms)
        encode = encoders_needed(encoders, point.requests_per_s.value, load.headroom, held)
        cost, no_cost = with_encoders(cost, no_cost, encoders, encode, terms)
    capacity = float(curve.of("requests_per_s")[best]) * replicas
    return Order(curve, unit, units, *band, capacity, each * replicas, point, load.amount / (each * replicas), cost,
                 no_cost, encode_devices=encode)  # fmt: skip


def unit_of(hardware: Hardware, terms: Terms) -> int:
    """The devices of the smallest shape that one can have of it."""
    offer = terms.offer(hardware)
    return max(hardware.count, offer.devices if offer else 1)


def _units(curve: Curve, replicas: int, unit: int) -> int:
    return ceil(replicas * curve.devices / unit)


def _at_end(curve: Curve, load: Load, targets: Targets, unit: int, slack: Grid) -> int | None:
    """The units if all times are at an end of their band; None where the targets are missed then."""
    served = load.served(curve)
    column = most_of(served, curve, targets, slack)
    if column is None:
        return None
    return _units(curve, load.replicas(float(served[column] / load.slower(slack)[column])), unit)


def _miss(curve: Curve, targets: Targets) -> Miss:
    column = nearest_column(curve, targets)
    if column is None:
        return Miss(
            curve.hardware,
            curve.who,
            ("no batch whose prompts fit the steps; give a larger engine.chunk",),
            float("inf"),
        )
    ttft, tpot = float(curve.of("ttft_s")[column]), float(curve.of("tpot_s")[column])
    return Miss(curve.hardware, curve.who, tuple(targets.misses(ttft, tpot)), float(targets.excess(ttft, tpot)))
