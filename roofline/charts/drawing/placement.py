"""Where a label goes so that no two overlap and none leaves its field.

Boxes are rows ``x0 y0 x1 y1`` of an array, in points from the figure's lower left corner. Text never lies on text;
markers and lines are avoided where there is room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Boxes: TypeAlias = NDArray[np.float64]
Spot: TypeAlias = tuple[float, float]

GAP = 1.0
"""Free space around every text, which also absorbs what hinting changes from one resolution to another. [pt]"""

MOST = 6
"""How many marks under a text count."""

_ANGLES = np.deg2rad([90, 45, 0, 315, 270, 225, 180, 135, 67.5, 22.5, 337.5, 292.5, 247.5, 202.5, 157.5, 112.5])


@dataclass(slots=True)
class Field:
    """A rectangle to label, and what it holds already."""

    x0: float
    y0: float
    x1: float
    y1: float
    texts: list[Boxes] = field(default_factory=list)
    marks: list[Boxes] = field(default_factory=list)

    def block(self, boxes: Boxes) -> None:
        """Keep texts off ``boxes`` altogether."""
        self.texts.append(boxes)

    def mark(self, boxes: Boxes, weight: int = 1) -> None:
        """Keep texts off ``boxes`` where there is room; one of more weight counts as so many."""
        self.marks.append(np.repeat(boxes, weight, axis=0))

    def fits(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Which of ``boxes`` lie inside the field and off every text."""
        inside = (
            (boxes[:, 0] >= self.x0) & (boxes[:, 1] >= self.y0) & (boxes[:, 2] <= self.x1) & (boxes[:, 3] <= self.y1)
        )
        return np.asarray(inside & ~overlaps(boxes, self.texts).any(axis=1))

    def place(
        self,
        width: float,
        height: float,
        spots: Sequence[Spot],
        *,
        price: float = 40.0,
        costs: Sequence[float] = (),
        origin: Spot | None = None,
    ) -> Spot | None:
        """The best of ``spots``, centres of a text of this size, and take it; None where none is free.

        Spots are in order of liking, or have ``costs``; each mark under the text, up to ``MOST``, costs ``price`` more,
        and so does every text that a straight line from ``origin`` to the spot would cross.
        """
        boxes = boxes_around(spots, width + 2 * GAP, height + 2 * GAP)
        free = np.flatnonzero(self.fits(boxes))
        if not len(free):
            return None
        liking = np.asarray(costs if len(costs) else np.arange(len(boxes)), dtype=np.float64)
        crossed = np.minimum(overlaps(boxes[free], self.marks).sum(axis=1), MOST)
        total = liking[free] + price * crossed
        if origin is not None:
            total += 1.5 * price * self._crossings(origin, np.asarray(spots)[free])
        best = int(free[np.argmin(total)])
        self.block(boxes[best : best + 1])
        return spots[best]

    def _crossings(self, origin: Spot, spots: Boxes) -> NDArray[np.float64]:
        """How many texts lie on the way from ``origin`` to each of ``spots``."""
        way = np.linspace(0.0, 1.0, 9)[None, :, None]
        stops = (np.asarray(origin) + (spots[:, None, :] - np.asarray(origin)) * way).reshape(-1, 2)
        on = overlaps(np.hstack([stops, stops]), self.texts).reshape(len(spots), 9, -1)
        return np.asarray(on.any(axis=1).sum(axis=1), dtype=np.float64)

    def place_slanted(
        self, width: float, height: float, angle: float, spots: Sequence[Spot], own: int | None = None
    ) -> Spot | None:
        """The same for a text turned by ``angle`` [degrees], covered by small upright boxes; it never lies on a mark.

        ``own`` is the place among the marks of the line that the text runs along.
        """
        marks = [boxes for index, boxes in enumerate(self.marks) if index != own]
        for spot in spots:
            boxes = chain(spot, width + 2 * GAP, height + 2 * GAP, angle)
            if self.fits(boxes).all() and not overlaps(boxes, marks).any():
                self.block(boxes)
                return spot
        return None


def boxes_around(spots: Iterable[Spot], width: float, height: float) -> Boxes:
    """Boxes of one size around centres.

    >>> boxes_around([(10, 10)], 4, 2)
    array([[ 8.,  9., 12., 11.]])
    """
    centres = np.asarray(list(spots), dtype=np.float64).reshape(-1, 2)
    half = np.array([width / 2, height / 2])
    return np.hstack([centres - half, centres + half])


def chain(spot: Spot, width: float, height: float, angle: float) -> Boxes:
    """Upright boxes that together cover a rectangle turned by ``angle`` [degrees] around its centre."""
    turn = np.deg2rad(angle)
    links = max(1, int(np.ceil(width / (0.25 * height))))
    along = (np.arange(links) + 0.5) / links * width - width / 2
    side = width / links
    reach_x = abs(np.cos(turn)) * side + abs(np.sin(turn)) * height
    reach_y = abs(np.sin(turn)) * side + abs(np.cos(turn)) * height
    centres = np.column_stack([spot[0] + along * np.cos(turn), spot[1] + along * np.sin(turn)])
    return boxes_around([(x, y) for x, y in centres], reach_x, reach_y)


def overlaps(boxes: Boxes, groups: Sequence[Boxes]) -> NDArray[np.bool_]:
    """Which box (row) overlaps which box of ``groups`` (column)."""
    if not groups:
        return np.zeros((len(boxes), 0), dtype=np.bool_)
    others = np.vstack(groups)
    apart = (
        (boxes[:, None, 0] >= others[None, :, 2])
        | (boxes[:, None, 2] <= others[None, :, 0])
        | (boxes[:, None, 1] >= others[None, :, 3])
        | (boxes[:, None, 3] <= others[None, :, 1])
    )
    return np.asarray(~apart)


def rings(centre: Spot, width: float, height: float, start: float, reach: float) -> tuple[list[Spot], list[float]]:
    """Centres for a text of this size around a marker of radius ``start``, near ones first, and their costs. [pt]"""
    spots: list[Spot] = []
    costs: list[float] = []
    distance = start + 1.5
    while distance <= reach:
        for rank, angle in enumerate(_ANGLES):
            x = centre[0] + np.cos(angle) * (distance + width / 2)
            y = centre[1] + np.sin(angle) * (distance + height / 2)
            spots.append((float(x), float(y)))
            costs.append(2.0 * (distance - start) + 0.2 * rank)
        distance += max(2.5, height / 2)
    return spots, costs


def segment_marks(points: NDArray[np.float64], step: float = 5.0) -> Boxes:
    """Small boxes along a line through ``points`` (n x 2), so that texts keep off it."""
    parts = []
    for start, end in pairwise(points):
        count = max(2, int(np.hypot(*(end - start)) / step))
        parts.append(start + (end - start) * np.linspace(0, 1, count)[:, None])
    centres = np.vstack(parts)
    return np.hstack([centres - 0.8, centres + 0.8])
