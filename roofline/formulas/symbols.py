"""The symbols of formulas: a letter for each axis of the legend, a word for each number of the machine."""

from __future__ import annotations

from typing import Any

import sympy

from roofline.program.axes import LEGEND
from roofline.units import Dimension

LETTERS: dict[str, Any] = {letter: sympy.Symbol(letter, positive=True, integer=True) for letter in LEGEND}
"""Axis letter -> its symbol, a positive whole number."""

RATES: dict[str, tuple[str, Dimension]] = {
    "peak": ("dense peak of the unit that contracts", "flops_per_s"),
    "vector_peak": ("peak of the unit that does elementwise work", "flops_per_s"),
    "special_peak": ("rate of exponentials and other transcendental operations", "flops_per_s"),
    "bandwidth": ("bandwidth of device memory", "bytes_per_s"),
    "latency": ("constant cost of one operator", "time_s"),
}
"""The machine's words -> meaning and dimension."""

SHARES: dict[str, str] = {
    "e_c": "share of the peak that contractions reach",
    "e_v": "share of the vector peak that elementwise work reaches",
    "e_s": "share of the special peak that exponentials reach",
    "e_m": "share of the bandwidth that is reached",
    "p": "sharpness of the corner between compute and memory",
}
"""The constants' words -> meaning."""

REQUEST: dict[str, str] = {"prompt": "tokens in", "generate": "tokens out, the first one from prefill"}
"""The words of a whole request, in which a mean over its decode steps is written."""

_COUNTED = {name: sympy.Symbol(name, positive=True, integer=True) for name in REQUEST}


def symbol(name: str) -> Any:
    """The symbol of a letter or a word; the same name is the same symbol everywhere.

    >>> symbol("B") is LETTERS["B"], symbol("bandwidth").is_positive
    (True, True)
    """
    return LETTERS.get(name) or _COUNTED.get(name) or sympy.Symbol(name, positive=True)


def whole_symbol(letter: str) -> Any:
    """The symbol of a letter, a positive whole number: one of the legend's, or one of a traced module's own."""
    return LETTERS.get(letter) or sympy.Symbol(letter, positive=True, integer=True)


def meaning(name: str) -> str:
    """What a letter or a word stands for; a word of one dtype or kind, ``peak_fp8``, is explained by its stem."""
    known = LEGEND | SHARES | REQUEST | {word: text for word, (text, _) in RATES.items()}
    if name in known:
        return known[name]
    stem = next((word for word in RATES if name.startswith(f"{word}_")), "")
    return f"{known[stem]} ({name.removeprefix(stem + '_')})" if stem else ""


def dimension_of(name: str) -> Dimension | None:
    """The dimension of a word of the machine, None for a pure number."""
    stem = next((word for word in RATES if name == word or name.startswith(f"{word}_")), None)
    return RATES[stem][1] if stem else None
