"""Quantities with units: a closed grammar, and the only place that knows prefixes.

A quantity is a number and a unit, ``3.35 TB/s``; in Python it is a float in SI base units (bytes, FLOP, seconds, Hz, W,
and joules for energy), except for prices, which stay per hour and per kWh. One fused multiply-add is 2 FLOP; OP and
FLOP are one dimension; FLOPS, as data sheets write it, is FLOP/s. Decimal prefixes are k M G T P E, binary ones Ki Mi
Gi Ti; bits become bytes.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

from roofline.errors import UnitError

if TYPE_CHECKING:
    from collections.abc import Iterator

Dimension = Literal[
    "bytes", "bytes_per_s", "bytes_per_cycle", "flops", "flops_per_s", "flops_per_cycle", "frequency_hz", "time_s",
    "cycles", "power_w", "energy_j", "energy_per_flop_j", "usd", "usd_per_h", "usd_per_kwh", "requests",
    "requests_per_s", "tokens", "tokens_per_s",
]  # fmt: skip


class SiUnit(NamedTuple):
    """What a number is measured in: its dimension, and the sign of its SI base unit."""

    dimension: Dimension
    sign: str


_IN_NAMES = {"s": SiUnit("time_s", "s"), "bytes": SiUnit("bytes", "B"), "j": SiUnit("energy_j", "J")}


def unit_in_name(name: str) -> SiUnit | None:
    """The unit that a column's name ends with; None of a rate, and of what is counted or a share.

    >>> unit_in_name("decode_time_s"), unit_in_name("bytes").sign, unit_in_name("tokens_per_s")
    (SiUnit(dimension='time_s', sign='s'), 'B', None)
    """
    return None if name.endswith("per_s") else _IN_NAMES.get(name.rpartition("_")[2])


class _Kind(NamedTuple):
    noun: str
    example: str
    units: tuple[str, ...]  # without prefix; the first one is written
    prefixes: str


_DECIMAL = {"k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}
_SMALL = {"m": -3, "u": -6, "n": -9, "p": -12}
_PREFIXES: dict[str, Fraction] = {
    "": Fraction(1),
    **{prefix: Fraction(10) ** exponent for prefix, exponent in (_DECIMAL | _SMALL).items()},
    **{prefix: Fraction(2) ** exponent for prefix, exponent in _BINARY.items()},
}
_DATA, _WORK = "k M G T P E Ki Mi Gi Ti", "k M G T P E"
_KINDS: dict[Dimension, _Kind] = {
    "bytes": _Kind("a size", "80 GiB", ("B", "bit"), _DATA),
    "bytes_per_s": _Kind("a rate", "3.35 TB/s", ("B/s", "bit/s"), _DATA),
    "bytes_per_cycle": _Kind("a width", "128 B/cycle", ("B/cycle",), ""),
    "flops": _Kind("an amount of work", "27.6 TFLOP", ("FLOP", "OP"), _WORK),
    "flops_per_s": _Kind("a compute rate", "989.4 TFLOP/s", ("FLOP/s", "OP/s", "FLOPS", "OPS"), _WORK),
    "flops_per_cycle": _Kind("work per cycle", "4096 FLOP/cycle", ("FLOP/cycle", "OP/cycle"), ""),
    "frequency_hz": _Kind("a frequency", "1980 MHz", ("Hz",), "k M G"),
    "time_s": _Kind("a time", "30 ms", ("s", "min", "h"), "m u n"),
    "cycles": _Kind("a number of cycles", "4.6 kcycle", ("cycle", "cycles"), "k M"),
    "power_w": _Kind("a power", "700 W", ("W",), "k M"),
    "energy_j": _Kind("an energy", "1.5 kWh", ("Wh",), "k M"),
    "energy_per_flop_j": _Kind("an energy per FLOP", "0.21 pJ/FLOP", ("J/FLOP",), "p n"),
    "usd": _Kind("a sum of money", "30000 USD", ("USD",), "k M"),
    "usd_per_h": _Kind("a price per hour", "2.71 USD/h", ("USD/h",), ""),
    "usd_per_kwh": _Kind("a price of energy", "0.12 USD/kWh", ("USD/kWh",), ""),
    "requests": _Kind("a number of requests", "500 req", ("req",), "k M"),
    "requests_per_s": _Kind("a request rate", "50 req/s", ("req/s",), "k M"),
    "tokens": _Kind("a number of tokens", "4096 tok", ("tok",), "k M G T"),
    "tokens_per_s": _Kind("a token rate", "12.5 ktok/s", ("tok/s",), "k M G"),
}
_FACTORS = {
    "bit": Fraction(1, 8),
    "bit/s": Fraction(1, 8),
    "min": Fraction(60),
    "h": Fraction(3600),
    "Wh": Fraction(3600),
}
_BARE = ("min", "h")  # units that take no prefix, so that no "kmin" slips in


def _spellings() -> Iterator[tuple[str, tuple[Dimension, Fraction]]]:
    for dimension, kind in _KINDS.items():
        for unit in kind.units:
            for prefix in ("", *(() if unit in _BARE else kind.prefixes.split())):
                yield prefix + unit, (dimension, _PREFIXES[prefix] * _FACTORS.get(unit, 1))


UNITS: dict[str, tuple[Dimension, Fraction]] = dict(_spellings())
"""Every unit that can be written -> its dimension and its factor to base units."""

_NUMBER = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?")
_MEANT = {"Kb": "kB or kbit", "KB": "kB or KiB", "Mb": "MB or Mbit", "Gb": "GB or Gbit", "Tb": "TB or Tbit"}


def parse_quantity(text: object, dimension: Dimension) -> float:
    """The value of ``text`` in the base unit of ``dimension``.

    Raises UnitError, in one line, for anything that is not a finite non-negative number with a unit of this dimension.

    >>> parse_quantity("3.35 TB/s", "bytes_per_s")
    3350000000000.0
    >>> parse_quantity("400Gbit/s", "bytes_per_s")
    50000000000.0
    >>> parse_quantity("80 GB", "bytes_per_s")
    Traceback (most recent call last):
    roofline.errors.UnitError: "80 GB" is a size (bytes), expected a rate such as "3.35 TB/s"
    """
    expected = f'expected {_KINDS[dimension].noun} such as "{_KINDS[dimension].example}"'
    number, unit = _split(text, expected)
    if not unit:
        _refuse(f"{_quoted(text)} has no unit, {expected}")
    if unit not in UNITS:
        stem, _, rest = unit.partition("/")
        meant = f" (did you mean {_MEANT[stem]}{' per ' + rest if rest else ''}?)" if stem in _MEANT else ""
        _refuse(f"{_quoted(text)} has the unknown unit {_quoted(unit)}{meant}, {expected}")
    found, factor = UNITS[unit]
    if found != dimension:
        _refuse(f"{_quoted(text)} is {_KINDS[found].noun} ({found}), {expected}")
    return float(number * factor)


def parse_count(text: object) -> int:
    """The whole number in ``text``; ``k M G T P E`` are decimal, ``Ki Mi Gi Ti`` binary. Raises UnitError.

    >>> parse_count("32k"), parse_count("32Ki"), parse_count("2048")
    (32000, 32768, 2048)
    """
    expected = 'expected a whole number such as "2048", "32k" (32000) or "32Ki" (32768)'
    number, prefix = _split(text, expected)
    if prefix not in ("", *_DECIMAL, *_BINARY):
        _refuse(f"{_quoted(text)} has the unknown prefix {_quoted(prefix)}, {expected}")
    count = number * _PREFIXES[prefix]
    if count.denominator != 1:
        _refuse(f"{_quoted(text)} is not whole, {expected}")
    return int(count)


def format_quantity(value: float, dimension: Dimension, digits: int = 3, *, binary: bool = False) -> str:
    """``value``, in base units, with ``digits`` significant digits and the prefix that keeps it between 1 and 1000.

    ``binary`` writes sizes with Ki Mi Gi Ti. Whole numbers below 1000, and all of a unit without prefixes, are exact.
    Raises UnitError if the value is not finite.

    >>> format_quantity(3.35e12, "bytes_per_s"), format_quantity(0.0918, "time_s")
    ('3.35 TB/s', '91.8 ms')
    >>> format_quantity(80 * 2**30, "bytes", binary=True)
    '80.0 GiB'
    """
    kind = _KINDS[dimension]
    if not math.isfinite(value):
        _refuse(f"{value} is not finite, expected {kind.noun}")
    prefixes = [
        p for p in kind.prefixes.split() if p not in (_DECIMAL if binary and "Ki" in kind.prefixes else _BINARY)
    ]
    scales = sorted((float(UNITS[prefix + kind.units[0]][1]), prefix) for prefix in ("", *prefixes))
    scale, prefix = scales[0] if value else (1.0, "")
    for larger, name in scales:
        if abs(float(f"{value / larger:.{digits - 1}e}")) >= 1:
            scale, prefix = larger, name
    scaled = value / scale
    whole = not prefix and scaled == round(scaled) and (abs(scaled) < 1000 or not prefixes)
    return f"{round(scaled) if whole else _significant(scaled, digits)} {prefix}{kind.units[0]}"


def format_count(value: int) -> str:
    """The shortest exact way to write a count; ``parse_count`` reads it back.

    >>> format_count(32000), format_count(131072), format_count(2048), format_count(1)
    ('32k', '128Ki', '2048', '1')
    """
    table = _DECIMAL if value % 1000 == 0 else _BINARY if value >= 10_000 else {}
    for prefix in reversed(table):
        if value and value % _PREFIXES[prefix] == 0:
            return f"{value // _PREFIXES[prefix]}{prefix}"
    return str(value)


def format_figures(value: float) -> str:
    """Three significant figures; whole numbers from a thousand on, where an exponent would hide them.

    >>> format_figures(0.01234), format_figures(45.678), format_figures(1139.7), format_figures(2.5e6)
    ('0.0123', '45.7', '1,140', '2,500,000')
    """
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def _significant(number: float, digits: int) -> str:
    scientific = f"{number:.{digits - 1}e}"
    exponent = int(scientific.partition("e")[2])
    return f"{float(scientific):.{max(digits - 1 - exponent, 0)}f}" if -3 <= exponent <= 6 else scientific


def _split(text: object, expected: str) -> tuple[Fraction, str]:
    """The number and the unit of ``text``, the unit unchecked."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        text = str(text)  # a bare YAML number: refused later for its missing unit, not for its type
    if not isinstance(text, str):
        _refuse(f"{_quoted(text)} is not a quantity, {expected}")
    stripped = text.strip()
    if not stripped:
        _refuse(f"{_quoted(text)} is empty, {expected}")
    number = _NUMBER.match(stripped)
    if number is None or stripped[number.end() : number.end() + 1] in (".", "_", ",", *"0123456789"):
        negative = re.match(r"-\s?[0-9]", stripped)
        _refuse(f"{_quoted(text)} {'is negative' if negative else 'has no finite number'}, {expected}")
    return Fraction(number.group()), stripped[number.end() :].strip()


def _quoted(given: object) -> str:
    """What was given, on one line and not too long."""
    text = str(given).encode("unicode_escape").decode()
    return f'"{text[:60]}..."' if len(text) > 60 else f'"{text}"'


def _refuse(message: str) -> NoReturn:
    raise UnitError(message)
