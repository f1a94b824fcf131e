"""What of many devices serves nothing or has no price: few in a line each, many together by their reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MANY = 12
"""Up to so many each has a line of its own."""

_NEAREST = 8
"""How many that miss a target or a limit have a line of their own where there are many."""


def miss_lines(missed: Sequence[tuple[str, str, Sequence[str]]]) -> list[str]:
    """Why each serves nothing, from its name in the report, its device's name and its reasons, the nearest first."""
    if len(missed) <= MANY:
        return [f"{who} misses: {', '.join(reasons)}" for who, _, reasons in missed]
    alone, alike = _by_reason((who, device, reasons[0]) for who, device, reasons in missed)
    own = [(who, reasons) for who, _, reasons in missed if who in alone]
    lines = [f"{who} misses: {', '.join(reasons)}" for who, reasons in own[:_NEAREST]]
    if rest := [who for who, _ in own[_NEAREST:]]:
        lines.append(f"{len(rest)} more miss a target or a limit: {', '.join(rest)}")
    lines += [f"{len(names)} miss ({reason}): {', '.join(names)}" for reason, names in alike.items()]
    return [*lines, "--json has the reason of each; so has this text where few are named"]


def no_cost_lines(unpriced: Sequence[tuple[str, str, str]]) -> list[str]:
    """Why each has no cost, from its name in the report, its device's name and the reason."""
    if len(unpriced) <= MANY:
        return list(dict.fromkeys(f"no cost: {reason}" for _, _, reason in unpriced))
    alone, alike = _by_reason(unpriced)
    lines = [f"no cost: {reason}" for who, _, reason in unpriced if who in alone]
    return [*lines, *(f"no cost ({reason}): {', '.join(names)}" for reason, names in alike.items())]


def alike_notes(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Notes on devices, from a device's name and the note; those that differ in the name alone are one note.

    >>> alike_notes([("h20", "not timed on h20"), ("l20", "not timed on l20"), ("l4", "capped")])
    ['not timed on h20, l20', 'capped']
    """
    found: dict[str, dict[str, None]] = {}
    for device, note in notes:
        found.setdefault(note.replace(device, _NAME), {})[device] = None
    return [pattern.replace(_NAME, ", ".join(devices)) for pattern, devices in found.items()]


_NAME = "\0"


def _by_reason(told: Iterable[tuple[str, str, str]]) -> tuple[set[str], dict[str, list[str]]]:
    """Who misses by figures of its own, and the others by the reason before its details, without the device's name."""
    alone, alike = set[str](), dict[str, list[str]]()
    for who, device, reason in told:
        head = re.split("[:;]", reason, maxsplit=1)[0]
        if " > " in head:
            alone.add(who)
        else:
            general = head.replace(device, "").strip().removesuffix(" of")
            alike.setdefault(general, []).append(who)
    return alone, alike
