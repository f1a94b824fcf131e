"""Comparisons and sizings as people read them: verdict, figures, costs, how sure, and what is modelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roofline.economics import Ownership
from roofline.operating_points import Band, OperatingPoint, Targets
from roofline.pareto import FrontPoint
from roofline.question import Question
from roofline.ranking import Comparison, Row
from roofline.report import quantity, table
from roofline.report_pools import compared_orders, compared_rows, pool_lines
from roofline.report_training import training_lines
from roofline.serving_costs import ServingCost, Terms, rent_or_buy
from roofline.serving_curve import Curve
from roofline.sizing import Order, Sizing

MODELLED = (
    "modelled: the steady-state mean of continuous batching with all slots full; no queueing, no percentiles, no "
    "network; prompts are charged for the time that they add to decoding"
)
POWER = "power: assumed to rise with MFU and MBU from 15 % of the TDP, never above it"


def comparison_text(result: Comparison, *, quiet: bool = False, pareto: bool = False) -> str:
    """The whole comparison; ``pareto`` adds the front of cost against TPOT."""
    lines = _verdict(result)
    if quiet:
        return "\n".join(lines)
    lines += ["", *_served(result), *_pooled(result.rows, compared_rows(result.rows, result.targets)), ""]
    lines += _costs([(row.curve.label, row.cost) for row in result.rows], result.terms)
    lines += [f"no cost: {row.no_cost}" for row in result.rows if row.no_cost]
    lines += _alternatives(result)
    lines += ["", *_front(result)] if pareto else []
    lines += ["", *training_lines(result.training)] if result.training else []
    return "\n".join([*lines, "", *footer([row.curve for row in result.rows], result.question, result.terms)])


def _front(result: Comparison) -> list[str]:
    """What nothing else beats in both cost and TPOT."""
    if not result.front:
        return ["Pareto front: none, for want of prices or of what meets the targets"]
    header = ("Pareto front", "dtype", "layout", "batch", "TPOT", "band", "TTFT", "tok/s user", "USD/Mtok")
    rows = [
        (p.hardware, p.dtype, p.layout, f"{p.batch}", quantity(p.tpot_s, "time_s"),
         _ends(Band(p.tpot_s, p.tpot_s * p.low, p.tpot_s * p.high)), quantity(p.ttft_s, "time_s"),
         f"{1 / p.tpot_s:.3g}", f"{p.usd_per_million:.3g}")
        for p in thinned(result.front)
    ]  # fmt: skip
    return [*table(header, rows, left=(0, 1, 2)), f"{len(rows)} of {len(result.front)} points; --json has them all"]


def thinned(front: Sequence[FrontPoint], step: float = 1.25) -> list[FrontPoint]:
    """Both ends of the front, where it changes hands, and a point for every 25 % more of TPOT between."""
    kept: list[FrontPoint] = []
    for place, point in enumerate(front):
        changed = not kept or (kept[-1].hardware, kept[-1].dtype, kept[-1].layout) != (
            point.hardware, point.dtype, point.layout,
        )  # fmt: skip
        if changed or place == len(front) - 1 or point.tpot_s >= step * kept[-1].tpot_s:
            kept.append(point)
    return kept


def _verdict(result: Comparison) -> list[str]:
    lines = [result.question.traffic.words(), _targets(result.question, result.targets)]
    first = result.rows[0]
    if not first.qualifies:
        return [*lines, "NOTHING MEETS THE TARGETS; the reasons stand below"]
    ties = [row.curve.label for row in result.rows if row.tie]
    price = f", {_usd(first.cost.mix(1.0))} per million tokens at full load" if first.cost else ""
    lines.append(f"best: {first.curve.label}{price}")
    if ties:
        lines.append(f"not told apart from it (the 90 % band of the ratio holds 1): {', '.join(ties)}")
    return lines


def _targets(question: Question, targets: Targets) -> str:
    pairs = (("TTFT", targets.ttft_s), ("TPOT", targets.tpot_s))
    asked = [f"{name} <= {quantity(value, 'time_s')}" for name, value in pairs if value is not None]
    return f"{question.model.name}, targets: {', '.join(asked) or 'none'}"


def _served(result: Comparison) -> list[str]:
    header = ("hardware", "", "replicas", "batch", "TTFT", "band", "TPOT", "band", "tok/s user", "device", "all", "MFU",
              "MBU", "power", "bound by")  # fmt: skip
    rows = [
        (
            row.curve.label,
            _mark(row),
            *((_spread(row.curve, row.point), *_figures(row.point)) if row.point else ("-",) * 13),
        )
        for row in result.rows
    ]
    lines = table(header, rows, left=(0, 1, 2))
    lines += [f"{row.curve.label} misses: {', '.join(row.misses)}" for row in result.rows if row.misses]
    unsure = [f"{row.curve.label} ({', '.join(row.unsure)})" for row in result.rows if row.unsure]
    return lines + ([f"? at the slow end of the band: {'; '.join(unsure)}"] if unsure else [])


def _spread(curve: Curve, point: OperatingPoint) -> str:
    """How many replicas of which layout; those of pools say their own numbers."""
    return point.layout if curve.pools else f"{point.replicas} x {point.layout}"


def _pooled(found: Sequence[Row | Order], verdicts: Sequence[str]) -> list[str]:
    """The pools among them, and how they stand to mixed steps."""
    told = [(each.curve.label, each.curve.pools, each.point.batch) for each in found if each.curve.pools and each.point]
    return ["", *pool_lines(told), *verdicts] if told else []


def _mark(row: Row) -> str:
    if not row.qualifies:
        return "misses"
    return "meets" + ("?" if row.unsure else "") + (" =" if row.tie else "")


def _figures(point: OperatingPoint) -> tuple[str, ...]:
    times = [text for band in (point.ttft, point.tpot) for text in (quantity(band.value, "time_s"), _ends(band))]
    rates = (point.user_tokens_per_s, point.device_tokens_per_s, point.tokens_per_s)
    told = [f"{rate:,.3g}" if rate < 100 else f"{rate:,.0f}" for rate in rates]
    return (f"{point.batch}", *times, *told, f"{point.mfu:.0%}", f"{point.mbu:.0%}", _watts(point), point.bound_by)


def _ends(band: Band) -> str:
    return f"{quantity(band.low, 'time_s')} to {quantity(band.high, 'time_s')}"


def _costs(rows: Iterable[tuple[str, ServingCost | None]], terms: Terms) -> list[str]:
    """USD per million tokens in and out, at each utilisation."""
    priced = [(name, cost) for name, cost in rows if cost is not None]
    if not priced:
        return ["cost: none, for want of prices"]
    header = (
        "USD per million tokens, in / out",
        "USD/h",
        *(f"{u:.0%} used" for u in terms.utilizations),
        "price",
        "date",
    )
    cells = [
        (name, f"{cost.usd_per_h(1.0):.3g}",
         *(f"{cost.input(u):.3g} / {cost.output(u):.3g}" for u in terms.utilizations),
         f"{cost.offers[0].kind}{' (unverified)' if any(o.unverified for o in cost.offers) else ''}",
         min(offer.date for offer in cost.offers))
        for name, cost in priced
    ]  # fmt: skip
    lines = table(header, cells, left=(0,))
    return [*lines, *dict.fromkeys(f"price: {offer.words()}" for _, cost in priced for offer in cost.offers)]


def _alternatives(result: Comparison) -> list[str]:
    """Where an API, or buying, costs the same."""
    lines, told, terms = [], set(), result.terms
    for row in result.rows:
        if row.cost and terms.api:
            at, prices = row.cost.breakeven(terms.api), f"{terms.api[0]:g} / {terms.api[1]:g}"
            where = f"from {at:.0%} utilisation" if at else "at no utilisation"
            lines.append(f"{row.curve.label}: cheaper than an API at {prices} USD per million tokens in / out {where}")
    rent = "on_demand" if terms.kind == "purchase" else terms.kind
    for row in result.rows:
        if row.point and row.hardware.name not in told and (found := rent_or_buy(row.hardware, row.point, terms, rent)):
            told.add(row.hardware.name)
            prices, years = found
            after = "never: rent costs less" if years is None else f"after {years:.2g} years of rent around the clock"
            lines.append(f"{row.hardware.name}: buying pays {after} ({prices})")
    return lines


def sizing_text(result: Sizing, *, quiet: bool = False) -> str:
    """The whole sizing."""
    load = result.load
    asked = f"{load.requests_per_s:g} req/s, {load.headroom:.0%} of the capacity kept free"
    lines = [result.question.traffic.words(), f"{_targets(result.question, result.targets)}; load {asked}"]
    if not result.orders:
        lines.append("NOTHING SERVES THIS LOAD WITHIN THE TARGETS")
        lines += [f"nearest miss: {m.label}: {', '.join(m.reasons)}" for m in result.misses[:1]]
    for word, order in zip(("choice", "runner-up"), result.orders, strict=False):
        lines.append(f"{word}: {_order_words(order)}")
    if quiet:
        return "\n".join(lines)
    lines += ["", *_orders(result)] if result.orders else []
    lines += _pooled(result.orders, compared_orders(result.orders, result.targets))
    lines += [f"{miss.label} misses: {', '.join(miss.reasons)}" for miss in result.misses]
    best: list[Order] = []  # of the layouts of each
    for order in result.orders:
        best += [order] if order.curve.label not in [kept.curve.label for kept in best] else []
    lines += ["", *_costs([(_held(order), order.cost) for order in best], result.terms)] if best else []
    lines += [f"no cost: {order.no_cost}" for order in best if order.no_cost]
    if result.orders and not all(order.cost for order in result.orders):
        lines.append("sorted by the number of devices, since not all have a price")
    curves = [order.curve for order in result.orders]
    return "\n".join([*lines, "", *footer(curves, result.question, result.terms)])


def _order_words(order: Order) -> str:
    point = order.point
    high = "no number at the slow end" if order.units_high is None else f"{order.units_low} to {order.units_high}"
    replicas = point.layout if order.curve.pools else f"{point.replicas} replicas on {point.layout} each"
    price = f", {order.cost.usd_per_h(1.0):,.3g} USD/h" if order.cost else ""
    return (
        f"{_bought(order)} (band: {high}), {replicas}{price}; at this load "
        f"TTFT {quantity(point.ttft.value, 'time_s')}, "
        f"TPOT {quantity(point.tpot.value, 'time_s')}, {order.used:.0%} used"
    )


def _held(order: Order) -> str:
    return f"{_bought(order)}, {order.curve.layout}{'' if order.curve.pools else ' each'}"


def _bought(order: Order) -> str:
    """The units in words."""
    if order.pools is not None and order.curve.pools is not None:
        sides = zip(
            (order.curve.pools.prefill, order.curve.pools.decode), order.pools.units, order.pools.unit, strict=True
        )
        return " + ".join(_units(many, pool.curve.hardware.name, unit) for pool, many, unit in sides) + " as pools"
    return _units(order.units, order.curve.label, order.unit)


def _units(units: int, name: str, unit: int) -> str:
    return f"{units} x {name}" + (f" of {unit}" if unit > 1 else "")


def _orders(result: Sizing) -> list[str]:
    header = ("hardware", "replicas", "units", "band", "devices", "at most", "used", "batch", "TTFT", "band", "TPOT",
              "band", "power")  # fmt: skip
    rows = []
    for order in result.orders:
        point = order.point
        units = (f"{order.units}", f"{order.units_low} to {order.units_high or '-'}", f"{order.devices}")
        times = (quantity(point.ttft.value, "time_s"), _ends(point.ttft), quantity(point.tpot.value, "time_s"))
        rows.append((
            order.curve.label, _spread(order.curve, point), *units, f"{order.capacity:,.3g} req/s",
            f"{order.used:.0%}", f"{point.batch}", *times, _ends(point.tpot), _watts(point),
        ))  # fmt: skip
    return table(header, rows, left=(0, 1))


def _watts(point: OperatingPoint) -> str:
    return "-" if point.power_w is None else quantity(point.power_w, "power_w")


def footer(curves: Sequence[Curve], question: Question, terms: Terms) -> list[str]:
    """How sure, what is modelled, which defaults."""
    curves = [side for curve in curves for side in (curve, *([curve.pools.prefill.curve] if curve.pools else []))]
    bands = dict.fromkeys(
        f"constants: {c.provenance} {c.name}; band {c.low:g} to {c.high:g} x expected ({c.evidence})"
        for c in (curve.constants for curve in curves)
        if c is not None
    )
    dtypes = dict.fromkeys(curve.recipe.words for curve in curves if curve.recipe)
    prompts = "prompts by themselves" if question.chunk is None else f"mixed steps of {question.chunk} tokens"
    used = f"inputs: {', '.join(dtypes)}, {prompts}, {question.memory_share:.0%} of the memory, prices {terms.kind}"
    spoken = [f"speculation: {question.speculation.words}"] if question.speculation else []
    notes = dict.fromkeys(caution for curve in curves for caution in curve.hardware.device.cautions)
    owned = [f"owning: {_owning(terms.owning)}"] if terms.kind == "purchase" else []
    return [MODELLED, used, *spoken, *owned, POWER, *bands, *(f"note: {note}" for note in notes)]


def _owning(owning: Ownership) -> str:
    return f"{owning.words()}; devices alone, without chassis, CPUs and network"


def _usd(value: float) -> str:
    return f"{value:.3g} USD"
