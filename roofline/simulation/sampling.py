"""Requests drawn from traffic: prompts and answers, each from its own distribution."""

from __future__ import annotations

import numpy as np

from roofline.number import Grid
from roofline.program.traffic import Lengths, Traffic
from roofline.simulation.ledger import Ledger, Whole


def drawn(traffic: Traffic, requests: int, positions: int, rng: np.random.Generator) -> tuple[Ledger, int]:
    """So many requests, and how many of them were cut to what the model has positions for."""
    prompt, generate = (_lengths(each, requests, rng) for each in (traffic.prompt, traffic.generate))
    read = np.minimum(prompt, positions)
    answered = np.minimum(generate, positions - read + 1)  # the last token is not read again
    return Ledger.of(read, answered), int(np.count_nonzero(read + answered < prompt + generate))


def _lengths(lengths: Lengths, requests: int, rng: np.random.Generator) -> Whole:
    """Tokens from a log-normal distribution, or the points as likely as they are."""
    if not lengths.spread:
        return np.asarray(rng.choice(np.array(lengths.tokens), requests, p=lengths.weights), dtype=np.int64)
    middle = np.log(lengths.mean) - lengths.spread**2 / 2
    found: Grid = np.exp(middle + lengths.spread * rng.standard_normal(requests))
    return np.maximum(1, np.rint(np.minimum(found, 1e9))).astype(np.int64)
