"""What is asked of hardware at once: requests that arrive in a second, or requests that are in flight."""

from __future__ import annotations

from math import ceil, exp, isfinite, lgamma, log, sqrt
from typing import Any, TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.number import Grid
from roofline.options import groups
from roofline.options.values import read_value
from roofline.serving.curve import Curve
from roofline.units import format_figures

HEADROOM = 0.2
"""The part of the capacity that stays free where requests arrive as they like, and nobody simulates their queue."""

SELDOM = 0.05
"""In this part of the moments more users ask at once than hardware is sized for."""

MOST_USERS = 10_000_000


@frozen
class Arriving:
    """Requests that arrive in a second, and the part of the capacity that stays free, since queues are not modelled."""

    requests_per_s: float
    headroom: float = HEADROOM

    def __post_init__(self) -> None:
        if not 0 < self.requests_per_s <= 1e9:
            msg = f"load {self.requests_per_s:g}: expected requests per second above 0 such as 50req/s"
            raise UsageError(msg)
        _check_headroom(self.headroom)

    @property
    def amount(self) -> float:
        """How much is asked. [requests/s]"""
        return self.requests_per_s

    def served(self, curve: Curve) -> Grid:
        """How much of it one replica serves, at every batch. [requests/s]"""
        return curve.of("requests_per_s")

    def slower(self, slack: Grid) -> Grid:
        """By what factor that falls where all times are ``slack`` times as long."""
        return slack

    def replicas(self, capacity: float) -> int:
        """How many replicas of so much capacity serve it.

        >>> Arriving(50, headroom=0.2).replicas(10.0)
        7
        """
        return _replicas(self.amount, capacity, self.headroom)

    @property
    def words(self) -> str:
        """In a few words."""
        return f"load {self.requests_per_s:g} req/s, {_kept(self.headroom)}"

    def told(self, amount: float) -> str:
        """So much of it."""
        return f"{format_figures(amount)} req/s"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"load_requests_per_s": self.requests_per_s, "concurrency": None, "headroom": self.headroom}


@frozen
class InFlight:
    """Requests in flight at once: those of clients that wait for an answer before they ask anew, or of many users.

    ``users``, of whom each has one in flight for the part ``activity`` of the time, by themselves.
    """

    requests: int
    headroom: float = 0.0
    users: int | None = None
    activity: float = 1.0

    def __post_init__(self) -> None:
        _whole("concurrency", self.requests)
        _check_headroom(self.headroom)

    @classmethod
    def of_users(cls, users: int, activity: float, headroom: float = 0.0) -> InFlight:
        """The requests in flight that so many users exceed in one moment of twenty alone.

        How many are active at once is binomial. Raises UsageError.

        >>> InFlight.of_users(30, 0.2).requests, InFlight.of_users(30, 1.0).requests
        (10, 30)
        """
        _whole("users", users)
        if not 0 < activity <= 1:
            msg = (
                f"activity {activity:g}: expected the part of the time in which a user waits for an answer, such as 0.2"
            )
            raise UsageError(msg)
        return cls(max(1, _seldom_exceeded(users, activity)), headroom, users, activity)

    @property
    def amount(self) -> float:
        """How much is asked. [requests]"""
        return float(self.requests)

    def served(self, curve: Curve) -> Grid:
        """How many one replica has in flight, at every batch: by Little's law, those that it reads among them."""
        return curve.of("requests_per_s") * (curve.of("ttft_s") + (curve.generated - 1) * curve.of("tpot_s"))

    def slower(self, slack: Grid) -> Grid:
        """By what factor that falls where all times are ``slack`` times as long: by none."""
        return np.ones_like(slack)

    def replicas(self, capacity: float) -> int:
        """How many replicas of so much capacity serve it."""
        return _replicas(self.amount, capacity, self.headroom)

    @property
    def words(self) -> str:
        """In a few words."""
        told = f"{self.requests:,} requests in flight"
        if self.users is not None and self.activity == 1:
            told += f" of {self.users:,} users"
        elif self.users is not None:
            told += (
                f", which {self.users:,} users at {self.activity:.3g} activity exceed in {SELDOM:.0%} of all moments"
            )
        return f"{told}, {_kept(self.headroom)}" if self.headroom else told

    def told(self, amount: float) -> str:
        """So much of it."""
        return f"{format_figures(amount)} in flight"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        users = {} if self.users is None else {"users": self.users, "activity": self.activity}
        return {"load_requests_per_s": None, "concurrency": self.requests, **users, "headroom": self.headroom}


Load: TypeAlias = Arriving | InFlight


def read_load(asked: groups.Load, usual: float = HEADROOM) -> Load:
    """What options ask for: a rate, clients, or users and how active they are. Raises UsageError.

    ``usual`` is the headroom of a rate where none is asked for.
    """
    ways = ("load", "concurrency", "users")
    given = [name for name in ways if asked[name] is not None]  # type: ignore[literal-required]
    if len(given) != 1:
        few = f"not {' and '.join(given)}" if given else "load is missing"
        msg = f"{few}; give one of load such as 50req/s, concurrency such as 30, and users such as 30"
        raise UsageError(msg)
    activity, headroom = asked["activity"], asked["headroom"]
    if activity is not None and given != ["users"]:
        msg = f"activity {shown(activity)}: it is that of users; give their number, such as users 30"
        raise UsageError(msg)
    rate, clients, users = asked["load"], asked["concurrency"], asked["users"]
    if isinstance(rate, str) and rate.rstrip("s ").endswith("user"):
        msg = f"load {shown(rate)}: expected a request rate such as 50req/s; users have a flag, such as --users 30"
        raise UsageError(msg)
    if rate is not None:
        return Arriving(read_value("load", rate, "requests_per_s"), usual if headroom is None else headroom)
    if clients is not None:
        return InFlight(clients, headroom or 0.0)
    assert users is not None
    return InFlight.of_users(users, 1.0 if activity is None else activity, headroom or 0.0)


def _replicas(amount: float, capacity: float, headroom: float) -> int:
    return max(1, ceil(amount / (capacity * (1 - headroom)) - 1e-9))


def _seldom_exceeded(users: int, activity: float) -> int:
    """The fewest that a binomial number exceeds with probability ``SELDOM`` at most."""
    if activity == 1:
        return users
    mean, spread = users * activity, sqrt(users * activity * (1 - activity))
    first, last = max(0, int(mean - 12 * spread - 12)), min(users, int(mean + 12 * spread + 12))
    below = 0.0
    for many in range(first, last + 1):
        ways = lgamma(users + 1) - lgamma(many + 1) - lgamma(users - many + 1)
        below += exp(ways + many * log(activity) + (users - many) * log(1 - activity))
        if below >= 1 - SELDOM:
            return many
    return last


def _whole(name: str, number: object) -> None:
    if type(number) is not int or not 1 <= number <= MOST_USERS:
        msg = f"{name} {shown(number)}: expected a whole number from 1 to {MOST_USERS:,}"
        raise UsageError(msg)


def _check_headroom(headroom: float) -> None:
    if not (isfinite(headroom) and 0 <= headroom < 1):
        msg = f"headroom {headroom:g}: expected the part of the capacity left free, from 0 to below 1"
        raise UsageError(msg)


def _kept(headroom: float) -> str:
    return f"{headroom:.0%} of the capacity kept free" if headroom else "no capacity kept free"
