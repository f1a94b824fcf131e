"""A part of a sweep evaluated: recorded at a point as ``predict`` answers it, played wherever that recording holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from roofline.errors import RooflineError
from roofline.number import Grid
from roofline.parallelism.divisibility import check_layout
from roofline.parallelism.layout import Layout
from roofline.prediction.recording import Recording
from roofline.prediction.request import Request, asked_at
from roofline.program.phases import Phase
from roofline.sweeps.columns import WORDS, columns_of, needed
from roofline.sweeps.phases import REQUEST
from roofline.tape.tape import Tape

Places = NDArray[np.int64]
"""Which points of a grid, by their number."""

Group = tuple[Layout, tuple[Phase, ...]]
"""Points of one layout and the same phases: a request of one token has no decode steps."""

_LETTERS = ("batch", "prompt", "generate", "context")
_MOST_IN_VAIN = 4
"""A rectangle around points is played whole up to so many times as many."""


class Choice(Protocol):
    """What is evaluated on a grid: a model on hardware in some way, at the values of each axis, the batch first."""

    @property
    def axes(self) -> tuple[tuple[str, tuple[int, ...]], ...]: ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns of results."""

    @property
    def words(self) -> Mapping[str, str]:
        """What columns of text say of every row."""

    def request(self, **point: int) -> Request:
        """What ``predict`` is asked at a point. Raises RooflineError for what it refuses."""

    def layouts(self, request: Request, batches: Grid) -> dict[Layout | str, Any]:
        """For each layout, or reason why there is none, at which of these batches. Raises RooflineError for all."""

    def recordings(self, layout: Layout, phases: tuple[Phase, ...]) -> list[Tape]:
        """Those that were made already, to which others are added."""


@dataclass(slots=True)
class Told:
    """A column of text: of each row the number of its word, -1 where there is none."""

    codes: NDArray[np.int32]
    words: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: int, *words: str) -> Told:
        """Rows without a word; ``words`` that there may be."""
        return cls(np.full(rows, -1, dtype=np.int32), {word: place for place, word in enumerate(words)})

    def put(self, places: Any, word: str) -> None:
        """The word of some rows."""
        self.codes[places] = self.words.setdefault(word, len(self.words))


@dataclass(slots=True)
class PartRows:
    """The points of a part: what was asked at each, what was found, and why there is nothing where there is nothing.

    Arrays of all points: ``values``, of axes and of lengths that were left open; ``told``, words; ``found``, results.
    A point's number is that of its batch, times ``kinds``, of which each is a choice of lengths, plus that of its kind.
    """

    part: Choice
    kinds: int
    values: dict[str, Grid]
    told: dict[str, Told]
    found: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def blank(cls, its: Choice, letters: Iterable[str]) -> PartRows:
        """Every point of a part's grid without results; ``letters`` are not a number where no axis states them."""
        names, axes = zip(*its.axes, strict=True)
        grids = np.meshgrid(*(np.array(axis, dtype=np.float64) for axis in axes), indexing="ij")
        size = grids[0].size
        values = {name: np.full(size, np.nan) for name in letters}
        values |= {name: grid.ravel() for name, grid in zip(names, grids, strict=True)}
        rows = cls(its, prod(map(len, axes[1:])), values, {name: Told.of(size) for name in WORDS})
        for name, words in its.words.items():
            rows.told[name].put(slice(None), words)
        rows.found["devices"] = np.full(size, np.nan)
        return rows

    @classmethod
    def of(cls, its: Choice) -> PartRows:
        """Every point of a part's grid, evaluated."""
        assert its.axes[0][0] == "batch"
        rows = cls.blank(its, _LETTERS)
        for (layout, _), places in rows._by_group().items():
            rows._evaluate(layout, np.concatenate(places))
        return rows

    def _asked(self, place: Any, *, batch: bool) -> dict[str, int]:
        """What the axes say at a point."""
        names = [name for name, _ in self.part.axes if batch or name != "batch"]
        return {name: int(self.values[name][place]) for name in names}

    def _by_group(self) -> dict[Group, list[Places]]:
        """The places of each group; points of lengths or batches that are refused say so and are left out."""
        every = np.arange(len(self.values["batch"]))
        found: dict[Group, list[Places]] = {}
        first: Request | None = None
        for kind in range(self.kinds):
            places, lengths = every[kind :: self.kinds], self._asked(kind, batch=False)
            try:
                request = self.part.request(**lengths) if first is None else asked_at(first, **lengths)
                first = first or request
                chosen = self.part.layouts(request, self.values["batch"][places])
            except RooflineError as failure:
                self.told["refused"].put(places, str(failure))
                continue
            self._fill(request, places)
            for layout, own in chosen.items():
                if isinstance(layout, str):
                    self.told["refused"].put(places[own], layout)
                else:
                    found.setdefault((layout, request.phases), []).append(places[own])
        return found

    def _fill(self, request: Request, places: Places) -> None:
        """What was left open, as it is taken."""
        work = request.workload
        taken = {"context": work.context} if work.context is not None else {"generate": work.generate}
        if work.context is None or work.decoder_start is not None:
            taken["prompt"] = work.text
        for name, value in taken.items():
            self.values[name][places] = value
        self.told["dtype"].put(places, request.recipe.name)
        self.told["engine"].put(places, request.engine.name)
        self.told["phase"].put(places, phase_of(request))
        self.told["provenance"].put(places, request.constants.named)

    def _evaluate(self, layout: Layout, left: Places) -> None:
        """Record at the first point that is left, play wherever that holds, until none is left."""
        base = self.part.request(**self._asked(left[0], batch=True))
        made = self.part.recordings(layout, base.phases)
        for tape in list(made):
            left = self._play(base, layout, tape, left)
        while len(left):
            try:
                request = asked_at(base, **self._asked(left[0], batch=True))
                check_layout(layout, request.program, request.phases, request.workload, request.model.name)
                made.append(_record(request, layout, self.part.needs))
            except RooflineError as failure:
                self.told["refused"].put(left[0], str(failure))
                left = left[1:]
                continue
            before, left = len(left), self._play(base, layout, made[-1], left)
            assert len(left) < before, "a recording holds where it was made"

    def _play(self, request: Request, layout: Layout, tape: Tape, left: Places) -> Places:
        """Fill in the results where a recording holds; the places where it does not."""
        where = self._rectangle(left)
        wanted = np.zeros(len(self.values["batch"]), dtype=bool)
        wanted[left] = True
        alone = where.ndim == 1
        own = {name: where if alone else where[:, :1] if name == "batch" else where[:1] for name in _LETTERS}
        asked = {name: self.values[name][place] for name, place in own.items()}
        holds, found = tape.where_it_holds(**{letter.name: asked[letter.name] for letter in tape.letters})
        holds = np.broadcast_to(holds, where.shape) & wanted[where]
        places = where[holds]
        generated = asked["generate"] - 1 if request.workload.context is None else 1
        steps = {str(phase): generated if phase is Phase.DECODE else 1 for phase in request.phases}
        devices = request.fleet.count if request.fleet.counted else int(layout.devices)  # those that idle cost, too
        whole = asked["batch"] if phase_of(request) == REQUEST else None
        with np.errstate(all="ignore"):
            made = columns_of(found, steps, whole, devices) | {"devices": float(devices)}
        for name, column in made.items():
            if name in self.part.needs or name == "devices":
                self.put(name, places, np.broadcast_to(column, where.shape)[holds])
        self.told["layout"].put(places, str(layout))
        wanted[places] = False
        return left[wanted[left]]

    def _rectangle(self, places: Places) -> Places:
        """The places of all batches by all lengths among these, a grid; these alone where that is many more."""
        batches, kinds = np.unique(places // self.kinds), np.unique(places % self.kinds)
        if len(batches) * len(kinds) > _MOST_IN_VAIN * len(places):
            return places
        return batches[:, None] * self.kinds + kinds[None, :]

    def put(self, name: str, places: Places, column: Any) -> None:
        if name not in self.found:
            nothing = -1 if column.dtype.kind == "i" else np.nan
            self.found[name] = np.full(len(self.values["batch"]), nothing, np.int32 if nothing == -1 else np.float64)
        self.found[name][places] = column


def phase_of(request: Request) -> str:
    """What a row is of: a request, or the phase that was asked for."""
    return REQUEST if request.asked["phase"] is None and request.workload.context is None else str(request.phases[0])


def _record(request: Request, layout: Layout, keep: tuple[str, ...]) -> Tape:
    """What the columns to ``keep`` are made of, in letters."""
    recording = Recording.of(request, layout)
    results = recording.results()
    return recording.tape({name: results[name] for name in needed(results, keep)})
