"""Which file a name means: the shipped specs by their index, then the folders of one's own and those of plugins."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from roofline.errors import SpecError, near_matches, shown
from roofline.files.library import data_folder, read_text, read_yaml
from roofline.files.plugins import plugin_folders

PATH_VARIABLE = "ROOFLINE_HARDWARE_PATH"
"""Folders of one's own specs, separated as in PATH."""

MAKERS = frozenset(
    "nvidia geforce rtx tesla amd radeon rx instinct ryzen apple intel arc google tpu aws huawei jetson".split()
)
"""Words that people leave out of a name, or put in front of it: of makers and of their lines."""

A_NAME = "lower-case letters, digits, hyphens and dots such as h100-sxm-80gb"
MAX_COUNT = 1_000_000
INDEX = "index.json"
SYSTEMS = "systems"
"""The folder, inside that of the devices, of boxes and cloud shapes that hold several of them."""


def parted(hardware: str | Path) -> tuple[int, str | Path]:
    """The count and what is counted; a Path has no count. Raises SpecError for a count that is none.

    >>> parted("8xh100"), parted("h100")
    ((8, 'h100'), (1, 'h100'))
    """
    given: object = hardware
    if not isinstance(given, str | Path):
        msg = f"hardware: given {type(given).__name__}, expected the name of a device or a system, or a path"
        raise SpecError(msg)
    found = re.fullmatch(r"([0-9]+)[xX](.+)", hardware) if isinstance(hardware, str) else None
    if found is None:
        return 1, hardware
    if len(found[1]) > 7 or not 1 <= int(found[1]) <= MAX_COUNT:
        many = found[1] if len(found[1]) <= 20 else f"{found[1][:20]}..."
        msg = f"{shown(hardware)}: {many} devices, expected 1 to {MAX_COUNT:,}"
        raise SpecError(msg)
    return int(found[1]), found[2]


def is_path(hardware: str | Path) -> bool:
    """Whether a path is meant, not a name."""
    path = Path(hardware)
    return path.suffix in (".yaml", ".yml") or len(path.parts) > 1


def _check_alike(word: str, known: Sequence[str]) -> None:
    """Raises SpecError for several devices with a plus between them."""
    parts = [str(parted(part.strip())[1]) for part in word.split("+") if part.strip()]
    if len(parts) > 1 and all(part in known for part in parts):
        msg = (
            f"hardware {' and '.join(dict.fromkeys(parts))} in one server: a model spread over unlike devices is not "
            "modelled; ask for each kind by itself, or for as many of the one with the least memory"
        )
        raise SpecError(msg)


def find_file(name: str) -> Path:
    """The file of a device or a system by name or alias, in any case, else by one that is written otherwise.

    Only files that the index does not know are parsed. Raises SpecError for an unknown name, and for one that two files
    have.

    >>> find_file("H100").name, find_file("GeForce RTX 4090").name, find_file("4090").name
    ('h100-sxm-80gb.yaml', 'rtx-4090.yaml', 'rtx-4090.yaml')
    """
    word, shipped = name.lower(), data_folder("hardware_specs")
    index = read_index(shipped)
    found = [shipped / index[word]] if word in index else []
    found += [path for path, words in _unindexed(shipped, installed=not found) if word in words]
    if len(found) > 1:
        msg = f"{found[1]}: the name or alias {word!r} is also that of {found[0]}; rename one"
        raise SpecError(msg)
    found = found or _written_otherwise(word, shipped)
    if found:
        return found[0]
    for problem in _unreadable(word):
        raise problem
    known = [*index, *(word for _, words in _unindexed(shipped) for word in words)]
    _check_alike(word, known)
    hint = near_matches(word, known)
    hint = "try h100, mi300x or t4" if hint.startswith("known") else hint  # all of them would fill the screen
    if word.startswith(("mac", "imac")):
        hint = "a Mac is named by its chip, such as m4-max or m3-ultra"
    if Path(f"{name}.yaml").is_file():
        hint = f"the file of that name is {name}.yaml, with its ending"
    msg = f"unknown hardware {name!r}; {hint} (roofline hardware list)"
    raise SpecError(msg)


def _written_otherwise(word: str, shipped: Path) -> list[Path]:
    """The one file with a name or an alias of the same letters and digits as ``word``, but for makers and order.

    Raises SpecError for what is so the name of several.
    """
    forms = _forms(word)
    names = [(name, shipped / file) for name, file in read_index(shipped).items()]
    names += [(name, path) for path, words in _unindexed(shipped) for name in words]
    found = {path: name for name, path in names if forms & _forms(name)}
    if len(found) > 1:
        msg = f"hardware {shown(word)} may be {' or '.join(sorted(found.values()))}; name one"
        raise SpecError(msg)
    return list(found)


@lru_cache(maxsize=1024)
def _forms(name: str) -> frozenset[str]:
    """What remains of a name without makers, hyphens and spaces, and with its words in order of the alphabet."""
    words = [word for word in re.findall("[a-z0-9]+", name) if word not in MAKERS]
    return frozenset({"".join(words), " ".join(sorted(words))} - {""})


def read_fields(hardware: str | Path) -> tuple[dict[str, Any], str]:
    """The fields of the file that a name or a path means, and the file's name for error messages."""
    if is_path(hardware):
        return read_yaml(Path(hardware)), str(hardware)
    path = find_file(str(hardware))
    return read_yaml(path), path.name


def is_system(hardware: str | Path) -> bool:
    """Whether a name or a path is that of a system. Raises SpecError for one of nothing."""
    if is_path(hardware):
        return "device" in read_yaml(Path(hardware))
    path = find_file(str(hardware))
    return path.parent.name == SYSTEMS or (not is_shipped(path) and "device" in read_yaml(path))


def is_shipped(path: Path) -> bool:
    """Whether a file came with the package, which is then read once a process."""
    return data_folder("hardware_specs") in path.parents


def device_files() -> list[Path]:
    """Every file of a device, shipped ones by name, then those of the user's folders.

    Raises SpecError that names both files where two share a name or an alias.
    """
    return [path for path, is_system in _every_file() if not is_system]


def system_files() -> list[Path]:
    """Every file of a system, shipped ones by name, then those of the user's folders. Raises SpecError likewise."""
    return [path for path, is_system in _every_file() if is_system]


@lru_cache(maxsize=8)
def read_index(folder: Path) -> Mapping[str, str]:
    """Name or alias -> file, of the shipped specs; empty where there is no index."""
    path = folder / INDEX
    if not path.is_file():
        return {}
    loaded: dict[str, str] = json.loads(read_text(path, SpecError))
    return loaded


def build_index(folder: Path) -> dict[str, str]:
    """What the index of ``folder`` should hold. Raises SpecError that names both files where two share a word."""
    owners: dict[str, str] = {}
    for path in _yaml_files(folder):
        file = path.relative_to(folder).as_posix()
        for word in words_of(read_yaml(path), path):
            if (other := owners.setdefault(word, file)) != file:
                msg = f"{file}: the name or alias {word!r} is also that of {other}; rename one"
                raise SpecError(msg)
    return dict(sorted(owners.items()))


def words_of(fields: Mapping[str, Any], path: Path) -> list[str]:
    """The name and the aliases in the fields of a file, in lower case; the file's own name where it states none."""
    aliases = fields.get("aliases")
    return [
        str(word).lower() for word in (fields.get("name") or path.stem, *(aliases if isinstance(aliases, list) else ()))
    ]


def _every_file() -> Iterator[tuple[Path, bool]]:
    shipped = data_folder("hardware_specs")
    index = read_index(shipped)
    owners = {word: shipped / file for word, file in index.items()}
    own = _unindexed(shipped)
    for path, words in own:
        for word in words:
            if (other := owners.setdefault(word, path)) != path:
                msg = f"{path}: the name or alias {word!r} is also that of {other}; rename one"
                raise SpecError(msg)
    paths = sorted(set(owners.values()), key=lambda path: (shipped not in path.parents, path.stem))
    yield from ((path, path.parent.name == SYSTEMS) for path in paths)


def _unindexed(shipped: Path, *, installed: bool = True) -> list[tuple[Path, list[str]]]:
    """Files that the index does not know, with their names: new ones in the shipped folder, and the user's.

    Those of ``installed`` plugins too, whose search costs milliseconds.
    """
    found = list(_new(shipped))
    for path in _own_files(installed=installed):
        try:
            found.append((path, words_of(read_yaml(path), path)))
        except SpecError as failure:  # the other devices are there all the same
            warnings.warn(f"{failure}; left out", stacklevel=2)
    return found


@lru_cache(maxsize=8)
def _new(shipped: Path) -> tuple[tuple[Path, list[str]], ...]:
    """Files of the shipped folder that its index does not know, with their names."""
    known = set(read_index(shipped).values())
    return tuple((path, words_of(read_yaml(path), path)) for path in _yaml_files(shipped, known=known))


def _unreadable(word: str) -> Iterator[SpecError]:
    """Why a file of one's own by that name cannot be read."""
    for path in _own_files():
        if path.stem.lower() == word:
            try:
                read_yaml(path)
            except SpecError as failure:
                yield failure


def _own_files(*, installed: bool = True) -> list[Path]:
    """The files in the folders of ``ROOFLINE_HARDWARE_PATH`` and of plugins.

    Raises SpecError for a folder that is not there.
    """
    paths: list[Path] = []
    for folder in filter(None, dict.fromkeys(os.environ.get(PATH_VARIABLE, "").split(os.pathsep))):
        if not Path(folder).is_dir():
            msg = f"{PATH_VARIABLE}: {folder}: no such folder"
            raise SpecError(msg)
        paths += _yaml_files(Path(folder))
    for plugin in plugin_folders(installed=installed):
        paths += _yaml_files(plugin / "hardware")
    return paths


def _yaml_files(folder: Path, known: Collection[str] = ()) -> list[Path]:
    """The specs of a folder and of its systems, by name, but for those that are ``known`` by their path in it."""
    places = {"": folder, f"{SYSTEMS}/": folder / SYSTEMS}
    found = [
        (start + name, place, name)
        for start, place in places.items()
        if place.is_dir()
        for name in os.listdir(place)  # noqa: PTH208  (a Path for each costs more than the listing)
    ]
    return sorted(place / name for path, place, name in found if name.endswith((".yaml", ".yml")) and path not in known)
