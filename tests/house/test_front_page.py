"""What greets a reader: the README is short, its sentences too, and its table of errors is what the pages have.

``python tests/house/test_front_page.py`` writes that table anew.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from shell import printed  # noqa: E402

README = ROOT / "README.md"
LISTS = ("accuracy.md", "formulas.md", "gallery.md")
"""Pages of tables and formulas, which nobody reads from end to end."""
READ = [README, ROOT / "CONTRIBUTING.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if p.name not in LISTS)]
_TABLE = re.compile(r"(<!-- how sure -->\n).*?(<!-- end -->)", re.DOTALL)
_COLUMNS = ("n", "points"), ("median", "median APE"), ("cover",), ("naive median", "data sheet: median")
"""Rows, median error, share inside the band, error of the data sheet's roofline: the names that pages give them."""
SHOWN = {
    "steps of Llama and Mixtral, gpt-fast, A100": ("accuracy.md", "| Llama, Mixtral decode, bf16, int8 and int4"),
    "time per token of servers, vLLM and TensorRT-LLM, H100": ("accuracy.md", "| judged half | all | all | all"),
    "training steps of MPT, FSDP, 8 to 64 A100": ("accuracy.md", "| MPT 125M to 70B"),
    "matmuls in 16 bits, A100": ("accuracy.md", "| matmul 16-bit, A100"),
    "decode attention, each GPU left out of the fit": ("accuracy.md", "| decode attention bf16, device left out"),
    "TTFT of servers, simulated, H100, H200 and B200": ("simulation.md", "| judged half |"),
    "BERT in TensorFlow, which does not fuse; A100, V100, T4": ("accuracy.md", "| BERT, TensorFlow, A100, V100, T4"),
    "BERT, GPT-2 and Llama on one core, calibrated by `calibrate`": ("measuring.md", "|  | all runs |"),
}


def rows(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of the tables of a page, as it stands there and by its columns."""
    head: list[str] = []
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if set("".join(cells)) <= set("-: "):
            head = head if cells else []
        elif head:
            yield line, dict(zip(head, cells, strict=True))
        else:
            head = cells


def _shown(page: str, start: str) -> list[str]:
    (row,) = [row for line, row in rows(page) if line.startswith(start)]
    if "TTFT" in row:
        return [row["n"], row["TTFT"].partition(" (")[0], "", ""]
    found = [next((row[name] for name in names if name in row), "") for names in _COLUMNS]
    return [re.sub(r"(?<=\d)%", " %", cell) for cell in found]


def table() -> str:
    """The README's table: rows of the pages, under plainer names."""
    lines = ["| timed | rows | median error | in the band | data sheet alone |", "|---|--:|--:|--:|--:|"]
    lines += [f"| {words} | {' | '.join(_shown(*where))} |" for words, where in SHOWN.items()]
    return "\n".join(re.sub(r" +\|", " |", line) for line in lines) + "\n"


def test_the_table_of_errors_is_rows_of_the_pages() -> None:
    (found,) = re.findall(r"<!-- how sure -->\n(.*?)<!-- end -->", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found == table()


def test_the_readme_is_read_in_two_minutes() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


def sentences(page: str) -> list[str]:
    """The sentences of a page: without code, tables and pictures, a link as its words."""
    prose = re.sub(r"```.*?```|<!--.*?-->|!\[.*?\]\(.*?\)", "\n\n", page, flags=re.DOTALL)
    prose = re.sub(r"(?m)^(?:\||    |#).*$", "\n", prose)
    prose = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", prose)
    blocks = re.split(r"\n\s*\n|\n(?=- |\d+\. )", prose)
    return [each for block in blocks for each in re.split(r"(?<=[.!?])[*)]*\s+(?=\S)", block.strip()) if each]


@pytest.mark.parametrize("page", READ, ids=lambda page: page.name)
def test_no_sentence_is_longer_than_35_words(page: Path) -> None:
    found = sentences(page.read_text(encoding="utf-8"))
    assert len(found) > 1
    assert [each for each in found if len(each.split()) > 35] == []


def test_what_the_reader_is_told_to_type_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what times the machine, which has tests of its own, and for the module that docs/tracing.md traces."""
    monkeypatch.chdir(ROOT)
    typed = re.findall(r"(?m)^    (roofline .*)$", README.read_text(encoding="utf-8"))
    assert typed
    for command in typed:
        verb, subject = shlex.split(command)[1:3]
        if verb not in ("calibrate", "validate") and ".py:" not in subject:
            assert printed(command).strip()


if __name__ == "__main__":
    README.write_text(_TABLE.sub(lambda m: f"{m[1]}{table()}{m[2]}", README.read_text("utf-8")), "utf-8")
