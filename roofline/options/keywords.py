"""Options as keywords of Python functions: names and words checked, defaults filled in, signatures that show them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from roofline.errors import UsageError, near_matches
from roofline.options.option import Field, fields_of, worded

Function = TypeVar("Function", bound=Callable[..., Any])
Group = TypeVar("Group")


def takes(group: type, several: Collection[str] = ()) -> Callable[[Function], Function]:
    """Have a function take the options of ``group`` as keywords: ``def f(model, **options: Unpack[PredictOptions])``.

    Those named in ``several`` may be lists too.

    The function gets all of them, with the defaults of those that are left out; ``help`` and notebooks see them one by
    one. Calling it raises UsageError for a keyword that is not among them, for a value of another type, and for a word
    that an option does not take.
    """

    def decorate(function: Function) -> Function:
        @wraps(function)
        def checked(*given: Any, **options: Any) -> Any:
            own = {name: options.pop(name) for name in named if name in options}
            return function(*given, **own, **completed(group, options, function.__name__, several))

        plain = inspect.signature(function)
        named = [p.name for p in plain.parameters.values() if p.kind is not p.VAR_KEYWORD]
        kept = [plain.parameters[name] for name in named]
        shown = [*kept, *(_parameter(field) for field in fields_of(group))]
        vars(checked)["__signature__"] = plain.replace(parameters=shown)
        return cast(Function, checked)

    return decorate


def completed(group: type, given: Mapping[str, Any], where: str, several: Collection[str] = ()) -> dict[str, Any]:
    """All options of ``group``, those that are not ``given`` by default.

    A scalar of numpy's is Python's, and 4.0 is 4 where whole numbers are expected.

    Raises UsageError for a name, a type or a word.
    """
    fields = fields_of(group)
    if strange := given.keys() - {field.name for field in fields}:
        name = min(strange)
        msg = f"{where}: {name} is no keyword of it; {near_matches(name, [field.name for field in fields])}"
        raise UsageError(msg)
    plain: dict[str, Any] = {}
    for field in fields:
        if field.name in given:
            plain[field.name] = _plain(given[field.name], field)
            field.check_type(plain[field.name], several=field.name in several)
    values = {field.name: plain.get(field.name, field.option.default) for field in fields}
    for field, words in worded(group):
        if values[field.name] not in words:
            field.check(values[field.name])
    return values


def _plain(value: Any, field: Field) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    whole = isinstance(value, float) and value.is_integer() and int in field.kinds and float not in field.kinds
    return int(value) if whole else value


def part(group: type[Group], options: Mapping[str, Any]) -> Group:
    """Those of ``options`` that belong to ``group``.

    >>> from roofline.options.groups import Dtype
    >>> part(Dtype, {"batch": 16, "dtype": "fp8"})
    {'dtype': 'fp8'}
    """
    names = [field.name for field in fields_of(group)]
    return cast(Group, {name: options[name] for name in names if name in options})


def given(options: Mapping[str, object]) -> dict[str, Any]:
    """Those of ``options`` that are not left open, by name.

    >>> given({"tp": 4, "pp": None})
    {'tp': 4}
    """
    return {name: value for name, value in options.items() if value is not None}


def _parameter(field: Field) -> inspect.Parameter:
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=field.option.default, annotation=field.kind
    )
