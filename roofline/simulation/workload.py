"""Requests to simulate: drawn from traffic one by one, from sessions of agents, or read from a trace."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import field, replace
from pathlib import Path as File

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.compression.adapters import Adapters
from roofline.errors import UsageError
from roofline.number import Grid
from roofline.options import groups
from roofline.program.traffic.asked import own_lengths, read_traffic
from roofline.program.traffic.lengths import Shown
from roofline.program.traffic.sessions import SESSIONS, SHARED, Sessions, draw_sessions
from roofline.program.traffic.traces import Path, Whole, is_trace, read_trace
from roofline.program.traffic.traffic import check_hits, draw, traffic_words
from roofline.simulation.ledger import Ledger


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

    def showing(self, shown: Shown) -> Workload:
        """Each request with the tokens of its images and its sound too. Raises UsageError where requests share."""
        if not shown.phases:
            return self
        if self.paths or self.follows.any():
            msg = f"images and sound are of requests that share nothing, and those of {self.name} do; give --prompt"
            raise UsageError(msg)
        more = f"{self.lengths[0]} and {shown.words}"
        return replace(self, prompt=self.prompt + shown.tokens, lengths=(more, self.lengths[1]))

    def some(self, requests: int) -> Workload:
        """The first requests of it."""
        columns = ("prompt", "generate", "follows", "think", "times")
        return replace(self, **{name: getattr(self, name)[:requests] for name in columns})

    @property
    def words(self) -> str:
        """The requests in one line."""
        hits = f", {self.hits:.0%} of it cached" if self.hits else ""
        begun = int(np.count_nonzero(~self.follows))
        turns = f", {begun:,} session{'s' * (begun > 1)}" if self.follows.any() else ""
        lengths = f"prompt {self.lengths[0]}{hits}, generate {self.lengths[1]} tokens"
        return traffic_words(self.name, lengths, self.source, turns)


def read_workload(
    asked: groups.Traffic, requests: int, positions: int, seed: int, adapters: Adapters | None = None
) -> Workload:
    """What options ask for, so many requests at most; sessions of different ``adapters`` share no cache.

    Raises UsageError for an unknown name, and for a file of none.
    """
    name, rng = asked.get("workload"), np.random.default_rng((seed, 0))
    sessions = SESSIONS.get(name or "")
    if sessions or is_trace(name):
        own_lengths(asked)
        if sessions is None:
            found = _of_trace(File(str(name)), requests, positions)
        else:
            found = _of_sessions(sessions, requests, positions, rng)
            if adapters:
                found = replace(found, paths=_apart_by_adapter(found.paths, adapters, np.random.default_rng((seed, 3))))
        return _overridden(found, asked.get("prefix_hits"))
    traffic = read_traffic(asked)
    drawn = draw(traffic.prompt, requests, rng), draw(traffic.generate, requests, rng)
    prompt, generate, cut = _fitting(*drawn, positions)
    words = traffic.prompt.words, traffic.generate.words
    return Workload(traffic.name, traffic.source, words, prompt, generate, *_apart(requests), traffic.cached, cut=cut)


def _overridden(found: Workload, hits: float | None) -> Workload:
    """With so many hits in place of what follows from what is shared. Raises UsageError for what is no share."""
    if hits is None:
        return found
    check_hits(hits)
    return replace(found, hits=hits, paths={})


def _of_sessions(s: Sessions, requests: int, positions: int, rng: np.random.Generator) -> Workload:
    """Sessions, turn after turn."""
    t = draw_sessions(s, requests, positions, rng)
    words = _words(t.prompt), s.generate.words
    return Workload(s.name, s.source, words, t.prompt, t.generate, t.follows, t.think, paths=t.paths)


def _apart_by_adapter(paths: Mapping[int, Path], adapters: Adapters, rng: np.random.Generator) -> dict[int, Path]:
    """Paths of sessions that each use an adapter: keys and values of tokens that all begin with differ by it."""
    used: dict[Hashable, int] = {}
    found: dict[int, Path] = {}
    for (request, path), drawn in zip(paths.items(), rng.integers(adapters.count, size=len(paths)), strict=True):
        own = used.setdefault(path[-1][0], int(drawn))
        found[request] = tuple(((name, own) if name == SHARED else name, end) for name, end in path)
    return found


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
