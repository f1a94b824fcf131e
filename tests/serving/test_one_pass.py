"""Serving of networks that generate nothing: what a pass takes, holds and costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline.buying.api import compare, size
from roofline.models.model import load_model
from roofline.prediction.predict import predict

EACH = {"bge-m3": 300, "qwen3-embedding-8b": 3000, "vit-base-patch16-224": None, "resnet-50": None}
"""Networks and the length that they read; that of the decoder fills its engine's forward passes with few of them."""


@pytest.mark.parametrize("model", EACH)
def test_a_pass_is_predicted_as_predict_has_it(model: str) -> None:
    """At every batch, alone and behind many others, in time, band, utilisation."""
    asked: dict[str, Any] = {} if EACH[model] is None else {"prompt": EACH[model]}
    (row,) = compare(model, "h100", **asked).rows
    state = row.curve.state
    assert state is not None
    for batch in (1, 7, 40):
        column = int(np.searchsorted(state.batches, batch))
        one = predict(model, "h100", batch=batch, **asked)
        (phase,) = one.phases.values()
        found = [float(row.curve.of(name)[column]) for name in ("tpot_s", "low", "high", "mfu", "mbu")]
        figures = phase.figures
        told = [one.request_s, figures.low_s / one.request_s, figures.high_s / one.request_s, figures.mfu, figures.mbu]
        assert found == pytest.approx(told, rel=1e-9), batch
        assert row.curve.of("requests_per_s")[column] == pytest.approx(batch / one.request_s)


@pytest.mark.parametrize(("model", "reserve"), [("bge-m3", 0.9), ("qwen3-embedding-8b", 0.2), ("resnet-50", 0.95)])
def test_the_largest_batch_is_that_of_predict(model: str, reserve: float) -> None:
    """In so little memory that few fit."""
    asked: dict[str, Any] = {} if EACH[model] is None else {"prompt": EACH[model]}
    found = compare(model, "l4", reserve=reserve, **asked).rows[0].curve.most
    assert found is not None
    most = predict(model, "l4", reserve=reserve, **asked).memory.max_batch
    assert most is not None
    assert found == pytest.approx(min(most, 4096), abs=1)


def test_a_target_of_latency_takes_the_best_batch_within_it() -> None:
    free, bound = (compare("bge-m3", "h100", prompt=256, latency=target).rows[0] for target in (None, "20ms"))
    assert free.point is not None
    assert bound.point is not None
    assert bound.qualifies
    assert bound.point.ttft.value <= 0.02 < free.point.ttft.value
    assert bound.point.ttft.value == pytest.approx(1.5 * bound.point.tpot.value)
    assert bound.point.requests_per_s.value < free.point.requests_per_s.value
    assert not compare("bge-m3", "h100", prompt=256, latency="1us").qualifies


def test_a_million_documents_cost_the_hours_that_they_take() -> None:
    result = compare("bge-m3", "h100", prompt="128/512", prices="h100=3.6USD/h", utilization="0.5")
    told = result.to_dict()["rows"][0]
    (at,) = told["cost"]["at"]
    assert at["usd_per_million_requests"] == pytest.approx(1e6 / (told["requests_per_s"] * 0.5) * 3.6 / 3600)
    assert at["usd_per_million_input"] == pytest.approx(at["usd_per_million_requests"] / 320)
    assert not {"tpot_s", "ttft_s", "tokens_per_s", "tokens_per_kwh"} & set(told)


def test_lengths_are_averaged_over_passes_of_like_length() -> None:
    short, long, both = (compare("bge-m3", "h100", prompt=prompt).rows[0].curve for prompt in (64, 512, "64/512"))
    assert both.of("tpot_s") == pytest.approx((short.of("tpot_s") + long.of("tpot_s")) / 2)
    assert both.most == long.most


def test_units_serve_a_load_of_images() -> None:
    result = size("resnet-50", "h100", load="50000req/s", latency="20ms", headroom=0.2)
    order = result.orders[0]
    assert order.units == int(np.ceil(50_000 / 0.8 / (order.most / order.units)))
    assert order.point.ttft.value <= 0.02
    clients = size("resnet-50", "h100", concurrency=64).orders[0]
    assert clients.units == 1


def test_what_a_network_reads() -> None:
    read = {model: load_model(model).reads for model in ("llama-3.1-8b", "t5-base", *EACH)}
    assert list(read.values()) == ["", "", "documents", "documents", "images", "inputs"]
