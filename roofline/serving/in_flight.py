"""How each layout of a replica serves so many requests in flight over all replicas, and which serves most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.number import Grid
from roofline.parallelism.layout import Layout
from roofline.serving.batch_sweep import curves_in_flight
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import Hardware
from roofline.serving.scenario import Question
from roofline.timing.energy import mean_power
from roofline.timing.timing import PARTS


def served_in_flight(
    question: Question, its: Hardware, requests: Grid, generate: int, only: Layout | None = None
) -> list[LayoutInFlight]:
    """Each layout of a replica, or ``only`` one, with so many requests in flight.

    Raises RooflineError where none can serve them.
    """
    curves = curves_in_flight(question, its, [int(many) for many in requests], only)
    if served := [LayoutInFlight(curve, requests, generate) for curve in curves if curve.state is not None]:
        return served
    none = f"layout {only}: is none of a replica of {question.model.name} on {its.name}"
    raise WorkloadError(curves[0].problem if curves else none)


@frozen(eq=False)
class LayoutInFlight:
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
    def admitted(self) -> NDArray[np.bool_]:
        """Where a group has no more sequences than were stated; stages share what a scheduler has."""
        assert self.curve.running is not None
        stated = self.curve.running.sequences
        most = np.inf if stated is None else max(1, stated // int(self.curve.split.pp))
        return np.asarray(self.sequences <= most)

    @property
    def runs(self) -> Grid:
        """Where every group of a busy replica has a request, none waits, and the steps take all prompts in."""
        every = (self.curve.groups == 1) | (self.requests >= self.groups)
        return np.asarray(every & self.admitted & (self.curve.of("sustained") > 0))

    @property
    def merit(self) -> Grid:
        """By which the best layout is chosen: what fits first, then the most requests per second."""
        served = self.rate * np.where(self.fits == 0, 1e-30, 1.0)
        return np.where(self.runs, served, np.where(self.admitted, -1.0, 1e-60 * served))

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
            stated = self.curve.running.sequences if self.curve.running else None
            most = held.most(room)
            limit = most if stated is None else min(most, max(1, stated // int(self.curve.split.pp)))
            found["max_batch"] = np.full(size, float(limit * self.groups))
        return found
