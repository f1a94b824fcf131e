"""Which profiler wrote a file, told by what is in it."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

from roofline.errors import SpecError, one_line
from roofline.files.library import read_text
from roofline.validation.profiles.kernels import Profile
from roofline.validation.profiles.tables import read_table
from roofline.validation.profiles.torch_profiler import read_printed, read_trace

MOST_BYTES = 512_000_000
"""The largest file of a profiler that is read: a Chrome trace has a line for each launch."""


def read_profile(path: Path) -> Profile | None:
    """The kernels in a profiler's file; None for a file that no profiler wrote.

    Raises SpecError, with file and line, for one that cannot be read.
    """
    text = (_unpacked(path) if _is_packed(path) else read_text(path, SpecError, MOST_BYTES)).removeprefix("\ufeff")
    if path.suffix != ".json" and not text.lstrip().startswith(("{", "[")):
        return read_table(path, text) or read_printed(path, text)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return read_trace(path, whole) if isinstance(whole, dict) and "traceEvents" in whole else None


def _is_packed(path: Path) -> bool:
    """Whether gzip packed a file, as servers have torch's profiler write it."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(2) == b"\x1f\x8b"
    except (OSError, ValueError):
        return False


def _unpacked(path: Path) -> str:
    """The text that gzip packed. Raises SpecError for half a file, for too large a one, and for what is no text."""
    try:
        with gzip.open(path) as stream:
            whole = stream.read(MOST_BYTES + 1)
        if len(whole) <= MOST_BYTES:
            return whole.decode("utf-8")
        problem = f"more than {MOST_BYTES} bytes when unpacked, expected at most as many"
    except UnicodeDecodeError:
        problem = "not UTF-8 text when unpacked"
    except (OSError, EOFError, zlib.error) as failure:
        problem = f"no whole file of gzip: {failure}"
    msg = f"{one_line(str(path))}: {problem}"
    raise SpecError(msg)
