"""The tensors that lie in a folder, their bytes and elements by safetensors, beside what the network says."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.compression.quantization import quantized
from roofline.compression.recipes import Checkpoint, read_recipe
from roofline.cost.residency import weights_bytes
from roofline.errors import ConfigError
from roofline.models.sources import MAX_JSON_BYTES, read_json
from roofline.number import exact
from roofline.program.program import Program
from roofline.units import format_quantity

INDEX = "model.safetensors.index.json"
_TOLERATED = 0.01
"""Buffers, scales that are kept twice and padded vocabularies stay below this share of a network."""

_TOWER = re.compile(r"(?:^|\.)(visual|vision_tower|vision_model|audio_tower|multi_modal_projector|mtp)\.")
_LAYER = re.compile(r"model\.layers\.([0-9]{1,4})\.")

_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


@frozen
class Held:
    """All tensors of a folder: the file that says so, their bytes, their elements where it says those, their names."""

    file: Path
    bytes: int
    elements: int | None
    names: tuple[str, ...]


def held_tensors(folder: Path) -> Held | None:
    """The tensors in a folder; None where neither an index nor a tensor lies there.

    Raises ConfigError, in one line, for an index or a header that cannot be read.
    """
    index = folder / INDEX
    if index.is_file():
        whole = read_json(index, "an index of safetensors")
        metadata, names = whole.get("metadata"), whole.get("weight_map")
        stated = metadata if isinstance(metadata, dict) else {}
        total, elements = (_size(stated.get(name)) for name in ("total_size", "total_parameters"))
        tensors = tuple(map(str, names)) if isinstance(names, dict) else ()
        return Held(index, total, elements, tensors) if total else None
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return None
    found = {name: sizes for file in files for name, sizes in _tensors(file).items()}
    size, elements = (sum(each[place] for each in found.values()) for place in (0, 1))
    return Held(files[0] if len(files) == 1 else folder, size, elements, tuple(found))


def _size(given: object) -> int | None:
    if not isinstance(given, int | float) or isinstance(given, bool):
        return None
    return int(given) if 0 < given < 10**18 else None


def _tensors(file: Path) -> dict[str, tuple[int, int]]:
    """What the header of a file, its length in the first eight bytes, says of its tensors: bytes and elements."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header: Any = json.loads(stream.read(length)) if length <= MAX_JSON_BYTES else None
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {
            name: (int(entry["data_offsets"][1]) - int(entry["data_offsets"][0]), prod(map(int, entry["shape"])))
            for name, entry in entries.items()
        }
    except (OSError, struct.error, ValueError, TypeError, KeyError, AttributeError):
        msg = f"{file}: its header is none of safetensors"
        raise ConfigError(msg) from None


def difference(
    folder: Path, program: Callable[[], Program], checkpoint: Checkpoint, stated: object, layers: int
) -> str:
    """How the tensors of a folder differ from what the network says, in words; empty within 1 %, or without tensors.

    ``stated``: the ``torch_dtype`` of the file, in which all lies that is not quantised. What the tensors' names say is
    left out of the network is named.
    """
    found = held_tensors(folder)
    if found is None:
        return ""
    recipe = read_recipe(None, default=_DTYPES.get(str(stated), "bf16"), checkpoint=checkpoint)
    stored = quantized(program(), recipe)
    said = int(weights_bytes(stored, {letter: exact(size) for letter, size in stored.sizes.items()}, recipe.precision))
    if abs(found.bytes / said - 1) <= _TOLERATED:
        return ""
    more = "more" if found.bytes > said else "fewer"
    told = format_quantity(abs(found.bytes - said), "bytes")
    counts = f" ({found.elements:,} elements, the network has {int(stored.parameters()):,})" if found.elements else ""
    others = f"; among them {', '.join(apart)}" if (apart := _apart(found.names, layers)) else ""
    return (
        f"{found.file.name} has {format_quantity(found.bytes, 'bytes')} of tensors{counts}, {told} {more} than the "
        f"network that is counted{others}"
    )


def _apart(names: Iterable[str], layers: int) -> list[str]:
    """Parts of a checkpoint beside a text model, by names of their tensors: towers, layers behind the last one."""
    found: dict[str, None] = {}
    for name in names:
        if tower := _TOWER.search(name):
            found[f"{tower.group(1)}.*"] = None
        elif (layer := _LAYER.match(name)) and int(layer.group(1)) >= layers:
            found[f"layers from {layers} on"] = None
    return list(found)
