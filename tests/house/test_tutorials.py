"""The tutorials: every command is run, in order, in an empty folder, and prints what the page shows.

``python tests/house/test_tutorials.py`` writes the output anew.
"""

from __future__ import annotations

import contextlib
import doctest
import re
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from shell import printed  # noqa: E402

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
_FENCE = re.compile(r'```(\w+)(?: title="([^"]+)")?\n(.*?)```', re.DOTALL)
_GPU = re.compile(r"<!-- needs a GPU -->\n.*?<!-- end -->", re.DOTALL)


def lived(page: Path) -> str:
    """The page with the output of its commands, run in the folder where this process stands."""

    def block(match: re.Match[str]) -> str:
        language, title, text = match.groups()
        if title:
            Path(title).parent.mkdir(parents=True, exist_ok=True)
            Path(title).write_text(text)
        if language != "console":
            return match.group()
        command = text.splitlines()[0]
        return f"```console\n{command}\n{printed(command.removeprefix('$ '))}```"

    return _FENCE.sub(block, page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_reader_who_types_it_sees_it(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if any(word in page.read_text() for word in ("roofline sweep", "roofline plot")):
        pytest.importorskip("pyarrow")
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert page.read_text() == lived(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_command_stands_outside_of_what_is_run(page: Path) -> None:
    fences = _FENCE.findall(text := _GPU.sub("", page.read_text()))
    assert re.findall(r"(?m)^ *roofline .*$", _FENCE.sub("", text)) == []
    assert {language for language, _, _ in fences} <= {"console", "python", "yaml", "json", "csv"}
    assert all(block.startswith("$ ") and "\n$ " not in block for language, _, block in fences if language == "console")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere_and_python_runs(page: Path) -> None:
    text = page.read_text()
    assert [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not (page.parent / link).exists()] == []
    assert doctest.testfile(str(page), module_relative=False).failed == 0


if __name__ == "__main__":
    for path in PAGES:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            path.write_text(lived(path))
