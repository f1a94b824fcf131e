"""Bytes that rest on devices of many layouts at once: by place, along an axis of shardings. No batch changes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.number import Number, added, where
from roofline.parallelism.layout import Layout
from roofline.training.resting import LocalWeight, Resting, Sharding

PLACES = (0, 1, 2)
"""Before the layers, in them, behind them."""

POLICY_AXIS, SHARDING_AXIS = 1, 2
"""Axes behind that of layouts."""

ByPlace: TypeAlias = tuple[Any, Any, Any]


@frozen
class AtRest:
    """Bytes on a device at the three places: of weights, gradients and optimizer states, split as they are. [B]

    ``table``: gradients of a table that is the head's too. ``unsplit``: 1 where these are not split before a backward
    pass ends, else 0. ``gathered``: weights that rest split, brought together; ``computed``, ``summed``: their
    gradients as they are computed, and as they add up. ``gathered_table``: gradients of that table, computed.
    """

    weights: ByPlace
    gradients: ByPlace
    states: ByPlace
    table: Any
    unsplit: Any
    gathered: ByPlace
    computed: ByPlace
    summed: ByPlace
    gathered_table: Any

    @classmethod
    def of(
        cls, rest: Resting, weights: Sequence[LocalWeight], shardings: Sequence[Sharding], layouts: Layout
    ) -> AtRest:
        """That of layouts, whose weights these are, under each of several shardings."""
        each = [(sharding.zero, sharding.of(weights)) for sharding in shardings]
        weight_bytes, gradients, states = (
            _by_place([[of(own, zero, place) for zero, own in each] for place in PLACES])
            for of in (rest.weight_bytes, rest.gradient_bytes, rest.state_bytes)
        )
        whole = [[_brought(rest, own, place) if zero == 3 else _NOTHING for zero, own in each] for place in PLACES]
        gathered, computed, summed = (
            _by_place([[sharding[part] for sharding in place] for place in whole]) for part in range(3)
        )
        tables = [(zero, [weight for weight in own if weight.tied and weight.place == 0]) for zero, own in each]
        alone = layouts.pp == 1
        unsplit = [(zero == 3) * where(own[0].replicas > 1, 1.0, 0.0) * alone if own else 0.0 for zero, own in tables]
        table, split_late, whole_table = (
            joined(values, SHARDING_AXIS)
            for values in (
                [rest.gradient_bytes(own, zero, 0) for zero, own in tables],
                unsplit,
                [_brought(rest, own, 0)[1] * alone if zero == 3 else 0.0 for zero, own in tables],
            )
        )
        return cls(weight_bytes, gradients, states, table, split_late, gathered, computed, summed, whole_table)


def _by_place(values: Sequence[Sequence[Any]]) -> ByPlace:
    """Values of each place under each sharding, along the axis of these."""
    before, layers, behind = (joined(each, SHARDING_AXIS) for each in values)
    return before, layers, behind


_NOTHING: tuple[Number, Number, Number] = (0.0, 0.0, 0.0)


def _brought(rest: Resting, weights: Sequence[LocalWeight], place: int) -> tuple[Number, Number, Number]:
    """Bytes of all weights of a place that rest split, of their gradients as computed, and as they add up."""
    recipe = rest.recipe
    own = [weight for weight in weights if weight.place == place]
    size = [where(w.replicas > 1, w.elements, 0.0) for w in own]
    narrow = recipe.narrow is not None and recipe.narrow.gathers
    widths = [(1 if narrow and w.narrow else recipe.computed_bytes) if w.width is None else w.width for w in own]
    return (
        added(each * width for each, width in zip(size, widths, strict=True)),
        added(each * recipe.computed_bytes * w.trained for each, w in zip(size, own, strict=True)),
        added(each * recipe.gradient_bytes * w.trained for each, w in zip(size, own, strict=True)),
    )


def joined(values: Sequence[Any], axis: int) -> Any:
    """Values along an axis, in which each of them has one place; one alone as it is."""
    if len(values) == 1:
        return values[0]
    return np.concatenate(np.broadcast_arrays(*(np.asarray(value) + np.zeros((1, 1, 1)) for value in values)), axis)
