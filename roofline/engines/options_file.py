"""The YAML file of options that a launch line names, written into the line itself, and read from there or from a path.

A shell hands what ``<(echo ...)`` prints to a program as a file, and JSON is YAML: so one line holds it all.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roofline.engines.launch_flags import Flag, LaunchFlags, OptionsFile
from roofline.engines.said import Said, read_value, value_of
from roofline.errors import UsageError, near_matches, shown
from roofline.files.library import parsed_yaml, read_yaml

_HERE = "<(echo"


def in_file(known: LaunchFlags, said: Mapping[str, Said]) -> dict[str, Flag]:
    """The options that a file has to state, by path: what no flag says, and what is in a block that it states anyway.

    A block replaces what flags say of its options.
    """
    options = known.file.options if known.file else {}
    asked = {path: flag for path, flag in options.items() if flag.means in said}
    alone = {path for path, flag in asked.items() if known.by_meaning[flag.means] is flag}
    blocks = {path.partition(".")[0] for path in alone}
    return {path: flag for path, flag in asked.items() if path in alone or path.partition(".")[0] in blocks}


def written_options(known: LaunchFlags, said: Mapping[str, Said]) -> str:
    """The flag and the file of what only a file says; empty where nothing is to be said."""
    options = in_file(known, said)
    if not options or known.file is None:
        return ""
    tree: dict[str, Any] = {}
    for path, flag in options.items():
        *blocks, name = path.split(".")
        inner = tree
        for block in blocks:
            inner = inner.setdefault(block, {})
        inner[name] = None if flag.as_null else value_of(known.name, path, flag, said[flag.means])
    return f" {known.file.flag} {_HERE} {shlex.quote(json.dumps(tree))})"


def read_options(known: LaunchFlags, value: str, rest: list[str]) -> dict[str, Said]:
    """What the file says that a flag's ``value`` names, or that the ``rest`` of the line holds, which it is taken from.

    Raises UsageError for an option that changes times or memory and is not modelled, and for a file that is none.
    """
    assert known.file is not None
    if value != _HERE:
        return options_of_file(known, read_yaml(Path(value), UsageError))
    if not rest or not rest[0].endswith(")"):
        msg = f"from: {known.file.flag} {_HERE}: expected one word and a parenthesis behind it, {_HERE} '{{...}}')"
        raise UsageError(msg)
    return options_of_file(known, parsed_yaml(rest.pop(0)[:-1], known.file.flag, UsageError))


def options_of_file(known: LaunchFlags, tree: Mapping[str, Any]) -> dict[str, Said]:
    """What the fields of a file say. Raises UsageError for a field that is not modelled, or a value that is none."""
    assert known.file is not None
    said: dict[str, Said] = {}
    for path, value in _leaves(known.file, tree, ""):
        flag = known.file.options.get(path)
        if path in known.file.off:
            if value is not False:
                msg = f"from: {path} {shown(value)}: not modelled; expected false"
                raise UsageError(msg)
        elif flag is None:
            if path not in known.file.inert:
                every = [*known.file.options, *known.file.inert]
                msg = f"from: {path} in the file of options is not modelled; {near_matches(path, every)}"
                raise UsageError(msg)
        elif flag.as_null:
            said[flag.means] = True
        elif flag.listed:
            said.update((flag.means, _read(path, flag, each)) for each in _alone(path, flag, value))
        else:
            said[flag.means] = _read(path, flag, value)
    return said


def _alone(path: str, flag: Flag, value: object) -> list[object]:
    """The one word of a list, none of an empty one. Raises UsageError for several, or for what is no list."""
    if not isinstance(value, list) or len(value) > 1:
        msg = f"from: {path} {shown(value)}: not modelled; expected a list of one: {', '.join(flag.words)}"
        raise UsageError(msg)
    return value


def _read(path: str, flag: Flag, value: object) -> Said:
    if flag.switch and isinstance(value, bool):
        return value
    if flag.switch or not isinstance(value, str | int | float) or isinstance(value, bool):
        msg = f"from: {path} {shown(value)}: expected {'true or false' if flag.switch else 'a number or a word'}"
        raise UsageError(msg)
    return read_value(path, flag, str(value))


def _leaves(file: OptionsFile, tree: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    """Fields by path. A block that may be null is an option where it is."""
    for name, value in tree.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and path not in file.inert:
            yield from _leaves(file, value, f"{path}.")
        elif value is None and not (path in file.options and file.options[path].as_null):
            continue  # as if it were left out
        else:
            yield path, value
