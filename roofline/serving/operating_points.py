"""The batch that hardware is best run at under targets, and what it does then: the figures of all its replicas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import exp, inf, isnan, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.number import Grid
from roofline.options import groups
from roofline.options.values import read_value
from roofline.serving.curve import Curve
from roofline.units import format_quantity

_JOULES_PER_KWH = 3.6e6


@frozen
class Target:
    """The longest time that is good enough: of the mean, or of a percentile. [s]

    >>> Target.read("ttft", "p95:500ms").words("TTFT"), Target.read("tpot", 0.03).words("TPOT")
    ('p95 TTFT <= 500 ms', 'mean TPOT <= 30.0 ms')
    """

    time_s: float
    percentile: float | None = None

    @classmethod
    def read(cls, name: str, given: str | float) -> Target:
        """What an option asks for, in seconds or with a unit, behind its percentile. Raises UsageError."""
        statistic, colon, time = given.partition(":") if isinstance(given, str) else ("", "", given)
        value = read_value(name, time if colon else given, "time_s")
        if not 0 < value < float("inf"):
            msg = f"{name} {value:g}: expected a time above 0 such as 500ms"
            raise UsageError(msg)
        return cls(value, _percentile(name, statistic.strip()) if colon else None)

    @property
    def statistic(self) -> str:
        """What of the times it holds for."""
        return "mean" if self.percentile is None else f"p{self.percentile:g}"

    def words(self, name: str) -> str:
        """The target in words."""
        return f"{self.statistic} {name} <= {format_quantity(self.time_s, 'time_s')}"


def _percentile(name: str, text: str) -> float | None:
    if text == "mean":
        return None
    try:
        percentile = float(text.removeprefix("p")) if text.startswith("p") else 0.0
    except ValueError:
        percentile = 0.0
    if not 1 <= percentile <= 99.9:
        msg = f"{name} {shown(text)}: expected the mean, or a percentile from p1 to p99.9, as in p95:500ms"
        raise UsageError(msg)
    return percentile


@frozen
class Targets:
    """The longest times that are good enough; None asks for none. ``latency``: of a network that generates nothing."""

    ttft: Target | None = None
    tpot: Target | None = None
    latency: Target | None = None

    @classmethod
    def of(cls, asked: groups.Targets, latency: str | float | None = None) -> Targets:
        """What options ask for. Raises UsageError."""
        given = (("ttft", asked["ttft"]), ("tpot", asked["tpot"]), ("latency", latency))
        return cls(*(None if value is None else Target.read(name, value) for name, value in given))

    @classmethod
    def means(cls, ttft_s: float | None = None, tpot_s: float | None = None) -> Targets:
        """Mean times. [s]"""
        return cls(*(None if value is None else Target(value) for value in (ttft_s, tpot_s)))

    @property
    def ttft_s(self) -> float | None:
        """The longest time to first token. [s]"""
        return self.ttft.time_s if self.ttft else None

    @property
    def tpot_s(self) -> float | None:
        """The longest time per output token. [s]"""
        return self.tpot.time_s if self.tpot else None

    @property
    def none(self) -> bool:
        """Whether nothing is asked for."""
        return self.ttft is None and self.tpot is None and self.latency is None

    @property
    def of_means(self) -> bool:
        """Whether no percentile is asked for."""
        return all(each is None or each.percentile is None for each in (self.ttft, self.tpot, self.latency))

    @property
    def words(self) -> str:
        """The targets in words; empty without any."""
        named = (("TTFT", self.ttft), ("TPOT", self.tpot), ("latency", self.latency))
        return ", ".join(target.words(name) for name, target in named if target is not None)

    def check_means(self, verb: str) -> None:
        """Raises UsageError for a percentile, of which ``verb`` knows nothing."""
        if not self.of_means:
            msg = f"targets {self.words}: {verb} answers with means; size and simulate know percentiles"
            raise UsageError(msg)

    def check_network(self, reads: str, name: str) -> None:
        """Raises UsageError for a target that has no meaning to a network; ``reads`` is what one pass of it reads."""
        if reads and (given := "ttft" if self.ttft else "tpot" if self.tpot else ""):
            msg = f"{given}: {name} generates no tokens; give latency, the longest time until a pass has answered"
            raise UsageError(msg)
        if reads and not self.of_means:
            msg = f"targets {self.words}: the latency of {reads} is a mean; give a time such as latency 50ms"
            raise UsageError(msg)
        if not reads and self.latency:
            msg = f"latency: {name} generates tokens; give ttft and tpot"
            raise UsageError(msg)

    def excess(self, ttft_s: Any, tpot_s: Any) -> Any:
        """By what factor the worse of both exceeds its target: at most 1 where all are met."""
        pairs = ((ttft_s, self.ttft_s), (tpot_s, self.tpot_s), (ttft_s, self.latency and self.latency.time_s))
        worst: Any = np.zeros_like(np.asarray(tpot_s, dtype=np.float64))
        for value, target in pairs:
            if target is not None:
                worst = np.maximum(worst, np.asarray(value) / target)
        return worst

    def misses(self, ttft_s: float, tpot_s: float) -> list[str]:
        """What misses its target, in words."""
        pairs = (("TTFT", ttft_s, self.ttft), ("TPOT", tpot_s, self.tpot), ("latency", ttft_s, self.latency))
        return [
            f"{'' if target.percentile is None else f'{target.statistic} '}{name} {format_quantity(value, 'time_s')} > "
            f"{format_quantity(target.time_s, 'time_s')}"
            for name, value, target in pairs
            if target is not None and value > target.time_s
        ]

    def to_dict(self) -> dict[str, float | None]:
        """As JSON has it; no percentile is the mean."""
        return {
            **({"latency_s": self.latency.time_s} if self.latency else {}),
            "ttft_s": self.ttft_s,
            "ttft_percentile": self.ttft.percentile if self.ttft else None,
            "tpot_s": self.tpot_s,
            "tpot_percentile": self.tpot.percentile if self.tpot else None,
        }


@frozen
class Band:
    """An expected value and the ends of its 90 % band."""

    value: float
    low: float
    high: float


@frozen
class OperatingPoint:
    """What hardware does at one batch: times of a request, rates of all replicas, power of all devices.

    ``batch`` are the sequences in flight in one replica. Tokens per second are generated ones; ``power_w`` is None
    where the TDP is not known. ``reads``: what requests are that generate nothing; ``ttft`` is then their latency,
    ``tpot`` the time of a pass.
    """

    batch: int
    replicas: int
    devices: int
    layout: str
    ttft: Band
    tpot: Band
    requests_per_s: Band
    tokens_per_s: float
    input_part: float
    shares: Mapping[str, float]
    mfu: float
    mbu: float
    power_w: float | None
    reads: str = ""

    @property
    def user_tokens_per_s(self) -> float:
        """Tokens per second that one user sees."""
        return 1 / self.tpot.value

    @property
    def device_tokens_per_s(self) -> float:
        """Generated tokens per second of one device."""
        return self.tokens_per_s / self.devices

    def tokens_per_kwh(self, pue: float) -> float | None:
        """Generated tokens, or what is read, per kilowatt-hour of the site; None where the power is not known."""
        return None if not self.power_w else self.tokens_per_s * _JOULES_PER_KWH / (self.power_w * pue)

    @property
    def bound_by(self) -> str:
        """The largest share of the time of a step."""
        return max(self.shares.items(), key=lambda share: share[1])[0]

    def to_dict(self) -> dict[str, Any]:
        """The point as JSON: SI units; bands as low and high beside the value."""
        fields = asdict(self)
        reads = fields.pop("reads")
        first, then = ("latency_s", "pass_s") if reads else ("ttft_s", "tpot_s")
        for name, short in (("ttft", first), ("tpot", then), ("requests_per_s", "requests_per_s")):
            band = fields.pop(name)
            fields |= {short: band["value"], f"{short}_low": band["low"], f"{short}_high": band["high"]}
        if reads:
            del fields["tokens_per_s"], fields["input_part"]
            return {**fields, "device_requests_per_s": self.device_tokens_per_s, "bound_by": self.bound_by}
        rates = {"user_tokens_per_s": self.user_tokens_per_s, "device_tokens_per_s": self.device_tokens_per_s}
        return {**fields, **rates, "bound_by": self.bound_by}


def best_column(curve: Curve, targets: Targets, slack: Grid | float = 1.0) -> int | None:
    """The column with the most requests per second among those that fit and meet the targets; None without any.

    ``slack`` multiplies the times first: the band's ends say what happens if they are right.
    """
    return most_of(curve.of("requests_per_s"), curve, targets, slack)


def most_of(values: Grid, curve: Curve, targets: Targets, slack: Grid | float = 1.0) -> int | None:
    """The column with the largest value among those that fit and meet the targets; ``slack`` multiplies the times."""
    return _largest(values, _met(curve, targets, slack))


def nearest_column(curve: Curve, targets: Targets) -> int | None:
    """The column that misses the targets by the least, among those that fit."""
    return _largest(-targets.excess(curve.of("ttft_s"), curve.of("tpot_s")), curve.holds)


def standing(curve: Curve, targets: Targets) -> tuple[bool, float]:
    """By what the layouts of one hardware are ranked: whether one meets the targets, and how well.

    Requests per second and device at the best column; where none meets the targets, the less it exceeds them at the
    nearest the more: minus the factor by which it does.
    """
    if (best := best_column(curve, targets)) is not None:
        return True, float(curve.of("requests_per_s")[best]) / curve.devices
    column = nearest_column(curve, targets)
    if column is None:
        return False, -inf
    return False, -float(targets.excess(curve.of("ttft_s")[column], curve.of("tpot_s")[column]))


def least_column(curve: Curve, requests_per_s: float, targets: Targets, slack: Grid | float = 1.0) -> int | None:
    """The smallest batch that serves so many requests per second within the targets; ``slack`` multiplies the times."""
    return least_of(curve.of("requests_per_s"), requests_per_s, curve, targets, slack)


def least_of(values: Grid, least: float, curve: Curve, targets: Targets, slack: Grid | float = 1.0) -> int | None:
    """The smallest batch that has at least such a value within the targets; ``slack`` multiplies the times."""
    found = np.flatnonzero(_met(curve, targets, slack) & (values >= least * (1 - 1e-9)))
    return int(found[0]) if len(found) else None


def _met(curve: Curve, targets: Targets, slack: Grid | float) -> NDArray[np.bool_]:
    """The columns that fit and meet the targets."""
    excess = targets.excess(curve.of("ttft_s") * slack, curve.of("tpot_s") * slack)
    return np.asarray(curve.holds & (excess <= 1))


def point_at(curve: Curve, column: int, replicas: int) -> OperatingPoint:
    """The figures of ``replicas`` at a column."""
    assert curve.state is not None

    def at(name: str) -> float:
        return float(curve.of(name)[column])

    ttft, tpot, rate, watts = at("ttft_s"), at("tpot_s"), at("requests_per_s") * replicas, at("power_w")
    devices = replicas * curve.devices
    return OperatingPoint(
        batch=int(curve.state.batches[column]),
        replicas=replicas,
        devices=devices,
        layout=curve.layout,
        ttft=Band(ttft, ttft * at("ttft_low"), ttft * at("ttft_high")),
        tpot=Band(tpot, tpot * at("low"), tpot * at("high")),
        requests_per_s=Band(rate, rate / at("rate_high"), rate / at("rate_low")),
        tokens_per_s=rate * curve.generated,
        input_part=at("input_part"),
        shares={name: float(share[curve.row, column]) for name, share in curve.state.shares.items()},
        mfu=at("mfu"),
        mbu=at("mbu"),
        power_w=None if isnan(watts) else watts * devices,
        reads=curve.reads,
    )


def ratio_band(a: Band, b: Band, *, correlated: bool) -> Band:
    """The ratio of two values with its 90 % band.

    Errors of one device's constants are shared and cancel; those of two devices are taken as independent, so that their
    logarithms' spreads add as squares.

    >>> ratio = ratio_band(Band(2.0, 1.6, 2.5), Band(1.0, 0.8, 1.25), correlated=False)
    >>> round(ratio.value, 2), round(ratio.low, 2), round(ratio.high, 2)
    (2.0, 1.46, 2.74)
    """
    ratio = a.value / b.value
    if correlated:
        return Band(ratio, ratio, ratio)
    down = sqrt(log(a.value / a.low) ** 2 + log(b.high / b.value) ** 2)
    up = sqrt(log(a.high / a.value) ** 2 + log(b.value / b.low) ** 2)
    return Band(ratio, ratio * exp(-down), ratio * exp(up))


def _largest(values: Grid, among: NDArray[np.bool_]) -> int | None:
    return int(np.flatnonzero(among)[np.argmax(values[among])]) if among.any() else None
