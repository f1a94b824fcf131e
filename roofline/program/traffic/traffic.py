"""What users send: how long prompts and answers are, as numbers or distributions, and how much of a prompt is cached.

A distribution is a few points with weights, which keep its mean: costs are then sums over points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, erf, exp, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.errors import UnitError, UsageError, shown
from roofline.number import Grid
from roofline.program.traffic.lengths import NOTHING, Shown
from roofline.program.workload import MAX_LENGTH
from roofline.units import format_count, parse_count

BINS = 8
"""Into how many equally likely parts a log-normal distribution is cut; each part counts as its mean."""

WHOLE = "each as long as every other"
"""Where the lengths of what is read whole, as images are, come from."""

OWN = "own"
"""The name of traffic whose lengths were given."""

_P90, _RARELY = (NormalDist().inv_cdf(part) for part in (0.9, 0.999))
_PROGRESS = ((0.5 - 0.15**0.5, 5 / 18), (0.5, 8 / 18), (0.5 + 0.15**0.5, 5 / 18))
"""Points in an answer, and their weights, after Gauss and Legendre: exact for a mean of up to the fifth power."""
_LENGTHS = "tokens such as 2048, equally likely ones such as 128/512/2048, or MEDIAN:P90 such as 1020:1930"


@frozen
class Lengths:
    """Lengths in whole tokens and how likely each is; ``words`` is how it was asked for.

    ``spread``: the points stand for a log-normal distribution of this standard deviation of its logarithm.
    """

    tokens: tuple[int, ...]
    weights: tuple[float, ...]
    words: str
    spread: float = 0.0

    @property
    def mean(self) -> float:
        """The mean. [tokens]"""
        return sum(tokens * weight for tokens, weight in zip(self.tokens, self.weights, strict=True))

    @property
    def nearly_longest(self) -> int:
        """The longest; of a log-normal distribution, which has none, what one in a thousand exceeds. [tokens]"""
        if not self.spread:
            return max(self.tokens)
        return ceil(self.mean * exp(_RARELY * self.spread - self.spread**2 / 2))


@frozen
class Traffic:
    """Prompts and answers, drawn apart from each other; ``cached`` is the part of a prompt that a prefix cache holds.

    ``source`` says who measured the lengths, or that they are assumed; ``shared``, that requests say what they share,
    of which a cache that loses no block would hold so much. ``reads``: what a network that generates nothing reads in
    one pass, documents or images; ``generate`` is then one. ``shown``: images and sound of each request, to a
    network that sees or hears; their tokens are among the prompt's.
    """

    name: str
    prompt: Lengths
    generate: Lengths
    cached: float = 0.0
    source: str = "as given"
    shared: bool = False
    reads: str = ""
    shown: Shown = NOTHING

    def __post_init__(self) -> None:
        check_hits(self.cached)
        if max(self.generate.tokens) < 2 and not self.reads:
            msg = "generate 1: the one token comes from the prompt's pass and nothing is decoded; ask predict"
            raise UsageError(msg)

    @property
    def points(self) -> list[tuple[int, int, float]]:
        """Prompt, answer and weight of each pair of lengths."""
        return [
            (prompt, answer, p * g)
            for prompt, p in zip(self.prompt.tokens, self.prompt.weights, strict=True)
            for answer, g in zip(self.generate.tokens, self.generate.weights, strict=True)
        ]

    @property
    def decode_steps(self) -> float:
        """Mean decode steps of a request: its first token comes from the prompt. [tokens]"""
        return self.generate.mean - 1

    def showing(self, shown: Shown) -> Traffic:
        """The same with images, or a video, and sound in each request, whose tokens come to the prompt and are new.

        >>> from roofline.program.traffic.asked import read_traffic
        >>> from roofline.program.traffic.lengths import Pictures
        >>> shown = Shown(Pictures(sequences=1, patches=4096, tokens=1000, window=4096))
        >>> seen = read_traffic({"prompt": 1000, "generate": 10, "prefix_hits": 0.5}).showing(shown)
        >>> seen.prompt.tokens, seen.cached
        ((2000,), 0.25)
        """
        tokens = tuple(each + shown.tokens for each in self.prompt.tokens)
        words = f"{self.prompt.words} and {shown.words}"
        cached = self.cached * self.prompt.mean / (self.prompt.mean + shown.tokens)
        return replace(self, prompt=replace(self.prompt, tokens=tokens, words=words), cached=cached, shown=shown)

    @property
    def counted(self) -> float:
        """What a request counts for where a million is priced: its tokens, or one where it generates none."""
        return 1.0 if self.reads else self.prompt.mean + self.generate.mean

    @property
    def longest(self) -> int:
        """The most tokens that are ever attended to."""
        return max(self.prompt.tokens) + max(self.generate.tokens) - 1

    def words(self) -> str:
        """The traffic in one line."""
        if self.reads:
            return self.reads if self.source == WHOLE else f"{self.reads} of {self.prompt.words} tokens ({self.source})"
        hits = f", {self.cached:.0%} of it cached" if self.cached else ""
        hits += " if no block is lost" if hits and self.shared else ""
        lengths = f"prompt {self.prompt.words}{hits}, generate {self.generate.words}"
        return traffic_words(self.name, f"{lengths} tokens", self.source)


def traffic_words(name: str, lengths: str, source: str, turns: str = "") -> str:
    """Traffic in one line: whose it is, how long its requests are, and where that comes from.

    >>> traffic_words(OWN, "prompt 2k, generate 256 tokens", "as given")
    'traffic as given: prompt 2k, generate 256 tokens'
    """
    if name == OWN:
        return f"traffic as given{turns}: {lengths}"
    return f"{name} traffic{turns}: {lengths} ({source})"


def check_hits(share: float) -> None:
    """Raises UsageError for prefix hits that are no part of a prompt."""
    if not 0 <= share < 1:
        msg = f"prefix hits {share:g}: expected the part of a prompt that is cached, from 0 to below 1"
        raise UsageError(msg)


def fixed(tokens: int) -> Lengths:
    """One length. Raises UsageError beyond what is taken."""
    _check(tokens)
    return Lengths((tokens,), (1.0,), format_count(tokens))


def lognormal(median: int, p90: int) -> Lengths:
    """A log-normal distribution in ``BINS`` equally likely parts, each at its mean. [tokens]

    The mean of the part from quantile a to b is mean x (Phi(s - z_a) - Phi(s - z_b)) / (b - a), with
    s = ln(p90 / median) / 1.2816. Raises UsageError where the 90th percentile is below the median.

    >>> lognormal(1020, 1930).tokens
    (459, 655, 800, 944, 1105, 1304, 1596, 2373)
    >>> round(lognormal(1020, 1930).mean), round(1020 * exp((log(1930 / 1020) / 1.2816) ** 2 / 2))
    (1154, 1154)
    """
    for length in (median, p90):
        _check(length)
    if p90 < median:
        msg = f"{median}:{p90}: the 90th percentile is below the median; expected MEDIAN:P90"
        raise UsageError(msg)
    spread = log(p90 / median) / _P90
    mean = median * exp(spread**2 / 2)
    above = [1.0, *(_phi(spread - NormalDist().inv_cdf(k / BINS)) for k in range(1, BINS)), 0.0]
    parts = [mean * (above[k] - above[k + 1]) * BINS for k in range(BINS)]
    tokens = tuple(max(1, round(part)) for part in parts)
    _check(tokens[-1])
    words = f"{format_count(median)} median, {format_count(p90)} at 90 %"
    return Lengths(tokens, (1 / BINS,) * BINS, words, spread)


def read_lengths(text: str | int) -> Lengths:
    """Lengths as a flag has them: ``2048``, ``32k``, ``128/512/2048``, ``1020:1930``. Raises UsageError.

    >>> read_lengths("128/512").mean, read_lengths("2Ki").tokens
    (320.0, (2048,))
    """
    written = str(text)
    try:
        if ":" in written:
            median, _, p90 = written.partition(":")
            return lognormal(parse_count(median), parse_count(p90))
        several = tuple(parse_count(part) for part in written.split("/"))
    except UnitError as failure:
        msg = f"{shown(written)}: {failure}; expected {_LENGTHS}"
        raise UsageError(msg) from None
    for each in several:
        _check(each)
    words = "/".join(format_count(each) for each in several)
    return Lengths(several, (1 / len(several),) * len(several), words)


def draw(lengths: Lengths, requests: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Tokens from a log-normal distribution, or the points as likely as they are."""
    if not lengths.spread:
        return np.asarray(rng.choice(np.array(lengths.tokens), requests, p=lengths.weights), dtype=np.int64)
    middle = np.log(lengths.mean) - lengths.spread**2 / 2
    found: Grid = np.exp(middle + lengths.spread * rng.standard_normal(requests))
    return np.maximum(1, np.rint(np.minimum(found, 1e9))).astype(np.int64)


def gathered(tokens: NDArray[np.int64]) -> Lengths:
    """Lengths that were seen, in ``BINS`` equally likely parts, each at its mean. [tokens]

    >>> gathered(np.array([10, 20, 30, 40])).tokens
    (10, 20, 30, 40)
    """
    parts = [part for part in np.array_split(np.sort(tokens), BINS) if len(part)]
    weights = tuple(len(part) / len(tokens) for part in parts)
    words = f"{np.median(tokens):,.0f} median, {np.percentile(tokens, 90):,.0f} at 90 %"
    return Lengths(tuple(max(1, round(float(part.mean()))) for part in parts), weights, words)


def in_flight(traffic: Traffic) -> tuple[Grid, Grid]:
    """Attended lengths of the sequences that are decoded at one moment, and how likely each is. [tokens]

    A long answer holds its slot for longer, and is met at any point of it alike.
    """
    lengths, weights = [], []
    for prompt, answer, weight in traffic.points:
        for at, part in _PROGRESS:
            lengths.append(prompt + 0.5 + at * (answer - 1))  # its steps attend to prompt + 1 ... prompt + answer - 1
            weights.append(weight * part * (answer - 1))
    return np.array(lengths), np.array(weights) / sum(weights)


def reserved_in_flight(traffic: Traffic) -> tuple[Grid, Grid]:
    """Whole lengths of the sequences that are decoded at one moment, and how likely each is. [tokens]"""
    lengths = [prompt + answer for prompt, answer, _ in traffic.points]
    weights = np.array([weight * (answer - 1) for _, answer, weight in traffic.points])
    return np.array(lengths, dtype=np.float64), weights / weights.sum()


def _phi(z: float) -> float:
    return (1 + erf(z / sqrt(2))) / 2


def _check(tokens: int) -> None:
    if not 1 <= tokens <= MAX_LENGTH:
        msg = f"{tokens} tokens: expected 1 to {MAX_LENGTH}"
        raise UsageError(msg)


_AZURE = "medians of Splitwise, arXiv 2311.18677, spread from the means of the Azure 2023 traces"
PRESETS: Mapping[str, Traffic] = {
    "chat": Traffic("chat", lognormal(1020, 1930), lognormal(129, 460), source=_AZURE),
    "code-completion": Traffic("code-completion", lognormal(1500, 4120), lognormal(13, 64), source=_AZURE),
    "summarise": Traffic(
        "summarise", lognormal(7059, 12985), lognormal(208, 371), source="Sarathi-Serve, arXiv 2403.02310, table 2"
    ),
    "rag": Traffic("rag", lognormal(4000, 8000), lognormal(250, 600), source="assumed"),
    "reasoning": Traffic("reasoning", fixed(1024), fixed(8192), source="assumed"),
    "batch": Traffic("batch", fixed(1024), fixed(512), source="assumed"),
}
"""Traffic by name. A source is where its lengths stand, ``assumed`` where nobody measured them."""
