"""Comparisons as people read them: verdict, figures, costs, how sure, and what is modelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roofline.buying.pareto import FrontPoint
from roofline.buying.ranking import Comparison, Row
from roofline.buying.serving_costs import ServingCost, rent_or_buy
from roofline.buying.sizing import Order
from roofline.buying.terms import Terms
from roofline.hardware.systems import System
from roofline.reports.prediction import constants_line, quantity, table
from roofline.reports.serving import passes
from roofline.reports.serving.misses import MANY, alike_notes, miss_lines, no_cost_lines
from roofline.reports.serving.pools import against_lines, pool_lines
from roofline.reports.width import html_of
from roofline.serving.curve import Curve
from roofline.serving.operating_points import Band, OperatingPoint, Targets
from roofline.serving.scenario import Question
from roofline.timing.timing import PARTS
from roofline.units import Dimension, format_figures

MODELLED = (
    "modelled: the steady-state mean of continuous batching with all slots full; no queueing, no percentiles, no "
    "network, no front end of a server (simulate has one); prompts are charged for the time that they add to decoding"
)
SIMULATED = (
    "modelled: one replica under its part of the load, or all of two pools, in discrete events, for the times; the "
    "steady-state mean for power and cost; no network, no time of the router"
)

SERVED = ("TTFT", "band", "TPOT", "band", "tok/s user", "device", "all", "MFU", "MBU", "power", "per kWh", "bound by")
"""The columns of an operating point, behind its batch."""
WIDE = ("dtype", "most fit", "req/s", "band", "for prompts", *PARTS)
"""The columns that a wide table adds: what is stored, the largest batch that fits, and what a step is made of."""
SPLIT = (
    "in / out: the part of the time that prompts add pays for their tokens, the rest for those generated; what a cache "
    "holds counts as in"
)
POWER = (
    "power: assumed to rise with MFU and MBU from 15 % of the TDP, never above it; tokens per kWh are generated ones, "
    "with the PUE"
)


def comparison_text(result: Comparison, *, quiet: bool = False, pareto: bool = False, wide: bool = False) -> str:
    """The whole comparison; ``pareto`` adds the front of cost against TPOT, ``wide`` columns, and all points of it."""
    lines = _verdict(result)
    if quiet:
        return "\n".join(lines if result.rows[0].qualifies else [*lines, *_misses(result)])
    lines += ["", *_served(result, wide), *pooled_lines(result.rows, against_lines(result.pools_or_mixed))]
    if any(row.point for row in result.rows):
        lines += ["", *cost_lines([(str(row.curve.who), row.cost) for row in result.rows], result.terms)]
    lines += no_cost_lines([(str(row.curve.who), _device(row), row.no_cost) for row in result.rows if row.no_cost])
    lines += _alternatives(result)
    lines += ["", *_front(result, wide)] if pareto else []
    return "\n".join([*lines, "", *footer(result.rows, result.question, result.terms)])


def comparison_html(result: Comparison) -> str:
    """The whole comparison for a notebook."""
    return html_of(lambda: comparison_text(result))


def _front(result: Comparison, wide: bool) -> list[str]:
    """What nothing else beats in both cost and TPOT."""
    if not result.front:
        return ["Pareto front: none, for want of prices or of what meets the targets"]
    reads = result.question.traffic.reads
    figures = passes.front_cells(reads) if reads else ("TPOT", "band", "TTFT", "tok/s user", "USD/Mtok")
    header = ("Pareto front", "dtype", "layout", "batch", *figures)
    rows = [
        (p.hardware, p.dtype, p.layout, f"{p.batch}", quantity(p.tpot_s, "time_s"),
         ends(Band(p.tpot_s, p.tpot_s * p.low, p.tpot_s * p.high)), quantity(p.ttft_s, "time_s"),
         *(() if reads else (format_figures(1 / p.tpot_s),)),
         format_figures(passes.price_of(p.usd_per_million, reads)))
        for p in (result.front if wide else thinned(result.front))
    ]  # fmt: skip
    return [
        *table(header, rows, left=(0, 1, 2)),
        f"{len(rows)} of {len(result.front)} points{'' if wide else '; --wide has them all'}",
    ]


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
    lines = [result.question.traffic.words(), targets_line(result.question, result.targets)]
    first = result.rows[0]
    if not first.qualifies:
        nothing = "NOTHING SERVES IT" if result.targets.none else "NOTHING MEETS THE TARGETS"
        return [*lines, f"{nothing}; the reasons stand below"]
    ties = [str(row.curve.who) for row in result.rows if row.tie]
    what = result.question.traffic.reads or "tokens"
    many = passes.priced_by(what)[1]
    price = f", {_usd(passes.price_of(first.cost.mix(1.0), what))} per {many} {what} at full load" if first.cost else ""
    if result.batch is not None:
        each = " on each replica" if any(row.point and row.point.replicas > 1 for row in result.rows) else ""
        lines.append(f"fastest at batch {result.batch}{each}: {_order(result)}")
    else:
        lines.append(f"best: {first.curve.who}{price}")
    if ties:
        lines.append(f"tied with it (the 90 % band of the ratio includes 1): {', '.join(ties)}")
    return lines


def _order(result: Comparison, most: int = 5) -> str:
    """The first rows with their time per token, and how many more."""
    rows = [(row.curve.who, row.point) for row in result.rows if row.qualifies and row.point]
    named = [f"{who} {quantity(point.tpot.value, 'time_s')}" for who, point in rows[:most]]
    return ", ".join(named) + (f", then {len(rows) - most} more" if len(rows) > most else "")


def targets_line(question: Question, targets: Targets) -> str:
    """What is served, and how fast that should be."""
    edits = ", ".join(f"{path} = {value}" for path, value in question.overrides)
    edited = f", edited: {edits}" if edits else ""
    return f"{question.model.name}{edited}, targets: {targets.words or 'none'}"


def _served(result: Comparison, wide: bool) -> list[str]:
    shown = [row for row in result.rows if row.point] if len(result.rows) > MANY else result.rows
    figures, more = _columns(result), wide_columns(result.question.traffic.reads) if wide else ()
    absent = ("-",) * (len(figures) + 2)
    header = ("hardware", "", "replicas", "batch", *figures, *more)
    rows = [
        (
            str(row.curve.who),
            _mark(row, result),
            *((spread(row.curve, row.point), *_figures(row.point, result.terms)) if row.point else absent),
            *((wide_cells(row.curve, row.point) if row.point else ("-",) * len(more)) if wide else ()),
        )
        for row in shown
    ]
    lines = [*table(header, rows, left=(0, 1, 2)), *_alone(result)]
    lines += _misses(result)
    unsure = [f"{row.curve.who} ({', '.join(row.unsure)})" for row in result.rows if row.unsure]
    return lines + ([f"? at the slow end of the band: {'; '.join(unsure)}"] if unsure else [])


def _misses(result: Comparison) -> list[str]:
    return miss_lines([(str(row.curve.who), _device(row), row.misses) for row in result.rows if row.misses])


def _device(row: Row) -> str:
    return row.hardware.device.name


def _columns(result: Comparison) -> tuple[str, ...]:
    reads = result.question.traffic.reads
    return passes.columns(reads) if reads else SERVED


def _alone(result: Comparison) -> list[str]:
    """One sequence at a time, where no target says how slow is too slow at full load."""
    rows = [
        (str(row.curve.who), "alone", spread(row.curve, alone), *_figures(alone, result.terms))
        for row in result.rows
        if (alone := row.alone)
    ]
    if not rows:
        return []
    header = ("batch 1", "", "replicas", "batch", *_columns(result))
    return ["without targets, at full load; one sequence at a time:", *table(header, rows, left=(0, 1, 2))]


def spread(curve: Curve, point: OperatingPoint) -> str:
    """How many replicas of which layout; those of pools say their own numbers."""
    return point.layout if curve.pools else f"{point.replicas} x {point.layout}"


def wide_columns(reads: str) -> tuple[str, ...]:
    """The columns that a wide table adds, of a network that generates nothing those that are not there already."""
    return (*WIDE[:2], *PARTS) if reads else WIDE


def wide_cells(curve: Curve, point: OperatingPoint) -> tuple[str, ...]:
    """What stands under ``wide_columns``."""
    rate, most = point.requests_per_s, "-" if curve.most is None else f"{curve.most:,}"
    shares = (f"{point.shares[name]:.0%}" for name in PARTS)
    if curve.reads:
        return curve.dtype, most, *shares
    band = f"{format_figures(rate.low)} to {format_figures(rate.high)}"
    return curve.dtype, most, format_figures(rate.value), band, f"{point.input_part:.0%}", *shares


def pooled_lines(found: Sequence[Row | Order], verdicts: Sequence[str]) -> list[str]:
    """The pools among them, and how they stand to mixed steps."""
    told = [
        (str(each.curve.who), each.curve.pools, each.point.batch) for each in found if each.curve.pools and each.point
    ]
    return ["", *pool_lines(told), *verdicts] if told else []


def _mark(row: Row, result: Comparison) -> str:
    if not row.qualifies:
        return "misses"
    served = "meets" if not result.targets.none else "full load" if result.batch is None else f"batch {result.batch}"
    return served + ("?" if row.unsure else "") + (" =" if row.tie else "")


def _figures(point: OperatingPoint, terms: Terms) -> tuple[str, ...]:
    times = [text for band in (point.ttft, point.tpot) for text in (quantity(band.value, "time_s"), ends(band))]
    rates = (point.user_tokens_per_s, point.device_tokens_per_s, point.tokens_per_s)
    told = passes.rates(point) if point.reads else [format_figures(rate) for rate in rates]
    energy = point.tokens_per_kwh(terms.owning.pue)
    unit: Dimension = "requests" if point.reads else "tokens"
    power = (watts(point), "-" if energy is None else quantity(energy, unit))
    return (f"{point.batch}", *times, *told, f"{point.mfu:.0%}", f"{point.mbu:.0%}", *power, point.bound_by)


def ends(band: Band) -> str:
    """Both ends of a band of times."""
    return f"{quantity(band.low, 'time_s')} to {quantity(band.high, 'time_s')}"


def cost_lines(rows: Iterable[tuple[str, ServingCost | None]], terms: Terms) -> list[str]:
    """USD per million tokens in and out, at each utilisation."""
    priced = [(name, cost) for name, cost in rows if cost is not None]
    if not priced:
        return ["cost: none, for want of prices"]
    reads = priced[0][1].reads
    what, more = (passes.money_title(reads), ()) if reads else ("USD per million tokens, in / out", ("for prompts",))
    header = (what, "USD/h", *more, *(f"{u:.0%} used" for u in terms.utilizations))
    cells = [(name, format_figures(cost.usd_per_h(1.0)), *_money(cost, terms)) for name, cost in priced]
    lines = [*table(header, cells, left=(0,)), *(() if reads else (SPLIT,))]
    return [*lines, *dict.fromkeys(f"price: {offer.words()}" for _, cost in priced for offer in cost.offers)]


def _money(cost: ServingCost, terms: Terms) -> tuple[str, ...]:
    """What a million costs at each utilisation, in and out behind the prompts' part."""
    if cost.reads:
        return passes.money(cost, terms)
    pairs = (f"{format_figures(cost.input(u))} / {format_figures(cost.output(u))}" for u in terms.utilizations)
    return f"{cost.input_part:.0%}", *pairs


def api_lines(rows: Iterable[tuple[str, ServingCost | None]], terms: Terms) -> list[str]:
    """From which utilisation on each is cheaper than an API, where one is given."""
    api, lines, cached = terms.api, [], 0.0
    for name, cost in rows:
        if cost and api:
            at, cached = cost.breakeven(api), cost.cached
            where = f"from {at:.0%} utilisation" if at else "at no utilisation"
            lines.append(f"{name}: cheaper than an API at {api.words} {where}")
    if api and cached:
        how = "at its price of cached input" if api.cached_usd is not None else "in full (--api IN/CACHED/OUT)"
        lines.append(f"the API charges {cached:.0%} of the prompt tokens, those that a prefix cache holds, {how}")
    return lines


def _alternatives(result: Comparison) -> list[str]:
    """Where an API, or buying, costs the same."""
    told, terms = set(), result.terms
    lines = api_lines([(str(row.curve.who), row.cost) for row in result.rows], terms)
    rent = "on_demand" if terms.kind == "purchase" else terms.kind
    for row in result.rows if not result.question.asked["encode_on"] else ():  # whose price would be left out
        if row.point and row.hardware.name not in told and (found := rent_or_buy(row.hardware, row.point, terms, rent)):
            told.add(row.hardware.name)
            price, years = found
            after = "never: rent costs less" if years is None else f"after {years:.2g} years of rent around the clock"
            lines.append(f"{row.hardware.name}: buying pays {after} ({price})")
    return lines


def watts(point: OperatingPoint) -> str:
    """The power of all devices."""
    return "-" if point.power_w is None else quantity(point.power_w, "power_w")


def footer(found: Sequence[Row | Order], question: Question, terms: Terms, modelled: str = MODELLED) -> list[str]:
    """How sure, what is modelled, which defaults."""
    curves = [
        side
        for curve in (each.curve for each in found)
        for side in (curve, *([curve.pools.prefill.curve] if curve.pools else []))
    ]
    bands = dict.fromkeys(
        constants_line(curve.constants, curve.recipe.timed_dtype)
        for curve in curves
        if curve.constants is not None and curve.recipe is not None
    )
    attention = _whose((curve.hardware.name, curve.running.kernels.attention) for curve in curves if curve.running)
    used = [
        _whose((curve.hardware.name, curve.recipe.words) for curve in curves if curve.recipe),
        _whose((curve.hardware.name, curve.running.words) for curve in curves if curve.running),
        attention and f"attention {attention}",
        f"prices {terms.kind}",
    ]
    spoken = [f"speculation: {question.speculation.words}"] if question.speculation else []
    told = [(each.curve, each.curve.notes_at(each.point.batch if each.point else None)) for each in found]
    told += [(curve, curve.cautions) for curve in curves]
    cautions = alike_notes((curve.hardware.device.name, caution) for curve, notes in told for caution in notes)
    advice = (curve.recipe.cache_advice for curve in curves if curve.recipe and curve.recipe.cache_advice)
    notes = dict.fromkeys((*question.notes, *advice, *cautions))
    if terms.kind == "purchase":
        boxes = (curve.hardware.sold for curve in curves)
        notes |= {f"{box.name} is a box of {box.count} x {box.spec.name}, which are sold in such": None
                  for box in boxes if isinstance(box, System)}  # fmt: skip
    owned = [f"owning: {terms.owning.words()}"] if terms.kind == "purchase" else []
    modelled, power = (passes.MODELLED, passes.POWER) if question.traffic.reads else (modelled, POWER)
    inputs = f"inputs: {'; '.join(word for word in used if word)}"
    return [modelled, inputs, *spoken, *owned, power, *bands, *(f"note: {note}" for note in notes)]


def _whose(pairs: Iterable[tuple[str, str]]) -> str:
    """What the rows use, each with the hardware that does where they differ."""
    users: dict[str, dict[str, None]] = {}
    for hardware, words in pairs:
        users.setdefault(words, {})[hardware] = None
    alone = len({tuple(names) for names in users.values()}) == 1
    return ", ".join(words if alone else f"{words} ({', '.join(names)})" for words, names in users.items())


def _usd(value: float) -> str:
    return f"{format_figures(value)} USD"
