"""What is wrong with a file that a user wrote, line by line: each problem with the line that its field stands in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from roofline.errors import SpecError
from roofline.files.library import read_text, read_yaml


def reviewed(path: Path, problems: Callable[[dict[str, Any]], list[str]]) -> list[str]:
    """The ``problems`` of a file's fields, one line each: file, line, field, what is wrong, how to mend it.

    Raises nothing: what cannot be read is a problem of the file.
    """
    try:
        fields = read_yaml(path)
    except SpecError as failure:
        return [str(failure)]
    return [f"{path}{_line(path, problem)}: {problem}" for problem in problems(fields)]


def _line(path: Path, problem: str) -> str:
    """``:7`` where the field that a problem starts with stands in line 7, or its nearest block that is there."""
    import yaml  # noqa: PLC0415

    field = re.match(r"(?:class )?([\w.-]+)", problem)
    if field is None:
        return ""
    node: Any = yaml.compose(read_text(path, SpecError), Loader=yaml.SafeLoader)
    line = None
    for step in field[1].split("."):
        found = next(_inside(node, step), None)
        if found is None:
            break
        line, node = found
    return "" if line is None else f":{line + 1}"


def _inside(node: Any, step: str) -> Iterator[tuple[int, Any]]:
    """The line and the value of a key of a mapping, or of a place in a list."""
    import yaml  # noqa: PLC0415

    if isinstance(node, yaml.MappingNode):
        return iter([(key.start_mark.line, value) for key, value in node.value if key.value == step])
    if isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
        return iter([(node.value[int(step)].start_mark.line, node.value[int(step)])])
    return iter(())
