"""The arithmetic core says what its numbers are: no ``Any`` but the argued ones, and no check is silenced."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from source import PACKAGE

CORE = ("number.py", "program", "cost", "timing", "parallelism")
ARGUED = {("number.py", "Operand: TypeAlias = Any")}
"""File, and the line as it stands; a comment there says why."""


USED = Path(__file__).parents[1] / "support" / "typed_use.py"
"""What a user's project writes."""


def core_files() -> list[Path]:
    places = [PACKAGE / name for name in CORE]
    return sorted(file for place in places for file in ([place] if place.is_file() else place.rglob("*.py")))


def uses_of_any(source: str) -> Iterator[str]:
    """The lines of ``source`` that say ``Any``, under whatever name it was imported; not the imports themselves."""
    tree = ast.parse(source)
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or "Any" for node in imported for alias in node.names if alias.name == "Any"} | {"Any"}
    lines = source.splitlines()
    for node in ast.walk(tree):
        named = isinstance(node, ast.Name) and node.id in names
        if named or (isinstance(node, ast.Attribute) and node.attr == "Any"):
            yield lines[node.lineno - 1].strip()


@pytest.mark.slow
def test_a_project_that_uses_the_package_is_typed(tmp_path: Path) -> None:
    """By its own strict settings, against the marker and the stubs that the package ships; and a slip is found."""
    api = pytest.importorskip("mypy.api")
    asked = ["--strict", "--ignore-missing-imports", "--cache-dir", str(tmp_path / "cache")]
    told, _, code = api.run([*asked, str(USED)])
    assert code == 0, told
    slip = tmp_path / "slip.py"
    slip.write_text(USED.read_text().replace("figures.time_s", "figures.time_ms", 1))
    told, _, code = api.run([*asked, str(slip)])
    assert code == 1
    assert 'no attribute "time_ms"' in told
    assert len(told.splitlines()) == 2


def test_the_types_of_the_package_are_told() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_any_is_found_under_every_name() -> None:
    source = "import typing\nfrom typing import Any as Thing\na: list[Thing] = []\nb: typing.Any = 1\nc: int = 1\n"
    assert sorted(uses_of_any(source)) == ["a: list[Thing] = []", "b: typing.Any = 1"]


def test_the_arithmetic_core_has_no_any_but_the_argued() -> None:
    files = core_files()
    assert len(files) > 30, "the packages are not where they were"
    found = [(str(file.relative_to(PACKAGE)), line) for file in files for line in uses_of_any(file.read_text("utf-8"))]
    assert set(found) == ARGUED
    assert len(found) == len(ARGUED)


def test_the_arithmetic_core_silences_no_check() -> None:
    silenced = [
        f"{file.relative_to(PACKAGE)}: {line.strip()}"
        for file in core_files()
        for line in file.read_text("utf-8").splitlines()
        if "type: ignore" in line or re.search(r"\bcast\(", line)
    ]
    assert not silenced
