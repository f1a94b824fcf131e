"""What a simulated run costs: the price of its devices for its makespan, all of them kept until the last token."""

from __future__ import annotations

from pathlib import Path

from roofline.buying.economics import Ownership
from roofline.buying.prices import own_prices
from roofline.buying.serving_costs import Terms, hourly_cost
from roofline.buying.sizing import as_sold
from roofline.hardware.spec import HardwareSpec
from roofline.options.edits import edits_by_room
from roofline.options.verbs import JobOptions
from roofline.prediction.request import Hardware
from roofline.serving.hardware_choice import read_hardware
from roofline.simulation.job import JobCost


def job_cost(hardware: Hardware, devices: int, asked: JobOptions) -> JobCost:
    """The cost of an hour of so many devices, whole shapes of what is sold; energy of what is owned at the TDP."""
    name = hardware if isinstance(hardware, str | HardwareSpec) else str(_named(hardware))
    terms = Terms(asked["price_kind"], own_prices(asked), Ownership.of(asked))
    (sold,) = as_sold(read_hardware([name], edits_by_room(asked["set"] or {})["hardware"]), terms)
    found = hourly_cost(sold, devices, sold.device.tdp or 0.0, terms)
    if isinstance(found, str):
        return JobCost(None, problem=found)
    offer, hourly = found
    return JobCost(float(hourly.at(1.0)), price=offer.words())


def _named(hardware: Hardware) -> Path | str:
    return hardware if isinstance(hardware, Path | str) else hardware.name
