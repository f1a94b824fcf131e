"""How people read the serving of networks that generate nothing: a pass, its latency, documents or images a second."""

from __future__ import annotations

from roofline.buying.serving_costs import ServingCost
from roofline.buying.terms import Terms
from roofline.reports.prediction import quantity
from roofline.serving.operating_points import OperatingPoint
from roofline.units import format_figures

MODELLED = (
    "modelled: passes of the batch one after the other, always full, of documents of like length; latency is the mean "
    "wait: half a pass, until the one that runs ends, and a pass; no queueing, no percentiles, no network"
)
POWER = "power: assumed to rise with MFU and MBU from 15 % of the TDP, never above it; per kWh with the PUE"


def columns(reads: str) -> tuple[str, ...]:
    """The columns of an operating point, behind its batch."""
    return ("latency", "band", "pass", "band", f"{reads}/s", "band", "device", "MFU", "MBU", "power", "per kWh",
            "bound by")  # fmt: skip


def rates(point: OperatingPoint) -> tuple[str, ...]:
    """What is read in a second by all, the band of that, and by one device."""
    rate = point.requests_per_s
    band = f"{format_figures(rate.low)} to {format_figures(rate.high)}"
    return format_figures(rate.value), band, format_figures(point.device_tokens_per_s)


def priced_by(reads: str) -> tuple[int, str, str]:
    """How many of what is read, or made, have a price that people compare: a number, in words, as a letter.

    >>> priced_by("images"), priced_by("generated images")
    ((1000000, 'million', 'M'), (1000, 'thousand', 'k'))
    """
    return (1000, "thousand", "k") if reads.startswith("generated") else (1_000_000, "million", "M")


def price_of(usd_per_million: float, reads: str) -> float:
    """The cost of so many. [USD]"""
    return usd_per_million * priced_by(reads)[0] / 1e6


def money(cost: ServingCost, terms: Terms) -> tuple[str, ...]:
    """What so many cost at each utilisation; of documents, what a million of their tokens costs too."""
    tokens = cost.reads == "documents"
    return tuple(
        f"{format_figures(price_of(cost.each(u), cost.reads))}{f' / {format_figures(cost.input(u))}' if tokens else ''}"
        for u in terms.utilizations
    )


def money_title(reads: str) -> str:
    """What stands above those costs."""
    what = "documents / tokens read" if reads == "documents" else reads
    return f"USD per {priced_by(reads)[1]} {what}"


def front_cells(reads: str) -> tuple[str, ...]:
    """What the front of cost against the time of a pass is headed by, behind the batch."""
    return "pass", "band", "latency", f"USD/{priced_by(reads)[2]} {reads}"


def waits(point: OperatingPoint) -> str:
    """The times of an operating point in words."""
    return f"latency {quantity(point.ttft.value, 'time_s')}, a pass {quantity(point.tpot.value, 'time_s')}"
