"""The fields that ``--set`` edits, by what they are fields of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from roofline.errors import UsageError

ROOMS = ("hardware", "model", "engine")
_SUCH = {
    "hardware": "hardware.memory.hbm.bandwidth",
    "model": "model.num_hidden_layers",
    "engine": "engine.chunk",
}


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
