"""What the doors say about a file's fields: pydantic's findings in our words, one line.

A door is a pydantic model that reads what a user wrote: a hardware spec, a calibration, a model configuration.
"""

from __future__ import annotations

import re
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin

from roofline.errors import LONGEST, SpecError, near_matches, one_line, shown
from roofline.files.door import Door

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Declared: TypeAlias = "type[Door] | type[BaseModel]"
Kind = TypeVar("Kind", bound="Door | BaseModel")

_TYPES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list, [a, b]",
    "dict_type": "a mapping, {name: value}",
}
_BOUNDS = {
    "greater_than_equal": "at least",
    "greater_than": "above",
    "less_than_equal": "at most",
    "less_than": "below",
}


def validated(model: type[Kind], fields: Mapping[str, Any], where: str, context: Any = None) -> Kind:
    """``fields`` as a ``model``. Raises SpecError: where, field, what was given, what was expected."""
    try:
        read: Kind = cast("Any", model).model_validate(dict(fields), context=context)
    except ValueError as failure:
        msg = f"{where}: {first_problem(failure, cast('Declared', model))}"
        raise SpecError(msg) from None
    return read


def first_problem(failure: ValueError, model: Declared) -> str:
    """The first problem of ``failure``, one line: field path: what was given, what was expected, how to fix it.

    ``model`` is what was being validated; it knows the fields that a misspelt one may mean. An unknown field comes
    before a missing one, whose misspelling it may be. Further problems are counted at the end.
    """
    first, *others = problems(failure, model)
    return f"{first} (and {len(others)} more)" if others else first


def problems(failure: ValueError, model: Declared) -> list[str]:
    """Every problem of ``failure``, one line each, unknown fields first."""
    from pydantic import ValidationError  # noqa: PLC0415  (costs start-up only where something is wrong)

    assert isinstance(failure, ValidationError)
    found = sorted(failure.errors(include_url=False), key=lambda p: p["type"] != "extra_forbidden")
    lines = []
    for problem in found:
        steps = [step for step in problem["loc"] if step != "[key]"]
        path = ".".join(str(step)[:LONGEST] for step in steps)
        lines.append(one_line(f"{path + ': ' if path else ''}{_problem(problem, steps, model)}"))
    return lines


def _problem(found: Mapping[str, Any], steps: Sequence[int | str], model: Declared) -> str:
    """One finding of pydantic, without its path."""
    kind, given, context = found["type"], found["input"], found.get("ctx", {})
    if kind == "value_error":
        return str(found["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        owner = _model(_at(model, steps[:-1]))
        return f"unknown field; {near_matches(str(steps[-1]).lower(), _names(owner))}" if owner else "unknown field"
    if kind == "missing":
        return f"missing, expected {_wanted(model, steps)}"
    if kind == "literal_error":
        what = "unknown name" if found["loc"][-1] == "[key]" else f"given {shown(given)}"
        words = re.findall("'([^']*)'", context["expected"])
        return f"{what}; {near_matches(given.lower() if isinstance(given, str) else '', words)}"
    return f"given {shown(given)}, expected {_expected(found, steps, model)}"


def _expected(found: Mapping[str, Any], steps: Sequence[int | str], model: Declared) -> str:
    """What should have stood where the type, the size or the form is wrong."""
    kind, given, context = found["type"], found["input"], found.get("ctx", {})
    if kind == "string_type" and isinstance(given, (int, float)):
        return "text (write it in quotes)"
    if kind in _BOUNDS:
        return f"{_BOUNDS[kind]} {next(iter(context.values())):g}"
    if kind.endswith("too_short"):
        return f"at least {context['min_length']} {'character' if kind.startswith('string') else 'entry'}"
    if kind.endswith("too_long"):
        return f"at most {context['max_length']} {'characters' if kind.startswith('string') else 'entries'}"
    if kind in ("string_pattern_mismatch", "model_type", "model_attributes_type"):
        return _wanted(model, steps)
    return _EXPECTED.get(kind) or str(found["msg"]).replace("Input should be ", "")


def _wanted(model: Declared, steps: Sequence[int | str]) -> str:
    """What a missing field holds: its description, else its type in words."""
    field = _field(model, steps)
    return (field.description if field else None) or _type_in_words(_at(model, steps))


def _type_in_words(annotation: Any) -> str:
    annotation = _bare(annotation)
    if owner := _model(annotation):
        return f"a mapping of {', '.join(_names(owner))}"
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(str(word) for word in get_args(annotation))}"
    return _TYPES.get(get_origin(annotation) or annotation, "a mapping")


def _at(model: Declared, steps: Sequence[int | str]) -> Any:
    """The type of what stands at ``steps`` below ``model``, or None where that is not known."""
    here: Any = model
    for step in steps:
        owner = _model(here)
        if owner is not None:
            field = _find(owner, step)
            here = field.annotation if field else None
        else:
            inner = _bare(here)
            here = get_args(inner)[-1] if get_origin(inner) in (dict, list) else None
    return here


def _field(model: Declared, steps: Sequence[int | str]) -> FieldInfo | None:
    owner = _model(_at(model, steps[:-1])) if steps else None
    return _find(owner, steps[-1]) if owner else None


def _find(owner: Declared, step: int | str) -> FieldInfo | None:
    return next((info for name, info in _fields(owner).items() if step == (info.alias or name)), None)


def _fields(owner: Declared) -> Mapping[str, FieldInfo]:
    from roofline.files.pydantic_models import pydantic_model  # noqa: PLC0415

    return (pydantic_model(owner) if issubclass(owner, Door) else owner).model_fields


def _names(owner: Declared) -> list[str]:
    return [info.alias or name for name, info in _fields(owner).items()]


def _model(annotation: Any) -> Declared | None:
    from pydantic import BaseModel  # noqa: PLC0415

    bare = _bare(annotation)
    return bare if isinstance(bare, type) and issubclass(bare, (Door, BaseModel)) else None


def _bare(annotation: Any) -> Any:
    """A type without Annotated and without ``| None``."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _bare(next(part for part in get_args(annotation) if part is not NoneType))
    return annotation
