"""Doors: what a file's fields must be, declared once; what is as declared is read at once, pydantic words the rest.

A door is a frozen class of annotated fields, declared as a pydantic model is. Loading pydantic and building its
validators takes longer than a whole prediction, so it is asked only about what :mod:`roofline.files.readers` refuses,
and for JSON Schema. Both accept the same files with the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from typing import Any, ClassVar, Self, dataclass_transform

from roofline.files.fields import REQUIRED, Field, Info, Stated, fresh, hint_of
from roofline.files.readers import UNREAD, Reader, UnreadError, annotated


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
class Door:
    """What a block of a file holds: no unknown fields, strict types, nothing that can be changed."""

    __slots__ = ("__dict__", "model_fields_set")

    stated: ClassVar[Mapping[str, Stated]] = {}
    checks_before: ClassVar[tuple[str, ...]] = ()
    checks_after: ClassVar[tuple[str, ...]] = ()
    _names: ClassVar[Mapping[str, str]] = {}
    _defaults: ClassVar[Mapping[str, Any]] = {}
    _required: ClassVar[frozenset[str]] = frozenset()
    _changeable: ClassVar[tuple[str, ...]] = ()
    _made: ClassVar[dict[str, Reader]] = {}
    model_fields_set: frozenset[str]

    def __init_subclass__(cls) -> None:
        own = {
            name: default if isinstance(default := vars(cls).get(name, REQUIRED), Stated) else Stated(default)
            for name, hint in vars(cls).get("__annotations__", {}).items()
            if not name.startswith("_") and not str(hint).startswith("ClassVar")
        }
        marked = {name: getattr(getattr(each, "__func__", each), "checks", "") for name, each in vars(cls).items()}
        cls.stated = {**cls.stated, **own}
        cls._names = {each.alias or name: name for name, each in cls.stated.items()}
        cls._defaults = {name: each.default for name, each in cls.stated.items()}
        cls._required = frozenset(name for name, each in cls.stated.items() if each.default is REQUIRED)
        cls._changeable = tuple(name for name, each in cls.stated.items() if isinstance(each.default, (list, dict)))
        cls._made = {}
        cls.checks_before = (*(name for name, mode in marked.items() if mode == "before"), *cls.checks_before)
        cls.checks_after = (*cls.checks_after, *(name for name, mode in marked.items() if mode == "after"))

    def __init__(self, /, **fields: Any) -> None:
        """Raises ValueError, pydantic's ValidationError, for fields that are not as declared."""
        read = type(self).model_validate(fields)
        self._become(read._values, read.model_fields_set)

    @property
    def _values(self) -> dict[str, Any]:
        """The values of the fields, without what was worked out of them."""
        return {name: self.__dict__[name] for name in self.stated if name in self.__dict__}

    def _become(self, values: Mapping[str, Any], given: frozenset[str]) -> None:
        object.__setattr__(self, "__dict__", dict(values))
        object.__setattr__(self, "model_fields_set", given)

    @classmethod
    def model_validate(cls, fields: Any, context: Mapping[str, Any] | None = None) -> Self:
        """``fields`` as a door. Raises ValueError, pydantic's ValidationError, where they are not as declared."""
        try:
            return cls._read(fields, Info(context))
        except UNREAD:
            from roofline.files.pydantic_models import validated_by_pydantic  # noqa: PLC0415  (only to word a refusal)

            made: Self = validated_by_pydantic(cls, fields, context)
            return made

    @classmethod
    def _read(cls, fields: Any, info: Info) -> Self:
        """``fields`` as a door. Raises UnreadError, or what a check raises, where pydantic must say what is wrong."""
        if isinstance(fields, cls):
            return fields
        for name in cls.checks_before:
            fields = getattr(cls, name)(fields)
        if type(fields) is not dict or not fields.keys() <= cls._names.keys():
            raise UnreadError
        given = {name: cls._reader(name)(value, info) for key, value in fields.items() for name in [cls._names[key]]}
        if not cls._required <= given.keys():
            raise UnreadError
        values = {**cls._defaults, **given}
        values |= {name: fresh(values[name]) for name in cls._changeable if name not in given}
        return cls.from_values(values, frozenset(given))

    @classmethod
    def _reader(cls, name: str) -> Reader:
        """The reader of a field, made when a file first has it: most files have few of the fields."""
        if name not in cls._made:
            cls._made[name] = annotated(hint_of(cls, name), cls.stated[name])
        return cls._made[name]

    @classmethod
    def read_by(cls, _: object) -> Reader:
        """How a door within another is read."""
        return cls._read

    @classmethod
    def from_values(cls, values: Mapping[str, Any], given: frozenset[str]) -> Self:
        """A door of values that were read. Raises ValueError where they contradict each other."""
        made = object.__new__(cls)
        made._become(values, given)
        for name in cls.checks_after:
            getattr(made, name)()
        return made

    @classmethod
    def model_construct(cls, **values: Any) -> Self:
        """A door of these values, unchecked."""
        made = object.__new__(cls)
        defaults = {name: fresh(each.default) for name, each in cls.stated.items() if each.default is not REQUIRED}
        made._become({**defaults, **values}, frozenset(values))
        return made

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """The same with other values, unchecked."""
        made = object.__new__(type(self))
        made._become({**self._values, **update}, self.model_fields_set | update.keys())
        return made

    def model_dump(
        self, *, mode: str = "python", by_alias: bool = False, exclude_defaults: bool = False
    ) -> dict[str, Any]:
        """The values by name, doors within as mappings."""
        how = {"mode": mode, "by_alias": by_alias, "exclude_defaults": exclude_defaults}
        told = {
            name: value
            for name, value in self._values.items()
            if not (exclude_defaults and value == self.stated[name].default)
        }
        names = {name: (by_alias and self.stated[name].alias) or name for name in told}
        return {names[name]: _dumped(value, how) for name, value in told.items()}

    @classmethod
    def model_json_schema(cls, *, by_alias: bool = True) -> dict[str, Any]:
        """The JSON Schema of a file."""
        from pydantic import TypeAdapter  # noqa: PLC0415

        return TypeAdapter(cls).json_schema(by_alias=by_alias)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Pydantic asks for it, where a door stands in a model."""
        from roofline.files.pydantic_models import core_schema_of  # noqa: PLC0415

        return core_schema_of(cls, handler)

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"cannot assign to field {name!r}"
        raise FrozenInstanceError(msg)

    def __eq__(self, other: object) -> bool:
        return self._values == other._values if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._values.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self._values, self.model_fields_set)


def _restored(cls: type[Door], values: Mapping[str, Any], given: frozenset[str]) -> Door:
    made = object.__new__(cls)
    made._become(values, given)
    return made


def _dumped(value: Any, how: Mapping[str, Any]) -> Any:
    if isinstance(value, Door):
        return value.model_dump(**how)
    if isinstance(value, Mapping):
        return {name: _dumped(inner, how) for name, inner in value.items()}
    return [_dumped(inner, how) for inner in value] if isinstance(value, (list, tuple)) else value
