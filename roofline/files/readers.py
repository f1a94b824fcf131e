"""Fields of a file read as a door declares them; whatever is not just so is refused without a word.

Strict, as pydantic is under ``strict``: what a reader takes pydantic takes too, and makes the same of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from roofline.files.fields import BeforeValidator, Info, Stated

Reader = Callable[[Any, Info], Any]


class UnreadError(ValueError):
    """A value that is not as declared, or of a type that no reader knows."""


UNREAD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What readers, and the checks that they call, raise for a value that pydantic must judge."""


def reader_of(hint: Any) -> Reader:
    """How a value of an annotation is read."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in _GENERIC:
        return _GENERIC[origin](*arguments)
    if origin is None and hasattr(hint, "read_by"):  # a door, a correction
        own: Reader = hint.read_by(reader_of)
        return own
    return _PLAIN.get(hint, _refuse)


def _expect(fine: bool) -> None:
    if not fine:
        raise UnreadError


def _expected(value: Any, fine: bool) -> Any:
    _expect(fine)
    return value


def _refuse(value: Any, info: Info) -> Any:
    raise UnreadError


def _float(value: Any, _: Info) -> float:
    _expect(type(value) in (float, int))
    return float(value)


def _exactly(kind: type) -> Reader:
    return lambda value, _: _expected(value, type(value) is kind)


_PLAIN: dict[Any, Reader] = {
    float: _float,
    **{kind: _exactly(kind) for kind in (int, str, bool, NoneType)},
    Any: lambda value, _: value,
}


def _one_of(*words: Any) -> Reader:
    return lambda value, _: _expected(value, type(value) is str and value in words)


def annotated(kind: Any, *parts: Any) -> Reader:
    """The reader of a type under what is stated beside it: what a value goes through first, and its limits."""
    reader = reader_of(kind)
    for part in parts:
        if isinstance(part, BeforeValidator):
            reader = _after(part, reader)
        elif isinstance(part, Stated) and part.limits:
            reader = _within(part.limits, reader)
    return reader


def _after(validator: BeforeValidator, reader: Reader) -> Reader:
    function = validator.function
    if validator.asks_for_context:
        return lambda value, info: reader(function(value, info), info)
    return lambda value, info: reader(function(value), info)


def _within(limits: Any, reader: Reader) -> Reader:
    def within(value: Any, info: Info) -> Any:
        found = reader(value, info)
        _expect(found is None or all(_LIMITS[name](found, limit) for name, limit in limits.items()))
        return found

    return within


_LIMITS: dict[str, Callable[[Any, Any], bool]] = {
    "ge": lambda value, limit: value >= limit,
    "gt": lambda value, limit: value > limit,
    "le": lambda value, limit: value <= limit,
    "lt": lambda value, limit: value < limit,
    "min_length": lambda value, limit: len(value) >= limit,
    "max_length": lambda value, limit: len(value) <= limit,
    "pattern": lambda value, limit: "\n" not in value and re.search(limit, value) is not None,
}


def _any_of(*kinds: Any) -> Reader:
    """What just one of several types takes; which of two is meant is left to pydantic."""
    readers = [reader_of(kind) for kind in kinds]
    others = [reader for reader, kind in zip(readers, kinds, strict=True) if kind is not NoneType]
    lone = others[0] if len(others) == 1 else None

    def read_one(value: Any, info: Info) -> Any:
        if lone is not None and value is not None:
            return lone(value, info)
        found = []
        for reader in readers:
            try:
                found.append(reader(value, info))
            except UNREAD:
                continue
        _expect(len(found) == 1)
        return found[0]

    return read_one


def _list_of(kind: Any) -> Reader:
    reader = reader_of(kind)
    return lambda value, info: [reader(each, info) for each in _expected(value, type(value) is list)]


def _tuple_of(*kinds: Any) -> Reader:
    readers = [reader_of(kind) for kind in kinds]

    def read_tuple(value: Any, info: Info) -> tuple[Any, ...]:
        _expect(type(value) is tuple and len(value) == len(readers))
        return tuple(reader(each, info) for reader, each in zip(readers, value, strict=True))

    return read_tuple


def _dict_of(name_kind: Any, kind: Any) -> Reader:
    key, reader = reader_of(name_kind), reader_of(kind)

    def read_dict(value: Any, info: Info) -> dict[Any, Any]:
        _expect(type(value) is dict)
        return {key(name, info): reader(each, info) for name, each in value.items()}

    return read_dict


_GENERIC: dict[Any, Callable[..., Reader]] = {
    Annotated: annotated,
    Union: _any_of,
    UnionType: _any_of,
    Literal: _one_of,
    list: _list_of,
    tuple: _tuple_of,
    dict: _dict_of,
}
"""What reads a type with parameters, given these."""
