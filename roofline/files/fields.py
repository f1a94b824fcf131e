"""What is stated of a field of a file beside its type: default, limits, key, how its text becomes a value."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, TypeVar

from roofline.classes import frozen

Function = TypeVar("Function")

REQUIRED: Any = ...
"""The default of a field that has none."""


@frozen(eq=False)
class Stated:
    """What is stated of a field beside its type."""

    default: Any = REQUIRED
    alias: str | None = None
    description: str | None = None
    strict: bool | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Pydantic asks for it: the limits belong to the value itself."""
        whole = schema = handler(source)
        while "schema" in schema and schema["type"] != "definitions":
            schema = schema["schema"]
        schema.update(self.limits if self.strict is None else {**self.limits, "strict": self.strict})
        return whole


def Field(  # noqa: N802  (as pydantic's)
    *,
    default: Any = REQUIRED,
    alias: str | None = None,
    description: str | None = None,
    strict: bool | None = None,
    **limits: Any,
) -> Any:
    """What is stated of a field; ``limits``: ge, gt, le, lt, min_length, max_length, pattern."""
    return Stated(default, alias, description, strict, limits)


@frozen(eq=False)
class BeforeValidator:
    """A function that a value goes through before it is read; with two parameters it is told the context, too.

    It raises ValueError, in one line, for what it cannot read.
    """

    function: Callable[..., Any]

    @property
    def asks_for_context(self) -> bool:
        """Whether it has a second parameter."""
        return self.function.__code__.co_argcount == 2

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Pydantic asks for it."""
        from pydantic_core import core_schema  # noqa: PLC0415  (costs start-up only where pydantic is asked)

        kind = "with_info" if self.asks_for_context else "no_info"
        return getattr(core_schema, f"{kind}_before_validator_function")(self.function, handler(source))


@frozen(eq=False)
class Info:
    """What a validator is told: the context of the reading."""

    context: Mapping[str, Any] | None


def model_validator(*, mode: str) -> Callable[[Function], Function]:
    """Marks a method that checks a whole door: ``before`` its fields are read, given them, or ``after``."""

    def mark(function: Function) -> Function:
        getattr(function, "__func__", function).__dict__["checks"] = mode
        return function

    return mark


def fresh(default: Any) -> Any:
    """A default that its owner may keep."""
    return type(default)(default) if isinstance(default, (list, dict)) else default


def hint_of(owner: type, name: str) -> Any:
    """The annotation of one field of a class, with all that is stated in it.

    ``typing.get_type_hints`` works out those of all fields, and takes several times as long for each.

    >>> hint_of(Stated, "alias")
    str | None
    """
    where = next(base for base in owner.__mro__ if name in vars(base).get("__annotations__", {}))
    hint = vars(where)["__annotations__"][name]
    return eval(hint, vars(sys.modules[where.__module__])) if isinstance(hint, str) else hint
