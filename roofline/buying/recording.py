"""A prediction, or a training step, and what it costs, recorded in letters: :func:`record`, :func:`record_training`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Unpack

from roofline.buying.economics import HourlyCost, usd_per_million
from roofline.buying.training_costs import DAY, run_usd
from roofline.errors import UsageError
from roofline.options.keywords import takes
from roofline.options.verbs.predicting import PredictOptions
from roofline.options.verbs.training import TrainOptions
from roofline.prediction.recording import AnyModel, Recording
from roofline.prediction.request import Hardware
from roofline.tape.tape import Tape
from roofline.training.question import read_training
from roofline.training.recording import TrainingRecording
from roofline.training.search import search

PRICE = "usd_per_h"
"""The letter of what all devices cost together. [USD/h]"""

TOKENS = "tokens"
"""The letter of the tokens of a whole training run."""


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
    {'decode.time_s': 0.0186, 'max_batch': 113, 'usd_per_mtoken': 0.2417}
    """
    recording = Recording.asked(model, hardware, [name for name in letters if name != PRICE], options)
    results = recording.results()
    if PRICE in letters:
        price = recording.letter(PRICE, 1.0, 0.0, 1e15)
        results["usd_per_mtoken"] = usd_per_million(HourlyCost(price), results["tokens_per_s"], 1.0)
    return recording.tape(results)


@takes(TrainOptions)
def record_training(
    model: AnyModel, hardware: Hardware, letters: Collection[str] = (), **options: Unpack[TrainOptions]
) -> Tape:
    """Record what ``train`` answers on one hardware, so that it can be evaluated for other batches and lengths.

    Keywords are those of ``train`` but ``days``; they are the point at which the recording is made, and what they leave
    open of layout, ``recompute`` and ``zero`` is the best there and the same everywhere. Letters are ``microbatch`` and
    ``batch`` in sequences, ``sequence`` in tokens, and what ``letters`` names besides: ``tokens`` of a whole run, which
    then takes ``days``; ``usd_per_h`` of all devices, with which a million tokens and a run cost ``usd_per_mtoken`` and
    ``usd``; of the machine those of ``record``. Memory is that of the fullest stage. Raises RooflineError, in one line.

    >>> tape = record_training("llama-3.1-8b", "8xh100", ["tokens"], batch=64, zero=1, recompute="full")
    >>> [letter.name for letter in tape.letters]
    ['microbatch', 'batch', 'sequence', 'tokens']
    >>> {name: round(value, 3) for name, value in tape.only("mfu", "days", "fits").at(
    ...     microbatch=1, batch=1024, sequence=8192, tokens=100e9).items()}
    {'mfu': 0.532, 'days': 14.155, 'fits': 1}
    """
    if options["days"] is not None:
        msg = "days is searched by train; a tape has the devices of its point, leave it out"
        raise UsageError(msg)
    if options["offload"] is not None:
        msg = "offload is not recorded; ask train, or leave it out"
        raise UsageError(msg)
    question = read_training(model, hardware, options)
    if question.target is not None:
        msg = f"{question.request.model.name}: two lengths are not recorded; ask train"
        raise UsageError(msg)
    table = search(question)
    choice = table.choice(table.best(1)[0])
    recording = TrainingRecording.of(question, choice, [name for name in letters if name not in (PRICE, TOKENS)])
    results = recording.results()
    tokens = recording.letter(TOKENS, 1e12, 1.0, 1e18) if TOKENS in letters else None
    seconds = None if tokens is None else tokens / results["tokens_per_s"]
    if seconds is not None:
        results["days"] = seconds / DAY
    if PRICE in letters:
        price = HourlyCost(recording.letter(PRICE, 1.0, 0.0, 1e15))
        results["usd_per_mtoken"] = usd_per_million(price, results["tokens_per_s"], 1.0)
        if seconds is not None:
            results["usd"] = run_usd(seconds, price)
    return recording.tape(results)
