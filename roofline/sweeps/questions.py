"""What a finished sweep is asked: the best rows, the front of two columns, a table of one over two others.

Rows are read a file's part at a time, so that a sweep may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from roofline.buying.pareto import unbeaten
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.sweeps.columns import KEPT, NUMBERS, WORDS
from roofline.sweeps.conditions import column, condition
from roofline.sweeps.folder import parquet
from roofline.sweeps.sweep import Sweep

_MORE_IS_BETTER = ("tokens_per_s", "max_batch", "low", "fits")
_TOLD = ("model", "hardware", "layout", "dtype", "engine", *NUMBERS)
MOST_CELLS = 40
"""Columns of a pivot."""


@frozen
class Found:
    """Rows of a sweep, as a table of pyarrow, and what was asked, in words.

    ``axes``: the two columns that a front or a pivot is of, ``group`` the third: of a front what each is of, of a pivot
    what stands in its cells. ``cells``: of a pivot a row of each pair.
    """

    words: str
    table: Any
    axes: tuple[str, ...] = ()
    group: str | None = None
    cells: Any = None

    def rows(self) -> list[dict[str, Any]]:
        """The rows, those of a pivot pair by pair."""
        found: list[dict[str, Any]] = (self.table if self.cells is None else self.cells).to_pylist()
        return found

    @property
    def naming(self) -> tuple[str, ...]:
        """The columns that tell one row from others."""
        return _TOLD

    def more_is_better(self, name: str) -> bool:
        """Whether a larger value of a column is the better one."""
        return more_is_better(name)


def more_is_better(name: str) -> bool:
    """Whether a larger value of a column is the better one."""
    return name in _MORE_IS_BETTER or name.endswith(("_mfu", "_mbu"))


def best(sweep: Sweep, by: str, where: str | None = None, top: int = 10) -> Found:
    """The rows that are best by a column, the best first. Raises UsageError for a column or condition that is none."""
    known = _known(sweep)
    name = _number(by, known)
    kept: Any = None
    for rows in _batches(sweep, [name], where, known):
        kept = _top(rows if kept is None else _joined([kept, rows]), name, top)
    order = "most" if more_is_better(name) else "least"
    return Found(f"{order} {name}{_said(where)}", kept)


def pareto(sweep: Sweep, axes: Sequence[str], by: str | None = None, where: str | None = None) -> Found:
    """The rows that no other beats in both of two columns, in each group of a third. Raises UsageError likewise."""
    known = _known(sweep)
    if len(axes) != 2:
        msg = f"pareto {','.join(axes)}: expected two columns such as tpot_s,usd_per_mtoken"
        raise UsageError(msg)
    names = [_number(name, known) for name in axes]
    group = None if by is None else column(by, known)
    front: Any = None
    for rows in _batches(sweep, [*names, *([group] if group else [])], where, known):
        front = _front(rows if front is None else _joined([front, rows]), names, group)
    each = f" of each {group}" if group else ""
    words = f"front of {' against '.join(names)}{each}{_said(where)}"
    return Found(words, front.sort_by(names[0]), tuple(names), group)


def pivot(sweep: Sweep, axes: Sequence[str], of: str, where: str | None = None) -> Found:
    """The best of a column for each pair of values of two others: rows and columns. Raises UsageError likewise."""
    known = _known(sweep)
    if len(axes) != 2:
        msg = f"pivot {','.join(axes)}: expected two columns such as batch,context"
        raise UsageError(msg)
    down, across = (column(name, known) for name in axes)
    name = _number(of, known)
    how = "max" if more_is_better(name) else "min"
    whole: Any = None
    for rows in _batches(sweep, [down, across, name], where, known):
        some = rows.select([down, across, name])
        whole = _grouped(some if whole is None else _joined([whole, some]), down, across, name, how)
    words = f"{how} {name} by {down} and {across}{_said(where)}"
    return Found(words, _spread(whole, down, across, name), (down, across), name, whole)


def _known(sweep: Sweep) -> list[str]:
    return list(sweep.scan().schema.names)


def _number(name: str, known: list[str]) -> str:
    found = column(name, known)
    if found in (*WORDS, "bound_by", "fits"):
        msg = f"column {found}: is no number; expected one of {', '.join(name for name in KEPT if name in known)}"
        raise UsageError(msg)
    return found


def _said(where: str | None) -> str:
    return f", where {where}" if where else ""


def _batches(sweep: Sweep, names: Sequence[str], where: str | None, known: list[str]) -> Iterator[Any]:
    """The rows that are meant, some at a time, with what they were asked for. Raises UsageError for none."""
    arrow, _ = parquet()
    meant, some = condition(where, known), False
    for batch in sweep.scan().to_batches(columns=list(dict.fromkeys([*_TOLD, *names])), filter=meant):
        rows = _plain(arrow, arrow.Table.from_batches([batch]))
        for name in names:
            rows = rows.filter(_there(rows[name]))
        if rows.num_rows:
            some = True
            yield rows
    if not some:
        msg = f"{sweep.folder}: no row{_said(where)} has {' and '.join(names)}"
        raise UsageError(msg)


def _there(values: Any) -> Any:
    from pyarrow import compute  # noqa: PLC0415

    return compute.is_valid(values)


def _plain(arrow: Any, rows: Any) -> Any:
    """Text without dictionaries, which differ from file to file."""
    for place, field in enumerate(rows.schema):
        if arrow.types.is_dictionary(field.type):
            rows = rows.set_column(place, field.name, rows[field.name].cast(arrow.string()))
    return rows


def _joined(tables: list[Any]) -> Any:
    arrow, _ = parquet()
    return arrow.concat_tables(tables)


def _top(rows: Any, name: str, most: int) -> Any:
    order = "descending" if more_is_better(name) else "ascending"
    return rows.sort_by([(name, order), ("batch", "ascending")]).slice(0, most)


def _front(rows: Any, names: list[str], group: str | None) -> Any:
    """What no other row of its group beats in both."""
    values = [rows[name].to_numpy().astype(np.float64) * (-1 if more_is_better(name) else 1) for name in names]
    groups = np.array([str(each) for each in rows[group].to_pylist()] if group else [""] * rows.num_rows)
    kept = [place for each in dict.fromkeys(groups.tolist()) for own in [np.flatnonzero(groups == each)]
            for place in own[unbeaten(values[0][own], values[1][own])]]  # fmt: skip
    return rows.take(kept)


def _grouped(rows: Any, down: str, across: str, name: str, how: str) -> Any:
    found = rows.group_by([down, across]).aggregate([(name, how)])
    return found.select([down, across, f"{name}_{how}"]).rename_columns([down, across, name])


def _spread(rows: Any, down: str, across: str, name: str) -> Any:
    arrow, _ = parquet()
    lines, heads = (sorted(set(rows[axis].to_pylist()), key=_order) for axis in (down, across))
    if len(heads) > MOST_CELLS:
        msg = f"pivot: {across} has {len(heads)} values, expected at most {MOST_CELLS}; put it first, or narrow --where"
        raise UsageError(msg)
    cells = {(row[down], row[across]): row[name] for row in rows.to_pylist()}
    columns = {f"{across} {head}": [cells.get((line, head)) for line in lines] for head in heads}
    return arrow.table({down: lines, **columns})


def _order(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value)
