"""Structured pruning as a transform of a program: fewer heads, narrower feed-forward layers, fewer layers or experts.

Each part is a share to remove (``heads=0.25``) or a whole number of them (``layers=6``). Query heads go from every
key/value head alike, so the cache stays as it is; only where each has one query head left do key/value heads go with
them. ``kv_heads`` removes key/value heads with all their queries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from fractions import Fraction

from roofline.classes import frozen
from roofline.errors import UsageError, WorkloadError, near_matches, shown
from roofline.program.axes import Binding
from roofline.program.program import Group, Program

PARTS = ("heads", "kv_heads", "ffn", "layers", "experts")


@frozen
class Pruned:
    """A pruned program, and what went: ``heads 32 -> 24``."""

    program: Program
    changes: tuple[str, ...]


def read_pruning(text: str | Mapping[str, float | str]) -> dict[str, Fraction]:
    """The parts to prune and how much of each: below 1 a share, from 1 on a number.

    Raises UsageError for an unknown part and for what is neither.

    >>> read_pruning("heads=0.25,layers=6")
    {'heads': Fraction(1, 4), 'layers': Fraction(6, 1)}
    """
    pairs = text.items() if isinstance(text, Mapping) else [word.partition("=")[::2] for word in text.split(",")]
    found: dict[str, Fraction] = {}
    for part, amount in pairs:
        if part not in PARTS or part in found:
            hint = "given twice" if part in found else near_matches(shown(part), PARTS)
            msg = f"prune {shown(part)}: {hint}; expected such as heads=0.25,ffn=0.5,layers=6"
            raise UsageError(msg)
        found[part] = _amount(part, amount)
    return found


_AMOUNT = re.compile(r"(\d{1,9}(\.\d{0,18})?|\.\d{1,18})(e-?\d{1,2})?|\d{1,9}/0*[1-9]\d{0,8}", re.ASCII | re.IGNORECASE)
"""A share or a number that a network may have; what has more digits is none."""


def _amount(part: str, given: object) -> Fraction:
    text = str(given).strip()
    amount = Fraction(text) if _AMOUNT.fullmatch(text) else Fraction(0)
    if amount <= 0 or (amount >= 1 and amount.denominator != 1) or isinstance(given, bool):
        msg = f"prune {part}={text[:40]}: expected a share between 0 and 1, or a whole number of {part} to remove"
        raise UsageError(msg)
    return amount


def pruned(program: Program, parts: Mapping[str, Fraction]) -> Pruned:
    """``program`` without ``parts``, as a network of the smaller configuration would be.

    Raises WorkloadError where the program has no such part, where nothing would be left, and where query heads cannot
    go from every key/value head alike.
    """
    changes: list[str] = []
    for part, amount in parts.items():
        program, change = _PRUNE[part](program, amount)
        changes.append(change)
    return Pruned(program, tuple(changes))


def _left(part: str, have: int, amount: Fraction) -> int:
    """How many are left of ``have``: a share is rounded to the nearest whole number."""
    gone = round(have * amount) if amount < 1 else int(amount)
    if gone >= have:
        msg = f"prune {part}={_said(amount)}: nothing would be left of {have:,}"
        raise WorkloadError(msg)
    return have - gone


def _said(amount: Fraction) -> str:
    return f"{float(amount):g}"


def _heads(program: Program, amount: Fraction) -> tuple[Program, str]:
    kv_heads, groups = _size(program, "K", "heads"), program.sizes.get("G", 1)
    heads = kv_heads * groups
    gone = amount * heads if amount < 1 else amount
    left = heads - gone
    if left <= 0 or left.denominator != 1 or (groups > 1 and left % kv_heads):
        step = kv_heads if groups > 1 else 1
        possible = [Fraction(heads - step * n, heads) for n in range(heads // step - 1, 0, -1)]
        near = sorted(sorted(possible, key=lambda share: abs(share - gone / heads))[:2])
        told = " or ".join(f"{_said(share)} ({int(share * heads)})" for share in near) or "none"
        each = f" as many of each of {kv_heads} key/value heads" if groups > 1 else ""
        msg = f"prune heads={_said(amount)}: of {heads} heads go whole ones,{each}; expected {told}".replace(",;", ";")
        raise WorkloadError(msg)
    if groups > 1:
        return _resized(program, {"G": int(left) // kv_heads}), f"heads {heads} -> {left}"
    more = {"K": int(left)}
    return _resized(program, more), f"heads {heads} -> {left}, key/value heads with them"


def _kv_heads(program: Program, amount: Fraction) -> tuple[Program, str]:
    have = _size(program, "K", "kv_heads")
    left = _left("kv_heads", have, amount)
    return _resized(program, {"K": left}), f"key/value heads {have} -> {left}, with their queries"


def _ffn(program: Program, amount: Fraction) -> tuple[Program, str]:
    """Every feed-forward width, those of single groups and operators too, but for a tower's."""
    have = _size(program, "F", "ffn")

    def narrower(local: Mapping[str, Binding]) -> dict[str, Binding]:
        width = local.get("F")
        return {**local, **({"F": _left("ffn", width, amount)} if isinstance(width, int) else {})}

    def change(group: Group) -> Group:
        if group.in_tower:
            return group
        ops = tuple(replace(op, local=narrower(op.local)) for op in group.ops)
        return replace(group, local=narrower(group.local), ops=ops)

    left = _left("ffn", have, amount)
    smaller = replace(program, groups=tuple(map(change, program.groups)))
    return _resized(smaller, {"F": left}), f"feed-forward width {have:,} -> {left:,}"


def _layers(program: Program, amount: Fraction) -> tuple[Program, str]:
    """Layers of several kinds go in proportion, the largest remainders first; those of a tower of images stay."""
    times: dict[str, int] = {}
    for group in program.groups:
        if group.stacked and not group.in_tower:
            times[group.name] = int(group.times(program.sizes))
    have = sum(times.values())
    if not have:
        msg = "prune layers: the network has none that repeat"
        raise WorkloadError(msg)
    left = _left("layers", have, amount)
    shares = {name: Fraction(number * left, have) for name, number in times.items()}
    kept = {name: int(share) for name, share in shares.items()}
    for name in sorted(shares, key=lambda name: kept[name] - shares[name])[: left - sum(kept.values())]:
        kept[name] += 1
    alike = {kept[group.name] for group in program.groups if group.name in kept and group.repeat == "L"}
    groups = [_shorter(group, kept, alike) if group.name in kept else group for group in program.groups]
    smaller = replace(program, groups=tuple(group for group in groups if kept.get(group.name, 1)))
    number = alike.pop() if len(alike) == 1 else left
    return _resized(smaller, {"L": number} if "L" in program.sizes else {}), f"layers {have} -> {left}"


def _shorter(group: Group, kept: Mapping[str, int], alike: Set[int]) -> Group:
    """The first layers of a group, as many as are ``kept``; L of them where all that had L keep ``alike`` many."""
    layers = kept[group.name]
    repeat = "L" if group.repeat == "L" and len(alike) == 1 else layers
    return replace(group, repeat=repeat, numbers=group.numbers[:layers])


def _experts(program: Program, amount: Fraction) -> tuple[Program, str]:
    have, picked = _size(program, "E", "experts"), program.sizes.get("A", 1)
    left = _left("experts", have, amount)
    if left < picked:
        msg = f"prune experts={_said(amount)}: {left} would be left, and each token is sent to {picked}"
        raise WorkloadError(msg)
    return _resized(program, {"E": left}), f"experts {have} -> {left}"


def _size(program: Program, letter: str, part: str) -> int:
    if letter not in program.sizes:
        msg = f"prune {part}: the network has no {part}"
        raise WorkloadError(msg)
    return program.sizes[letter]


def _resized(program: Program, sizes: Mapping[str, int]) -> Program:
    return replace(program, sizes={**program.sizes, **sizes})


_PRUNE: dict[str, Callable[[Program, Fraction], tuple[Program, str]]] = {
    "heads": _heads,
    "kv_heads": _kv_heads,
    "ffn": _ffn,
    "layers": _layers,
    "experts": _experts,
}
