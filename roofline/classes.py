"""Frozen, slotted dataclasses that are cheap to declare: a method is compiled when it is first called.

The standard decorator compiles seven methods of each class, half a millisecond; a command imports 200 classes and makes
things of 80. All else is the standard library's: ``fields``, ``replace``, ``asdict`` and ``match`` work as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform, overload

Kind = TypeVar("Kind", bound=type)
Source = Callable[[Any], tuple[str, str, dict[str, Any]]]
"""What writes a method of a class: its parameters, its body, the values that it names."""


@overload
def frozen(cls: Kind, /) -> Kind: ...
@overload
def frozen(*, eq: bool) -> Callable[[Kind], Kind]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, eq: bool = True) -> Any:
    """Decorates a class as ``@dataclass(frozen=True, slots=True, eq=eq)`` does.

    >>> @frozen
    ... class Point:
    ...     x: int
    ...     y: int = 0
    >>> Point(1) == Point(1, 0), hash(Point(1)) == hash(Point(1, 0)), Point(2)
    (True, True, Point(x=2, y=0))
    """
    return _made(cls, eq=eq) if cls is not None else lambda cls: _made(cls, eq=eq)


def _made(given: type, *, eq: bool) -> type:
    cls: type = dataclass(init=False, repr=False, eq=False, slots=True)(given)
    compiled: dict[str, Source] = {"__init__": _init, **({"__eq__": _eq, "__hash__": _hash} if eq else {})}
    methods = {**_SHARED, **{name: _at_first_call(cls, name, source) for name, source in compiled.items()}}
    for name, method in methods.items():
        if name not in vars(given):
            setattr(cls, name, method)
    return cls


def _at_first_call(cls: Any, name: str, source: Source) -> Callable[..., Any]:
    """A method that puts the compiled one in its place."""

    def method(self: object, *values: Any, **named: Any) -> Any:
        parameters, body, known = source(cls)
        exec(f"def {name}(self{parameters}):\n {body}", known)
        compiled = known[name]
        compiled.__qualname__ = f"{cls.__qualname__}.{name}"
        setattr(cls, name, compiled)
        return compiled(self, *values, **named)

    return method


def _init(cls: Any) -> tuple[str, str, dict[str, Any]]:
    known: dict[str, Any] = {"_set": object.__setattr__, "_absent": MISSING}
    parameters, body = "", []
    for each in fields(cls):
        name, makes, usual = each.name, f"_make_{each.name}", f"_default_{each.name}"
        known |= {makes: each.default_factory, usual: each.default}
        has_factory, has_default = each.default_factory is not MISSING, each.default is not MISSING
        if each.init:
            parameters += f", {name}={usual}" if has_factory or has_default else f", {name}"
            body.append(f"_set(self, {name!r}, {f'{makes}() if {name} is _absent else ' * has_factory}{name})")
        elif has_factory or has_default:
            body.append(f"_set(self, {name!r}, {f'{makes}()' if has_factory else usual})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    return parameters, "; ".join(body) or "pass", known


def _compared(cls: Any, owner: str) -> str:
    """The tuple of all fields that are compared."""
    return f"({''.join(f'{owner}.{each.name}, ' for each in fields(cls) if each.compare)})"


def _eq(cls: Any) -> tuple[str, str, dict[str, Any]]:
    same = f"{_compared(cls, 'self')} == {_compared(cls, 'other')}"
    return ", other", f"return {same} if other.__class__ is self.__class__ else NotImplemented", {}


def _hash(cls: Any) -> tuple[str, str, dict[str, Any]]:
    return "", f"return hash({_compared(cls, 'self')})", {}


def _shown(self: Any) -> Iterator[str]:
    return (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)


def _repr(self: Any) -> str:
    return f"{type(self).__qualname__}({', '.join(_shown(self))})"


def _refuse_set(self: object, name: str, value: object) -> None:
    msg = f"cannot assign to field {name!r}"
    raise FrozenInstanceError(msg)


def _refuse_del(self: object, name: str) -> None:
    msg = f"cannot delete field {name!r}"
    raise FrozenInstanceError(msg)


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for each, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)


_SHARED: dict[str, Callable[..., Any]] = {
    "__repr__": _repr,
    "__setattr__": _refuse_set,
    "__delattr__": _refuse_del,
    "__getstate__": _state,
    "__setstate__": _set_state,
}
