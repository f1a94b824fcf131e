"""Results as files: JSON, and rows as CSV, Markdown or Parquet; those of a prediction are its operators."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from roofline.errors import MissingExtraError, UsageError
from roofline.files.atomic import atomic_writer, check_writable
from roofline.files.cells import csv_cell, markdown_cell
from roofline.prediction.predict import Prediction
from roofline.reports.prediction import to_json

SUFFIXES = (".json", ".csv", ".md", ".parquet")


def check_output(path: Path) -> None:
    """Raises UsageError for a suffix that names no format, SpecError where nothing can be written: before any work."""
    _check_suffix(path)
    check_writable(path)


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        msg = f"-o {path}: the suffix names the format; expected one of {', '.join(SUFFIXES)}"
        raise UsageError(msg)


def write_result(
    fields: Callable[[], dict[str, Any]], rows: Callable[[], list[dict[str, Any]]], path: Path
) -> int | None:
    """Write the JSON of a result, or its rows, in the format of the suffix, whole or not at all; the number of rows.

    All rows have the same columns. None is the number of JSON's. Raises UsageError for an unknown suffix,
    MissingExtraError without a library for it.
    """
    _check_suffix(path)
    count = None
    if path.suffix == ".json":
        content = (to_json(fields()) + "\n").encode()
    else:
        found = rows()
        count = len(found)
        content = {".csv": _csv, ".md": _markdown, ".parquet": _parquet}[path.suffix](found)
    with atomic_writer(path, binary=True) as file:
        file.write(content)
    return count


def operator_rows(prediction: Prediction) -> list[dict[str, Any]]:
    """One row per operator and phase: the JSON's fields, the shares flattened to ``share_*``."""
    rows = []
    for name, phase in prediction.phases.items():
        for operator in phase.operators:
            fields = operator.to_dict()
            shares = {f"share_{part}": share for part, share in fields.pop("shares").items()}
            origin = {"model": prediction.model.name, "hardware": prediction.hardware.name, "phase": name}
            if prediction.count > 1:
                origin["hardware"] = f"{prediction.count}x{prediction.hardware.name}"
                origin["layout"] = str(prediction.layout)
                fields = {"name": fields.pop("name"), "kind": fields.pop("kind"), "form": operator.form} | fields
            edits = "; ".join(f"{path}={value}" for path, value in prediction.overrides)
            rows.append({**origin, "overrides": edits, "steps": phase.steps, **fields, **shares})
    return rows


def _csv(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue().encode()


def _markdown(rows: list[dict[str, Any]]) -> bytes:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).encode()


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
    return markdown_cell(text)


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    try:
        import pyarrow as pa  # noqa: PLC0415  (optional and slow to import)
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        purpose = "writing Parquet"
        raise MissingExtraError(purpose, "files") from None
    floats = ("flops", "vector_flops", "bytes", "link_bytes")
    exact = [{k: float(v) if k in floats else v for k, v in row.items()} for row in rows]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(exact), buffer)
    return buffer.getvalue()
