"""What training costs on hardware: device-hours from forward and backward counts, times its price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

from roofline.buying.economics import HourlyCost
from roofline.buying.prices import Offer
from roofline.buying.serving_costs import Terms, hourly_cost
from roofline.buying.training_runs import TrainingRun, state_bytes, training_run
from roofline.calibration.constants import ConstantSet
from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.options.values import read_tokens
from roofline.options.verbs import CompareOptions
from roofline.serving.batch_sweep import constants_for
from roofline.serving.hardware_choice import Hardware
from roofline.serving.scenario import Question
from roofline.timing.energy import busy_power
from roofline.timing.machine import Machine
from roofline.units import format_quantity

SEQUENCE = 4096
"""Tokens of a sequence in training, where the model takes as many."""


@frozen
class TrainingCost:
    """A run on hardware: device-hours with their band; money where there is a price, else ``problem`` says why. [USD]

    ``usd_six_nd`` is what 6 N D (4 N D with frozen weights) would cost at the same rate of FLOPs.
    """

    hardware: Hardware
    run: TrainingRun | None
    offer: Offer | None = None
    usd: float | None = None
    problem: str = ""

    @property
    def usd_six_nd(self) -> float | None:
        """The rule of thumb's cost. [USD]"""
        return None if self.usd is None or self.run is None else self.usd * self.run.six_nd / self.run.flops

    @property
    def usd_per_million(self) -> float | None:
        """Cost of a million tokens trained on. [USD]"""
        return None if self.usd is None or self.run is None else self.usd / self.run.tokens * 1e6

    def to_dict(self) -> dict[str, Any]:
        """The cost as JSON."""
        run, price = self.run, self.offer
        hours = {} if run is None else {
            "flops": run.flops, "six_nd": run.six_nd, "mfu": run.mfu, "device_hours": run.device_hours,
            "device_hours_low": run.low_s / 3600, "device_hours_high": run.high_s / 3600,
        }  # fmt: skip
        money = {"usd": self.usd, "usd_six_nd": self.usd_six_nd, "usd_per_million_tokens": self.usd_per_million}
        return {"hardware": self.hardware.name, **hours, **money, "price": price.words() if price else None,
                "problem": self.problem or None}  # fmt: skip


def price_training(
    question: Question, hardware: Sequence[Hardware], terms: Terms, asked: CompareOptions
) -> tuple[TrainingCost, ...]:
    """The cost of the run that options ask for on each hardware, the cheapest first; what has no price comes last.

    Empty where they ask for none. Raises UsageError for a number of tokens out of range.
    """
    if asked["train"] is None:
        return ()
    tokens, frozen = read_tokens("train", asked["train"]), asked["frozen"]
    which = constants_for(question)
    found = [_cost(question, each, terms, tokens, which, frozen=frozen) for each in hardware]
    return tuple(sorted(found, key=lambda cost: (cost.usd is None, cost.usd or 0.0, cost.hardware.name)))


def _cost(
    question: Question,
    hardware: Hardware,
    terms: Terms,
    tokens: float,
    which: Callable[[Hardware], ConstantSet],
    *,
    frozen: bool,
) -> TrainingCost:
    device, sequence = hardware.device, min(SEQUENCE, question.model.lengths.positions)
    each, capacity = state_bytes(question.model, frozen=frozen) / hardware.count, device.capacity
    if capacity is not None and each > capacity:
        return TrainingCost(hardware, None, problem=_too_large(each, capacity, hardware.count, frozen=frozen))
    try:
        dtype = device.default_dtype()
        machine = Machine(device, which(hardware).for_dtypes((dtype,)), "graph")
        run = training_run(question.model, machine, tokens=tokens, dtype=dtype, sequence=sequence, frozen=frozen)
    except WorkloadError as failure:
        return TrainingCost(hardware, None, problem=str(failure))
    watts = busy_power(device.tdp or 0.0, run.mfu, 0.0)
    priced = hourly_cost(hardware, hardware.count, watts, terms)
    if isinstance(priced, str):
        return TrainingCost(hardware, run, problem=priced)
    offer, hourly = priced
    return TrainingCost(hardware, run, offer, run_usd(run, hourly, offer.shapes(hardware.count) * offer.devices))


def _too_large(each: float, capacity: float, count: int, *, frozen: bool) -> str:
    """Why training does not fit, with the fewest devices whose memories hold its states."""
    held = "frozen weights alone" if frozen else "weights, gradients and Adam's states alone, 16 B a parameter,"
    need, room = (format_quantity(size, "bytes") for size in (each, capacity))
    least = ceil(each * count / capacity)
    spread = f" on each of {count} devices, spread evenly" if count > 1 else ""
    return f"training does not fit: {held} take {need} of {room}{spread}; {least} devices at least"


def run_usd(run: TrainingRun, hourly: HourlyCost, devices: int) -> float:
    """Money for the hours that ``devices``, all of them loaded, take for a run. [USD]"""
    return run.device_hours / devices * float(hourly.at(1.0))
