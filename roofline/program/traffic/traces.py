"""Traces of requests, and what they share: JSON lines as Mooncake has them, CSV as Azure or ``simulate -o`` does."""

from __future__ import annotations

import csv
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from math import isfinite
from pathlib import Path as File
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.number import Grid
from roofline.program.workload import MAX_LENGTH

Whole: TypeAlias = NDArray[np.int64]

Path: TypeAlias = tuple[tuple[Hashable, int], ...]
"""What of a request's tokens others may share: segments by the name of their content, and where each ends."""

HASHED = 512
"""Tokens that a hash of a trace of Mooncake stands for (Qin et al. 2024, arXiv 2407.00079)."""

_COLUMNS = (("arrived_at_s", "prompt", "generate"), ("TIMESTAMP", "ContextTokens", "GeneratedTokens"))
_MOONCAKE = ("timestamp", "input_length", "output_length")
_EPOCH = datetime(1970, 1, 1)


@frozen(eq=False)
class Trace:
    """Requests in the order in which they came: seconds from the first one, tokens in and out, what they share."""

    times: Grid
    prompt: Whole
    generate: Whole
    paths: Mapping[int, Path]


@frozen
class _Entry:
    """One line."""

    time: float
    prompt: int
    generate: int
    path: Path = ()


def is_trace(name: str | None) -> bool:
    """Whether a workload is a file."""
    return name is not None and File(name).suffix in (".csv", ".jsonl")


def read_trace(path: File, most: int) -> Trace:
    """The first requests of a trace. Raises UsageError that names the line of whatever it does not understand.

    JSON lines: ``timestamp`` in milliseconds, ``input_length``, ``output_length``, ``hash_ids`` of 512 tokens. CSV:
    ``arrived_at_s``, ``prompt``, ``generate``, as ``simulate -o`` writes them, or Azure's ``TIMESTAMP``,
    ``ContextTokens``, ``GeneratedTokens``.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            read = _rows(path, file) if path.suffix == ".csv" else _lines(path, file)
            entries = list(islice(read, most))
    except (OSError, UnicodeDecodeError, csv.Error) as failure:
        msg = f"{path}: cannot be read ({getattr(failure, 'strerror', None) or type(failure).__name__})"
        raise UsageError(msg) from None
    if not entries:
        msg = f"{path}: no requests; expected one a line"
        raise UsageError(msg)
    entries.sort(key=lambda entry: entry.time)
    times = np.array([entry.time for entry in entries])
    prompt, generate = (np.array([getattr(entry, name) for entry in entries]) for name in ("prompt", "generate"))
    paths = {request: entry.path for request, entry in enumerate(entries) if entry.path}
    return Trace(times - times[0], prompt, generate, paths)


def _lines(path: File, file: Iterable[str]) -> Iterator[_Entry]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict) or not {*_MOONCAKE} <= fields.keys():
            msg = f"{where}: expected a JSON object with {', '.join(_MOONCAKE)}"
            raise UsageError(msg)
        prompt = _tokens(where, "input_length", fields["input_length"])
        hashes = fields.get("hash_ids", [])
        if not isinstance(hashes, list) or not all(isinstance(each, int | str) for each in hashes):
            msg = f"{where}: hash_ids {shown(hashes)}: expected a list of numbers or texts"
            raise UsageError(msg)
        ends = ((k + 1) * HASHED for k in range(len(hashes)))
        shared = tuple((each, min(end, prompt)) for each, end in zip(hashes, ends, strict=True))
        time = _time(where, "timestamp", fields["timestamp"]) / 1e3
        yield _Entry(time, prompt, _tokens(where, "output_length", fields["output_length"]), shared)


def _rows(path: File, file: Iterable[str]) -> Iterator[_Entry]:
    rows = csv.DictReader(file)
    names = next((each for each in _COLUMNS if {*each} <= {*(rows.fieldnames or ())}), None)
    if names is None:
        msg = f"{path}:1: expected columns {' or '.join(', '.join(each) for each in _COLUMNS)}"
        raise UsageError(msg)
    time, prompt, generate = names
    for row in rows:
        where = f"{path}:{rows.line_num}"
        asked, answered = (_tokens(where, name, row[name]) for name in (prompt, generate))
        yield _Entry(_time(where, time, row[time]), asked, answered)


def _tokens(where: str, name: str, given: object) -> int:
    try:
        tokens = int(str(given))
    except ValueError:
        tokens = 0
    if not 1 <= tokens <= MAX_LENGTH:
        msg = f"{where}: {name} {shown(given)}: expected tokens from 1 to {MAX_LENGTH}"
        raise UsageError(msg)
    return tokens


def _time(where: str, name: str, given: object) -> float:
    """A number, or a date with a time of day. [s, or the unit of the number]"""
    text = str(given)
    try:
        time = float(text)
    except ValueError:
        try:
            time = (datetime.fromisoformat(text[:26]).replace(tzinfo=None) - _EPOCH).total_seconds()
        except ValueError:
            time = float("nan")
    if not isfinite(time) or isinstance(given, bool):
        msg = f"{where}: {name} {shown(given)}: expected a number, or a date such as 2023-11-16 18:01:51.13"
        raise UsageError(msg)
    return time
