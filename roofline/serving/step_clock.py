"""A step-time oracle for simulators and schedulers: how long a step of any mixed, ragged batch takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, Unpack

import numpy as np

from roofline.cost.cost import host_costs
from roofline.errors import UsageError, WorkloadError
from roofline.models.model import Model
from roofline.number import Grid, Number
from roofline.options.keywords import part, takes
from roofline.options.verbs.predicting import RequestOptions, StepClockOptions
from roofline.parallelism.pipeline import Pipeline
from roofline.prediction.fleet import layout_of
from roofline.prediction.layouts.search import choose_layout
from roofline.prediction.request import Hardware, Request, read_request
from roofline.prediction.step import Steps, steps_of
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.serving.batched_steps import Stages
from roofline.serving.chunked_prefill import Stream, over_tokens, sees_all_ranks
from roofline.serving.replica_layouts import ranks_of
from roofline.serving.stream_times import StreamTime
from roofline.timing.timing import total
from roofline.timing.two_batches import ROLES, Role, beyond, roles
from roofline.version import versions

_DECODER = (Phase.PREFILL, Phase.DECODE)
_FIRST_ROWS, _MOST_ROWS = 1024, 1 << 17
_MIXED = tuple(f"{phase}{rows}" for phase in ("all", "prefill", "decode") for rows in ("", "_last", "_adapted"))
_BLOCK = 65_536  # numbers at once, which stay in a cache

AnyModel = str | Path | Mapping[str, Any] | Model

Kind: TypeAlias = Literal["replica", "stages", "ranks"]
"""What a clock is of: a replica that steps as a whole, one in pipeline stages, ranks that share experts."""


class StepClock:
    """How long a step of a mixed, ragged batch takes: attention by each request's own length, the rest by all tokens.

    Continuous batching with chunked prefill: each request of a step has new tokens, and tokens that the KV cache holds
    already; one new token is a decode step of it. Matmuls, norms and experts run once over the tokens of all requests,
    the LM head over one token of each. For requests of equal lengths a step is that of ``predict``.

    Keywords are those of ``predict`` but for batch and lengths; the layout is of one replica without pipeline stages,
    and of ``dp`` replicas, which take their steps apart from each other, the clock is that of one.
    A clock can be pickled. Raises RooflineError, in one line, for whatever the model or the device refuses.

    >>> clock = StepClock("llama-3.1-8b", "h100")
    >>> decode = [(1, 1000), (1, 250), (1, 8000)]
    >>> clock.step(decode) < clock.step([*decode, (512, 1024)])
    True
    """

    @takes(StepClockOptions)
    def __init__(self, model: AnyModel, hardware: Hardware, **options: Unpack[StepClockOptions]) -> None:
        self._set_up(model, hardware, options, "replica")

    @classmethod
    @takes(StepClockOptions)
    def of_stages(cls, model: AnyModel, hardware: Hardware, **options: Unpack[StepClockOptions]) -> StepClock:
        """The clock of a replica in pipeline stages: a step of one group of sequences through all of them."""
        found = object.__new__(cls)
        found._set_up(model, hardware, options, "stages")
        return found

    @classmethod
    @takes(StepClockOptions)
    def of_ranks(cls, model: AnyModel, hardware: Hardware, **options: Unpack[StepClockOptions]) -> StepClock:
        """The clock of a replica of data-parallel ranks that share experts: a step of all of them, or of one alone."""
        found = object.__new__(cls)
        found._set_up(model, hardware, options, "ranks")
        return found

    def _set_up(self, model: AnyModel, hardware: Hardware, options: StepClockOptions, kind: Kind) -> None:
        request = read_request(model, hardware, **part(RequestOptions, options))
        if request.phases != _DECODER or request.workload.decoder_start is not None:
            msg = f"{request.model.name} has {', '.join(request.phases)}; a step clock is of decoders alone"
            raise WorkloadError(msg)
        one_replica = {**options, "pp": options["pp"] or 1, "dp": options["dp"] or 1}
        layout = layout_of(options, request.fleet) or choose_layout(request, part(StepClockOptions, one_replica)).layout
        ranks = ranks_of(layout)
        if (layout.pp > 1 and kind != "stages") or (ranks > 1 and kind != "ranks"):
            msg = f"layout {layout}: a step clock is of one replica without pipeline stages; give tp, ep or cp alone"
            raise UsageError(msg)
        layout = replace(layout, dp=ranks)
        request = replace(request, workload=replace(request.workload, batch=ranks))  # a sequence of each
        self._asked = (model, hardware, options, kind)
        self._positions = request.model.lengths.output
        self._request, self._steps = request, steps_of(request, layout)
        self._checked, self._hosted = 1, True
        self._names: frozenset[str] | None = None
        self._variants: dict[tuple[int, bool], StepClock] = {}
        self._look_up()

    def _look_up(self) -> None:
        """Begin tables of rows, and recordings of streams; of ranks what works on the tokens of all has its own."""

        def rows(*, shared: bool | None, keep: Keeps | None = None) -> _Rows:
            asked = self._steps, self._checked
            return _Rows.of(*asked, hosted=self._hosted, names=self._names, shared=shared, keep=keep)

        several = self._steps.layout.dp > 1
        self._rows = rows(shared=False if several else None)
        self._shared = rows(shared=True) if several else None
        self._cut: dict[str, _Part] = {}
        if several and self._steps.engine.two_batches:
            placed = _placed(self._steps.program)
            apart = {name for name, _ in placed}
            rest = frozenset(group.name for group in self._steps.program.groups) - apart
            streams = {"rest": rest, "attention": frozenset(apart)}
            for kind in ("rest", *ROLES):
                own = rows(shared=False, keep=partial(_is_placed, placed, kind))
                names = streams.get(kind)
                self._cut[kind] = _Part(own, cache(partial(self._recorded, names=names)) if names else None)
        self._stream = cache(self._recorded)
        self._replayed = lru_cache(maxsize=4096)(self._replays)

    def checking(self, tokens: int, *, hosted: bool = True) -> StepClock:
        """The same of speculative decoding: a decode step runs so many tokens of each sequence, all but one proposed.

        Without ``hosted`` the host's time of a step is left out, as it is of a draft within another model's step.
        """
        if (tokens, hosted) in self._variants:
            return self._variants[tokens, hosted]
        self._variants[tokens, hosted] = found = self._alike()
        found._checked, found._hosted = tokens, hosted
        found._look_up()
        return found

    def of_groups(self, names: Collection[str]) -> StepClock:
        """The same of the groups of the program with these names alone, without the host's time."""
        found = self._alike()
        found._variants, found._hosted, found._names = {}, False, frozenset(names)
        found._look_up()
        return found

    def _alike(self) -> StepClock:
        """The same in another object."""
        found = object.__new__(type(self))
        found.__dict__.update(self.__dict__)
        return found

    def __reduce__(self) -> tuple[Callable[..., StepClock], tuple[Any, ...]]:
        model, hardware, options, kind = self._asked
        loaded = replace(model) if isinstance(model, Model) else model
        return _made, (loaded, hardware, options, kind, self._checked, self._hosted)

    def __repr__(self) -> str:
        return f"StepClock({self._request.model.name!r}, {self._request.device.name!r}, {self._steps.layout})"

    def step(self, requests: Sequence[tuple[int, int]] | Grid) -> float:
        """The expected time of one step: of each request new tokens and cached tokens, a list or an (n, 2) array. [s]

        Raises UsageError for anything else, and for more tokens than the model has positions.
        """
        return self.seconds(*self._lengths(requests, axes=2))

    @property
    def request(self) -> Request:
        """What the clock was asked for, read."""
        return self._request

    @property
    def replica(self) -> Steps:
        """The program as a device of the replica runs it, with all that its times depend on."""
        return self._steps

    def seconds(self, new: Grid, context: Grid) -> float:
        """The same of new and attended tokens as two arrays that are known to be right, for schedulers. [s]

        Of ranks, the step of one while the others have nothing to do.
        """
        if self._shared is not None:
            return self.seconds_of_ranks([(new, context)])
        return float(self._rows.waited(self._own(new, context), len(new)))

    def seconds_of_ranks(self, ranks: Sequence[tuple[Grid, Grid]]) -> float:
        """The time of a step of ranks that have something to do, of each new and attended tokens. [s]

        The slowest sets all but the experts, which work on the tokens of all.
        """
        assert self._shared is not None, "of ranks that share experts"
        fullest = max(ranks, key=lambda rank: float(np.add.reduce(rank[0])))[0]
        decoding = sum(int(np.count_nonzero(new == 1.0)) for new, _ in ranks)
        prompts = sum(len(new) for new, _ in ranks) - decoding
        tokens = int(sum(np.add.reduce(new) for new, _ in ranks)) - decoding
        phase = Phase.PREFILL if prompts else Phase.DECODE
        replayed = self._replayed(phase, int(np.add.reduce(fullest)) + (self._checked - 1) * len(fullest))
        everything = replayed, decoding, tokens, prompts
        fewest = int(min(np.add.reduce(new) for new, _ in ranks)) if len(ranks) == self._steps.layout.dp else 0
        if self._cut and self._steps.engine.halves(phase, fewest) == 2:  # all ranks, or none
            own = self._in_halves(ranks, everything)
        else:
            own = max(self._own(new, context) for new, context in ranks) + self._shared.either(*everything)
        return float(self._rows.waited(own, max(len(new) for new, _ in ranks)))

    def _in_halves(self, ranks: Sequence[tuple[Grid, Grid]], everything: tuple[int, int, int, int]) -> float:
        """A step in which layers that dispatch tokens run in two halves; without the wait for the host. [s]"""
        assert self._shared is not None, "of ranks that share experts"

        def slowest(kind: str, halves: int = 2) -> float:
            return halves * max(self._own(new, context, self._cut[kind], halves) for new, context in ranks)

        replayed, *counts = everything
        attention, dispatch, experts, combine = map(slowest, ("attention", "dispatch", "experts", "combine"))
        experts += 2 * self._shared.either(replayed, *(-(-count // 2) for count in counts))
        seen = sum(float(beyond(sent, attention, experts)) for sent in (dispatch, combine))
        return slowest("rest", 1) + attention + experts + seen

    def _own(self, new: Grid, context: Grid, part: _Part | None = None, halves: int = 1) -> float:
        """What runs of the tokens of a step, without the wait for the host; of ranks without what all share. [s]

        Of a ``part`` of the operators alone, and of one of so many ``halves``.
        """
        rows, stream = (part.rows, part.stream) if part else (self._rows, self._stream)
        prefilling = new > 1.0
        prompts = int(np.count_nonzero(prefilling))
        decoding = len(new) - prompts
        tokens = int(np.add.reduce(new)) - decoding if prompts else 0
        replayed = self._replayed(Phase.PREFILL if prompts else Phase.DECODE, tokens + decoding * self._checked)
        counts = decoding, tokens, prompts
        seconds = rows.either(replayed, *(counts if halves == 1 else (-(-count // halves) for count in counts)))
        if stream is None:
            return seconds
        if prompts:
            weights: Grid = np.multiply(prefilling, 1.0 / prompts)
            seconds += stream(Phase.PREFILL, replayed).one(prompts / halves, new, context, weights)
        if decoding:
            later = context + (self._checked - 1) if self._checked > 1 else context
            weights = np.multiply(~prefilling, 1.0 / decoding) if prompts else _even(decoding)
            seconds += stream(Phase.DECODE, replayed).one(decoding / halves, new, later, weights)
        return float(seconds)

    def steps(self, batches: Grid) -> Grid:
        """The times of many steps: an array of (steps, requests, 2), without a request where new tokens are 0. [s]

        Raises UsageError as ``step`` does, and for a step without any request.
        """
        array = np.asarray(batches)
        if self._shared is not None:
            msg = "steps: of ranks that share experts each is asked for by itself; ask step"
            raise UsageError(msg)
        many = max(1, _BLOCK // max(1, array[:1].size))
        cuts = range(0, len(array), many) if array.ndim else ()
        found = [self._block(*self._lengths(array[start : start + many], axes=3)) for start in cuts]
        return np.concatenate(found) if found else self._block(*self._lengths(array, axes=3))

    def _block(self, new: Grid, context: Grid) -> Grid:
        """The times of steps that stay in a cache."""
        masks = new == 1.0, new > 1.0
        counts = tuple(np.count_nonzero(mask, axis=1) for mask in masks)
        tokens = np.add.reduce(new, axis=1) + counts[0] * (self._checked - 1)
        if np.count_nonzero(new) < new.size:
            new, context = np.maximum(new, 1.0), np.maximum(context, 1.0)  # what stands for no request weighs nothing
        found = np.empty(len(new))
        for phase, rows in ((Phase.DECODE, counts[1] == 0), (Phase.PREFILL, counts[1] > 0)):
            replayed = np.broadcast_to(np.asarray(self._steps.engine.replays(phase, tokens)), rows.shape)
            for flag in (0, 1):
                alike = rows & (replayed == flag)
                if alike.any():
                    own = slice(None) if alike.all() else np.flatnonzero(alike)
                    streams = [(mask[own], count[own]) for mask, count in zip(masks, counts, strict=True)]
                    found[own] = self._several(phase, flag, (new[own], context[own]), streams)
        return found

    def _several(self, phase: Phase, flag: int, lengths: tuple[Grid, Grid], streams: Sequence[tuple[Any, Any]]) -> Grid:
        """The seconds of some steps that are launched alike; of each, which requests decode and which prefill."""
        (_, decoding), (prefilling, prompts) = streams
        seconds: Grid
        if phase is Phase.DECODE:
            seconds = self._rows.decode(flag, decoding)
        else:
            tokens = np.add.reduce(lengths[0] * prefilling, axis=1).astype(np.int64)
            seconds = self._rows.mixed(flag, decoding, tokens, prompts)
        for each, (mask, count) in zip((Phase.DECODE, Phase.PREFILL), streams, strict=True):
            if count.any():
                own = lengths
                if each is Phase.DECODE and self._checked > 1:
                    own = lengths[0], lengths[1] + (self._checked - 1)
                seconds = seconds + _averaged(self._stream(each, flag), mask, count, *own)
        waited: Grid = self._rows.waited(seconds, decoding + prompts)
        return waited

    def table(
        self, batches: Sequence[int], contexts: Sequence[int], pieces: Sequence[int], cached: Sequence[int]
    ) -> dict[str, Any]:
        """A grid for simulators in other languages, as JSON has it: decode steps by batch and context, and steps with
        one piece of a prompt beside them.

        ``decode_s[i][j]``: ``batches[i]`` requests that attend to ``contexts[j]`` tokens. ``piece_s[i][j]``:
        ``pieces[i]`` new tokens after ``cached[j]`` cached ones, alone. ``mixed_s[i][j][k]``: the piece ``i``, with
        none cached, beside that many requests at that context. All in between is nearly linear. [tokens, s]
        """
        rows = [[(1, context - 1)] * batch for batch in batches for context in contexts]
        alone = [[(new, before)] for new in pieces for before in cached]
        mixed = [[(new, 0), *row] for new in pieces for row in rows]
        times = [np.array([self.step(each) for each in every]) for every in (rows, alone, mixed)]
        shapes = (len(batches), len(contexts)), (len(pieces), len(cached)), (len(pieces), len(batches), len(contexts))
        named = zip(("decode_s", "piece_s", "mixed_s"), times, shapes, strict=True)
        about = {"model": self._request.model.name, "hardware": self._request.device.name,
                 "engine": self._request.engine.name, "layout": str(self._steps.layout)}  # fmt: skip
        axes = {"batches": list(batches), "contexts": list(contexts), "pieces": list(pieces), "cached": list(cached)}
        return {**versions(), **about, **axes, **{name: time.reshape(shape).tolist() for name, time, shape in named}}

    def _lengths(self, given: object, axes: int) -> tuple[Grid, Grid]:
        """New and attended tokens of each request. Raises UsageError."""
        expected = "(new tokens, cached tokens) of each request" + (" of each step, 0 new for none" * (axes == 3))
        try:
            array = np.asarray(given)
            whole = array.dtype.kind in "iu" or bool(np.all(array == np.floor(array)))
        except (TypeError, ValueError):
            whole, array = False, np.empty(0)
        if not whole or array.ndim != axes or array.shape[-1] != 2 or not array.size:
            msg = f"requests: expected whole numbers, {expected}"
            raise UsageError(msg)
        numbers = array.astype(np.float64) if axes == 2 else np.moveaxis(array, -1, 0).astype(np.float64, order="C")
        new, cached = (numbers[:, 0], numbers[:, 1]) if axes == 2 else (numbers[0], numbers[1])
        context = new + cached
        few = axes == 2 and np.count_nonzero(new) < len(new)
        if few or not numbers.item(numbers.argmin()) >= 0:  # twice as fast as min of a step
            msg = f"requests: expected {expected}; new tokens from {1 if axes == 2 else 0}, cached ones from 0"
            raise UsageError(msg)
        if axes == 3 and not np.all(np.maximum.reduce(new, axis=1) > 0):
            msg = "requests: a step has none, expected at least one request with new tokens in each"
            raise UsageError(msg)
        most = context.item(context.argmax())
        if not most <= self._positions:
            msg = f"requests: {most:.0f} tokens exceed the model's {self._positions} positions"
            raise UsageError(msg)
        return new, context

    def _replays(self, phase: Phase, tokens: int) -> int:
        return int(self._steps.engine.replays(phase, tokens))

    def _recorded(self, phase: Phase, replayed: int, names: Collection[str] | None = None) -> StreamTime:
        s, own = self._steps, self._names if names is None else names
        return StreamTime.of(s.program, phase, s.precision, s.machine, replayed, self._checked, own)


@dataclass(eq=False, slots=True)
class Line:
    """The stages of a replica, of whose groups of sequences, as many as stages, each is stepped apart from the others.

    A step of one runs through all stages, of which the slowest lets the next group in once it is done; nobody is
    overtaken:

        begin = max(own last step ended, the slowest stage is free)
        end = max(begin + time through all stages, end of the group before + time of the slowest stage)

    Groups alike take max(path, stages x slowest) for a step each, as in steady state, and one that reads a prompt holds
    the others up. ``until`` when the slowest is busy with what was begun, and when the last group has ``ended``. [s]

    ``parts``: clocks of what is before the layers, of the layers, and of what is after them.
    """

    pipeline: Pipeline
    parts: tuple[StepClock, StepClock, StepClock]
    until: float = 0.0
    ended: float = 0.0

    @classmethod
    def of(cls, clock: StepClock) -> Line | None:
        """That of a clock; None where there is one stage."""
        stages = Stages.of(clock.replica.program, clock.replica.layout)
        if stages is None:
            return None
        before, layers, after = (
            clock.of_groups({name for name, place in stages.place.items() if place == part}) for part in range(3)
        )
        return cls(stages.pipeline, (before, layers, after))

    def anew(self) -> Line:
        """The same, free."""
        return replace(self, until=0.0, ended=0.0)

    def ends(self, new: Grid, attended: Grid, path_s: float, pace: float, now: float) -> float:
        """When a step of these tokens ends, which may begin now and takes so long through all stages. [s]"""
        begins = max(now, self.until)
        first, layers, last = (part.seconds(new, attended) for part in self.parts)
        slowest = pace * float(max(self.pipeline.stage_values(first, layers, last)))
        self.until = begins + slowest
        self.ended = max(begins + path_s, self.ended + slowest)
        return self.ended


def _made(model: AnyModel, hardware: Hardware, options: Any, kind: Kind, checked: int, hosted: bool) -> StepClock:
    made = {"replica": StepClock, "stages": StepClock.of_stages, "ranks": StepClock.of_ranks}[kind]
    found = made(model, hardware, **options)
    return found if checked == 1 and hosted else found.checking(checked, hosted=hosted)


Keeps: TypeAlias = Callable[[Group, Op], bool]


def _placed(program: Program) -> dict[tuple[str, str], Role]:
    """What each operator is of layers that dispatch tokens: attention, dispatch, experts or combine."""
    found: dict[tuple[str, str], Role] = {}
    for group in program.groups:
        if group.dispatches:
            sends = [op.dispatches for op in group.ops]
            found |= {(group.name, op.name): role for op, role in zip(group.ops, roles(sends), strict=True)}
    return found


def _is_placed(placed: Mapping[tuple[str, str], str], kind: str, group: Group, op: Op) -> bool:
    return placed.get((group.name, op.name), "rest") == kind


@lru_cache(maxsize=1024)
def _even(count: int) -> Grid:
    return np.full(count, 1.0 / count)


def _averaged(stream: StreamTime, mask: Any, count: Any, new: Grid, context: Grid) -> Grid:
    """The seconds of the sequences of each step that ``mask`` has; nothing of none."""
    some = np.maximum(count, 1.0)[:, None]
    weights = mask * (1.0 / some)
    weights[count == 0, 0] = 1.0  # of a step without any: as if its first request were one
    seconds = stream.several(some, new, context, weights)
    return np.where(count > 0, np.broadcast_to(seconds, (len(new), 1))[:, 0], 0.0)


def _host_s(steps: Steps, requests: int) -> float:
    costs = host_costs(steps.engine, requests)
    return float(total((cost.count, steps.machine.time(cost)) for cost in costs).time_s)


@dataclass(slots=True)
class _Part:
    """Some operators of a step: what is looked up by rows, and the recordings of its attention, None without any."""

    rows: _Rows
    stream: Callable[[Phase, int], StreamTime] | None


@dataclass(slots=True)
class _Rows:
    """Seconds of all that runs once over the tokens of a step, or over one token of each request, looked up by rows.

    A step that decodes alone is padded as its engine captured it. In one that reads prompts too, an operator of both
    phases runs over the tokens of all; one of a single phase, such as the up-projections of latent attention, over
    those of its own. Adapters are looked up by the requests too, each of which uses one. ``host_s``: what the host
    takes of a step, and of each request in it. Of each request that decodes ``checked`` tokens run.

    ``spread``: data-parallel ranks over which the rows of what they share are spread.
    """

    steps: Steps
    operators: dict[str, list[tuple[Group, Op]]]
    host_s: tuple[float, float]
    checked: int = 1
    spread: int = 1
    known: dict[tuple[str, int, int], Grid] = field(default_factory=dict)
    beyond: dict[tuple[str, int, int, int], float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, steps: Steps, checked: int = 1, *, hosted: bool = True, names: Collection[str] | None = None,
        shared: bool | None = None, keep: Keeps | None = None,
    ) -> _Rows:  # fmt: skip
        """Those of a program's steps, or of some of its groups, with the time of the host or without.

        ``shared``: of what works on the tokens of all ranks alone, or of all else; ``keep`` says of which besides.
        """
        by_phase = [
            [
                (group, op)
                for group, op in steps.program.in_phase(phase)
                if not op.sees_context
                and (names is None or group.name in names)
                and shared in (None, sees_all_ranks(op))
                and (keep is None or keep(group, op))
            ]
            for phase in (Phase.DECODE, Phase.PREFILL)
        ]
        decode, prefill = ({(group.name, op.name): (group, op) for group, op in ops} for ops in by_phase)
        both = {key for key in decode.keys() & prefill.keys() if decode[key][1] == prefill[key][1]}
        parts = {
            "all": [decode[key] for key in decode if key in both],
            "prefill": [prefill[key] for key in prefill if key not in both],
            "decode": [decode[key] for key in decode if key not in both],
        }
        found = {"alone": by_phase[0]}
        for name, ops in parts.items():
            found[f"{name}_adapted"] = [(group, op) for group, op in ops if op.adapts]
            found[name] = [(group, op) for group, op in ops if op.local.get("T") != 1 and not op.adapts]
            found[f"{name}_last"] = [(group, op) for group, op in ops if op.local.get("T") == 1]
        none, one = (_host_s(steps, requests) if hosted else 0.0 for requests in (0, 1))
        return cls(steps, found, (none, one - none), checked, int(steps.layout.dp) if shared else 1)

    def either(self, replayed: int, decoding: int, tokens: int, prompts: int) -> float:
        """Of a step with so many ``prompts``, which may be none. [s]"""
        if prompts:
            return float(self.mixed(replayed, decoding, tokens, prompts))
        return float(self.decode(replayed, decoding))

    def decode(self, replayed: int, sequences: Any) -> Any:
        """Of a step that decodes alone; of many steps, an array. [s]"""
        return self._at("alone", replayed, sequences)

    def mixed(self, replayed: int, decoding: Any, tokens: Any, prompts: Any) -> Any:
        """Of a step with ``tokens`` of ``prompts`` beside ``decoding`` requests; of many steps, an array. [s]"""
        checked, requests = decoding * self.checked, prompts + decoding
        every, last = tokens + checked, prompts + checked
        rows = every, last, every, tokens, prompts, tokens, checked, checked, checked
        seconds: Any = 0.0
        for name, many in zip(_MIXED, rows, strict=True):
            if self.operators[name]:
                own = requests if name.endswith("_adapted") else None
                seconds = seconds + (
                    self._at(name, replayed, many) if own is None else self._used(name, replayed, many, own)
                )
        return seconds

    def _used(self, name: str, replayed: int, rows: Any, requests: Any) -> Any:
        """The same of adapters, by how many of them the requests use."""
        if not isinstance(requests, np.ndarray):
            return self._at(name, replayed, rows, int(requests))
        found: Grid = np.empty(len(requests))
        for many in np.unique(requests):
            alike = requests == many
            found[alike] = self._at(name, replayed, rows[alike], int(many))
        return found

    def waited(self, seconds: Any, requests: Any) -> Any:
        """A step of so many requests that runs for ``seconds``, with what the device waits for its host. [s]"""
        host = self.host_s[0] + self.host_s[1] * requests
        if not self.steps.engine.host_ahead:
            return seconds + host
        return np.maximum(seconds, host) if isinstance(seconds, np.ndarray) else max(seconds, host)

    def _at(self, name: str, replayed: int, rows: Any, requests: int = 0) -> Any:
        grid = self.known.get((name, replayed, requests))
        if isinstance(rows, np.ndarray):
            most = int(rows.max())
            if most > _MOST_ROWS:
                return np.array([self._at(name, replayed, int(each), requests) for each in rows])
            return (grid if grid is not None and most < len(grid) else self._grown(name, replayed, most, requests))[
                rows
            ]
        if grid is not None and rows < len(grid):
            return float(grid[rows])
        if rows <= _MOST_ROWS:
            return float(self._grown(name, replayed, rows, requests)[rows])
        key = (name, replayed, requests, rows)
        if key not in self.beyond:
            self.beyond[key] = float(self._seconds(name, replayed, np.array([float(rows)]), requests)[0])
        return self.beyond[key]

    def _grown(self, name: str, replayed: int, rows: int, requests: int) -> Grid:
        """Seconds for all rows up to ``rows`` at least."""
        many = max(_FIRST_ROWS, 1 << rows.bit_length())
        seconds = self._seconds(name, replayed, np.arange(1.0, many + 1), requests)
        self.known[name, replayed, requests] = grid = np.concatenate([[0.0], seconds])
        return grid

    def _seconds(self, name: str, replayed: int, rows: Grid, requests: int) -> Grid:
        s = self.steps
        alone = name == "alone"
        each: Number = rows[:, None] / requests if requests else float(self.checked) if alone else 1.0
        many: Number = float(requests) if requests else rows / self.spread
        scored = self.checked if alone else 1
        stream = Stream(Phase.DECODE if alone else Phase.PREFILL, many, 1.0, each, np.ones(1), scored)
        sizes = {letter: float(size) for letter, size in s.program.sizes.items()}
        padding = s.engine if alone else None
        costs = [over_tokens(group, op, [stream], s.precision, sizes, padding) for group, op in self.operators[name]]
        timed = total((cost.count, s.machine.time(replace(cost, replayed=replayed))) for cost in costs)
        return np.broadcast_to(np.asarray(timed.time_s, dtype=np.float64), rows.shape)
