"""Functions of transformers' processors, taken out of files that cannot be imported without torchvision."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


@cache
def _tree(file: str) -> ast.Module:
    pytest.importorskip("transformers")
    found = find_spec("transformers")
    assert found is not None
    assert found.origin is not None
    return ast.parse((Path(found.origin).parent / file).read_text())


def rule_of(file: str, *names: str, **around: Any) -> dict[str, Callable[..., Any]]:
    """The functions, or methods, of these names, as plain functions that see each other, ``math`` and what is given.

    ``file``: a path within transformers. Annotations are not evaluated.
    """
    wanted = [node for node in ast.walk(_tree(file)) if isinstance(node, ast.FunctionDef) and node.name in names]
    assert {node.name for node in wanted} == set(names)
    for node in wanted:
        node.decorator_list, node.returns = [], None
        for argument in (*node.args.args, *node.args.kwonlyargs):
            argument.annotation = None
    room: dict[str, Any] = {"math": math, "itertools": itertools, "lru_cache": lru_cache, **around}
    exec(compile(ast.Module(wanted, []), file, "exec"), room)
    return {name: room[name] for name in names}
