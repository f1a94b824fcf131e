"""What of a device's memory the runtime keeps, and how much that leaves to a model: one room for every verb."""

from __future__ import annotations

from dataclasses import field

from roofline.classes import frozen
from roofline.engines.engine import Engine
from roofline.errors import UnitError, UsageError, shown
from roofline.options import groups
from roofline.units import format_quantity, parse_quantity


@frozen
class Reserve:
    """A share of the memory, or a size, that the runtime keeps; ``asked`` for, or an engine's own. [B]"""

    share: float = 0.0
    size: int = 0
    asked: bool = field(default=False, repr=False)

    def of(self, capacity: float | None) -> int:
        """What it keeps of ``capacity`` bytes. Raises UsageError for a share of a capacity that is not stated.

        >>> Reserve(0.1).of(80e9), Reserve(size=2**31).of(None)
        (8000000000, 2147483648)
        """
        if self.share and self.asked and capacity is None:
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
        left = f"{100 * (1 - self.share):.3g}%"
        if not self.size:
            return f"{left} of the memory"
        return f"{'all' if not self.share else left} but {format_quantity(self.size, 'bytes')} of the memory"


def read_reserve(options: groups.Reserve, engine: Engine, otherwise: float = 0.0) -> Reserve:
    """What is asked for, a share or a size, else what an engine leaves and keeps, else the share ``otherwise``.

    Raises UsageError for what is neither a share nor a size.

    >>> from roofline.engines.library import load_engine
    >>> read_reserve({"reserve": "2 GiB"}, load_engine("vllm")), read_reserve({}, load_engine("vllm"))
    (Reserve(share=0.0, size=2147483648), Reserve(share=0.1, size=0))
    """
    reserve = options.get("reserve")
    if reserve is not None:
        return _read(reserve)
    share = otherwise if engine.memory_share is None else round(1 - engine.memory_share, 12)
    return Reserve(share, int(engine.graph_memory + engine.workspace))


def _read(reserve: float | str) -> Reserve:
    try:
        share = float(reserve)
    except ValueError:
        try:
            return Reserve(size=int(parse_quantity(str(reserve), "bytes")), asked=True)
        except UnitError:
            share = -1.0
    if not 0 <= share < 1:
        msg = f"reserve {shown(str(reserve))}: expected a share of the device's memory below 1, or a size such as 2GiB"
        raise UsageError(msg)
    return Reserve(share, asked=True)
