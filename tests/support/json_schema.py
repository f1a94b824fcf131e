"""A JSON Schema checker for what the schemas of results use: strict, and it tells which properties it met."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Property = tuple[str, str]
Schema = dict[str, Any]

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}

TOLD = {"$schema", "$defs", "description", "unit", "default", "title", "properties"}
"""What says something and checks nothing, or is read with ``additionalProperties``."""


class MismatchError(ValueError):
    """Where a value is not what the schema says."""


def check(value: Any, schema: Schema) -> set[Property]:
    """The properties of the schema that ``value`` has, with the object each is of. Raises MismatchError."""
    return Node(schema, schema, "answer", "$").met(value)


def declared(schema: Schema) -> dict[Property, Schema]:
    """Every property of the schema, with its own schema."""
    objects = {"answer": schema, **schema.get("$defs", {})}
    return {(name, key): own for name, each in objects.items() for key, own in each.get("properties", {}).items()}


@dataclass(frozen=True)
class Node:
    """A place in the schema, the object that it is of, and the place in the value."""

    root: Schema
    schema: Schema
    name: str
    where: str

    def met(self, value: Any) -> set[Property]:
        """The properties that ``value`` has here and below."""
        found: set[Property] = set()
        for word, given in sorted(self.schema.items(), key=lambda each: each[0] != "type"):
            if word in READ:
                found |= READ[word](self, value, given)
            elif word in HOLDS:
                self.need(HOLDS[word](value, given), f"{value!r} is not of {word} {given}")
            else:
                assert word in TOLD, f"{word} is not read here"
        return found

    def need(self, right: bool, problem: str) -> None:
        if not right:
            msg = f"{self.where}: {problem}"
            raise MismatchError(msg)

    def at(self, schema: Schema, step: str) -> Node:
        return replace(self, schema=schema, where=self.where + step)

    def ref(self, value: Any, given: str) -> set[Property]:
        target = given.rpartition("/")[2]
        return replace(self, schema=self.root["$defs"][target], name=target).met(value)

    def any_of(self, value: Any, choices: list[Schema]) -> set[Property]:
        found, problems = [], []
        for choice in choices:
            try:
                found.append(self.at(choice, "").met(value))
            except MismatchError as problem:
                problems.append(str(problem))
        self.need(bool(found), "; ".join(problems))
        return set().union(*found)

    def items(self, value: list[Any], given: Schema) -> set[Property]:
        return set().union(*(self.at(given, f"[{place}]").met(each) for place, each in enumerate(value)))

    def names(self, value: Schema, given: Schema) -> set[Property]:
        return set().union(*(self.at(given, ": name").met(name) for name in value))

    def fields(self, value: Schema, more: bool | Schema) -> set[Property]:
        own = self.schema.get("properties", {})
        found: set[Property] = set()
        for key, inner in value.items():
            self.need(key in own or more is not False, f"{key} is not declared")
            found |= {(self.name, key)} if key in own else set()
            schema = own.get(key, {} if more is True else more)
            found |= self.at(schema, f".{key}").met(inner)
        return found


READ: dict[str, Callable[[Node, Any, Any], set[Property]]] = {
    "$ref": Node.ref,
    "anyOf": Node.any_of,
    "items": Node.items,
    "propertyNames": Node.names,
    "additionalProperties": Node.fields,
}

HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda value, kind: isinstance(value, TYPES[kind]) and isinstance(value, bool) <= (kind == "boolean"),
    "enum": lambda value, words: value in words,
    "const": lambda value, word: value == word,
    "required": lambda value, names: set(names) <= set(value),
    "minimum": lambda value, least: value >= least,
    "maximum": lambda value, most: value <= most,
    "exclusiveMinimum": lambda value, least: value > least,
    "minLength": lambda value, least: len(value) >= least,
    "maxLength": lambda value, most: len(value) <= most,
    "minItems": lambda value, least: len(value) >= least,
    "minProperties": lambda value, least: len(value) >= least,
    "pattern": lambda value, pattern: bool(re.search(pattern, value)),
}
