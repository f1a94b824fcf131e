"""A network from a preset, a ``config.json`` or a mapping: :func:`load_model`."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roofline.errors import ConfigError, MissingExtraError, near_matches, shown
from roofline.files.library import read_text, read_yaml
from roofline.models.families import FAMILIES
from roofline.models.families.family import INERT, Family
from roofline.models.shapes.checkpoints import checkpoint_recipe
from roofline.models.shapes.config import Config, parse_config
from roofline.program.conventions import Conventions
from roofline.program.lengths import Lengths
from roofline.program.phases import Phase
from roofline.program.program import Program

PRESETS = Path(__file__).parent / "presets"
ROTATIONS = ("default", "linear", "dynamic", "yarn", "longrope", "su", "llama3", "proportional")
"""Kinds of rotary embedding: other angles, the same work."""


@dataclass(frozen=True, slots=True)
class Model:
    """A network: its name, family, configuration, where that came from, and what of it is not modelled.

    ``recipe`` is how its checkpoint is quantised, empty where it is not.
    """

    name: str
    model_type: str
    config: Config
    source: str
    fields: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    recipe: str = ""

    def program(self, conventions: Conventions | None = None) -> Program:
        """The program of one step under ``conventions``."""
        return FAMILIES[self.model_type].program(self.config, conventions or Conventions())

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that the network has."""
        return self.program().phases

    @property
    def lengths(self) -> Lengths:
        """How long the sequences of the network may be."""
        return self.config.lengths

    @property
    def parameters(self) -> int:
        """How many parameters the network has, tied ones once."""
        return int(self.program().parameters())

    def to_dict(self) -> dict[str, Any]:
        """Name, family, source, parameters and configuration, as in ``models show --json``."""
        facts = {"name": self.name, "model_type": self.model_type, "source": self.source}
        return {**facts, "parameters": self.parameters, "config": self.config.model_dump(mode="json")}


def load_model(model: str | Path | Mapping[str, Any], *, overrides: Mapping[str, Any] | None = None) -> Model:
    """The network that ``model`` names.

    ``model`` is a preset or its alias, a path to a ``config.json`` or the folder that holds it, a hub id ``owner/name``
    where huggingface_hub is installed, or a mapping of Hugging Face fields. ``overrides`` replace single fields.

    Raises ConfigError, in one line, for an unknown name, an unreadable file, an unknown ``model_type``, a missing,
    contradictory or wrongly typed field, and for an option that is not modelled.

    >>> load_model("bert-base").parameters
    109482240
    """
    if isinstance(model, Mapping):
        return _build("config", "a mapping", dict(model), overrides)
    path = Path(model)
    if len(path.parts) == 2 and not os.path.lexists(path) and path.suffix != ".json" and not path.is_absolute():
        path = _from_hub(str(model))
    folder = _is_folder(path)
    link = os.path.islink(path)  # noqa: PTH114  (is_symlink() raises on a name that is too long)
    if path.suffix == ".json" or folder or link or len(path.parts) > 1:
        file = path / "config.json" if folder else path
        whole = Path(os.path.abspath(file))  # noqa: PTH100  (resolve() raises on a loop of links)
        stem = whole.parent.name if file.name == "config.json" else file.stem
        return _build(stem or "config", str(file), _read_json(file), overrides)
    preset = _preset(str(model))
    return _build(preset["name"], preset["source"], preset["config"], overrides, where=preset["name"])


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long, a null byte: no folder, and read_text says why
        return False


def preset_names() -> list[str]:
    """The names of the shipped presets."""
    return list(_shipped_presets())


@functools.cache
def _shipped_presets() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def _preset(name: str) -> dict[str, Any]:
    folded = name.lower()  # names ignore case, as those of hardware do
    if folded in preset_names():
        return read_yaml(PRESETS / f"{folded}.yaml", ConfigError)
    aliases: dict[str, dict[str, Any]] = {}
    for known in preset_names():
        preset = read_yaml(PRESETS / f"{known}.yaml", ConfigError)
        aliases |= dict.fromkeys(preset.get("aliases", ()), preset)
    by_fold = {alias.lower(): preset for alias, preset in aliases.items()}
    if folded in by_fold:
        return by_fold[folded]
    msg = f"unknown model {shown(name)}; {near_matches(name, [*preset_names(), *aliases])} (roofline models list)"
    raise ConfigError(msg)


def _from_hub(name: str) -> Path:
    """The ``config.json`` of a Hugging Face hub id, downloaded by huggingface_hub or found in its cache."""
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415  (optional, and slow to import)
    except ImportError:
        purpose = f"{name}: no such folder; reading it as a model id of the hub"
        raise MissingExtraError(purpose, "hub") from None
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings of each retry; one error is enough
    try:
        return Path(hf_hub_download(name, "config.json"))
    except Exception as failure:  # whatever the hub client raises: network, access, a name that does not exist
        msg = f"{name}: no such folder, and the hub has no config.json for this id ({type(failure).__name__})"
        raise ConfigError(msg) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(read_text(path, ConfigError), parse_constant=_refuse_constant)
    except (json.JSONDecodeError, RecursionError, ValueError) as failure:
        line = f":{failure.lineno}" if isinstance(failure, json.JSONDecodeError) else ""
        problem = failure.msg if isinstance(failure, json.JSONDecodeError) else str(failure) or "nested too deeply"
        msg = f"{path}{line}: {problem}; expected a Hugging Face config.json"
        raise ConfigError(msg) from None
    if not isinstance(loaded, dict):
        msg = f"{path}: holds a {type(loaded).__name__}, expected an object with the model's fields"
        raise ConfigError(msg)
    return loaded


def _refuse_constant(name: str) -> float:
    msg = f"{name} is not a number"
    raise ValueError(msg)


def _build(
    name: str, source: str, fields: dict[str, Any], overrides: Mapping[str, Any] | None, where: str = ""
) -> Model:
    where = where or source
    given = {**fields, **(overrides or {})}
    model_type, family = _family(given, where)
    fields = _flat(family, given, where)
    _check_only(family, fields, where)
    shape_fields, ignored = _stated(family, fields, where)
    _check_rotation(fields, where)
    heeded = {key: value for key, value in fields.items() if key not in ignored}
    _fill_absent(family, heeded, shape_fields, where)
    names = {option: key for key, option in family.rename.items()}
    config = parse_config(family.config, _nested(shape_fields), where, names)
    named = sorted(" ".join(str(key).split())[:60] for key in ignored)
    warnings = tuple(f"{where}: field {key} is not modelled and was ignored" for key in named)
    recipe, excepted = checkpoint_recipe(fields, where)
    return Model(name, model_type, config, source, given, warnings + excepted, recipe)


def _stated(family: Family, fields: Mapping[str, Any], where: str) -> tuple[dict[str, Any], set[str]]:
    """The fields of the shape that the file states or the family builds in; the file's fields that nothing reads."""
    built_in = {**family.fixed, **_class_options(family, fields, where)}
    shape_fields = {name: value for name, value in built_in.items() if not callable(value)}
    silent = family.consumed | family.inert | set(family.only)
    own, ignored = family.by_own_name, set()
    for key, value in fields.items():
        option = family.rename.get(key, key)
        inert = str(key).rpartition(".")[2] in INERT and option not in family.config.model_fields
        if key in silent or inert:
            continue
        if option in built_in or (option not in own and key not in family.rename):
            ignored.add(key)
        elif value is not None:
            shape_fields[option] = value
    return shape_fields, ignored


def _flat(family: Family, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of a file, those of its nested mappings under their paths; a path that ``set`` names wins."""
    flat: dict[str, Any] = {}
    for name in family.nested:
        for spelling in (name, f"{name}_dict"):  # transformers lets the second one win
            block = given.get(spelling) or {}
            if not isinstance(block, Mapping):
                msg = f"{where}: {spelling}: given {shown(block)}, expected a mapping, {{name: value}}"
                raise ConfigError(msg)
            flat |= {f"{name}.{key}": value for key, value in block.items()}
    blocks = {spelling for name in family.nested for spelling in (name, f"{name}_dict")}
    return flat | {key: value for key, value in given.items() if key not in blocks}


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by path, ``recurrence.heads``, as mappings in mappings."""
    whole: dict[str, Any] = {}
    for path, value in fields.items():
        room, _, field = path.partition(".")
        if field:
            whole.setdefault(room, {})[field] = value
        else:
            whole[path] = value
    return whole


def _family(fields: Mapping[str, Any], where: str) -> tuple[str, Family]:
    model_type = fields.get("model_type")
    if "auto_map" in fields:
        msg = f"{where}: auto_map asks for remote code, which is not modelled; expected a model_type of transformers"
        raise ConfigError(msg)
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        given = "has no model_type" if model_type is None else f"model_type {shown(model_type)} is not modelled"
        msg = f"{where}: {given}; {near_matches(shown(model_type), FAMILIES)}"
        raise ConfigError(msg)
    return model_type, FAMILIES[model_type]


def _check_only(family: Family, fields: Mapping[str, Any], where: str) -> None:
    for key, value in family.only.items():
        if fields.get(key, value) not in (value, None):
            msg = f"{where}: {key} {shown(fields[key])} is not modelled; expected {shown(value)}"
            raise ConfigError(msg)


def _class_options(family: Family, fields: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    default = next(iter(family.classes))
    named = fields.get("architectures") or [default]
    name = named[0] if isinstance(named, list) else named
    if not isinstance(name, str) or name not in family.classes:
        msg = f"{where}: architectures {shown(name)} is not modelled; {near_matches(shown(name), family.classes)}"
        raise ConfigError(msg)
    return family.classes[name]


def _check_rotation(fields: Mapping[str, Any], where: str) -> None:
    """Refuses a kind of rotary embedding whose name is not known: it may cost what the known ones do not."""
    for name in ("rope_scaling", "rope_parameters"):
        given = fields.get(name)
        blocks = [given, *given.values()] if isinstance(given, dict) else []
        for block in (block for block in blocks if isinstance(block, dict)):
            kind = block.get("rope_type", block.get("type", "default"))
            if kind not in ROTATIONS:
                msg = f"{where}: {name} of kind {shown(kind)} is not modelled; {near_matches(shown(kind), ROTATIONS)}"
                raise ConfigError(msg)


def _fill_absent(family: Family, fields: Mapping[str, Any], shape_fields: dict[str, Any], where: str) -> None:
    """Adds what the absence of options means, then what the fixed rules derive from all the others."""
    for name, absent in (*family.options.items(), *family.fixed.items()):
        if name in shape_fields or absent is None:
            continue
        try:
            shape_fields[name] = absent({**fields, **shape_fields}) if callable(absent) else absent
        except (KeyError, TypeError):
            continue  # the field that it derives from is missing or no number, which the shape will name
        except ValueError as failure:
            msg = f"{where}: {failure}"
            raise ConfigError(msg) from None
