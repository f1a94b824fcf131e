"""What a traced module is given: the sizes of its inputs as letters and numbers, read by a closed grammar."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.models.traced.trace import FOLLOWING

HINTS = {"B": 3, "S": 24}
"""What the letters are while the module runs: no size that code would take for a special case."""

_LETTER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,15}")
_WHOLE = re.compile(r"[0-9]{1,10}")
_WHOLE_NUMBERS = ("ids", "tokens", "indices", "index", "labels", "mask")
_EXPECTED = "expected NAME=SIZE,SIZE,... of letters and numbers, such as x=B,S,256, or tokens=int:B,S"

CACHE = "cache"
"""What an input holds that a step finds in memory: keys or values of the tokens before."""

Given: TypeAlias = Any
"""An input: ``"B,S,256"``, ``("B", "S", 256)``, or a tensor, whose sizes are taken as they are."""


@frozen
class Input:
    """An input of a module: its name, its sizes, and what it holds: float, int, bool, a cache, or a dtype of torch."""

    name: str
    sizes: tuple[int | str, ...]
    holds: str = "float"

    @property
    def letters(self) -> list[str]:
        """The letters among its sizes."""
        return [size for size in self.sizes if isinstance(size, str)]


def read_inputs(given: Mapping[str, Given]) -> tuple[Input, ...]:
    """The inputs of a module by name. Raises UsageError, in one line, for sizes that are none.

    An input whose name ends in ids, tokens, index, labels or mask holds whole numbers, unless it says otherwise.

    >>> read_inputs({"x": "B,S,256", "input_ids": "B,S"})[1]
    Input(name='input_ids', sizes=('B', 'S'), holds='int')
    """
    return tuple(_input(name, sizes) for name, sizes in given.items())


def _input(name: str, given: Given) -> Input:
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return Input(name, tuple(int(size) for size in given.shape), str(given.dtype).removeprefix("torch."))
    usual = "int" if name.lower().endswith(_WHOLE_NUMBERS) else "float"
    if isinstance(given, int):
        given = str(given)
    if isinstance(given, str):
        before, colon, after = given.partition(":")
        holds, text = (before.strip(), after) if colon else (usual, given)
        parts: Sequence[object] = [part.strip() for part in text.split(",")] if text.strip() else []
    elif isinstance(given, Sequence):
        holds, parts = usual, given
    else:
        msg = f"input {shown(name)}: given {type(given).__name__}; {_EXPECTED}"
        raise UsageError(msg)
    if holds not in ("float", "int", "bool", CACHE):
        msg = f"input {shown(name)}: {shown(holds)} is not float, int, bool or {CACHE}; {_EXPECTED}"
        raise UsageError(msg)
    return Input(name, tuple(_size(name, part) for part in parts), holds)


def _size(name: str, given: object) -> int | str:
    text = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else ""
    if _WHOLE.fullmatch(text) and int(text) > 0:
        return int(text)
    if _LETTER.fullmatch(text):
        return text
    msg = f"input {shown(name)}: {shown(given)} is no size; {_EXPECTED}"
    raise UsageError(msg)


def read_hints(given: Mapping[str, object]) -> dict[str, int]:
    """The batch and the length that a module runs at. Raises UsageError for other letters, and for 1 or less.

    >>> read_hints({"S": 2048})
    {'B': 3, 'S': 2048}
    """
    for letter, size in given.items():
        if letter not in FOLLOWING or not isinstance(size, int) or isinstance(size, bool) or size < 2:
            msg = f"at {shown(letter)}: {shown(str(size))}, expected B or S and a whole number from 2 on"
            raise UsageError(msg)
    return {**HINTS, **{letter: int(str(size)) for letter, size in given.items()}}


def read_dims(given: Mapping[str, object], inputs: Sequence[Input]) -> dict[str, int]:
    """The numbers of the letters other than B and S. Raises UsageError for one that is missing, or no whole number."""
    found = {}
    for letter, size in given.items():
        text = str(size)
        if letter in FOLLOWING or not _LETTER.fullmatch(letter):
            problem = ": B and S follow --batch and --prompt" if letter in FOLLOWING else " is no letter"
            msg = f"dims {shown(letter)}{problem}"
            raise UsageError(msg)
        if not _WHOLE.fullmatch(text) or isinstance(size, bool) or int(text) < 1:
            msg = f"dims {letter}: {shown(size)}, expected a whole number from 1 on"
            raise UsageError(msg)
        found[letter] = int(text)
    for each in inputs:
        for letter in each.letters:
            if letter not in FOLLOWING and letter not in found:
                msg = f"input {each.name}: {letter} has no number; give --dims {letter}=512, or a number in its place"
                raise UsageError(msg)
    return found
