"""The JSON of results: each field declared once, with its type, meaning and unit, as JSON Schema 2020-12.

A package declares what its results look like as JSON in a module ``answers``: TypedDicts whose fields are
``Annotated[type, Says(meaning, unit)]``. Their root is an :class:`Answer`; none of them has other fields.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from roofline.classes import frozen

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@frozen
class Says:
    """What a field means, and the unit of its number; a number without a unit is a plain one."""

    meaning: str
    unit: str = ""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """The field's schema with both: pydantic asks for it."""
        return {**handler(core), "description": self.meaning, **({"unit": self.unit} if self.unit else {})}


class Closed(TypedDict):
    """The root of a result without a version. Neither it nor what it holds has other fields."""

    __pydantic_config__ = {"extra": "forbid"}  # type: ignore[misc]  # noqa: RUF012


class Answer(Closed):
    """The root of a result: which version answers."""

    schema_version: Annotated[
        Literal[1], Says("version of these fields: it grows where one changes its meaning or goes")
    ]
    version: Annotated[str, Says("version of roofline")]


def schema_of(answer: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a declared result."""
    from pydantic import TypeAdapter  # noqa: PLC0415  (costs start-up only where a schema is asked for)

    return {"$schema": DIALECT, **_untitled(TypeAdapter(answer).json_schema(mode="serialization"))}


def _untitled(node: Any) -> Any:
    """A schema without the titles of its fields, which only repeat their names."""
    if isinstance(node, list):
        return [_untitled(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    return {name: _untitled(inner) for name, inner in node.items() if not (name == "title" and isinstance(inner, str))}
