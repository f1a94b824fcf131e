"""What a buyer may not exceed: a budget, and the power that a site has."""

from __future__ import annotations

from collections.abc import Callable

from roofline.classes import frozen
from roofline.errors import UnitError, UsageError, shown
from roofline.options import groups
from roofline.options.values import read_value
from roofline.units import format_figures, format_quantity, parse_quantity


@frozen
class Limits:
    """The most that an order may cost and draw; None is no limit.

    ``usd`` is to pay for a purchase, or for the rent of the years over which a purchase is paid off; ``usd_per_h`` is
    what an hour under load costs; ``watts`` is the power of the site with all devices at their TDP.
    """

    usd: float | None = None
    usd_per_h: float | None = None
    watts: float | None = None

    def __post_init__(self) -> None:
        for name, value, example in (
            ("budget", self.usd, "150kUSD"), ("budget", self.usd_per_h, "20USD/h"), ("power", self.watts, "40kW"),
        ):  # fmt: skip
            if value is not None and not 0 < value < float("inf"):
                msg = f"{name} {value:g}: expected one above 0 such as {example}"
                raise UsageError(msg)

    @classmethod
    def of(cls, asked: groups.Limits) -> Limits:
        """What options ask for, in USD and W or with a unit. Raises UsageError."""
        watts = None if asked["power"] is None else read_value("power", asked["power"], "power_w")
        budget = asked["budget"]
        if isinstance(budget, str) and budget.rstrip().endswith("/h"):
            return cls(usd_per_h=read_value("budget", budget, "usd_per_h"), watts=watts)
        return cls(usd=None if budget is None else _sum(budget), watts=watts)

    def limited(
        self, to_pay: float | None, usd_per_h: float | None, watts: float | None
    ) -> list[tuple[str, float | None, float, Callable[[float], str]]]:
        """Of what is limited: the verb, the figure (None where it is not known), the limit, and how it is written."""
        pairs = (
            ("cost", to_pay, self.usd, _usd),
            ("cost", usd_per_h, self.usd_per_h, _usd_per_h),
            ("draw", watts, self.watts, _watts),
        )
        return [(verb, value, limit, words) for verb, value, limit, words in pairs if limit is not None]

    @property
    def words(self) -> str:
        """In a few words; empty where there is none."""
        told = [
            f"budget {_usd(self.usd)}" if self.usd is not None else "",
            f"budget {_usd_per_h(self.usd_per_h)}" if self.usd_per_h is not None else "",
            f"power {_watts(self.watts)}" if self.watts is not None else "",
        ]
        return ", ".join(word for word in told if word)

    def to_dict(self) -> dict[str, float | None]:
        """As JSON has it."""
        return {"budget_usd": self.usd, "budget_usd_per_h": self.usd_per_h, "power_limit_w": self.watts}


def _sum(budget: str | float) -> float:
    if not isinstance(budget, str):
        return float(budget)
    try:
        return parse_quantity(budget, "usd")
    except UnitError:
        msg = f"budget {shown(budget)}: expected a sum such as 150kUSD, or a rent such as 20USD/h"
        raise UsageError(msg) from None


def _usd(value: float) -> str:
    return f"{value:,.0f} USD"


def _usd_per_h(value: float) -> str:
    return f"{format_figures(value)} USD/h"


def _watts(value: float) -> str:
    return format_quantity(value, "power_w")
