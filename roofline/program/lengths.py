"""How long the sequences of a network may be."""

from __future__ import annotations

from roofline.classes import frozen


@frozen
class Lengths:
    """Positions of a network. [tokens]

    positions: the most that a sequence may hold, prompt and generated tokens together, or the encoder's input.
    whole: the input is always that long, since it is an image. usual: what is read where nothing else is said.
    decoder_start: the tokens that the decoder behind an encoder begins with; decoder_positions: the most it may hold.
    field, decoder_field: what the configuration calls the two. unit: what a sequence is, if not tokens.
    """

    positions: int
    whole: bool = False
    usual: int | None = None
    decoder_start: int | None = None
    decoder_positions: int | None = None
    unit: str = ""
    field: str = "max_position_embeddings"
    decoder_field: str = "max_position_embeddings"

    @property
    def output(self) -> int:
        """The most tokens that a decode step may attend to."""
        return self.positions if self.decoder_positions is None else self.decoder_positions
