"""Engines by name or path: a YAML file becomes an :class:`Engine`, with single fields edited."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roofline.engines.engine import Engine
from roofline.errors import SpecError, UsageError, near_matches
from roofline.files.edits import edited_fields
from roofline.files.findings import validated
from roofline.files.library import data_folder, read_yaml
from roofline.files.plugins import plugin_files


def engine_names() -> list[str]:
    """The names of the shipped engines, then those of plugins."""
    return [*_names(), *(name for name in _own() if name not in _names())]


def _own() -> dict[str, Path]:
    return plugin_files("engines", ".yaml", ".yml")


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in data_folder("engines").glob("*.yaml")))


def load_engine(engine: str | Path | Engine, edits: Mapping[str, Any] | None = None) -> Engine:
    """An engine by name or alias, in any case, or by the path to a YAML file, with the fields of ``edits`` replaced.

    ``edits`` maps paths to values, ``{"chunk": 4096, "attention.hopper": "fa2"}``. Raises SpecError for an unknown
    name, an unreadable file, an engine that contradicts itself; UsageError for edits of one that is loaded already.

    >>> load_engine("vLLM").words, load_engine("vllm", {"kv_block": 32}).kv_block
    ('vLLM 0.18.0 (2026-03)', 32)
    """
    if isinstance(engine, Engine):
        if edits:
            msg = f"set engine.{next(iter(edits))}: the engine is loaded already; give its name to edit it"
            raise UsageError(msg)
        return engine
    if not edits and str(engine).lower() in _names():
        return _checked(str(engine).lower())
    fields, where = read_engine_fields(engine)
    return validated(Engine, edited_fields(fields, edits or {}, where), where)


def load_every_engine() -> list[Engine]:
    """All engines, the shipped ones first; a plugin's file that cannot be read is warned of and left out."""
    found = []
    for name in engine_names():
        try:
            found.append(load_engine(name))
        except SpecError as failure:
            if name in _names():
                raise
            warnings.warn(f"{failure}; left out", stacklevel=2)
    return found


@functools.cache
def _checked(name: str) -> Engine:
    """A shipped engine, checked once a process: nothing of one can be changed."""
    return validated(Engine, _shipped(name), f"{name}.yaml")


def read_engine_fields(engine: str | Path) -> tuple[dict[str, Any], str]:
    """The raw fields of an engine's file, and the file's name for error messages. Raises SpecError for a name of none.

    A file's name is that of its engine.
    """
    path = Path(engine)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return read_yaml(path), str(path)
    word = str(engine).lower()
    if word in _names():
        return _shipped(word), f"{word}.yaml"
    if word in (own := _own()):
        return read_yaml(own[word]), str(own[word])
    names = engine_names()
    aliases = {alias: name for name in _names() for alias in _aliases(_shipped(name))}
    if word in aliases:
        return _shipped(aliases[word]), f"{aliases[word]}.yaml"
    msg = f"unknown engine {str(engine)!r}; {near_matches(word, [*names, *aliases])} (roofline engines list)"
    raise SpecError(msg)


def _shipped(name: str) -> dict[str, Any]:
    return read_yaml(data_folder("engines") / f"{name}.yaml")


def _aliases(fields: Mapping[str, Any]) -> list[str]:
    return [str(alias).lower() for alias in fields.get("aliases", ())]
