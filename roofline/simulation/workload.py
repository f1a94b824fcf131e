"""Requests to simulate: drawn from traffic one by one, from sessions of agents, or read from a trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path as File

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches, shown
from roofline.number import Grid
from roofline.options import groups
from roofline.program.traffic import PRESETS, Lengths, lognormal, read_traffic
from roofline.simulation.ledger import Ledger, Path, Whole
from roofline.simulation.traces import read_trace


@frozen(eq=False)
class Workload:
    """Requests with what others share of each: ``follows`` the one before it in a session after ``think`` seconds.

    ``lengths`` say how long prompts and answers are. ``hits``: the part of each prompt that is taken to be cached,
    where nothing says what requests share. ``times`` are those of a trace. ``cut``: how many were shortened to the
    positions of the model.
    """

    name: str
    source: str
    lengths: tuple[str, str]
    prompt: Whole
    generate: Whole
    follows: NDArray[np.bool_]
    think: Grid
    hits: float = 0.0
    paths: Mapping[int, Path] = field(default_factory=dict)
    times: Grid = field(default_factory=lambda: np.zeros(0))
    cut: int = 0

    def ledger(self) -> Ledger:
        """Its requests, to which nothing has happened."""
        return Ledger.of(self.prompt, self.generate, self.paths)

    def some(self, requests: int) -> Workload:
        """The first requests of it."""
        columns = ("prompt", "generate", "follows", "think", "times")
        return replace(self, **{name: getattr(self, name)[:requests] for name in columns})

    @property
    def words(self) -> str:
        """The requests in one line."""
        hits = f", {self.hits:.0%} of it cached" if self.hits else ""
        turns = f", {np.count_nonzero(~self.follows):,} sessions" if self.follows.any() else ""
        lengths = f"prompt {self.lengths[0]}{hits}, generate {self.lengths[1]} tokens"
        return f"{self.name} traffic{turns}: {lengths} ({self.source})"


@frozen
class Sessions:
    """Turns that each read all before them: ``shared`` tokens that all sessions begin with, a first prompt, then what
    each turn adds to the last answer; turns of a session (geometric), and the time until the next one. [tokens, s]
    """

    name: str
    shared: int
    first: Lengths
    added: Lengths
    generate: Lengths
    turns: float
    think_s: tuple[float, float]
    source: str


SESSIONS: Mapping[str, Sessions] = {
    "agent": Sessions(
        "agent", 12_000, lognormal(8_000, 30_000), lognormal(1_500, 6_000), lognormal(200, 800), 50.0, (4.0, 20.0),
        "50 turns after a shared prompt of 12,000 tokens, tools that take 4 s, 20 s at 90 %: assumed",
    ),
}  # fmt: skip
_P90 = 1.2815515655446004  # of the standard normal distribution


def is_trace(name: str | None) -> bool:
    """Whether a workload is a file."""
    return name is not None and File(name).suffix in (".csv", ".jsonl")


def read_workload(asked: groups.Traffic, requests: int, positions: int, seed: int) -> Workload:
    """What options ask for, so many requests at most. Raises UsageError for an unknown name, and for a file of none."""
    name, rng = asked.get("workload"), np.random.default_rng((seed, 0))
    sessions = SESSIONS.get(name or "")
    if sessions or is_trace(name):
        given = (("prompt", asked.get("prompt")), ("generate", asked.get("generate")))
        for flag, value in (*given, ("prefix_hits", asked.get("prefix_hits"))):
            if value is not None:
                msg = f"{flag} {shown(value)}: {name} has lengths and hits of its own; leave it out"
                raise UsageError(msg)
        if sessions is None:
            return _of_trace(File(str(name)), requests, positions)
        return _of_sessions(sessions, requests, positions, rng)
    if name is not None and name not in PRESETS:
        msg = f"workload {shown(name)}: {near_matches(name, (*PRESETS, *SESSIONS))}, or a trace: FILE.csv, FILE.jsonl"
        raise UsageError(msg)
    traffic = read_traffic(asked)
    drawn = _drawn(traffic.prompt, requests, rng), _drawn(traffic.generate, requests, rng)
    prompt, generate, cut = _fitting(*drawn, positions)
    words = traffic.prompt.words, traffic.generate.words
    return Workload(traffic.name, traffic.source, words, prompt, generate, *_apart(requests), traffic.cached, cut=cut)


def _of_sessions(s: Sessions, requests: int, positions: int, rng: np.random.Generator) -> Workload:
    """Sessions, turn after turn, that end before they outgrow the positions."""
    first, added, generate = (_drawn(each, requests, rng) for each in (s.first, s.added, s.generate))
    ends, spread = rng.random(requests) < 1 / s.turns, np.log(s.think_s[1] / s.think_s[0]) / _P90
    think = np.exp(np.log(s.think_s[0]) + spread * rng.standard_normal(requests))
    prompt, (follows, _) = np.zeros_like(first), _apart(requests)
    paths: dict[int, Path] = {}
    session, history = 0, 0
    for turn in range(requests):
        longer = history + int(added[turn])
        follows[turn] = turn > 0 and not ends[turn] and longer + generate[turn] <= positions
        if not follows[turn]:
            session, longer = turn, min(s.shared + int(first[turn]), positions - 1)
            generate[turn] = min(generate[turn], positions + 1 - longer)
        prompt[turn], history = longer, longer + int(generate[turn])
        paths[turn] = (("shared", min(s.shared, longer)), (session, history))
    words = _words(prompt), s.generate.words
    return Workload(s.name, s.source, words, prompt, generate, follows, think, paths=paths)


def _of_trace(name: File, requests: int, positions: int) -> Workload:
    """The first requests of a trace."""
    trace = read_trace(name, requests)
    prompt, generate, cut = _fitting(trace.prompt, trace.generate, positions)
    paths = {
        request: tuple((each, min(end, int(prompt[request]))) for each, end in path)
        for request, path in trace.paths.items()
    }
    words, apart = (_words(prompt), _words(generate)), _apart(len(prompt))
    return Workload(name.name, "trace", words, prompt, generate, *apart, paths=paths, times=trace.times, cut=cut)


def _apart(requests: int) -> tuple[NDArray[np.bool_], Grid]:
    """Requests that do not follow each other."""
    return np.zeros(requests, dtype=bool), np.zeros(requests)


def _words(tokens: Whole) -> str:
    return f"{np.median(tokens):,.0f} median, {np.percentile(tokens, 90):,.0f} at 90 %"


def _fitting(prompt: Whole, generate: Whole, positions: int) -> tuple[Whole, Whole, int]:
    """Lengths cut to what the model has positions for, and how many were."""
    read = np.minimum(prompt, positions)
    answered = np.minimum(generate, positions - read + 1)  # the last token is not read again
    return read, answered, int(np.count_nonzero(read + answered < prompt + generate))


def _drawn(lengths: Lengths, requests: int, rng: np.random.Generator) -> Whole:
    """Tokens from a log-normal distribution, or the points as likely as they are."""
    if not lengths.spread:
        return np.asarray(rng.choice(np.array(lengths.tokens), requests, p=lengths.weights), dtype=np.int64)
    middle = np.log(lengths.mean) - lengths.spread**2 / 2
    found: Grid = np.exp(middle + lengths.spread * rng.standard_normal(requests))
    return np.maximum(1, np.rint(np.minimum(found, 1e9))).astype(np.int64)
