"""Files hold what the JSON holds, and appear whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from roofline import predict
from roofline.errors import RooflineError, SpecError, UsageError
from roofline.files.atomic import atomic_writer
from roofline.reports.export import operator_rows, write_result

RESULT = predict("llama-3.1-8b", "h100", prompt=128, generate=8)


def write(path: Path) -> int | None:
    return write_result(RESULT.to_dict, lambda: operator_rows(RESULT), path)


def test_json_is_the_result(tmp_path: Path) -> None:
    assert write(tmp_path / "a.json") is None
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(json.dumps(RESULT.to_dict()))


def test_csv_has_a_row_per_operator_that_adds_up(tmp_path: Path) -> None:
    assert write(tmp_path / "a.csv") == len(operator_rows(RESULT))
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, phase in RESULT.phases.items():
        mine = [row for row in rows if row["phase"] == name]
        assert [row["name"] for row in mine] == [operator.name for operator in phase.operators]
        assert sum(float(row["time_s"]) for row in mine) == pytest.approx(phase.figures.time_s)


def test_markdown_is_a_table(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    lines = (tmp_path / "a.md").read_text().splitlines()
    assert len(lines) == 2 + len(operator_rows(RESULT))
    assert len({line.count("|") for line in lines}) == 1


def test_parquet_holds_the_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.num_rows == len(operator_rows(RESULT))
    assert table["time_s"].to_pylist() == [row["time_s"] for row in operator_rows(RESULT)]


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected one of \.json, \.csv, \.md, \.parquet"):
        write(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")

    def interrupted() -> None:
        with atomic_writer(path, binary=True) as file:
            file.write(b"half")
            raise failure

    with pytest.raises(failure):
        interrupted()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.csv", "before")]


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be written"):
        write(tmp_path / "no" / "a.json")


EDITS = {"hardware.memory.hbm.bandwidth": "6.7 TB/s", "model.num_hidden_layers": 16}


def test_an_edit_changes_the_answer_and_stays_visible() -> None:
    edited = predict("llama-3.1-8b", "h100", context=2048, set=EDITS)
    assert edited.hardware.bandwidth == 6.7e12
    assert edited.model.config.num_hidden_layers == 16
    assert edited.to_dict()["hardware"]["overrides"] == EDITS
    assert {row["overrides"] for row in operator_rows(edited)} == {
        "hardware.memory.hbm.bandwidth=6.7 TB/s; model.num_hidden_layers=16"
    }


@pytest.mark.parametrize(
    ("edits", "text"),
    [
        ({"foo": 1}, "expected a path such as"),
        ({"hardware.memory.hbw.bandwidth": "6 TB/s"}, '"hbw" holds no fields to edit; did you mean hbm?'),
        ({"hardware.memory.hbm.bandwidth": "6 TB"}, "is a size"),
        ({"hardware.memory.hbm.capacity": "160 GiB"}, "usable"),  # else the old usable size would answer, silently
        ({"hardware.tpd": "300 W"}, "unknown field"),
        ({"model.num_hidden_layer": 16}, "no such field; did you mean num_hidden_layers"),
        ({"model.num_hidden_layers": "many"}, "expected a whole number"),
    ],
)
def test_an_edit_that_misses_is_refused(edits: dict[str, object], text: str) -> None:
    with pytest.raises(RooflineError) as caught:
        predict("llama-3.1-8b", "h100", set=edits)
    assert text in str(caught.value)


def test_a_what_if_may_break_the_order_of_a_data_sheet() -> None:
    edited = predict("llama-3.1-8b", "h100", context=8, set={"hardware.peak.matrix.bf16": "3000 TFLOP/s"})
    assert edited.hardware.peak_rate("matrix", "bf16") == 3e15
