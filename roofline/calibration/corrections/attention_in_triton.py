"""Corrections of vLLM's unified attention in Triton: tiles of few rows, segments of keys, a search in each block."""

from __future__ import annotations

from math import log
from typing import Annotated, ClassVar

from roofline.calibration.corrections.correction import Correction, Prior, Rows, Time
from roofline.classes import frozen
from roofline.number import Number, ceil_div, floor_div, maximum, minimum

_SMALL = 1e-4  # an exponent


@frozen
class KeyTime(Correction):
    """Time of a key: a block of few query rows takes ``each`` for each element of a key, however fast the matrix unit.

    In place of FLOPs / peak.

    >>> KeyTime(2e-10).seconds(head_dim=200)
    4e-08
    """

    each: Annotated[Time, Prior(1.5e-10, 1.0)]

    source: ClassVar = (
        "vLLM's unified attention in Triton, tiles of 16 rows and heads of 192: 55 and 58 cycles a key in prefill on a "
        "B200 and an L40S, whose matrix units differ by 8 x a cycle"
    )
    explained: ClassVar = "a block takes {each} for each element of a key"

    def seconds(self, head_dim: Number) -> Number:
        """What one key takes, of a head so wide. [s]"""
        return self.each * head_dim


@frozen
class KeyTiles(Correction):
    """Key tiles: a block goes through whole tiles of ``keys`` keys, and through one more where a window cuts one.

    >>> KeyTiles(32.0).of_block(keys=128.0, cut=0.0), KeyTiles(32.0).of_block(keys=128.0, cut=1.0)
    (128.0, 160.0)
    >>> KeyTiles(32.0).ragged(queries=500.0, tokens=8.0, cut=0.0), KeyTiles(32.0).ragged(1.0, tokens=1.0, cut=0.0)
    (15.5, 31.0)
    """

    keys: Annotated[Rows, Prior(32.0, 0.01)]

    source: ClassVar = "vLLM's unified attention in Triton, 0.24: TILE_SIZE_PREFILL is 32, of one query too"
    explained: ClassVar = "a block goes through whole tiles of {keys} keys"

    def of_block(self, keys: Number, cut: Number) -> Number:
        """Keys that a block of one query goes through."""
        return (ceil_div(keys, self.keys) + cut) * self.keys

    def ragged(self, queries: Number, tokens: Number, cut: Number) -> Number:
        """Keys beyond those that a query sees under a mask, in the mean of all tiles of so many ``tokens``.

        A prompt shorter than a tile goes through one; a window is wider by the tokens, and ends within a tile too.
        """
        half = (self.keys - 1.0) / 2.0
        return half + maximum(half - (queries - 1.0) / 2.0, 0.0) + cut * (half + tokens - 1.0)


@frozen
class KeySplit(Correction):
    """Split keys of decode: while there are no more than ``blocks``, each is cut into ``segments``, blocks themselves.

    A segment has whole tiles of ``keys``, an element of which takes ``each``. The whole context is cut; the tiles of a
    window lie in the segments at its end, and the others have none. A further kernel of ``reduction`` joins segments.

    >>> split = KeySplit(segments=16.0, blocks=128.0, keys=16.0, each=2e-10, reduction=3e-6)
    >>> split.cuts(blocks=128.0), split.cuts(blocks=129.0)
    (1.0, 0.0)
    >>> split.tiles(keys=3200.0, cut=0.0), split.own(tiles=200.0, context=200.0), split.segments_of(context=20.0)
    (200.0, 208.0, 10)
    >>> split.tiles(keys=128.0, cut=1.0), split.own(tiles=9.0, context=64.0), split.own(tiles=9.0, context=999.0)
    (9.0, 64.0, 144.0)
    """

    segments: Annotated[Rows, Prior(16.0, 0.01)]
    blocks: Annotated[Rows, Prior(128.0, 0.01)]
    keys: Annotated[Rows, Prior(16.0, 0.01)]
    each: Annotated[Time, Prior(1.5e-10, 1.0)]
    reduction: Annotated[Time, Prior(3e-6, 1.0)]

    source: ClassVar = (
        "vLLM's unified attention in Triton, 0.24: 16 segments while sequences times key/value heads are no more than "
        "128, TILE_SIZE_DECODE is 16, tiles_per_segment is that of seq_len. Without tiles of their own time and the "
        "search of a sequence decode has 13.4 and 14.2 % median error on a B200 and an L40S, with both 8.6 and 8.1 %, "
        "cut by the whole context 7.4 and 7.1 %, with reduce_segments, which runs where keys are cut, 6.3 and 7.1 %"
    )
    explained: ClassVar = (
        "up to {blocks} blocks, keys are cut into {segments} of tiles of {keys}, {each} an element, and joined in "
        "{reduction}"
    )

    def cuts(self, blocks: Number) -> Number:
        """1 where keys are cut, else 0."""
        return 1.0 - minimum(maximum(blocks - self.blocks, 0.0), 1.0)

    def tiles(self, keys: Number, cut: Number) -> Number:
        """Tiles of the keys that a query sees, of which a window cuts one more."""
        return ceil_div(keys, self.keys) + cut

    def own(self, tiles: Number, context: Number) -> Number:
        """Keys of the longest segment, one after the other, of so many tiles in a context of so many."""
        return self.keys * minimum(tiles, ceil_div(context, self.segments))

    def segments_of(self, context: Number) -> Number:
        """Segments that a context of so many tiles has."""
        return ceil_div(context, ceil_div(context, self.segments))


@frozen
class BlockSearch(Correction):
    """Search of a block's sequence: each block that is launched takes ``each`` for every halving of all sequences.

    Launched are the blocks of all tokens and one more for every sequence, whether they have work or not.

    >>> search = BlockSearch(each=1e-7)
    >>> search.launched(tokens=100.0, sequences=100.0, together=8.0, kv_heads=2.0)
    224.0
    >>> round(search.seconds(launched=224.0, sequences=127.0, units=56.0) * 1e6, 2)
    2.8
    """

    each: Annotated[Time, Prior(1e-7, 1.0)]

    source: ClassVar = (
        "vLLM's unified attention in Triton, 0.24: the grid has tokens // BLOCK_Q + sequences blocks a key/value head, "
        "and find_seq_idx is a binary search"
    )
    explained: ClassVar = "each block launched takes {each} for every halving of the sequences"

    def launched(self, tokens: Number, sequences: Number, together: Number, kv_heads: Number) -> Number:
        """Blocks, of which one has ``together`` tokens."""
        return (floor_div(tokens, together) + sequences) * kv_heads

    def seconds(self, launched: Number, sequences: Number, units: Number) -> Number:
        """What so many blocks take. A logarithm by a power, which formulas and tapes know: x^e = 1 + e ln x. [s]"""
        halvings = ((sequences + 1.0) ** _SMALL - 1.0) / (_SMALL * log(2.0))
        return self.each * halvings * launched / units
