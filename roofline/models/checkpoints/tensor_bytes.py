"""The bytes of the tensors that lie in a folder, as safetensors states them, beside what the network says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def held_bytes(folder: Path) -> tuple[int, Path] | None:
    """Bytes of all tensors in a folder and the file that says so; None where neither an index nor a tensor lies there.

    Raises ConfigError, in one line, for an index or a header that cannot be read.
    """
    index = folder / INDEX
    if index.is_file():
        metadata = read_json(index, "an index of safetensors").get("metadata")
        total = metadata.get("total_size") if isinstance(metadata, dict) else None
        return (int(total), index) if isinstance(total, (int, float)) and 0 < total < 10**18 else None
    files = sorted(folder.glob("*.safetensors"))
    return (sum(map(_tensor_bytes, files)), files[0] if len(files) == 1 else folder) if files else None


def _tensor_bytes(file: Path) -> int:
    """What the header of a file, its length in the first eight bytes, says of its tensors."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header: Any = json.loads(stream.read(length)) if length <= MAX_JSON_BYTES else None
        spans = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
        return sum(int(end) - int(start) for start, end in spans)
    except (OSError, struct.error, ValueError, TypeError, KeyError, AttributeError):
        msg = f"{file}: its header is none of safetensors"
        raise ConfigError(msg) from None


def difference(folder: Path, program: Callable[[], Program], checkpoint: Checkpoint, stated: object) -> str:
    """How the tensors of a folder differ from what the network says, in words; empty within 1 %, or without tensors.

    ``stated``: the ``torch_dtype`` of the file, in which all lies that is not quantised.
    """
    found = held_bytes(folder)
    if found is None:
        return ""
    recipe = read_recipe(None, default=_DTYPES.get(str(stated), "bf16"), checkpoint=checkpoint)
    stored = quantized(program(), recipe)
    said = int(weights_bytes(stored, {letter: exact(size) for letter, size in stored.sizes.items()}, recipe.precision))
    held, file = found
    if abs(held / said - 1) <= _TOLERATED:
        return ""
    more = "more" if held > said else "fewer"
    told = format_quantity(abs(held - said), "bytes")
    return (
        f"{file.name} has {format_quantity(held, 'bytes')} of tensors, {told} {more} than the network that is counted"
    )
