"""The parts of a sweep: each choice of model, hardware, layout, format and engine, over a part of the grid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, lru_cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np

from roofline.classes import frozen
from roofline.compression.recipes import read_recipe
from roofline.engines.library import load_engine
from roofline.errors import RooflineError, UsageError
from roofline.files.library import data_folder
from roofline.models.model import load_model
from roofline.number import Grid
from roofline.options.edits import edits_by_room
from roofline.options.groups import Degrees, Owning
from roofline.options.keywords import completed, given, part
from roofline.options.verbs.training import TrainOptions
from roofline.options.words import Fusion
from roofline.parallelism.dimensions import DEGREES
from roofline.parallelism.layout import Layout
from roofline.prediction.fleet import fleet_of, layout_of
from roofline.prediction.layouts.search import best_layouts, layouts_of
from roofline.prediction.request import Request, edited_model, read_request
from roofline.program.conventions import check_fusion
from roofline.program.phases import Phase
from roofline.program.recompute import read_policy
from roofline.program.workload import DEFAULT_GENERATE
from roofline.serving.batch_sweep import layouts_served
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.scenario import read_question
from roofline.sweeps.money import Money, Owned, Price, check_prices, read_owning
from roofline.sweeps.phases import LENGTHS, REQUEST, SERVING, TRAIN, axes_of
from roofline.sweeps.study import Study
from roofline.sweeps.targets import Limits, limits_in
from roofline.tape.tape import Tape
from roofline.training.kept.optimizers import read_optimizer
from roofline.training.kept.recipes import RECIPES
from roofline.training.question import TrainingQuestion, read_training
from roofline.training.schedules import read_schedule
from roofline.version import versions

MOST_ROWS = 1 << 18
"""Rows of a part: what is lost at most when a run is killed, and what is in memory at once."""

MOST_POINTS = 10**10
"""Points of a study, each at its first price: more would be tens of thousands of files, and days."""

_HERE = Path(__file__).parent.parent

Fixed = tuple[tuple[str, int], ...]

LONE: tuple[tuple[str, Any], ...] = ()
"""What a part says of training that is of none."""

_DEVICES = ("tp", "pp", "dp", "ep", "cp", "sp")
"""Degrees of a training step."""


@frozen
class Part:
    """One file of a sweep: a choice, and the values of each axis.

    ``layout`` is None where the best is searched at each point. ``prices`` and ``keep`` are the study's. ``training``:
    keywords of ``train`` by name, of a part of training; ``trains``: whether any part of the study is.
    """

    model: str
    hardware: str
    layout: Fixed | None
    dtype: str | None
    engine: str | None
    phase: str
    axes: tuple[tuple[str, tuple[int, ...]], ...]
    money: Money
    limits: tuple[Limits, ...]
    keep: tuple[str, ...]
    edits: tuple[tuple[str, Any], ...]
    training: tuple[tuple[str, Any], ...] = LONE
    trains: bool = False
    fusion: Fusion | None = None

    @property
    def points(self) -> int:
        """Rows that it has: of each point one for each price and each choice of targets."""
        return prod(len(values) for _, values in self.axes) * self.money.each * len(self.limits)

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns of results that are evaluated: those to keep, and what costs and targets look at."""
        times = ("ttft_s", "tpot_s") if self.limits != (Limits(),) else ()
        run = ("days",) if "usd" in self.keep else ()
        costs = (*run, "tokens_per_s", *(("power_w",) if "purchase" in self.money.kinds else ()))
        return tuple(dict.fromkeys([*self.keep, *costs, *times]))

    @property
    def prices(self) -> list[Price]:
        """The prices of its hardware, for each of which each point has a row."""
        return self.money.of(self.hardware, dict(self.edits))

    @property
    def decodes(self) -> bool:
        """Whether each row is a request with means over its decode steps."""
        axes = dict(self.axes)
        own = self.phase in (REQUEST, Phase.DECODE) and "context" not in axes
        return own and max(axes.get("generate", (DEFAULT_GENERATE,))) > 1

    @property
    def searches(self) -> int:
        """For how many choices of lengths layouts are searched: of serving always, else where there are several."""
        if self.phase == TRAIN:
            return 0 if self.is_fixed else prod(len(values) for _, values in self.axes)
        several = self.phase == SERVING or (self.layout is None and fleet_of(self.hardware).counted)
        return prod(len(values) for _, values in self.axes[1:]) if several else 0

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        layout = ", ".join(f"{flag} {degree}" for flag, degree in self.layout or () if degree > 1)
        phase = "" if self.phase == REQUEST else self.phase
        how = ", ".join(f"{name} {value}" for name, value in self.training if name != "tokens")
        words = (layout, self.dtype, self.engine, phase, how)
        return " ".join([self.model, "on", self.hardware, *(word for word in words if word)])

    def request(self, **point: int) -> Request:
        """What ``predict`` is asked at a point. Raises RooflineError for what it refuses."""
        phase = None if self.phase in (REQUEST, SERVING) else self.phase
        how = {"dtype": self.dtype, "engine": self.engine, "fusion": self.fusion, "phase": phase}
        return read_request(self.model, self.hardware, set=dict(self.edits) or None, **cast("Any", how | point))

    @property
    def is_fixed(self) -> bool:
        """Whether nothing of a training step is left to be searched: layout, microbatch, policy and stage of ZeRO."""
        laid_out = self.layout is not None or not fleet_of(self.hardware).counted
        return laid_out and "microbatch" in dict(self.axes) and {"zero", "recompute"} <= {*dict(self.training)}

    def question(self, **point: int) -> TrainingQuestion:
        """What ``train`` is asked at a point, of one sequence where no batch is said. Raises RooflineError likewise.

        A layout that is listed says all of it: degrees that it does not name are 1.
        """
        degrees = {} if self.layout is None else dict.fromkeys(_DEVICES, 1) | dict(self.layout)
        how = {name: value for name, value in self.training if name != "tokens"}
        own = {"dtype": self.dtype, "engine": self.engine, "fusion": self.fusion, "set": dict(self.edits)}
        asked = {"batch": 1, **own, **degrees, **how}
        return read_training(self.model, self.hardware, completed(TrainOptions, {**asked, **point}, "train"))  # type: ignore[arg-type]

    @property
    def words(self) -> dict[str, str]:
        """What columns of text say of every row."""
        told = {"model": self.model, "hardware": self.hardware}
        degrees = ", ".join(f"{flag} {degree}" for flag, degree in self.layout or ())
        return told if self.layout is None else {**told, "layout": degrees or "one device"}

    def layouts(self, request: Request, batches: Grid) -> dict[Layout | str, Any]:
        """For each layout, or reason why there is none, at which of these batches. Raises RooflineError for all."""
        degrees = part(Degrees, completed(Degrees, dict(self.layout or ()), "layouts"))
        if self.layout is None or layout_of(degrees, request.fleet):
            return layouts_at(request, batches, degrees)
        given = ", ".join(f"{flag} {degree}" for flag, degree in self.layout)
        msg = f"layout {given}: does not make up the {request.fleet.count} devices of {self.hardware}"
        raise UsageError(msg)

    def recordings(self, layout: Layout, phases: tuple[Phase, ...]) -> list[Tape]:
        """Those of its choice that were made so far: the next part of it adds others."""
        return _recordings(self.choice(), layout, phases)

    def name(self) -> str:
        """A hash of all that its rows depend on: what is asked, the data that is read, and the code."""
        return self._hash(self)

    def choice(self) -> str:
        """The same hash whatever the values of the axes are: what parts that were cut from one grid have in common."""
        return self._hash(replace(self, axes=tuple((name, ()) for name, _ in self.axes)))

    def _hash(self, asked: Part) -> str:
        told = json.dumps(asdict(asked), sort_keys=True, default=str)
        return hashlib.sha256("\n".join([told, self._read(), _code()]).encode()).hexdigest()[:24]

    def _read(self) -> str:
        """The data that the rows come from, as text; of a choice that is refused, why."""
        try:
            at = {name: values[0] for name, values in self.axes if name in LENGTHS}
            request = self.question().request if self.phase == TRAIN else self.request(**at)
        except RooflineError as failure:
            return str(failure)
        r, constants = request, request.constants
        read = (r.model.config, r.recipe, r.device, r.engine, dict(r.fleet.links), constants.calibration,
                constants.otherwise)  # fmt: skip
        return "\n".join(map(repr, [*read, *(price.offer for price in self.prices)]))


@lru_cache(maxsize=16)
def _recordings(choice: str, layout: Layout, phases: tuple[Phase, ...]) -> list[Tape]:
    return []


def layouts_at(request: Request, batches: Grid, asked: Degrees) -> dict[Layout | str, Any]:
    """For each layout, or reason why there is none, at which of these batches: the one that is asked for, or the best.

    Raises RooflineError for degrees that the devices do not have.
    """
    fixed = layout_of(asked, request.fleet)
    if fixed:
        return {fixed: slice(None)}
    best = best_layouts(request, [int(batch) for batch in batches], asked)
    found = [each if isinstance(each, Layout) else str(each) for each in map(best.__getitem__, map(int, batches))]
    return {key: np.array([each == key for each in found]) for key in dict.fromkeys(found)}


def check(study: Study) -> None:
    """Raises RooflineError for a name that is none, which is no row; for edits and prices of nothing in the study.

    For more points than anyone waits for, too.
    """
    choices = prod(len(each or [None]) for each in (study.models, study.devices, study.dtypes, study.engines))
    points = choices * sum(prod(map(len, axes_of(phase, study.axes).values())) for phase in study.rows_of)
    if points > MOST_POINTS:
        msg = (
            f"{points:,} points: expected at most {MOST_POINTS:,}; give ranges that double, 1..512:log2, or have steps"
        )
        raise UsageError(msg)
    fields = edits_by_room(study.set)
    for model in study.models:
        load_model(model)
    for hardware in study.devices:
        read_hardware([hardware])
    for engine in study.engines or []:
        load_engine(engine)
    for dtype in study.dtypes or []:
        if TRAIN not in study.rows_of or dtype not in RECIPES:
            read_recipe(dtype, default="bf16")
    for word in study.recompute or []:
        read_policy(word)
    for word in study.schedules or []:
        read_schedule(word)
    for word in study.optimizers or []:
        read_optimizer(word)
    _check_edits(study.models, lambda name: edited_model(name, fields["model"]))
    _check_edits(study.models, lambda name: check_fusion(study.fusion, load_model(name).program(), name))
    _check_edits(study.devices, lambda name: read_hardware([name], fields["hardware"]))
    read_owning(_owned(study))
    check_prices(study.prices, study.price_kind, study.devices)


def _check_edits(names: Sequence[str], read: Callable[[str], object]) -> None:
    """Raises RooflineError for edits, or a fusion, that none of these takes; of one that does not, the rows say so."""
    problem: RooflineError | None = None
    for name in names:
        try:
            read(name)
        except RooflineError as failure:
            problem = problem or failure
        else:
            return
    if problem:
        raise problem


def parts_of(study: Study) -> Iterator[Part]:
    """Every part of a study, in its order; a grid of more rows than a file has is cut along its longest axis."""
    shared: dict[str, Any] = {
        "keep": study.kept, "edits": tuple(study.set.items()), "trains": TRAIN in study.rows_of,
        "fusion": study.fusion,
    }  # fmt: skip
    limits = {phase: limits_in(phase, study.limits) for phase in study.rows_of}
    dtypes: Sequence[str | None] = study.dtypes or [None]
    engines: Sequence[str | None] = study.engines or [None]
    money = {hardware: _money(study, hardware) for hardware in study.devices}
    for model, hardware, dtype, engine in product(study.models, study.devices, dtypes, engines):
        for layout, phase in _laid_out(study, model, hardware):
            alike = money[hardware].each * len(limits[phase])
            for axes in _cut(axes_of(phase, study.axes), MOST_ROWS // alike):
                asked = (model, hardware, layout, dtype, engine, phase, tuple(axes.items()), money[hardware])
                for how in _trained(study) if phase == TRAIN else [LONE]:
                    yield Part(*asked, limits[phase], **shared, training=how)


def _trained(study: Study) -> Iterator[tuple[tuple[str, Any], ...]]:
    """Each choice of what training leaves open, as keywords of ``train``; one that nobody states is left out."""
    asked = {"zero": study.zero, "recompute": study.recompute, "schedule": study.schedules,
             "optimizer": study.optimizers, "tokens": None if study.tokens is None else [study.run_tokens]}  # fmt: skip
    stated = given(asked)
    for values in product(*stated.values()):
        yield tuple(zip(stated, values, strict=True))


def _money(study: Study, hardware: str) -> Money:
    return Money.asked(hardware, (tuple(study.prices), tuple(study.price_kind), _owned(study)), study.set)


def _owned(study: Study) -> Owned:
    return tuple(completed(Owning, given(study.owning.model_dump()), "owning").items())


def _laid_out(study: Study, model: str, hardware: str) -> Iterator[tuple[Fixed | None, str]]:
    """The layouts of each phase; None is the best at each point, and what is refused says so there."""
    if not isinstance(study.layouts, str):
        listed = [tuple((flag, layout[flag]) for flag in DEGREES if flag in layout) for layout in study.layouts]
        yield from product(listed, study.rows_of)
        return
    for phase in study.rows_of:
        for layout in _all(study, model, hardware, phase) if study.layouts == "all" else [None]:
            yield None if layout is None else _fixed(layout), phase


def _fixed(layout: Layout) -> Fixed:
    return tuple((flag, int(degree)) for flag, degree in layout.to_dict().items() if degree > 1)


def _all(study: Study, model: str, hardware: str, phase: str) -> Sequence[Layout | None]:
    """Every layout of a phase, of a replica in serving; None where the model or the device refuses."""
    try:
        if phase == TRAIN:
            edits = study.set or None
            return layouts_of(read_training(model, hardware, completed(TrainOptions, {"set": edits}, "train")).request)  # type: ignore[arg-type]
        if phase != SERVING:
            return layouts_of(read_request(model, hardware, set=study.set or None))
        (its,) = read_hardware([hardware], edits_by_room(study.set)["hardware"])
        return layouts_served(read_question(model, set=study.set or None), its)
    except RooflineError:
        return [None]


def _cut(axes: Mapping[str, tuple[int, ...]], most: int) -> Iterator[dict[str, tuple[int, ...]]]:
    if prod(map(len, axes.values())) <= max(1, most):
        yield dict(axes)
        return
    longest = max(axes, key=lambda name: len(axes[name]))
    middle = len(axes[longest]) // 2
    for half in (axes[longest][:middle], axes[longest][middle:]):
        yield from _cut({**axes, longest: half}, most)


@cache
def _code() -> str:
    """The version, and a hash of the package's own text and of the constants of links: another one computes anew."""
    digest = hashlib.sha256()
    for file in (*sorted(_HERE.rglob("*.py")), data_folder("calibrations") / "links.yaml"):
        digest.update(file.read_bytes())
    return f"{versions()['version']} {digest.hexdigest()}"
