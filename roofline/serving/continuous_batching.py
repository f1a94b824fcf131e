"""Continuous batching in steady state: TTFT, TPOT and requests per second of a replica whose slots are full, as means.

A replica decodes N sequences. Each leaves after its answer and another takes its slot, so that a step, on average,
takes in N / (decode steps) new prompts. Either prompts ride along in pieces beside the decoding sequences (mixed steps
of at most ``chunk`` tokens), or each runs by itself and the others wait: in passes of what the engine reads at once.

    TPOT = mean time of a step        requests/s = N / (decode steps x TPOT)
    TTFT = half a step, until one ends, + the steps that hold the prompt's pieces

Data-parallel ranks that share experts step together: where one of them reads a prompt the others wait, and the experts
see the tokens of those that do. Ranks take in prompts independently of each other, each in a part f of its steps, so
that 1 - (1 - f)^ranks of all steps hold one.

Stages of a pipeline each work at another group of N sequences: the step of a group takes as many of the slowest
stage's times as there are stages, and a replica serves that many times the group's requests. A group that reads a
prompt is slow at every stage, and those behind it wait: groups are in step, as ranks are.

One sequence alone in a replica waits for nobody: its prompt is read by itself, then each of its steps decodes.

Images go through the tower on the same devices before their prompt: TTFT has their time, and all others wait for it.

Nothing waits in a queue: these are means at a load that keeps N sequences in flight, no percentiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np

from roofline.classes import frozen
from roofline.cost.cost import Cost, step_cost
from roofline.engines.engine import Engine
from roofline.number import Grid, Number, as_float
from roofline.parallelism.layout import Layout
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.traffic.lengths import Shown
from roofline.program.traffic.traffic import Traffic, in_flight
from roofline.program.workload import Precision
from roofline.serving.batched_steps import StepTimer, StepTimes, added, mean_of, means_of
from roofline.serving.chunked_prefill import Stream, mixed_step_costs
from roofline.serving.replica_layouts import ONE
from roofline.timing.timing import PARTS


@frozen(eq=False)
class SteadyState:
    """Devices (rows) that serve with so many sequences in flight (columns): one replica each.

    Seconds, requests per second, watts (NaN without a TDP). ``input_part`` is the part of all time that prompts add to
    decoding. ``low`` and ``high`` are the band of TPOT, as factors; rates are divided by theirs. ``sustained``: whether
    the pieces that steps hold take in all prompts that arrive.
    """

    batches: Grid
    ttft_s: Grid
    tpot_s: Grid
    requests_per_s: Grid
    input_part: Grid
    power_w: Grid
    mfu: Grid
    mbu: Grid
    low: Grid
    high: Grid
    rate_low: Grid
    rate_high: Grid
    ttft_low: Grid
    ttft_high: Grid
    shares: Mapping[str, Grid]
    sustained: Grid

    def of_groups(self, groups: int) -> SteadyState:
        """The state of so many groups of sequences, each in this one: of data-parallel ranks, of stages."""
        return replace(self, batches=self.batches * groups, requests_per_s=self.requests_per_s * groups)

    def after(self, before: tuple[float, float, float], most: float) -> SteadyState:
        """The state where requests are kept for so long before their prompt, and no more than ``most`` come a second.

        ``before``: the time and both ends of its band. [s, requests/s]
        """
        expected, *ends = before
        whole = self.ttft_s + expected
        own = (self.ttft_low, self.ttft_high)
        low, high = (np.asarray((self.ttft_s * factor + end) / whole) for factor, end in zip(own, ends, strict=True))
        within = np.asarray(self.sustained * (self.requests_per_s <= most))
        return replace(self, ttft_s=whole, ttft_low=low, ttft_high=high, sustained=within)

    def parts(self, many: int) -> list[SteadyState]:
        """The columns in so many equal parts, one after another."""
        cut = {
            each.name: np.split(getattr(self, each.name), many, axis=-1)
            for each in fields(self)
            if each.name != "shares"
        }
        shares = {name: np.split(share, many, axis=-1) for name, share in self.shares.items()}
        return [
            SteadyState(
                **{name: grids[part] for name, grids in cut.items()},
                shares={name: grids[part] for name, grids in shares.items()},
            )
            for part in range(many)
        ]


@frozen(eq=False)
class Pieces:
    """The prompts of mixed steps: ``often`` is the part of all steps that hold some, ``stream`` what those hold.

    ``steps``: in how many steps a prompt is read, on average. ``sustained``: where all that arrive are taken in.
    """

    often: Grid
    stream: Stream
    steps: Grid
    sustained: Grid

    @classmethod
    def of(cls, traffic: Traffic, room: Grid, arrivals: Grid, split: Layout) -> Pieces:
        """For ``room`` tokens in a group's step and ``arrivals`` prompts of it per step, each of shape (batches,).

        A prompt is read in equal pieces that fit the room. Where prompts are rare a step holds one piece, else as many
        as arrive, up to the room.
        """
        prompts, new = _prompts(traffic)
        weights = np.asarray(traffic.prompt.weights)
        cuts = np.ceil(new / room[:, None] - 1e-9)
        piece, likely = new / cuts, weights * cuts
        steps: Grid = np.asarray(likely.sum(axis=-1))
        tokens = np.sum(weights * new)
        arriving = arrivals * tokens
        held = np.minimum(room, np.maximum(tokens / steps, arriving))
        mean_piece = tokens / steps
        often: Grid = np.minimum(arriving / held, 1.0)
        middle, share = prompts - (new - piece) / 2, often / lockstep(often, int(split.dp))
        stream = Stream(Phase.PREFILL, held / mean_piece, likely / steps[:, None], piece, middle, share=share)
        sustained = (arriving <= room * (1 + 1e-9)) * 1.0
        return cls(lockstep(often, int(split.dp * split.pp)), stream, steps, np.asarray(sustained))


@frozen(eq=False)
class Load:
    """The steps of serving, as costs: of decoding alone, and of the prompts, beside it or each by itself.

    ``pieces`` is None where prompts run by themselves, each in so many ``passes``; ``single`` is then one that a single
    rank reads, where several ranks of ``split`` step together. ``encode``: the images of a request, which the tower
    reads before its prompt. ``lone``: what a sequence reads that is alone in its replica, None where none is.
    """

    traffic: Traffic
    batches: Grid
    decode: tuple[Cost, ...]
    prompts: tuple[Cost, ...]
    pieces: Pieces | None
    fits_chunk: Grid
    yielded: float = 1.0
    single: tuple[Cost, ...] = ()
    split: Layout = ONE
    encode: tuple[Cost, ...] = ()
    lone: Lone | None = None
    passes: Number = 1.0

    @property
    def steps(self) -> float:
        """Mean decode steps of a request, each of which yields ``yielded`` tokens."""
        return self.traffic.decode_steps / self.yielded

    @classmethod
    def of(
        cls,
        program: Program,
        precision: Precision,
        traffic: Traffic,
        batches: Sequence[float],
        chunks: Sequence[int | None],
        drafts: Drafts | None = None,
        engine: Engine | None = None,
        split: Layout = ONE,
    ) -> Load:
        """The steps of ``traffic``, each of ``batches`` sequences of a group, those of each of ``chunks`` one after
        another; None: prompts alone.

        ``split``: the layout of the program.
        """
        columns: Grid = np.tile(np.asarray(batches, dtype=np.float64), len(chunks))
        seen = encoding_costs(program, precision, traffic.shown, engine)
        checked, yielded = (1 + drafts.tokens, drafts.yielded) if drafts else (1, 1.0)
        lone = Lone.of(program, precision, traffic, columns, chunks, drafts, engine, split)
        decode = decoding_costs(program, precision, traffic, columns, drafts, engine)
        budgets = [tokens for tokens in chunks if tokens is not None]
        if not budgets:
            whole, passes = prompts_alone(traffic, [engine.pass_tokens if engine else None])
            alone = reading_costs(program, precision, whole, drafts, engine)
            one = replace(whole, share=1 / int(split.dp))
            single = reading_costs(program, precision, one, drafts, engine) if split.dp > 1 else ()
            fits = np.ones_like(columns)
            return cls(traffic, columns, decode, alone, None, fits, yielded, single, split, seen, lone, passes[0])
        chunk: Grid = np.repeat(np.array(budgets, dtype=np.float64), len(batches))
        room = np.maximum(chunk - columns * checked, 1.0)
        pieces = Pieces.of(traffic, room, columns * yielded / traffic.decode_steps, split)
        beside = decoding_costs(program, precision, traffic, columns, drafts, engine, beside=[pieces.stream])
        fits = np.asarray((columns * checked < chunk) * 1.0)
        return cls(traffic, columns, decode, beside, pieces, fits, yielded, split=split, encode=seen, lone=lone)


@frozen(eq=False)
class Lone:
    """The prompt of a sequence that is alone in its replica, as costs: each length in so many equal ``passes``.

    ``part``: how much of each batch is one sequence alone: 1 for a batch of one, 0 from two on. ``passes`` of shape
    (chunks, lengths).
    """

    part: Grid
    costs: tuple[Cost, ...]
    passes: Grid

    @classmethod
    def of(
        cls, program: Program, precision: Precision, traffic: Traffic, batches: Grid, chunks: Sequence[int | None],
        drafts: Drafts | None, engine: Engine | None, split: Layout,
    ) -> Lone | None:  # fmt: skip
        """Of ``batches`` of each group, as many for each of ``chunks``. None where none is of one sequence.

        A pass reads what the engine does without decoding: a chunk, all of a prompt where it has no scheduler.
        """
        part = np.clip(2 - batches * int(split.dp * split.pp), 0.0, 1.0)
        if not part.any():
            return None
        scheduled = engine is None or engine.chunk is not None
        at_once = [(tokens or (engine.pass_tokens if engine else None)) if scheduled else None for tokens in chunks]
        read, passes = prompts_alone(traffic, at_once)
        return cls(part, reading_costs(program, precision, read, drafts, engine), passes)

    def prompt(self, traffic: Traffic, timer: StepTimer) -> StepTimes:
        """All passes of a prompt, the mean over the lengths, in each column."""
        weights = np.asarray(traffic.prompt.weights) * self.passes
        return means_of(timer.times(self.costs), weights, len(self.part) // len(weights))


@frozen
class Drafts:
    """Speculative decoding: so many tokens proposed a step, how many a step yields, and who proposes them.

    ``program`` None: they cost nothing. The draft reads all prompts too, and runs whole on each device.
    """

    tokens: int
    yielded: float
    program: Program | None
    precision: Precision
    engine: Engine | None = None

    def costs(self, streams: Sequence[Stream]) -> tuple[Cost, ...]:
        """What the draft runs for these streams, within the step that the host has scheduled."""
        if self.program is None:
            return ()
        costs = mixed_step_costs(self.program, streams, self.precision, self.engine)
        return tuple(cost for cost in costs if cost.host_s is None)

    def decode_costs(self, traffic: Traffic, batches: Grid) -> tuple[Cost, ...]:
        """A decode step of the draft for each token it proposes."""
        costs = self.costs([decoding(traffic, batches)])
        return tuple(replace(cost, count=cost.count * self.tokens) for cost in costs)


def decoding_costs(
    program: Program,
    precision: Precision,
    traffic: Traffic,
    batches: Grid,
    drafts: Drafts | None,
    engine: Engine | None = None,
    beside: Sequence[Stream] = (),
) -> tuple[Cost, ...]:
    """A step that decodes ``batches`` sequences and reads ``beside``; a draft proposes, and reads that too."""
    stream = decoding(traffic, batches, 1 + drafts.tokens if drafts else 1)
    costs = mixed_step_costs(program, [stream, *beside], precision, engine)
    if drafts is None:
        return costs
    return (*costs, *drafts.decode_costs(traffic, batches), *(drafts.costs(beside) if beside else ()))


def encoding_costs(
    program: Program, precision: Precision, shown: Shown, engine: Engine | None = None
) -> tuple[Cost, ...]:
    """The images and the sound of one request through the towers; nothing where it has none."""
    found: list[Cost] = []
    for phase in shown.phases:
        sizes = shown.sizes(phase) or {}
        found += step_cost(program, phase, {name: as_float(size) for name, size in sizes.items()}, precision, engine)
    return tuple(found)


def reading_costs(
    program: Program, precision: Precision, prompts: Stream, drafts: Drafts | None, engine: Engine | None = None
) -> tuple[Cost, ...]:
    """A step that reads prompts alone; a draft reads them too."""
    return (*mixed_step_costs(program, [prompts], precision, engine), *(drafts.costs([prompts]) if drafts else ()))


def steady_state(load: Load, timer: StepTimer) -> SteadyState:
    """Serving of a load by each device of ``timer``."""
    alone, prompts = timer.times(load.decode), timer.times(load.prompts)
    pieces = load.pieces
    if pieces is None:
        often, prompt = _read_alone(load, prompts, timer)
        mean, encode = _encoding(load, added((alone, 1.0), (prompt, often)), timer)
        first = added((prompt, 1.0), (alone, 0.5), *encode)
        return _state(load, timer, alone, mean, first, encode, np.ones_like(load.batches))
    mean, encode = _encoding(load, added((alone, 1 - pieces.often), (prompts, pieces.often)), timer)
    first = added((prompts, pieces.steps), (mean, 0.5), *encode)
    return _state(load, timer, alone, mean, first, encode, np.asarray(pieces.sustained * load.fits_chunk))


def _encoding(load: Load, mean: StepTimes, timer: StepTimer) -> tuple[StepTimes, list[tuple[StepTimes, Number]]]:
    """The mean step with the images of the requests that come meanwhile; and those of one request, before its prompt.

    The tower runs on the same devices before the step that reads the prompt, and all wait for it; so do other ranks.
    """
    if not load.encode:
        return mean, []
    own = timer.times(load.encode)
    each = lockstep(np.asarray(load.batches / load.steps), int(load.split.dp))
    return added((mean, 1.0), (own, each)), [(own, 1.0)]


def _read_alone(load: Load, prompts: StepTimes, timer: StepTimer) -> tuple[Grid, StepTimes]:
    """How many steps that read prompts stand between two decode steps, and the mean one, by the ranks that read."""
    weights = np.asarray(load.traffic.prompt.weights) * load.passes
    every, each = mean_of(prompts, weights), np.asarray(load.batches / load.steps)
    ranks = int(load.split.dp)
    often = lockstep(each, ranks * int(load.split.pp))
    if ranks == 1:
        return often, every
    both, single = lockstep(each, ranks), mean_of(timer.times(load.single), weights)
    others = (each / both * ranks - 1) / (ranks - 1)  # of the other ranks, the part that reads too
    return often, added((single, 1 - others), (every, others))


def lockstep(often: Grid, ranks: int) -> Grid:
    """How often any of the ranks does what each does this often, independently: steps of all, of the steps of one.

    >>> lockstep(np.array([0.1, 0.5, 2.0]), 2).round(2).tolist()
    [0.19, 0.75, 2.0]
    """
    return np.asarray(np.where(often < 1, 1 - (1 - np.minimum(often, 1.0)) ** ranks, often))


def _state(
    load: Load, timer: StepTimer, alone: StepTimes, mean: StepTimes, first: StepTimes,
    encode: list[tuple[StepTimes, Number]], sustained: Grid,
) -> SteadyState:  # fmt: skip
    """The state, and that of one sequence alone, whose steps only decode once its prompt is read."""
    token = mean
    if load.lone is not None:
        one, others = load.lone.part, 1 - load.lone.part
        read = added((load.lone.prompt(load.traffic, timer), 1.0), *encode)
        token = added((mean, others), (alone, one))
        mean = added((token, 1.0), (read, one / load.steps))
        first = added((first, others), (read, one))
        sustained = np.maximum(sustained, one)
    part = 1 - alone.time_s / mean.time_s
    state = state_of(timer, mean, first, load.batches, load.steps, load.yielded, part, sustained)
    low, high = token.part(token.timing.low_s), token.part(token.timing.high_s)
    return replace(state, tpot_s=token.time_s / load.yielded, low=low, high=high)


def state_of(
    timer: StepTimer, mean: StepTimes, first: StepTimes, batches: Grid, steps: float, yielded: float, input_part: Grid,
    sustained: Grid,
) -> SteadyState:  # fmt: skip
    """The figures of mean steps, ``steps`` of which a request takes; ``first`` is what its first token takes."""
    tdp = np.array([[device.tdp or np.nan] for device in timer.devices])
    shape = mean.time_s.shape
    low, high = mean.part(mean.timing.low_s), mean.part(mean.timing.high_s)
    return SteadyState(
        batches=batches,
        ttft_s=np.broadcast_to(first.time_s, shape),
        tpot_s=mean.time_s / yielded,
        requests_per_s=batches / (steps * mean.time_s),
        input_part=input_part,
        power_w=tdp * mean.part(mean.energy_s),
        mfu=mean.part(mean.peak_s),
        mbu=mean.part(mean.bytes_s),
        low=low,
        high=high,
        rate_low=low,
        rate_high=high,
        ttft_low=np.broadcast_to(first.part(first.timing.low_s), shape),
        ttft_high=np.broadcast_to(first.part(first.timing.high_s), shape),
        shares={name: mean.part(mean.timing.seconds(name)) for name in PARTS},
        sustained=np.broadcast_to(sustained, shape),
    )


def decoding(traffic: Traffic, batches: Grid, checked: int = 1) -> Stream:
    """The sequences that are decoded in a step, which checks so many tokens of each."""
    lengths, weights = in_flight(traffic)
    return Stream(Phase.DECODE, batches, weights, np.full_like(lengths, checked), lengths + checked - 1, checked)


def whole_prompts(traffic: Traffic) -> Stream:
    """Each prompt in a step of its own, a column each."""
    return prompts_alone(traffic, [None])[0]


def prompts_alone(traffic: Traffic, at_once: Sequence[int | None]) -> tuple[Stream, Grid]:
    """Each prompt by itself, in equal passes of so many tokens at most, a column each: the lengths of one number of
    tokens after those of another. Of each the passes, of shape (numbers, lengths).

    A pass has the mean context of all of them, on whose attention the time is linear.
    """
    prompts, new = _prompts(traffic)
    passes = np.array([np.ones_like(new) if tokens is None else np.ceil(new / tokens) for tokens in at_once])
    pieces = new / passes
    middle = prompts - (new - pieces) / 2
    one = np.ones(pieces.size)
    return Stream(Phase.PREFILL, one, one[:, None], pieces.reshape(-1, 1), middle.reshape(-1, 1)), passes


def _prompts(traffic: Traffic) -> tuple[Grid, Grid]:
    """Lengths of prompts, and how much of each is new. [tokens]"""
    prompts = np.array(traffic.prompt.tokens, dtype=np.float64)
    return prompts, np.maximum(prompts * (1 - traffic.cached), 1.0)
