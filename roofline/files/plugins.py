"""What extends the package without changing it: folders of one's own, and packages that are installed as plugins.

A folder of ``ROOFLINE_PATH`` (several are separated as in PATH) may hold ``hardware/``, ``engines/``, ``models/`` and
``plugin.py``. An entry point of the group ``roofline.plugins`` names a module, whose folder is such a folder and which
itself is its ``plugin.py``. Code is run only where a family or a layer is asked for that the package does not have.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

from roofline.errors import SpecError, one_line

PATH_VARIABLE = "ROOFLINE_PATH"
GROUP = "roofline.plugins"
CODE = "plugin.py"


def plugin_folders(*, installed: bool = True) -> list[Path]:
    """The folders of ``ROOFLINE_PATH``, then those of ``installed`` plugins.

    Raises SpecError for a folder that is not there, or a plugin whose module is not.
    """
    found = _own_folders()
    if installed:
        found += [file.parent for file in _installed().values()]
    return list(dict.fromkeys(found))


def plugin_files(kind: str, *suffixes: str, installed: bool = True) -> dict[str, Path]:
    """Name -> file of every plugin's folder ``kind`` that ends in one of ``suffixes``; a name is the file's stem.

    Raises SpecError that names both files where two plugins share a name.
    """
    found: dict[str, Path] = {}
    for folder in plugin_folders(installed=installed):
        for path in sorted((folder / kind).glob("*")):
            if path.suffix not in suffixes:
                continue
            if (other := found.setdefault(path.stem.lower(), path)) != path:
                msg = f"{path}: {path.stem!r} is also the name of {other}; rename one"
                raise SpecError(msg)
    return found


def plugin_table(name: str) -> Mapping[str, Any]:
    """What the code of all plugins has under ``name``: FAMILIES by model type, LAYERS by name.

    Raises SpecError, in one line, for code that fails, for a table that is no mapping, and for a key that two have.
    """
    found: dict[str, Any] = {}
    for where, module in _modules():
        table = getattr(module, name, {})
        if not isinstance(table, Mapping):
            msg = f"{where}: {name} is a {type(table).__name__}, expected a mapping of names"
            raise SpecError(msg)
        for key, value in table.items():
            if key in found:
                msg = f"{where}: {name} has {key!r}, which another plugin has too; rename one"
                raise SpecError(msg)
            found[key] = value
    return found


def _own_folders() -> list[Path]:
    found = []
    for folder in filter(None, dict.fromkeys(os.environ.get(PATH_VARIABLE, "").split(os.pathsep))):
        if not Path(folder).is_dir():
            msg = f"{PATH_VARIABLE}: {folder}: no such folder"
            raise SpecError(msg)
        found.append(Path(folder))
    return found


def _installed() -> dict[str, Path]:
    """Module -> its file, of every entry point; packages that were installed since are seen by the next process."""
    return _scanned(tuple(sys.path))


@functools.lru_cache(maxsize=4)
def _scanned(_: tuple[str, ...]) -> dict[str, Path]:
    from importlib.metadata import entry_points  # noqa: PLC0415  (milliseconds, where a name is not a shipped one)

    found = {}
    for each in entry_points(group=GROUP):
        try:
            spec = util.find_spec(each.module)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None:
            msg = f"plugin {each.name}: its module {each.module} is not there; reinstall or uninstall it"
            raise SpecError(msg)
        found[each.module] = Path(spec.origin)
    return found


def _modules() -> Iterator[tuple[str, ModuleType]]:
    for folder in _own_folders():
        if (file := folder / CODE).is_file():
            yield str(file), _run(f"roofline_plugin_{abs(hash(str(file.resolve())))}", file)
    for name, file in _installed().items():
        yield f"plugin {name}", _run(name, file)


def _run(name: str, file: Path) -> ModuleType:
    """A module, run once a process. Raises SpecError for whatever its code raises."""
    if name in sys.modules:
        return sys.modules[name]
    spec = util.spec_from_file_location(name, file)
    assert spec is not None, file
    assert spec.loader is not None, file
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as failure:
        del sys.modules[name]
        msg = f"{file}: {type(failure).__name__}: {one_line(str(failure))}; the plugin's code does not run"
        raise SpecError(msg) from None
    return module
