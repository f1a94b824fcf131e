"""``predict`` at several points: each row and each element of an array is what it says of that point alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from json_schema import check
from shell import answer, roofline

from roofline import Predictions, predict
from roofline.errors import RooflineError, UsageError


def test_each_device_with_each_number() -> None:
    found = predict("llama-3.1-8b", ["a10", "h100"], batch=[8, 1], context=np.array([900, 100, 4000]), dtype="bf16")
    assert isinstance(found, Predictions)
    assert found.axes == {"hardware": ("a10", "h100"), "batch": (8, 1), "context": (900, 100, 4000)}
    assert found["tpot_s"].shape == (2, 2, 3)
    for place, hardware, batch, context in ((0, "a10", 8, 900), (7, "h100", 8, 100), (11, "h100", 1, 4000)):
        alone = predict("llama-3.1-8b", hardware, batch=batch, context=context, dtype="bf16")
        assert found["tpot_s"].ravel()[place] == pytest.approx(alone.tpot_s, rel=1e-12)
        row = found.rows()[place]
        assert (row["hardware"], row["batch"], row["context"]) == (hardware, batch, context)
        assert (row["fits"], row["max_batch"], row["total_bytes"]) == (
            alone.memory.fits, alone.memory.max_batch, alone.to_dict()["memory"]["total_bytes"]
        )  # fmt: skip
        assert row["bound_by"] == alone.phases["decode"].figures.bound_by


def test_keywords_hold_at_every_point() -> None:
    how: dict[str, Any] = {"tp": 2, "kv_dtype": "fp8", "set": {"model.num_hidden_layers": 2}}
    found = predict("llama-3.1-8b", "4xl4", batch=(3, 4), prompt=300, generate=[1, 9], **how)
    assert found["request_s"].shape == (2, 2)
    for place, (batch, generate) in enumerate((b, g) for b in (3, 4) for g in (1, 9)):
        alone = predict("llama-3.1-8b", "4xl4", batch=batch, prompt=300, generate=generate, **how)
        assert found.rows()[place]["request_s"] == pytest.approx(alone.request_s, rel=1e-12)
        assert found.rows()[place]["layout"] == str(alone.layout)


def test_some_may_be_refused_and_all_are_an_error() -> None:
    found = predict("gpt2", "a10", batch=1, context=[100, 5000])
    assert found["refused"][0] is None
    assert "exceeds the model's max_position_embeddings" in found["refused"][1]
    assert np.isnan(found["tpot_s"]).tolist() == [False, True]
    with pytest.raises(RooflineError, match="exceeds the model's max_position_embeddings"):
        predict("gpt2", "a10", context=[5000, 6000])
    with pytest.raises(RooflineError, match="unknown hardware"):
        predict("gpt2", "zzz,a10", context=[50, 60])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"batch": []}, "batch"),
        ({"batch": [0, 1]}, "batch"),
        ({"batch": [1.5]}, "batch"),
        ({"batch": [True, "x"]}, "batch"),
        ({"batch": [[1, 2]]}, "along one axis"),
        ({"batch": range(1, 2000), "context": range(1, 2000)}, "roofline sweep writes any number"),
        ({"batch": [1, 2], "engin": "vllm"}, "engin is no keyword of it"),
    ],
)
def test_lists_that_are_none_are_one_line(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as failure:
        predict("gpt2", "a10", **given)
    assert "\n" not in str(failure.value)


def test_from_the_shell_it_is_a_table(tmp_path: Path) -> None:
    words = ["predict", "gpt2", "--hardware", "a10,l4", "--batch", "1,8", "--context", "100"]
    lines = answer(*words).splitlines()
    assert lines[0] == "gpt2 by hardware and batch"
    assert [line.split()[:2] for line in lines if line.startswith(("a10", "l4"))] == [
        ["a10", "1"], ["a10", "8"], ["l4", "1"], ["l4", "8"]
    ]  # fmt: skip
    code, out, said = roofline(*words, "--json", "-o", str(tmp_path / "a.csv"))
    assert (code, said.count("\n"), "a.csv" in said) == (0, 1, True)
    told = json.loads(out)
    check(told, json.loads(answer("sweep", "--json-schema")))
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 5
    assert [row["batch"] for row in told["rows"]] == [1, 8, 1, 8]
    assert answer("predict", "gpt2", "--hardware", "a10", "--batch", "1k", "--context", "100", "--quiet")
    for flag, problem in (("--explain", "shows one point"), ("--batch=x", "batch"), ("--batch=1,-2", "batch")):
        code, _, error = roofline(*words, flag)
        assert (code, error.count("\n"), problem in error) == (2, 1, True), error
