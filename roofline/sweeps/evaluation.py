"""A part of a sweep evaluated: recorded at a point as ``predict`` answers it, played wherever that recording holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from roofline.buying.prices import offers_of, own_prices, pick_offer
from roofline.errors import RooflineError, UsageError
from roofline.hardware.systems import load_system
from roofline.number import Grid
from roofline.options.groups import Degrees, Money
from roofline.options.keywords import completed, part
from roofline.parallelism.layout import Layout
from roofline.prediction.fleet import layout_of
from roofline.prediction.layout_search import best_layouts
from roofline.prediction.recording import Recording
from roofline.prediction.request import Request
from roofline.program.phases import Phase
from roofline.sweeps.columns import WORDS, columns_of, needed
from roofline.sweeps.parts import Part
from roofline.tape.tape import Tape

Places = NDArray[np.int64]
"""Which points of a grid, by their number."""

_LETTERS = ("batch", "prompt", "generate", "context")


@dataclass(slots=True)
class PartRows:
    """The points of a part: what was asked at each, what was found, and why there is nothing where there is nothing.

    Arrays of all points: ``values``, of axes and of lengths that were left open; ``told``, words; ``found``, results.
    """

    part: Part
    values: dict[str, Grid]
    told: dict[str, NDArray[np.object_]]
    found: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, its: Part) -> PartRows:
        """Every point of a part's grid, evaluated."""
        names, axes = zip(*its.axes, strict=True)
        grids = np.meshgrid(*(np.array(axis, dtype=np.float64) for axis in axes), indexing="ij")
        values = {name: np.full(grids[0].size, np.nan) for name in _LETTERS}
        values |= {name: grid.ravel() for name, grid in zip(names, grids, strict=True)}
        rows = cls(its, values, {name: np.full(grids[0].size, None, dtype=object) for name in WORDS})
        rows.told["model"][:], rows.told["hardware"][:] = its.model, its.hardware
        if its.layout is not None:
            rows.told["layout"][:] = ", ".join(f"{flag} {degree}" for flag, degree in its.layout) or "one device"
        rows.found["devices"] = np.full(grids[0].size, np.nan)
        for layout, places in rows._by_layout().items():
            rows._evaluate(layout, np.concatenate(places))
        return rows

    def _by_layout(self) -> dict[Layout, list[Places]]:
        """The places of each layout; points of lengths or batches that are refused say so and are left out."""
        names = [name for name, _ in self.part.axes if name != "batch"]
        every = np.arange(len(self.values["batch"]))
        lengths = np.stack([self.values[name] for name in names]) if names else np.zeros((1, len(every)))
        kinds, kind_of = np.unique(lengths, axis=1, return_inverse=True)
        found: dict[Layout, list[Places]] = {}
        for kind in range(kinds.shape[1]):
            places = every[kind_of.ravel() == kind]
            try:
                request = self.part.request(**dict(zip(names, map(int, kinds[:, kind]), strict=False)))
                chosen = self._chosen(request, self.values["batch"][places])
            except RooflineError as failure:
                self.told["refused"][places] = str(failure)
                continue
            self._fill(request, places)
            for layout, own in chosen.items():
                found.setdefault(layout, []).append(places[own])
        return found

    def _chosen(self, request: Request, batches: Grid) -> dict[Layout, Any]:
        """For each layout, at which of these batches it is taken."""
        if self.part.layout is not None:
            degrees = part(Degrees, completed(Degrees, dict(self.part.layout), "layouts"))
            fixed = layout_of(degrees, request.fleet)
            return {fixed or self._too_few(request): np.ones(len(batches), dtype=bool)}
        if not request.fleet.counted:
            return {Layout(): np.ones(len(batches), dtype=bool)}
        best = best_layouts(request, [int(batch) for batch in batches])
        return {layout: np.array([best[int(batch)] == layout for batch in batches]) for layout in set(best.values())}

    def _too_few(self, request: Request) -> NoReturn:
        degrees = ", ".join(f"{flag} {degree}" for flag, degree in self.part.layout or ())
        msg = f"layout {degrees}: does not make up the {request.fleet.count} devices of {self.part.hardware}"
        raise UsageError(msg)

    def _fill(self, request: Request, places: Places) -> None:
        """What was left open, as it is taken."""
        work = request.workload
        taken = {"context": work.context} if work.context is not None else {"generate": work.generate}
        if work.context is None or work.decoder_start is not None:
            taken["prompt"] = work.prompt
        for name, value in taken.items():
            self.values[name][places] = value
        self.told["dtype"][places] = request.recipe.name
        self.told["engine"][places] = request.engine.name
        self.told["provenance"][places] = f"{request.constants.provenance} {request.constants.name}"

    def _evaluate(self, layout: Layout, left: Places) -> None:
        """Record at the first point that is left, play wherever that holds, until none is left."""
        while len(left):
            names = [name for name, _ in self.part.axes]
            point = {name: int(self.values[name][left[0]]) for name in names}
            try:
                request = self.part.request(**point)
                recording = Recording.of(request, layout)
                results = recording.results()
                tape = recording.tape({name: results[name] for name in needed(results, self.part.keep)})
            except RooflineError as failure:
                self.told["refused"][left[:1]] = str(failure)
                left = left[1:]
                continue
            left = left[~self._play(request, layout, tape, left)]

    def _play(self, request: Request, layout: Layout, tape: Tape, places: Places) -> NDArray[np.bool_]:
        """Fill in the results where a recording holds; which of the places these are, the first one at least."""
        asked = {letter.name: self.values[letter.name][places] for letter in tape.letters}
        holds = tape.holds(**asked)
        assert holds[0], "a recording holds where it was made"
        held = places[holds]
        found = tape(**{name: values[holds] for name, values in asked.items()})
        generated = self.values["generate"][held] - 1 if request.workload.context is None else 1
        steps = {str(phase): generated if phase is Phase.DECODE else 1 for phase in request.phases}
        devices = int(layout.devices)
        made = columns_of(found, steps, self._usd_per_h(devices)) | {"devices": float(devices)}
        for name, column in made.items():
            if name in self.part.keep or name == "devices":
                self._put(name, held, np.asarray(column))
        self.told["layout"][held] = str(layout)
        return holds

    def _put(self, name: str, places: Places, column: Any) -> None:
        if name not in self.found:
            text = column.dtype.kind not in "fib"
            empty = np.full(len(self.values["batch"]), None if text else np.nan, dtype=object if text else np.float64)
            self.found[name] = empty
        self.found[name][places] = column

    def _usd_per_h(self, devices: int) -> float | None:
        """What the devices cost together. [USD/h]"""
        asked = {"prices": self.part.prices, "price_kind": self.part.price_kind}
        own = own_prices(part(Money, completed(Money, asked, "sweep")))
        offer = pick_offer(offers_of(load_system(self.part.hardware), own), self.part.price_kind)
        return None if offer is None else offer.total_usd(devices)
