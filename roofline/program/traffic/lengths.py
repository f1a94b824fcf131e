"""How long the sequences of a network may be, and what a request shows to one that sees, or plays to one that hears."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from roofline.classes import frozen
from roofline.number import Number
from roofline.program.axes import Sizes
from roofline.program.phases import Phase


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

    @property
    def sizes(self) -> Sizes:
        """The letters of one request's images."""
        return {"B": self.sequences, "T": self.patches, "S": self.patches, "w": self.window}


@frozen
class Sounds:
    """The sound of one request.

    sequences: what the layers of the tower read one by one. places: of each, after the convolutions. pieces: what these
    read apart, of each sequence; frames: of each piece, padding included. heard: tokens that the tower makes of each
    sequence; tokens: of all, that the decoder reads. window: the mean number of places that one sees.
    """

    sequences: int
    places: int
    pieces: int
    frames: int
    heard: int
    tokens: int
    window: Number

    @property
    def sizes(self) -> Sizes:
        """The letters of one request's sound."""
        lone = {"B": self.sequences, "T": self.places, "S": self.places, "w": self.window}
        return {**lone, "q": self.pieces, "f": self.frames, "a": self.heard}


@frozen
class Shown:
    """What a request has beside its text: images or a video, and sound; None of what it has not."""

    pictures: Pictures | None = None
    sounds: Sounds | None = None

    @property
    def tokens(self) -> int:
        """The tokens of the prompt that are no text's."""
        return sum(each.tokens for each in (self.pictures, self.sounds) if each is not None)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that encode it."""
        there = (Phase.ENCODE, self.pictures), (Phase.LISTEN, self.sounds)
        return tuple(phase for phase, one in there if one is not None)

    def sizes(self, phase: Phase) -> Sizes | None:
        """The letters of what a phase encodes of one request; None where it encodes nothing of it."""
        one = {Phase.ENCODE: self.pictures, Phase.LISTEN: self.sounds}.get(phase)
        return None if one is None else one.sizes

    @property
    def each(self) -> tuple[tuple[str, Pictures | Sounds], ...]:
        """What there is, by what it is called."""
        there = ("image", self.pictures), ("sound", self.sounds)
        return tuple((name, one) for name, one in there if one is not None)

    @property
    def words(self) -> str:
        """How many tokens are whose: ``1,998 of images and 376 of sound``."""
        return " and ".join(f"{one.tokens:,} of {'images' if name == 'image' else name}" for name, one in self.each)

    def only(self, phases: Collection[Phase]) -> Shown:
        """What of it the ``phases`` encode."""
        seen, heard = (phase in phases for phase in (Phase.ENCODE, Phase.LISTEN))
        return Shown(self.pictures if seen else None, self.sounds if heard else None)


NOTHING = Shown()
