"""What times are divided by: the peaks and the bandwidth of a device, of several side by side, or in words."""

from __future__ import annotations

from typing import Protocol

from roofline.hardware.fields import Unit
from roofline.number import Number


class Rates(Protocol):
    """A device to timing: its data sheet, a stack of devices, a symbolic machine, a what-if. [FLOP/s, B/s]

    Units, clock and cache are asked for by the kernel terms of constants alone; 0 where a sheet does not say.
    """

    @property
    def name(self) -> str:
        """What an error calls it."""

    @property
    def bandwidth(self) -> Number:
        """Bandwidth of device memory. [B/s]"""

    @property
    def unit_count(self) -> Number:
        """How many processors blocks of a kernel are spread over."""

    @property
    def cycles_per_s(self) -> Number:
        """The clock of the processors. [Hz]"""

    @property
    def last_cache(self) -> Number:
        """The capacity of the last cache before device memory. [B]"""

    def contraction_unit(self, dtype: str) -> tuple[Unit, Number]:
        """The unit that contracts in ``dtype``, and its dense peak. Raises WorkloadError where it cannot. [FLOP/s]"""

    def work_rate(self, unit: Unit, dtype: str) -> Number:
        """The rate of work beside the contractions: of its own unit, else of the vector unit. [FLOP/s]"""
