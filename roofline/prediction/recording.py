"""A prediction recorded in letters: batch, lengths and the machine's own numbers, for one layout.

The steps, costs, times and memory are those of ``predict``, worked out once by numbers that remember; what comes out
is a :class:`roofline.tape.tape.Tape`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, TypeAlias, cast

from roofline.calibration.constants import Constants, Execution
from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.cost.kv_cache import cache_bytes
from roofline.cost.residency import alive_bytes, longest_step, resident_bytes, weights_bytes
from roofline.errors import UsageError, near_matches, shown
from roofline.hardware.fields import Unit
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model
from roofline.number import Number, added, exact, maximum, mean, minimum, power, whole
from roofline.options.keywords import part
from roofline.options.verbs.predicting import PredictOptions, RequestOptions
from roofline.parallelism.divisibility import check_layout
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import stage_programs
from roofline.prediction.figures import COUNTS
from roofline.prediction.fleet import layout_of
from roofline.prediction.layouts.search import choose_layout
from roofline.prediction.request import Hardware, Request, read_request
from roofline.prediction.step import Steps, steps_of
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import MAX_LENGTH, Workload
from roofline.tape.numbers import letter
from roofline.tape.tape import GENERATE, Tape
from roofline.tape.trace import Letter, Trace
from roofline.timing.energy import energy_j
from roofline.timing.machine import ConstantSource, Machine, with_waits
from roofline.timing.timing import SECONDS, Timing, total

Pairs: TypeAlias = Sequence[tuple[Cost, Timing]]
"""Operators of a step, each with the time of one execution."""

AnyModel: TypeAlias = str | Path | Mapping[str, Any] | Model

MACHINE = (
    *("bandwidth", "peak", "vector_peak", "special_peak", "unit_count", "cycles_per_s", "last_cache"),
    *("latency_scale", "link_scale", "room_bytes"),
)
"""Of a device: bandwidth of its memory [B/s]; peaks of its contractions, a letter ``peak_bf16`` for each dtype that
there is, and of its other units [FLOP/s]; its processors, their clock [Hz], its last cache [B], where its constants ask
for them; all latencies, and all bandwidths of links, times a factor; memory that is left to a model [B]."""


@frozen
class Recording:
    """A recording that is being made: its letters, and the steps of a request in them."""

    request: Request
    trace: Trace
    steps: Steps

    @classmethod
    def asked(cls, model: AnyModel, hardware: Hardware, letters: Collection[str], options: PredictOptions) -> Recording:
        """What the keywords of ``predict`` ask for, which are the point at which the recording is made."""
        if options.get("offload") is not None:
            msg = "offload: a tape knows nothing of weights in the host's memory; leave it out"
            raise UsageError(msg)
        request = read_request(model, hardware, **part(RequestOptions, options))
        layout = layout_of(options, request.fleet) or choose_layout(request, options).layout
        return cls.of(request, layout, letters)

    @classmethod
    def of(cls, request: Request, layout: Layout, letters: Collection[str] = ()) -> Recording:
        """A request whose batch and lengths are letters, and what ``letters`` names of its machine."""
        check_letters(letters, MACHINE)
        trace, plain = Trace(), steps_of(request, layout)
        workload = _lettered(trace, request)
        check_layout(layout, request.program, request.phases, workload, request.model.name)  # which is a guard now
        for phase in request.phases:
            workload.check_positions(phase, request.model.lengths)  # likewise
        machine = lettered_machine(trace, plain.machine, letters)
        return cls(replace(request, workload=workload), trace, replace(plain, workload=workload, machine=machine))

    def letter(self, name: str, example: float, low: float, high: float) -> Number:
        """A further input."""
        return letter(self.trace, Letter(name, example, low, high))

    def tape(self, results: Mapping[str, Number]) -> Tape:
        """The tape of some results."""
        return Tape.of(self.trace, results)

    def results(self) -> dict[str, Number]:
        """Each step's figures under the name of its phase, and those of the request, as ``predict`` names them."""
        phases = {phase: self._figures(phase, self._timed(phase)) for phase in self.request.phases}
        found = {f"{phase}.{name}": value for phase, figures in phases.items() for name, value in figures.items()}
        workload = self.request.workload
        whole = added(workload.steps(phase) * figures["time_s"] for phase, figures in phases.items())
        found |= {"request_s": whole, "tokens_per_s": self._tokens() / whole}
        if "energy_j" in phases[self.request.phases[0]]:
            found["energy_j"] = added(workload.steps(p) * figures["energy_j"] for p, figures in phases.items())
        return found | self.memory()

    def rows(self) -> dict[str, Number]:
        """What the results are made of: each operator by its place in its phase, tokens, and memory.

        ``decode.3.count`` is how often an operator runs in a step, ``decode.3.time_s`` what one execution takes, and so
        on; latency is what the other parts leave of the time. ``tokens`` are those that a request's time is for.
        """
        operators = {phase: self._operators(phase, self._timed(phase)) for phase in self.request.phases}
        found = {
            f"{phase}.{place}.{name}": value
            for phase, each in operators.items()
            for place, operator in enumerate(each)
            for name, value in operator.items()
            if name != "latency_s"
        }
        return {**found, "tokens": self._tokens(), **self.memory()}

    def _tokens(self) -> Number:
        """What a request writes, or reads where it writes nothing, of all its sequences."""
        workload, phases = self.request.workload, self.request.phases
        if Phase.DECODE in phases:
            return workload.batch * (workload.steps(Phase.DECODE) + (Phase.PREFILL in phases))
        return workload.batch * workload.read(tuple(phases))

    def _figures(self, phase: Phase, pairs: Pairs) -> dict[str, Number]:
        """Times, counts and utilisations of one step of a phase; of decode, their means over the steps."""
        steps, device = self.steps, self.request.device
        timing = steps.timing(phase, pairs)
        parts, stages = steps.parts(phase), int(steps.layout.pp)
        machine, time = steps.machine, timing.time_s

        def counted(values: list[Number]) -> Number:
            return added(cost.count * mean(value) for (cost, _), value in zip(pairs, values, strict=True)) * parts

        costs = [cost for cost, _ in pairs]
        flops, moved = counted([cost.mean_flops for cost in costs]), counted([cost.bytes for cost in costs])
        mfu = counted([machine.peak_s(cost) for cost in costs]) / stages / time
        mbu = moved / machine.rates.bandwidth / stages / time
        found = {name: getattr(timing, name) for name in SECONDS}
        found |= {"flops": flops, "bytes": moved, "mfu": mfu, "mbu": mbu}
        if device.tdp is not None:
            found["energy_j"] = energy_j(device.tdp, time, mfu, mbu) * int(steps.layout.devices)
        return found

    def _operators(self, phase: Phase, pairs: Pairs) -> list[dict[str, Number]]:
        """Of each operator of a step, as ``predict`` lists them, how often it runs and what one execution takes.

        Times, counts, and time at the peaks; of decode, their means over the steps; of a prompt in pieces, over those.
        """
        machine = self.steps.machine
        pieces = self.request.workload.pieces if phase is Phase.PREFILL else 1
        each = len(pairs) // int(pieces)
        found = [_of_one(pairs[place::each], machine) for place in range(each)]
        if self.steps.layout.pp == 1 or self.steps.parts(phase) == 1:
            return found
        whole, again = self.steps.timing(phase, pairs), self.steps.parts(phase) - 1
        one = {name: added(op["count"] * op[name] for op in found) for name in found[0]} | {"count": again}
        more = {name: maximum(0, getattr(whole, name) - one[name]) / again for name in SECONDS}
        return [*found, one | more]

    def _timed(self, phase: Phase) -> Pairs:
        """Each operator of one step, with the time of one execution; of a prompt in pieces, those of each piece."""
        steps, pieces = self.steps, self.request.workload.pieces if phase is Phase.PREFILL else 1
        if pieces == 1:
            return steps.timed(phase)
        sizes = steps.sizes(phase)
        each = [steps.costs_at(phase, {**sizes, "S": sizes["T"] * piece}) for piece in range(1, pieces + 1)]
        timed = [timing for costs in each for timing in steps.machine.times_of_device(costs)]
        costs = [replace(cost, count=cost.count / pieces) for costs in each for cost in costs]
        return list(zip(costs, with_waits(costs, timed), strict=True))

    def memory(self) -> dict[str, Number]:
        """What resides on a device of the fullest stage, in bytes, whether it fits, and the most sequences that do.

        The largest batch is left out where what it holds is no polynomial in it.
        """
        layout, room = self.steps.layout, self.steps.machine.room_bytes
        own = replace(self.request.workload, batch=self.request.workload.batch // int(layout.dp))
        programs = stage_programs(self.steps.program, layout)
        stages = [self._resident(stage, own) for stage in programs]
        held = reduce(maximum, [added(each.values()) for each in stages]) + self.request.reserved
        found = {**(stages[0] if len(stages) == 1 else {}), "total_bytes": held}
        if room is None:
            return found
        limits = [self._largest_batch(stage, own, room) for stage in programs]
        most = [limit for limit in limits if limit is not None]
        fits = cast("Number", held <= room + self.request.reserved)
        return (
            found
            | {"fits": fits}
            | ({"max_batch": reduce(minimum, most) * int(layout.dp)} if len(most) == len(limits) else {})
        )

    def _resident(self, program: Program, workload: Workload) -> dict[str, Number]:
        """What resides on a device of one stage, part by part."""
        return resident_bytes(program, workload, self.request.phases, self.request.precision)

    def _largest_batch(self, program: Program, workload: Workload, room: Number) -> Number | None:
        """The batch that ``largest_batch`` finds: of prompts read whole, or in chunks if that is more."""
        whole = self._batch_of(program, replace(workload, chunk=None), room, (0, 1, 2))
        if workload.chunk is None:
            return whole
        chunked = self._batch_of(program, workload, room, (workload.chunk,) * 3)
        return None if whole is None or chunked is None else maximum(whole, chunked)

    def _batch_of(
        self, program: Program, workload: Workload, room: Number, prompts: tuple[int, int, int]
    ) -> Number | None:
        """The root of each operator's parabola; of lines, those that may bind.

        ``prompts``: how many a prefill holds where 0, 1 and 2 sequences reside.
        """
        sizes = {letter: exact(size) for letter, size in program.sizes.items()}
        precision = self.request.precision
        free = whole(room) - whole(weights_bytes(program, sizes, precision))
        held = sizes | dict(workload.step(Phase.DECODE, 1, workload.held))
        carried = [cache_bytes(program, held | {"B": exact(b)}, precision) for b in range(3)]
        lines: list[tuple[Number, Number]] = []
        roots: list[Number] = []
        for phase in self.request.phases:
            batches = prompts if phase is Phase.PREFILL else range(3)
            steps = (sizes | dict(longest_step(workload, phase, exact(batch))) for batch in batches)
            alive = [alive_bytes(program, phase, step, precision) for step in steps]
            for three in zip(*alive, strict=True):
                none, first, second = (kept + size for kept, size in zip(carried, three, strict=True))
                square = (second - 2 * first + none) / 2
                rise = first - none - square
                if (square > 0) is True:
                    roots.append((power(rise * rise + 4 * square * (free - none), 0.5) - rise) / (2 * square))
                elif (square == 0) is True:
                    lines += [(none, rise)] if (rise == 0) is not True else []  # such as a mask that no batch changes
                else:
                    return None
        roots += [(free - constant) / rise for constant, rise in _binding(lines)]
        return maximum(0, whole(reduce(minimum, roots))) if roots else None


def _of_one(pairs: Pairs, machine: Machine) -> dict[str, Number]:
    """How often an operator runs, and times and counts of one execution, the mean over the passes in which it does."""
    many = added(cost.count for cost, _ in pairs)
    shares = [cost.count / many for cost, _ in pairs]
    timing = total((share, each.mean()) for share, (_, each) in zip(shares, pairs, strict=True))

    def counted(values: Iterable[Number]) -> Number:
        return added(share * mean(value) for share, value in zip(shares, values, strict=True))

    costs = [cost for cost, _ in pairs]
    counts = {name: counted(getattr(cost, name) for cost in costs) for name in COUNTS}
    peak = counted(machine.peak_s(cost) for cost in costs)
    return {"count": many, **dict(zip(SECONDS, timing.all_seconds, strict=True)), **counts, "peak_s": peak}


def _binding(lines: list[tuple[Number, Number]]) -> list[tuple[Number, Number]]:
    """Lines that no other is above everywhere, where the ranges of the letters tell."""
    kept: list[tuple[Number, Number]] = []
    for line in dict.fromkeys(lines):
        if not any(_above(other, line) for other in kept):
            kept = [other for other in kept if not _above(line, other)] + [line]
    return kept


def _above(a: tuple[Number, Number], b: tuple[Number, Number]) -> bool:
    return all((x >= y) is True for x, y in zip(a, b, strict=True))


def _lettered(trace: Trace, request: Request) -> Workload:
    """The workload in letters, which are whole numbers."""
    workload, lengths = request.workload, request.model.lengths
    lone, longest = workload.context is not None, min(lengths.output, MAX_LENGTH)
    given: dict[str, tuple[int, int, int]] = {"batch": (workload.batch, 1, MAX_LENGTH)}
    if not lengths.whole and (not lone or workload.decoder_start is not None):
        given["prompt"] = (workload.text, 1, min(lengths.positions, MAX_LENGTH))
    if workload.context is not None:
        given["context"] = (workload.context, 1, longest)
    elif Phase.DECODE in request.phases:
        given[GENERATE] = (workload.generate, 2, longest)
    made: dict[str, Any] = {name: letter(trace, Letter(name, *numbers, whole=True)) for name, numbers in given.items()}
    if "prompt" in made:
        made["prompt"] += workload.shown.tokens
    return replace(workload, **made)


@frozen
class LetteredRates:
    """Rates of a device as letters, those that were asked for."""

    device: HardwareSpec
    trace: Trace
    asked: frozenset[str]

    @property
    def name(self) -> str:
        """The device's name."""
        return self.device.name

    @property
    def unit_count(self) -> Number:
        """The device's processors."""
        return self._rate("unit_count", "unit_count", self.device.unit_count)

    @property
    def cycles_per_s(self) -> Number:
        """The clock of its processors. [Hz]"""
        return self._rate("cycles_per_s", "cycles_per_s", self.device.cycles_per_s)

    @property
    def last_cache(self) -> Number:
        """The capacity of the last cache before device memory. [B]"""
        return self._rate("last_cache", "last_cache", self.device.last_cache)

    @property
    def bandwidth(self) -> Number:
        """Bandwidth of device memory. [B/s]"""
        return self._rate("bandwidth", "bandwidth", self.device.bandwidth)

    def contraction_unit(self, dtype: str) -> tuple[Unit, Number]:
        """The unit that contracts in ``dtype``, and its peak. [FLOP/s]"""
        unit, rate = self.device.contraction_unit(dtype)
        return unit, self._rate("peak", f"peak_{dtype}", rate)

    def work_rate(self, unit: Unit, dtype: str) -> Number:
        """The rate of work beside the contractions: of the special unit where the device has one. [FLOP/s]"""
        own = "special_peak" if unit == "special" and self.device.peak_rate(unit, dtype) else "vector_peak"
        rate = self.device.work_rate(unit, dtype)
        return rate if rate == float("inf") else self._rate(own, own, rate)

    def _rate(self, asked: str, name: str, rate: float) -> Number:
        return letter(self.trace, Letter(name, rate, 1.0, 1e24)) if asked in self.asked and rate else rate


@frozen
class ScaledLatencies:
    """Constants whose latencies are times a letter."""

    constants: ConstantSource
    scale: Number

    def of(self, kind: str, execution: Execution, name: str = "", dtype: str = "") -> Constants:
        """The constants of an operator."""
        return self.constants.of(kind, execution, name, dtype).with_times_divided(cast("float", 1 / self.scale))

    def unfused(self, dtype: str) -> bool:
        """Whether they are those of single kernels."""
        return self.constants.unfused(dtype)


def check_letters(letters: Collection[str], known: Collection[str]) -> None:
    """Raises UsageError for a letter that is none."""
    if strange := [name for name in letters if name not in known]:
        msg = f"letters {shown(strange[0])}: no such letter; {near_matches(strange[0], known)}"
        raise UsageError(msg)


def lettered_machine(trace: Trace, machine: Machine, letters: Collection[str]) -> Machine:
    """A machine with these of its numbers as letters."""
    device = machine.rates
    assert isinstance(device, HardwareSpec)
    asked = frozenset(letters)
    made: dict[str, Any] = {"rates": LetteredRates(device, trace, asked)}
    network = machine.network
    if "latency_scale" in asked:
        scale = letter(trace, Letter("latency_scale", 1.0, 1e-9, 1e9))
        made["constants"] = ScaledLatencies(machine.constants, scale)
        made["host"] = machine.host * scale
        network = network and network.scaled(latency=cast("float", scale))
    if "link_scale" in asked and network:
        network = network.scaled(link=cast("float", letter(trace, Letter("link_scale", 1.0, 1e-9, 1e9))))
    if "room_bytes" in asked and machine.room_bytes is not None:
        made["room_bytes"] = letter(trace, Letter("room_bytes", machine.room_bytes, 0.0, 1e18))
    return replace(machine, network=network, **made)
