"""A prediction and what it costs, recorded in letters: :func:`record`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Unpack

from roofline.buying.economics import HourlyCost, usd_per_million
from roofline.options.keywords import takes
from roofline.options.verbs import PredictOptions
from roofline.prediction.recording import AnyModel, Recording
from roofline.prediction.request import Hardware
from roofline.tape.tape import Tape

PRICE = "usd_per_h"
"""The letter of what all devices cost together. [USD/h]"""


@takes(PredictOptions)
def record(
    model: AnyModel, hardware: Hardware, letters: Collection[str] = (), **options: Unpack[PredictOptions]
) -> Tape:
    """Record what ``predict`` answers, so that it can be evaluated for other batches, lengths and rates.

    Keywords are those of ``predict``; they are the point at which the recording is made. Batch and lengths are letters,
    and what ``letters`` names besides: bandwidth, peak, vector_peak, special_peak, unit_count, cycles_per_s,
    last_cache, latency_scale, link_scale, room_bytes, and usd_per_h, with which a million tokens have a cost at full
    load. The layout is that of the point, and the same everywhere. Raises RooflineError, in one line.

    >>> tape = record("llama-3.1-8b", "h100", ["usd_per_h"], context=2048)
    >>> [letter.name for letter in tape.letters]
    ['batch', 'context', 'usd_per_h']
    >>> {name: round(value, 4) for name, value in tape.only("decode.time_s", "max_batch", "usd_per_mtoken").at(
    ...     batch=64, context=4096, usd_per_h=3.0).items()}
    {'decode.time_s': 0.0186, 'max_batch': 113, 'usd_per_mtoken': 0.2416}
    """
    recording = Recording.asked(model, hardware, [name for name in letters if name != PRICE], options)
    results = recording.results()
    if PRICE in letters:
        price = recording.letter(PRICE, 1.0, 0.0, 1e15)
        results["usd_per_mtoken"] = usd_per_million(HourlyCost(price), results["tokens_per_s"], 1.0)
    return recording.tape(results)
