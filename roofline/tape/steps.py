"""Means over the steps of a request: the sum over all of them, from a few of their values where a function is smooth.

A function of the step is analytic but where a choice in it turns: a maximum, a comparison. On a run of steps without
such a turn its sum over whole numbers is that of a polynomial through a few points, as exact as float64 is: the Gauss
rule of a sum over N equally spaced points, whose nodes and weights are those of Gram's (discrete Chebyshev)
polynomials, for which W. Gautschi, Orthogonal Polynomials (2004), section 1.5.2, has the recurrence. A run with a turn
is halved, down to as many steps as there are nodes, of which all are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.number import Grid

_NODES = 8
_MISSED = 1e-7
"""A polynomial that misses the ends by so much of the function adds up to within the square of it."""

_AT_ONCE = 16_384
"""Values that are worked on at once: few enough for the caches."""

InStep = Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]
"""Of a step, and what else it depends on: what is averaged, and numbers whose sign is a choice that was made."""


def means_over_steps(function: InStep, given: Sequence[Any], count: Any, *, smooth: bool) -> tuple[Grid, ...]:
    """The means over the steps 1 to ``count`` of what a function returns, arrays of the shape that all broadcast to.

    ``smooth``: between its choices; else, where it rounds, every step is evaluated.

    >>> def root(step, start):
    ...     return (np.sqrt(start + step), np.maximum(step, 70.0)), (step - 70.0,)
    >>> square_roots, largest = means_over_steps(root, [np.array([0.0, 1e4])], 1000, smooth=True)
    >>> every = np.arange(1, 1001)
    >>> bool(np.allclose(square_roots, [np.sqrt(every).mean(), np.sqrt(1e4 + every).mean()], rtol=1e-14, atol=0))
    True
    >>> bool(np.allclose(largest, np.maximum(every, 70.0).mean(), rtol=1e-14, atol=0))
    True
    """
    arrays = [np.asarray(each) for each in (count, *given)]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    counts, *flat = (np.broadcast_to(array, shape).reshape(-1) for array in arrays)
    size, longest = prod(shape), int(np.max(counts, initial=1))
    most = max(1, _AT_ONCE // (_NODES + 2 if smooth else longest))
    blocks = [slice(start, start + most) for start in range(0, size, most)]
    mean = _from_nodes if smooth else _of_all
    found = [mean(function, [array[block] for array in flat], counts[block].astype(np.float64)) for block in blocks]
    return tuple(np.concatenate(column).reshape(shape) for column in zip(*found, strict=True))


def _of_all(function: InStep, given: Sequence[Grid], counts: Grid) -> list[Grid]:
    """Every step of each point."""
    step = np.arange(1.0, counts.max() + 1)
    weight = (step <= counts[:, None]) / counts[:, None]
    values, _ = function(step, *(each[:, None] for each in given))
    return [(value * weight).sum(axis=1) for value in values]


def _from_nodes(function: InStep, given: Sequence[Grid], counts: Grid) -> list[Grid]:
    """Runs of steps that are smooth, found by halves."""
    totals: list[Grid] = []
    points, first, length = np.arange(len(counts)), np.ones(len(counts)), counts
    while len(points):
        nodes, weights, ends = _rules(length)
        columns = [each[points][:, None] for each in given]
        values, choices = function(first[:, None] + nodes, *columns)
        rows = [np.broadcast_to(value, nodes.shape) for value in values]
        totals = totals or [np.zeros(len(counts)) for _ in rows]
        with np.errstate(all="ignore"):
            done = _is_smooth(rows, [np.broadcast_to(choice, nodes.shape) for choice in choices], ends)
        done |= length <= _NODES
        for total, row in zip(totals, rows, strict=True):
            np.add.at(total, points[done], (length[:, None] * row * weights).sum(axis=1)[done])
        points, first, length = _halves(points[~done], first[~done], length[~done])
    return [total / counts for total in totals]


def _halves(points: NDArray[np.intp], first: Grid, length: Grid) -> tuple[NDArray[np.intp], Grid, Grid]:
    half = np.floor(length / 2)
    return np.tile(points, 2), np.concatenate([first, first + half]), np.concatenate([half, length - half])


def _is_smooth(rows: Sequence[Grid], choices: Sequence[Grid], ends: Grid) -> NDArray[np.bool_]:
    """Of which points no choice turns, and the polynomial through the nodes meets the ends."""
    smooth: NDArray[np.bool_] = np.ones(len(ends), dtype=bool)
    for choice in choices:
        smooth &= _stays(choice)
    for row in rows:
        outer = row[:, [0, -1]]
        missed = np.abs(np.einsum("pej,pj->pe", ends, row[:, 1:-1]) - outer).max(axis=1)
        smooth &= missed <= _MISSED * np.abs(outer).max(axis=1)
    return smooth


def _stays(choice: Grid) -> NDArray[np.bool_]:
    """Of which points a number has one sign: it is far from zero, or rises or falls all the way, or is zero."""
    low, high = choice.min(axis=1), choice.max(axis=1)
    stays: NDArray[np.bool_] = ((low > 0) & (low > high / 2)) | ((high < 0) & (high < low / 2))
    near = np.flatnonzero(~stays)
    rise = np.diff(choice[near], axis=1)
    one_way = (rise >= 0).all(axis=1) | (rise <= 0).all(axis=1)
    stays[near] = one_way & ((low[near] > 0) | (high[near] < 0)) | ((low[near] == 0) & (high[near] == 0))
    return stays


def _rules(lengths: Grid) -> tuple[Grid, Grid, Grid]:
    """The rules of each of many lengths."""
    distinct, places = np.unique(lengths, return_inverse=True)
    nodes, weights, ends = (np.stack(each)[places] for each in zip(*map(_rule, map(int, distinct)), strict=True))
    return nodes, weights, ends


@lru_cache(maxsize=4096)
def _rule(count: int) -> tuple[Grid, Grid, Grid]:
    """The mean over 0 to count - 1: both ends, without a weight, and the nodes between them; and what polynomials
    through these are at the ends. Of fewer steps than nodes each is one, and the others have no weight.
    """
    k = np.arange(1.0, _NODES)
    beside = np.sqrt(np.maximum(0.0, k**2 * (count**2 - k**2) / (4 * (4 * k**2 - 1))))
    jacobi = np.diag(np.full(_NODES, (count - 1) / 2)) + np.diag(beside, 1) + np.diag(beside, -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    both = np.array([0.0, count - 1.0])
    ends = np.array([[_basis(nodes, j, x) for j in range(_NODES)] for x in both]) if count > _NODES else 0 * vectors[:2]
    return np.concatenate([both[:1], nodes, both[1:]]), np.concatenate([[0.0], vectors[0] ** 2, [0.0]]), ends


def _basis(nodes: Grid, own: int, x: float) -> float:
    """The polynomial that is 1 at one node and 0 at all others, at ``x``."""
    others = np.delete(nodes, own)
    return float(np.prod((x - others) / (nodes[own] - others)))
