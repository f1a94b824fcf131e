"""Training runs as people read them: FLOPs beside 6 N D, device-hours with their band, money."""

from __future__ import annotations

from collections.abc import Sequence

from roofline.buying.training_costs import TrainingCost
from roofline.reports.prediction import Row, table


def training_lines(costs: Sequence[TrainingCost]) -> list[str]:
    """A row per hardware, and what is not in it."""
    header = ("training", "FLOPs", "6 N D", "MFU", "device-hours", "band", "USD", "by 6 N D", "USD/Mtok")
    rows: list[Row] = []
    for cost in costs:
        run = cost.run
        if run is None:
            rows.append((cost.hardware.name, *("-",) * 8))
            continue
        ends = f"{run.low_s / 3600:,.3g} to {run.high_s / 3600:,.3g}"
        money = [f"{usd:,.3g}" if usd is not None else "-" for usd in (cost.usd, cost.usd_six_nd, cost.usd_per_million)]
        rows.append((cost.hardware.name, f"{run.flops:.3g}", f"{run.six_nd:.3g}", f"{run.mfu:.0%}",
                     f"{run.device_hours:,.3g}", ends, *money))  # fmt: skip
    lines = table(header, rows)
    lines += [f"{cost.hardware.name}: {cost.problem}" for cost in costs if cost.problem]
    frozen = any(cost.run and cost.run.frozen for cost in costs)
    rule = "4 N D, as the weights are frozen; " if frozen else ""
    return [
        *lines,
        f"{rule}N counts all parameters; without communication, optimiser steps and the recomputation that memory may "
        "ask for: a run takes longer",
    ]
