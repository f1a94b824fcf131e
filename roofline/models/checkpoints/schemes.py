"""One scheme of quantised modules as the words of a recipe: bits, groups, zero points, what they are multiplied with.

Each raises ValueError, in words that name what it was given, for a scheme that is stored in another way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.compression.recipes import head_of
from roofline.errors import shown

PLAIN = ""
"""The scheme of modules that are not quantised."""

_INTEGERS = (2, 3, 4, 8)


def integers(bits: Any, group: Any, *, zero: str = "", activations: str = "") -> str:
    """Whole numbers with a scale for each ``group`` along the input, or for each output where it is -1, 0 or absent.

    ``zero`` is ``zp`` for zero points as wide as the weights, ``zp16`` for wide ones.

    >>> integers(4, 128), integers(8, 128), integers(3, -1, zero="zp"), integers(4, 128, activations="fp8")
    ('w4a16', 'w8a16+g128', 'w3a16+channel+zp', 'int4:fp8')
    """
    if type(bits) is not int or bits not in _INTEGERS:
        msg = f"{shown(bits)} bits"
        raise ValueError(msg)
    if group is not None and (not isinstance(group, int) or isinstance(group, bool) or not -1 <= group < 10**6):
        msg = f"groups of {shown(group)}"
        raise ValueError(msg)
    usual = 128 if bits != 8 else 0
    size = max(group or 0, 0)
    words = [] if size == usual else [f"g{size}"] if size else ["channel"]
    return "+".join([head_of(f"int{bits}", activations), *words, *([zero] if zero else [])])


def scheme(weights: Mapping[str, Any], activations: Mapping[str, Any] | None) -> str:
    """The scheme of compressed-tensors: ``num_bits``, ``type``, ``strategy``, ``group_size`` of both sides.

    ModelOpt writes the same without a strategy.

    >>> scheme({"num_bits": 8, "type": "float", "strategy": "channel"}, {"num_bits": 8, "type": "float"})
    'fp8:fp8-tensor'
    """
    kept = PLAIN if activations is None else _activations(activations)
    bits, kind, strategy, group = _facts(weights)
    if kind == "int":
        zero = "" if weights.get("symmetric", True) else "zp"
        if strategy not in ("group", "channel", "tensor"):
            msg = f"int{bits} weights by {strategy}"
            raise ValueError(msg)
        return integers(bits, group if strategy == "group" else None, zero=zero, activations=kept)
    form = _floats(bits, strategy, group, weights.get("block_structure"))
    if form is None:
        msg = f"float weights of {bits} bits by {strategy}{f' of {group}' if group else ''}"
        raise ValueError(msg)
    return head_of(form, kept)


def _facts(part: Mapping[str, Any]) -> tuple[int, str, str, int]:
    """Bits, type, strategy and size of a group; 0 for none."""
    bits, kind, group = part.get("num_bits"), part.get("type", "int"), part.get("group_size") or 0
    if (
        not isinstance(bits, int)
        or kind not in ("int", "float")
        or not isinstance(group, int)
        or not 0 <= group < 10**6
    ):
        msg = f"num_bits {shown(bits)}, type {shown(kind)}, group_size {shown(group)}"
        raise ValueError(msg)
    strategy = part.get("strategy") or ("group" if group else "tensor")
    return bits, kind, str(strategy)[:20], group


def _floats(bits: int, strategy: str, group: int, block: Any) -> str | None:
    if bits == 8:
        if strategy == "block" and list(block or (128, 128)) == [128, 128]:
            return "fp8-block"
        grouped = {32: "mxfp8", 128: "fp8-group"} if strategy == "group" else {}
        return {"tensor": "fp8-tensor", "channel": "fp8", "token": "fp8"}.get(strategy) or grouped.get(group)
    grouped = {16: "nvfp4", 32: "mxfp4"} if strategy in ("group", "tensor_group") else {}
    return grouped.get(group or 16) if bits == 4 else None


def _activations(part: Mapping[str, Any]) -> str:
    bits, kind, strategy, group = _facts(part)
    if kind == "int" and bits in (4, 8):
        return "int8" if bits == 8 else "int4-row"
    form = _floats(bits, strategy, group, None) if kind == "float" else None
    if form is None:
        msg = f"activations of {bits} bits, {kind}, by {strategy}{f' of {group}' if group else ''}"
        raise ValueError(msg)
    return form


def cache(given: Any) -> str:
    """The word for a KV cache: nothing, ``kv8`` for 8-bit floats however they are spelled.

    >>> cache({"num_bits": 8, "type": "float"}), cache("FP8"), cache(None)
    ('kv8', 'kv8', '')
    """
    if given is None or (isinstance(given, str) and given.lower() in ("", "none", "auto")):
        return ""
    if isinstance(given, Mapping):
        told = (given.get("num_bits"), given.get("type"))
        if told == (8, "float"):
            return "kv8"
        given = " ".join(str(each) for each in told)
    elif isinstance(given, str) and given.lower().startswith(("fp8", "float8")):
        return "kv8"
    msg = f"a KV cache in {shown(given)}"
    raise ValueError(msg)
