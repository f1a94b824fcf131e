"""What a sweep is asked, against the same worked out from all its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import roofline
from roofline.errors import RooflineError
from roofline.sweeps.questions import best, pareto, pivot
from roofline.sweeps.sweep import open_sweep

STUDY = {"models": "gpt2,gpt2-medium", "hardware": "a10,l4", "batch": "1..256:log2", "context": "64,512,2k",
         "prices": "a10=0.6USD/h,l4=0.5USD/h"}  # fmt: skip
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> roofline.Sweep:
    return roofline.sweep(STUDY, tmp_path_factory.mktemp("swept"))


@pytest.fixture(scope="module")
def rows(swept: roofline.Sweep) -> Rows:
    return [row for row in swept.scan().to_table().to_pylist() if row["refused"] is None]


def test_the_best_rows(swept: roofline.Sweep, rows: Rows) -> None:
    found = best(swept, "usd_per_mtoken", "fits and tpot_s < 0.004 and hardware = l4", 3).table.to_pylist()
    meant = [row for row in rows if row["fits"] and row["tpot_s"] < 0.004 and row["hardware"] == "l4"]
    expected = sorted(meant, key=lambda row: row["usd_per_mtoken"])[:3]
    assert [row["usd_per_mtoken"] for row in found] == [row["usd_per_mtoken"] for row in expected]
    fastest = best(swept, "tokens_per_s", top=1).table.to_pylist()[0]
    assert fastest["tokens_per_s"] == max(row["tokens_per_s"] for row in rows)


@pytest.mark.parametrize("by", [None, "hardware", "batch"])
def test_the_front(swept: roofline.Sweep, rows: Rows, by: str | None) -> None:
    found = pareto(swept, ["tpot_s", "tokens_per_s"], by, "model = gpt2 and context != 64").table.to_pylist()
    meant = [row for row in rows if row["model"] == "gpt2" and row["context"] != 64]

    def beaten(row: dict[str, Any]) -> bool:
        rivals = [other for other in meant if by is None or other[by] == row[by]]
        return any(
            other["tpot_s"] <= row["tpot_s"] and other["tokens_per_s"] >= row["tokens_per_s"]
            and (other["tpot_s"], other["tokens_per_s"]) != (row["tpot_s"], row["tokens_per_s"])
            for other in rivals
        )  # fmt: skip

    expected = sorted((row["tpot_s"], row["tokens_per_s"]) for row in meant if not beaten(row))
    assert sorted((row["tpot_s"], row["tokens_per_s"]) for row in found) == expected


def test_a_pivot(swept: roofline.Sweep, rows: Rows) -> None:
    found = pivot(swept, ["batch", "hardware"], "tpot_s", "context = 512").lines()
    assert [row["batch"] for row in found] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    for row in found:
        for hardware in ("a10", "l4"):
            own = [
                r["tpot_s"] for r in rows if (r["batch"], r["hardware"], r["context"]) == (row["batch"], hardware, 512)
            ]
            assert row[f"hardware {hardware}"] == min(own)


def test_what_does_not_fit_is_told_and_shown_where_it_is_asked_for(tmp_path: Path) -> None:
    study = {"models": "llama-3.1-8b", "hardware": "a10", "batch": "1,64", "context": "64,8k"}
    found = roofline.sweep({**study, "keep": "tpot_s,tokens_per_s,fits"}, tmp_path / "out")
    rows = {(row["batch"], row["context"]): row for row in found.scan().to_table().to_pylist()}
    assert [rows[64, context]["fits"] for context in (64, 8000)] == [True, False]
    (cell,) = [row for row in pivot(found, ["batch", "context"], "tpot_s").rows() if not row["fits"]]
    assert cell == {"batch": 64, "context": 8000, "tpot_s": None, "fits": False}
    line = pivot(found, ["batch", "context"], "tpot_s").lines()[1]
    assert line == {"batch": 64, "context 64": rows[64, 64]["tpot_s"], "context 8000": "does not fit"}
    for way in ({"unfit": True}, {"where": "not fits"}):
        assert (
            pivot(found, ["batch", "context"], "tpot_s", **way).lines()[-1]["context 8000"] == rows[64, 8000]["tpot_s"]
        )
    assert [row["fits"] for row in best(found, "tpot_s", "batch = 64", unfit=True).rows()] == [True, False]
    assert [row["context"] for row in best(found, "tpot_s", "batch = 64").rows()] == [64]
    assert best(found, "tpot_s").words == "least tpot_s of what fits"
    front = pareto(found, ["tpot_s", "tokens_per_s"], "context", "context = 8000")
    assert [row["batch"] for row in front.rows()] == [1]
    with pytest.raises(RooflineError, match="no row, where batch = 64 and context = 8000, has tpot_s and fits"):
        best(found, "tpot_s", "batch = 64 and context = 8000")
    blind = roofline.sweep({**study, "keep": "tpot_s"}, tmp_path / "blind")
    assert best(blind, "tpot_s").words == "least tpot_s; whether they fit was not kept"


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("tpot < 3", 'column "tpot": not in this sweep; did you mean tpot_s'),
        ("tpot_s << 3", "expected comparisons such as"),
        ("fits or tpot_s < 1", "expected comparisons such as"),
        ("tpot_s < x", "expected a number"),
        ("hardware < a10", "hardware is text, expected = or !="),
        ("fits = 1", "expected comparisons such as"),
        ("__import__('os')", "expected comparisons such as"),
        ("tpot_s < 0", "no row, where tpot_s < 0"),
        ("and", "expected comparisons such as"),
    ],
)
def test_conditions_are_a_closed_grammar(swept: roofline.Sweep, where: str, problem: str) -> None:
    with pytest.raises(RooflineError) as failure:
        best(swept, "tpot_s", where)
    assert problem in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("ask", "problem"),
    [
        (lambda s: best(s, "bound_by"), "bound_by: is no number"),
        (lambda s: best(s, "nothing"), "not in this sweep"),
        (lambda s: pareto(s, ["tpot_s"]), "expected two columns"),
        (lambda s: pareto(s, ["tpot_s", "energy_j"], "nothing"), "not in this sweep"),
        (lambda s: pivot(s, ["batch"], "tpot_s"), "expected two columns"),
        (lambda s: best(s, "ttft_s"), "no row has ttft_s"),
    ],
)
def test_questions_that_are_none_are_one_line(swept: roofline.Sweep, ask: Any, problem: str) -> None:
    with pytest.raises(RooflineError, match=problem):
        ask(swept)


def test_nothing_is_asked_of_what_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(RooflineError, match="no finished sweep"):
        open_sweep(tmp_path)
