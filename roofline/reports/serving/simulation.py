"""Simulations as people read them: what is served, the percentiles with a band, how full the replicas were."""

from __future__ import annotations

from math import isnan
from typing import Any

from roofline.reports.prediction import quantity, table
from roofline.reports.width import html_of
from roofline.simulation.ledger import COLUMNS
from roofline.simulation.simulate import Simulation
from roofline.simulation.statistics import PERCENTILES, TIMES, Distribution
from roofline.units import format_figures, format_quantity

_MOMENTS = ("arrived", "scheduled", "first", "finished")
_BAND_OF = 95
_MODELLED = (
    "modelled: chunked prefill, paged cache, preemption by recompute, first come first served; prefix hits of "
    "what is known to be shared; no network but transfers of KV caches, no time of the router"
)


def simulation_text(found: Simulation, *, quiet: bool = False) -> str:
    """The whole simulation; ``quiet``: the verdict alone."""
    head = [*_verdict(found)]
    if quiet:
        return "\n".join(head)
    return "\n".join([*head, "", *_percentiles(found), "", *_replicas(found), "", *_footer(found)])


def simulation_html(found: Simulation) -> str:
    """The whole simulation for a notebook."""
    return html_of(lambda: simulation_text(found))


def _verdict(found: Simulation) -> list[str]:
    request, outcome = found.deployment.clock.request, found.outcome
    asked = f"{outcome.requests:,} requests {found.asked.words}"
    lines = [
        f"{request.model.name} ({request.recipe.name}) on {found.deployment.words}: {asked}",
        *([f"layout: {found.why}"] if found.why else []),
        found.workload.words,
    ]
    served = f"{format_figures(outcome.requests_per_s)} req/s, {outcome.output_tokens_per_s:,.0f} generated tokens/s"
    if found.load is None or found.saturation is None:
        lines.append(f"serves {served}; {_makespan(found)}")
        lines += _cost(found)
    else:
        full = f"{found.load:.0%} of the {format_figures(found.saturation)} req/s at saturation"
        lines.append(f"{'OVERLOADED' if found.load >= 1 else 'keeps up'}, {full}: serves {served}")
    if not found.targets.none:
        targets = (("TTFT", found.targets.ttft_s), ("TPOT", found.targets.tpot_s))
        asked = ", ".join(f"{name} {format_quantity(value, 'time_s')}" for name, value in targets if value is not None)
        lines.append(
            f"goodput {format_figures(outcome.goodput)} req/s: {outcome.within:.1%} of the requests within {asked}"
        )
    return lines


def _makespan(found: Simulation) -> str:
    """The makespan; of a job with its band and its tail."""
    whole = f"makespan {quantity(found.outcome.makespan_s, 'time_s')}"
    if found.asked.process != "all":
        return whole
    ends = " to ".join(quantity(end.makespan_s, "time_s") for end in (found.fast, found.slow))
    return f"{whole} ({ends}), its last {quantity(found.outcome.tail_s, 'time_s')} for a tenth of the requests"


def _cost(found: Simulation) -> list[str]:
    """What a job costs, or why that is not known."""
    told = found.job
    if told is None or found.asked.process != "all":
        return []
    if told["usd"] is None:
        return [f"no cost: {told['problem']}"]
    each = f"{format_figures(told['usd_per_million_output'])} USD per million generated tokens"
    ends = f"{format_figures(told['usd_low'])} to {format_figures(told['usd_high'])}"
    return [f"job: {format_figures(told['usd'])} USD ({ends}), {each}; price: {told['price']}"]


def _percentiles(found: Simulation) -> list[str]:
    header = ("", "mean", *(f"p{each}" for each in PERCENTILES), "max", f"p{_BAND_OF} band")
    rows = []
    for name, each in found.outcome.times.items():
        ends = (quantity(end.times[name].percentiles[_BAND_OF], "time_s") for end in (found.fast, found.slow))
        rows.append((TIMES[name], *(quantity(value, "time_s") for value in _values(each)), " to ".join(ends)))
    return table(header, rows)


def _values(each: Distribution) -> tuple[float, ...]:
    return each.mean, *each.percentiles.values(), each.most


def _replicas(found: Simulation) -> list[str]:
    o, d = found.outcome, found.deployment
    each = " a replica" if d.replicas > 1 or d.prefill else ""
    hits = f", {o.cached:.0%} of prompt tokens from a prefix cache" if o.cached else ""
    lost = f"{o.preempted:,} preemption{'' if o.preempted == 1 else 's'}"
    work = f"at work {o.busy:.0%} of the time"
    return [
        f"sequences{each}: {format_figures(o.sequences)} on average, {o.most_sequences:,} at most; {work}",
        f"cache{each}: {o.cache:.1%} full on average, {o.most_cache:.1%} at most; {lost}{hits}",
        *(
            f"tier {tier.words}{each}: {used.loaded:.0%} of prompt tokens loaded from it, read {used.reading:.1%} and "
            f"written {used.writing:.1%} of the time"
            for tier, used in zip(d.pools[0].tiers, o.tiers, strict=True)
        ),
        *_encoders(found),
        *_pools(found),
        *((found.break_even.words,) if found.break_even else ()),
    ]


def _encoders(found: Simulation) -> list[str]:
    """What a pool that encodes did."""
    pool, used = found.deployment.encoding, found.outcome.encode
    if pool is None or used is None:
        return []
    took, sent = (quantity(seconds, "time_s") for seconds in (pool.seconds, pool.sends_s))
    return [f"encode pool: at work {used.busy:.0%} of the time, {took} a request, hand-over over {pool.link} {sent}"]


def _pools(found: Simulation) -> list[str]:
    """What each pool did, and the transfer of caches between them."""
    d, pools = found.deployment, found.outcome.pools
    if d.transfers is None:
        return []
    lines = [
        f"{used.role} pool: at work {used.busy:.0%} of the time, {format_figures(used.sequences)} sequences a replica, "
        f"cache {used.cache:.1%} full on average, {used.most_cache:.1%} at most"
        for used in pools
    ]
    mean = d.transfers.seconds_of(round(float(found.ledger.prompt.mean())))
    busy = f"a decode replica receives caches {pools[-1].linked:.1%} of the time"
    lines.append(f"KV cache transfer over {d.transfers.link}: {quantity(mean, 'time_s')} for a mean prompt; {busy}")
    return lines


def _footer(found: Simulation) -> list[str]:
    request, reserve = found.deployment.clock.request, found.deployment.reserve
    chunk = request.engine.mixed_tokens
    budget = f"steps of {chunk} tokens at most" if chunk else "prompts by themselves"
    counted = (
        f"times of {found.outcome.counted:,} requests, after a warm-up" if found.asked.steady else "all requests count"
    )
    router = f", router {found.asked.router}" if found.deployment.pools[0].replicas > 1 else ""
    engine = f"{request.engine.words}, {budget}, {found.deployment.most:,} sequences at most, {reserve.words}"
    used = f"inputs: {request.recipe.words}, {engine}{router}, seed {found.asked.seed}"
    constants = f"constants: {request.constants.named}"
    spoken = found.deployment.speculation
    guessed = [f"speculation: {spoken.words}"] if spoken else []
    how = f"{constants}; band: with every step at the fast, or at the slow end of its 90 % band; {counted}"
    return [_MODELLED, used, *guessed, how, *(f"note: {note}" for note in found.notes)]


def simulation_rows(found: Simulation) -> list[dict[str, Any]]:
    """One row per request: what it asked for, when what happened to it, what it waited."""
    ledger = found.ledger
    columns = {**{f"{name}_at_s" if name in _MOMENTS else name: getattr(ledger, name) for name in COLUMNS},
               **{name: getattr(ledger, name) for name in TIMES}}  # fmt: skip
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, map(_cell, row), strict=True)) for row in rows]


def _cell(value: float) -> float | None:
    return None if isnan(value) else value
