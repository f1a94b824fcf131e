"""What a file's rotary embedding says: kinds that are known to cost the same, and the positions that scaling gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from roofline.errors import ConfigError, near_matches, shown

ROTATIONS = ("default", "linear", "dynamic", "yarn", "longrope", "su", "llama3", "proportional", "mrope")
"""Kinds of rotary embedding: other angles, the same work."""

_FIELDS = ("rope_scaling", "rope_parameters")


def check_rotation(fields: Mapping[str, Any], where: str) -> None:
    """Refuses a kind of rotary embedding whose name is not known: it may cost what the known ones do not."""
    for name, block in _blocks(fields):
        if _kind(block) not in ROTATIONS:
            given = shown(_kind(block))
            msg = f"{where}: {name} of kind {given} is not modelled; {near_matches(given, ROTATIONS)}"
            raise ConfigError(msg)


def scaled_positions(fields: Mapping[str, Any]) -> int:
    """The positions that YaRN allows: ``factor`` times those that the network was trained on; 0 where none is stated.

    Other kinds state the scaled number in ``max_position_embeddings`` already.

    >>> yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    >>> scaled_positions({"max_position_embeddings": 40960, "rope_scaling": yarn})
    131072
    """
    found = 0
    for _, block in _blocks(fields):
        trained = block.get("original_max_position_embeddings") or fields.get("max_position_embeddings")
        factor = block.get("factor")
        if _kind(block) == "yarn":
            found = max(found, int(_number(trained) * _number(factor)))
    return found


def _blocks(fields: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in _FIELDS:
        given = fields.get(name)
        blocks = [given, *given.values()] if isinstance(given, dict) else []
        yield from ((name, block) for block in blocks if isinstance(block, dict))


def _kind(block: Mapping[str, Any]) -> Any:
    return block.get("rope_type", block.get("type", "default"))


def _number(value: Any) -> float:
    """A number of a sane size, or 0 for anything else."""
    sane = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 10**9
    return float(value) if sane else 0.0
