"""The header of a GGUF file as a text that tells it: what a page reads of a file that stays where it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roofline.errors import ConfigError, shown
from roofline.models.gguf.header import BY_TYPE, GgufTensor, Header, Said
from roofline.models.sources import parsed_json
from roofline.program.workload import BLOCKS, DTYPE_BYTES

TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K",
    13: "Q5_K", 14: "Q6_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip
"""Types of tensors by their numbers in a file, those that are known. Source: gguf.GGMLQuantizationType 0.19.0."""

_MOST_LAYERS = 10_000
_MOST_ELEMENTS = 2**50
_KEYS: dict[str, tuple[type, str]] = {
    "file": (str, "text"),
    "architecture": (str, "text"),
    "fields": (dict, "what the header says"),
    "vocabulary": (int, "a number"),
    "bytes": (int, "a number"),
    "tensors": (list, "tensors"),
}


def header_told(text: str, where: str) -> Header:
    """The header that a JSON text tells; ``where`` is what the text is called.

    It has the ``file``'s name, its ``architecture``, the ``fields`` of that, the ``vocabulary``, how many ``bytes``
    follow the header, and ``tensors``: of each a list of its name, ``*`` for the number of a layer, its type as a file
    numbers it, its elements, its axes longer than one, and the layers, such as ``0-3,7``, or nothing.

    Raises ConfigError, in one line, for what is no such text, for a type that is not known, for a file that has less
    bytes than its tensors.
    """
    found = parsed_json(text, where, "the header of a GGUF file")
    for key, (kind, expected) in _KEYS.items():
        if type(found.get(key)) is not kind:
            raise _wrong(where, key, found.get(key), expected)
    for key, value in found["fields"].items():
        if not (
            _is_said(value) or (isinstance(value, list) and len(value) <= _MOST_LAYERS and all(map(_is_said, value)))
        ):
            raise _wrong(where, key, value, "a number, a word, or a number for each layer")
    file = Path(found["file"].replace("/", " "))
    tensors: dict[str, GgufTensor] = {}
    for row in found["tensors"]:
        for name, tensor in _tensors(where, row):
            if tensors.setdefault(name, tensor) is not tensor or len(tensors) > 20 * _MOST_LAYERS:
                raise _wrong(where, "tensors", name, "each once, and at most 200,000")
    held = sum(each.bytes for each in tensors.values())
    if held > found["bytes"]:
        msg = f"{file}: not a whole GGUF file ({held:,} bytes of tensors, {found['bytes']:,} in it)"
        raise ConfigError(msg)
    fields: dict[str, Said] = found["fields"]
    return Header(file, found["architecture"], fields, tensors, found["vocabulary"])


def _is_said(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))


def _tensors(where: str, row: Any) -> Iterator[tuple[str, GgufTensor]]:
    """A tensor of each layer that a row tells. Raises ConfigError."""
    if not (isinstance(row, list) and list(map(type, row)) == [str, int, int, int, str]):
        raise _wrong(where, "tensors", row, "[name, type, elements, axes, layers]")
    name, number, elements, axes, layers = row
    if number not in TYPES:
        known = ", ".join(TYPES.values())
        msg = f"{where}: {shown(name)} has the type {number}, which is not known; known are {known}"
        raise ConfigError(msg)
    if not (0 <= elements <= _MOST_ELEMENTS and 0 <= axes <= 4):
        raise _wrong(where, name, f"{elements} elements, {axes} axes", "what a tensor has")
    kind = BY_TYPE[TYPES[number]]
    size = int(elements * DTYPE_BYTES[kind]) if kind not in BLOCKS else elements // BLOCKS[kind][0] * BLOCKS[kind][1]
    for layer in _layers(where, layers):
        yield name.replace("*", layer), GgufTensor(kind, size, elements, axes)


def _layers(where: str, text: str) -> Iterator[str]:
    """The layers of a text such as 0-3,7; of none, one without a number."""
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = (first, last or first)
        if text and not (
            all(each.isascii() and each.isdigit() and len(each) < 5 for each in ends) and bool(dash) == bool(last)
        ):
            raise _wrong(where, "layers", text, "numbers of layers such as 0-3,7")
        yield from map(str, range(int(ends[0]), int(ends[1]) + 1)) if text else ("",)


def _wrong(where: str, key: str, given: object, expected: str) -> ConfigError:
    return ConfigError(f"{where}: {shown(key)}: given {shown(given)}, expected {expected}")
