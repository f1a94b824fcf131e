"""The tower of a network that sees, read from the ``vision_config`` of its file and from what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from roofline.classes import frozen
from roofline.errors import ConfigError, shown
from roofline.models.mapping import mapped
from roofline.models.shapes.config import parse_config
from roofline.models.sources import Source, read_json

_TOWER = "vision_config"
_PROCESSORS = {"processor": "preprocessor_config.json", "video_processor": "video_preprocessor_config.json"}
"""What a file may hold of the processors of images and videos, and the file beside it that says the same."""

_NAMES = ("model_type", "architectures", "torch_dtype", "dtype")
"""Fields of a ``vision_config`` that say nothing of its sizes."""


@frozen
class Sight:
    """What is read of a network that sees; nothing where it does not.

    model_type, fields: of the whole file; shape: the tower as a field of the decoder's shape; unread: the tower's
    fields that nothing reads; apart: what of the file is left out, in words.
    """

    model_type: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    shape: Mapping[str, Any] = field(default_factory=dict)
    unread: Mapping[str, Any] = field(default_factory=dict)
    apart: tuple[str, ...] = ()


def of_tower(name: str) -> bool:
    """Whether a field that is edited is one of the tower or of a processor.

    >>> [of_tower(name) for name in ("vision_config.depth", "processor.max_pixels", "hidden_size")]
    [True, True, False]
    """
    return name.partition(".")[0] in (_TOWER, *_PROCESSORS)


def sees(source: Source) -> bool:
    """Whether a tower of the network that ``source`` is of is read."""
    kind = source.fields.get("model_type")
    if not isinstance(kind, str) or source.fields.get(_TOWER) is None:
        return False
    from roofline.models.families.seeing import SEEING  # noqa: PLC0415  (most networks have no tower)

    return kind in SEEING


def sight_of(source: Source, overrides: Mapping[str, Any]) -> Sight:
    """The tower of the network that ``source`` is of, with what ``overrides`` edit of it.

    Raises ConfigError, in one line, for a field of it that cannot be read.
    """
    fields = source.fields
    if not sees(source):
        return Sight()
    kind, tower = str(fields["model_type"]), fields[_TOWER]
    if not isinstance(tower, Mapping):
        msg = f"{source.where}: {_TOWER}: given {shown(tower)}, expected a mapping, {{name: value}}"
        raise ConfigError(msg)
    from roofline.models.families.seeing import SEEING  # noqa: PLC0415

    seeing, where = SEEING[kind], f"{source.where}: {_TOWER}"
    family = seeing.tower(tower.get("model_type"))
    if family is None:
        known = ", ".join(seeing.towers)
        msg = f"{where}: model_type {shown(tower.get('model_type'))} is not modelled; expected one of {known}"
        raise ConfigError(msg)
    edits = {name.removeprefix(f"{_TOWER}."): value for name, value in overrides.items() if of_tower(name)}
    own = {name: value for name, value in tower.items() if name not in _NAMES}
    read = mapped(family, {**_beside(source, seeing.lifted), **own, **edits}, where)
    names = {option: key for key, option in family.rename.items()}
    config = parse_config(family.config, read.nested, where, names)
    unread = {f"{_TOWER}.{key}": read.fields[key] for key in read.ignored if key in own or key in edits}
    whole = {**fields, **{name: value for name, value in overrides.items() if "." not in name}}
    return Sight(kind, whole, {"vision": config}, unread, _left_out(fields))


def _beside(source: Source, lifted: str) -> dict[str, Any]:
    """What rules of a tower read besides: fields of the wrapper, and what the processors' files say."""
    fields = source.fields
    inner = fields.get("text_config")
    text = inner if isinstance(inner, Mapping) else fields
    found = {f"outer.{name}": fields[name] for name in lifted.split() if fields.get(name) is not None}
    found["outer.text_width"] = text.get("hidden_size")
    for name, file in _PROCESSORS.items():
        stated = fields.get(name)
        path = source.folder / file if source.folder is not None else None
        if stated is None and path is not None and path.is_file():
            stated = read_json(path, "an object with the processor's fields")
        for key, value in stated.items() if isinstance(stated, Mapping) else ():
            rows = value.items() if isinstance(value, Mapping) else (("", value),)
            found |= {f"{name}.{key}{'.' * bool(inner)}{inner}": number for inner, number in rows}
    return found


def _left_out(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Towers of sound beside that of images."""
    towers = sorted(name for name, own in fields.items() if name.endswith("audio_config") and own is not None)
    return tuple(f"{name} is not counted" for name in towers)
