"""The configuration of a training run: :class:`Configuration`, a file of torchtitan or arguments of Megatron-LM."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.engines.launch_flags import Flag, LaunchFlags, training_flags
from roofline.engines.launch_line import read_arguments, written
from roofline.engines.options_file import options_of_file
from roofline.engines.said import Said, value_of
from roofline.errors import UsageError, shown

_SCRIPT = re.compile(r"(?:.*/)?pretrain_gpt\.py")


@frozen
class Configuration:
    """What a configuration says: the engine, and what its fields mean, in the engine's own terms."""

    engine: str
    said: tuple[tuple[str, Said], ...]

    @classmethod
    def of(cls, engine: str, said: Mapping[str, Said]) -> Configuration:
        """The same in the order of the engine's fields."""
        return cls(engine, tuple((each, said[each]) for each in training_flags(engine).meanings if each in said))

    @property
    def by_meaning(self) -> dict[str, Said]:
        """Meaning -> what is said."""
        return dict(self.said)

    def __str__(self) -> str:
        """The file, or the command.

        >>> print(Configuration("torchtitan", (("length", 8192), ("tp", 4), ("compiled", True))))
        [training]
        seq_len = 8192
        <BLANKLINE>
        [parallelism]
        tensor_parallel_degree = 4
        <BLANKLINE>
        [compile]
        enable = true
        """
        known, said = training_flags(self.engine), self.by_meaning
        if known.file is not None:
            return _toml(known, said)
        words = [word for name, flag in known.flags.items() if flag.means in said
                 for word in written(known, name, flag, said[flag.means])]  # fmt: skip
        return shlex.join([known.programs[0], *words])


def _toml(known: LaunchFlags, said: Mapping[str, Said]) -> str:
    assert known.file is not None
    sections: dict[str, list[str]] = {}
    for path, flag in known.file.options.items():
        if flag.means in said:
            section, _, name = path.rpartition(".")
            sections.setdefault(section, []).append(f"{name} = {_value(known, name, flag, said)}")
    return "\n\n".join("\n".join([f"[{section}]", *fields]) for section, fields in sections.items())


def _value(known: LaunchFlags, name: str, flag: Flag, said: Mapping[str, Said]) -> str:
    value = value_of(known.name, name, flag, said[flag.means])
    if isinstance(value, bool):
        return "true" if value else "false"
    if flag.listed:
        return f'["{value}"]'
    return f'"{value}"' if isinstance(value, str) else str(value)


def read_configuration(text: str) -> Configuration:
    """What a configuration says: the path of a TOML file of torchtitan, or the arguments of pretrain_gpt.py.

    What stands before pretrain_gpt.py, such as torchrun, is left out. Raises UsageError that names it for a field which
    is not known, or changes times or memory and is not modelled.

    >>> read_configuration("--num-layers 24 --tensor-model-parallel-size 8 --lr 1e-4").said
    (('layers', 24), ('tp', 8))
    """
    if Path(text).suffix == ".toml":
        return Configuration.of("torchtitan", options_of_file(training_flags("torchtitan"), _read_toml(Path(text))))
    try:
        words = shlex.split(text.replace("\\\n", " "))
    except ValueError as failure:
        msg = f"from: {shown(text)}: {str(failure).lower()}"
        raise UsageError(msg) from None
    script = next((place for place, word in enumerate(words) if _SCRIPT.fullmatch(word)), -1)
    arguments = words[script + 1 :]
    if not arguments or not arguments[0].startswith("--"):
        msg = f"from: {shown(text)}: expected a FILE.toml of torchtitan, or arguments of Megatron-LM's pretrain_gpt.py"
        raise UsageError(msg)
    known = training_flags("megatron")
    model, said = read_arguments(known, arguments)
    if model:
        msg = f"from: {shown(model)} stands behind no flag"
        raise UsageError(msg)
    return Configuration.of("megatron", said)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as failure:
        msg = f"from: {path}: {(failure.strerror or str(failure)).lower()}"
        raise UsageError(msg) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        msg = f"from: {path}: no TOML: {str(failure).lower()}"
        raise UsageError(msg) from None
