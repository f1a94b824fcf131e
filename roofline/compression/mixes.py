"""The mixes of llama.cpp's quantize: which type each tensor of a GGUF file has, by what it is and by its layer.

Source: llama.cpp, ``src/llama-quant.cpp`` (August 2026). IQ mixes are taken to be made with an importance matrix, as
most of them must be, the others without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import TypeAlias

from roofline.classes import frozen
from roofline.program.workload import BLOCKS

Place: TypeAlias = Callable[[int, int], bool]
"""Whether a layer, counted from 0, of so many is meant."""

Rules: TypeAlias = tuple[tuple[Place, str], ...]
"""Types by place: the first place that a layer has holds."""


def _more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth, and every third layer between them."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _inner(layer: int, layers: int) -> bool:
    return layers // 8 <= layer < 7 * layers // 8


def _part(of: int) -> Place:
    """The first eighth, sixteenth."""
    return lambda layer, layers: layer < layers // of


def _before(end: int) -> Place:
    return lambda layer, _layers: layer < end


def _all(name: str) -> Rules:
    return ((_before(1 << 30), name),)


@frozen
class Subject:
    """What a mix asks of a network: layers, query heads of a key head, experts, whether it is Llama's of 70B."""

    layers: int
    group: int
    experts: int
    is_70b: bool


@frozen
class Mix:
    """One mix: the type of most tensors, and those of others by what they are.

    Names are those of GGUF, ``ffn_down``, but for ``values``, which are attn_v or attn_qkv. ``grouped`` is theirs where
    four query heads or more share one. ``of_eight``: types where there are eight experts, beside which they are small.
    ``head`` is also the type of a table that is the head too; ``table`` that of any other, ``experts`` that of routed
    experts.
    """

    base: str
    parts: Mapping[str, Rules] = field(default_factory=dict)
    grouped: str = ""
    of_eight: Mapping[str, str] = field(default_factory=dict)
    head: str = "q6_k"
    table: str = ""
    experts: str = ""

    def type_of(self, part: str, layer: int, subject: Subject) -> str:
        """The type of a tensor of a layer.

        >>> subject = Subject(layers=32, group=4, experts=0, is_70b=False)
        >>> [MIXES["q4_k_m"].type_of("ffn_down", layer, subject) for layer in (0, 4, 6)]
        ['q6_k', 'q4_k', 'q6_k']
        """
        if subject.experts == 8 and part in self.of_eight:
            return self.of_eight[part]
        if part != "values":
            return self._by_place(part, layer, subject)
        shares = subject.group >= 4 or (self.base[:3] in ("iq1", "iq2") and subject.experts >= 4)
        found = self.grouped if self.grouped and shares else self._by_place(part, layer, subject)
        return "q5_k" if subject.is_70b and found in ("q3_k", "q4_k") else found

    def _by_place(self, part: str, layer: int, subject: Subject) -> str:
        rules = self.parts.get(part, ())
        return next((name for place, name in rules if place(layer, subject.layers)), self.base)


_WIDE = {"values": "q8_0", "attn_k": "q8_0"}
_EIGHT = _WIDE | {"attn_output": "q5_k"}
_EIGHT_SMALL = {"attn_k": "q4_k", "attn_output": "q5_k"}


def _small(base: str, early: str, out: str, table: str) -> Mix:
    """A mix of one or two bits: ``early`` is the type of values and of the first eighth of ffn_down."""
    parts = {"values": _all(early), "ffn_down": ((_part(8), early),)} | ({"attn_output": _all(out)} if out else {})
    return Mix(base, parts, "q4_k", _EIGHT_SMALL, head="q5_k", table=table)


_LARGE = {"q2_k": "q2_k", "q4_k": "q4_k_m", "q5_k": "q5_k_m", "q6_k": "q6_k"}

MIXES: dict[str, Mix] = {
    **{name: Mix(name, of_eight=_WIDE) for name in ("q4_0", "q4_1", "q5_0", "q5_1", "q6_k")},
    "q8_0": Mix("q8_0", head="q8_0"),
    "mxfp4_moe": Mix("q8_0", head="q8_0", experts="gguf_mxfp4"),
    "q5_k_s": Mix("q5_k", of_eight=_WIDE),
    "q5_k_m": Mix("q5_k", {"values": ((_more_bits, "q6_k"),), "ffn_down": ((_more_bits, "q6_k"),)}, of_eight=_WIDE),
    "q4_k_s": Mix("q4_k", {"values": ((_before(4), "q5_k"),), "ffn_down": ((_part(8), "q5_k"),)}, of_eight=_EIGHT),
    "q4_k_m": Mix("q4_k", {"values": ((_more_bits, "q6_k"),), "ffn_down": ((_more_bits, "q6_k"),)}, of_eight=_EIGHT),
    "q3_k_s": Mix("q3_k", of_eight=_EIGHT),
    "q3_k_m": Mix(
        "q3_k",
        {
            "values": ((_before(2), "q5_k"), *_all("q4_k")),
            "ffn_down": ((_part(16), "q5_k"), *_all("q4_k")),
            "attn_output": _all("q4_k"),
        },
        of_eight=_EIGHT,
    ),
    "q3_k_l": Mix("q3_k", {part: _all("q5_k") for part in ("values", "ffn_down", "attn_output")}, of_eight=_WIDE),
    "q2_k": Mix("q2_k", {part: _all("q3_k") for part in ("values", "ffn_down", "attn_output")}, "q4_k", _EIGHT),
    "q2_k_s": Mix("q2_k", {"ffn_down": ((_part(8), "q4_k"),)}, "q4_k", _WIDE),
    "iq4_nl": Mix("iq4_nl", grouped="q5_k", of_eight=_EIGHT),
    "iq4_xs": Mix("iq4_xs", grouped="q5_k", of_eight=_EIGHT),
    "iq3_m": Mix(
        "iq3_s",
        {"values": _all("q4_k"), "ffn_down": ((_part(8), "q4_k"),), "attn_output": _all("q4_k")},
        of_eight=_EIGHT,
    ),
    "iq3_s": Mix("iq3_s", grouped="q4_k", of_eight=_EIGHT),
    "iq3_xs": Mix(
        "iq3_s",
        {
            **{part: _all("iq3_xxs") for part in ("attn_k", "attn_q")},
            **dict.fromkeys(("ffn_gate", "ffn_up"), ((_inner, "iq3_xxs"),)),
        },
        "q4_k",
        _EIGHT,
    ),
    "iq3_xxs": Mix(
        "iq3_xxs",
        {"attn_k": _all("iq2_s"), "attn_q": _all("iq2_s"), "attn_output": _all("iq3_s")},
        "q4_k",
        _EIGHT,
        head="q5_k",
        table="iq3_s",
    ),
    "iq2_m": _small("iq2_s", "iq3_s", "iq3_s", "iq3_s"),
    "iq2_s": _small("iq2_xs", "iq3_s", "iq3_s", "iq3_s"),
    "iq2_xs": _small("iq2_xs", "q2_k", "", "q2_k"),
    "iq2_xxs": _small("iq2_xxs", "q2_k", "", "q2_k"),
    "iq1_m": _small("iq1_m", "q2_k", "iq2_xxs", "q2_k"),
    "iq1_s": _small("iq1_s", "q2_k", "iq2_xxs", "q2_k"),
}
MIXES |= {f"{name}_l": replace(MIXES[of], head="q8_0", table="q8_0") for name, of in _LARGE.items()}
"""Every mix, by the name that its files bear; ``_l`` are those of people who keep embeddings and heads in 8 bits."""

_FALLBACKS = {
    **dict.fromkeys(("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq4_xs"), "iq4_nl"),
    **dict.fromkeys(("q2_k", "q3_k", "tq1_0", "tq2_0"), "q4_0"),
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
}


def fitting_type(name: str, row: int) -> str:
    """The type of a tensor whose rows have ``row`` elements: another where no whole blocks of it fit into them.

    >>> [fitting_type("q4_k", row) for row in (4096, 2880, 71)]
    ['q4_k', 'q5_0', 'fp16']
    """
    if row % BLOCKS[name][0] == 0:
        return name
    other = _FALLBACKS.get(name, "fp16")
    return other if other != "fp16" and row % BLOCKS[other][0] == 0 else "fp16"
