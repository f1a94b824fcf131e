"""Reports on a terminal: no line longer than it is wide, no word lost, colours there alone."""

from __future__ import annotations

import contextlib
import html
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal import Terminal, is_a_row

import roofline
from roofline.cli import app as cli
from roofline.reports import width
from roofline.reports.serving.comparison import comparison_text
from roofline.reports.serving.simulation import simulation_text
from roofline.reports.serving.sizing import sizing_text
from roofline.reports.training import training_text
from roofline.reports.width import aligned, room, set_room

REPORTS = (
    "predict llama-3.1-70b --hardware 8xh100 --batch 16 --operators",
    "predict llama-3.1-8b --hardware h100 --context 4096 --sensitivity --dtype w4a16+kv8 --operators",
    "compare llama-3.1-8b --hardware h100,mi300x,l40s --workload chat --tpot 30ms",
    "size llama-3.1-8b --hardware h100,mi300x --load 50req/s --tpot 30ms --launch vllm",
    "train llama-3.2-1b --hardware 8xh100 --cp 1 --tokens 10B",
    "predict qwen2.5-vl-7b --hardware h100 --images 2 --prompt 300 --generate 100",
    "size llama-3.1-70b --hardware h100 --users 30 --budget 100kUSD", "sweep --help-all", "size --help",
    "op matmul --m 4096 --k 4096 --n 14336 --hardware h100",
    "hardware list", "hardware list --kind system", "hardware show h100", "hardware show dgx-h100",
    "predict llama-3.1-8b --hardware h100 --batch 16 --launch vllm", "formula attention --solve S",
    "hardware check hardware_specs/h100-sxm-80gb.yaml", "engines check engines/vllm.yaml",
    "compare llama-3.1-8b --hardware h100,l40s --tpot 30ms --pareto --wide --api 0.1/0.2",
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


def _of_prose(pieces: Callable[[str, int], list[str]]) -> Callable[[str, int], list[str]]:
    """What breaks a line, which fails where that line is a row of many columns: a table is to fold by itself."""

    def checked(line: str, columns: int) -> list[str]:
        assert len(line) <= columns or not is_a_row(line), line
        return pieces(line, columns)

    return checked


@pytest.mark.parametrize("command", [*REPORTS, *(pytest.param(each, marks=pytest.mark.slow) for each in DEARER)])
def test_no_line_of_a_report_is_longer_than_the_terminal(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And every word of the piped report, which is as wide as it must be, is there; no row of a table is broken."""
    monkeypatch.setenv("NO_COLOR", "1")
    piped = seen(command, 80, monkeypatch, io.StringIO())
    monkeypatch.setattr(width, "_pieces", _of_prose(width._pieces))
    for columns in (80, 120):
        found = seen(command, columns, monkeypatch, Terminal())
        assert [line for line in found.splitlines() if len(line) > columns] == []
        assert {*piped.split()} - {"\\"} == {*found.split()} - {"\\"}  # which continues a command


def _verbs(group: Any, path: str = "") -> Iterator[str]:
    for name, verb in group.commands.items():
        yield f"{path}{name}"
        yield from _verbs(verb, f"{path}{name} ") if hasattr(verb, "commands") else ()


@pytest.mark.parametrize("verb", ["", *_verbs(cli.app)])
def test_no_line_of_any_help_is_longer_than_the_terminal(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (80, 120):
        found = seen(f"{verb} --help", columns, monkeypatch, Terminal())
        assert len(found.splitlines()) > 5
        assert [line for line in found.splitlines() if len(line) > columns] == []


def test_what_writes_files_fits_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out, times = tmp_path / "out", tmp_path / "t.csv"
    times.write_text("operator,time_s\nstep,0.001\nq_proj,1e-7\nsome_kernel_of_a_long_name_that_is_told,0.0001\n")
    commands = [
        f"sweep bert-base --hardware h100,a100 --batch 1,8 --dtype bf16,fp8 -o {out}",
        f"sweep show {out} --best tokens_per_s", f"sweep show {out} --pivot hardware,batch --of request_s",
        f"validate bert-base --hardware h100 --measurements {times}",
        f"page -o {tmp_path / 'p.html'} --models gpt2 --hardware t4 --dtypes fp16", "formula",
    ]  # fmt: skip
    for command in commands:
        found = seen(command, 80, monkeypatch, Terminal())
        assert found
        paths = [line for line in found.splitlines() if str(tmp_path) in line]  # a path is not broken
        assert [line for line in found.splitlines() if len(line) > 80 and line not in paths] == []


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


def test_cells_that_tell_rows_apart_are_there_where_no_other_column_fits_beside_them() -> None:
    with room(8):
        lines = aligned([("", "", "", "aaa"), ("", "b", "", ""), ("a", "", "aaa", "")], ())
    assert "b" in "".join(lines)


def test_rows_that_share_their_first_cell_are_told_apart_in_each_part_of_a_folded_table() -> None:
    cells = [
        ("device", "batch", "time", "power", "band"),
        ("h100", "1", "3 ms", "9 W", "8 to 9"),
        ("h100", "8", *"abc"),
    ]
    with room(28):
        lines = aligned(cells, (0,))
    assert lines[4].split() == ["device", "batch", "power", "band"]  # a band beside what it is of
    assert [line.split()[:2] for line in lines if line.startswith("h100")] == [["h100", "1"], ["h100", "8"]] * 2
    with room(14):  # where there is no room for two cells, the first alone
        lines = aligned(cells, (0,))
    assert max(map(len, lines)) <= 14
    assert lines.count("") == 3


def test_a_notebook_shows_answers_as_tables() -> None:
    asked = {"hardware": ["h100", "l40s"], "workload": "chat", "tpot": "30 ms"}
    compared, sized = roofline.compare("llama-3.1-8b", **asked), roofline.size("llama-3.1-8b", load="5 req/s", **asked)
    trained = roofline.train("gpt2", "h100", batch=8, microbatch=8, recompute="none")
    served = roofline.simulate("gpt2", "h100", load="5 req/s", requests=20, prompt=100, generate=10)
    texts = comparison_text(compared), sizing_text(sized), training_text(trained), simulation_text(served)
    for result, text in zip((compared, sized, trained, served), texts, strict=True):
        shown = result._repr_html_()
        assert shown.count("<table>") == shown.count("</table>") >= 1
        assert html.unescape(re.sub(r"<[^>]+>", " ", shown)).split() == text.split()
