"""Where the fields of a network come from: a preset, a folder, a file, a hub id that is cached or asked for."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.classes import frozen
from roofline.errors import ConfigError, MissingExtraError, RooflineError, near_matches, one_line, shown
from roofline.files.library import read_text, read_yaml
from roofline.files.plugins import plugin_files

if TYPE_CHECKING:
    from roofline.models.gguf.header import GgufTensor, Header

PRESETS = Path(__file__).parent / "presets"
TRACES = Path(__file__).parent / "traces"
"""Recorded traces of networks that no family states."""

MAX_JSON_BYTES = 16_000_000
"""Some published files list every layer of every expert: the largest met has 3.1 MB."""

GENERATOR = "roofline_generator"
"""The field by which a generator is known."""

TRANSFORMERS = "transformers:"
"""What the configuration of a module of transformers begins with that is to be traced."""

DIFFUSERS = "diffusers:"
"""What the configuration of a module of diffusers begins with that is to be traced, or the name of a recorded one."""

_DOWNLOAD = "hf:"
"""What a hub id begins with that may be downloaded; without it nothing ever waits for a network."""


FACTS = ("released", "licence")
"""What is told of a published model beside its configuration."""


@frozen
class Fact:
    """What is told of a published model, and who says so."""

    value: str
    source: str


@frozen
class Source:
    """The fields of a network as they were found: its name, what they were found in, and the folder if it is one.

    ``tensors`` are those of a GGUF file, ``warnings`` what of its header is not modelled. ``facts``: when it was
    released and under which licence, where a source that is named says so. ``shipped``: it is a preset, of which
    ``left_out`` says what its publisher's file has beside these fields.
    """

    name: str
    said: str
    fields: Mapping[str, Any]
    where: str
    folder: Path | None = None
    tensors: Mapping[str, GgufTensor] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)
    shipped: bool = False
    left_out: tuple[str, ...] = ()


class UnknownModelError(RooflineError):
    """A name that no model has, without what is near it: whoever loads models tells that.

    ``name``: what is near it is asked of; ``elsewhere``: it may be found elsewhere, by what the words say.
    """

    def __init__(self, name: str, said: str, *, elsewhere: bool = False) -> None:
        super().__init__(said)
        self.name, self.elsewhere = name, elsewhere


def find_source(model: str | Path | Mapping[str, Any]) -> Source:
    """The fields that ``model`` names. Raises ConfigError, in one line, for a name or a path that leads nowhere."""
    if isinstance(model, Mapping):
        return Source("config", "a mapping", model, "a mapping")
    given: object = model
    if not isinstance(given, str | Path):
        msg = f"model: given {type(given).__name__}, expected a preset's name, a path to a config.json or its fields"
        raise ConfigError(msg)
    text, path = str(model), Path(model)
    if not text.strip():
        msg = "model: an empty name; expected a preset's name, or a path such as . for the folder at hand"
        raise ConfigError(msg)
    if is_code(text):
        msg = f"{shown(text)} is code; trace it: roofline models record, or roofline.trace(module, inputs) in Python"
        raise ConfigError(msg)
    if text.startswith(DIFFUSERS):
        return _recorded_of_diffusers(text.removeprefix(DIFFUSERS))
    if text.startswith(_DOWNLOAD):
        return _from_file(_downloaded(text.removeprefix(_DOWNLOAD)))
    return _from_gguf(path) if path.suffix == ".gguf" else _from_path(text, path)


def _recorded_of_diffusers(name: str) -> Source:
    """The generator, or the trace, that is shipped under a name. Raises ConfigError where there is none."""
    known = [*generator_names(), *trace_names()]
    if name.lower() in known:
        return preset_source(name)
    near = near_matches(name.lower(), known)
    msg = f"{DIFFUSERS}{shown(name)}: no such file or folder, and nothing recorded is called so; {near}"
    raise ConfigError(msg)


def _from_path(text: str, path: Path) -> Source:
    """What a preset's name, a hub id, a folder or a file leads to."""
    folder = _is_folder(path)
    link = os.path.islink(path)  # noqa: PTH114  (is_symlink() raises on a name that is too long)
    if path.suffix != ".json" and not folder and not link and not os.path.lexists(path):
        if len(path.parts) == 1 or text.lower() in _by_name(hub=True):
            return preset_source(text)
        if len(path.parts) == 2 and not path.is_absolute():
            return _from_file(_cached(text))
    elif len(path.parts) == 1 and not (path.suffix == ".json" or folder or link):
        return preset_source(text)
    return _from_file(_speaking(path) if folder else path)


_SPEAKING = ("config.json", "adapter_config.json", "model_index.json")
"""Files of a folder that say what it holds, the first that lies there."""

_BESIDE = {
    "*.gguf": "is a model of its own: give its path",
    "params.json": "is the publisher's own form; take the files in the form of transformers",
}
"""What may lie in a folder without any of these, and what to do then."""


def _speaking(folder: Path) -> Path:
    """The config.json of a folder, or what tells why it has none. Raises ConfigError where another file does."""
    for name in _SPEAKING:
        if os.path.lexists(folder / name):
            return folder / name
    for pattern, words in _BESIDE.items():
        if there := sorted(folder.glob(pattern)):
            msg = f"{folder / 'config.json'}: no such file; {one_line(there[0].name)} {words}"
            raise ConfigError(msg)
    return folder / "config.json"


def is_code(text: str) -> bool:
    """Whether a model is named by code that builds it: ``FILE.py:FUNCTION``, ``transformers:CONFIG.json``.

    ``diffusers:`` names code where a file or a folder follows, else what is recorded.

    >>> [is_code(text) for text in ("my.py:make_model", "transformers:config.json", "llama-3.1-8b", "hf:owner/name")]
    [True, True, False, False]
    """
    if text.startswith(DIFFUSERS):
        return os.path.lexists(text.removeprefix(DIFFUSERS))
    return text.startswith(TRANSFORMERS) or ".py:" in text or text.endswith(".py")


def preset_names() -> list[str]:
    """The names of the shipped presets."""
    return list(_shipped_presets())


def plugin_models() -> dict[str, Path]:
    """Name -> configuration, of the plugins: ``models/NAME.json``."""
    return plugin_files("models", ".json")


@functools.cache
def trace_names() -> tuple[str, ...]:
    """The names of the shipped traces."""
    return tuple(sorted(path.stem for path in TRACES.glob("*.json")))


def generator_names() -> tuple[str, ...]:
    """The names of the shipped generators of images and videos."""
    from roofline.models.generators.generator import GENERATORS  # noqa: PLC0415  (start-up: few models are generators)

    return tuple(sorted(GENERATORS))


def _generator_source(name: str) -> Source:
    """A generator, by its own name."""
    from roofline.models.generators.generator import GENERATORS  # noqa: PLC0415

    return Source(name, GENERATORS[name].source, {GENERATOR: name}, name)


@functools.cache
def _shipped_presets() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def preset_source(name: str) -> Source:
    """The preset that a name, an alias or an id of the hub means, under an alias that is no spelling of its name.

    Raises ConfigError; whatever the name, no other file is looked for.

    >>> preset_source("meta-llama/Llama-3.1-8B").name
    'llama-3.1-8b'
    """
    folded = name.lower()  # names ignore case, as those of hardware do
    if folded in preset_names():
        preset = _read_preset(folded)
    elif folded in (known := _by_name(hub="/" in name)):
        preset = _read_preset(known[folded])
        if "/" not in name and _letters(folded) != _letters(preset["name"]):  # a model of its own, of this network
            told = f"the network of {preset['name']}; {preset['source']}"
            preset = {**preset, "facts": {}, "name": folded, "source": told}
    elif folded in trace_names():
        return Source(folded, folded, read_json(TRACES / f"{folded}.json", "a recorded trace"), folded)
    elif folded in generator_names():
        return _generator_source(folded)
    elif folded in (own := plugin_models()):
        return _from_file(own[folded])
    else:
        raise UnknownModelError(folded, f"unknown model {shown(name)}")
    facts = {name: Fact(*told) for name, told in preset.get("facts", {}).items()}
    return Source(
        preset["name"], preset["source"], preset["config"], preset["name"], facts=facts, shipped=True,
        left_out=tuple(preset.get("left_out", ())),
    )  # fmt: skip


def _read_preset(name: str) -> dict[str, Any]:
    return read_yaml(PRESETS / f"{name}.yaml", ConfigError)


@functools.cache
def _by_name(*, hub: bool = False) -> Mapping[str, str]:
    """Every alias of every preset, or every id that the hub has it under, in small letters -> the preset."""
    field = "hub" if hub else "aliases"
    return {alias.lower(): name for name in preset_names() for alias in _read_preset(name).get(field, ())}


def aliases_with(text: str) -> list[str]:
    """Aliases of presets, such as a later release of the same network, that have ``text`` in them; the preset has not.

    >>> aliases_with("llama-3.3"), aliases_with("llama")
    (['llama-3.3-70b'], [])
    """
    part = text.lower()
    return sorted(alias for alias, name in own_names().items() if part in alias and part not in name)


def own_names() -> dict[str, str]:
    """Aliases that are no spelling of their preset's name, such as a later release of the same network -> the preset.

    >>> own_names()["llama-3.3-70b"]
    'llama-3.1-70b'
    """
    return {alias: name for alias, name in _by_name().items() if _letters(alias) != _letters(name)}


def hub_id(name: str) -> str:
    """The id that the hub has a preset or an alias of it under: the first, or the first that is called so.

    It is ``name`` where that is neither.

    >>> hub_id("llama-3.1-70b"), hub_id("llama-3.3-70b"), hub_id("my/folder")
    ('meta-llama/Llama-3.1-70B', 'meta-llama/Llama-3.3-70B-Instruct', 'my/folder')
    """
    preset = _by_name().get(name, name)
    known = _read_preset(preset).get("hub", ()) if preset in _shipped_presets() else ()
    called = [each for each in known if _letters(each.partition("/")[2]).startswith(_letters(name))]
    return str([*called, *known, name][0])


def _letters(name: str) -> str:
    """A name without what is spelled in several ways: llama3.1-8b and llama-3.1-8b."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_named(name: str, given: str) -> bool:
    """Whether ``given`` is a name of the model ``name``: its own, an alias, an id of the hub, or a folder called so.

    >>> is_named("llama-3.1-8b", "/models/Llama-3.1-8B-Instruct"), is_named("llama-3.1-8b", "llama-3-8b")
    (True, False)
    """
    last, preset = Path(given).name.lower(), _by_name().get(name.lower(), name.lower())
    ids = {each.rpartition("/")[2]: preset for each, preset in _by_name(hub=True).items()}
    return name.lower() in (given.lower(), last) or preset in (last, _by_name().get(last), ids.get(last))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long, a null byte: no folder, and read_text says why
        return False


def _from_file(file: Path) -> Source:
    whole = Path(os.path.abspath(file))  # noqa: PTH100  (resolve() raises on a loop of links)
    lone = file.name != "config.json"
    fields = read_json(file, "a Hugging Face config.json")
    return Source((file.stem if lone else whole.parent.name) or "config", str(file), fields, str(file), whole.parent)


def _from_gguf(file: Path) -> Source:
    """The fields and the tensors of a GGUF file, with the other parts of it that lie beside it."""
    from roofline.models.gguf.header import read_header  # noqa: PLC0415  (few models are such files)

    return gguf_source(read_header(file))


def gguf_source(header: Header) -> Source:
    """The fields and the tensors that the header of a GGUF file tells. Raises ConfigError."""
    from roofline.models.gguf.architectures import fields_of  # noqa: PLC0415  (few models are such files)

    fields, warnings = fields_of(header)
    said = str(header.file)
    return Source(header.file.stem, said, fields, said, None, header.tensors, warnings)


def _cached(name: str) -> Path:
    """The ``config.json`` of a hub id that was downloaded once. Raises ConfigError, at once, for any other."""
    try:
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  (optional, and slow to import)

        found = try_to_load_from_cache(name, "config.json")
    except (ImportError, OSError, ValueError):  # its own refusals of a name are ValueErrors
        found = None
    if isinstance(found, str):
        return Path(found)
    msg = f"{name}: no such file or folder, no hub id of a preset, none in the cache; {_DOWNLOAD}{name} asks the hub"
    raise UnknownModelError(Path(name).name, msg, elsewhere=True)


def _downloaded(name: str) -> Path:
    """The ``config.json`` of a Hugging Face hub id, downloaded by huggingface_hub or found in its cache."""
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415  (optional, and slow to import)
    except ImportError:
        purpose = f"{_DOWNLOAD}{name}: reading a model id of the hub"
        raise MissingExtraError(purpose, "files") from None
    import logging  # noqa: PLC0415  (costs start-up only where something is downloaded)

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings of each retry; one error is enough
    try:
        return Path(hf_hub_download(name, "config.json"))
    except Exception as failure:  # whatever the hub client raises: network, access, a name that does not exist
        msg = f"{_DOWNLOAD}{shown(name)}: the hub has no config.json for this id ({type(failure).__name__})"
        raise ConfigError(msg) from None


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """The object in a JSON file of at most 16 MB, ``Infinity`` and ``NaN`` as Python writes them.

    Raises ConfigError, in one line, for anything else.
    """
    return parsed_json(read_text(path, ConfigError, MAX_JSON_BYTES), str(path), expected)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of an object. Raises ValueError where one has two values, of which Python would take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if (other := found[name]) != value:
                msg = f"{one_line(name)} is given twice, {shown(value)} and {shown(other)}; keep one"
                raise ValueError(msg)
    return found


def parsed_json(text: str, where: str, expected: str) -> dict[str, Any]:
    """The object in a text, read as :func:`read_json` does. Raises ConfigError likewise."""
    try:
        loaded = json.loads(text, object_pairs_hook=_once_each)
    except (json.JSONDecodeError, RecursionError, ValueError) as failure:
        line = f":{failure.lineno}" if isinstance(failure, json.JSONDecodeError) else ""
        problem = failure.msg if isinstance(failure, json.JSONDecodeError) else str(failure) or "nested too deeply"
        if not (begun := text.lstrip()) or begun.startswith("<"):
            problem = "a page of HTML" if begun else "an empty file"
        msg = f"{where}{line}: {problem}; expected {expected}"
        raise ConfigError(msg) from None
    if not isinstance(loaded, dict):
        msg = f"{where}: holds {shown(loaded)}, expected an object with the model's fields"
        raise ConfigError(msg)
    return loaded
