"""Prefill and decode on devices of their own as people read it: both pools, transfers of caches, whether it pays."""

from __future__ import annotations

from collections.abc import Iterable

from roofline.buying.pools_or_mixed import PoolsOrMixed
from roofline.reports.prediction import quantity, table
from roofline.serving.curve import Pools
from roofline.units import format_figures

MODELLED = (
    "pools (disaggregated prefill and decode): prompts are read whole; their KV caches, cached prefixes among them, "
    "are sent when the step has ended, not beside it; TTFT ends with the transfer"
)

SAID = ("USD/h", "devices")
"""Units of costs that are said; device-seconds per token stand in the table, as tokens per second and device."""


def pool_lines(found: Iterable[tuple[str, Pools, int]]) -> list[str]:
    """Both pools of each, at the batch of those that decode."""
    found = list(found)
    encode = "encode + " if any(pools.encode_s for _, pools, _ in found) else ""
    header = ("pools", "prefill", "prompts", "decode", "batch", "bottleneck", "KV cache", "link", "transfer", "band",
              f"TTFT = {encode}wait + prefill + transfer")  # fmt: skip
    rows = []
    for label, pools, batch in found:
        told = pools.to_dict(batch)
        sides = [cell for name in ("prefill", "decode") for cell in _side(told[name])]
        handed, parts = told["hand_over"], told["ttft_parts"]
        time, low, high = (quantity(handed[name], "time_s") for name in ("time_s", "low_s", "high_s"))
        before = (pools.encode_s,) if pools.encode_s else ()
        sums = " + ".join(quantity(part, "time_s") for part in (*before, *parts.values()))
        cache = quantity(handed["bytes"], "bytes")
        rows.append((label, *sides, told["bound_by"], cache, handed["link"], time, f"{low} to {high}", sums))
    return [*table(header, rows, left=(0, 1, 3)), MODELLED] if rows else []


def _side(told: dict[str, object]) -> tuple[str, str]:
    return f"{told['replicas']} x {told['layout']}", str(told["batch"])


def against_lines(found: Iterable[PoolsOrMixed]) -> list[str]:
    """For each hardware in pools, how it stands to aggregated serving on the same hardware, and why."""
    words = {"neither": "neither wins", "pools": "pools win", "mixed": "aggregated serving wins"}
    lines = []
    for each in found:
        cost, other = format_figures(each.cost), format_figures(each.other)
        costs = f", {cost} against {other} {each.unit}" if each.unit in SAID else ""
        own, others = format_figures(each.requests_per_s), format_figures(each.other_requests_per_s)
        rates = f"{own}, split without a rest, against {others} req/s"
        told = f"{words[each.winner]}{costs}; within the targets a device serves {rates}"
        lines.append(f"{each.who} against aggregated serving: {told}: {each.why}")
    return lines
