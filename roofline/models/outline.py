"""A network that states itself: what a trace of its code found, in place of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from roofline.classes import frozen
from roofline.program.conventions import Conventions
from roofline.program.lengths import Lengths
from roofline.program.program import Program
from roofline.traces.trace import Trace


@frozen
class Outline:
    """Where the program of a traced module comes from, and how long its sequences may be.

    ``facts`` is what JSON says of it. ``letters``: what the letters of its inputs mean, other than the legend's.
    """

    lengths: Lengths
    facts: tuple[tuple[str, Any], ...]
    trace: Trace = field(repr=False)
    statement: Callable[[Conventions], Program] = field(repr=False)
    letters: Mapping[str, str] = field(default_factory=dict)

    @property
    def losses(self) -> tuple[str, ...]:
        """What its counts leave out: with any of them they are lower bounds."""
        return self.trace.losses

    @property
    def model_fields_set(self) -> frozenset[str]:
        """The fields that can be edited: the letters that have numbers of their own."""
        return frozenset(self.trace.dims)

    def model_dump(self, mode: str = "python") -> dict[str, Any]:
        """What JSON says of it."""
        return dict(self.facts)
