"""Networks in the precision that they were published in: what fits, what a device falls back to, what states weigh."""

from __future__ import annotations

from typing import Any

import pytest

import roofline
from roofline.errors import UsageError
from roofline.models.model import load_model
from roofline.prediction.predict import predict


def test_deepseek_v3_fits_eight_h200_as_published_and_not_in_bf16() -> None:
    published = predict("deepseek-v3", "8xh200", tp=8, ep=8, reserve=0)
    assert published.memory.fits
    assert published.memory.total_bytes == pytest.approx(85.6e9, rel=5e-3)
    assert not predict("deepseek-v3", "8xh200", tp=8, ep=8, dtype="bf16", reserve=0).memory.fits


def test_compare_and_size_take_the_published_precision() -> None:
    (row,) = roofline.compare("deepseek-v3", "8xh200").to_dict()["rows"]
    assert row["dtype"] == "fp8-block"


def test_a_device_without_the_dtype_stores_it_and_multiplies_in_16_bits() -> None:
    answer = predict("deepseek-v3", "8xa100-sxm-80gb", tp=8, ep=8)
    assert answer.recipe.name == "fp8-block:16"
    assert (answer.recipe.weights.name, answer.recipe.activations.name) == ("fp8-block", "bf16")
    assert any(note.startswith("no fp8 matmuls here") for note in answer.notes)
    h100 = predict("deepseek-v3", "8xh100", tp=8, ep=8)
    assert h100.recipe.activations.name == "fp8-group"
    assert not any("matmuls here" in note for note in h100.notes)


def test_states_weigh_what_their_dtype_says() -> None:
    """30 layers of 32 heads of 128 x 128, and three columns of 8,192 channels in bf16."""
    fields = {**load_model("qwen3.5-35b-a3b").fields}
    recurrent, columns = 30 * 32 * 128 * 128, 30 * 3 * (2 * 16 * 128 + 32 * 128)
    for state, width in ((None, 4), ("bf16", 2), ("fp32", 4)):
        answer = predict(fields, "b200", batch=256, context=1024, state_dtype=state)
        assert answer.memory.footprint.state_bytes == 256 * (recurrent * width + columns * 2)
    wide, narrow = (predict(fields, "b200", batch=256, context=64, state_dtype=each) for each in ("fp32", "bf16"))
    moved = [each.phases["decode"].figures.bytes for each in (wide, narrow)]
    assert moved[0] - moved[1] == 2 * 2 * recurrent * 256  # read and written, two bytes more an element
    flops = [each.phases["decode"].figures.flops for each in (wide, narrow)]
    assert flops[0] == flops[1]


def test_an_unknown_dtype_of_states_is_refused() -> None:
    with pytest.raises(UsageError, match='state_dtype "fp8" is not known'):
        predict("qwen3.5-9b", "h100", state_dtype="fp8")


@pytest.mark.parametrize(
    ("name", "asked", "told"),
    [
        ("bert-base", {"kv_dtype": "fp8"}, "kv_dtype fp8 changes nothing: bert-base keeps no KV cache"),
        ("gpt2", {"state_dtype": "fp32"}, "state_dtype fp32 changes nothing: gpt2 keeps no recurrent state"),
        ("gpt2", {"kv_dtype": "fp8"}, None),
        ("mamba2-130m", {"state_dtype": "fp32"}, None),
    ],
)
def test_a_format_of_what_is_not_kept_is_told(name: str, asked: dict[str, Any], told: str | None) -> None:
    notes = [note for note in predict(name, "h100", **asked).notes if "changes nothing" in note]
    assert notes == ([told] if told else [])
