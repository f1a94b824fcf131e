"""Reports on a terminal: no line longer than it is wide, no word lost, colours there alone."""

from __future__ import annotations

import contextlib
import html
import io
import re
import sys
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import roofline
from roofline.cli import app as cli
from roofline.reports.serving.comparison import comparison_text
from roofline.reports.serving.sizing import sizing_text
from roofline.reports.width import aligned, room, set_room

REPORTS = (
    "predict llama-3.1-70b --hardware 8xh100 --batch 16 --operators",
    "predict llama-3.1-8b --hardware h100 --context 4096 --sensitivity --dtype w4a16+kv8 --operators",
    "compare llama-3.1-8b --hardware h100,mi300x,l40s --workload chat --tpot 30ms",
    "size llama-3.1-8b --hardware h100,mi300x --load 50req/s --tpot 30ms",
    "train llama-3.2-1b --hardware 8xh100 --cp 1 --tokens 10B",
    "predict qwen2.5-vl-7b --hardware h100 --images 2 --prompt 300 --generate 100",
    "size llama-3.1-70b --hardware h100 --users 30 --budget 100kUSD", "sweep --help-all", "size --help",
    "op matmul --m 4096 --k 4096 --n 14336 --hardware h100",
    "hardware list", "hardware list --kind system", "hardware show h100", "hardware show dgx-h100",
    "predict llama-3.1-8b --hardware h100 --batch 16 --launch vllm", "formula attention --solve S",
    "hardware check hardware_specs/h100-sxm-80gb.yaml", "engines check engines/vllm.yaml",
    "hardware diff h100 mi300x", "models list llama", "models show llama-3.1-8b", "engines list", "engines show vllm",
)  # fmt: skip
DEARER = (
    "simulate llama-3.1-8b --hardware h100 --prefill-on h100 --load 5req/s --requests 50",
    "simulate llama-3.1-8b --hardware h100 --workload agent --offload kv=host:500GB+ssd:4TB@12GB/s --load 1req/s"
    " --requests 50",
    "size llama-3.1-8b --hardware h100,l40s --load 5req/s --prefill-on h100",
    "predict examples/07_trace_a_module.py:Decoder --input tokens=B,S --hardware h100 --prompt 1024",
    "compare examples/07_trace_a_module.py:Decoder --input tokens=B,S --hardware h100,t4 --prompt 128 --latency 1s",
    "train llama-3.1-8b --hardware 8xh100 --lora 16 --tokens 1B --sensitivity --explain",
    "predict llama-3.1-70b --hardware h100 --explain",
    "predict bert-base --hardware h100,l40s --batch 1,8",
    "simulate llama-3.1-8b --hardware h100 --load 5req/s --requests 50",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def seen(command: str, columns: int, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    """What a command prints on a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", ["roofline", *command.split()])
    with contextlib.redirect_stdout(stream), mock.patch.object(sys, "exit", side_effect=SystemExit):
        try:
            with pytest.raises(SystemExit):
                cli.main()
        finally:
            set_room(None)
    return stream.getvalue()


@pytest.mark.parametrize("command", [*REPORTS, *(pytest.param(each, marks=pytest.mark.slow) for each in DEARER)])
def test_no_line_of_a_report_is_longer_than_the_terminal(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And every word of the piped report, which is as wide as it must be, is there."""
    monkeypatch.setenv("NO_COLOR", "1")
    piped = seen(command, 80, monkeypatch, io.StringIO())
    for columns in (80, 120):
        found = seen(command, columns, monkeypatch, Terminal())
        assert [line for line in found.splitlines() if len(line) > columns] == []
        assert {*piped.split()} - {"\\"} == {*found.split()} - {"\\"}  # which continues a command


def test_a_refusal_folds_on_a_terminal_and_is_one_line_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["roofline", *"predict llama-3.1-8b --hardware h100 --dtype q9_of_mine".split()])
    told = []
    for stream in (Terminal(), io.StringIO()):
        with contextlib.redirect_stderr(stream), pytest.raises(SystemExit):
            cli.main()
        told.append(stream.getvalue())
    folded, piped = told
    assert piped.count("\n") == 1 < folded.count("\n")
    assert max(map(len, folded.splitlines())) <= 80
    assert folded.split() == piped.split()


def test_the_verdict_has_a_colour_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    command = "predict llama-3.1-70b --hardware h100 --quiet"
    shown, piped = (seen(command, 120, monkeypatch, stream) for stream in (Terminal(), io.StringIO()))
    assert "\x1b[1;31mDOES NOT FIT\x1b[0m" in shown
    assert "\x1b[2m (" in shown
    assert "\x1b" not in piped
    bare = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert bare.split() == piped.split()
    assert "\x1b" not in seen(f"{command} --json", 120, monkeypatch, Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert seen(command, 120, monkeypatch, Terminal()) == bare


_CELL = st.text("abc de", max_size=30).map(str.strip)


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(_CELL, min_size=n, max_size=n), min_size=1, max_size=4)),
       st.sets(st.integers(0, 7)), st.integers(8, 80))  # fmt: skip
def test_a_folded_table_fits_and_has_every_letter(cells: list[list[str]], left: set[int], columns: int) -> None:
    with room(columns):
        lines = aligned(cells, tuple(each for each in left if each < len(cells[0])))
    assert max(map(len, lines)) <= columns
    letters = "".join("".join(row) for row in cells).replace(" ", "")
    assert {*letters} <= {*"".join(lines)}
    assert all("".join(lines).count(letter) >= letters.count(letter) for letter in "abcde")


def test_a_notebook_shows_a_comparison_and_a_sizing_as_tables() -> None:
    asked = {"hardware": ["h100", "l40s"], "workload": "chat", "tpot": "30 ms"}
    found = roofline.compare("llama-3.1-8b", **asked), roofline.size("llama-3.1-8b", load="5 req/s", **asked)
    for result, text in zip(found, (comparison_text(found[0]), sizing_text(found[1])), strict=True):
        shown = result._repr_html_()
        assert shown.count("<table>") == shown.count("</table>") >= 2
        assert html.unescape(re.sub(r"<[^>]+>", " ", shown)).split() == text.split()
