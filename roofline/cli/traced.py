"""A MODEL that is code, as the verbs take it: traced before anything is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.cli.console import refuse, warn
from roofline.options.groups import Tracing

if TYPE_CHECKING:
    from roofline.models.model import Model
    from roofline.tracing.trace import Mode

_CODE = "my.py:make_model, transformers: or diffusers:config.json"


def model_of(
    text: str, asked: Tracing, *, batch: object = None, prompt: object = None, training: bool = False,
    context: object = None, generating: bool = False,
) -> str | Model:  # fmt: skip
    """The traced module that ``text`` names, or the name itself; it is run at this ``batch`` and ``prompt``.

    ``training``: both passes of a training step; ``context``: a decode step over caches of so many tokens;
    ``generating``: the pass that reads a prompt and a decode step, of a module that has both.

    Raises UsageError for flags that go with code.
    """
    from roofline.models.sources import is_code

    if is_code(text):
        from roofline.tracing.sources import trace_source

        length = prompt if context is None else context
        asked_about = {letter: size for letter, size in (("B", batch), ("S", length)) if isinstance(size, int)}
        ones = [letter for letter, size in asked_about.items() if size == 1]
        at = {letter: size for letter, size in asked_about.items() if size > 1}
        given = (asked["input"] or {}, asked["dims"] or {})
        mode: Mode = "decoding" if context is not None else "generation" if generating else "inference"
        how: Mode = "training" if training else mode
        return trace_source(text, *given, strict=asked["strict"], ones=ones, at=at, mode=how)
    if strange := [name for name in ("input", "strict") if asked.get(name)]:
        refuse(f"--{strange[0]} goes with a MODEL that is code: {_CODE}")
    return _recorded(text, asked["dims"]) if asked["dims"] else text


def recorded_models(models: str, asked: Tracing, folder: Path) -> str:
    """Names of models with commas, of which those that are code are traced into files of ``folder``, once."""
    from roofline.models.sources import is_code

    names = [name.strip() for name in models.split(",")]
    traced = {name: model_of(name, asked, generating=True) for name in names if is_code(name)}
    if not traced and (given := [name for name in ("input", "dims", "strict") if asked.get(name)]):
        refuse(f"--{given[0]} goes with a MODEL that is code: {_CODE}")
    files = {
        name: folder / f"{name.rpartition(':')[2].removesuffix('.json').rpartition('/')[2]}.json" for name in traced
    }
    if len(set(files.values())) < len(files):
        refuse(f"{models}: two of them bear one name; record them under names of their own (roofline models record)")
    for name, model in traced.items():
        assert not isinstance(model, str)
        for warning in model.warnings:
            warn(warning)
        folder.mkdir(parents=True, exist_ok=True)
        model.write_trace(files[name])
    return ",".join(str(files.get(name, name)) for name in names)


def _recorded(text: str, dims: Mapping[str, Any]) -> Model:
    """A recorded trace, or a generator, with other numbers of its letters. Raises UsageError for any other network."""
    from roofline.models.model import GENERATES, load_model

    model = load_model(text)
    if model.model_type not in ("traced", GENERATES):
        refuse(f"--dims goes with a MODEL that is code or a recorded trace; {model.name} is neither")
    return load_model(text, overrides=dims)
