"""How long the sequences of a network may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lengths:
    """Positions of a network. [tokens]

    positions: the most that a sequence may hold, prompt and generated tokens together, or the encoder's input.
    whole: the input is always that long, since it is an image.
    """

    positions: int
    whole: bool = False
