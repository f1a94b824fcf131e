"""The load of experts: how many tokens reach those of one device, and how many of them any token reaches.

Of several devices that share the experts, the one with the most pairs of token and expert is timed: the others wait.

    uniform        each set of experts as likely as any other; each device its part of what is expected
    balanced       round robin: pairs = ceil(B T A / devices), experts = min(experts at hand, pairs)
    power_law:a    an expert's share is drawn from x^-a on [1, 0.8 B T], on [0.01, 2] while pairs are fewer than experts

Experts lie in their order, those of a device next to each other, and redundant copies count as further experts, unless
``power_law:a:eplb`` has them placed by their load: each copy is one of the fullest expert, with an equal part of its
tokens, and the fullest is put on the emptiest device, as far as that has places: placement with perfect foresight.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from roofline.classes import frozen
from roofline.errors import UsageError, WorkloadError, shown
from roofline.layers.mixture_of_experts import touched_experts
from roofline.number import Number, ceil_div, is_remembering, is_symbolic, minimum
from roofline.program.axes import Sizes, size_of
from roofline.program.program import Program

DRAWS = 12
"""Loads that are drawn, always the same ones; their mean counts."""

MOST = 8.0
"""The steepest power law that is taken; so steep, nearly all experts draw the least share, and are even again."""


@frozen
class Load:
    """What the experts of one device work on: pairs of a token and an expert, and the experts that have any."""

    pairs: Number
    touched: Number


@frozen
class Routing:
    """How a router spreads tokens over experts; ``exponent`` is that of a power law.

    ``placed``: experts and their copies are placed by their load, else in their order.
    """

    form: Literal["uniform", "balanced", "power_law"] = "uniform"
    exponent: float = 0.0
    placed: bool = False

    @classmethod
    def of(cls, text: object) -> Routing:
        """The routing that a word names. Raises UsageError for any other.

        >>> Routing.of("power_law:1.2")
        Routing(form='power_law', exponent=1.2, placed=False)
        """
        if text in ("uniform", "balanced"):
            return cls("balanced" if text == "balanced" else "uniform")
        name, _, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
        number, colon, placement = rest.partition(":")
        try:
            exponent = float(number)
        except ValueError:
            exponent = math.nan
        if name != "power_law" or not 0 < exponent <= MOST or (colon and placement != "eplb"):
            expected = f"uniform, balanced, power_law:A or power_law:A:eplb, A from 0 to {MOST:g}"
            msg = f"routing {shown(text)}: expected {expected}"
            raise UsageError(msg)
        return cls("power_law", exponent, bool(colon))

    def load(self, sizes: Sizes, devices: Number = 1, own: Number | None = None) -> Load:
        """The load of the fullest of ``devices`` that share E experts, of B T tokens that each go to A of them.

        ``own``: how many of these are no copies, all where it is None.

        >>> sizes = {"B": 16, "T": 1, "E": 8, "A": 2}
        >>> Routing("balanced").load(sizes, devices=4)
        Load(pairs=8, touched=2.0)
        >>> load = Routing("power_law", 1.2).load(sizes, devices=4)
        >>> float(load.pairs), float(load.touched)
        (12.75, 2.0)

        Raises UsageError where a power law is asked for letters: loads are drawn for numbers.
        Source: aiconfigurator (ai-dynamo, commit 095f58a51c4c), collector/helper.py, which times experts so.
        """
        batch, tokens, experts, picked = (size_of(letter, sizes) for letter in "BTEA")
        pairs = batch * tokens * picked
        if self.form == "balanced":
            most = ceil_div(pairs, devices)
            return Load(most, minimum(experts / devices, most))
        if self.form == "uniform":
            return Load(pairs / devices, touched_experts(sizes) / devices)
        if is_symbolic(pairs, experts, devices) or is_remembering(pairs, experts, devices):
            msg = f"routing {self.words} is drawn for numbers, and here sizes are letters; take uniform or balanced"
            raise UsageError(msg)
        different = experts if own is None or not self.placed else own
        return _fullest(batch * tokens, experts, picked, devices, different, self)

    @property
    def words(self) -> str:
        """As an option has it."""
        return f"{self.form}:{self.exponent:g}{':eplb' * self.placed}" if self.form == "power_law" else self.form


UNIFORM = Routing()


@frozen
class Touched:
    """The experts that a routing other than the uniform one touches: what X is bound to."""

    routing: Routing

    def __call__(self, sizes: Sizes) -> Number:
        """How many of all experts."""
        return self.routing.load(sizes).touched


def touched_under(word: str) -> Callable[[Sizes], Number]:
    """What X is bound to under a routing. Raises UsageError for a word that names none."""
    routing = Routing.of(word)
    return touched_experts if routing == UNIFORM else Touched(routing)


def check_routed(program: Program, word: str, model: str) -> None:
    """Raises UsageError for a word that names no routing, WorkloadError for one where nothing is routed."""
    if Routing.of(word) != UNIFORM and not any("X" in group.local for group in program.groups):
        msg = f"routing {word}: {model} has no experts that tokens are sent to; leave it out"
        raise WorkloadError(msg)


def note_of(word: str) -> str:
    """What to know of a routing; empty for the uniform one."""
    if Routing.of(word) == UNIFORM:
        return ""
    return f"routing {word}: experts are timed as on the fullest device; memory and messages are those of an even load"


def _fullest(
    tokens: Number, experts: Number, picked: Number, devices: Number, different: Number, routing: Routing
) -> Load:
    """The mean load of the fullest device over all draws: exact for numbers, else arrays."""

    def drawn(n: float, e: float, k: float, d: float, own: float) -> tuple[float, int]:
        if routing.placed:
            return _placed(n, int(e), k, int(d), int(own), routing.exponent)
        return _drawn(n, int(e), k, int(d), routing.exponent)

    given = (tokens, experts, picked, devices, different)
    if not any(isinstance(each, np.ndarray) for each in given):
        pairs, touched = drawn(*(float(each) for each in given))
        return Load(Fraction(pairs) / DRAWS, Fraction(touched, DRAWS))
    columns = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in given))
    rows, places = np.unique(np.stack([column.ravel() for column in columns]), axis=1, return_inverse=True)
    found = np.array([drawn(*row) for row in rows.T.tolist()], dtype=np.float64).reshape(-1, 2)[places.ravel()] / DRAWS
    return Load(*(part.reshape(columns[0].shape) for part in found.T))


@lru_cache(maxsize=8192)
def _drawn(tokens: float, experts: int, picked: float, devices: int, exponent: float) -> tuple[int, int]:
    """Pairs and touched experts of the fullest device, added up over the draws."""
    parts = pairs_drawn(tokens, experts, picked, devices, exponent)
    fullest = parts[np.arange(DRAWS), parts.sum(axis=2).argmax(axis=1)]
    return int(fullest.sum()), int((fullest > 0).sum())


@lru_cache(maxsize=8192)
def _placed(
    tokens: float, places: int, picked: float, devices: int, experts: int, exponent: float
) -> tuple[float, int]:
    """The same where so many experts have ``places`` on devices by their load."""
    pairs, touched = 0.0, 0
    for loads in pairs_drawn(tokens, experts, picked, 1, exponent)[:, 0, :].tolist():
        held = _packed(_copied(loads, places), devices)
        fullest = max(held, key=sum)
        pairs += sum(fullest)
        touched += sum(load > 0 for load in fullest)
    return pairs, touched


def _copied(loads: list[float], places: int) -> list[float]:
    """The load of each copy, where each place beyond one for each expert is one more copy of the fullest.

    >>> _copied([9.0, 3.0, 2.0], 5)
    [3.0, 3.0, 3.0, 3.0, 2.0]
    """
    heap = [(-load, load, 1) for load in loads]
    heapq.heapify(heap)
    for _ in range(places - len(loads)):
        _, load, copies = heap[0]
        heapq.heapreplace(heap, (-load / (copies + 1), load, copies + 1))
    return sorted((load / copies for _, load, copies in heap for _ in range(copies)), reverse=True)


def _packed(loads: list[float], devices: int) -> list[list[float]]:
    """Loads on devices that each have as many places, the fullest first, each on the emptiest device.

    >>> _packed([5.0, 4.0, 3.0, 2.0], 2)
    [[5.0, 2.0], [4.0, 3.0]]
    """
    held: list[list[float]] = [[] for _ in range(devices)]
    free = [(0.0, device) for device in range(devices)]
    for load in loads:
        already, device = heapq.heappop(free)
        held[device].append(load)
        if len(held[device]) * devices < len(loads):
            heapq.heappush(free, (already + load, device))
    return held


def pairs_drawn(tokens: float, experts: int, picked: float, devices: int, exponent: float) -> Any:
    """Pairs of each expert of each device, draw by draw.

    Shares are scaled to all pairs and rounded, an expert has each token once at most; what that leaves goes round the
    devices with room, to the emptiest expert of each, or comes from the fullest.
    """
    pairs, most = round(tokens * picked), math.ceil(tokens)
    low, high = (1.0, 0.8 * tokens) if pairs > experts else (0.01, 2.0)
    even = np.random.default_rng(0).random((DRAWS, experts))
    share = _power_law(even, low, high, exponent)
    counts = np.minimum(np.rint(share / share.sum(axis=1, keepdims=True) * pairs), most)
    left = pairs - counts.sum(axis=1, keepdims=True)
    parts = counts.reshape(DRAWS, devices, -1)
    over, held = left < 0, parts.sum(axis=2)
    each = _dealt(np.abs(left), np.where(over, held, most * parts.shape[2] - held))
    raised = _raised(np.where(over[..., None], -parts, parts), each)
    return np.where(over[..., None], -raised, raised)


def _dealt(left: Any, room: Any) -> Any:
    """So many, dealt out evenly, one more to the first, none beyond its room: [draws, 1] and [draws, devices].

    >>> _dealt(np.array([[7]]), np.array([[1, 9, 9]]))
    array([[1, 3, 3]])
    """
    dealt = np.zeros_like(room)
    while (rest := left - dealt.sum(axis=1, keepdims=True)).any():
        free = dealt < room
        each, more = np.divmod(rest, np.maximum(free.sum(axis=1, keepdims=True), 1))
        one_more = np.cumsum(free, axis=1) <= more
        dealt = dealt + np.where(free, np.minimum(each + one_more, room - dealt), 0)
    return dealt


def _power_law(even: Any, low: float, high: float, exponent: float) -> Any:
    """Numbers between ``low`` and ``high`` whose density falls as x^-exponent, from even ones between 0 and 1."""
    if abs(exponent - 1) < 1e-9:
        return low * (high / low) ** even
    power = 1 - exponent
    return (low**power + (high**power - low**power) * even) ** (1 / power)


def _raised(counts: Any, added: Any) -> Any:
    """Each row of whole numbers with so many more, one by one to the least: [..., experts] and [...]."""
    rising = np.sort(counts, axis=-1)
    places = np.arange(1, rising.shape[-1] + 1)
    cost = rising * places - np.cumsum(rising, axis=-1)  # of raising all before to each
    several = (cost <= added[..., None]).sum(axis=-1, keepdims=True)
    total = added[..., None] + np.take_along_axis(np.cumsum(rising, axis=-1), several - 1, axis=-1)
    level = np.floor_divide(total, several)
    return np.where(places <= several, level + (places <= total - level * several), rising)
