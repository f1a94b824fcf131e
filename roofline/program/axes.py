"""The legend: one letter, one meaning. The machine's symbols are words, so that no letter means two things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

from roofline.errors import ShapeError
from roofline.number import Number

LEGEND: dict[str, str] = {
    "B": "batch: sequences worked on at once",
    "T": "new (query) tokens per sequence in this step",
    "S": "context (key) length: tokens attended to, the new ones included",
    "D": "hidden size",
    "F": "feed-forward width",
    "K": "key/value heads",
    "G": "query heads per key/value head",
    "H": "head dimension",
    "V": "vocabulary; in the head of a classifier, its labels",
    "P": "rows of the position table",
    "Y": "rows of the segment (token type) table",
    "L": "layers",
    "E": "experts",
    "A": "experts that each token is sent to",
    "X": "experts touched",
    "C": "tokens per touched expert",
    "W": "attention window, keys that an indexer picks, or chunk of a scan",
    "M": "encoder length",
    "R": "latent rank of keys and values, or of time steps",
    "Q": "latent rank of queries",
    "J": "rotated part of a head, beside its H others",
    "U": "head dimension of values, where it is not H",
    "N": "state size: elements per channel, width of a state's keys",
    "I": "elements of one patch of an image, or of one frame of sound",
    "O": "width of an embedding, or of what experts read, where it is not D",
    "Z": "taps of a convolution",
    "n": "heads of an indexer",
    "d": "width of an indexer's heads",
    "c": "inputs that a convolution keeps: one fewer than its taps",
    "x": "tokens that a compressor sums up to one entry, or of a block that an indexer picks",
    "b": "series of a compressor: how many entries a token is part of",
    "y": "rows that a compressor keeps of its open windows",
    "s": "compressed entries of the context, those that a step reads",
    "t": "compressed entries that the new tokens complete, on average",
    "k": "compressed entries, or keys of blocks, that a token sees, on average",
    "e": "compressed entries, or blocks of keys, that an indexer picks",
    "o": "latent rank of the output, for each group of heads",
    "u": "rank of a projection beside attention",
    "h": "streams of the residual connection",
    "j": "coefficients that mix the streams",
    "z": "groups of a matrix's elements that share a scale",
    "i": "groups of a token's elements that share a scale",
    "w": "patches of an image, or places of a sound, that each of them sees within its window",
    "q": "pieces of a sound that convolutions read apart",
    "f": "frames of a spectrogram in each piece, padding included",
    "a": "tokens of a sound, as the decoder reads it",
    "m": "adapters that the requests of a step use",
    "l": "adapters that lie in memory",
    "r": "rank of an adapter",
    "g": "context of a sequence where a window leaves S of it",
}
"""Axis letter -> meaning, after the notation of How to Scale Your Model (jax-ml/scaling-book, transformers.md)."""

ANONYMOUS = "_"
"""What the axes begin with that an operator names for itself, and binds: those of a traced module."""

SHARED = "_|"
"""What those of them begin with that devices of tensor parallelism split."""

PART = f"{SHARED}part"
"""An axis of 1 that they split: each has its part of a tensor, whichever of its own axes that is."""

Sizes: TypeAlias = Mapping[str, Number]
"""Axis letter -> its size."""

Binding: TypeAlias = int | Fraction | str | Callable[[Sizes], Number]
"""What a letter is rebound to: a number, another letter, or a formula of the sizes around it."""


def rebind(sizes: Sizes, local: Mapping[str, Binding]) -> Sizes:
    """``sizes`` with the letters of ``local`` rebound, every right side read from the sizes outside.

    A letter that is bound to one without a size has none either: who counts parameters binds no batch and no length.

    >>> dict(rebind({"T": 7, "D": 8, "F": 32}, {"T": 1, "F": "D", "S": "M"}))
    {'T': 1, 'D': 8, 'F': 8}
    """
    if not local:
        return sizes
    bound = dict(sizes)
    for letter, binding in local.items():
        try:
            bound[letter] = resolve(binding, sizes)
        except ShapeError:
            bound.pop(letter, None)
    return bound


def resolve(binding: Binding, sizes: Sizes) -> Number:
    """The number that ``binding`` stands for under ``sizes``. Raises ShapeError for a letter that has no size."""
    if isinstance(binding, str):
        return size_of(binding, sizes)
    return binding(sizes) if callable(binding) else binding


def size_of(letter: str, sizes: Sizes) -> Number:
    """The size of ``letter``. Raises ShapeError, with the letter's meaning, if it has none."""
    try:
        return sizes[letter]
    except KeyError:
        msg = f"axis {letter} ({LEGEND.get(letter, 'not in the legend')}) has no size; bound: {' '.join(sorted(sizes))}"
        raise ShapeError(msg) from None
