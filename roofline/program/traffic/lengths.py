"""How long the sequences of a network may be, and what a request shows to one that sees."""

from __future__ import annotations

from typing import Protocol

from roofline.classes import frozen
from roofline.number import Number
from roofline.program.axes import Sizes


class Ask(Protocol):
    """What code that was traced asked of sizes and found true: with others it may do something else."""

    def holds(self, sizes: Sizes) -> bool: ...


@frozen
class Lengths:
    """Positions of a network. [tokens]

    positions: the most that a sequence may hold, prompt and generated tokens together, or the encoder's input.
    whole: the input is always that long, since it is an image. usual: what is read where nothing else is said.
    decoder_start: the tokens that the decoder behind an encoder begins with; decoder_positions: the most it may hold.
    field, decoder_field: what the configuration calls the two. unit: what a sequence is, if not tokens.
    asks: what traced code asked of the batch B and the length S.
    """

    positions: int
    whole: bool = False
    usual: int | None = None
    decoder_start: int | None = None
    decoder_positions: int | None = None
    unit: str = ""
    field: str = "max_position_embeddings"
    decoder_field: str = "max_position_embeddings"
    asks: tuple[Ask, ...] = ()

    @property
    def output(self) -> int:
        """The most tokens that a decode step may attend to."""
        return self.positions if self.decoder_positions is None else self.decoder_positions


@frozen
class Pictures:
    """Images, or a video, of one request.

    sequences: what the tower reads one by one: images, tiles of them, instants of a video. patches: tokens of each, a
    class token included. tokens: what all of them are to the decoder, line breaks and separators included.
    window: the mean number of patches that one sees in a layer of windows; all where there are none.
    """

    sequences: int
    patches: int
    tokens: int
    window: Number
