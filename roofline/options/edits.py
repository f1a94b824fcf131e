"""The fields that ``--set`` edits, by what they are fields of."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from roofline.errors import UsageError

ROOMS = ("hardware", "model", "engine")
_SUCH = {
    "hardware": "hardware.memory.hbm.bandwidth",
    "model": "model.num_hidden_layers",
    "engine": "engine.chunk",
}


def read_edit(text: str, flag: str = "--set") -> tuple[str, Any]:
    """A flag as path and value: numbers, true, false and null as JSON has them, the rest as text.

    Raises UsageError where there is no path or no value.

    >>> read_edit("engine.chunk=4096"), read_edit("hardware.memory.hbm.bandwidth=6TB/s")
    (('engine.chunk', 4096), ('hardware.memory.hbm.bandwidth', '6TB/s'))
    """
    path, equals, value = text.partition("=")
    if not equals or not path:
        example = "PATH=VALUE such as hardware.memory.hbm.bandwidth=6TB/s" if flag == "--set" else "NAME=VALUE"
        msg = f"{flag} {text!r}: expected {example}"
        raise UsageError(msg)
    try:
        return path, json.loads(value)
    except ValueError:
        return path, value


def edits_by_room(edits: Mapping[str, Any] | None, rooms: Collection[str] = ROOMS) -> dict[str, dict[str, Any]]:
    """The paths that begin with each of ``rooms``, without it. Raises UsageError for any other.

    >>> edits_by_room({"engine.chunk": 4096, "model.num_hidden_layers": 16})
    {'hardware': {}, 'model': {'num_hidden_layers': 16}, 'engine': {'chunk': 4096}}
    """
    fields: dict[str, dict[str, Any]] = {room: {} for room in rooms}
    for path, value in (edits or {}).items():
        room, _, field = path.partition(".")
        if room not in fields or not field:
            *some, last = [_SUCH[each] for each in rooms]
            such = f"{', '.join(some)} or {last}" if some else last
            msg = f"set {path}: expected a path such as {such}"
            raise UsageError(msg)
        fields[room][field] = value
    return fields
