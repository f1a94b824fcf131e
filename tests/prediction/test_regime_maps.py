"""Maps of batch by length: each cell is the prediction of that step, and the boundaries are where the shares cross."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from grids import examples, paired, quick
from hypothesis import strategies as st
from pictures import artist, check_texts, prediction

from roofline.charts.drawing.theme import SIZES, THEMES
from roofline.charts.kinds import regime
from roofline.errors import UsageError, WorkloadError
from roofline.prediction.predict import predict
from roofline.prediction.regime_maps import PARTS, RegimeMap, map_regimes, roof_boundary, share_boundary, step_seconds
from roofline.program.phases import Phase


@functools.cache
def small(model: str = "llama-3.1-8b", device: str = "h100") -> RegimeMap:
    lengths = np.geomspace(128, 16384, 24) if model.startswith("llama") else np.geomspace(8, 512, 24)
    phase = Phase.DECODE if model.startswith("llama") else Phase.ENCODE
    return map_regimes(prediction(model, device), phase, np.geomspace(1, 2048, 20).tolist(), lengths.tolist())


@pytest.mark.parametrize(("batch", "context"), [(1, 100), (32, 4096), (512, 128)])
def test_a_cell_is_the_prediction_of_that_step(batch: int, context: int) -> None:
    found = map_regimes(prediction(), Phase.DECODE, [batch, 2 * batch], [context, 2 * context])
    step = predict("llama-3.1-8b", "h100", batch=batch, context=context)
    figures = step.phases["decode"].figures
    assert found.time_s[0, 0] == pytest.approx(figures.time_s)
    assert found.token_s[0, 0] == pytest.approx(figures.time_s)
    assert PARTS[found.bound_by[0, 0]] == figures.bound_by
    assert found.seconds["memory"][0, 0] == pytest.approx(figures.shares.memory * figures.time_s)
    assert found.largest is not None
    assert found.largest[0] == step.memory.max_batch


def test_a_prompt_is_counted_per_token() -> None:
    found = map_regimes(prediction(), Phase.PREFILL, [1, 2], [512, 1024])
    figures = predict("llama-3.1-8b", "h100", prompt=512, phase="prefill").phases["prefill"].figures
    assert found.token_s[0, 0] == pytest.approx(figures.time_s / 512)


def test_the_boundary_on_the_roofs_is_where_both_sides_take_as_long() -> None:
    one = prediction()
    (batch,) = roof_boundary(one, Phase.DECODE, [256])
    below, above = (predict("llama-3.1-8b", "h100", batch=int(batch) + more, context=256) for more in (0, 1))
    sides = [(d.flops / 989.4e12) / (d.bytes / 3350e9) for d in (p.phases["decode"].figures for p in (below, above))]
    assert sides[0] < 1 <= sides[1]
    assert np.isnan(roof_boundary(one, Phase.DECODE, [16384])).all()  # the cache alone outweighs the work


@examples(st.floats(64, 200), few=8, many=80)
def test_the_expected_boundary_is_where_the_shares_cross(length: float) -> None:
    one = prediction()
    (batch,) = share_boundary(one, Phase.DECODE, [length], 1e5)
    assert np.isfinite(batch)
    sides = [step_seconds(one, Phase.DECODE, np.array([batch * f]), np.array([length])) for f in (0.999, 1.001)]
    assert sides[0]["compute"] < sides[0]["memory"]
    assert sides[1]["compute"] > sides[1]["memory"]


def test_the_map_shows_its_boundaries_and_where_nothing_fits() -> None:
    found = small()
    figure = regime.draw_regime(found)
    line = artist(figure, "boundary:expected")
    expected = share_boundary(found.prediction, Phase.DECODE, found.lengths.tolist(), 2048.0)
    assert np.array_equal(line.get_ydata(), expected, equal_nan=True)
    assert np.isfinite(expected).any()
    assert artist(figure, "boundary:roofs").get_linestyle() == "--"
    assert artist(figure, "largest").get_ydata()[-1] == found.largest[-1]
    assert "compute overtakes memory at batch" in regime.describe_regime(found)
    rows = regime.regime_rows(found)
    assert len(rows) == 20 * 24
    assert {row["fits"] for row in rows} == {True, False}


def test_the_speed_up_is_the_ratio_of_times() -> None:
    fast, slow = small(), small(device="a100")
    row = regime.regime_rows(fast, slow)[0]
    assert row["base_time_s"] / row["time_s"] == pytest.approx(slow.time_s[0, 0] / fast.time_s[0, 0])
    assert "H100 SXM 80GB is 1." in regime.describe_speed_up(fast, slow)
    with pytest.raises(UsageError, match="one model, phase and grid"):
        regime.draw_speed_up(fast, small("bert-base", "t4"))


@pytest.mark.parametrize(
    ("theme", "size"), quick(paired(list(THEMES), list(SIZES)), of=itertools.product(THEMES, SIZES))
)
def test_maps_are_free_of_collisions(theme: str, size: str) -> None:
    for model, device in (("llama-3.1-8b", "h100"), ("bert-base", "t4"), ("bert-base", "xeon")):
        check_texts(regime.draw_regime(small(model, device), theme=theme, size=size))
    check_texts(regime.draw_speed_up(small(), small(device="mi300x"), theme=theme, size=size))


def test_a_map_that_cannot_be_is_refused() -> None:
    with pytest.raises(WorkloadError, match="no decode phase"):
        map_regimes(prediction("bert-base", "t4"), Phase.DECODE, [1, 2], [1, 2])
    with pytest.raises(WorkloadError, match="exceeds the model's"):
        map_regimes(prediction("bert-base", "t4"), Phase.ENCODE, [1, 2], [1, 513])
    for batches in ([1], [0, 1]):
        with pytest.raises(UsageError, match="two batches and two lengths"):
            map_regimes(prediction(), Phase.DECODE, batches, [1, 2])


def test_the_largest_batch_is_the_one_that_fits_beside_the_reserve() -> None:
    kept = predict("llama-3.1-8b", "h100", context=4096, reserve=0.5)
    found = map_regimes(kept, Phase.DECODE, [1, 2], [2048, 4096])
    assert found.largest is not None
    assert found.largest[1] == kept.memory.max_batch
    assert found.largest[1] < predict("llama-3.1-8b", "h100", context=4096).memory.max_batch
