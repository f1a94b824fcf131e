"""What a device draws: from its idle power up to its TDP, by how busy its peak and its memory are. Never above the TDP.

The formula: ``power = tdp * min(1, idle + compute * MFU + memory * MBU)``, with MFU = FLOPs / (time peak) and
MBU = bytes / (time bandwidth), each at most 1 counted.
"""

from __future__ import annotations

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.number import Number, maximum, minimum


@frozen
class PowerShares:
    """Parts of the TDP: what an idle device draws, what a busy peak and a busy memory add.

    Assumed, not fitted: an idle data-centre GPU draws 10 to 20 % of its TDP; prompts draw nearly all of it, decode
    steps about half to two thirds (Patel et al. 2024, Characterizing Power Management Opportunities for LLMs in the
    Cloud; Splitwise, arXiv 2311.18677). What a device really draws lies between its idle power and its TDP.
    """

    idle: float = 0.15
    compute: float = 0.85
    memory: float = 0.55

    def __post_init__(self) -> None:
        if not 0 <= self.idle <= 1 or min(self.compute, self.memory) < 0:
            msg = f"power shares {self}: expected parts of the TDP, the idle one from 0 to 1"
            raise UsageError(msg)


ASSUMED = PowerShares()


def busy_power(tdp: float, mfu: Number, mbu: Number, shares: PowerShares = ASSUMED) -> Number:
    """Power of a device at work, for numbers or arrays of utilisations. [W]

    >>> busy_power(700, mfu=0.7, mbu=0.2), busy_power(700, mfu=0.0, mbu=0.0)
    (598.5, 105.0)
    """
    wanted = shares.idle + shares.compute * _part(mfu) + shares.memory * _part(mbu)
    return tdp * minimum(1.0, wanted)


def mean_power(tdp: float, busy: Number, utilization: Number, shares: PowerShares = ASSUMED) -> Number:
    """Power over hours in which a device works for a part of the time at ``busy`` watts and idles for the rest. [W]

    >>> mean_power(700, 500, 0.5)
    302.5
    """
    return utilization * busy + (1 - utilization) * shares.idle * tdp


def energy_j(tdp: float, time_s: Number, mfu: Number, mbu: Number, shares: PowerShares = ASSUMED) -> Number:
    """Energy of work that takes ``time_s``. At most TDP x time. [J]

    >>> energy_j(700, 2.0, mfu=0.9, mbu=0.9)
    1400.0
    """
    return time_s * busy_power(tdp, mfu, mbu, shares)


def _part(utilisation: Number) -> Number:
    return minimum(1.0, maximum(0.0, utilisation))
