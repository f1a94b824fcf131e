"""Axes of a sweep: numbers, lists and ranges, as text or as a mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import log2
from typing import Any

import numpy as np

from roofline.errors import UsageError, shown
from roofline.program.workload import MAX_LENGTH

MOST_VALUES = 1_000_000
_SUFFIXES = {"": 1, "k": 1000, "M": 1_000_000, "Ki": 1024, "Mi": 1024**2}
_EXPECTED = "numbers such as 1,8,64, 32k, 1..512:log2 (doubled each time), 1..512:40 (40 of them), 1..16"


def read_axis(name: str, given: Any) -> tuple[int, ...]:
    """The values of an axis, in their order, each once. Raises UsageError, in one line, for what is none.

    A range ``a..b`` is every whole number, ``a..b:log2`` doubles, ``a..b:n`` has n numbers, evenly spaced. A mapping
    has ``from``, ``to``, and ``steps`` or ``scale``: log2.

    >>> read_axis("batch", "1..100:log2,96"), read_axis("context", "1k,32Ki"), read_axis("batch", "2..10:3")
    ((1, 2, 4, 8, 16, 32, 64, 96), (1000, 32768), (2, 6, 10))
    """
    values = tuple(dict.fromkeys(_values(name, given)))
    if not values:
        _refuse(name, given)
    if len(values) > MOST_VALUES or not all(1 <= value <= MAX_LENGTH for value in values):
        msg = f"{name} {shown(given)}: expected up to {MOST_VALUES:,} whole numbers from 1 to {MAX_LENGTH}"
        raise UsageError(msg)
    return tuple(sorted(values))


def _values(name: str, given: Any) -> list[int]:
    if isinstance(given, bool):
        _refuse(name, given)
    if isinstance(given, int):
        return [given]
    if isinstance(given, str):
        return [value for item in given.split(",") for value in _item(name, item.strip())]
    if isinstance(given, Mapping):
        return _range_of(name, given)
    if isinstance(given, Sequence | np.ndarray):
        return [value for item in given for value in _values(name, item.item() if hasattr(item, "item") else item)]
    _refuse(name, given)
    return []


def _item(name: str, text: str) -> list[int]:
    found = re.fullmatch(r"([0-9]+[A-Za-z]*)(?:\.\.([0-9]+[A-Za-z]*)(?::(log2|[0-9]+))?)?", text)
    if found is None:
        _refuse(name, text)
        return []
    low = _number(name, found[1])
    if found[2] is None:
        return [low]
    return _range(name, text, low, _number(name, found[2]), found[3])


def _range_of(name: str, given: Mapping[str, Any]) -> list[int]:
    ends = [given.get("from"), given.get("to")]
    how = given.get("scale", given.get("steps"))
    strange = set(given) - {"from", "to", "scale", "steps"}
    if strange or ("scale" in given and "steps" in given) or None in ends:
        _refuse(name, dict(given), "from, to, and steps or scale: log2")
    low, high = (_number(name, str(end)) for end in ends)
    return _range(name, given, low, high, None if how is None else str(how))


def _range(name: str, given: Any, low: int, high: int, how: str | None) -> list[int]:
    if not 1 <= low <= high or (how is not None and how != "log2" and not 2 <= int(how or 0) <= MOST_VALUES):
        _refuse(name, given)
    if how is None:
        return list(range(low, high + 1)) if high - low < MOST_VALUES else [0]
    if how == "log2":
        return [low * 2**step for step in range(int(log2(high / low)) + 1)]
    return [round(value) for value in np.linspace(low, high, int(how))]


def _number(name: str, text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,12})([A-Za-z]*)", text)
    if found is None or found[2] not in _SUFFIXES:
        _refuse(name, text)
        return 0
    return int(found[1]) * _SUFFIXES[found[2]]


def _refuse(name: str, given: Any, expected: str = _EXPECTED) -> None:
    msg = f"{name} {shown(given)}: expected {expected}"
    raise UsageError(msg)
