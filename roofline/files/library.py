"""Where the data folders are, and how their YAML files are read.

``hardware_specs/``, ``calibrations/`` and ``engines/`` stand at the top of the repository and inside the wheel's
package; presets stand inside the package. All are read by one strict YAML reader.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from roofline.errors import RooflineError, SpecError, one_line

MAX_YAML_BYTES = 1_000_000

_PACKAGE = Path(__file__).resolve().parent.parent

_POINTER = "version https://git-lfs"
POINTER = "a pointer of Git LFS, not the file; git lfs pull brings it"


@functools.cache
def data_folder(name: str) -> Path:
    """The folder ``name`` of shipped data: inside the installed package, else beside it in the source tree.

    >>> data_folder("hardware_specs").name
    'hardware_specs'
    """
    for folder in (_PACKAGE / name, _PACKAGE.parent / name):
        if any(folder.glob("*.yaml")):  # a package of modules may have the name of its data
            return folder
    msg = f"{name}: data folder not found in {_PACKAGE} nor beside it; reinstall roofline"
    raise SpecError(msg)


def read_text(path: Path, error: type[RooflineError], limit: int = MAX_YAML_BYTES) -> str:
    """The text of a regular UTF-8 file of at most ``limit`` bytes, without the byte order mark that Windows writes.

    Raises ``error``, in one line, for anything else: absent, a folder, a pipe, a loop of links, too large, not text, a
    pointer of Git LFS.
    """
    try:
        if not path.exists():
            problem = "no such file"
        elif not path.is_file():
            problem = "not a regular file"
        elif path.stat().st_size > limit:
            problem = f"{path.stat().st_size} bytes, expected at most {limit}"
        else:
            text = path.read_text(encoding="utf-8")
            if not text.startswith(_POINTER):
                return text.removeprefix("\ufeff")
            problem = POINTER
    except UnicodeDecodeError:
        problem = "not UTF-8 text"
    except (OSError, RuntimeError, ValueError) as failure:
        problem = getattr(failure, "strerror", None) or str(failure)
    msg = f"{one_line(str(path))}: {problem}"
    raise error(msg) from None


def is_pointer(file: Path) -> bool:
    """Whether a file only says where Git LFS keeps what it stands for."""
    try:
        with file.open("rb") as stream:
            return stream.read(len(_POINTER)) == _POINTER.encode()
    except OSError:
        return False


def read_yaml(path: Path, error: type[RooflineError] = SpecError) -> dict[str, Any]:
    """The mapping in a YAML file, read strictly.

    Duplicate keys, anchors, tags, several documents and nesting deeper than 20 are refused. Only ``true``, ``false``,
    ``null``, decimal integers and decimal floats are more than text: no dates, no octal, no base 60, no yes and no.
    Raises ``error`` with the file and line.
    """
    return parsed_yaml(read_text(path, error), str(path), error)


def parsed_yaml(text: str, path: str, error: type[RooflineError] = SpecError) -> dict[str, Any]:
    """The mapping in the ``text`` of a YAML file at ``path``, read as :func:`read_yaml` does."""
    import yaml  # noqa: PLC0415  (start-up: not every command reads a file)

    try:
        loaded = _copied(_parsed(text))
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(failure, "problem", None) or str(failure).splitlines()[0]
        msg = f"{path}{line}: {problem}"
        raise error(msg) from None
    except ValueError as failure:  # an integer of thousands of digits
        msg = f"{path}: {failure}"
        raise error(msg) from None
    if not isinstance(loaded, dict):
        msg = f"{path}: holds {type(loaded).__name__}, expected a mapping of fields"
        raise error(msg)
    return loaded


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """What a text holds; a device that is asked for again, in whatever file, is not parsed again."""
    from roofline.files.strict_yaml import load  # noqa: PLC0415  (start-up: not every command reads a file)

    return load(text)


def _copied(value: Any) -> Any:
    """``value`` with mappings and lists of its own, which its owner may edit."""
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
