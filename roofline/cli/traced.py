"""A MODEL that is code, as the verbs take it: traced before anything is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from roofline.cli.console import refuse
from roofline.options.groups import Tracing

if TYPE_CHECKING:
    from roofline.models.model import Model


def model_of(text: str, asked: Tracing) -> str | Model:
    """The traced module that ``text`` names, or the name itself. Raises UsageError for flags that go with code."""
    from roofline.models.sources import is_code

    if is_code(text):
        from roofline.tracing.sources import trace_source

        return trace_source(text, asked["input"] or {}, asked["dims"] or {}, strict=asked["strict"])
    if given := [name for name in ("input", "strict") if asked.get(name)]:
        refuse(f"--{given[0]} goes with a MODEL that is code: my.py:make_model or transformers:config.json")
    return _recorded(text, asked["dims"]) if asked["dims"] else text


def _recorded(text: str, dims: Mapping[str, Any]) -> Model:
    """A recorded trace with other numbers of its letters. Raises UsageError for a network that was not traced."""
    from roofline.models.model import load_model

    model = load_model(text)
    if model.model_type != "traced":
        refuse(f"--dims goes with a MODEL that is code or a recorded trace; {model.name} is neither")
    return load_model(text, overrides=dims)
