"""How one replica serves, at every batch; or two pools of replicas that share the work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.calibration.constants import ConstantSet
from roofline.classes import frozen
from roofline.compression.recipes import Recipe
from roofline.number import Grid
from roofline.parallelism.layout import Layout
from roofline.serving.continuous_batching import SteadyState
from roofline.serving.hardware_choice import Hardware
from roofline.serving.kv_cache_transfer import HandOver
from roofline.serving.occupancy import Occupancy
from roofline.serving.pools.encode_pool import EncodeDeployment
from roofline.serving.scenario import Running
from roofline.timing.engine_choice import caution


@frozen
class Served:
    """What serves, by which rows are told apart: hardware by name; the dtype where several are compared; and, where
    prefill and decode have pools of their own, the hardware that prefills.
    """

    hardware: str = ""
    dtype: str = ""
    prefill_on: str | None = None

    @property
    def mixed(self) -> Served:
        """The same hardware in mixed steps; what decodes, where another prefills."""
        return replace(self, prefill_on=None)

    def __str__(self) -> str:
        apart = self.prefill_on not in (None, self.hardware)
        whose = f"{self.prefill_on} to {self.hardware}" if apart else self.hardware
        return " ".join(word for word in (whose, self.dtype, "pools" if self.prefill_on is not None else "") if word)


@frozen(eq=False)
class Curve:
    """How one replica serves, at every batch: row ``row`` of a state. ``most`` sequences fit, None if not known.

    ``generated``: tokens of a mean answer. ``who`` tells it from the others that are compared. ``problem`` says why
    hardware serves nothing. ``split``: the layout of a replica. ``held``: what a device of one holds. ``pools``: what
    it consists of where prefill and decode have devices of their own. ``running``: the engine. ``kernels``: what to
    know of the libraries that run. ``reads``: what requests are that generate nothing. ``below``: what tiers below the
    devices' memory do. ``encoders``: what encodes images and sound, where replicas do not.
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
    split: Layout = Layout()
    problem: str = ""
    who: Served = Served()
    held: Occupancy | None = None
    pools: Pools | None = None
    running: Running | None = None
    kernels: str = ""
    reads: str = ""
    below: str = ""
    encoders: EncodeDeployment | None = None

    @property
    def dtype(self) -> str:
        """The recipe by name."""
        return self.recipe.name if self.recipe else "-"

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader of any figure should know of the device, and of the engine on it."""
        young = caution(self.running.engine, self.hardware.device) if self.running else ""
        apart = f"{self.hardware.name}: {self.encoders.words}" if self.encoders else ""
        return (*self.hardware.device.cautions, *(told for told in (young, self.kernels, self.below, apart) if told))

    def notes_at(self, sequences: int | None) -> tuple[str, ...]:
        """What a reader of the figures should know where so many are in flight in a replica."""
        sides = (self.pools.prefill.curve, self.pools.decode.curve) if self.pools else (self,)
        if sequences is None or sides[-1].running is None:
            return self.cautions
        more = sides[-1].running.more_than_usual(-(-sequences // int(sides[-1].split.dp)))
        return (*self.cautions, *([more] if more else []))

    @property
    def prompt_cache(self) -> float:
        """What a device of a replica holds of the cache of a mean prompt that it has taken in. [B]"""
        return self.held.prompt if self.held else 0.0

    @property
    def groups(self) -> int:
        """In how many groups a replica decodes its sequences: one of each stage's on each data-parallel rank."""
        return groups_of(self.split)

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


def groups_of(layout: Layout) -> int:
    """In how many groups a replica of a layout decodes its sequences.

    >>> groups_of(Layout(tp=2, pp=4))
    4
    """
    return int(layout.dp * layout.pp)


@frozen(eq=False)
class Pool:
    """So many replicas of a curve that all prefill, or all decode. [requests/s]

    ``column`` is the batch of each, None where it is that of the whole; ``requests_per_s`` are those of all of them.
    """

    curve: Curve
    replicas: int
    requests_per_s: Grid
    column: int | None = None

    @property
    def devices(self) -> int:
        """The devices of all replicas."""
        return self.replicas * self.curve.devices

    def at(self, column: int) -> int:
        """Its own column where the whole is at ``column``."""
        return column if self.column is None else self.column

    def to_dict(self, column: int, rate: float) -> dict[str, Any]:
        """The pool as JSON, where the whole is at ``column`` and serves ``rate`` requests per second."""
        own, state = self.at(column), self.curve.state
        assert state is not None
        serves = float(self.requests_per_s[own])
        return {
            "hardware": self.curve.hardware.name, "dtype": self.curve.dtype, "layout": self.curve.layout,
            "replicas": self.replicas, "devices": self.devices, "batch": int(state.batches[own]),
            "step_s": float(self.curve.of("tpot_s")[own]), "requests_per_s": serves, "utilization": rate / serves,
            "mfu": float(self.curve.of("mfu")[own]), "mbu": float(self.curve.of("mbu")[own]),
        }  # fmt: skip


@frozen(eq=False)
class Pools:
    """Replicas that prefill, replicas that decode, and the hand-over between them.

    ``encode_s``: what a request waits for what encodes before, on devices of its own. [s]
    """

    prefill: Pool
    decode: Pool
    handed: HandOver
    encode_s: float = 0.0

    @property
    def layout(self) -> str:
        """Both in a few words."""
        own = ((pool.replicas, pool.curve.layout) for pool in (self.prefill, self.decode))
        (p, of_p), (d, of_d) = own
        return f"{p} x {of_p} prefill, {d} x {of_d} decode"

    @property
    def handed_s(self) -> float:
        """The time of the hand-over of the prompts of a step. [s]"""
        assert self.prefill.column is not None
        return float(self.handed.time_s[self.prefill.column])

    def to_dict(self, batch: int) -> dict[str, Any]:
        """The pools as JSON, where ``batch`` sequences are decoded; the time to the first token in its parts.

        What encodes before, on devices of its own, is none of them.
        """
        assert self.decode.curve.state is not None
        column = int(np.searchsorted(self.decode.curve.state.batches, batch))
        place = self.prefill.at(column)
        rates = {name: float(pool.requests_per_s[pool.at(column)]) for name, pool in self._named}
        rate, handed = min(rates.values()), self.handed
        step = float(self.prefill.curve.of("tpot_s")[place])
        return {
            **{name: pool.to_dict(column, rate) for name, pool in self._named},
            "bound_by": min(rates, key=lambda name: rates[name]),
            "hand_over": {
                "bytes": handed.bytes, "link": handed.link, "time_s": self.handed_s,
                "low_s": self.handed_s * float(handed.low[place]), "high_s": self.handed_s * float(handed.high[place]),
            },
            "ttft_parts": {"wait_s": step / 2, "prefill_s": step, "hand_over_s": self.handed_s},
        }  # fmt: skip

    @property
    def _named(self) -> tuple[tuple[str, Pool], tuple[str, Pool]]:
        return ("prefill", self.prefill), ("decode", self.decode)
