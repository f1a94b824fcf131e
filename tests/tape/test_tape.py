"""Tapes: what they take, how grids are cut, what they refuse, and that a browser's engine gives the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roofline import record
from roofline.errors import UsageError
from roofline.tape.along import BLOCK
from roofline.tape.tape import Tape

NEEDS_NODE = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: JavaScript is not run")


@pytest.fixture(scope="module")
def tape() -> Tape:
    return record("gpt2", "a10", ["usd_per_h"], context=100)


def test_a_grid_is_its_points(tape: Tape) -> None:
    batch, context = np.arange(1, 200)[:, None], np.arange(1, 300)[None, :]
    whole = tape(batch=batch, context=context, usd_per_h=2.0)
    assert whole["request_s"].shape == (199, 299)
    assert 2 * BLOCK < 199 * 299  # so that it is cut
    assert whole["fits"].dtype == bool
    for row, column in ((0, 0), (198, 298), (5, 280), (190, 3)):
        point = tape.at(batch=row + 1, context=column + 1, usd_per_h=2.0)
        assert {name: found[row, column] for name, found in whole.items()} == pytest.approx(point, rel=1e-13)


def test_scattered_points_are_theirs(tape: Tape) -> None:
    """Batches recur, and what they alone decide is worked out once for each; prices are no whole numbers."""
    rng = np.random.default_rng(1)
    size = 2 * BLOCK
    given = {"batch": rng.integers(1, 400, size), "context": rng.integers(1, 1025, size), "usd_per_h": rng.random(size)}
    whole = tape(**given)
    for place in (0, BLOCK - 1, BLOCK, size - 1):
        point = tape.at(**{name: float(array[place]) for name, array in given.items()})
        assert {name: found[place] for name, found in whole.items()} == pytest.approx(point, rel=1e-13)
    seldom = tape.only("total_bytes")(batch=np.linspace(1, 1e7, size).round(), context=9, usd_per_h=1.0)["total_bytes"]
    assert seldom[-1] == tape.at(batch=1e7, context=9, usd_per_h=1.0)["total_bytes"]


def test_points_are_numbers_and_lists(tape: Tape) -> None:
    alone = tape(batch=3, context=7, usd_per_h=1)
    several = tape(batch=[3, 4], context=7, usd_per_h=1)
    assert float(alone["request_s"]) == several["request_s"][0] < several["request_s"][1]
    assert tape(batch=[], context=7, usd_per_h=1)["request_s"].shape == (0,)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"batch": 1, "context": 1}, 'tape: "usd_per_h" is missing; it takes batch, context, usd_per_h'),
        ({"batch": 1, "context": 1, "usd_per_h": 1, "prompt": 1}, '"prompt" is no letter of it'),
        ({"batch": 0, "context": 1, "usd_per_h": 1}, "batch: expected whole numbers from 1 to 1e+07, given one of 0"),
        ({"batch": 1.5, "context": 1, "usd_per_h": 1}, "batch: expected whole numbers"),
        ({"batch": 1, "context": 1025, "usd_per_h": 1}, "context: expected whole numbers from 1 to 1024"),
        ({"batch": float("nan"), "context": 1, "usd_per_h": 1}, "batch: expected whole numbers from 1"),
        ({"batch": "many", "context": 1, "usd_per_h": 1}, 'batch: "many", expected a number or an array'),
        ({"batch": [1, 2], "context": [1, 2, 3], "usd_per_h": 1}, "shapes do not match: batch (2,), context (3,)"),
    ],
)
def test_bad_values_are_one_line(tape: Tape, values: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as failure:
        tape(**values)
    assert problem in str(failure.value)
    if "shapes" not in problem:
        with pytest.raises(UsageError):
            tape.at(**values)


def test_only_what_is_asked_for_is_worked_out(tape: Tape) -> None:
    memory = tape.only("total_bytes", "fits")
    assert set(memory.at(batch=1, context=1, usd_per_h=1)) == {"total_bytes", "fits"}
    assert len(memory.numpy_source()) < len(tape.numpy_source()) / 5
    with pytest.raises(UsageError, match='"total_byte": not on this tape; did you mean total_bytes'):
        tape.only("total_byte")


def test_an_unknown_letter_is_refused() -> None:
    with pytest.raises(UsageError, match='letters "bandwith": no such letter; did you mean bandwidth'):
        record("gpt2", "a10", ["bandwith"])


def javascript(tmp_path: Path, tape: Tape, points: list[dict[str, float]]) -> Any:
    """What node makes of a tape at some points; null where it throws."""
    (tmp_path / "tape.mjs").write_text(tape.javascript_source(), encoding="utf-8")
    (tmp_path / "run.mjs").write_text(
        'import { evaluate } from "./tape.mjs";\n'
        f"const play = (point) => {{ try {{ return evaluate(point); }} catch (e) {{ return null; }} }};\n"
        f"console.log(JSON.stringify({json.dumps(points)}.map(play)));\n",
        encoding="utf-8",
    )
    run = subprocess.run(["node", str(tmp_path / "run.mjs")], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@NEEDS_NODE
def test_javascript_plays_the_same(tmp_path: Path) -> None:
    tape = record("mixtral-8x7b", "4xh100", ["bandwidth"], tp=2, dp=2, batch=2, prompt=128, generate=8)
    assert "eval(" not in tape.javascript_source()
    points = [
        {"batch": 2, "prompt": 77, "generate": 2, "bandwidth": 1e12},
        {"batch": 64, "prompt": 4096, "generate": 33, "bandwidth": 3.35e12},
        {"batch": 3, "prompt": 77, "generate": 2, "bandwidth": 1e12},  # no two replicas
    ]
    *found, refused = javascript(tmp_path, tape, points)
    for played, point in zip(found, points, strict=False):
        assert played == pytest.approx(tape.at(**point), rel=1e-12)
    assert refused is None
