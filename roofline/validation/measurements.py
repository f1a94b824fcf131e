"""Measured times from a file: what ``validate -o`` wrote, or a CSV with the columns operator, time_s and dram_bytes."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from roofline.errors import SpecError, near_matches, shown
from roofline.prediction.predict import Prediction
from roofline.program.phases import PHASES, Phase

COLUMNS = ("operator", "time_s", "dram_bytes", "phase")
STEP = "step"
"""The name of the row that holds the whole step, where it was measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a file says of one phase: operators and their seconds in a step, the step itself, bytes counted."""

    operators: Mapping[str, float]
    step_s: float | None
    dram_bytes: Mapping[str, float]


def read_measurements(path: Path, prediction: Prediction) -> dict[Phase, Measured]:
    """Phase -> what was measured of it. A CSV needs no phase where the prediction has one.

    Raises SpecError with file and line, or field, for what is wrong: a name that the prediction does not have, a time
    that is not above 0, a name twice, nothing at all.
    """
    rows = _json_rows(path) if path.suffix == ".json" else _csv_rows(path)
    times: dict[str, dict[str, float]] = {}
    moved: dict[str, dict[str, float]] = {}
    for where, row in rows:
        phase = _phase(where, row, prediction)
        name = _operator(where, row, phase, prediction)
        if name in times.setdefault(phase, {}):
            _refuse(where, f"{name} stands twice in {phase}")
        times[phase][name] = _positive(where, "time_s", row.get("time_s"))
        if row.get("dram_bytes") not in (None, ""):
            moved.setdefault(phase, {})[name] = _positive(where, "dram_bytes", row["dram_bytes"])
    if not times:
        msg = f"{path}: no measured time; expected rows of operator and time_s"
        raise SpecError(msg)
    return {
        phase: Measured({k: v for k, v in found.items() if k != STEP}, found.get(STEP), moved.get(phase, {}))
        for phase in prediction.phases
        if (found := times.get(phase))
    }


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
            missing = [name for name in COLUMNS[:2] if name not in (reader.fieldnames or ())]
            if unknown or missing:
                problem = f"column {missing[0]} is missing" if missing else f"column {shown(unknown[0])} is not known"
                _refuse(str(path), f"{problem}; expected {', '.join(COLUMNS)}")
            for line, row in enumerate(reader, start=2):
                yield f"{path}, line {line}", dict(row)
    except OSError as failure:
        _refuse(str(path), f"cannot be read: {failure.strerror or failure}")
    except (ValueError, csv.Error) as failure:
        _refuse(str(path), f"cannot be read: {failure}")


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a result of ``validate``: of each case its step and its operators."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        cases = whole["cases"]
        for index, case in enumerate(cases):
            where = f"{path}: cases.{index}"
            if case.get("measured_s") is not None:
                yield where, {"operator": STEP, "time_s": case["measured_s"], "phase": case["phase"]}
            for op in case["operators"]:
                if op.get("measured_s") is not None:
                    row = {"operator": op["name"], "time_s": op["measured_s"], "phase": case["phase"]}
                    yield where, {**row, "dram_bytes": op.get("dram_bytes")}
    except OSError as failure:
        _refuse(str(path), f"cannot be read: {failure.strerror or failure}")
    except (ValueError, KeyError, TypeError, AttributeError):
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


def _operator(where: str, row: Mapping[str, Any], phase: str, prediction: Prediction) -> str:
    name = str(row.get("operator") or "").strip()
    found = prediction.phases.get(phase)  # type: ignore[call-overload]  # any text may be asked for
    if found is None:
        return name
    known = [op.name for op in found.operators]
    if name != STEP and name not in known:
        _refuse(where, f"operator {shown(name)} is not in {phase}; {near_matches(name, [*known, STEP])}")
    return name


def _positive(where: str, column: str, given: Any) -> float:
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        _refuse(where, f"{column}: {shown(given)}, expected a number above 0")
    return value


def _refuse(where: str, problem: str) -> NoReturn:
    msg = f"{where}: {problem}"
    raise SpecError(msg)
