"""Measured seconds from CSV: of a prediction's operators, filled into what ``predict -o`` wrote, or of a table's."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from roofline.errors import SpecError, near_matches, shown
from roofline.operators.table import time_table
from roofline.options.keywords import part
from roofline.options.verbs.operators import ClockOptions
from roofline.prediction.predict import Prediction
from roofline.validation.scores import Pair

COLUMNS = ("phase", "name", "measured_s")


def read_measured(path: Path, prediction: Prediction) -> dict[tuple[str, str], float]:
    """(phase, operator) -> seconds of all its repeats in one step, from the columns phase, name and measured_s.

    Empty fields are operators that were not measured. Raises SpecError with file, line and column for what is wrong.
    """
    try:
        with _opened(path) as file:
            rows = list(csv.DictReader(file, strict=True))
    except (ValueError, csv.Error) as failure:
        msg = f"{path}: cannot be read: {failure}"
        raise SpecError(msg) from None
    known = {(phase, op.name) for phase, whole in prediction.phases.items() for op in whole.operators}
    found: dict[tuple[str, str], float] = {}
    for line, row in enumerate(rows, start=2):
        missing = [column for column in COLUMNS if row.get(column) is None]
        if missing:
            _refuse(path, line, f"column {missing[0]} is missing; expected phase, name and measured_s")
        if not row["measured_s"].strip():
            continue
        key = (row["phase"], row["name"])
        if key not in known:
            names = {f"{phase} {name}" for phase, name in known}
            _refuse(path, line, f"the prediction has no {shown(' '.join(key))}; {near_matches(' '.join(key), names)}")
        if key in found:
            _refuse(path, line, f"{' '.join(key)} stands twice")
        found[key] = _seconds(path, line, row["measured_s"])
    if not found:
        msg = f"{path}: no row has a measured_s"
        raise SpecError(msg)
    return found


def measured_phases(path: Path, prediction: Prediction) -> dict[str, float]:
    """The measured seconds of one step of each phase whose operators were all measured.

    Raises SpecError where no phase is whole: a part of a step cannot be compared with the whole of it.
    """
    found = read_measured(path, prediction)
    sums: dict[str, float] = {}
    for phase, whole in prediction.phases.items():
        keys = [(phase, op.name) for op in whole.operators]
        if all(key in found for key in keys):
            sums[phase] = sum(found[key] for key in keys)
    if not sums:
        missing = next(f"{p} {op.name}" for p, w in prediction.phases.items() for op in w.operators
                       if (p, op.name) not in found)  # fmt: skip
        msg = f"{path}: no phase has a measured_s for all its operators; {missing} has none"
        raise SpecError(msg)
    return sums


def read_pairs(path: Path, device: str | None, keywords: Mapping[str, Any]) -> list[Pair]:
    """Predicted and measured seconds from a table that ``op --table`` wrote: its columns time_s and measured_s.

    With a ``device`` the table's operators are timed here. A column ``split`` tells ``fitted`` points from ``held-out``
    ones. Raises SpecError with file, line and column for what is wrong.
    """
    if device is None:
        with _opened(path) as file:
            return _pairs(path, file)
    timed = io.StringIO()
    time_table(path, device, timed, **part(ClockOptions, keywords))
    timed.seek(0)
    return _pairs(path, timed)


def _pairs(path: Path, file: Iterable[str]) -> list[Pair]:
    found = []
    try:
        for line, row in enumerate(csv.DictReader(file, strict=True), start=2):
            for column in ("time_s", "measured_s"):
                if row.get(column) is None:
                    hint = "; name a device in --hardware to time it" if column == "time_s" else ""
                    _refuse(path, line, f"column {column} is missing{hint}")
            split = row.get("split") or "held-out"
            if split not in ("fitted", "held-out"):
                _refuse(path, line, f"column split: {shown(split)}, expected fitted or held-out")
            predicted, measured = (_seconds(path, line, row[column], column) for column in ("time_s", "measured_s"))
            found.append(Pair(predicted, measured, split == "fitted", row.get("kind") or ""))
    except (csv.Error, ValueError) as failure:
        msg = f"{path}: cannot be read: {failure}"
        raise SpecError(msg) from None
    if not found:
        msg = f"{path}: no rows; expected predicted and measured times"
        raise SpecError(msg)
    return found


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as failure:
        msg = f"{path}: cannot be read: {failure.strerror or failure}"
        raise SpecError(msg) from None


def _seconds(path: Path, line: int, text: str, column: str = "measured_s") -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        _refuse(path, line, f"column {column}: {shown(text)}, expected seconds above 0")
    return value


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    msg = f"{path}, line {line}: {problem}"
    raise SpecError(msg)
