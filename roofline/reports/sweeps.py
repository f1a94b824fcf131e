"""A sweep in lines: what it would do, what it left, what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roofline.reports.prediction import quantity, table
from roofline.sweeps.questions import Found
from roofline.sweeps.sweep import Plan, Sweep
from roofline.units import Dimension

_UNITS: dict[str, Dimension] = {"_s": "time_s", "_bytes": "bytes", "_j": "energy_j"}
_SCALES = {"fits": "", "usd_per_mtoken": "USD/Mtok"}


def plan_text(plan: Plan, folder: Path) -> str:
    """Points, parts, bytes and minutes; what is there already."""
    left = plan.left
    there = f", {len(plan.there)} of them there" if plan.there else ""
    size = quantity(plan.bytes, "bytes")
    minutes = f"{max(1, round(plan.seconds / 60))} minutes" if plan.seconds > 60 else "less than a minute"
    lines = [
        f"{plan.points:,} points in {len(plan.parts)} parts{there}; about {size} in {folder}, {minutes} left",
        *(f"  {part.title}: {part.points:,} points" for part in list(left.values())[:8]),
    ]
    return "\n".join([*lines, *([f"  and {len(left) - 8} more"] if len(left) > 8 else [])])


def sweep_text(sweep: Sweep) -> str:
    """What a finished sweep holds, and what it may be asked."""
    size = quantity(sum(path.stat().st_size for path in sweep.parts()), "bytes")
    refused = f", {sweep.refused:,} refused (column refused says why)" if sweep.refused else ""
    return (
        f"{sweep.rows:,} rows in {len(sweep.parts())} files of {sweep.folder}, {size}{refused}\n"
        f"roofline sweep show {sweep.folder} --best usd_per_mtoken --where 'fits and tpot_s < 0.03'"
    )


def answer_text(found: Found, most: int | None) -> str:
    """The rows of an answer, without columns that say nothing or the same in every row; of many, the first."""
    rows: list[dict[str, Any]] = found.table.to_pylist()
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    alike = {name for name in names if len(rows) > 1 and len({row[name] for row in rows}) == 1}
    varied = [name for name in names if name not in alike] or names
    cells = [tuple(_cell(name, row[name]) for name in varied) for row in rows[:most]]
    left = [place for place, name in enumerate(varied) if any(isinstance(row[name], str) for row in rows)]
    same = ", ".join(f"{name} {_cell(name, rows[0][name])}" for name in names if name in alike)
    more = f"{len(rows) - most} more rows (--top)" if most is not None and len(rows) > most else ""
    head = [found.words, *([f"all: {same}"] if same else []), ""]
    return "\n".join([*head, *table(tuple(varied), cells, left=left), *([more] if more else [])])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end) and not name.endswith("per_s")), None)
    if unit is not None:
        return quantity(float(value), unit)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
