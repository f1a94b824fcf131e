"""The parallel dimensions, each once: its flag, whether it takes devices of its own, and which degrees a search tries.

Another one is an entry here, a field of ``Layout`` with its rule in ``Mesh``, what it must divide in
``divisibility.py``, and a flag in ``roofline/options/groups.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.number import Truth
from roofline.options import groups
from roofline.options.keywords import given
from roofline.program.phases import Phase

Degree: TypeAlias = int | NDArray[np.int64]
"""Into how many parts something is split: a number, or an array with one per layout."""

Degrees: TypeAlias = Mapping[str, Degree]
"""Flag -> degree."""


@frozen
class Search:
    """What layouts are searched for: how many devices, whether there are experts to spread, the phases predicted."""

    devices: int
    experts: bool
    phases: tuple[Phase, ...]

    def left(self, degrees: Mapping[str, int]) -> int:
        """How many of the devices are left to further dimensions, rounded down.

        >>> Search(16, False, (Phase.DECODE,)).left({"tp": 4, "ep": 4})
        4
        """
        return self.devices // int(devices_of(degrees))


@frozen
class Steps:
    """The steps of which layouts are compared: whether of one new token each, and whether they go on from earlier.

    ``saved``: whether it matters how tensors lie between collectives, as in training, which keeps them.
    """

    one_token: bool
    later: bool
    saved: bool = False


@frozen
class Dimension:
    """A parallel dimension: ``flag`` is its flag and its field of a layout, ``name`` says what is parallel.

    ``own``: it multiplies the number of devices; one that is not splits other axes over the devices of those before it.
    ``options`` are the degrees that a search tries, where those of the dimensions before it are chosen. Layouts whose
    ``kind`` in a phase is the same number have the same collectives there, so that one program of arrays stands for all
    of them; without ``kind`` its degree never matters to that.
    """

    flag: str
    name: str
    options: Callable[[Search, Mapping[str, int]], Iterable[int]]
    own: bool = True
    kind: Callable[[Degrees, Steps], Degree | Truth] | None = None


@cache
def divisors(number: int) -> tuple[int, ...]:
    """The divisors of a number, ascending.

    >>> divisors(12)
    (1, 2, 3, 4, 6, 12)
    """
    return tuple(n for n in range(1, number + 1) if number % n == 0)


def _of_the_rest(search: Search, degrees: Mapping[str, int]) -> Iterable[int]:
    return divisors(search.left(degrees))


def _most_replicas_first(search: Search, degrees: Mapping[str, int]) -> Iterable[int]:
    return reversed(divisors(search.left(degrees)))


def _over_tensor_and_data(search: Search, degrees: Mapping[str, int]) -> Iterable[int]:
    return divisors(degrees["tp"] * degrees["dp"]) if search.experts else (1,)


def _within_tensor(search: Search, degrees: Mapping[str, int]) -> Iterable[int]:
    """A cache that devices of tensor parallelism would hold alike; prompts alone leave none to be read."""
    return divisors(degrees["tp"]) if any(phase.one_token for phase in search.phases) else (1,)


def _as_tensor(search: Search, degrees: Mapping[str, int]) -> Iterable[int]:
    """Sequences of one new token cannot be split."""
    several = not all(phase.one_token for phase in search.phases)
    return (1, degrees["tp"]) if degrees["tp"] > 1 and several else (1,)


def _several(flag: str) -> Callable[[Degrees, Steps], Truth]:
    return lambda degrees, _: degrees[flag] > 1


def _over_replicas(degrees: Degrees, steps: Steps) -> Degree:
    """Whether there are collectives of experts, whether among replicas, and whether split sequences are gathered."""
    ep, tp = degrees["ep"], degrees["tp"]
    kind: Degree = (ep > 1) + 1 * (ep > tp)
    whole = (ep >= tp) & ((degrees["sp"] > 1) | steps.saved)
    return kind if steps.one_token else kind + 2 * whole


def _cache_apart(degrees: Degrees, steps: Steps) -> Truth:
    """A prompt without earlier tokens reads nothing of a cache that is split by position."""
    return (degrees["dcp"] > 1) & (steps.one_token or steps.later)


def _sequences_apart(degrees: Degrees, steps: Steps) -> Truth:
    """One new token is never split."""
    return (degrees["sp"] > 1) & (not steps.one_token)


DIMENSIONS = (
    Dimension("tp", "tensor", _of_the_rest, kind=_several("tp")),  # what an all-reduce computes, too
    Dimension("pp", "pipeline", _of_the_rest),
    Dimension("dp", "data", _most_replicas_first),
    Dimension("ep", "expert", _over_tensor_and_data, own=False, kind=_over_replicas),
    Dimension("cp", "context", _of_the_rest, kind=_several("cp")),
    Dimension("dcp", "decode context", _within_tensor, own=False, kind=_cache_apart),
    Dimension("sp", "sequence", _as_tensor, own=False, kind=_sequences_apart),
)
"""In the order of flags, tables and JSON; a dimension without devices of its own comes after those that it shares."""

DEGREES = tuple(dimension.flag for dimension in DIMENSIONS)
OWN = tuple(dimension.flag for dimension in DIMENSIONS if dimension.own)


def given_degrees(asked: groups.Degrees) -> dict[str, int]:
    """The degrees that options fix, in order.

    >>> given_degrees({"pp": 2, "tp": 4, "dp": None})
    {'tp': 4, 'pp': 2}
    """
    degrees = given(asked)
    return {flag: degrees[flag] for flag in DEGREES if flag in degrees}


def devices_of(degrees: Degrees) -> Degree:
    """How many devices these degrees take.

    >>> devices_of({"tp": 4, "pp": 2, "ep": 4})
    8
    """
    devices: Degree = 1
    for flag in OWN:
        devices = devices * degrees.get(flag, 1)
    return devices


def kinds(degrees: Degrees, steps: Steps) -> NDArray[np.int64]:
    """A number for each of several layouts; those of one number have the same collectives in these steps.

    >>> layouts = dict.fromkeys(DEGREES, np.array([1, 1])) | {"tp": np.array([4, 4]), "sp": np.array([1, 4])}
    >>> kinds(layouts, Steps(one_token=True, later=True)), kinds(layouts, Steps(one_token=False, later=False))
    (array([0, 0]), array([0, 1]))
    """
    columns = [dimension.kind(degrees, steps) for dimension in DIMENSIONS if dimension.kind]
    numbers: NDArray[np.int64] = np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].ravel()
    return numbers
