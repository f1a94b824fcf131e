"""Rows of points as a table of text: those of a sweep, and of ``predict`` at several points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.reports.prediction import quantity, table
from roofline.units import unit_in_name

BAND = "low, high: ends of the 90 % band, as factors of the time"

_SHOWN = ("hardware", "layout", "batch", "prompt", "generate", "context", "ttft_s", "tpot_s", "request_s",
          "tokens_per_s", "low", "high", "bound_by", "total_bytes", "fits", "max_batch", "refused")  # fmt: skip


def points_text(found: Any, *, wide: bool = False, quiet: bool = False) -> str:
    """A line of each point that ``predict`` was asked for, and notes; ``wide`` has all columns, ``quiet`` no notes."""
    rows = [row if wide else {name: row[name] for name in _SHOWN} for row in found.rows()]
    told = [BAND, *(f"note: {note}" for note in found.notes)]
    return "\n".join([rows_text(found.words, rows), *([] if quiet else told)])


def pivot_text(words: str, rows: Sequence[Mapping[str, Any]], of: str) -> str:
    """A table of one column over two others, whose values stand down the first; each number with the column's unit.

    >>> print(pivot_text("TPOT", [{"batch": 8, "context 64": 0.0031, "context 8000": "does not fit"}], "tpot_s"))
    TPOT
    <BLANKLINE>
    batch  context 64  context 8000
        8     3.10 ms  does not fit
    """
    names = [*rows[0]]
    cells = [(_cell(names[0], row[names[0]]), *(_cell(of, row[name]) for name in names[1:])) for row in rows]
    left = [0] if isinstance(rows[0][names[0]], str) else []
    return "\n".join([words, "", *table(tuple(names), cells, left=left)])


def rows_text(words: str, rows: Sequence[Mapping[str, Any]], most: int | None = None) -> str:
    """Rows without columns that say nothing or the same in every row; of many, the first ``most``.

    >>> rows = [{"batch": batch, "tpot_s": seconds, "fits": True} for batch, seconds in ((1, 0.0078), (8, 0.0091))]
    >>> print(rows_text("two", rows))
    two
    all: fits yes
    <BLANKLINE>
    batch   tpot_s
        1  7.80 ms
        8  9.10 ms
    """
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    alike = {name for name in names if len(rows) > 1 and len({row[name] for row in rows}) == 1}
    varied = [name for name in names if name not in alike] or names
    cells = [tuple(_cell(name, row[name]) for name in varied) for row in rows[:most]]
    left = [place for place, name in enumerate(varied) if {type(row[name]) for row in rows} <= {str, type(None)}]
    same = ", ".join(f"{name} {_cell(name, rows[0][name])}" for name in names if name in alike)
    more = f"{len(rows) - most} more rows (--top)" if most is not None and len(rows) > most else ""
    head = [words, *([f"all: {same}"] if same else []), ""]
    return "\n".join([*head, *table(tuple(varied), cells, left=left), *([more] if more else [])])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    unit = unit_in_name(name)
    if unit is not None:
        return quantity(float(value), unit.dimension)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
