"""A profile as all tools have it: kernels by name, how often each ran, and how long in all."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

from roofline.classes import frozen
from roofline.errors import SpecError, shown

SECONDS = {
    **dict.fromkeys(("ns", "nsecond", "nanosecond"), 1e-9),
    **dict.fromkeys(("us", "usecond", "microsecond", "μs"), 1e-6),
    **dict.fromkeys(("ms", "msecond", "millisecond"), 1e-3),
    **dict.fromkeys(("s", "sec", "second"), 1.0),
}
"""Seconds in a unit of time, as profilers write it."""

BYTES = {"byte": 1.0, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9}
"""Bytes in a unit of Nsight Compute."""

_NUMBER = re.compile(r"(?:[0-9]{1,30}|[0-9]{1,3}(?:,[0-9]{3}){1,9})(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?")
"""How tools write a number: perhaps with commas between thousands, no sign, no word."""


@frozen
class Kernel:
    """All runs of a kernel by one name: how often it ``ran``, for how long in all [s], in which NVTX range.

    ``ranges``: how often that range was entered. ``dram_bytes``: what the device's counters saw, None where they were
    not read. [B]
    """

    name: str
    ran: int
    seconds: float
    scope: str = ""
    ranges: int = 0
    dram_bytes: float | None = None

    @property
    def words(self) -> str:
        """The name, and the range that it ran in."""
        return f"{self.name} in {self.scope}" if self.scope and self.scope != self.name else self.name


@frozen
class Profile:
    """A file of a profiler: which tool and report, and its kernels, the costliest first."""

    path: Path
    tool: str
    kernels: tuple[Kernel, ...]

    @classmethod
    def of(cls, path: Path, tool: str, kernels: Iterable[Kernel]) -> Profile:
        """The profile of these runs, those of one name together. Raises SpecError where there is none."""
        found: dict[tuple[str, str], Kernel] = {}
        for each in kernels:
            key = (each.scope, each.name)
            found[key] = _together(found[key], each) if key in found else each
        timed = sorted((each for each in found.values() if each.seconds > 0), key=lambda each: -each.seconds)
        if not timed:
            msg = f"{path}: a file of {tool} without any kernel's time"
            raise SpecError(msg)
        return cls(path, tool, tuple(timed))

    @property
    def seconds(self) -> float:
        """All kernels together. [s]"""
        return sum(each.seconds for each in self.kernels)


def _together(a: Kernel, b: Kernel) -> Kernel:
    counted = None if a.dram_bytes is None or b.dram_bytes is None else a.dram_bytes + b.dram_bytes
    return Kernel(a.name, a.ran + b.ran, a.seconds + b.seconds, a.scope, a.ranges + b.ranges, counted)


def parse_number(where: str, what: str, given: str) -> float:
    """A number of at least 0, as tools write it. Raises SpecError for anything else.

    >>> parse_number("line 2", "Duration", "1,234.5")
    1234.5
    """
    text = given.strip()
    value = float(text.replace(",", "")) if _NUMBER.fullmatch(text) else math.inf
    if not math.isfinite(value):
        msg = f"{where}: {what}: {shown(given)}, expected a number such as 1,234.5"
        raise SpecError(msg)
    return value


def parse_unit(where: str, given: str, known: dict[str, float]) -> float:
    """What a unit is worth. Raises SpecError for one that is not known."""
    if given not in known:
        msg = f"{where}: unit {shown(given)}, expected one of {', '.join(known)}"
        raise SpecError(msg)
    return known[given]
