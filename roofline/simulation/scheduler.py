"""Continuous batching as an engine schedules it: one replica, step by step.

Each step takes the next token of all that decode, then pieces of prompts up to the token budget of chunked prefill,
those begun first, then those that wait, in their order, as far as sequences and cache allow. Where prompts run by
themselves nothing decodes beside them; where the engine reads them whole, a step reads one. A sequence that needs a
block where none is left has the one that was scheduled last preempted: its cache goes, and it waits, first in line, to
be computed anew (recompute).

Steps that only decode are run in bulk, up to the next that ends or overflows the cache; a new request cuts the run
short. Between its ends the time of a step is as good as linear in the lengths, which all grow by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from roofline.engines.engine import Engine
from roofline.number import Grid
from roofline.program.traffic.traces import Whole
from roofline.serving.step_clock import Line, StepClock
from roofline.simulation.cache import CacheRoom
from roofline.simulation.gate import Gate
from roofline.simulation.ledger import Ledger
from roofline.simulation.offloading import Offloading, Reading
from roofline.simulation.pools import Transfers
from roofline.simulation.prefix_cache import PrefixCache
from roofline.simulation.speculating import DraftedClock, Guesses
from roofline.simulation.tiers import Channel

_LONGEST_RUN = 256
_PLACES: Grid = np.arange(0.0, _LONGEST_RUN + 1)
_SOME: Grid = np.ones(4096)
_SOME.setflags(write=False)
_NONE: Whole = np.zeros(0, dtype=np.int64)


def _with(rows: Whole, one: int) -> Whole:
    """The rows and one more: np.append without what it asks first."""
    return np.concatenate((rows, (one,)))


def _ones(count: int) -> Grid:
    """So many ones, which nobody writes to."""
    return _SOME[:count] if count <= len(_SOME) else np.ones(count)


def _between(first: float, last: float, steps: int) -> Grid:
    """What np.linspace says of at most a run of steps, without what it asks first."""
    if steps == 1:
        return np.array([first])
    found: Grid = _PLACES[:steps] * ((last - first) / (steps - 1)) + first
    found[-1] = last
    return found


@dataclass(slots=True)
class Run:
    """Steps that are under way: when each ends, the pieces of prompts that they read, and whether sequences decode.

    ``blocked``: what waits cannot be scheduled before it is over; ``held``: it could, and is held back. ``gains``: the
    tokens that each sequence has gained after each step, where they are not one a step.
    """

    start: float
    ends: Grid
    pieces: Sequence[tuple[Reading, int]] = ()
    decodes: bool = True
    blocked: bool = False
    held: bool = False
    gains: Whole | None = None


@dataclass(slots=True, frozen=True)
class Decided:
    """What the next step of a scheduler reads of prompts, and whether prompts that could be read are held back."""

    pieces: Sequence[tuple[Reading, int]]
    held: bool


class Crew(Protocol):
    """Those that a replica steps together with."""

    def plan(self, now: float, known: float) -> None:
        """Decide what the next steps of all are."""

    def wake(self, replica: Replica, now: float) -> None:
        """Have one of them take note of new requests."""

    def advance(self) -> list[int]:
        """End the steps that are due and begin the next ones; the requests that are finished."""

    @property
    def due(self) -> float:
        """When they have to be looked after; infinity while all are idle. [s]"""


@dataclass(slots=True)
class Meter:
    """What a replica did: steps, tokens computed, seconds at work, and integrals of sequences and of the full cache.

    ``linked_s``: seconds in which it took caches over.
    """

    steps: int = 0
    tokens: int = 0
    busy_s: float = 0.0
    running_s: float = 0.0
    cache_s: float = 0.0
    linked_s: float = 0.0
    most_running: int = 0
    most_cache: float = 0.0

    def add(self, steps: int, tokens: int, seconds: float, running: int, full: float) -> None:
        """Count steps that took so long."""
        self.steps += steps
        self.tokens += tokens
        self.busy_s += seconds
        self.running_s += running * seconds
        self.cache_s += full * seconds
        self.most_running = max(self.most_running, running)
        self.most_cache = max(self.most_cache, full)


@dataclass(slots=True, eq=False)
class Replica:
    """A replica at work: what has arrived, what waits, what is read, what decodes.

    Requests come through the front end, each in the same time, and wait once the scheduler has looked at them.
    ``pace`` multiplies the time of all steps; ``hits`` is the part of each prompt that a prefix cache holds, ``most``
    the sequences that are scheduled at once, ``encode_s`` the time in which towers encode what a request shows, in the
    step that reads the first piece of its prompt. The decoding ones are columns: request, tokens that the next step
    attends to, tokens to come, tokens that the prefix cache holds.

    In disaggregated serving one that ``hands_over`` keeps the caches of prompts that it has read until another has
    taken them: ``sent``. That one knows its ``sources``, and what ``transfers`` take; links of both are busy meanwhile.

    In pipeline stages each of these is a group of sequences, and they share a ``line``. Of data-parallel ranks each of
    these is one, and they step as a ``crew``.
    """

    number: int
    clock: StepClock | DraftedClock
    room: CacheRoom
    ledger: Ledger
    most: int
    hits: float = 0.0
    pace: float = 1.0
    channels: Sequence[Channel] = ()
    hands_over: bool = False
    transfers: Transfers | None = None
    guesses: Guesses | None = None
    encode_s: float = 0.0
    line: Line | None = None
    crew: Crew | None = None
    entering: int = 0
    arrived: deque[tuple[float, int]] = field(default_factory=deque)
    waiting: deque[int] = field(default_factory=deque)
    reading: list[Reading] = field(default_factory=list)
    decoding: Whole = field(default_factory=lambda: _NONE)
    context: Whole = field(default_factory=lambda: _NONE)
    left: Whole = field(default_factory=lambda: _NONE)
    shared: Whole = field(default_factory=lambda: _NONE)
    again: dict[int, int] = field(default_factory=dict)
    sent: dict[int, Reading] = field(default_factory=dict)
    sent_bytes: float = 0.0
    loading_bytes: float = 0.0
    sources: dict[int, Replica] = field(default_factory=dict)
    link_until: float = 0.0
    run: Run | None = None
    meter: Meter = field(default_factory=Meter)
    gate: Gate = field(init=False)
    prefixes: PrefixCache = field(init=False)
    tiers: Offloading = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate.of(self.engine)
        self.prefixes = PrefixCache(self.room)
        self.tiers = Offloading(self.room, self.channels)

    @property
    def engine(self) -> Engine:
        """What schedules."""
        return self.clock.replica.engine

    @property
    def due(self) -> float:
        """When it has to be looked after; infinity while it is idle. [s]"""
        if self.run:
            return float(self.run.ends[-1])
        return self.tiers.due if self.tiers.under_way else inf

    @property
    def running(self) -> int:
        """Sequences that are scheduled."""
        return len(self.reading) + len(self.decoding)

    @property
    def in_flight(self) -> int:
        """Requests that come through the front end, wait, are loaded or are scheduled."""
        return self.entering + len(self.arrived) + len(self.waiting) + len(self.tiers.under_way) + self.running

    def receive(self, request: int, now: float) -> float:
        """Have the front end take a request; when it is done with it. [s]"""
        self.ledger.replica[request] = self.number
        self.entering += 1
        return now + self.engine.front_end

    def take_over(self, request: int, source: Replica, now: float) -> float:
        """Have the front end take a request whose prompt another replica has read; when it is done with it. [s]"""
        self.sources[request] = source
        return self.receive(request, now)

    def release(self, request: int, now: float) -> None:
        """Let go of a prompt whose cache another replica has taken, which makes room for others."""
        sent = self.sent.pop(request)
        self.sent_bytes -= self._own(sent)
        self._leave(request, sent.target + 1, sent.shared, now)
        if self.run is None:
            self._plan(now, now)

    def submit(self, request: int, now: float) -> None:
        """Put a request into the queue; ``wake`` follows once all of the moment are there."""
        self.entering -= 1
        self.arrived.append((now, request))

    def wake(self, now: float) -> None:
        """Take note of new requests: begin, or end a run of steps with the one that is under way."""
        if self.crew is not None:
            self.crew.wake(self, now)
        elif self.run is None:
            self._plan(now, now)
        elif not self.run.blocked:
            self.run.ends = self.run.ends[: self.until_look(self.run.ends, now)]

    def until_look(self, ends: Grid, now: float) -> int:
        """How many of the steps that end then are over when what has come by now can be let in."""
        return self.gate.until_look(int(np.searchsorted(ends, now)) + 1 + self.engine.host_ahead)

    def advance(self) -> list[int]:
        """End the steps that are due and begin the next ones; the requests that are finished."""
        now = self.due
        if self.run is None:  # only loads are under way
            self._plan(now, now)
            return []
        done, begun = self.end(self.run, now)
        self._plan(now, begun if self.engine.host_ahead else now)
        return done

    def end(self, run: Run, now: float) -> tuple[list[int], float]:
        """End the steps of a run: the requests that are finished, and when the last of them began. [s]"""
        steps = len(run.ends)
        begun = float(run.ends[-2]) if steps > 1 else run.start
        gained = self._gained(run, steps) if run.decodes else _NONE
        tokens = int(gained.sum()) + sum(tokens for _, tokens in run.pieces)
        full = self._held(run.pieces, self._last(run.gains, steps)) / self.room.bytes
        self.meter.add(steps, tokens, now - run.start, self.running, full)
        self.gate.passed(steps, read=bool(run.pieces), held=run.held)
        done = self._decoded(gained, now) if run.decodes else []
        for piece, tokens in run.pieces:
            piece.done += tokens
            if piece.done == piece.target:
                done += self._answered(piece, now)
        self.ledger.finished[done] = now
        return done, begun

    def _gained(self, run: Run, steps: int) -> Whole:
        """The tokens that each sequence has gained in so many steps of a run, up to its last one."""
        if run.gains is None:
            return np.full(len(self.decoding), steps, dtype=np.int64)
        gained: Whole = np.minimum(run.gains[steps - 1], self.left)
        return gained

    def _last(self, gains: Whole | None, steps: int) -> Whole | int:
        """By how many tokens sequences have grown in the last of so many steps, with those that are only proposed."""
        if self.guesses is None:
            return steps - 1
        proposed = self.guesses.checked - 1
        if gains is None or steps == 1:
            return proposed
        before: Whole = gains[steps - 2]
        return before + proposed

    def _decoded(self, gained: Whole, now: float) -> list[int]:
        """Count tokens of all that decode; the requests that have their last one."""
        self.context += gained
        self.left -= gained
        if self.left.all():
            return []
        over = self.left == 0
        done: list[int] = self.decoding[over].tolist()
        if self.ledger.paths:
            for each in zip(done, self.context[over].tolist(), self.shared[over].tolist(), strict=True):
                self._leave(*each, now)
        self._keep(~over)
        return done

    def _leave(self, request: int, context: int, shared: int, now: float) -> None:
        """Let go of a cache, whose whole blocks stay in the prefix cache while there is room, and in tiers below."""
        if path := self.ledger.paths.get(request, ()):
            self.prefixes.leave(path, held := self.prefixes.keep(path, shared, context - 1))
            self.tiers.store(path, held, now)

    def _keep(self, rows: slice | NDArray[np.bool_]) -> None:
        self.decoding, self.context = self.decoding[rows], self.context[rows]
        self.left, self.shared = self.left[rows], self.shared[rows]

    def _answered(self, piece: Reading, now: float) -> list[int]:
        """The token after a prompt that is read, the first one unless it was preempted; the request if that is all.

        A prompt that is handed over goes on elsewhere, with its first token once it is there.
        """
        request = piece.request
        self.reading.remove(piece)
        left = int(self.ledger.generate[request] + self.ledger.prompt[request]) - piece.target - 1
        hands_over = self.hands_over and left > 0
        if np.isnan(self.ledger.first[request]) and not hands_over:
            self.ledger.first[request] = now
        if not left:
            self._leave(request, piece.target + 1, piece.shared, now)
            return [request]
        path = self.ledger.paths.get(request, ())
        piece.shared = self.prefixes.keep(path, piece.shared, piece.target)
        self.tiers.store(path, piece.shared, now)
        if hands_over:
            self.sent[request] = piece
            self.sent_bytes += self._own(piece)
            return [request]
        self._decodes(piece, left)
        return []

    def _decodes(self, piece: Reading, left: int) -> None:
        """Have a sequence decode so many tokens further."""
        self.decoding, self.shared = _with(self.decoding, piece.request), _with(self.shared, piece.shared)
        self.context, self.left = _with(self.context, piece.target + 1), _with(self.left, left)

    def _plan(self, now: float, known: float) -> None:
        """Decide what the next steps are, and begin them."""
        if self.crew is not None:
            self.crew.plan(now, known)
            return
        decided = self.decide(now, known)
        if decided.pieces:
            self.begin(self._mixed(now, decided.pieces, decodes=self.decodes))
        else:
            self.begin(self._decoding_alone(now, held=decided.held) if len(self.decoding) else None)

    @property
    def decodes(self) -> bool:
        """Whether a step that reads prompts decodes too."""
        return self.engine.mixed_tokens is not None and len(self.decoding) > 0

    def decide(self, now: float, known: float) -> Decided:
        """What the next step reads, of what had come when it was decided: ``known``, unless nothing runs. [s]"""
        while self.arrived and (not self.running or (self.gate.looks and self.arrived[0][0] <= known)):
            self.waiting.append(self.arrived.popleft()[1])
        self._loaded(now)
        pieces, preempted = self._going_on(now)
        held = not preempted and not pieces and self.gate.holds_back(len(self.decoding), self._prompts_waiting())
        if not preempted and not held:
            pieces += self._admitted(pieces, now)
        return Decided(pieces, held)

    def begin(self, run: Run | None) -> None:
        """Begin steps, or idle; the prefix cache keeps what these leave of the room."""
        self.run = run
        if run and self.ledger.paths:
            last = self._last(run.gains, len(run.ends))
            self.prefixes.shrink(max(0.0, self.room.bytes - self._held(run.pieces, last)))

    def _going_on(self, now: float) -> tuple[list[tuple[Reading, int]], bool]:
        """The next pieces of prompts that are begun, once all have room; whether a sequence was preempted for it."""
        preempted = False
        while True:
            pieces, budget = [], self._budget()
            for each in self.reading:
                if tokens := min(each.target - each.done, budget):
                    pieces.append((each, tokens))
                    budget -= tokens
            if self._held(pieces, self._last(None, 1)) <= self.room.bytes:
                return pieces, preempted
            self._preempt(now)
            preempted = True

    def _budget(self) -> int:
        """Tokens of prompts that a step has room for."""
        mixed, alone = self.engine.mixed_tokens, self.engine.pass_tokens
        if mixed is not None:
            return max(0, mixed - len(self.decoding) * (self.guesses.checked if self.guesses else 1))
        return alone or int(self.ledger.prompt.max() + self.ledger.generate.max())

    def _prompts_waiting(self) -> Iterator[int]:
        """Tokens of the prompts that wait, in their order."""
        return (self.again.get(request, int(self.ledger.prompt[request])) for request in self.waiting)

    def _preempt(self, now: float) -> None:
        """Have the sequence that was scheduled last wait again, without its cache."""
        if self.reading:
            last = self.reading.pop()
            request, target = last.request, last.target
            self._leave(request, last.done + 1, last.shared, now)
        else:
            request, target = int(self.decoding[-1]), int(self.context[-1])
            self._leave(request, target, int(self.shared[-1]), now)
            self._keep(slice(-1))
        self.again[request] = target
        self.waiting.appendleft(request)
        self.ledger.preempted[request] += 1

    def _loaded(self, now: float) -> None:
        """Go on with prompts whose cache was loaded; where prompts are read whole, with one."""
        if not self.tiers.under_way:
            return
        for reading in self.tiers.ready(now, 1 - len(self.reading) if self._whole and not self.sources else None):
            self.loading_bytes -= self._own(reading)
            source = self.sources.pop(reading.request, None)
            if source is None:
                self._scheduled(reading, now)
                self.reading.append(reading)
                continue
            source.release(reading.request, now)
            self.ledger.first[reading.request] = now
            self._decodes(reading, int(self.ledger.generate[reading.request]) - 1)

    def _scheduled(self, reading: Reading, now: float) -> None:
        """Note when a prompt came into its first step, and what of it was cached."""
        request = reading.request
        if np.isnan(self.ledger.scheduled[request]):
            self.ledger.scheduled[request], self.ledger.cached[request] = now, reading.done
            self.ledger.loaded[request] = reading.loaded

    @property
    def _whole(self) -> bool:
        """Whether prompts are read whole, one a step."""
        return self.engine.mixed_tokens is None and not self.engine.pass_tokens

    def _admitted(self, pieces: Sequence[tuple[Reading, int]], now: float) -> list[tuple[Reading, int]]:
        """What waits, as far as tokens, sequences and cache allow, in its order."""
        found: list[tuple[Reading, int]] = []
        budget = self._budget() - sum(tokens for _, tokens in pieces)
        last, held = self._last(None, 1), None
        while self.waiting and budget > 0 and self._places and not (self._whole and (found or pieces)):
            reading = self._begun(self.waiting[0])
            path = self.ledger.paths.get(reading.request, ())
            source = self.sources.get(reading.request)
            parts = [] if source else self.tiers.worth_loading(reading, path, self._saved, now)
            if parts:
                reading.loaded, reading.done = parts[-1][2] - reading.done, parts[-1][2]
            elif source:
                reading.done = reading.target
            tokens = 0 if parts else 1 if source else min(reading.target - reading.done, budget)
            held = self._held([*pieces, *found], last) if held is None or path else held
            own = self._own(reading, tokens)
            if held + own > self.room.bytes or not self._promises(reading):
                self.prefixes.leave(path, reading.shared)
                break
            request = self.waiting.popleft()
            self.again.pop(request, None)
            if source:
                self._take(reading, source, now)
            elif parts:
                self.tiers.load(reading, path, parts, now)
                self.loading_bytes += self._own(reading)
            else:
                self._scheduled(reading, now)
                found.append((reading, tokens))
                self.reading.append(reading)
                budget -= tokens
            held = None if parts else held + (self._own(reading) if source else own)
        return found

    def _take(self, reading: Reading, source: Replica, now: float) -> None:
        """Begin to take a prompt's cache over, once the links of both ends are free, but for what is here already."""
        assert self.transfers is not None, "of a pool that decodes"
        begins = max(now, self.link_until, source.link_until)
        ends = begins + self.pace * self.transfers.seconds_of(reading.target - reading.shared)
        self.link_until = source.link_until = ends
        self.meter.linked_s += ends - begins
        self.tiers.under_way.append((ends, reading))
        self.loading_bytes += self._own(reading)

    @property
    def _places(self) -> int:
        """How many sequences more may be scheduled."""
        return self.most - self.running - len(self.tiers.under_way)

    def _saved(self, start: int, end: int, target: int) -> float:
        """The time by which a prompt of so many tokens is read sooner where a part of it is there. [s]"""
        whole, rest = (self.clock.seconds(np.array([target - at]), np.array([target])) for at in (start, end))
        return self.pace * (whole - rest)

    def _begun(self, request: int) -> Reading:
        """A prompt that waits, from what is cached of it on: by its path, or by the part that is given."""
        prompt, path = int(self.ledger.prompt[request]), self.ledger.paths.get(request, ())
        target = self.again.get(request, prompt)
        if not path:
            return Reading(request, min(int(self.hits * prompt), prompt - 1), target)
        shared = self.prefixes.match(path, target - 1)
        self.prefixes.take(path, shared)
        return Reading(request, shared, target, shared)

    def _held(self, pieces: Sequence[tuple[Reading, int]], grown: Whole | int) -> float:
        """Bytes of all caches in use in a step that reads these pieces and grows sequences by so many tokens."""
        held, of = self.prefixes.used + self.sent_bytes + self.loading_bytes, self.room.of_tokens
        if len(self.decoding):
            held += float(np.add.reduce(of(self.context + np.minimum(grown, self.left - 1))))
            held -= float(np.add.reduce(of(self.shared))) if self.ledger.paths else 0.0
        if not self.reading:
            return held
        read = {id(piece): tokens for piece, tokens in pieces}
        then = of(np.array([each.done + read.get(id(each), 0) for each in self.reading]))
        return held + float(np.add.reduce(then) - np.add.reduce(of(np.array([each.shared for each in self.reading]))))

    def _promises(self, reading: Reading) -> bool:
        """Whether the caches of all that is scheduled, and of this prompt, have room once each is at its longest.

        True where the engine does not wait for that.
        """
        if not self.engine.reserves:
            return True
        begun = [reading, *self.reading, *(each for _, each in self.tiers.under_way)]
        requests = [each.request for each in begun]
        longest = self.ledger.prompt[requests] + (0 if self.hands_over else self.ledger.generate[requests] - 1)
        of, shared = self.room.of_tokens, np.array([each.shared for each in begun])
        whole = float(np.add.reduce(of(longest) - of(shared))) + self.prefixes.used + self.sent_bytes
        if len(self.decoding):
            whole += float(np.add.reduce(of(self.context + self.left - 1) - of(self.shared)))
        return whole <= self.room.bytes

    def _own(self, reading: Reading, more: int = 0) -> float:
        """What a prompt holds by itself, with so many tokens more. [B]"""
        return self.room.of_sequence(reading.done + more) - self.room.of_sequence(reading.shared)

    def _mixed(self, now: float, pieces: Sequence[tuple[Reading, int]], *, decodes: bool) -> Run:
        """One step over pieces of prompts, and the next token of all that decode beside them."""
        new, attended = self.batch(pieces, decodes=decodes)
        gains = self.guesses.gains(1, len(self.decoding)) if self.guesses and decodes else None
        seconds = self.pace * (self.clock.seconds(new, attended) + self.encode_s * self.begun(pieces))
        ends: Grid = np.array([self.line.ends(new, attended, seconds, self.pace, now) if self.line else now + seconds])
        return Run(now, ends, pieces, decodes, gains=gains)

    def batch(self, pieces: Sequence[tuple[Reading, int]], *, decodes: bool) -> tuple[Grid, Grid]:
        """New and attended tokens of a step: of all that decode, and of pieces of prompts."""
        new: Grid = np.array([tokens for _, tokens in pieces], dtype=np.float64)
        attended: Grid = np.array([piece.done + tokens for piece, tokens in pieces], dtype=np.float64)
        if decodes:
            new, attended = np.concatenate((_ones(len(self.decoding)), new)), np.concatenate((self.context, attended))
        return new, attended

    def begun(self, pieces: Sequence[tuple[Reading, int]]) -> int:
        """How many of the prompts are begun with these pieces."""
        begun = [piece for piece, _ in pieces if not piece.encoded]
        for piece in begun:
            piece.encoded = True
        return len(begun)

    def _decoding_alone(self, now: float, *, held: bool) -> Run:
        """Steps that only decode, until one sequence ends, the cache overflows or what came is let in."""
        gains = self.guesses.gains(_LONGEST_RUN, len(self.decoding)) if self.guesses else None
        steps = 1 if self.line else self.steps_alone(gains, held=held)
        new, attended = _ones(len(self.decoding)), self.context.astype(np.float64)
        first = last = self.clock.seconds(new, attended)
        if steps > 1:
            last = self.clock.seconds(new, attended + (steps - 1 if gains is None else gains[steps - 2]))
        ends = now + self.pace * np.cumsum(_between(first, last, steps))
        if self.line:
            ends = np.array([self.line.ends(new, attended, self.pace * first, self.pace, now)])
        if self.tiers.under_way:  # what is loaded meanwhile goes on in the next step
            ends = ends[: int(np.searchsorted(ends, self.tiers.due)) + 1]
        return Run(now, ends, blocked=bool(self.waiting) and not held, held=held, gains=gains)

    def steps_alone(self, gains: Whole | None = None, *, held: bool) -> int:
        """How many steps that only decode are as good as alike."""
        steps = min(self._until_one_ends(gains), _LONGEST_RUN)
        steps = min(steps, self.gate.left) if held else steps
        steps = min(steps, self.gate.until_look(1)) if self.arrived else steps  # what came meanwhile is let in next
        if self._held((), self._last(gains, steps)) > self.room.bytes:
            steps = self._steps_with_room(steps, gains)
        return steps

    def _until_one_ends(self, gains: Whole | None) -> int:
        """The steps after which the first sequence has its last token; more than a run has where none does."""
        if gains is None:
            return int(np.minimum.reduce(self.left))
        over = np.flatnonzero((gains >= self.left).any(axis=1))
        return int(over[0]) + 1 if len(over) else len(gains) + 1

    def _steps_with_room(self, most: int, gains: Whole | None) -> int:
        """How many steps the cache has room for, at least the one that was made room for."""
        fits, fails = 1, most
        while fails - fits > 1:
            middle = (fits + fails) // 2
            held = self._held((), self._last(gains, middle))
            fits, fails = (middle, fails) if held <= self.room.bytes else (fits, middle)
        return fits
