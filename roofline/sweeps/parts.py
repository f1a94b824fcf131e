"""The parts of a sweep: each choice of model, hardware, layout, format and engine, over a part of the grid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, lru_cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from roofline.buying.prices import offers_of, own_prices, pick_offer
from roofline.classes import frozen
from roofline.errors import RooflineError, UsageError
from roofline.files.library import data_folder
from roofline.hardware.systems import load_system
from roofline.number import Grid
from roofline.options.groups import Degrees, Money
from roofline.options.keywords import completed, part
from roofline.options.words import PriceKind
from roofline.parallelism.dimensions import DEGREES
from roofline.parallelism.layout import Layout
from roofline.prediction.fleet import layout_of
from roofline.prediction.layout_search import best_layouts, layouts_of
from roofline.prediction.request import Request, read_request
from roofline.program.phases import Phase
from roofline.program.workload import DEFAULT_GENERATE
from roofline.sweeps.study import Study
from roofline.tape.tape import Tape
from roofline.version import versions

MOST_ROWS = 1 << 18
"""Rows of a part: what is lost at most when a run is killed, and what is in memory at once."""

_HERE = Path(__file__).parent.parent

Fixed = tuple[tuple[str, int], ...]


@frozen
class Part:
    """One file of a sweep: a choice, and the values of each axis.

    ``layout`` is None where the best is searched at each point. ``prices`` and ``keep`` are the study's.
    """

    model: str
    hardware: str
    layout: Fixed | None
    dtype: str | None
    engine: str | None
    axes: tuple[tuple[str, tuple[int, ...]], ...]
    price_kind: PriceKind
    prices: str | None
    keep: tuple[str, ...]
    edits: tuple[tuple[str, Any], ...]

    @property
    def points(self) -> int:
        """Rows that it has."""
        return prod(len(values) for _, values in self.axes)

    @property
    def decodes(self) -> bool:
        """Whether each row is a request with means over its decode steps."""
        axes = dict(self.axes)
        return "context" not in axes and max(axes.get("generate", (DEFAULT_GENERATE,))) > 1

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        layout = ", ".join(f"{flag} {degree}" for flag, degree in self.layout or () if degree > 1)
        return " ".join(
            [self.model, "on", self.hardware, *(word for word in (layout, self.dtype, self.engine) if word)]
        )

    def request(self, **point: int) -> Request:
        """What ``predict`` is asked at a point. Raises RooflineError for what it refuses."""
        how: dict[str, Any] = {"dtype": self.dtype, "engine": self.engine, "set": dict(self.edits) or None, **point}
        return read_request(self.model, self.hardware, **how)

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

    def usd_per_h(self, devices: int) -> float | None:
        """What the devices cost together. [USD/h]"""
        own = own_prices(part(Money, completed(Money, {"prices": self.prices, "price_kind": self.price_kind}, "sweep")))
        offer = pick_offer(offers_of(load_system(self.hardware), own), self.price_kind)
        return None if offer is None else offer.total_usd(devices)

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
            request = self.request(**{name: values[0] for name, values in self.axes if name != "batch"})
        except RooflineError as failure:
            return str(failure)
        r, constants = request, request.constants
        read = (r.model.config, r.recipe, r.device, r.engine, dict(r.fleet.links), constants.calibration,
                constants.otherwise)  # fmt: skip
        own = [Path(self.prices).read_text("utf-8")] if self.prices and Path(self.prices).is_file() else []
        return "\n".join([*map(repr, read), *own])


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


def parts_of(study: Study) -> Iterator[Part]:
    """Every part of a study, in its order; a grid of more rows than a file has is cut along its longest axis."""
    shared: dict[str, Any] = {"price_kind": study.price_kind, "prices": study.prices, "keep": tuple(study.keep),
                              "edits": tuple(study.set.items())}  # fmt: skip
    dtypes: Sequence[str | None] = study.dtypes or [None]
    engines: Sequence[str | None] = study.engines or [None]
    for model, hardware, dtype, engine in product(study.models, study.devices, dtypes, engines):
        for layout in _layouts(study, model, hardware):
            for axes in _cut(study.axes):
                yield Part(model, hardware, layout, dtype, engine, axes=tuple(axes.items()), **shared)


def _layouts(study: Study, model: str, hardware: str) -> list[Fixed | None]:
    """The layouts of a choice; None is the best at each point, and what is refused says so there."""
    if study.layouts == "best":
        return [None]
    if not isinstance(study.layouts, str):
        return [tuple((flag, layout[flag]) for flag in DEGREES if flag in layout) for layout in study.layouts]
    try:
        found = layouts_of(read_request(model, hardware, set=study.set or None))
    except RooflineError:
        return [None]
    return [tuple((flag, int(degree)) for flag, degree in layout.to_dict().items() if degree > 1) for layout in found]


def _cut(axes: Mapping[str, tuple[int, ...]]) -> Iterator[dict[str, tuple[int, ...]]]:
    if prod(map(len, axes.values())) <= MOST_ROWS:
        yield dict(axes)
        return
    longest = max(axes, key=lambda name: len(axes[name]))
    middle = len(axes[longest]) // 2
    for half in (axes[longest][:middle], axes[longest][middle:]):
        yield from _cut({**axes, longest: half})


@cache
def _code() -> str:
    """The version, and a hash of the package's own text and of the constants of links: another one computes anew."""
    digest = hashlib.sha256()
    for file in (*sorted(_HERE.rglob("*.py")), data_folder("calibrations") / "links.yaml"):
        digest.update(file.read_bytes())
    return f"{versions()['version']} {digest.hexdigest()}"
