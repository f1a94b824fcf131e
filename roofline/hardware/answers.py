"""The JSON of ``hardware list``, ``show`` and ``diff``, field by field."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from typing_extensions import TypedDict

from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System
from roofline.schema import Closed, Says

HardwareShowAnswer: TypeAlias = HardwareSpec | System
"""Every stated fact of a device or a system, as in its file, with numbers in SI base units."""

HardwareListAnswer: TypeAlias = dict[str, HardwareSpec] | dict[str, System]
"""Devices by name, or systems."""


class FactAnswer(TypedDict):
    """One fact of two devices."""

    one: Annotated[str | None, Says("of the first, with its unit; null where it is not stated")]
    other: Annotated[str | None, Says("of the second, with its unit; null where it is not stated")]
    ratio: Annotated[float | None, Says("second / first; null where one is no number")]


class DiffAnswer(Closed):
    """Two devices side by side."""

    one: Annotated[str, Says("first device")]
    other: Annotated[str, Says("second device")]
    facts: Annotated[dict[str, FactAnswer], Says("facts that either states, by name: ridge points, peaks, memory ...")]
