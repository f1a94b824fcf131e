"""A part of a sweep that is of serving: continuous batching with so many requests in flight over all replicas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.errors import RooflineError, WorkloadError
from roofline.number import Grid
from roofline.options.edits import edits_by_room
from roofline.parallelism.layout import Layout
from roofline.serving.batch_sweep import curves_in_flight
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import Hardware, read_hardware
from roofline.serving.scenario import Question, read_question
from roofline.sweeps.evaluation import PartRows, Places
from roofline.sweeps.parts import Part
from roofline.timing.energy import mean_power
from roofline.timing.timing import PARTS

_MADE = (
    *("ttft_s", "tpot_s", "request_s", "tokens_per_s", "device_tokens_per_s", "requests_per_s", "low", "high"),
    *(f"share_{part}" for part in PARTS), *("weights_bytes", "kv_cache_bytes", "activation_bytes", "total_bytes"),
    *("fits", "max_batch", "energy_j", "power_w"),
)  # fmt: skip
"""Columns of results that serving has."""


def served_rows(part: Part) -> PartRows:
    """Every point of a part's grid; one that is refused says why."""
    rows = PartRows.blank(part, ("batch",))
    size = len(rows.values["batch"])
    rows.told["phase"].put(slice(None), part.phase)
    rows.found |= {name: np.full(size, np.nan) for name in _MADE}
    rows.found["bound_by"] = np.full(size, -1, np.int32)
    for kind in range(rows.kinds):
        places = np.arange(kind, size, rows.kinds)
        try:
            _serve(rows, part, places)
        except RooflineError as failure:
            rows.told["refused"].put(places, str(failure))
    return rows


def _serve(rows: PartRows, part: Part, places: Places) -> None:
    """Fill in the points of the same lengths. Raises RooflineError where all of them are refused."""
    asked = {name: int(rows.values[name][places[0]]) for name, _ in part.axes[1:]}
    work = part.request(**asked).workload
    lengths: dict[str, Any] = {"prompt": work.prompt, "generate": asked.get("generate", max(2, work.generate))}
    for name, value in lengths.items():
        rows.values.setdefault(name, np.full(len(rows.values["batch"]), np.nan))[places] = value
    edits = dict(part.edits)
    question = read_question(part.model, dtype=part.dtype, engine=part.engine, set=edits or None, **lengths)
    (its,) = read_hardware([part.hardware], edits_by_room(edits)["hardware"])
    its, only = _replica(its, part)
    requests = rows.values["concurrency"][places]
    served = served_in_flight(question, its, requests, lengths["generate"], only)
    best = np.argmax([each.merit for each in served], axis=0)
    for number, each in enumerate(served):
        each.fill(rows, places, best == number)


def served_in_flight(
    question: Question, its: Hardware, requests: Grid, generate: int, only: Layout | None = None
) -> list[Served]:
    """Each layout of a replica, or ``only`` one, with so many requests in flight.

    Raises RooflineError where none can serve them.
    """
    curves = curves_in_flight(question, its, [int(many) for many in requests], only)
    if served := [Served(curve, requests, generate) for curve in curves if curve.state is not None]:
        return served
    none = f"layout {only}: is none of a replica of {question.model.name} on {its.name}"
    raise WorkloadError(curves[0].problem if curves else none)


def _replica(its: Hardware, part: Part) -> tuple[Hardware, Layout | None]:
    """The hardware, and the layout of a replica on it that is asked for, if one is.

    Data-parallel ranks that share no experts are replicas by themselves.
    """
    if part.layout is None:
        return its, None
    asked = Layout.of(**dict(part.layout))
    if not its.fleet.counted:
        its = replace(its, count=int(asked.devices), reach=int(asked.devices))
    return its, replace(asked, dp=1) if asked.ep == 1 else asked


@frozen(eq=False)
class Served:
    """One layout of a replica at each number of requests in flight."""

    curve: Curve
    requests: Grid
    generate: int

    @property
    def groups(self) -> int:
        """Groups of sequences of all replicas, which are decoded apart."""
        return self.curve.replicas * self.curve.groups

    @property
    def busy(self) -> Grid:
        """The replicas that have requests: all, or as many as there are requests."""
        return np.minimum(self.curve.replicas, self.requests)

    @property
    def rate(self) -> Grid:
        """Of all replicas. [requests/s]"""
        return self.curve.of("requests_per_s") * self.busy

    @property
    def sequences(self) -> Grid:
        """Of the group that has most."""
        return np.maximum(np.ceil(self.requests / self.groups), 1.0)

    @property
    def held_bytes(self) -> Grid:
        """What the fullest device holds of the model. [B]"""
        held = self.curve.held
        assert held is not None
        return held.weights + held.caches(self.sequences) + held.activations(self.sequences)

    @property
    def room(self) -> float | None:
        """What the runtime leaves of a device's memory; None where that is not known. [B]"""
        capacity, running = self.curve.hardware.device.capacity, self.curve.running
        assert running is not None
        return None if capacity is None else running.reserve.room(capacity)

    @property
    def fits(self) -> Grid:
        """Where it fits, as 1; not a number where that is not known."""
        room = self.room
        return np.asarray(self.held_bytes <= room, dtype=np.float64) if room else np.full(len(self.requests), np.nan)

    @property
    def runs(self) -> Grid:
        """Where every group of a busy replica has a request, and the steps take all prompts in."""
        every = (self.curve.groups == 1) | (self.requests >= self.groups)
        return np.asarray(every & (self.curve.of("sustained") > 0))

    @property
    def merit(self) -> Grid:
        """By which the best layout is chosen: what fits first, then the most requests per second."""
        return np.where(self.runs, self.rate * np.where(self.fits == 0, 1e-30, 1.0), -1.0)

    def columns(self) -> dict[str, Grid]:
        """The columns of results."""
        of, devices = self.curve.of, self.curve.hardware.count
        ttft, tpot, steps = of("ttft_s"), of("tpot_s"), self.generate - 1
        whole = ttft + steps * tpot
        ends = {end: (ttft * of(f"ttft_{end}") + steps * tpot * of(end)) / whole for end in ("low", "high")}
        state = self.curve.state
        assert state is not None
        shares = {f"share_{name}": share[self.curve.row] for name, share in state.shares.items()}
        tokens, watts = self.rate * self.generate, self._watts()
        return {
            "ttft_s": ttft, "tpot_s": tpot, "request_s": whole, "tokens_per_s": tokens,
            "device_tokens_per_s": tokens / devices, "requests_per_s": self.rate, **ends, **shares,
            "bound_by": np.argmax([shares[f"share_{name}"] for name in PARTS], axis=0), **self._memory(),
            "power_w": watts, "energy_j": watts / self.rate, "devices": np.full(len(tokens), float(devices)),
        }  # fmt: skip

    def _watts(self) -> Grid:
        """Of all devices, those of idle replicas too. [W]"""
        devices, tdp = self.busy * self.curve.devices, self.curve.hardware.device.tdp
        idle = 0.0 if tdp is None else float(mean_power(tdp, 0.0, 0.0))
        return np.asarray(self.curve.of("power_w") * devices + idle * (self.curve.hardware.count - devices))

    def _memory(self) -> dict[str, Grid]:
        held, room, size = self.curve.held, self.room, len(self.requests)
        assert held is not None
        found = {
            "weights_bytes": np.full(size, held.weights), "kv_cache_bytes": held.caches(self.sequences),
            "activation_bytes": held.activations(self.sequences), "total_bytes": self.held_bytes, "fits": self.fits,
        }  # fmt: skip
        if room is not None:
            found["total_bytes"] = found["total_bytes"] + (self.curve.hardware.device.capacity or 0.0) - room
            found["max_batch"] = np.full(size, float(held.most(room) * self.groups))
        return found

    def fill(self, rows: PartRows, places: Places, mine: Any) -> None:
        """Write the points that are ``mine``, those at which it is the best."""
        curve, runs = self.curve, self.runs & mine
        for name, column in self.columns().items():
            rows.found[name][places[runs]] = column[runs]
        many = curve.replicas
        assert curve.recipe is not None
        assert curve.running is not None
        assert curve.constants is not None
        told = {
            "layout": f"{many} x {curve.layout}" if many > 1 else curve.layout, "dtype": curve.recipe.name,
            "engine": curve.running.engine.name, "provenance": f"{curve.constants.provenance} {curve.constants.name}",
        }  # fmt: skip
        for name, word in told.items():
            rows.told[name].put(places[runs], word)
        rows.told["refused"].put(places[mine & ~runs], self._why())

    def _why(self) -> str:
        if self.curve.groups == 1:
            return "the steps of the engine do not take in all prompts; give a larger engine.chunk"
        return f"layout {self.curve.layout}: expected a request for each of {self.groups} groups"
