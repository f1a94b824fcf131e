"""Documents a second and for a dollar, of networks that read and generate nothing."""

from __future__ import annotations

import pytest

from roofline.buying.documents import documents_of
from roofline.buying.prices import offers_of, pick_offer
from roofline.hardware.loading import load_hardware
from roofline.prediction.predict import predict


@pytest.mark.parametrize("model", ["bge-m3", "bge-reranker-v2-m3", "colbertv2", "qwen3-embedding-8b"])
def test_documents_are_sequences_and_their_dollars_those_of_an_hour(model: str) -> None:
    one = predict(model, "h100", batch=32, prompt=256)
    found = documents_of(one)
    assert found is not None
    assert found["documents_per_s"] == pytest.approx(one.tokens_per_s / 256)
    offer = pick_offer(offers_of(load_hardware("h100")), "on_demand")
    assert offer is not None
    assert found["documents_per_usd"] * offer.usd / 3600 == pytest.approx(found["documents_per_s"])
    assert found["price"] == offer.words()


def test_two_devices_cost_twice() -> None:
    one, two = (documents_of(predict("bge-m3", f"{n}xh100", batch=64 * n, dp=n, prompt=256)) for n in (1, 2))
    assert one is not None
    assert two is not None
    assert two["documents_per_usd"] == pytest.approx(one["documents_per_usd"], rel=0.01)


def test_without_a_price_there_are_no_dollars() -> None:
    found = documents_of(predict("bge-m3", "xeon", prompt=64))
    assert found is not None
    assert set(found) == {"documents_per_s"}


@pytest.mark.parametrize("model", ["llama-3.1-8b", "t5-base", "vit-base-patch16-224"])
def test_who_generates_or_sees_reads_no_documents(model: str) -> None:
    assert documents_of(predict(model, "h100")) is None
