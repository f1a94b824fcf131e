"""A CSV table of operators, timed row by row: streamed in chunks, so that memory does not grow with the rows."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, NoReturn, TextIO, TypeAlias, Unpack

import numpy as np

from roofline.classes import frozen
from roofline.errors import RooflineError, SpecError, near_matches, shown
from roofline.files.atomic import atomic_writer
from roofline.files.cells import csv_cell
from roofline.hardware.spec import HardwareSpec
from roofline.operators.predict_op import OperatorClock, OperatorPrediction, check_kernels, check_routing
from roofline.operators.sizes import KINDS, WORDS, check_names, find_bad_size, sizes_of
from roofline.options.keywords import takes
from roofline.options.verbs.operators import ClockOptions

CHUNK = 65_536
"""Rows that are held at once."""

ADDED = ("flops", "bytes", "intensity", "time_s", "bound_s", "low_s", "high_s", "bound_by", "share_latency",
         "share_compute", "share_memory", "share_link")  # fmt: skip
"""The columns that every table gets."""

MEASURED = ("error", "achieved_flops_per_s", "achieved_bytes_per_s")
"""The columns that a table with ``measured_s`` gets besides; error is predicted / measured - 1."""

_EXACT = 2.0**53  # beyond it a float64 is no longer every whole number
_TRUTHS = {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}

Progress: TypeAlias = Callable[[float], None]
"""Is told after each chunk what part of the file was read, from 0 to 1."""


@takes(ClockOptions)
def time_table(
    source: Path,
    hardware: str | Path | HardwareSpec,
    output: Path | TextIO,
    *,
    kind: str | None = None,
    progress: Progress | None = None,
    **options: Unpack[ClockOptions],
) -> int:
    """Time every operator of a CSV file and write it with the columns ``ADDED``; returns how many rows.

    The header names ``kind`` (unless given here), the sizes of each kind, and, if wanted, ``dtype`` and ``measured_s``
    [s]. Given columns stay, in their order. ``output`` is a path, which is written whole or not at all, or an open
    text file. ``set`` edits the device as in ``predict_op``. Raises SpecError with file, line and
    column for what the table has wrong.
    """
    dtype = options["dtype"]
    clock = OperatorClock.of(hardware, options)
    if kind is not None and kind not in KINDS:
        check_names(kind, {})
    check_routing(options["routing"], kind)
    check_kernels(options["kernels"], kind)
    with _reading(source) as file:
        reader = csv.reader(file, strict=True)
        header = _header(reader, source, kind, dtype)
        table = _Table(str(source), header, clock, kind, dtype)
        size = max(1, source.stat().st_size)

        def tell() -> None:
            if progress:
                progress(min(1.0, file.buffer.tell() / size))

        if not isinstance(output, Path):
            return _stream(reader, table, output, tell)
        with atomic_writer(output) as target:
            return _stream(reader, table, target, tell)


@frozen
class _Chunk:
    """Rows in columns, and the line of the file on which each row ends."""

    lines: list[int]
    columns: dict[str, tuple[str, ...]]


@frozen
class _Table:
    """What does not change from chunk to chunk."""

    name: str
    header: tuple[str, ...]
    clock: OperatorClock
    kind: str | None
    dtype: str | None

    @property
    def added(self) -> tuple[str, ...]:
        return ADDED + MEASURED if "measured_s" in self.header else ADDED

    def given(self, chunk: _Chunk) -> list[Sequence[str]]:
        """The columns that were given; a text that nobody has read is kept from a spreadsheet that would compute it."""
        kinds = set(chunk.columns.get("kind", ())) or {self.kind or ""}
        read = {"kind", "dtype", "measured_s", *(name for kind in kinds for name in sizes_of(kind.strip()))}
        return [texts if name in read else [csv_cell(text) for text in texts] for name, texts in chunk.columns.items()]

    def timed(self, chunk: _Chunk) -> list[list[Any]]:
        """The added columns of a chunk: rows of one kind and dtype at a time, put back where they stood."""
        groups = self._groups(chunk)
        if len(groups) == 1:
            (pair,) = groups
            return [values.tolist() for values in self._group(chunk, *pair, None)]
        whole: list[list[Any]] = [[None] * len(chunk.lines) for _ in self.added]
        for pair, rows in groups.items():
            for column, values in zip(whole, self._group(chunk, *pair, rows), strict=True):
                for row, value in zip(rows, values.tolist(), strict=True):
                    column[row] = value
        return whole

    def _groups(self, chunk: _Chunk) -> dict[tuple[str, str], list[int]]:
        count = len(chunk.lines)
        kinds = chunk.columns.get("kind") or (self.kind or "",) * count
        dtypes = chunk.columns.get("dtype") or (self.dtype or "",) * count
        groups: dict[tuple[str, str], list[int]] = {}
        for row, pair in enumerate(zip(kinds, dtypes, strict=True)):
            groups.setdefault(pair, []).append(row)
        return groups

    def _group(self, chunk: _Chunk, kind: str, dtype: str, rows: list[int] | None) -> list[Any]:
        first = chunk.lines[rows[0] if rows else 0]
        kind, dtype = kind.strip(), dtype.strip()
        if kind not in KINDS:
            self._fail(first, f"column kind: {shown(kind)}, {near_matches(kind, KINDS)}")
        for name in KINDS[kind]:
            if name not in self.header:
                given = f"the header has {', '.join(self.header)}"
                self._fail(first, f"column {name} is missing, which {kind} needs; {given}")
        names = [name for name in sizes_of(kind) if name in KINDS[kind] or name in self.header]
        columns = {name: self._numbers(chunk, name, rows) for name in names}
        if bad := find_bad_size(kind, columns):
            row = rows[bad.row] if rows else bad.row
            given = chunk.columns[bad.column][row]
            self._fail(chunk.lines[row], f"column {bad.column}: {shown(given)}, expected {bad.expected}")
        try:
            prediction = self.clock.time(kind, dtype or None, columns)
        except RooflineError as failure:
            self._fail(first, f"column dtype: {failure}" if "dtype" in self.header else str(failure))
        measured = self._measured(chunk, rows) if "measured_s" in self.header else None
        return _added(prediction, measured)

    def _measured(self, chunk: _Chunk, rows: list[int] | None) -> Any:
        seconds = self._numbers(chunk, "measured_s", rows)
        good = np.isfinite(seconds) & (seconds > 0)
        if not good.all():
            worst = int(np.argmin(good))
            row = rows[worst] if rows else worst
            given = shown(chunk.columns["measured_s"][row])
            self._fail(chunk.lines[row], f"column measured_s: {given}, expected seconds above 0")
        return seconds

    def _numbers(self, chunk: _Chunk, name: str, rows: list[int] | None) -> Any:
        """A column of some rows as float64."""
        texts = chunk.columns[name]
        picked = texts if rows is None else [texts[row] for row in rows]
        read = _truth if name == "causal" else partial(_word, name) if name in WORDS else _number
        try:
            return np.fromiter(map(read, picked), np.float64, len(picked))
        except (ValueError, KeyError):
            pass
        for row in range(len(texts)) if rows is None else rows:
            try:
                read(texts[row])
            except (ValueError, KeyError):
                words = {"causal": "true or false"} | {
                    word: f"one of {', '.join(known)}" for word, known in WORDS.items()
                }
                expected = words.get(name, "a number")
                self._fail(chunk.lines[row], f"column {name}: {shown(texts[row])}, expected {expected}")
        raise AssertionError

    def _fail(self, line: int, problem: str) -> NoReturn:
        msg = f"{self.name}:{line}: {problem}"
        raise SpecError(msg)


def _added(prediction: OperatorPrediction, measured: Any) -> list[Any]:
    """The added columns, as arrays."""
    columns = [getattr(prediction, name) for name in ADDED]
    columns[:2] = [_whole(column) for column in columns[:2]]
    if measured is None:
        return columns
    rates = [np.asarray(count, dtype=np.float64) / measured for count in columns[:2]]
    return [*columns, prediction.time_s / measured - 1, *rates]


def _whole(counts: Any) -> Any:
    """Counts as integers, unless they are too large for each to be a float64."""
    return counts.astype(np.int64) if counts.size and counts.max() < _EXACT else counts


def _stream(reader: Any, table: _Table, output: IO[Any], tell: Callable[[], None]) -> int:
    writer = csv.writer(output, lineterminator="\n")
    header, count = [csv_cell(name) for name in (*table.header, *table.added)], 0
    for chunk in _chunks(reader, table):
        added = table.timed(chunk)  # before the header, so that a bad first row leaves stdout empty
        if not count:
            writer.writerow(header)
        writer.writerows(zip(*table.given(chunk), *added, strict=True))
        count += len(chunk.lines)
        tell()
    if not count:
        writer.writerow(header)
    return count


def _chunks(reader: Any, table: _Table) -> Iterator[_Chunk]:
    width = len(table.header)

    def rows() -> Iterator[tuple[int, list[str]]]:
        for row in reader:
            if not row:
                continue
            if len(row) != width:
                msg = f"{table.name}:{reader.line_num}: {len(row)} cells, expected {width} as in the header"
                raise SpecError(msg)
            yield reader.line_num, row

    source = rows()
    while True:
        try:
            held = list(islice(source, CHUNK))
        except csv.Error as failure:
            msg = f"{table.name}:{reader.line_num}: {failure}"
            raise SpecError(msg) from None
        if not held:
            return
        lines, cells = zip(*held, strict=True)
        yield _Chunk(list(lines), dict(zip(table.header, zip(*cells, strict=True), strict=True)))


def _header(reader: Any, source: Path, kind: str | None, dtype: str | None) -> tuple[str, ...]:
    """The given columns, checked as far as they can be before the first row."""
    try:
        header = tuple(name.strip() for name in next(reader, ()))
    except csv.Error as failure:
        msg = f"{source}:1: {failure}"
        raise SpecError(msg) from None
    added = ADDED + MEASURED if "measured_s" in header else ADDED
    problem = None
    if not any(header):
        problem = "no header; expected the names of columns such as kind,m,k,n,dtype"
    elif twice := [name for name in header if header.count(name) > 1]:
        problem = f"column {shown(twice[0])} stands twice; rename one"
    elif taken := [name for name in header if name in added]:
        problem = f"column {taken[0]} bears the name of a column that is added; rename it"
    elif kind is None and "kind" not in header:
        problem = f"column kind is missing; add it, or name that of all rows (op KIND --table): {', '.join(KINDS)}"
    elif kind is not None and "kind" in header:
        problem = f"column kind is there, and kind {kind} was given for all rows; leave out one"
    elif dtype is not None and "dtype" in header:
        problem = f"column dtype is there, and dtype {dtype} was given for all rows; leave out one"
    elif missing := [name for name in KINDS.get(kind or "", ()) if name not in header]:
        problem = f"column {missing[0]} is missing, which {kind} needs; the header has {', '.join(header)}"
    if problem:
        msg = f"{source}:1: {problem}"
        raise SpecError(msg)
    return header


@contextmanager
def _reading(source: Path) -> Iterator[TextIO]:
    """A regular UTF-8 file, open; its errors in one line."""
    problem = None
    try:
        if not source.exists():
            problem = "no such file"
        elif not source.is_file():
            problem = "not a regular file"
    except (OSError, RuntimeError, ValueError) as failure:
        problem = getattr(failure, "strerror", None) or str(failure)
    if problem is None and not os.access(source, os.R_OK):
        problem = "cannot be read"
    if problem:
        msg = f"{source}: {problem}"
        raise SpecError(msg)
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError:
        msg = f"{source}: not UTF-8 text"
        raise SpecError(msg) from None


def _number(text: str) -> float:
    if "_" in text:  # Python reads 1_000; a table does not
        raise ValueError
    return float(text)


def _word(name: str, text: str) -> float:
    return float(WORDS[name].index(text.strip()))


def _truth(text: str) -> float:
    return _TRUTHS[text.strip().lower()]
