"""The header of a GGUF file, or of all parts of one: what it says of the network, and its tensors by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from roofline.classes import frozen
from roofline.errors import ConfigError, MissingExtraError
from roofline.files.library import POINTER, is_pointer
from roofline.program.workload import BLOCKS

if TYPE_CHECKING:
    from gguf.gguf_reader import ReaderTensor

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
_PLAIN = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}
BY_TYPE = {name.removeprefix("gguf_").upper(): name for name in BLOCKS} | _PLAIN

Said = int | float | bool | str | list[int] | list[float] | list[bool] | list[str]
"""A value of the header; of lists, those of numbers and switches: a number for each layer."""


@frozen
class GgufTensor:
    """A tensor: its type as ``--dtype`` names it, its bytes, its elements, and how many axes it has."""

    kind: str
    bytes: int
    elements: int
    axes: int


@frozen
class Header:
    """What a file says: its architecture, the fields of that, and its tensors, those of all parts."""

    file: Path
    architecture: str
    fields: Mapping[str, Said]
    tensors: Mapping[str, GgufTensor]
    vocabulary: int


def read_header(file: Path) -> Header:
    """The header of ``file`` and of the other parts of it that lie beside it.

    Raises ConfigError, in one line, for what is no GGUF file, for a part whose others are missing and for a tensor of a
    type that is not known; MissingExtraError without the package gguf.
    """
    parts = _parts(file)
    found = [_read(part) for part in parts]
    fields, tensors = found[0][0], {name: tensor for _, own in found for name, tensor in own.items()}
    architecture = fields.get("general.architecture")
    if not isinstance(architecture, str):
        msg = f"{file}: general.architecture: not in the header, expected a name such as llama"
        raise ConfigError(msg)
    own = {
        key.removeprefix(f"{architecture}."): value
        for key, value in fields.items()
        if key.startswith(f"{architecture}.")
    }
    tokens = fields.get("tokenizer.ggml.tokens")
    return Header(file, architecture, own, tensors, tokens if isinstance(tokens, int) else 0)


def _parts(file: Path) -> list[Path]:
    """The file, or all parts of it. Raises ConfigError where some are missing."""
    part = _PART.fullmatch(file.name)
    if part is None:
        return [file]
    stem, _, number = part.groups()
    names = [f"{stem}-{at:05}-of-{number}.gguf" for at in range(1, int(number) + 1)]
    missing = [name for name in names if not (file.parent / name).is_file()]
    if missing:
        msg = f"{file}: one of {int(number)} parts, and {missing[0]} does not lie beside it; put all into one folder"
        raise ConfigError(msg)
    return [file.parent / name for name in names]


def _read(file: Path) -> tuple[dict[str, Said], dict[str, GgufTensor]]:
    if is_pointer(file):
        msg = f"{file}: {POINTER}"
        raise ConfigError(msg)
    try:
        from gguf import GGUFReader, GGUFValueType  # noqa: PLC0415  (optional, and slow to import)
    except ImportError:
        purpose = f"{file}: reading a GGUF file"
        raise MissingExtraError(purpose, "files") from None
    try:
        reader = GGUFReader(file)
        fields: dict[str, Said] = {}
        for name, field in reader.fields.items():
            kinds = list(field.types)
            if kinds[:1] == [GGUFValueType.ARRAY] and kinds[-1] == GGUFValueType.STRING:
                fields[name] = len(field.data)  # a tokenizer's words: their number is what counts
            elif not name.startswith("tokenizer."):
                fields[name] = field.contents()
        return fields, {tensor.name: _tensor(file, tensor) for tensor in reader.tensors}
    except ConfigError:
        raise
    except FileNotFoundError:
        msg = f"{file}: no such file"
        raise ConfigError(msg) from None
    except Exception as failure:  # whatever the reader trips over: a truncated file, another format
        reason = str(failure).partition("\n")[0][:80] or type(failure).__name__
        msg = f"{file}: not a whole GGUF file ({reason})"
        raise ConfigError(msg) from None


def _tensor(file: Path, read: ReaderTensor) -> GgufTensor:
    kind = read.tensor_type.name
    if kind not in BY_TYPE:
        msg = f"{file}: {read.name} has the type {kind}, which is not known; known are {', '.join(BY_TYPE)}"
        raise ConfigError(msg)
    shape = [int(size) for size in read.shape]
    return GgufTensor(BY_TYPE[kind], int(read.n_bytes), prod(shape), sum(size > 1 for size in shape))
