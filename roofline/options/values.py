"""Values of options that are texts with units, or lists: read once they are given, refused by the option's name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from roofline.errors import UnitError, UsageError, shown
from roofline.options.option import typed_number
from roofline.units import Dimension, parse_quantity


def read_value(name: str, value: str | float, dimension: Dimension) -> float:
    """A quantity with its unit, or a number in base units. Raises UsageError.

    >>> read_value("ttft", "500 ms", "time_s"), read_value("ttft", 0.5, "time_s")
    (0.5, 0.5)
    """
    if not isinstance(value, str):
        return float(value)
    try:
        return parse_quantity(value, dimension)
    except UnitError as failure:
        msg = f"{name}: {failure}"
        raise UsageError(msg) from None


def read_tokens(name: str, value: str | float) -> float:
    """A number of tokens: 300Gtok, 300B and 1T as they are spoken of, or 131072. Raises UsageError.

    >>> read_tokens("tokens", "300B"), read_tokens("tokens", "1.5 T"), read_tokens("batch-tokens", "131072")
    (300000000000.0, 1500000000000.0, 131072.0)
    """
    spoken = re.fullmatch(r"([0-9.]+) ?([kMGBT]?)", value.strip()) if isinstance(value, str) else None
    return read_value(name, f"{spoken[1]} {spoken[2].replace('B', 'G')}tok" if spoken else value, "tokens")


def read_numbers(name: str, given: str | float | Sequence[float], comma: str, example: str) -> tuple[float, ...]:
    """Numbers with ``comma`` between them, one, or several. Raises UsageError that names an ``example``.

    >>> read_numbers("api", "0.5/1.5", "/", "IN/OUT"), read_numbers("utilization", 0.5, ",", "0.25,0.5")
    ((0.5, 1.5), (0.5,))
    """
    parts = given.split(comma) if isinstance(given, str) else [given] if isinstance(given, (int, float)) else given
    try:
        return tuple(typed_number(part, float) if isinstance(part, str) else float(part) for part in parts)
    except ValueError:
        msg = f"{name} {shown(given)}: expected {example}"
        raise UsageError(msg) from None
