"""Tables of operators: what is added, what is refused, and that no half file is left."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from shell import roofline

from roofline.cli import app as cli
from roofline.errors import RooflineError, SpecError
from roofline.operators import table as operator_table
from roofline.operators.predict_op import predict_op
from roofline.operators.table import ADDED, MEASURED, time_table
from roofline.units import format_quantity

WIDER = {"hardware.memory.hbm.bandwidth": "6.7TB/s"}
MIXED = """\
kind,m,k,n,rows,columns,dtype,measured_s,note
matmul,16,4096,14336,,,bf16,5e-5,"a, b"
norm,,,,64,4096,,1e-5,
matmul,8,8,8,,,fp8,1e-6,x
"""


def timed(folder: Path, text: str, **options: Any) -> list[dict[str, str]]:
    source = folder / "in.csv"
    source.write_text(text, encoding="utf-8")
    with (folder / "out.csv").open("w", newline="") as output:
        time_table(source, "h100", output, **options)
    with (folder / "out.csv").open(newline="") as written:
        return list(csv.DictReader(written))


def test_every_row_is_what_predict_op_says(tmp_path: Path) -> None:
    first, second, third = timed(tmp_path, MIXED)
    assert tuple(first) == (*MIXED.splitlines()[0].split(","), *ADDED, *MEASURED)
    assert (first["note"], second["dtype"], third["m"]) == ("a, b", "", "8")
    alone = predict_op("matmul", "h100", m=16, k=4096, n=14336)
    for name in ADDED[:-1]:
        expected = getattr(alone, name)
        assert first[name] == expected if name == "bound_by" else float(first[name]) == pytest.approx(expected)
    assert first["flops"] == "1879048192"
    assert float(first["share_link"]) == 0
    assert float(first["error"]) == pytest.approx(alone.time_s / 5e-5 - 1)
    assert float(first["achieved_flops_per_s"]) == pytest.approx(alone.flops / 5e-5)
    assert float(first["achieved_bytes_per_s"]) == pytest.approx(alone.bytes / 5e-5)
    assert float(second["time_s"]) == predict_op("norm", "h100", rows=64, columns=4096).time_s
    assert third["bytes"] == str(3 * 64)


def test_kind_and_dtype_may_be_given_for_all_rows(tmp_path: Path) -> None:
    (row,) = timed(tmp_path, "m,k,n\n2,3,5\n\n", kind="matmul", dtype="fp8")
    assert row["bytes"] == "31"
    assert timed(tmp_path, "\ufeffm,k,n\n", kind="matmul") == []
    head = "batch,query,context,heads,kv_heads,head_dim,causal\n"
    rows = timed(tmp_path, head + "2,3,5,8,2,16,true\n2,3,5,8,2,16,0\n2,1,5,8,2,16,False\n", kind="attention")
    assert [int(row["flops"]) for row in rows] == [1024 * 12, 1024 * 15, 1024 * 5]


def test_chunks_are_one_table(tmp_path: Path) -> None:
    text = "kind,m,k,n\n" + "".join(f"matmul,{m},8,8\n" for m in range(1, 101))
    whole, parts = timed(tmp_path, text), []
    with mock.patch.object(operator_table, "CHUNK", 7):
        assert timed(tmp_path, text, progress=parts.append) == whole
    assert (len(parts), parts[-1]) == (15, 1.0)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, ":1: no header; expected the names of columns such as kind,m,k,n,dtype"),
        ("kind,m,k\nmatmul,1,1\n", {}, ":2: column n is missing, which matmul needs; the header has kind, m, k"),
        ("m,k\n", {"kind": "matmul"}, ":1: column n is missing, which matmul needs; the header has m, k"),
        ("m,k,n\n", {}, ":1: column kind is missing; add it, or name that of all rows (op KIND --table): "
         "matmul, grouped_matmul, experts, attention, latent_attention, scan, convolution, elementwise, "
         "quantize, norm, softmax, embedding, collective"),
        ("kind,m,k,n\n", {"kind": "norm"}, ":1: column kind is there, and kind norm was given for all rows; "
         "leave out one"),
        ("kind,dtype\n", {"dtype": "fp8"}, ":1: column dtype is there, and dtype fp8 was given for all rows; "
         "leave out one"),
        ("kind,m,k,n,bytes\n", {}, ":1: column bytes bears the name of a column that is added; rename it"),
        ("kind,measured_s,error\n", {}, ":1: column error bears the name of a column that is added; rename it"),
        ("kind,m,m\n", {}, ':1: column "m" stands twice; rename one'),
        ("kind,m,k,n\nmatmul,1,1,1\nmatmul,1,many,1\n", {}, ':3: column k: "many", expected a number'),
        ("kind,m,k,n\nmatmul,1,,1\n", {}, ':2: column k: "", expected a number'),
        ("kind,m,k,n\nmatmul,1_0,1,1\n", {}, ':2: column m: "1_0", expected a number'),
        ("kind,m,k,n\nmatmul,1,1,1\nmatmul,1,1,nan\n", {}, ':3: column n: "nan", expected a whole number from 1 to '
         "1000000000000"),
        ("kind,rows,columns\nnorm,1,1\nnorn,1,1\n", {}, ':3: column kind: "norn", did you mean norm?'),
        ("kind,rows,columns,dtype\nnorm,1,1,\nnorm,1,1,bf17\n", {}, ":3: column dtype: dtype 'bf17' is not known; "
         "did you mean bf16?"),
        ("kind,rows,columns\nnorm,1,1,1\n", {}, ":2: 4 cells, expected 3 as in the header"),
        ('kind,rows,columns\nnorm,1,"1\n', {}, ":2: unexpected end of data"),
        ("kind,rows,columns,measured_s\nnorm,1,1,0\n", {}, ':2: column measured_s: "0", expected seconds above 0'),
    ],
)  # fmt: skip
def test_a_bad_table_is_one_exact_line(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        time_table(source, "h100", output, **options)
    assert str(caught.value) == f"{source}{message}"
    assert list(tmp_path.iterdir()) == [source]


def test_what_is_no_file_of_text_is_refused(tmp_path: Path) -> None:
    odd = {"folder": "not a regular file", "pipe": "not a regular file", "absent": "no such file",
           "binary": "not UTF-8 text"}  # fmt: skip
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"kind,m\n\xff\xfe\n")
    for name, problem in odd.items():
        with pytest.raises(SpecError) as caught:
            time_table(tmp_path / name, "h100", io.StringIO())
        assert str(caught.value) == f"{tmp_path / name}: {problem}"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_run_leaves_what_was_there(tmp_path: Path, failure: type[BaseException]) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("kind,rows,columns\n" + "norm,1,1\n" * 50)
    output.write_text("old")

    def stop(part: float) -> None:
        raise failure

    with mock.patch.object(operator_table, "CHUNK", 7), pytest.raises(failure):
        time_table(source, "h100", output, progress=stop)
    assert sorted(tmp_path.iterdir()) == [source, output]
    assert output.read_text() == "old"
    assert time_table(source, "h100", source) == 50
    assert len(source.read_text().splitlines()) == 51


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (1000, 20_000):
        source = tmp_path / f"{rows}.csv"
        source.write_text("kind,rows,columns\n" + "norm,64,64\n" * rows)
        with mock.patch.object(operator_table, "CHUNK", 500):
            time_table(source, "h100", tmp_path / "out.csv")  # warm
            tracemalloc.start()
            time_table(source, "h100", tmp_path / "out.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_the_command_line_times_one_operator_and_tables(tmp_path: Path) -> None:
    code, out, err = roofline(*"op matmul --m 16 --k 4096 --n 14336 --hardware h100".split())
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "matmul m=16 k=4096 n=14336 on NVIDIA H100 SXM 80GB"
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("rows,columns\n1,1\n")
    code, out, err = roofline("op", "norm", "--table", str(source), "--hardware", "h100")
    assert (code, err, out.splitlines()[0]) == (0, "", ",".join(("rows", "columns", *ADDED)))
    written = roofline("op", "norm", "--table", str(source), "--hardware", "h100", "-o", str(output))
    assert written == (0, "", f"{output}: {format_quantity(len(out), 'bytes')}\n")
    assert output.read_text() == out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("op matmul --m 1 --k 1 --n 1", 2, "--hardware is missing; try h100, mi300x or t4 (roofline hardware list)"),
        ("op matmul --m 0 --k 1 --n 1 --hardware h100", 2,
         "matmul: m: 0, expected a whole number from 1 to 1000000000000"),
        ("op norm --rows 1 --columns 1 --hardware h100 -o x.csv", 2, "-o goes with --table; one operator is printed"),
        ("op --table x.csv --hardware h100 -o x.txt", 2, "-o x.txt: expected a name that ends in .csv"),
        ("op --table x.csv --hardware h100 --kv-heads 1", 2,
         "--kv-heads does not go with --table, whose columns are the sizes"),
        ("op --table x.csv --hardware h100 --json", 2, "--json does not go with --table, which is written as CSV"),
        ("op --table absent.csv --hardware h100", 3, "absent.csv: no such file"),
    ],
)  # fmt: skip
def test_the_errors_of_the_command_line(arguments: str, code: int, message: str) -> None:
    assert roofline(*arguments.split()) == (code, "", f"roofline: {message}\n")


def test_a_table_cannot_replace_what_is_no_file(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("rows,columns\n1,1\n")
    for output in (tmp_path, tmp_path / "nowhere" / "x.csv"):
        with pytest.raises(RooflineError):
            time_table(source, "h100", output, kind="norm")
    assert list(tmp_path.iterdir()) == [source]


def test_a_table_is_timed_on_an_edited_device(tmp_path: Path) -> None:
    rows = [timed(tmp_path, MIXED, constants="datasheet", set=edits) for edits in ({}, WIDER)]
    assert [float(row["bound_s"]) for row in rows[1]] == pytest.approx([float(row["bound_s"]) / 2 for row in rows[0]])


def test_the_command_line_edits_the_device_and_takes_no_color(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    words = "op matmul --hardware h100 --m 16 --k 4096 --n 14336 --json --no-color --set"
    monkeypatch.setattr(sys, "argv", ["roofline", *words.split(), "hardware.memory.hbm.bandwidth=6.7TB/s"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert json.loads(capsys.readouterr().out)["hardware"]["overrides"] == WIDER
    assert os.environ["NO_COLOR"] == "1"


def test_texts_of_ones_own_are_no_formulas_of_a_spreadsheet(tmp_path: Path) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("rows,columns,note,m,@who\n1,8,=1+1,+cmd,a\n2,8,-1.5,7,-b\n")
    time_table(source, "h100", output, kind="norm")
    header, *rows = (line.split(",")[:5] for line in output.read_text().splitlines())
    assert header == ["rows", "columns", "note", "m", "'@who"]
    assert rows == [["1", "8", "'=1+1", "'+cmd", "a"], ["2", "8", "-1.5", "7", "'-b"]]
