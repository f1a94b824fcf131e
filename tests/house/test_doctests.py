"""Every doctest of the package: a formula in a docstring cannot go stale."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
from source import absent_extras

import roofline

MODULES = [
    found.name for found in pkgutil.walk_packages(roofline.__path__, "roofline.") if "__main__" not in found.name
]


def has_examples(name: str) -> bool:
    """Whether the file of a module, found without importing it, shows one."""
    above, _, last = name.rpartition(".")
    folder = Path(str(roofline.__file__)).parent.joinpath(*above.split(".")[1:], last)
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return ">>> " in file.read_text(encoding="utf-8")


def test_every_module_is_imported() -> None:
    for name in MODULES:
        with absent_extras():
            importlib.import_module(name)


@pytest.mark.parametrize("name", [name for name in MODULES if has_examples(name)])
def test_examples_of_docstrings(name: str) -> None:
    if name.startswith("roofline.tracing."):
        pytest.importorskip("torch")
    assert doctest.testmod(importlib.import_module(name)).failed == 0
