"""What a finished sweep is asked: the best rows, the front of two columns, a table of one over two others.

Rows are read a file's part at a time, so that a sweep may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.buying.pareto import unbeaten
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.sweeps.columns import KEPT, NUMBERS, TARGETS, TEXTS, TRAINED_NUMBERS, TRAINED_WORDS, TRUTHS
from roofline.sweeps.conditions import asks_fit, column, condition
from roofline.sweeps.folder import parquet
from roofline.sweeps.sweep import Sweep

_MORE_IS_BETTER = ("tokens_per_s", "device_tokens_per_s", "requests_per_s", "max_batch", "low")
_TOLD = (
    "model",
    "hardware",
    "layout",
    "dtype",
    "engine",
    "phase",
    *TRAINED_WORDS,
    *NUMBERS,
    *TRAINED_NUMBERS,
    "price_kind",
    "usd_per_h",
    *TARGETS,
)
MOST_CELLS = 40
"""Columns of a pivot."""


@frozen
class Found:
    """Rows of a sweep, as a table of pyarrow, and what was asked, in words.

    ``axes``: the two columns that a front or a pivot is of, ``group`` the third: of a front what each is of, of a pivot
    what stands in its cells. ``pivoted``: a row of each pair, null where nothing of it fits.
    """

    words: str
    table: Any
    axes: tuple[str, ...] = ()
    group: str | None = None
    pivoted: bool = False

    def rows(self) -> list[dict[str, Any]]:
        """The rows, those of a pivot pair by pair."""
        found: list[dict[str, Any]] = self.table.to_pylist()
        return found

    def lines(self) -> list[dict[str, Any]]:
        """The rows as they are read: of a pivot one for each value down, with a column for each across."""
        if not self.pivoted:
            return self.rows()
        down, across = self.axes
        return _spread(self.rows(), down, across, str(self.group))

    @property
    def naming(self) -> tuple[str, ...]:
        """The columns that tell one row from others."""
        return _TOLD

    def more_is_better(self, name: str) -> bool:
        """Whether a larger value of a column is the better one."""
        return more_is_better(name)


def more_is_better(name: str) -> bool:
    """Whether a larger value of a column is the better one."""
    return name in _MORE_IS_BETTER or name.endswith(("_mfu", "_hfu", "_mbu"))


def best(sweep: Sweep, by: str, where: str | None = None, top: int = 10, *, unfit: bool = False) -> Found:
    """The rows that are best by a column, the best first. Raises UsageError for a column or condition that is none.

    Of these and of a front are rows that fit, or of which it is not known; ``unfit``, or a ``where`` that says which,
    asks for others.
    """
    ask = _Ask.of(sweep, where, unfit)
    name = ask.number(by)
    kept: Any = None
    for rows in ask.batches(name):
        kept = _top(rows if kept is None else _joined([kept, rows]), name, top)
    order = "most" if more_is_better(name) else "least"
    return Found(f"{order} {name}{ask.said}", kept)


def pareto(
    sweep: Sweep, axes: Sequence[str], by: str | None = None, where: str | None = None, *, unfit: bool = False
) -> Found:
    """The rows that no other beats in both of two columns, in each group of a third. Raises UsageError likewise."""
    ask = _Ask.of(sweep, where, unfit)
    if len(axes) != 2:
        msg = f"pareto {','.join(axes)}: expected two columns such as tpot_s,usd_per_mtoken"
        raise UsageError(msg)
    names = [ask.number(name) for name in axes]
    group = None if by is None else column(by, ask.known)
    front: Any = None
    for rows in ask.batches(*names, *([group] if group else [])):
        front = _front(rows if front is None else _joined([front, rows]), names, group)
    each = f" of each {group}" if group else ""
    words = f"front of {' against '.join(names)}{each}{ask.said}"
    return Found(words, front.sort_by(names[0]), tuple(names), group)


def pivot(sweep: Sweep, axes: Sequence[str], of: str, where: str | None = None, *, unfit: bool = False) -> Found:
    """The best of a column for each pair of values of two others: rows and columns. Raises UsageError likewise.

    A pair of which nothing fits has none; ``unfit``, or a ``where`` that says which, asks for others.
    """
    ask = _Ask.of(sweep, where, unfit)
    if len(axes) != 2:
        msg = f"pivot {','.join(axes)}: expected two columns such as batch,context"
        raise UsageError(msg)
    down, across = (column(name, ask.known) for name in axes)
    name = ask.number(of)
    how = "max" if more_is_better(name) else "min"
    whole: Any = None
    for rows in replace(ask, fit=False).batches(down, across, name):
        some = (_without_unfit(rows, name) if ask.fit else rows).select([down, across, name])
        whole = _grouped(some if whole is None else _joined([whole, some]), down, across, name, how)
    if ask.fit:
        whole = whole.append_column("fits", _there(whole[name]))
    return Found(f"{how} {name} by {down} and {across}{ask.said}", whole, (down, across), name, pivoted=True)


@frozen
class _Ask:
    """What all questions have in common: the sweep, its columns, which rows are meant; ``fit``: those that fit."""

    sweep: Sweep
    known: list[str]
    where: str | None
    fit: bool

    @classmethod
    def of(cls, sweep: Sweep, where: str | None, unfit: bool) -> _Ask:
        known = list(sweep.scan().schema.names)
        return cls(sweep, known, where, "fits" in known and not unfit and not asks_fit(where))

    @property
    def said(self) -> str:
        """Which rows are meant, in words."""
        kept = "" if "fits" in self.known else "; whether they fit was not kept"
        return f"{' of what fits' if self.fit else ''}{f', where {self.where}' if self.where else ''}{kept}"

    def number(self, name: str) -> str:
        """The name of a column of numbers. Raises UsageError for another."""
        found = column(name, self.known)
        if found in (*TEXTS, *TRUTHS):
            numbers = ", ".join(name for name in KEPT if name in self.known)
            msg = f"column {found}: is no number; expected one of {numbers}"
            raise UsageError(msg)
        return found

    def batches(self, *names: str) -> Iterator[Any]:
        """The rows that are meant, some at a time, with what they were asked for. Raises UsageError for none."""
        arrow, _ = parquet()
        meant, some = condition(self.where, self.known, fit=self.fit), False
        told = dict.fromkeys(name for name in (*_TOLD, *names, *TRUTHS, "refused") if name in self.known)
        for batch in self.sweep.scan().to_batches(columns=list(told), filter=meant):
            rows = _plain(arrow, arrow.Table.from_batches([batch]))
            rows = rows.filter(rows["refused"].is_null()).drop_columns(
                ["refused"]
            )  # old readers drop all by statistics
            for name in names:
                rows = rows.filter(_there(rows[name]))
            if rows.num_rows:
                some = True
                yield rows
        if not some:
            fits = " and fits (--unfit shows what does not)" if self.fit else ""
            where = f", where {self.where}," if self.where else ""
            msg = f"{self.sweep.folder}: no row{where} has {' and '.join(names)}{fits}"
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


def _spread(rows: Sequence[Mapping[str, Any]], down: str, across: str, name: str) -> list[dict[str, Any]]:
    """A row of each value of ``down``, of whose columns each is one of ``across``. Raises UsageError for too many."""
    lines, heads = (sorted({row[axis] for row in rows}, key=_order) for axis in (down, across))
    if len(heads) > MOST_CELLS:
        msg = f"pivot: {across} has {len(heads)} values, expected at most {MOST_CELLS}; put it first, or narrow --where"
        raise UsageError(msg)
    cells = {(row[down], row[across]): "does not fit" if row[name] is None else row[name] for row in rows}
    return [{down: line, **{f"{across} {head}": cells.get((line, head)) for head in heads}} for line in lines]


def _without_unfit(rows: Any, name: str) -> Any:
    """A column that is null where a row does not fit."""
    from pyarrow import compute  # noqa: PLC0415

    unfit = compute.equal(rows["fits"], False)
    plain = compute.if_else(compute.fill_null(unfit, False), None, rows[name])
    return rows.set_column(rows.schema.get_field_index(name), name, plain)


def _order(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value)
