"""Which profiler wrote a file, told by what is in it."""

from __future__ import annotations

import json
from pathlib import Path

from roofline.errors import SpecError
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
    text = read_text(path, SpecError, MOST_BYTES).removeprefix("\ufeff")
    if path.suffix != ".json" and not text.lstrip().startswith(("{", "[")):
        return read_table(path, text) or read_printed(path, text)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return read_trace(path, whole) if isinstance(whole, dict) and "traceEvents" in whole else None
