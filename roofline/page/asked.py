"""What a request asks: a query becomes the keywords of a verb, and nothing that it says becomes the path of a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import NoneType
from typing import Any

from roofline.errors import UsageError, near_matches, shown
from roofline.files.library import parsed_yaml
from roofline.hardware.library import is_path, parted
from roofline.hardware.loading import spec_from_fields
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model, load_gguf_header, load_model, load_preset
from roofline.models.sources import parsed_json
from roofline.options.edits import read_edit
from roofline.options.option import Field, fields_of
from roofline.program.traffic.sessions import SESSIONS
from roofline.program.traffic.traffic import PRESETS

Pairs = Sequence[tuple[str, str]]
"""A query as it was given: ``set`` may come several times."""

MAX_TEXT = 32_768
"""Letters of a configuration or a spec of one's own, which stands in the query."""

_MODEL, _HARDWARE = ("model", "config", "gguf"), ("hardware", "spec")
SUBJECT = (*_MODEL, *_HARDWARE)
"""What says which model and which hardware are meant."""


def keywords_of(pairs: Pairs, group: type, own: Collection[str] = SUBJECT) -> dict[str, Any]:
    """The options of ``group`` that a query gives; ``own`` are names that the verb reads by itself.

    Raises RooflineError for a name that is neither, for one that comes twice, for what is no number or word where one
    is expected, and for the name of a file, which a request cannot have read.
    """
    fields = {field.name: field for field in fields_of(group)}
    if strange := [name for name, _ in pairs if name not in fields and name not in own]:
        msg = f"query {shown(strange[0])}: no such option; {near_matches(strange[0], [*own, *fields])}"
        raise UsageError(msg)
    edits = dict(read_edit(text) for name, text in pairs if name == "set")
    given = _once(pairs, [name for name in fields if name != "set"])
    found = {name: _value(fields[name], text) for name, text in given.items()}
    found |= {name: _NO_FILE[name](value) for name, value in found.items() if name in _NO_FILE}
    return {**found, **({"set": edits} if edits else {})}


def model_asked(pairs: Pairs) -> Model:
    """The model of a query: ``model``, the name of a preset, ``config``, the text of a config.json, or ``gguf``.

    That is the header of a GGUF file as ``roofline.models.gguf.told`` has it.

    Raises RooflineError.
    """
    name, text = _one_of(
        pairs, _MODEL, "a preset such as llama-3.1-8b, or the text of a config.json or of a GGUF header"
    )
    if name == "model":
        return load_preset(text)
    if name == "gguf":
        return load_gguf_header(_short(text, name), name)
    return load_model(parsed_json(_short(text, name), name, "a Hugging Face config.json"))


def hardware_asked(pairs: Pairs) -> str | HardwareSpec:
    """The hardware of a query: ``hardware``, a name or a count of it, or ``spec``, the text of a device's file.

    Raises RooflineError.
    """
    name, text = _one_of(pairs, _HARDWARE, "a name such as h100, 8xh100 or dgx-h100, or the text of a device's YAML")
    if name == "hardware":
        return _no_file(text)
    return spec_from_fields(parsed_yaml(_short(text, name), name), name)


def word_asked(pairs: Pairs, name: str, such_as: str) -> str:
    """A word that a query must give once. Raises UsageError where it does not."""
    given = _once(pairs, [name])
    if name not in given:
        msg = f"{name} is missing; try {name}={such_as}"
        raise UsageError(msg)
    return given[name]


def _once(pairs: Pairs, names: Collection[str]) -> dict[str, str]:
    """Those of a query that are ``names``. Raises UsageError for one that comes twice."""
    found: dict[str, str] = {}
    for name, text in pairs:
        if name in names and found.setdefault(name, text) != text:
            msg = f"{name}: given as {shown(found[name])} and as {shown(text)}; give it once"
            raise UsageError(msg)
    return found


def _one_of(pairs: Pairs, names: tuple[str, ...], meant: str) -> tuple[str, str]:
    given = _once(pairs, names)
    if len(given) != 1:
        msg = f"expected {'=... or '.join(names)}=..., one of them: {meant}"
        raise UsageError(msg)
    return next(iter(given.items()))


def _short(text: str, name: str) -> str:
    if len(text) > MAX_TEXT:
        msg = f"{name}: {len(text):,} letters, expected at most {MAX_TEXT:,}"
        raise UsageError(msg)
    return text


def _value(field: Field, text: str) -> Any:
    """What a text means to an option. Raises UsageError."""
    own = [kind for kind in field.kinds if kind is not NoneType]
    if own == [bool]:
        if text not in ("true", "false"):
            msg = f"{field.name} {shown(text)}: expected true or false"
            raise UsageError(msg)
        return text == "true"
    for kind, word in ((int, "a whole number"), (float, "a number")):
        if own == [kind]:
            try:
                return kind(text)
            except ValueError:
                msg = f"{field.name} {shown(text)}: expected {word}"
                raise UsageError(msg) from None
    field.check(text)
    return text


def _no_file(text: str) -> str:
    """Names, with commas and counts, none of which is a path. Raises UsageError."""
    for each in text.split(","):
        if is_path(str(parted(each.strip())[1])):
            msg = f"{shown(each)}: expected a name; a request names no file"
            raise UsageError(msg)
    return text


def _inline_prices(text: str) -> str:
    if "=" not in text:
        msg = f"prices {shown(text)}: expected h100=2.71USD/h,l40s=8500USD; a request names no file"
        raise UsageError(msg)
    return text


def _known_workload(text: str) -> str:
    if text not in (known := (*PRESETS, *SESSIONS)):
        msg = f"workload {shown(text)}: {near_matches(text, known)}; a request names no file"
        raise UsageError(msg)
    return text


_NO_FILE = {
    "engine": _no_file,
    "prefill_on": _no_file,
    "encode_on": _no_file,
    "draft": load_preset,
    "prices": _inline_prices,
    "workload": _known_workload,
}
"""Options that elsewhere may name a file, and what is let through of them."""
