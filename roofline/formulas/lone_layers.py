"""A lone layer of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from roofline.classes import frozen
from roofline.program.conventions import Conventions
from roofline.program.op import Op

Build: TypeAlias = Callable[[Conventions], tuple[Op, ...]]


@frozen
class Layer:
    """What it is called, its operators under conventions, and the function that states it."""

    title: str
    build: Build
    stated_by: Callable[..., Any]


def fixed(*ops: Op) -> Build:
    """Operators that no convention changes."""
    return lambda _: ops
