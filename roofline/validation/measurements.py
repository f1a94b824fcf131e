"""Measured times from a file: what ``validate -o`` wrote, or a CSV with the columns operator, time_s and dram_bytes."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from roofline.errors import SpecError, near_matches, shown
from roofline.files.library import read_text
from roofline.prediction.predict import Prediction
from roofline.program.phases import PHASES, Phase

COLUMNS = ("operator", "time_s", "dram_bytes", "phase")
STEP = "step"
"""The name of the row that holds the whole step, where it was measured."""

MOST_BYTES = 64_000_000
"""The largest file that is read."""

_NUMBER = re.compile(r"[0-9]{1,30}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?")
"""How a time is written: no sign, no comma, no underscore, no word."""


@dataclass(slots=True)
class Measured:
    """What a file says of one phase: operators and their seconds in a step, the step itself, bytes counted.

    ``others_s``: what ran by names that the prediction does not have. [s]
    """

    operators: dict[str, float] = field(default_factory=dict)
    step_s: float | None = None
    dram_bytes: dict[str, float] = field(default_factory=dict)
    others_s: dict[str, float] = field(default_factory=dict)


def read_measurements(path: Path, prediction: Prediction) -> dict[Phase, Measured]:
    """Phase -> what was measured of it. A CSV needs no phase where the prediction has one.

    Raises SpecError with file and line, or field, for what is wrong: a row of other cells than the header, a time that
    is no number above 0, a name twice, no name that the prediction has, nothing at all.
    """
    rows = _rows(path)
    seen: set[tuple[str, str]] = set()
    found: dict[str, Measured] = {}
    for where, row in rows:
        phase, name = _phase(where, row, prediction), str(row.get("operator") or "").strip()
        if not name:
            _refuse(where, "operator: empty, expected a name")
        if (phase, name) in seen:
            _refuse(where, f"{name} stands twice in {phase}")
        seen.add((phase, name))
        time = _positive(where, "time_s", row.get("time_s"))
        counted = row.get("dram_bytes")
        moved = None if counted in (None, "") else _positive(where, "dram_bytes", counted)
        _put(found.setdefault(phase, Measured()), name, time, moved, _known(prediction, phase))
    if not seen:
        msg = f"{path}: no measured time; expected rows of operator and time_s"
        raise SpecError(msg)
    for phase in prediction.phases:
        measured = found.get(phase)
        if measured and measured.others_s and not measured.operators and measured.step_s is None:
            name, known = next(iter(measured.others_s)), _known(prediction, phase)
            _refuse(str(path), f"no operator of it is in {phase}, such as {shown(name)}; {near_matches(name, known)}")
    return {phase: found[phase] for phase in prediction.phases if phase in found}


def unknown_operators(path: Path, prediction: Prediction) -> set[str]:
    """Names in a file that the prediction has not. Raises SpecError for a file that cannot be read."""
    known = {op.name for phase in prediction.phases.values() for op in phase.operators}
    return {str(row.get("operator") or "").strip() for _, row in _rows(path)} - known - {STEP}


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    return _json_rows(path) if path.suffix == ".json" else _csv_rows(path)


def _put(measured: Measured, name: str, time: float, moved: float | None, known: list[str]) -> None:
    """A row in its place: the step, an operator of the prediction, or what nobody predicted."""
    if name == STEP:
        measured.step_s = time
    elif name in known:
        measured.operators[name] = time
    else:
        measured.others_s[name] = time
    if moved is not None and name in known:
        measured.dram_bytes[name] = moved


def _known(prediction: Prediction, phase: str) -> list[str]:
    return [op.name for name, found in prediction.phases.items() if name == phase for op in found.operators]


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        reader = csv.reader(io.StringIO(read_text(path, SpecError, MOST_BYTES).removeprefix("\ufeff")), strict=True)
        header = [name.strip() for name in next(reader, [])]
        unknown = [name for name in header if name not in COLUMNS]
        missing = [name for name in COLUMNS[:2] if name not in header]
        twice = [name for name in header if header.count(name) > 1]
        if unknown or missing or twice:
            problem = (
                f"column {missing[0]} is missing"
                if missing
                else f"column {shown(unknown[0])} is not known"
                if unknown
                else f"column {twice[0]} stands twice"
            )
            _refuse(str(path), f"{problem}; expected {', '.join(COLUMNS)}")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if row and len(row) != len(header):
                _refuse(where, f"{len(row)} cells, expected {len(header)}: {', '.join(header)}; "
                               "decimals have a point, a comma parts cells")  # fmt: skip
            if row:
                yield where, dict(zip(header, row, strict=True))
    except (ValueError, csv.Error) as failure:
        _refuse(str(path), f"cannot be read: {failure}")


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a result of ``validate``: of each case its step and its operators."""
    try:
        whole = json.loads(read_text(path, SpecError, MOST_BYTES))
        for index, case in enumerate(whole["cases"]):
            where = f"{path}: cases.{index}"
            if case.get("measured_s") is not None:
                yield where, {"operator": STEP, "time_s": case["measured_s"], "phase": case["phase"]}
            for op in case["operators"]:
                if op.get("measured_s") is not None:
                    row = {"operator": op["name"], "time_s": op["measured_s"], "phase": case["phase"]}
                    yield where, {**row, "dram_bytes": op.get("dram_bytes")}
            for name, seconds in (case.get("unpredicted_s") or {}).items():
                if seconds:
                    yield where, {"operator": name, "time_s": seconds, "phase": case["phase"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        _refuse(str(path), "is no result of validate; expected cases with phase, measured_s and operators")


def _phase(where: str, row: Mapping[str, Any], prediction: Prediction) -> str:
    given = str(row.get("phase") or "").strip()
    if given:
        if given not in PHASES:
            _refuse(where, f"phase {shown(given)}; expected encode, prefill or decode")
        return given
    if len(prediction.phases) > 1:
        _refuse(where, f"no phase, and the prediction has {' and '.join(prediction.phases)}; add a column phase")
    return next(iter(prediction.phases))


def _positive(where: str, column: str, given: Any) -> float:
    """A number above 0, as JSON has it or as text. Raises SpecError for anything else, true and 1_0 included."""
    plain = isinstance(given, int | float) and not isinstance(given, bool)
    written = isinstance(given, str) and _NUMBER.fullmatch(given.strip())
    try:
        value = float(given) if plain or written else math.nan
    except OverflowError:  # an integer of hundreds of digits
        value = math.inf
    if not (math.isfinite(value) and value > 0):
        _refuse(where, f"{column}: {shown(given)}, expected a number above 0 such as 0.0012")
    return value


def _refuse(where: str, problem: str) -> NoReturn:
    msg = f"{where}: {problem}"
    raise SpecError(msg)
