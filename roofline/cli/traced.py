"""A MODEL that is code, as the verbs take it: traced before anything is asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    if given := [name for name in ("input", "dims", "strict") if asked.get(name)]:
        refuse(f"--{given[0]} goes with a MODEL that is code: my.py:make_model or transformers:config.json")
    return text
