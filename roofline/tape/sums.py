"""Sums in terms of earlier ones, so that what several have in common is written once."""

from __future__ import annotations

from dataclasses import dataclass, field

from roofline.tape.trace import Sum

_ALIKE = 1e-15
"""Coefficients are in one proportion where they differ by no more than this share: what rounding makes of them."""


@dataclass(slots=True)
class Sums:
    """The sums that were written so far, by the last node of each."""

    by_last: dict[int, list[tuple[int, Sum]]] = field(default_factory=dict)

    def add(self, place: int, given: Sum) -> None:
        """Remember the sum at a place, if it is of two numbers or more."""
        if given.terms and _size(given) > 1:
            self.by_last.setdefault(max(given.terms), []).append((place, given))

    def shortened(self, given: Sum) -> Sum:
        """A sum in few terms: multiples of earlier sums that are all in it stand for theirs.

        Their terms are gone entirely: none comes in that takes away what another adds.
        """
        found = given
        while (shorter := self._shorter(found)) is not found:
            found = shorter
        return found

    def _shorter(self, given: Sum) -> Sum:
        """With the longest of the earlier sums that are in it, if there is one."""
        found = given
        for own, coefficient in given.terms.items():
            for place, part in self.by_last.get(own, ()):
                if _size(given) - _size(part) + 1 < _size(found) and (rest := _without(given, part)):
                    found = rest.plus(Sum(0, {place: float(coefficient) / float(part.terms[own])}))
        return found


def _size(given: Sum) -> int:
    return len(given.terms) + (given.constant != 0)


def _without(whole: Sum, part: Sum) -> Sum | None:
    """What is left of a sum without a multiple of another; None where that is not all in it."""
    last = max(part.terms)
    factor = float(whole.terms[last]) / float(part.terms[last])

    def is_in(own: float, other: float) -> bool:
        return abs(own - factor * other) <= _ALIKE * abs(own)

    terms = all(place in whole.terms and is_in(float(whole.terms[place]), float(c)) for place, c in part.terms.items())
    if not terms or (part.constant != 0 and not is_in(float(whole.constant), float(part.constant))):
        return None
    left = {place: coefficient for place, coefficient in whole.terms.items() if place not in part.terms}
    return Sum(0 if part.constant != 0 else whole.constant, left)
