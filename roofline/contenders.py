"""Hardware that is compared, each with its constants and precision, and how it serves at every batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.architectures.model import Model
from roofline.arithmetic import computing_device
from roofline.calibration import Calibration, ConstantSet, Execution, Provenance, device_names, load_class
from roofline.candidates import Hardware
from roofline.conventions import Conventions
from roofline.device_stacks import grouped
from roofline.errors import UsageError, WorkloadError
from roofline.hardware import HardwareSpec
from roofline.networks import Network
from roofline.occupancy import MEMORY_SHARE, Occupancy, occupancy_of
from roofline.parallelism import Layout
from roofline.precision import Recipe, read_recipe
from roofline.program import Program
from roofline.provenance import constants_of, on_device
from roofline.quantization import quantized
from roofline.replicas import ONE, replica_layouts, replica_program
from roofline.serving import CHUNK, Drafts, Load, SteadyState, steady_state
from roofline.speculation import Speculation
from roofline.step_times import Grid, StepTimer
from roofline.traffic import Traffic
from roofline.units import format_quantity

MOST = 4096
"""The most sequences in flight that are looked at on one replica."""

_ALL_UP_TO, _RATIO = 48, 1.03


@dataclass(frozen=True, slots=True)
class Question:
    """What is served and how: the same for all hardware.

    ``dtypes`` are those of all, weights, activations and cache, None for what the device has. ``chunk`` are the tokens
    of a mixed step, None for prompts by themselves. ``memory_share``: the part of the memory that an engine takes.
    """

    model: Model
    traffic: Traffic
    dtypes: tuple[str | None, str | None, str | None, str | None] = (None, None, None, None)
    conventions: Conventions = field(default_factory=Conventions)
    constants: Provenance | None = None
    execution: Execution | None = None
    chunk: int | None = CHUNK
    memory_share: float = MEMORY_SHARE
    speculation: Speculation | None = None

    def __post_init__(self) -> None:
        if not 0 < self.memory_share <= 1:
            msg = (
                f"memory share {self.memory_share:g}: expected the part that an engine takes, above 0 to 1, such as 0.9"
            )
            raise UsageError(msg)
        if self.chunk is not None and self.chunk < 1:
            msg = (
                f"chunk {self.chunk}: expected the tokens of a mixed step such as 2048, or 0 for prompts by themselves"
            )
            raise UsageError(msg)

    @property
    def program(self) -> Program:
        """The program of the model, in the dtype of nothing yet."""
        return self.model.program(self.conventions)

    def recipe(self, device: HardwareSpec) -> Recipe:
        """What is stored in which format on a device. Raises UsageError for an unknown word."""
        name, weights, activations, cache = self.dtypes
        return read_recipe(
            name, weights=weights, activations=activations, kv_cache=cache, default=device.default_dtype(),
            checkpoint=self.model.recipe,
        )  # fmt: skip

    def check(self) -> None:
        """Raises WorkloadError for a model that generates nothing, and for requests beyond its positions."""
        if self.program.phases != ("prefill", "decode"):
            msg = f"{self.model.name} generates no text from prompts alone; serving is modelled for decoders"
            raise WorkloadError(msg)
        draft = self.speculation.draft if self.speculation else None
        positions = min(each.lengths.positions for each in (self.model, draft) if each)
        longest = self.traffic.longest
        if longest > positions:
            msg = (
                f"{self.traffic.name} traffic: its longest request has {longest} tokens, which exceeds the model's "
                f"max_position_embeddings {positions}; shorten --prompt or --generate"
            )
            raise WorkloadError(msg)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """How one replica serves, at every batch: row ``row`` of a state. ``most`` sequences fit, None if not known.

    ``generated``: tokens of a mean answer. ``label``: the hardware, and its dtype where several are compared.
    ``problem`` says why hardware serves nothing.
    """

    hardware: Hardware
    recipe: Recipe | None = None
    constants: ConstantSet | None = None
    most: int | None = None
    state: SteadyState | None = None
    row: int = 0
    generated: float = 0.0
    devices: int = 1
    layout: str = "one device"
    problem: str = ""
    label: str = ""

    @property
    def dtype(self) -> str:
        """The recipe by name."""
        return self.recipe.name if self.recipe else "-"

    @property
    def replicas(self) -> int:
        """How many replicas the hardware makes."""
        return self.hardware.count // self.devices

    def of(self, name: str) -> Grid:
        """A figure of the state over its batches."""
        assert self.state is not None
        return np.asarray(getattr(self.state, name)[self.row])

    @property
    def holds(self) -> NDArray[np.bool_]:
        """The batches that fit in memory, and whose prompts the steps take in."""
        assert self.state is not None
        fits = np.ones(len(self.state.batches), bool) if self.most is None else self.state.batches <= self.most
        return np.asarray(fits & (self.of("sustained") > 0))


def curves(question: Question, hardware: Sequence[Hardware]) -> list[Curve]:
    """How each serves in each dtype that is asked for, with commas between them."""
    words = [word.strip() for word in (question.dtypes[0] or "").split(",")]
    found = []
    for word in words:
        asked = replace(question, dtypes=(word or None, *question.dtypes[1:]))
        label = f" {word}" if len(words) > 1 else ""
        found += [replace(curve, label=curve.hardware.name + label) for curve in _curves(asked, hardware)]
    return found


@dataclass(frozen=True, slots=True)
class _Job:
    """A curve to be computed: of hardware in a recipe and a layout."""

    hardware: Hardware
    recipe: Recipe
    layout: Layout
    constants: ConstantSet
    execution: Execution
    network: Network | None

    @property
    def device(self) -> HardwareSpec:
        """One of the devices, with the accumulators that the recipe asks for."""
        return computing_device(self.hardware.device, self.recipe)


def _curves(question: Question, hardware: Sequence[Hardware]) -> list[Curve]:
    """How each serves at all batches: one array evaluation for all devices of one class, recipe and layout.

    Hardware that cannot run the model has a curve that says why. Raises RooflineError for a model that nothing serves.
    """
    question.check()
    jobs: list[_Job] = []
    found: list[Curve] = []
    which = constants_for(question)
    for each in hardware:
        try:
            jobs += _jobs(question, each, which)
        except WorkloadError as failure:
            found.append(Curve(each, problem=str(failure)))
    kinds = dict.fromkeys((job.recipe, job.layout) for job in jobs)
    programs = {(r, layout): replica_program(quantized(question.program, r), layout) for r, layout in kinds}
    held = {kind: _held(question, program, kind[0]) for kind, program in programs.items()}
    most = [_most(job.device, held[job.recipe, job.layout], question.memory_share) for job in jobs]
    limits = [MOST if number is None else number for number in most]
    batches = batches_up_to(max([1, *limits]), limits)
    loads = {
        kind: Load.of(program, kind[0].precision, question.traffic, batches, question.chunk, _drafts(question, kind[0]))
        for kind, program in programs.items()
    }
    for places, constants in grouped(range(len(jobs)), lambda at: jobs[at].constants, lambda at: _alike(jobs, at)):
        first = jobs[places[0]]
        timer = StepTimer([jobs[at].device for at in places], constants, first.execution, first.network)
        state = steady_state(loads[first.recipe, first.layout], timer)
        for row, at in enumerate(places):
            found.append(_curve(question, jobs[at], held[first.recipe, first.layout], most[at], state, row))
    asked = {id(each): place for place, each in enumerate(hardware)}
    return sorted(found, key=lambda curve: (asked[id(curve.hardware)], curve.devices, curve.layout))


def _drafts(question: Question, recipe: Recipe) -> Drafts | None:
    """The draft in the same recipe."""
    asked = question.speculation
    if asked is None:
        return None
    program = quantized(asked.draft.program(question.conventions), recipe) if asked.draft else None
    return Drafts(asked.tokens, asked.yielded, program, recipe.precision)


def _held(question: Question, program: Program, recipe: Recipe) -> Occupancy:
    """What a device holds of the model, and of its draft."""
    own = occupancy_of(program, recipe.precision, question.traffic, question.chunk)
    drafts = _drafts(question, recipe)
    if drafts is None or drafts.program is None:
        return own
    return own.beside(occupancy_of(drafts.program, recipe.precision, question.traffic, question.chunk))


def _jobs(question: Question, hardware: Hardware, which: Callable[[Hardware], ConstantSet]) -> list[_Job]:
    """A job for each layout of a replica that divides the model and that a network joins."""
    recipe = question.recipe(hardware.device)
    device = computing_device(hardware.device, recipe)
    constants = which(hardware).for_dtypes(recipe.dtypes)
    execution: Execution = question.execution or ("eager" if device.kind == "cpu" else "graph")
    layouts = [ONE] if hardware.reach == 1 else replica_layouts(quantized(question.program, recipe), hardware.reach)
    network = None
    if len(layouts) > 1:
        try:
            network = hardware.fleet.network(device, hardware.reach, constants)
        except WorkloadError:  # nothing joins them: each serves by itself
            layouts = [ONE]
    return [
        _Job(hardware, recipe, layout, constants, execution, None if layout == ONE else network) for layout in layouts
    ]


def _alike(jobs: Sequence[_Job], at: int) -> Any:
    """What jobs of one stack share; a network is that of one hardware."""
    job = jobs[at]
    return job.recipe, job.layout, job.execution, None if job.network is None else at


def _curve(question: Question, job: _Job, held: Occupancy, most: int | None, state: SteadyState, row: int) -> Curve:
    problem = _misfit(job.device, held, question.memory_share) if most == 0 else ""
    words, devices = str(job.layout), int(job.layout.devices)
    answer = question.traffic.generate.mean
    return Curve(job.hardware, job.recipe, job.constants, most, state, row, answer, devices, words, problem)


def _misfit(device: HardwareSpec, held: Occupancy, share: float) -> str:
    need, room = (
        format_quantity(size, "bytes") for size in (held.fixed + held.longest, (device.capacity or 0) * share)
    )
    return f"does not fit: {need} of {room}"


def batches_up_to(most: int, also: Sequence[int] = ()) -> list[float]:
    """Every batch up to 48, then steps of 3 %, up to ``most``, and those of ``also``.

    >>> batches_up_to(3), batches_up_to(60)[-4:]
    ([1.0, 2.0, 3.0], [55.0, 57.0, 59.0, 60.0])
    """
    most = min(most, MOST)
    geometric = _ALL_UP_TO * _RATIO ** np.arange(int(log(MOST / _ALL_UP_TO) / log(_RATIO)) + 1)
    batches = {*range(1, _ALL_UP_TO + 1), *(int(b) for b in geometric), *also, most}
    return [float(batch) for batch in sorted(batches) if 1 <= batch <= most]


def _most(device: HardwareSpec, held: Occupancy, share: float) -> int | None:
    return None if device.capacity is None else min(MOST, held.most(device.capacity, share))


def constants_for(question: Question) -> Callable[[Hardware], ConstantSet]:
    """The constants of each; the file of a class is read once."""
    calibrated, classes = set(device_names()), dict[str, Calibration]()

    def of(each: Hardware) -> ConstantSet:
        asked, device = question.constants, each.device
        own = each.own is not None or device.name in calibrated
        if asked not in (None, "class") or (asked is None and own):
            return constants_of(device, asked, each.own)
        name = device.calibration_class
        if name not in classes:
            classes[name] = load_class(name)
        return ConstantSet.from_calibration(on_device(classes[name], device))

    return of
