"""Files that are either whole or absent."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO, Any

from roofline.errors import SpecError

_LEFT_S = 3600.0
_LONGEST = 100
"""Letters of a file's name in that of the hidden file, which has a limit too."""


@contextmanager
def atomic_writer(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """A file, UTF-8 text or ``binary``, that appears under ``path`` when the block ends well, and not at all otherwise.

    It grows in a hidden file beside ``path``, which any exception removes, an interruption included; a file that stood
    there stays as it was. Raises SpecError, in one line, where nothing can be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_writer(Path(folder) / "a.txt") as file:
    ...         _ = file.write("whole")
    ...     [(found.name, found.read_text()) for found in Path(folder).iterdir()]
    [('a.txt', 'whole')]
    """
    target, temporary = _places(path)
    try:
        _sweep(target)
        file: IO[Any] = temporary.open("xb") if binary else temporary.open("x", encoding="utf-8", newline="")
    except (OSError, ValueError) as failure:
        raise _refusal(path, failure) from None
    try:
        with file:
            yield file
        temporary.replace(target)
    except BaseException as failure:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(failure, OSError):
            raise _refusal(path, failure) from None
        raise


def check_writable(path: Path) -> None:
    """Raises SpecError where :func:`atomic_writer` could not write ``path``: asked before work begins."""
    _, temporary = _places(path)
    try:
        temporary.open("xb").close()
        temporary.unlink()
    except (OSError, ValueError) as failure:
        raise _refusal(path, failure) from None


def _places(path: Path) -> tuple[Path, Path]:
    """Where a file will stand, and where it grows. Raises SpecError for what is no regular file."""
    target = Path(os.path.realpath(path))  # a link stays a link
    if target.exists() and not target.is_file():  # replacing a device or a pipe would destroy it
        msg = f"{path}: not a regular file; name a file to write"
        raise SpecError(msg)
    return target, target.with_name(f".{target.name[:_LONGEST]}.{secrets.token_hex(8)}.tmp")


def _sweep(target: Path) -> None:
    """Remove what a run left that was killed while it wrote ``target``, an hour ago or more."""
    for left in target.parent.glob(f".{escape(target.name[:_LONGEST])}.{'[0-9a-f]' * 16}.tmp"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_S:
                left.unlink()


def _refusal(path: Path, failure: OSError | ValueError) -> SpecError:
    return SpecError(f"{path}: cannot be written: {getattr(failure, 'strerror', None) or failure}")
