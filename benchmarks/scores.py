"""The figures of a scoreboard: predictions beside measurements, in rows of a Markdown table.

APE is |predicted / measured - 1|; bias is the geometric mean of predicted / measured; cover is the share of rows whose
measured time lies inside the predicted band. The naive roofline is max(FLOPs / peak, bytes / bandwidth).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

_SECONDS = ("time_s", "bound_s", "low_s", "high_s", "measured_s")
FIGURES = ("n", "median", "mean", "p90", "bias", "cover", "naive median", "naive mean")


class Timed(Protocol):
    """Predicted times as arrays: expected, bound, and the ends of the band. [s]"""

    @property
    def time_s(self) -> Any: ...
    @property
    def bound_s(self) -> Any: ...
    @property
    def low_s(self) -> Any: ...
    @property
    def high_s(self) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A set of rows with what was predicted and what was measured; ``group`` is its line in a short table. [s]"""

    name: str
    group: str
    time_s: Any
    bound_s: Any
    low_s: Any
    high_s: Any
    measured_s: Any

    @classmethod
    def of(cls, name: str, group: str, predicted: Timed, measured_s: Any) -> Scored:
        """A set from a prediction."""
        ends = (predicted.time_s, predicted.bound_s, predicted.low_s, predicted.high_s)
        return cls(name, group, *(np.broadcast_to(end, len(measured_s)) for end in ends), measured_s)

    @classmethod
    def together(cls, name: str, sets: Sequence[Scored]) -> Scored:
        """All rows of some sets as one, in their order."""
        return cls(name, name, *(np.concatenate([getattr(rows, each) for rows in sets]) for each in _SECONDS))

    def where(self, name: str, rows: Any) -> Scored:
        """The rows that a mask picks, as a set of another name."""
        return Scored(name, name, *(getattr(self, each)[rows] for each in _SECONDS))

    def figures(self, rows: Any = slice(None)) -> tuple[str, ...]:
        """The figures of some rows: APE in percent, bias as a factor, coverage in percent."""
        seconds = self.measured_s[rows]
        ratio, naive = self.time_s[rows] / seconds, self.bound_s[rows] / seconds
        error, naive_error = 100 * np.abs(ratio - 1), 100 * np.abs(naive - 1)
        inside = (self.low_s[rows] <= seconds) & (seconds <= self.high_s[rows])
        apes = (np.median(error), error.mean(), np.quantile(error, 0.9))
        return (
            f"{len(seconds):,}",
            *(f"{ape:.1f} %" for ape in apes),
            f"{np.exp(np.log(ratio).mean()):.2f}",
            f"{100 * inside.mean():.0f} %",
            f"{np.median(naive_error):.1f} %",
            f"{naive_error.mean():.1f} %",
        )


def joined(sets: Iterable[Scored]) -> list[Scored]:
    """One set for each group, with the rows of all its sets."""
    groups: dict[str, list[Scored]] = {}
    for rows in sets:
        groups.setdefault(rows.group, []).append(rows)
    return [Scored.together(group, members) for group, members in groups.items()]


def table(sets: Iterable[Scored]) -> Iterator[str]:
    """A Markdown table, one line for each set."""
    return markdown(("set", *FIGURES), [(rows.name, *rows.figures()) for rows in sets])


def markdown(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table whose figures stand to the right."""
    yield "| " + " | ".join(heading) + " |"
    yield "|---" * (len(heading) - len(FIGURES)) + "|--:" * len(FIGURES) + "|"
    yield from ("| " + " | ".join(line) + " |" for line in lines)
