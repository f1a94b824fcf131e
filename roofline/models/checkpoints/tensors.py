"""The tensors that lie in a folder: by the headers of safetensors or, without the shards, by an index."""

from __future__ import annotations

import json
import re
import struct
from math import prod
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.errors import ConfigError, shown
from roofline.files.library import is_pointer
from roofline.models.sources import MAX_JSON_BYTES, read_json

INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r".*-\d{1,6}-of-(\d{1,6})\.safetensors")


@frozen
class Stored:
    """A tensor as its file's header has it."""

    dtype: str
    bytes: int
    elements: int


@frozen
class Held:
    """All tensors of a folder: where that is said, their bytes, their elements where those are said, their names.

    ``tensors`` are those of headers; none where an index alone speaks, which knows no sizes.
    """

    file: Path
    bytes: int
    elements: int | None
    names: tuple[str, ...]
    tensors: dict[str, Stored]


def held_tensors(folder: Path) -> Held | None:
    """The tensors in a folder; None where neither an index nor all shards of a network lie there.

    Raises ConfigError, in one line, for an index or a header that cannot be read.
    """
    index = folder / INDEX
    indexed = read_json(index, "an index of safetensors") if index.is_file() else {}
    listed = indexed.get("weight_map")
    names = {str(name): str(file) for name, file in listed.items()} if isinstance(listed, dict) else {}
    files = _shards(folder, set(names.values()))
    if files:
        found = {name: tensor for file in files for name, tensor in _header(file).items()}
        size, count = (sum(getattr(each, of) for each in found.values()) for of in ("bytes", "elements"))
        return Held(files[0] if len(files) == 1 else folder, size, count, tuple(found), found)
    stated = indexed.get("metadata")
    total, elements = (_size(index, name, stated.get(name) if isinstance(stated, dict) else None) for name in _STATED)
    return Held(index, total, elements, tuple(names), {}) if total else None


_STATED = ("total_size", "total_parameters")


def _shards(folder: Path, listed: set[str]) -> list[Path]:
    """The shards of one network, those that an index lists or of the usual name; none where some do not lie there."""
    found = {file.name: file for file in sorted(folder.glob("*.safetensors")) if not is_pointer(file)}
    if listed:
        return [found[name] for name in sorted(listed)] if listed <= found.keys() else []
    usual = [name for name in found if name.startswith("model")] or list(found)
    shards = [match for name in usual if (match := _SHARD.fullmatch(name))]
    return [found[name] for name in usual] if all(len(shards) >= int(each.group(1)) for each in shards) else []


def _size(index: Path, name: str, given: object) -> int | None:
    """What an index says of all tensors; None where it says nothing, or 0, as some tools write."""
    if not given:
        return None
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given < 10**18:
        msg = f"{index}: {name} {shown(given)}, expected a whole number above 0"
        raise ConfigError(msg)
    return int(given)


def _header(file: Path) -> dict[str, Stored]:
    """What the header of a file, its length in the first eight bytes, says of its tensors."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header: Any = json.loads(stream.read(length)) if length <= MAX_JSON_BYTES else None
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _stored(entry) for name, entry in entries.items()}
    except (OSError, struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        msg = f"{file}: its header is none of safetensors"
        raise ConfigError(msg) from None


def _stored(entry: Any) -> Stored:
    first, last = map(int, entry["data_offsets"])
    shape = tuple(map(int, entry["shape"]))
    if last < first or min(shape, default=0) < 0:
        raise ValueError(entry)
    return Stored(str(entry["dtype"]), last - first, prod(shape))
