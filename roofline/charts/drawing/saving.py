"""Pictures as files: PNG, SVG whose text stays text, PDF; the sentence that describes one goes with it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from roofline.errors import UsageError
from roofline.files.atomic import atomic_writer
from roofline.files.cells import csv_cell

SUFFIXES = (".png", ".svg", ".pdf")

_AS_TEXT: Any = {"svg.fonttype": "none", "svg.hashsalt": "roofline", "pdf.fonttype": 42, "savefig.bbox": None,
                 "text.hinting": "no_hinting"}  # fmt: skip


def check_picture(path: Path, dpi: float) -> None:
    """Raises UsageError for a suffix that names no format or a resolution out of range, before any work is done."""
    if path.suffix not in SUFFIXES:
        msg = f"{path}: the suffix names the format; expected one of {', '.join(SUFFIXES)}"
        raise UsageError(msg)
    if not 50 <= dpi <= 1200:
        msg = f"dpi {dpi:g}: expected 50 to 1200"
        raise UsageError(msg)


def save(figure: Figure, path: Path, *, words: str = "", dpi: float = 150) -> None:
    """Write a picture in the format of the suffix, whole or not at all, with ``words`` as its description.

    The same picture gives the same bytes. Raises UsageError for another suffix.
    """
    check_picture(path, dpi)
    kind = path.suffix[1:]
    told: dict[str, dict[str, Any]] = {
        "png": {"Description": words, "Software": None},
        "svg": {"Title": "roofline", "Description": words, "Date": None},
        "pdf": {"Title": "roofline", "Subject": words, "CreationDate": None},
    }
    buffer = io.BytesIO()
    with mpl.rc_context(_AS_TEXT):
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=told[kind], facecolor=figure.get_facecolor())
    with atomic_writer(path, binary=True) as file:
        file.write(buffer.getvalue())


def save_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the data behind a picture as CSV, whole or not at all."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with atomic_writer(path) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
