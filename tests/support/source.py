"""The files of the package as tests of the house read them."""

from __future__ import annotations

import ast
import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import roofline

PACKAGE = Path(roofline.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(file: Path) -> str:
    """The dotted name of a file: a package's is that of its folder."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def trees() -> dict[Path, ast.Module]:
    """What every file holds."""
    return {file: ast.parse(file.read_text(encoding="utf-8"), str(file)) for file in FILES}


@contextlib.contextmanager
def absent_extras() -> Iterator[None]:
    """Imports of what a test of the core need not have: torch and transformers."""
    try:
        yield
    except ModuleNotFoundError as absent:
        if absent.name not in ("torch", "transformers"):
            raise
