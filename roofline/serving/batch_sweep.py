"""Hardware that is compared, each with its constants and precision, and how it serves at every batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from math import log
from typing import Any

import numpy as np

from roofline.calibration.constants import ConstantSet, device_names
from roofline.calibration.provenance import constants_of, read_constants
from roofline.classes import frozen
from roofline.compression.adapters import Adapters, beside
from roofline.compression.quantization import quantized
from roofline.compression.recipes import Recipe
from roofline.engines.engine import Engine
from roofline.errors import WorkloadError
from roofline.hardware.spec import HardwareSpec
from roofline.identity import Same
from roofline.models.model import Model
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import stage_programs
from roofline.prediction.launch_degrees import can_launch
from roofline.program.conventions import Conventions
from roofline.program.merging import run_by
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.traffic.traffic import Traffic
from roofline.program.workload import Precision
from roofline.serving.batched_steps import Stages, StepTimer
from roofline.serving.continuous_batching import Drafts, Load, SteadyState, steady_state
from roofline.serving.curve import Curve, Served, groups_of
from roofline.serving.hardware_choice import Hardware
from roofline.serving.misfits import Misfits
from roofline.serving.occupancy import Occupancy, fullest, occupancies_of, pass_occupancy, prefill_occupancy
from roofline.serving.one_pass import PassLoad
from roofline.serving.operating_points import Targets, standing
from roofline.serving.prefill_and_decode_pools import PROMPTS, DecodeLoad, PrefillLoad
from roofline.serving.replica_layouts import ONE, ranks_of, replica_layouts, replica_program
from roofline.serving.scenario import Question, Running
from roofline.timing.device_stacks import grouped
from roofline.timing.dtype_support import computing_device
from roofline.timing.engine_choice import Launching, unknown_kernels
from roofline.timing.networks import LinkUse, Network

MOST = 4096
"""The most sequences in flight that are looked at on one replica."""

_ALL_UP_TO, _RATIO = 48, 1.03


CHUNKS = (256, 512, 1024, 2048, 4096, 8192, 16384)
"""Tokens of a mixed step that are tried where targets are given and the engine's own are not stated."""

_WORTH = 1.05
"""By how much more is served another chunk is taken for the engine's own."""

_FEW = 8192
"""The most devices x batches of a state that is kept for a question with the same in it: a megabyte."""


def curves(
    question: Question, hardware: Sequence[Hardware], targets: Targets | None = None, batch: int | None = None
) -> list[Curve]:
    """How each serves in each dtype that is asked for, with commas between them; at ``batch`` too where it is given.

    Under ``targets`` the chunk of chunked prefill is searched, unless one is stated: of each layout the curve has the
    engine's own, or that of ``CHUNKS`` which serves most within them, where it serves 5 % more.
    """
    words = [word.strip() for word in (question.asked["dtype"] or "").split(",")]
    found = []
    for word in words:
        asked = replace(question, asked={**question.asked, "dtype": word or None})
        told = word if len(words) > 1 else ""
        own = _with_halves(asked, hardware, _curves(asked, hardware, targets=targets, also=batch), targets)
        found += [replace(curve, who=Served(curve.hardware.name, told)) for curve in own]
    return found


def curves_in_flight(
    question: Question, hardware: Hardware, in_flight: Sequence[int], only: Layout | None = None
) -> list[Curve]:
    """How each layout of a replica serves, or ``only`` one, with so many requests in flight over all replicas.

    Each is a column. Where there are fewer requests than replicas, one is in flight in each of some, and the others
    idle; where there are fewer than groups that are decoded apart, the column is of one in each. Raises RooflineError
    as ``curves`` does.
    """

    def batches(job: _Job) -> list[float]:
        groups = hardware.count // int(job.layout.devices) * groups_of(job.layout)
        return [max(requests / groups, 1.0) for requests in in_flight]

    return _curves(question, [hardware], batches, only)


def layouts_served(question: Question, hardware: Hardware) -> list[Layout]:
    """The layouts that a replica may have. Raises WorkloadError for hardware whose serving is not modelled."""
    return [job.layout for job in _jobs(question, hardware, constants_for(question))]


@frozen
class _Job:
    """A curve to be computed: of hardware in a recipe and a layout."""

    hardware: Hardware
    recipe: Recipe
    layout: Layout
    constants: ConstantSet
    running: Running
    network: Network | None

    @property
    def device(self) -> HardwareSpec:
        """One of the devices, with the accumulators that the recipe asks for."""
        return computing_device(self.hardware.device, self.recipe)

    @property
    def kind(self) -> Hashable:
        """What the steps of a job depend on."""
        return self.recipe, self.layout, self.running.key

    @property
    def place(self) -> tuple[int, Layout]:
        """Whose layout it is."""
        return id(self.hardware), self.layout

    def run_as(self, running: Running) -> _Job:
        """The same under an engine that is told otherwise."""
        return replace(self, running=running)

    def reading(self, chunk: int | None) -> _Job:
        """The same with mixed steps of so many tokens."""
        if chunk is None or chunk == self.running.chunk:
            return self
        return replace(self, running=self.running.with_chunk(chunk))


def _curves(
    question: Question,
    hardware: Sequence[Hardware],
    batches_of: Callable[[_Job], Sequence[float]] | None = None,
    only: Layout | None = None,
    targets: Targets | None = None,
    runs: Mapping[tuple[int, Layout], Running] | None = None,
    also: int | None = None,
) -> list[Curve]:
    """How each serves at all batches: one array evaluation for all devices of one class, recipe and layout.

    ``batches_of`` has the batches of a group of each job in place of all, ``only`` the one layout that is looked at;
    under ``targets`` the chunk is searched; a batch ``also`` is looked at in any case. ``runs``: what runs each layout
    of each hardware, the only ones looked at. Hardware that cannot run the model has a curve that says why. Raises
    RooflineError for a model that nothing serves.
    """
    question.check()
    jobs: list[_Job] = []
    found: list[Curve] = []
    which = constants_for(question)
    for each in hardware:
        try:
            own = [job for job in _jobs(question, each, which) if only in (None, job.layout)]
            jobs += own if runs is None else [job.run_as(told) for job in own if (told := runs.get(job.place))]
        except WorkloadError as failure:
            found.append(Curve(each, problem=str(failure)))
    kinds = {job.kind: job for job in jobs}
    programs = _programs(question, kinds.values())
    chunks = {kind: _chunks(question, job.running, targets) for kind, job in kinds.items()}
    held = {kind: _held(question, programs[kind], job, chunks[kind]) for kind, job in kinds.items()}
    most = [[_most(job, each) for each in held[job.kind]] for job in jobs]
    limits = [MOST if number is None else number for numbers in most for number in numbers]
    if batches_of is None:
        groups = {groups_of(job.layout) for job in jobs}
        given = [also // each for each in groups if also % each == 0] if also else []
        shared = PROMPTS if question.only is Phase.PREFILL else batches_up_to(max([1, *limits]), [*limits, *given])
        batches_of = _always(shared)
    misfit = [at for at, numbers in enumerate(most) if all(number == 0 for number in numbers)]
    fitting = [at for at in range(len(jobs)) if at not in misfit]
    fit = list(dict.fromkeys(jobs[at].kind for at in fitting))
    fitting.sort(key=lambda at: fit.index(jobs[at].kind))  # all of one kind follow from the same steps
    steps = {kind: _steps(question, programs[kind], kinds[kind], batches_of(kinds[kind]), chunks[kind]) for kind in fit}
    for at, problem in _problems(question, jobs, [held[job.kind][0] for job in jobs], misfit).items():
        found.append(_curve(question, jobs[at], held[jobs[at].kind][0], 0, None, 0, problem))
    for places, constants in grouped(fitting, lambda at: jobs[at].constants, lambda at: _alike(jobs, at)):
        first = jobs[places[0]]
        group = steps[first.kind].on([jobs[at].device for at in places], constants, first)
        states = group.of_groups(groups_of(first.layout)).parts(len(chunks[first.kind]))
        for row, at in enumerate(places):
            parts = zip(chunks[first.kind], held[first.kind], most[at], states, strict=True)
            tried = [
                _curve(question, jobs[at].reading(tokens), fills, number, state, row, "")
                for tokens, fills, number, state in parts
                if number != 0
            ]
            found.append(tried[0] if targets is None or len(tried) == 1 else _best(tried, targets))
    asked = {id(each): place for place, each in enumerate(hardware)}
    return sorted(found, key=lambda curve: (asked[id(curve.hardware)], curve.devices, curve.layout))


def _chunks(question: Question, running: Running, targets: Targets | None) -> list[int | None]:
    """The tokens of mixed steps that are tried, the engine's own first."""
    own = running.chunk
    mixes = own is not None and running.engine.chunk is not None and question.only is None
    if targets is None or targets.none or question.states("chunk") or not mixes or question.traffic.reads:
        return [own]
    return [own, *(tokens for tokens in CHUNKS if tokens != own)]


def _best(tried: Sequence[Curve], targets: Targets) -> Curve:
    """Of the chunks of a layout the first, or the one that serves most where that is well more."""
    first, best = tried[0], max(tried, key=lambda curve: standing(curve, targets))
    (meets, rate), (reaches, most) = standing(first, targets), standing(best, targets)
    return best if reaches and (not meets or most > _WORTH * rate) else first


def _with_halves(
    question: Question, hardware: Sequence[Hardware], found: list[Curve], targets: Targets | None
) -> list[Curve]:
    """The same with two-batch overlap where that serves well more within the targets, unless it is stated.

    Looked at are layouts that dispatch tokens, with the chunk that is the best without it.
    """
    if targets is None or targets.none or question.states("two_batches"):
        return found
    runs = {
        (id(each.hardware), each.split): each.running.with_halves()
        for each in found
        if each.running and not each.problem and ranks_of(each.split) > 1
        if "two_batch_tokens" in each.running.engine.source
    }
    cut = {(id(each.hardware), each.split): each for each in _curves(question, hardware, runs=runs)} if runs else {}
    return [
        _best([each, other], targets) if (other := cut.get((id(each.hardware), each.split))) else each for each in found
    ]


def _always(batches: Sequence[float]) -> Callable[[_Job], Sequence[float]]:
    return lambda job: batches


def _problems(
    question: Question, jobs: Sequence[_Job], held: Sequence[Occupancy], misfit: Sequence[int]
) -> dict[int, str]:
    """What to say of each job that does not fit; of the leanest layout on most devices of a hardware, at length."""
    found = dict.fromkeys(misfit, "does not fit")
    misfits = {job.running.key: _misfits(question, job) for job in jobs}
    last: dict[int, int] = {}
    for at in found:
        job, other = jobs[at], last.setdefault(id(jobs[at].hardware), at)
        last[id(job.hardware)] = min(at, other, key=lambda place: (-jobs[place].layout.devices, held[place].least))
    for leanest in last.values():
        job = jobs[leanest]
        room = job.running.reserve.room(job.device.capacity or 0)
        words = misfits[job.running.key].words(job.device, job.recipe, job.layout, room)
        own = [at for at in found if jobs[at].hardware is job.hardware]
        found |= {at: words for at in own if jobs[at].layout.devices == job.layout.devices}
    return found


def _programs(question: Question, jobs: Iterable[_Job]) -> dict[Hashable, Program]:
    """What each device of a replica runs, by the kind of job; layouts split what is stored alike."""
    stored: dict[Hashable, Program] = {}
    found = {}
    for job in jobs:
        alike = job.recipe, job.running.key
        if alike not in stored:
            stored[alike] = _stored(question, question.model, job)
        found[job.kind] = replica_program(stored[alike], job.layout)
    return found


def _stored(question: Question, model: Model, job: _Job) -> Program:
    """A model as it is stored, and as its engine runs it."""
    conventions = Conventions.run_by(job.running.engine, job.running.attention, question.asked)
    adapters = question.adapters if model is question.model else None  # a draft has none
    return _run_by(Same(job.running.engine), Same(model.program(conventions)), job.recipe, adapters)


@lru_cache(maxsize=128)
def _run_by(engine: Same[Engine], program: Same[Program], recipe: Recipe, adapters: Adapters | None) -> Program:
    return run_by(engine.it, quantized(program.it, recipe), beside(adapters))


@frozen
class _Steps:
    """What the steps of replicas follow from: what stays the same from question to question as itself."""

    program: Same[Program]
    engine: Same[Engine]
    draft: Same[Program | None]
    drafted: tuple[int, float] | None
    recipe: Recipe
    layout: Layout
    traffic: Traffic
    batches: tuple[float, ...]
    chunks: tuple[int | None, ...]
    only: Phase | None
    first: Phase
    chunk: int | None

    def on(self, devices: Sequence[HardwareSpec], constants: Sequence[ConstantSet], job: _Job) -> SteadyState:
        """The state of devices side by side, each with its constants, that share what is left of a job."""
        few = len(devices) * len(self.batches) * len(self.chunks) <= _FEW
        state = _state if few else _state.__wrapped__
        stack = tuple(Same(each) for each in devices), tuple(Same(each) for each in constants)
        found: SteadyState = state(self, *stack, job.running.launching, Same(job.network))
        return found

    def load(self) -> Load | PrefillLoad | DecodeLoad | PassLoad:
        """The steps as costs."""
        program, precision, traffic, engine = self.program.it, self.recipe.precision, self.traffic, self.engine.it
        if traffic.reads:
            return PassLoad.of(program, precision, traffic, self.batches, self.first, engine, self.chunk)
        drafts = Drafts(*self.drafted, self.draft.it, precision, engine) if self.drafted else None
        asked = program, precision, traffic, self.batches
        if self.only is None:
            return Load.of(*asked, self.chunks, drafts, engine, self.layout)
        return (PrefillLoad if self.only is Phase.PREFILL else DecodeLoad).of(*asked, drafts, engine)


@lru_cache(maxsize=1)
def _load(steps: _Steps) -> Load | PrefillLoad | DecodeLoad | PassLoad:
    """The steps of a kind, for all devices that take them one after the other."""
    return steps.load()


@lru_cache(maxsize=128)
def _state(
    steps: _Steps, devices: tuple[Same[HardwareSpec], ...], constants: tuple[Same[ConstantSet], ...],
    launching: Launching, network: Same[Network | None],
) -> SteadyState:  # fmt: skip
    """The state of replicas, which the next question often asks for again: at another price, load or target."""
    stages, load = Stages.of(steps.program.it, steps.layout), _load(steps)
    timer = StepTimer.of([each.it for each in devices], [each.it for each in constants], launching, network.it, stages)
    found = steady_state(load, timer) if isinstance(load, Load) else load.state(timer)
    grids = (getattr(found, each.name) for each in fields(found) if each.name != "shares")
    for grid in (*grids, *found.shares.values()):
        grid.setflags(write=False)  # others see the same
    return found


def _steps(
    question: Question, program: Program, job: _Job, batches: Sequence[float], chunks: Sequence[int | None]
) -> _Steps:
    """The steps of what replicas do."""
    drafts, running = None if question.traffic.reads else _drafts(question, job), job.running
    return _Steps(
        Same(program), Same(running.engine), Same(drafts.program if drafts else None),
        (drafts.tokens, drafts.yielded) if drafts else None, job.recipe, job.layout, question.traffic,
        tuple(batches), tuple(chunks), question.only, question.model.phases[0], running.chunk,
    )  # fmt: skip


def _drafts(question: Question, job: _Job) -> Drafts | None:
    """The draft in the same recipe, under the same engine."""
    asked = question.speculation
    if asked is None:
        return None
    program = _stored(question, asked.draft, job) if asked.draft else None
    if program and asked.draft and asked.draft.predicts:  # a head lies where the network does, any other draft is whole
        program = replica_program(program, replace(job.layout, pp=1))
    return Drafts(asked.tokens, asked.yielded, program, job.recipe.precision, job.running.engine)


def _held(question: Question, program: Program, job: _Job, chunks: Sequence[int | None]) -> list[Occupancy]:
    """What a device holds of the model and its draft, with each chunk; of a pipeline, what no stage holds more of."""
    drafts, stages = _drafts(question, job), int(job.layout.pp)
    parts = [_occupancies(question, each, job, chunks) for each in stage_programs(program, job.layout)]
    own = [fullest(each, stages) for each in zip(*parts, strict=True)]
    if not (drafts and drafts.program):
        return own
    beside = _occupancies(question, drafts.program, job, chunks)
    return [one.beside(other) for one, other in zip(own, beside, strict=True)]


def _occupancies(question: Question, program: Program, job: _Job, chunks: Sequence[int | None]) -> list[Occupancy]:
    precision, engine = job.recipe.precision, job.running.engine
    if question.traffic.reads:
        phase = question.model.phases[0]
        return [pass_occupancy(program, precision, question.traffic, phase, job.running.chunk, engine.kv_block)]
    if question.only is Phase.PREFILL:
        return [prefill_occupancy(program, precision, question.traffic)]
    prompts, most = question.only is None, engine.pass_tokens
    if most is not None and most < max(question.traffic.prompt.tokens):  # so much of a prompt that is read by itself
        chunks = [most if tokens is None else tokens for tokens in chunks]
    return list(
        _held_by(Same(program), precision, question.traffic, tuple(chunks), engine.kv_block, prompts, engine.reserves)
    )


@lru_cache(maxsize=512)
def _held_by(
    program: Same[Program], precision: Precision, traffic: Traffic, chunks: tuple[int | None, ...], kv_block: int,
    prompts: bool, reserves: bool,
) -> tuple[Occupancy, ...]:  # fmt: skip
    return tuple(occupancies_of(program.it, precision, traffic, chunks, kv_block, prompts=prompts, reserves=reserves))


def _jobs(question: Question, hardware: Hardware, which: Callable[[Hardware], ConstantSet]) -> list[_Job]:
    """A job for each layout of a replica that divides the model and that a network joins.

    Raises WorkloadError for hardware whose serving is not modelled.
    """
    if hardware.device.dataflow:
        msg = "left out: a dataflow chip launches no kernels, and no timings of one are at hand"
        raise WorkloadError(msg)
    recipe = question.recipe(hardware.device)
    device = computing_device(hardware.device, recipe)
    running = question.running_on(device)
    constants = which(hardware).using(running.kernels).for_dtypes(recipe.timed_dtypes)
    layouts = _layouts(question, recipe, hardware, running)
    network = None
    if len(layouts) > 1:
        try:
            fleet = replace(hardware.fleet, use=LinkUse.of(running.engine, device))
            network = fleet.network(device, hardware.reach, constants)
        except WorkloadError:  # nothing joins them: each serves by itself
            layouts = [ONE]
    return [
        _Job(hardware, recipe, layout, constants, running, None if layout == ONE else network) for layout in layouts
    ]


def _layouts(question: Question, recipe: Recipe, hardware: Hardware, running: Running) -> list[Layout]:
    """The layouts of a replica that divide the model, and that the engine runs.

    No stages where a draft guesses or a tower sees, which run whole on each device, nor where a pass is all there is.
    """
    if hardware.reach == 1:
        return [ONE]
    engine, experts = running.engine.name, "E" in question.program.sizes
    found = replica_layouts(quantized(question.program, recipe), hardware.reach)
    traffic = question.traffic
    staged = question.staged and not (question.speculation or traffic.reads or traffic.shown.phases)
    return [layout for layout in found if (staged or layout.pp == 1) and can_launch(layout, engine, experts=experts)]


def _alike(jobs: Sequence[_Job], at: int) -> Any:
    """What jobs of one stack share; a network is that of one hardware."""
    job = jobs[at]
    return job.kind, job.running.launching, None if job.network is None else at


def _misfits(question: Question, job: _Job) -> Misfits:
    """What to say where jobs like this one do not fit."""

    def held(recipe: Recipe, layout: Layout) -> Occupancy:
        other = replace(job, recipe=recipe, layout=layout)
        return _held(question, _programs(question, [other])[other.kind], other, [other.running.chunk])[0]

    return Misfits(question, held)


def _curve(
    question: Question, job: _Job, held: Occupancy, most: int | None, state: SteadyState | None, row: int, problem: str
) -> Curve:
    devices, groups = int(job.layout.devices), groups_of(job.layout)
    copies = int(job.layout.redundant_experts(question.program.sizes.get("E", 0)))
    words = f"{job.layout} (+{copies} experts)" if copies else str(job.layout)
    answer = question.traffic.generate.mean
    return Curve(
        job.hardware, job.recipe, job.constants, most and most * groups, state, row, answer, devices, words,
        job.layout, problem, held=held, running=job.running,
        kernels=unknown_kernels(job.constants, question.attention), reads=question.traffic.reads,
    )  # fmt: skip


def batches_up_to(most: int, also: Sequence[int] = ()) -> list[float]:
    """Every batch up to 48, then steps of 3 %, up to ``most``, and those of ``also``.

    >>> batches_up_to(3), batches_up_to(60)[-4:]
    ([1.0, 2.0, 3.0], [55.0, 57.0, 59.0, 60.0])
    """
    most = min(most, MOST)
    geometric = _ALL_UP_TO * _RATIO ** np.arange(int(log(MOST / _ALL_UP_TO) / log(_RATIO)) + 1)
    batches = {*range(1, _ALL_UP_TO + 1), *(int(b) for b in geometric), *also, most}
    return [float(batch) for batch in sorted(batches) if 1 <= batch <= most]


def _most(job: _Job, held: Occupancy) -> int | None:
    """The most sequences of a group; stages share what is stated for one scheduler, ranks have one each."""
    capacity, stated = job.device.capacity, job.running.sequences
    fits = None if capacity is None else min(MOST, held.most(job.running.reserve.room(capacity)))
    limits = [number for number in (fits, stated and max(1, stated // int(job.layout.pp))) if number is not None]
    return min(limits, default=None)


def constants_for(question: Question) -> Callable[[Hardware], ConstantSet]:
    """The constants of each."""
    calibrated = set(device_names())

    def of(each: Hardware) -> ConstantSet:
        asked, device = question.asked["constants"], each.device
        own = each.own is not None or device.name in calibrated
        if asked not in (None, "class") or (asked is None and own):
            return read_constants(question.asked, device, each.own)
        return constants_of(device, "class")

    return of
