"""What flags and options say: numbers, words of formats, switches; read from text and written as text."""

from __future__ import annotations

import re
from typing import TypeAlias

from roofline.engines.launch_flags import Flag, Meaning
from roofline.errors import UsageError

Said: TypeAlias = int | float | str | bool

_SHARES: tuple[Meaning, ...] = ("share",)
_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
_NUMBER = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,6})?)([kKmMgG]?)")


def read_value(name: str, flag: Flag, text: str, *, suffixes: bool = False) -> Said:
    """What the value of a flag says. Raises UsageError for what it does not take.

    >>> read_value("--max-model-len", Flag(means="length"), "8k", suffixes=True)
    8000
    """
    if not flag.words:
        zero = 0 in flag.among
        number = 0 if zero and text == "0" else _number(name, text, share=flag.means in _SHARES, suffixes=suffixes)
        _check_among(f"from: {name} {text}", flag, number)
        return number
    if text not in flag.words:
        msg = f"from: {name} {text}: not modelled; expected {', '.join(flag.words)}"
        raise UsageError(msg)
    return flag.words[text]


def value_of(engine: str, name: str, flag: Flag, said: Said) -> Said:
    """The value that says so. Raises UsageError for what the engine has no word for."""
    if flag.switch or not flag.words:
        _check_among(f"launch {engine}: {name} {said}", flag, said)
        return said
    word = next((word for word, meant in flag.words.items() if meant == said), None)
    if word is None:
        msg = f"launch {engine}: {name} has no word for {said}; it takes {', '.join(flag.words)}"
        raise UsageError(msg)
    return word


def _check_among(given: str, flag: Flag, said: Said) -> None:
    """Raises UsageError for a number that the flag does not take."""
    if flag.among and said not in flag.among:
        msg = f"{given}: it takes {', '.join(map(str, flag.among))}"
        raise UsageError(msg)


def _number(name: str, text: str, *, share: bool, suffixes: bool) -> int | float:
    """A number. Raises UsageError for what is none, or out of range."""
    found = _NUMBER.fullmatch(text)
    if found and (suffixes or not found[2]):
        number = float(found[1]) * _SUFFIXES.get(found[2], 1)
        if share and 0 < number <= 1:
            return number
        if not share and number == int(number) and (number > 0 or number == -1):
            return int(number)
    expected = "a share of the memory such as 0.9" if share else "a whole number of 1 or more"
    msg = f"from: {name} {text}: expected {expected}"
    raise UsageError(msg)
