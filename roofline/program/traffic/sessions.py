"""Sessions of agents: turns that each read all before them, and what a prefix cache may hold of each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.number import Grid
from roofline.program.traffic.traces import Path, Whole
from roofline.program.traffic.traffic import Lengths, draw, lognormal

SHARED = "shared"
"""The name of what all sessions begin with, in their paths."""

_P90 = 1.2815515655446004  # of the standard normal distribution


@frozen
class Sessions:
    """Turns that each read all before them: ``shared`` tokens that all sessions begin with, a first prompt, then what
    each turn adds to the last answer; turns of a session (geometric), and the time until the next one. [tokens, s]
    """

    name: str
    shared: int
    first: Lengths
    added: Lengths
    generate: Lengths
    turns: float
    think_s: tuple[float, float]
    source: str


@frozen(eq=False)
class Turns:
    """Turns of sessions one after the other: ``follows`` the one before it after ``think`` seconds, what they share."""

    prompt: Whole
    generate: Whole
    follows: NDArray[np.bool_]
    think: Grid
    paths: Mapping[int, Path]

    @property
    def shared(self) -> float:
        """The part of all prompts that a turn before computed, or all sessions begin with: hits if no block is lost."""
        history = np.concatenate([[0], (self.prompt + self.generate)[:-1]])
        begins = np.array([self.paths[turn][0][1] for turn in range(len(self.prompt))])
        return float(np.where(self.follows, history, begins).sum() / self.prompt.sum())


def draw_sessions(s: Sessions, requests: int, positions: int, rng: np.random.Generator) -> Turns:
    """Sessions, turn after turn, that end before they outgrow the positions."""
    first, added, generate = (draw(each, requests, rng) for each in (s.first, s.added, s.generate))
    ends, spread = rng.random(requests) < 1 / s.turns, np.log(s.think_s[1] / s.think_s[0]) / _P90
    think = np.exp(np.log(s.think_s[0]) + spread * rng.standard_normal(requests))
    prompt, follows = np.zeros_like(first), np.zeros(requests, dtype=bool)
    paths: dict[int, Path] = {}
    session, history = 0, 0
    for turn in range(requests):
        longer = history + int(added[turn])
        follows[turn] = turn > 0 and not ends[turn] and longer + generate[turn] <= positions
        if not follows[turn]:
            session, longer = turn, min(s.shared + int(first[turn]), positions - 1)
            generate[turn] = min(generate[turn], positions + 1 - longer)
        prompt[turn], history = longer, longer + int(generate[turn])
        paths[turn] = ((SHARED, min(s.shared, longer)), (session, history))
    return Turns(prompt, generate, follows, think, paths)


SESSIONS: Mapping[str, Sessions] = {
    "agent": Sessions(
        "agent", 12_000, lognormal(2_000, 6_000), lognormal(400, 1_900), lognormal(200, 800), 182.0, (4.0, 20.0),
        "turns and contexts of 472 coding sessions, SemiAnalysisAI/InferenceX issue 1632; outputs, and tools that take "
        "4 s, 20 s at 90 %, assumed",
    ),
}  # fmt: skip
"""Sessions by name. Recorded were 182 turns a session, with 12, 39, 70 and 90 % of all contexts within 64k, 128k, 256k
and 512k; drawn without a limit of positions they are 20, 39, 65 and 89 %.
"""
