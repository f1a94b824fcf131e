"""What users put in for letters and words: read by a closed grammar, never evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction

from roofline.errors import UnitError, UsageError, near_matches, shown
from roofline.formulas.symbols import REQUEST, SHARES, dimension_of
from roofline.program.axes import LEGEND
from roofline.units import parse_quantity

LARGEST = 10**12
"""The largest size that is taken."""

_WHOLE = re.compile(r"[0-9]{1,13}")
_PLAIN = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?")


def read_substitutions(text: str) -> dict[str, int | Fraction]:
    """``B=8,S=4096`` or ``bandwidth=3.35 TB/s`` as numbers: letters whole, words in SI base units, with a unit or bare.

    Raises UsageError, in one line, for anything else.

    >>> read_substitutions("B=8,S=4096"), read_substitutions("bandwidth=2 TB/s")
    ({'B': 8, 'S': 4096}, {'bandwidth': Fraction(2000000000000, 1)})
    """
    found: dict[str, int | Fraction] = {}
    for pair in text.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            msg = f"subs {shown(pair)}: expected NAME=NUMBER pairs such as B=8,S=4096"
            raise UsageError(msg)
        if name in found:
            msg = f"subs {name}: given twice; leave out one"
            raise UsageError(msg)
        found[name] = read_number(name, value)
    return found


def read_number(name: str, value: object) -> int | Fraction:
    """The number that stands for ``name``. Raises UsageError for an unknown name or what is no such number."""
    if name in LEGEND or name in REQUEST:
        return _whole(name, value)
    dimension = dimension_of(name)
    if dimension is None and name not in SHARES:
        msg = f"subs {shown(name)}: no such letter or word; {near_matches(name, known_names())}"
        raise UsageError(msg)
    number = _positive(value)
    if number is None and dimension is not None and isinstance(value, str):
        try:
            number = Fraction(parse_quantity(value, dimension))
        except UnitError as failure:
            msg = f"subs {name}: {failure}"
            raise UsageError(msg) from None
    if number is None or number <= 0:
        msg = f"subs {name}: {shown(value)}, expected a number above 0"
        raise UsageError(msg)
    return number


def read_substitution_mapping(given: Mapping[str, object]) -> dict[str, int | Fraction]:
    """The same for numbers that come from Python. Raises UsageError."""
    return {name: read_number(name, value) for name, value in given.items()}


def known_names() -> Iterable[str]:
    """Every letter and every word that a formula may hold."""
    return (*LEGEND, *REQUEST, *SHARES, "peak", "vector_peak", "special_peak", "bandwidth", "latency")


def _whole(name: str, value: object) -> int:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= LARGEST:
        msg = f"subs {name}: {shown(value)}, expected a whole number from 1 to {LARGEST}"
        raise UsageError(msg)
    return int(text)


def _positive(value: object) -> Fraction | None:
    """A plain positive number, as text or as a number; None for anything else."""
    if isinstance(value, Fraction):
        return value
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    return Fraction(text) if _PLAIN.fullmatch(text) else None
