"""The YAML that our files are written in: mappings, lists, text and plain numbers, each value where it stands.

Built from the parser's events in one pass, which refuses what surprises people or could be a bomb: references, tags,
further documents, duplicate keys, deep nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

MAX_DEPTH = 20

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent, yaml.StreamEndEvent)

Events = Iterator[Any]


def load(text: str) -> Any:
    """What the one document in ``text`` holds; None where there is none.

    Raises yaml.YAMLError with the place, ValueError for an integer of thousands of digits.

    >>> load("a: [1, 2.5, yes, null]")
    {'a': [1, 2.5, 'yes', None]}
    """
    events: Events = iter(yaml.parse(text, Loader=_PARSER))
    next(events)  # the stream begins
    if isinstance(next(events), yaml.StreamEndEvent):
        return None
    found = _value(next(events), events, 0)
    next(events)  # the document ends
    if not isinstance(following := next(events), yaml.StreamEndEvent):
        _refuse("but found another document", following)
    return found


def _value(event: Any, events: Events, depth: int) -> Any:
    """The value that begins with ``event``, at ``depth`` collections."""
    if isinstance(event, yaml.AliasEvent) or event.anchor:
        _refuse("anchors and aliases are not allowed; write the value out", event)
    if event.tag:
        _refuse("tags are not allowed; write a plain value", event)
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    if depth == MAX_DEPTH:
        _refuse(f"nested deeper than {MAX_DEPTH} levels", event)
    if isinstance(event, yaml.SequenceStartEvent):
        return [_value(inner, events, depth + 1) for inner in _until_closed(events)]
    return _mapping(events, depth + 1)


def _until_closed(events: Events) -> Events:
    """The events that begin a value, until the collection ends."""
    while not isinstance(event := next(events), _CLOSING):
        yield event


def _mapping(events: Events, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in _until_closed(events):
        key = _value(event, events, depth)
        if not isinstance(key, str):
            _refuse("a key must be plain text", event)
        if key in found:
            _refuse(f"duplicate key {key!r}", event)
        found[key] = _value(next(events), events, depth)
    return found


def _scalar(event: Any) -> str | int | float | bool | None:
    """Only these words, decimal integers and decimal floats are more than text: no dates, no octal, no yes and no."""
    text: str = event.value
    if not event.implicit[0]:  # in quotes, or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _refuse(problem: str, event: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
