"""Speculative decoding: a draft proposes tokens, one step of the model checks them all and keeps the first that agree.

The formula: with k proposed tokens, each accepted with probability a, a step yields 1 + a + ... + a^k tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.models.model import Model, load_model
from roofline.number import Number
from roofline.options.groups import Loaded, Serving

MOST = 32
"""The most tokens that a step checks."""


@frozen
class Speculation:
    """``tokens`` proposed in a step, the ``acceptance`` of each, and the model that proposes them.

    ``draft`` None: they cost nothing, as those that are looked up in the text so far.
    """

    tokens: int
    acceptance: float
    draft: Model | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= MOST or not 0 <= self.acceptance <= 1:
            given = f"{self.tokens}:{self.acceptance:g}"
            msg = f"speculate {given}: expected TOKENS:ACCEPTANCE such as 4:0.7, with 1 to {MOST} tokens"
            raise UsageError(msg)

    @property
    def yielded(self) -> float:
        """Mean tokens that a step yields."""
        return float(tokens_per_step(self.tokens, self.acceptance))

    @property
    def words(self) -> str:
        """The speculation in a few words."""
        by = f"by {self.draft.name}" if self.draft else "looked up at no cost"
        return (
            f"{self.tokens} tokens proposed {by}, each accepted with {self.acceptance:g}: {self.yielded:.3g} per step"
        )


def tokens_per_step(tokens: int, acceptance: Number) -> Number:
    """1 + a + ... + a^k.

    >>> tokens_per_step(4, 0.5), tokens_per_step(4, 1), tokens_per_step(4, 0)
    (1.9375, 5, 1)
    >>> from sympy import symbols
    >>> tokens_per_step(2, symbols("a"))
    a**2 + a + 1

    Assumes: every proposed token is accepted alike, whatever the ones before it were.
    Source: Leviathan et al. 2023, Fast Inference from Transformers via Speculative Decoding (arXiv 2211.17192), eq. 1.
    """
    return sum((acceptance**power for power in range(1, tokens + 1)), 1)


def read_speculation(asked: Serving) -> Speculation | None:
    """What options ask for: ``4:0.7``, and a draft. Raises UsageError, also for a draft without it."""
    text, draft = asked.get("speculate"), _model(asked.get("draft"))
    if text is None:
        if draft is not None:
            msg = "a draft goes with speculate TOKENS:ACCEPTANCE such as 4:0.7"
            raise UsageError(msg)
        return None
    tokens, _, acceptance = text.partition(":")
    try:
        return Speculation(int(tokens), float(acceptance), draft)
    except ValueError:
        msg = f"speculate {shown(text)}: expected TOKENS:ACCEPTANCE such as 4:0.7"
        raise UsageError(msg) from None


def _model(given: str | Path | Mapping[str, Any] | Loaded | None) -> Model | None:
    if isinstance(given, str | Path | Mapping):
        return load_model(given)
    if given is None or isinstance(given, Model):
        return given
    msg = f"draft {shown(given)}: expected a model"
    raise UsageError(msg)
