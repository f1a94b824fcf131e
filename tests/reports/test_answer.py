"""The answer of ``predict``: short for every model and device, in 80 columns, and silent about nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import answer, roofline

from roofline import predict
from roofline.reports.answer import costliest_lines, text
from roofline.reports.prediction import verdict

ASKED = [
    ("llama-3.1-8b", "h100", {}),
    ("llama-3.1-8b", "xeon", {"dtype": "w8a8"}),
    ("llama-3.1-70b", "h100", {"dtype": "bf16"}),  # does not fit
    ("deepseek-v3", "8xh200", {}),  # nor does this, on several devices
    ("bamba-9b", "8xh200", {}),
    ("lfm2-8b-a1b", "h100", {}),  # the longest names
    ("jamba-v0.1", "8xh200", {"dtype": "w4a16"}),
    ("t5-base", "h100", {"prune": {"heads": 0.25}}),
    ("whisper-small", "t4", {}),
    ("bert-base", "mi300x", {}),
]


@pytest.mark.parametrize(("model", "hardware", "asked"), ASKED, ids=str)
def test_an_answer_has_at_most_20_lines_and_its_rows_fit_80_columns(model: str, hardware: str, asked: dict) -> None:
    prediction = predict(model, hardware, **asked)
    lines = text(prediction).splitlines()
    assert sum(not line.startswith("note: ") for line in lines) <= 20
    phases = [line for line in verdict(prediction) if line.split()[0] in prediction.phases]
    assert len(phases) == len(prediction.phases)
    assert max(len(line) for line in (*phases, *costliest_lines(prediction))) <= 80
    assert any(line.startswith("constants: ") for line in lines)
    assert any(line.startswith("inputs: ") for line in lines)


def test_the_costliest_operators_are_those_of_the_request() -> None:
    prediction = predict("llama-3.1-8b", "h100", prompt=4096, generate=8)
    taken = {
        (op.name, name): phase.steps * op.figures.time_s
        for name, phase in prediction.phases.items()
        for op in phase.operators
    }
    rows = [tuple(line.split()[:2]) for line in costliest_lines(prediction)[1:-1]]
    assert rows == sorted(taken, key=lambda each: -taken[each])[:5]
    assert "prefill" in {phase for _, phase in rows}
    assert f"--operators prints all {len(taken)}" in costliest_lines(prediction)[-1]


@pytest.mark.parametrize(
    ("model", "hardware", "dtype", "timed"),
    [("llama-3.1-8b", "h100", "bf16", "bf16"), ("llama-3.1-8b", "h100", "fp8", "fp8"),
     ("deepseek-v3", "8xh200", None, "fp8_block")],
)  # fmt: skip
def test_the_line_of_constants_tells_the_band_of_the_matmuls_that_run(
    model: str, hardware: str, dtype: str | None, timed: str
) -> None:
    prediction = predict(model, hardware, dtype=dtype)
    low, high, _ = prediction.constants.band("matmul", timed)
    assert f"matmuls in {timed}: 90 % band {low:.4g} to {high:.4g} x" in text(prediction)


def test_an_input_that_is_not_as_usual_is_named() -> None:
    plain = answer("predict", "gpt2", "--hardware", "t4")
    assert "reserve" not in plain.splitlines()[-1]
    assert ", reserve 1GiB" in answer("predict", "gpt2", "--hardware", "t4", "--reserve", "1GiB")
    inputs = json.loads(answer("predict", "gpt2", "--hardware", "t4", "--reserve", "1GiB", "--json"))["inputs"]
    assert (inputs["reserve"], inputs["engine"], inputs["kv_block"]) == ("1GiB", "vllm", 16)


@pytest.mark.parametrize("flag", ["--quiet", "--operators", "--json", "--batch=1"])
def test_an_ignored_field_is_told_whatever_is_shown(tmp_path: Path, flag: str) -> None:
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
              "num_attention_heads": 4, "max_position_embeddings": 4096,
              "num_key_value_heads": 4, "rms_norm_eps": 1e-5, "vocab_size": 100, "strange": 3}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    code, out, err = roofline("predict", str(tmp_path), "--hardware", "h100", flag)
    assert code == 0
    assert "field strange is not modelled and was ignored" in err
    if flag == "--batch=1":
        assert "1 field of the model ignored, see the warnings" in out


def test_quiet_tells_what_does_not_fit_and_what_is_held_twice() -> None:
    out = answer("predict", "deepseek-v3", "--hardware", "8xh200", "--dtype", "bf16", "--quiet")
    assert "DOES NOT FIT" in out
    assert "replicated on several devices" in out
