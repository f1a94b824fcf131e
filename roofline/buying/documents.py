"""Embedders, rerankers and classifiers: documents a second, and for a dollar."""

from __future__ import annotations

from roofline.buying.prices import offers_of, pick_offer
from roofline.prediction.answers import DocumentsAnswer
from roofline.prediction.predict import Prediction

_HOUR_S = 3600.0


def documents_of(prediction: Prediction) -> DocumentsAnswer | None:
    """Documents a second and for a dollar of a network that generates nothing; None of any other.

    The price is the cheapest on demand that the device has in the library, for whole shapes of the devices in use.

    >>> from roofline.prediction.predict import predict
    >>> sorted(documents_of(predict("bge-m3", "h100", batch=64, prompt=512)))
    ['documents_per_s', 'documents_per_usd', 'price']
    """
    rate = prediction.documents_per_s
    if rate is None:
        return None
    found: DocumentsAnswer = {"documents_per_s": rate}
    offer = pick_offer(offers_of(prediction.hardware), "on_demand")
    if offer is not None:
        found["documents_per_usd"] = rate * _HOUR_S / offer.total_usd(prediction.count)
        found["price"] = offer.words()
    return found


def in_words(found: DocumentsAnswer) -> str:
    """Documents a second and for a dollar in one line.

    >>> in_words({"documents_per_s": 1234.5, "documents_per_usd": 1639946.0, "price": "h100 2.71 USD/h"})
    '1,234 documents/s, 1,639,946 documents/USD: h100 2.71 USD/h'
    """
    rate = f"{found['documents_per_s']:,.0f} documents/s"
    if "documents_per_usd" not in found:
        return rate
    return f"{rate}, {found['documents_per_usd']:,.0f} documents/USD: {found['price']}"
