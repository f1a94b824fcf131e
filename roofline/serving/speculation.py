"""Speculative decoding: a draft proposes tokens, one step of the model checks them all and keeps the first that agree.

The formula: with k proposed tokens, of which the i-th is accepted in a part p_i of all steps, a step yields
1 + p_1 + ... + p_k tokens; where each is accepted alike with probability a, p_i = a^i.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.models.model import Model, load_model
from roofline.models.prediction_head import MTP, prediction_head
from roofline.options.groups import Loaded, Speculating
from roofline.program.op import STATES
from roofline.program.phases import Phase
from roofline.program.program import Program

MOST = 32
"""The most tokens that a step checks."""

RESTORED = "the states that rejected tokens have changed are taken to be restored at no cost"
"""What to know of networks with recurrent states."""

_EXPECTED = (
    f"expected TOKENS:ACCEPTANCE such as 4:0.7, or that of each position, 3:0.9,0.7,0.5, with 1 to {MOST} tokens"
)


@frozen
class Speculation:
    """``tokens`` proposed in a step, the ``acceptance`` of each, and the model that proposes them.

    ``acceptance``: how likely each is accepted once those before it are; or, position by position, the part of all
    steps in which it is, as vLLM prints it. ``draft`` None: they cost nothing, as those that are looked up in the text
    so far.
    """

    tokens: int
    acceptance: float | tuple[float, ...]
    draft: Model | None = None

    def __post_init__(self) -> None:
        each = self.acceptance if isinstance(self.acceptance, tuple) else (self.acceptance,)
        if not 1 <= self.tokens <= MOST or not all(0 <= part <= 1 for part in each):
            msg = f"speculate {self._given}: {_EXPECTED}"
            raise UsageError(msg)
        if isinstance(self.acceptance, tuple) and len(each) != self.tokens:
            msg = f"speculate {self._given}: {len(each)} positions for {self.tokens} tokens; {_EXPECTED}"
            raise UsageError(msg)
        if any(later > sooner for sooner, later in pairwise(each)):
            msg = f"speculate {self._given}: a position is accepted after those before it, so that parts never rise"
            raise UsageError(msg)

    @property
    def accepted(self) -> tuple[float, ...]:
        """The part of all steps in which each position is accepted."""
        if isinstance(self.acceptance, tuple):
            return self.acceptance
        return tuple(self.acceptance**power for power in range(1, self.tokens + 1))

    @property
    def yielded(self) -> float:
        """Mean tokens that a step yields.

        >>> Speculation(4, 0.5).yielded, Speculation(3, (0.9, 0.7, 0.5)).yielded
        (1.9375, 3.1)

        Assumes, where it is one number, that every proposed token is accepted alike, whatever the ones before it were.
        Source: Leviathan et al. 2023, Fast Inference from Transformers via Speculative Decoding (arXiv 2211.17192),
        eq. 1.
        """
        return 1.0 + sum(self.accepted)

    @property
    def _given(self) -> str:
        each = self.acceptance if isinstance(self.acceptance, tuple) else (self.acceptance,)
        return f"{self.tokens}:{','.join(f'{part:g}' for part in each)}"

    @property
    def words(self) -> str:
        """The speculation in a few words."""
        by = f"by {self.draft.name}" if self.draft else "looked up at no cost"
        how = (
            f"each accepted with {self.acceptance:g}"
            if not isinstance(self.acceptance, tuple)
            else (f"accepted by position in {', '.join(f'{part:g}' for part in self.acceptance)} of the steps")
        )
        return f"{self.tokens} tokens proposed {by}, {how}: {self.yielded:.3g} per step"


def keeps_states(program: Program) -> bool:
    """Whether a decode step writes recurrent states, which rejected tokens change."""
    return any(tensor.role in STATES for _, op in program.in_phase(Phase.DECODE) for tensor in op.writes)


def read_speculation(asked: Speculating, model: Model) -> Speculation | None:
    """What options ask for: ``4:0.7`` or ``3:0.9,0.7,0.5``, and a draft, ``mtp`` for a head of the ``model`` itself.

    Raises UsageError, also for a draft without it, and for a module whose step was traced.
    """
    text, given = asked.get("speculate"), asked.get("draft")
    draft = prediction_head(model) if given == MTP else _model(given)
    if text is None:
        if draft is not None:
            msg = "a draft goes with speculate TOKENS:ACCEPTANCE such as 4:0.7"
            raise UsageError(msg)
        return None
    if any(each is not None and each.program().anonymous for each in (model, draft)):
        msg = f"speculate: a decode step of {model.name} was traced with one token of a sequence; leave it out"
        raise UsageError(msg)
    tokens, _, acceptance = text.partition(":")
    try:
        parts = tuple(float(part) for part in acceptance.split(","))
        many = int(tokens)
    except ValueError:
        msg = f"speculate {shown(text)}: {_EXPECTED}"
        raise UsageError(msg) from None
    return Speculation(many, parts if len(parts) > 1 else parts[0], draft)


def _model(given: str | Path | Mapping[str, Any] | Loaded | None) -> Model | None:
    if isinstance(given, str | Path | Mapping):
        return load_model(given)
    if given is None or isinstance(given, Model):
        return given
    msg = f"draft {shown(given)}: expected a model"
    raise UsageError(msg)
