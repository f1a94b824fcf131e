"""Doors as pydantic models, which say what is wrong with a file, and what its JSON Schema is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic_core import core_schema

from roofline.files.fields import REQUIRED, Stated

Door = type[Any]
"""A class of :mod:`roofline.files.door`."""


def validated_by_pydantic(door: Door, fields: Any, context: Mapping[str, Any] | None) -> Any:
    """``fields`` as a door. Raises pydantic's ValidationError, which says what is wrong."""
    if door not in _ADAPTERS:
        _ADAPTERS[door] = TypeAdapter(door)
    return _ADAPTERS[door].validate_python(fields, context=context)


_ADAPTERS: dict[Door, TypeAdapter[Any]] = {}
"""The validators that were built."""


_MODELS: dict[Door, type[BaseModel]] = {}
"""The models that were made."""


def pydantic_model(door: Door) -> type[BaseModel]:
    """The model of a door's fields, which is made once."""
    if door not in _MODELS:
        _MODELS[door] = _made(door)
    return _MODELS[door]


def _made(door: Door) -> type[BaseModel]:
    hints = get_type_hints(door, include_extras=True)
    fields: dict[str, Any] = {name: (_annotation(hints[name]), _info(each)) for name, each in door.stated.items()}
    config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
    model = create_model(door.__name__, __config__=config, __doc__=door.__doc__, __module__=door.__module__, **fields)
    model.__qualname__ = door.__qualname__
    return model


def core_schema_of(door: Door, handler: Any) -> Any:
    """How pydantic reads a door: as its model, before and after which the door's own checks run."""

    def read(value: Any, inner: Any) -> Any:
        if isinstance(value, door):
            return value
        for name in door.checks_before:
            value = getattr(door, name)(value)
        found = inner(value)
        return door.from_values({name: getattr(found, name) for name in door.stated}, frozenset(found.model_fields_set))

    return core_schema.no_info_wrap_validator_function(read, handler.generate_schema(pydantic_model(door)))


def _annotation(hint: Any) -> Any:
    """An annotation whose statements of the field itself are pydantic's."""
    if get_origin(hint) is not Annotated:
        return hint
    inner, *parts = get_args(hint)
    return Annotated[(inner, *(_info(part) if isinstance(part, Stated) else part for part in parts))]


def _info(stated: Stated) -> Any:
    said = {"alias": stated.alias, "description": stated.description, "strict": stated.strict, **stated.limits}
    kept = {name: value for name, value in said.items() if value is not None}
    return Field(**kept) if stated.default is REQUIRED else Field(default=stated.default, **kept)
