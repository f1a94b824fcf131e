"""Prefill and decode on devices of their own as people read it: both pools, the hand-over, and whether it pays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roofline.buying.ranking import Row
from roofline.buying.sizing import Order
from roofline.reports.prediction import quantity, table
from roofline.serving.curve import Curve, Pools, Served
from roofline.serving.disaggregated_serving import ideal_rate
from roofline.serving.operating_points import Targets

MODELLED = (
    "pools: prompts are read whole; their caches, cached prefixes among them, are handed over when the step has ended, "
    "not beside it; TTFT ends with the hand-over"
)


def pool_lines(found: Iterable[tuple[str, Pools, int]]) -> list[str]:
    """Both pools of each, at the batch of those that decode."""
    header = ("pools", "prefill", "prompts", "decode", "batch", "less serves", "cache", "link", "hand-over", "band",
              "TTFT = wait + prefill + hand-over")  # fmt: skip
    rows = []
    for label, pools, batch in found:
        told = pools.to_dict(batch)
        sides = [cell for name in ("prefill", "decode") for cell in _side(told[name])]
        handed, parts = told["hand_over"], told["ttft_parts"]
        time, low, high = (quantity(handed[name], "time_s") for name in ("time_s", "low_s", "high_s"))
        sums = " + ".join(quantity(parts[name], "time_s") for name in ("wait_s", "prefill_s", "hand_over_s"))
        cache = quantity(handed["bytes"], "bytes")
        rows.append((label, *sides, told["bound_by"], cache, handed["link"], time, f"{low} to {high}", sums))
    return [*table(header, rows, left=(0, 1, 3)), MODELLED] if rows else []


def _side(told: dict[str, object]) -> tuple[str, str]:
    return f"{told['replicas']} x {told['layout']}", str(told["batch"])


def compared_orders(orders: Sequence[Order], targets: Targets) -> list[str]:
    """For each hardware in pools, how it stands to the same hardware in mixed steps, and why."""
    mixed: dict[Served, Order] = {}
    for order in orders:
        if order.curve.pools is None:
            mixed.setdefault(order.curve.who, order)
    lines = []
    for order in orders:
        other = mixed.get(order.curve.who.mixed)
        if order.curve.pools is not None and other is not None:
            prices = [each.cost.usd_per_h(1.0) if each.cost else None for each in (order, other)]
            words = "USD/h" if None not in prices else "devices"
            sides = [o.devices if price is None or words == "devices" else price
                     for o, price in zip((order, other), prices, strict=True)]  # fmt: skip
            lines.append(_against(order.curve, other.curve, (sides[0], sides[1]), words, targets))
    return lines


def compared_rows(rows: Sequence[Row], targets: Targets) -> list[str]:
    """The same for rows of a comparison."""
    mixed = {row.curve.who: row for row in rows if row.curve.pools is None and row.qualifies}
    lines = []
    for row in rows:
        other = mixed.get(row.curve.who.mixed)
        if row.curve.pools is not None and row.qualifies and row.point and other is not None and other.point:
            sides = (1 / row.point.device_tokens_per_s, 1 / other.point.device_tokens_per_s)
            lines.append(_against(row.curve, other.curve, sides, "", targets))
    return lines


def _against(pooled: Curve, mixed: Curve, sides: tuple[float, float], words: str, targets: Targets) -> str:
    """Who wins, by how much, and why; ``sides`` are the costs of both."""
    own, other = sides
    draw = abs(own / other - 1) < 1e-6
    wins = "neither wins" if draw else "pools win" if own < other else "mixed steps win"
    costs = f", {own:,.3g} against {other:,.3g} {words}" if words else ""
    rates = ideal_rate(pooled, targets), ideal_rate(mixed, targets)
    told = f"within the targets a device serves {rates[0]:,.3g} against {rates[1]:,.3g} req/s"
    return f"{pooled.who} against mixed steps: {wins}{costs}; {told}: {_why(pooled, own < other or draw, rates)}"


def _why(pooled: Curve, won: bool, rates: tuple[float, float]) -> str:
    assert pooled.pools is not None
    if rates[0] >= rates[1]:
        more = "no prompt stands between decode steps, so that more sequences keep the TPOT"
        apart = pooled.pools.prefill.curve.hardware.name != pooled.pools.decode.curve.hardware.name
        lost = "its devices cost more" if apart else "whole replicas in whole units do not split so evenly"
        return more if won else f"{more}, but {lost}"
    used = float(pooled.pools.decode.curve.of("mfu").max())
    less = f"decoding by itself uses {used:.0%} of the compute at most, which mixed steps fill with prompts"
    return less if not won else f"{less}, but mixed steps take as many whole units"
