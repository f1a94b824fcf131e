"""Every doctest of the package: a formula in a docstring cannot go stale."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import roofline

MODULES = [
    found.name for found in pkgutil.walk_packages(roofline.__path__, "roofline.") if "__main__" not in found.name
]


@pytest.mark.parametrize("name", ["roofline", *MODULES])
def test_examples_of_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
