"""Sizings as people read them: the choice and the runner-up, all orders, what they cost, what misses."""

from __future__ import annotations

from collections.abc import Sequence

from roofline.buying.economics import HOURS_PER_YEAR
from roofline.buying.sizing import Order, Sizing
from roofline.buying.terms import Terms
from roofline.reports.prediction import quantity, table
from roofline.reports.serving import passes
from roofline.reports.serving.comparison import (
    MODELLED,
    SIMULATED,
    WIDE,
    api_lines,
    cost_lines,
    ends,
    footer,
    pooled_lines,
    spread,
    targets_line,
    watts,
    wide_cells,
    wide_columns,
)
from roofline.reports.serving.misses import miss_lines, no_cost_lines
from roofline.reports.serving.pools import against_lines
from roofline.reports.width import html_of
from roofline.serving.operating_points import Target
from roofline.units import format_figures


def sizing_text(result: Sizing, *, quiet: bool = False, wide: bool = False) -> str:
    """The whole sizing; ``wide`` adds columns."""
    asked = "; ".join(word for word in (result.load.words, result.limits.words) if word)
    lines = [result.question.traffic.words(), f"{targets_line(result.question, result.targets)}; {asked}"]
    if not result.orders:
        lines.append("NOTHING SERVES THIS LOAD WITHIN THE TARGETS" + (" AND LIMITS" if result.limits.words else ""))
        lines += [f"nearest miss: {m.who}: {', '.join(m.reasons)}" for m in result.misses[:1]]
        if result.limits.usd is not None and result.terms.kind != "purchase":
            years = f"{result.terms.owning.years:g} years"
            lines.append(f"the budget is for {years} of rent (--years); --price-kind purchase asks what it buys")
    for word, order in zip(("choice", "runner-up"), result.orders, strict=False):
        lines.append(f"{word}: {_order_words(order)}")
    if quiet:
        return "\n".join(lines)
    if result.orders and result.targets.none:
        lines.append("no target was given, so nothing is too slow: --ttft 2s --tpot 50ms leave out what is")
    orders = _orders if result.targets.of_means else _simulated
    lines += ["", *orders(result, wide)] if result.orders else []
    lines += pooled_lines(result.orders, against_lines(result.pools_or_mixed))
    lines += miss_lines([(str(miss.who), miss.hardware.device.name, miss.reasons) for miss in result.misses])
    best: list[Order] = []  # of the layouts of each
    for order in result.orders:
        best += [order] if order.curve.who not in [kept.curve.who for kept in best] else []
    lines += ["", *_sums(best, result.terms)] if any(order.cost for order in best) else []
    lines += ["", *cost_lines([(_held(order), order.cost) for order in best], result.terms)] if best else []
    lines += no_cost_lines([(_held(each), each.hardware.device.name, each.no_cost) for each in best if each.no_cost])
    lines += api_lines([(_held(order), order.cost) for order in best], result.terms)
    if result.orders and not all(order.cost for order in result.orders):
        lines.append("sorted by the number of devices, then by cost, since not all have one")
    modelled = MODELLED if result.targets.of_means else SIMULATED
    return "\n".join([*lines, "", *footer(result.orders, result.question, result.terms, modelled)])


def sizing_html(result: Sizing) -> str:
    """The whole sizing for a notebook."""
    return html_of(lambda: sizing_text(result))


def _order_words(order: Order) -> str:
    point = order.point
    high = "no number at the slow end" if order.units_high is None else f"{order.units_low} to {order.units_high}"
    held = (
        f"1 replica on {point.layout}" if point.replicas == 1 else f"{point.replicas} replicas on {point.layout} each"
    )
    replicas = point.layout if order.curve.pools else held
    price = ""
    if order.cost:
        once = order.cost.hourly.once
        price = f", {once:,.0f} USD to buy" if once else f", {format_figures(order.cost.usd_per_h(1.0))} USD/h"
    return f"{_bought(order)} (band: {high}), {replicas}{price}; at this load {_waits(order)}, {order.used:.0%} used"


def _waits(order: Order) -> str:
    """The times that targets are of, or the means."""
    if order.simulated is None:
        point = order.point
        if point.reads:
            return passes.waits(point)
        return f"TTFT {quantity(point.ttft.value, 'time_s')}, TPOT {quantity(point.tpot.value, 'time_s')}"
    return ", ".join(f"{each.statistic} {name} {quantity(each.time_s, 'time_s')}" for name, each in _reached(order))


def _reached(order: Order) -> list[tuple[str, Target]]:
    """The statistics that targets are of, where they are simulated."""
    if order.simulated is None:
        return []
    named = (("TTFT", order.simulated.reached.ttft), ("TPOT", order.simulated.reached.tpot))
    return [(name, each) for name, each in named if each]


def _sums(orders: Sequence[Order], terms: Terms) -> list[str]:
    """What is to pay, and over the years, beside what an API charges for the same; the power of the site."""
    years, api = terms.owning.years, terms.api
    bought = terms.kind == "purchase"
    header = ["to pay", "purchase" if bought else f"rent of {years:g} years"]
    header += ["energy and hosting", f"total of {years:g} years"] if bought else []
    header += ["API for the same", "paid back after"] if api else []
    header += [f"{each.statistic} {name}" for name, each in _reached(orders[0])]
    rows = []
    for order in orders:
        if order.cost is None:
            continue
        pay, total = order.cost.to_pay_usd(years), order.cost.total_usd(years)
        row = [_held(order), f"{pay:,.0f} USD", *([f"{total - pay:,.0f} USD", f"{total:,.0f} USD"] if bought else [])]
        if api:
            after = order.cost.pays_after(api, years)
            charged = order.cost.api_usd_per_h(api) * HOURS_PER_YEAR * years
            row += [f"{charged:,.0f} USD", "never" if after is None else _lasting(after) if bought else "at once"]
        row += [quantity(each.time_s, "time_s") for _, each in _reached(order)]
        drawn = order.all_in_w(terms.owning.pue)
        rows.append((*row, "-" if drawn is None else quantity(drawn, "power_w")))
    lines = table((*header, "power, all in"), rows, left=(0,))
    return [*lines, "under load around the clock; power: all devices at their TDP, with the PUE"]


def _lasting(years: float) -> str:
    """A time in years, or in days where it is short."""
    return f"{years:.2g} years" if years >= 0.5 else f"{years * 365:.0f} days"


def _held(order: Order) -> str:
    return f"{_bought(order)}, {order.curve.layout}{'' if order.curve.pools or order.point.replicas == 1 else ' each'}"


def _bought(order: Order) -> str:
    """The units in words."""
    if order.pools is not None and order.curve.pools is not None:
        sides = zip(
            (order.curve.pools.prefill, order.curve.pools.decode), order.pools.units, order.pools.unit, strict=True
        )
        return " + ".join(_units(many, pool.curve.hardware.name, unit) for pool, many, unit in sides) + " as pools"
    apart = order.curve.encoders
    beside = f" and {_units(order.encode_devices, apart.hardware.device.name, 1)} to encode" if apart else ""
    return _units(order.units, str(order.curve.who), order.unit) + beside


def _units(units: int, name: str, unit: int) -> str:
    """So many units in words; how many devices each holds, where its name does not say so: a box by its own name.

    >>> _units(2, "8xh100-sxm-80gb", 8), _units(2, "dgx-h100", 8), _units(3, "l40s", 1)
    ('2 x 8xh100-sxm-80gb', '2 x dgx-h100 of 8 devices', '3 x l40s')
    """
    told = unit == 1 or name.startswith(f"{unit}x")
    return f"{units} x {name}" if told else f"{units} x {name} of {unit} devices"


def _simulated(result: Sizing, wide: bool) -> list[str]:
    """Orders with the percentiles of what their requests wait."""
    told = (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("request_s", "end to end"))
    header = ("hardware", "replicas", "units", "band", "devices", "at most", "used",
              *(f"{name} {p}" for _, name in told for p in ("p50", "p95", "p99")), *(WIDE if wide else ()))  # fmt: skip
    rows = []
    for order in result.orders:
        assert order.simulated is not None
        times = [order.simulated.outcome.times.get(name) for name, _ in told]
        waits = [quantity(each.percentiles[p], "time_s") if each else "-" for each in times for p in (50, 95, 99)]
        units = (f"{order.units}", f"{order.units_low} to {order.units_high or '-'}", f"{order.devices}")
        rows.append((
            str(order.curve.who), spread(order.curve, order.point), *units, result.load.told(order.most),
            f"{order.used:.0%}", *waits, *(wide_cells(order.curve, order.point) if wide else ()),
        ))  # fmt: skip
    return table(header, rows, left=(0, 1))


def _orders(result: Sizing, wide: bool) -> list[str]:
    named = ("latency", "pass") if result.question.traffic.reads else ("TTFT", "TPOT")
    columns = (named[0], "band", named[1], "band")
    header = ("hardware", "replicas", "units", "band", "devices", "at most", "used", "batch", *columns, "power",
              *(wide_columns(result.question.traffic.reads) if wide else ()))  # fmt: skip
    rows = []
    for order in result.orders:
        point = order.point
        units = (f"{order.units}", f"{order.units_low} to {order.units_high or '-'}", f"{order.devices}")
        times = (quantity(point.ttft.value, "time_s"), ends(point.ttft), quantity(point.tpot.value, "time_s"))
        rows.append((
            str(order.curve.who), spread(order.curve, point), *units, result.load.told(order.most),
            f"{order.used:.0%}", f"{point.batch}", *times, ends(point.tpot), watts(point),
            *(wide_cells(order.curve, point) if wide else ()),
        ))  # fmt: skip
    return table(header, rows, left=(0, 1))
