"""One option: its name and type as Python has them, and beside them its help, default, unit and place in the help."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from numbers import Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches

Typed = TypeVar("Typed", int, float)


@frozen
class Option:
    """What is known of an option beside its name and type.

    ``usual`` says in words what is taken where nobody gives it and ``default`` is none; ``metavar`` names the value;
    ``everyday`` puts it into ``--help``, the others are in ``--help-all``; options with the same ``line`` share one
    line of ``--help``; ``flag`` is how the command line spells it where that is not its name; with ``many`` it may be
    given several times, as PATH=VALUE; a ``hidden`` one is in neither help.
    """

    help: str
    default: Any = None
    usual: str = ""
    metavar: str = ""
    everyday: bool = False
    line: str = ""
    flag: str = ""
    many: bool = False
    hidden: bool = False


@frozen
class Field:
    """An option by name: a keyword in Python, a flag on the command line."""

    name: str
    kind: Any
    option: Option

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that it may have, None among them where it may be left open."""
        return _kinds(self.kind)

    @property
    def flags(self) -> tuple[str, ...]:
        """How the command line spells it, the long form first."""
        return tuple(self.option.flag.split()) or (f"--{self.name.replace('_', '-')}",)

    @property
    def text(self) -> str:
        """Its help with what is taken where nobody gives it."""
        option = self.option
        usual = option.usual or ("" if option.default in (None, False) else str(option.default))
        return f"{option.help}  [default: {usual}]" if usual else option.help

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it takes; empty where it takes more than words."""
        return _words(self.kind)

    def check_type(self, value: object, *, several: bool = False) -> None:
        """Raises UsageError for a value of another type, where ``several`` for what is no list either.

        What a number may be is for who reads it.
        """
        listed = several and isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        if not listed and not any(_is_of(value, each) for each in self.kinds):
            names = {_TYPES.get(get_origin(each) or each, "") for each in self.kinds}
            msg = f"{self.name} {value!r}: expected {' or '.join(sorted(filter(None, names)))}"
            raise UsageError(msg)

    def check(self, value: object) -> None:
        """Raises UsageError for a word that it does not take."""
        if self.words and value not in self.words and not (value is None and NoneType in self.kinds):
            few = f"expected {' or '.join(self.words)}"
            msg = f"{self.flags[0]} {value!r}: {few if len(self.words) < 5 else near_matches(str(value), self.words)}"
            raise UsageError(msg)


_TYPES: Mapping[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a pair",
    Sequence: "a list",
    Collection: "a list",
    Mapping: "a mapping",
    Path: "a path",
}


def _is_of(value: object, kind: Any) -> bool:
    """Whether a value is of a type as far as it can be told: a library's number is one, words have a check."""
    if kind is Any or get_origin(kind) is Literal:
        return True
    if kind in (int, float):
        return isinstance(value, Real) and not isinstance(value, bool)
    if getattr(kind, "_is_protocol", False):
        return hasattr(value, "name")
    return isinstance(value, get_origin(kind) or kind)


@cache
def _kinds(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


@cache
def _words(kind: Any) -> tuple[str, ...]:
    literals = [each for each in _kinds(kind) if get_origin(each) is Literal]
    return tuple(word for each in literals for word in get_args(each))


def fields_of(group: type) -> tuple[Field, ...]:
    """The options of a group, a TypedDict whose fields are ``Annotated[type, Option(...)]``, in their order.

    >>> from roofline.options.groups import Degrees
    >>> [field.flags[0] for field in fields_of(Degrees)]
    ['--tp', '--pp', '--dp', '--ep', '--cp', '--dcp', '--sp']
    """
    return _read(group)


@cache
def worded(group: type) -> tuple[tuple[Field, tuple[str | None, ...]], ...]:
    """Those options of a group that take words alone, and what they take."""
    found = [field for field in fields_of(group) if field.words]
    return tuple((field, (*field.words, *([None] if NoneType in field.kinds else []))) for field in found)


@cache
def _read(group: type) -> tuple[Field, ...]:
    return tuple(_fields(get_type_hints(group, include_extras=True)))


def _fields(hints: Mapping[str, Any]) -> Iterator[Field]:
    for name, hint in hints.items():
        assert get_origin(hint) is Annotated, f"{name} has no Option"
        kind, option = get_args(hint)
        yield Field(name, kind, option)


def typed_number(text: str, kind: type[Typed]) -> Typed:
    """A number in the digits 0 to 9. Raises ValueError for what Python reads besides: ``1_0``, other scripts' digits.

    >>> typed_number("10", int)
    10
    """
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return kind(text)
