"""The fields of a file as those of a shape, as its family says: what it states, what absence means, what is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.classes import frozen
from roofline.errors import ConfigError, near_matches, shown
from roofline.models.families.family import INERT, Family
from roofline.models.hints import types_of


@frozen
class Mapped:
    """A file by its family.

    fields: the file's, by their paths; shape: those of the shape, by theirs; ignored: the file's that nothing reads.
    """

    fields: Mapping[str, Any]
    shape: dict[str, Any]
    ignored: frozenset[str]

    @property
    def nested(self) -> dict[str, Any]:
        """The fields of the shape, mappings in mappings."""
        return _nested(self.shape)


def mapped(family: Family, given: Mapping[str, Any], where: str) -> Mapped:
    """The fields of a file as those of the family's shape.

    Raises ConfigError, in one line, for an option that is not modelled and for a field that a rule cannot read.
    """
    fields = _flat(family, given, where)
    _check_only(family, fields, where)
    shape_fields, ignored = _stated(family, fields, where)
    heeded = {key: value for key, value in fields.items() if key not in ignored}
    _fill_absent(family, heeded, shape_fields, where)
    return Mapped(fields, shape_fields, frozenset(ignored))


def _stated(family: Family, fields: Mapping[str, Any], where: str) -> tuple[dict[str, Any], set[str]]:
    """The fields of the shape that the file states or the family builds in; the file's fields that nothing reads."""
    built_in = {**family.fixed, **_class_options(family, fields, where)}
    shape_fields = {name: value for name, value in built_in.items() if not callable(value)}
    silent = family.consumed | family.inert | set(family.only)
    own, ignored = family.by_own_name, set()
    for key, value in fields.items():
        option = family.rename.get(key, key)
        inert = str(key).rpartition(".")[2] in INERT and option not in family.config.stated
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
            block = {} if given.get(spelling) is None else given[spelling]
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


def _check_only(family: Family, fields: Mapping[str, Any], where: str) -> None:
    for key, value in family.only.items():
        given = fields.get(key)
        if given is not None and (given != value or isinstance(given, bool) != isinstance(value, bool)):
            msg = f"{where}: {key} {shown(given)} is not modelled; expected {shown(value)}"
            raise ConfigError(msg)
    if fields.get("layer_types") == []:
        msg = f"{where}: layer_types: given an empty list, expected an entry for each layer"
        raise ConfigError(msg)
    if nothing := sorted(key for key in family.positive if fields.get(key) == 0):
        msg = f"{where}: {nothing[0]}: given 0, expected a whole number from 1 on"
        raise ConfigError(msg)


def _class_options(family: Family, fields: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    default = next(iter(family.classes))
    named = fields.get("architectures") or [default]
    name = named[0] if isinstance(named, list) else named
    if not isinstance(name, str) or name not in family.classes:
        others = types_of(name) if isinstance(name, str) else ""
        instead = f"that is of model_type {others}" if others else near_matches(shown(name), family.classes)
        stated = f"is no class of model_type {shown(fields.get('model_type'))}" if others else "is not modelled"
        msg = f"{where}: architectures {shown(name)} {stated}; {instead}"
        raise ConfigError(msg)
    return family.classes[name]


def _fill_absent(family: Family, fields: Mapping[str, Any], shape_fields: dict[str, Any], where: str) -> None:
    """Adds what the absence of options means, then what the fixed rules derive from all the others.

    What the file has under the name of another field of the shape, rules find as ``file.NAME``.
    """
    hidden = {f"file.{name}": fields[name] for name in family.consumed & set(fields) & set(shape_fields)}
    for name, absent in (*family.options.items(), *family.fixed.items()):
        if name in shape_fields or absent is None:
            continue
        try:
            shape_fields[name] = absent({**fields, **shape_fields, **hidden}) if callable(absent) else absent
        except (KeyError, TypeError, ZeroDivisionError):
            continue  # the field that it derives from is missing, 0 or no number, which the shape will name
        except ValueError as failure:
            msg = f"{where}: {failure}"
            raise ConfigError(msg) from None
