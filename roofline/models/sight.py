"""The towers of a network that sees or hears, read from what its file says of them and from what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from roofline.classes import frozen
from roofline.errors import ConfigError, shown
from roofline.models.mapping import mapped
from roofline.models.shapes.config import Config, parse_config
from roofline.models.sources import Source, read_json
from roofline.models.wrappers import SILENT_HEAD

_ROOMS = {"vision_config": "vision", "audio_config": "sound"}
"""What a file calls a tower -> the field of the decoder's shape."""

_PROCESSORS = {"processor": "preprocessor_config.json", "video_processor": "video_preprocessor_config.json"}
"""What a file may hold of the processors of images, videos and sound, and the file beside it that says the same."""

_NAMES = ("model_type", "architectures", "torch_dtype", "dtype")
"""Fields of a tower that say nothing of its sizes."""


@frozen
class Sight:
    """What is read of a network that sees or hears; nothing where it does neither.

    model_type, fields: of the whole file; shape: the towers as fields of the decoder's shape; unread: the towers'
    fields that nothing reads; apart: what of the file is left out, in words.
    """

    model_type: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    shape: Mapping[str, Any] = field(default_factory=dict)
    unread: Mapping[str, Any] = field(default_factory=dict)
    apart: tuple[str, ...] = ()


def of_tower(name: str) -> bool:
    """Whether a field that is edited is one of a tower or of a processor.

    >>> [of_tower(name) for name in ("vision_config.depth", "processor.max_pixels", "hidden_size")]
    [True, True, False]
    """
    return name.partition(".")[0] in (*_ROOMS, *_PROCESSORS)


def perceives(source: Source) -> bool:
    """Whether a tower of the network that ``source`` is of is read."""
    return bool(_rooms(source))


def _rooms(source: Source) -> dict[str, Any]:
    """Where the file states a tower that is read -> how it is."""
    kind = source.fields.get("model_type")
    stated = [room for room in _ROOMS if source.fields.get(room) is not None]
    if not isinstance(kind, str) or not stated:
        return {}
    tables = _tables()
    return {room: tables[room][kind] for room in stated if kind in tables[room]}


def _tables() -> dict[str, Mapping[str, Any]]:
    from roofline.models.families.seeing import HEARING, SEEING  # noqa: PLC0415  (most networks have no tower)

    return {"vision_config": SEEING, "audio_config": HEARING}


def _check_head(source: Source) -> None:
    """Raises ConfigError for a wrapper whose text model says otherwise of its head."""
    fields, kind = source.fields, source.fields.get("model_type")
    if not isinstance(kind, str):
        return
    if not isinstance(text := fields.get("text_config"), Mapping):
        return
    tied, own = fields.get("tie_word_embeddings", False), text.get("tie_word_embeddings")
    silent = SILENT_HEAD.get(kind, own)
    if "tie_word_embeddings" not in fields and own is not None and own is not silent:
        msg = (
            f"{source.where}: tie_word_embeddings: the text_config says {str(own).lower()}, and transformers takes "
            f"{str(silent).lower()} for {kind}, which says nothing; state it beside the text_config"
        )
        raise ConfigError(msg)
    if tied is None:
        msg = f"{source.where}: tie_word_embeddings: given null, expected true or false"
        raise ConfigError(msg)
    if tied is True and (own is False or kind in _UNTIED):
        other = "its text_config says false" if own is False else f"transformers ties none of {kind}"
        msg = f"{source.where}: tie_word_embeddings: given true, and {other}; give false"
        raise ConfigError(msg)


def _check_features(source: Source) -> None:
    """Raises ConfigError where the projector reads what several layers of a tower say, side by side, or none does."""
    layers = source.fields.get("vision_feature_layer")
    if isinstance(layers, list) and len(layers) != 1:
        msg = f"{source.where}: vision_feature_layer: features of {len(layers)} layers are not modelled, expected one"
        raise ConfigError(msg)


_UNTIED = ("qwen2_audio", "voxtral")
"""Networks whose head is one of its own, whatever the file says."""


def sight_of(source: Source, overrides: Mapping[str, Any]) -> Sight:
    """The towers of the network that ``source`` is of, with what ``overrides`` edit of them.

    Raises ConfigError, in one line, for a field of them that cannot be read.
    """
    fields, rooms = source.fields, _rooms(source)
    _check_head(source)
    _check_features(source)
    if not rooms:
        return Sight()
    shape: dict[str, Any] = {}
    unread: dict[str, Any] = {}
    for room, tower in rooms.items():
        shape[_ROOMS[room]], lost = _tower(source, room, tower, overrides)
        unread |= {f"{room}.{key}": value for key, value in lost.items()}
    whole = {**fields, **{name: value for name, value in overrides.items() if "." not in name}}
    return Sight(str(fields["model_type"]), whole, shape, unread, _left_out(fields, rooms))


def _tower(source: Source, room: str, tower: Any, overrides: Mapping[str, Any]) -> tuple[Config, dict[str, Any]]:
    """The tower that a file states in ``room``, and its fields that nothing reads."""
    stated, where = source.fields[room], f"{source.where}: {room}"
    if not isinstance(stated, Mapping):
        msg = f"{where}: given {shown(stated)}, expected a mapping, {{name: value}}"
        raise ConfigError(msg)
    family = tower.tower(stated.get("model_type"))
    if family is None:
        known = ", ".join(tower.towers)
        msg = f"{where}: model_type {shown(stated.get('model_type'))} is not modelled; expected one of {known}"
        raise ConfigError(msg)
    ours = (room, *_PROCESSORS)
    edits = {k.removeprefix(f"{room}."): value for k, value in overrides.items() if k.partition(".")[0] in ours}
    own = {name: value for name, value in stated.items() if name not in _NAMES}
    read = mapped(family, {**_beside(source, tower.lifted), **own, **edits}, where)
    names = {option: key for key, option in family.rename.items()}
    config = parse_config(family.config, read.nested, where, names)
    return config, {key: read.fields[key] for key in read.ignored if key in own or key in edits}


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


def _left_out(fields: Mapping[str, Any], rooms: Mapping[str, Any]) -> tuple[str, ...]:
    """Towers that are not read, beside those that are."""
    towers = sorted(name for name in fields if name.endswith(("vision_config", "audio_config")) and name not in rooms)
    missing = [room for room, table in _tables().items() if room not in rooms and fields["model_type"] in table]
    return (
        *(f"{name} is not counted" for name in towers if fields[name] is not None),
        *(f"{room} is missing: what it would state is not counted" for room in missing),
    )
