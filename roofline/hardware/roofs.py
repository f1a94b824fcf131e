"""The roofline of a device: its roofs, and the ridge point, the arithmetic intensity where they meet.

Source: Williams, Waterman and Patterson 2009, Roofline: an insightful visual performance model, CACM 52(4).
"""

from __future__ import annotations

from roofline.classes import frozen
from roofline.errors import SpecError
from roofline.hardware.spec import HardwareSpec
from roofline.number import Number, minimum


@frozen
class Ceiling:
    """A roof: its name and its rate, FLOP/s for compute and B/s for bandwidth."""

    name: str
    rate: float

    def __post_init__(self) -> None:
        if not self.rate > 0:
            msg = f"ceiling {self.name}: rate {self.rate} is not positive"
            raise SpecError(msg)


@frozen
class Roofline:
    """A compute ceiling over a bandwidth ceiling.

    >>> roof = Roofline(Ceiling("matrix bf16", 1000.0), Ceiling("hbm", 10.0))
    >>> roof.ridge_point, roof.attainable(50.0), roof.attainable(500.0)
    (100.0, 500.0, 1000.0)
    """

    compute: Ceiling
    bandwidth: Ceiling

    @classmethod
    def of(cls, hardware: HardwareSpec, dtype: str) -> Roofline:
        """The data sheet's roofline for contractions in ``dtype``. Raises WorkloadError if the device lacks it."""
        unit, rate = hardware.contraction_unit(dtype)
        memory = next(iter(hardware.memory))
        return cls(Ceiling(f"{unit} {dtype}", rate), Ceiling(memory, hardware.bandwidth))

    @property
    def ridge_point(self) -> float:
        """The intensity where both ceilings bind. [FLOP/B]"""
        return self.compute.rate / self.bandwidth.rate

    def attainable(self, intensity: Number) -> Number:
        """The highest rate at an arithmetic intensity. [FLOP/s from FLOP/B]"""
        return minimum(self.compute.rate, self.bandwidth.rate * intensity)
