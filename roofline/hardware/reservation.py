"""What of a device's memory the runtime keeps, and how much that leaves to a model: one room for every verb."""

from __future__ import annotations

from dataclasses import dataclass

from roofline.errors import UnitError, UsageError, shown
from roofline.options import groups
from roofline.units import format_quantity, parse_quantity


@dataclass(frozen=True, slots=True)
class Reserve:
    """A share of the memory, or a size, that the runtime keeps. [B]"""

    share: float = 0.0
    size: int = 0

    def of(self, capacity: float | None) -> int:
        """What it keeps of ``capacity`` bytes. Raises UsageError for a share of a capacity that is not stated.

        >>> Reserve(0.1).of(80e9), Reserve(size=2**31).of(None)
        (8000000000, 2147483648)
        """
        if self.share and capacity is None:
            msg = f"reserve {self.share:g}: the device states no capacity; give a size such as 2GiB"
            raise UsageError(msg)
        return self.size + round(self.share * (capacity or 0))

    def room(self, capacity: float) -> float:
        """What it leaves of ``capacity``: the engine's part, vLLM's gpu_memory_utilization of it. [B]"""
        return max(0.0, capacity - self.of(capacity))

    @property
    def words(self) -> str:
        """What is left, in a few words.

        >>> Reserve(0.1).words, Reserve(size=2**31).words
        ('90% of the memory', 'all but 2.15 GB of the memory')
        """
        return f"all but {format_quantity(self.size, 'bytes')} of the memory" if self.size else (
            f"{1 - self.share:.0%} of the memory"
        )  # fmt: skip


def read_reserve(options: groups.Reserve, default: float = 0.0) -> Reserve:
    """What two flags say alike: what the runtime keeps, a share or a size, or the share that it leaves.

    Raises UsageError for both of them, and for what is neither.

    >>> read_reserve({"reserve": "2 GiB"}), read_reserve({"memory_share": 0.9}), read_reserve({}, default=0.1)
    (Reserve(share=0.0, size=2147483648), Reserve(share=0.1, size=0), Reserve(share=0.1, size=0))
    """
    reserve, memory_share = options.get("reserve"), options.get("memory_share")
    if memory_share is not None:
        if reserve is not None:
            msg = (
                f"reserve {shown(str(reserve))} and memory share {memory_share:g} say the same thing; give one of them"
            )
            raise UsageError(msg)
        if not 0 < memory_share <= 1:
            msg = f"memory share {memory_share:g}: expected the part that an engine takes, above 0 to 1, such as 0.9"
            raise UsageError(msg)
        return Reserve(round(1 - memory_share, 12))
    return _read(default if reserve is None else reserve)


def _read(reserve: float | str) -> Reserve:
    try:
        share = float(reserve)
    except ValueError:
        try:
            return Reserve(size=int(parse_quantity(str(reserve), "bytes")))
        except UnitError:
            share = -1.0
    if not 0 <= share < 1:
        msg = f"reserve {shown(str(reserve))}: expected a share of the device's memory below 1, or a size such as 2GiB"
        raise UsageError(msg)
    return Reserve(share)
