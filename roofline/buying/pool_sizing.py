"""Disaggregated serving, sized: how many replicas of each pool, prefill and decode, a load needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Literal

from roofline.buying.load import Arriving, Load
from roofline.buying.serving_costs import ServingCost, cost_of_both, serving_cost
from roofline.buying.sizing import MOST_UNITS, Miss, Order, PoolUnits, Sizing, sizing_of, unit_of
from roofline.buying.terms import Terms
from roofline.classes import frozen
from roofline.errors import UsageError, WorkloadError
from roofline.serving.curve import Curve, Served
from roofline.serving.disaggregated_serving import (
    Pair,
    best_split,
    full_column,
    joined,
    pair_of,
    paired_curves,
    prefill_column,
    problem_of,
    watts,
)
from roofline.serving.hardware_choice import Hardware, growing
from roofline.serving.operating_points import (
    OperatingPoint,
    Targets,
    best_column,
    least_column,
    nearest_column,
    point_at,
)
from roofline.serving.scenario import Question

_NEVER = float("inf")


@frozen
class _Asked:
    """What all pairs are asked."""

    question: Question
    load: Arriving
    targets: Targets
    terms: Terms

    @property
    def first(self) -> Targets:
        """What those that prefill must meet."""
        return Targets(self.targets.ttft, None)

    @property
    def then(self) -> Targets:
        """What those that decode must meet."""
        return Targets(None, self.targets.tpot)


@frozen
class _Shape:
    """What is had: units of so many devices of each pool; of one hardware they are shared."""

    unit: tuple[int, int]
    shared: bool

    def units(self, devices: tuple[int, int]) -> tuple[int, int]:
        """Units that hold the devices of each pool; of both together, and none, where they are shared."""
        if self.shared:
            return ceil(sum(devices) / self.unit[0]), 0
        return ceil(devices[0] / self.unit[0]), ceil(devices[1] / self.unit[1])

    def devices(self, units: tuple[int, int]) -> int:
        """How many devices these hold."""
        return units[0] * self.unit[0] + units[1] * self.unit[1]


def arriving(load: Load) -> Arriving:
    """A load that pools are sized for. Raises UsageError for one that is no rate."""
    if not isinstance(load, Arriving):
        msg = "pools are sized for requests that arrive; give load such as 50req/s, not what is in flight"
        raise UsageError(msg)
    return load


def with_pools(sizing: Sizing, pairs: Sequence[tuple[Hardware, Hardware]]) -> Sizing:
    """The sizing with pools of each pair of hardware, to prefill and to decode, among its orders.

    Raises UsageError for a load that is no rate.
    """
    question, load, targets, terms = sizing.question, arriving(sizing.load), sizing.targets, sizing.terms
    found = (*sizing.orders, *sizing.misses, *pool_orders(question, pairs, load, targets, terms))
    return sizing_of(question, load, targets, terms, found)


def pool_orders(
    question: Question, pairs: Sequence[tuple[Hardware, Hardware]], load: Arriving, targets: Targets, terms: Terms
) -> list[Order | Miss]:
    """For each pair of hardware, to prefill and to decode, the fewest units in its best layouts; or why none serves."""
    pairs_of = orders_of_pairs(question, pairs, load, targets, terms)
    return [
        min(each.orders, key=_rank) if each.orders else min(each.misses, key=lambda miss: miss.excess)
        for each in pairs_of
    ]


@frozen
class PairOrders:
    """The orders of a pair of hardware in all its layouts, and what misses; some of either."""

    orders: tuple[Order, ...]
    misses: tuple[Miss, ...]


def orders_of_pairs(
    question: Question, pairs: Sequence[tuple[Hardware, Hardware]], load: Arriving, targets: Targets, terms: Terms
) -> list[PairOrders]:
    """For each pair of hardware, to prefill and to decode, the fewest units in every two layouts."""
    grown = {id(each): growing(each) for pair in pairs for each in pair}
    asked = _Asked(question, load, targets, terms)
    found: list[PairOrders] = []
    for who, prefill, decode in paired_curves(question, [(grown[id(p)], grown[id(d)]) for p, d in pairs]):
        tried = [_order(p, d, who, asked) for p in prefill for d in decode if not (p.problem or d.problem)]
        orders = tuple(each for each in tried if isinstance(each, Order))
        misses = tuple(each for each in tried if isinstance(each, Miss))
        none = Miss(decode[0].hardware, who, (problem_of(prefill, decode),), _NEVER)
        found.append(PairOrders(orders, misses or (none,)))
    return found


def order_at(
    order: Order,
    counts: tuple[int, int],
    ends: tuple[tuple[int, int], tuple[int, int] | None],
    question: Question,
    load: Arriving,
    terms: Terms,
) -> Order:
    """An order of the same two layouts with so many replicas of each pool, and with so many at the ends of the band."""
    pools = order.curve.pools
    assert pools is not None, "an order of pools"
    pair = Pair(pools.prefill.curve, pools.decode.curve, pools.handed)
    shape, asked = _shape(pair.prefill, pair.decode, terms), _Asked(question, load, Targets(), terms)

    def units(many: tuple[int, int]) -> tuple[int, int]:
        return shape.units((many[0] * pair.prefill.devices, many[1] * pair.decode.devices))

    low, high = units(ends[0]), units(ends[1]) if ends[1] else None
    return _with_counts(pair, shape, (units(counts), low, high), counts, order.curve.who, asked)


def _rank(order: Order) -> tuple[float, int, float]:
    return (order.cost.usd_per_h(1.0) if order.cost else 0.0, order.devices, order.used)


def _order(prefill: Curve, decode: Curve, who: Served, asked: _Asked) -> Order | Miss:
    """The fewest units of one pair of layouts. The link depends on how many devices there are in the end."""
    shape = _shape(prefill, decode, asked.terms)
    try:
        pair = pair_of(prefill, decode, prefill.devices + decode.devices)
        needed = _needed(pair, shape, asked)
        if needed is not None:
            pair = pair_of(prefill, decode, shape.devices(needed))
            needed = _needed(pair, shape, asked)
    except WorkloadError as failure:
        return Miss(decode.hardware, who, (str(failure),), _NEVER)
    if needed is None:
        return _miss(pair, who, asked)
    if sum(needed) > MOST_UNITS:
        return Miss(decode.hardware, who, (f"needs {sum(needed):,} units",), sum(needed) / MOST_UNITS)
    return _at_load(pair, shape, needed, who, asked)


def _shape(prefill: Curve, decode: Curve, terms: Terms) -> _Shape:
    one, other = prefill.hardware, decode.hardware
    return _Shape((unit_of(one, terms), unit_of(other, terms)), one.name == other.name)


def _needed(pair: Pair, shape: _Shape, asked: _Asked, end: Literal["", "low", "high"] = "") -> tuple[int, int] | None:
    """The units for the load, as expected or at an end of the band; None where a pool misses its target then."""
    devices = []
    p, d = pair.prefill, pair.decode
    first = full_column(p, asked.targets, p.of(f"ttft_{end}") if end else 1.0)
    then = best_column(d, asked.then, d.of(end) if end else 1.0)
    for curve, column in ((p, first), (d, then)):
        if column is None:
            return None
        rate = float(curve.of("requests_per_s")[column] / (curve.of(f"rate_{end}")[column] if end else 1.0))
        devices.append(asked.load.replicas(rate) * curve.devices)
    return shape.units((devices[0], devices[1]))


def _at_load(pair: Pair, shape: _Shape, units: tuple[int, int], who: Served, asked: _Asked) -> Order:
    """The order of so many units, whose spare devices serve too, at the load itself."""
    columns = _best_columns(pair, asked)
    if shape.shared:
        counts = best_split(shape.devices(units), pair, columns)
    else:
        counts = (units[0] * shape.unit[0] // pair.prefill.devices, units[1] * shape.unit[1] // pair.decode.devices)
    ends = (units, _needed(pair, shape, asked, "low"), _needed(pair, shape, asked, "high"))
    return _with_counts(pair, shape, ends, counts, who, asked)


def _with_counts(
    pair: Pair,
    shape: _Shape,
    ends: tuple[tuple[int, int], tuple[int, int] | None, tuple[int, int] | None],
    counts: tuple[int, int],
    who: Served,
    asked: _Asked,
) -> Order:
    """The order of so many replicas of each pool, in units as expected and at both ends of the band."""
    units, low, high = ends
    columns = _best_columns(pair, asked)
    rates = [
        many * float(curve.of("requests_per_s")[column])
        for many, curve, column in zip(counts, (pair.prefill, pair.decode), columns, strict=True)
    ]
    wanted = asked.load.requests_per_s
    first = prefill_column(pair, asked.targets, wanted / counts[0])
    then = least_column(pair.decode, wanted / counts[1], asked.then)
    curve = joined(pair, columns[0] if first is None else first, counts, who)
    column = columns[1] if then is None else then
    point = point_at(curve, column, 1)
    cost, no_cost = _cost(curve, column, point, shape, units, asked)
    total = sum(units)
    return Order(
        curve, shape.unit[1], total, min(sum(low or units), total), max(sum(high), total) if high else None, min(rates),
        min(rates), point, wanted / min(rates), cost, no_cost, None if shape.shared else PoolUnits(units, shape.unit),
    )  # fmt: skip


def _best_columns(pair: Pair, asked: _Asked) -> tuple[int, int]:
    """The batches of both within the targets, at which they serve most."""
    best = full_column(pair.prefill, asked.targets), best_column(pair.decode, asked.then)
    assert best[0] is not None
    assert best[1] is not None
    return best[0], best[1]


def _cost(
    curve: Curve, column: int, point: OperatingPoint, shape: _Shape, units: tuple[int, int], asked: _Asked
) -> tuple[ServingCost | None, str]:
    terms, traffic = asked.terms, asked.question.traffic
    if shape.shared:
        return serving_cost(replace(curve.hardware, count=shape.devices(units)), point, traffic, terms)
    assert curve.pools is not None
    sides = zip((curve.pools.prefill, curve.pools.decode), units, shape.unit, watts(curve, column), strict=True)
    held = [(pool.curve.hardware, many * unit, power) for pool, many, unit, power in sides]
    return cost_of_both(held, point, traffic, terms)


def _miss(pair: Pair, who: Served, asked: _Asked) -> Miss:
    """What the pools miss, each at the batch that misses by the least."""
    reasons, excess = [], 0.0
    for curve, targets in ((pair.prefill, asked.first), (pair.decode, asked.then)):
        column = nearest_column(curve, targets)
        if column is None:
            return Miss(pair.decode.hardware, who, ("no batch fits",), _NEVER)
        times = (float(curve.of("ttft_s")[column]), float(curve.of("tpot_s")[column]))
        reasons += targets.misses(*times)
        excess = max(excess, float(targets.excess(*times)))
    return Miss(pair.decode.hardware, who, tuple(reasons), excess)
