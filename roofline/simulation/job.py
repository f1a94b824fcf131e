"""What a run of requests costs: hardware by the hour for as long as it takes."""

from __future__ import annotations

from typing import Any

from roofline.classes import frozen

_HOUR = 3600.0


@frozen
class JobCost:
    """Money of an hour of all devices, None where there is no price of them and ``problem`` says why.

    ``price`` says what the hour follows from.
    """

    usd_per_h: float | None
    price: str = ""
    problem: str = ""

    def usd(self, seconds: float) -> float | None:
        """Money for so long, parts of an hour as parts. [USD]

        >>> JobCost(20.0).usd(1800.0)
        10.0
        """
        return None if self.usd_per_h is None else self.usd_per_h * seconds / _HOUR

    def beside(self, other: JobCost) -> JobCost:
        """Both together, without money where there is no price of one of them.

        >>> JobCost(20.0, "rent").beside(JobCost(None, problem="no price of l4"))
        JobCost(usd_per_h=None, price='', problem='no price of l4')
        """
        if self.usd_per_h is None or other.usd_per_h is None:
            return JobCost(None, problem=self.problem or other.problem)
        price = " and ".join(dict.fromkeys((self.price, other.price)))
        return JobCost(self.usd_per_h + other.usd_per_h, price)

    def to_dict(self, seconds: tuple[float, float, float], generated: int) -> dict[str, Any]:
        """As JSON has it: of a makespan and the ends of its band, fast and slow, and all tokens generated in it."""
        whole, fast, slow = (self.usd(each) for each in seconds)
        return {
            "usd_per_h": self.usd_per_h, "usd": whole, "usd_low": fast, "usd_high": slow,
            "usd_per_million_output": None if whole is None else whole / generated * 1e6,
            "price": self.price or None, "problem": self.problem or None,
        }  # fmt: skip
