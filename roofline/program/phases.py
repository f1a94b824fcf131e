"""The phases of a request: encode, prefill, decode. Each says what its step reads; a new phase is one entry here."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """A kind of step, by its name.

    ``one_token``: a step takes one token of each sequence, so that a request has many of it, each after the one before;
    else a step reads whole prompts. ``encodes``: what it reads is the input of an encoder.

    >>> Phase("decode").one_token, Phase.PREFILL.one_token, str(Phase.ENCODE)
    (True, False, 'encode')
    """

    one_token: bool
    encodes: bool

    def __new__(cls, name: str, one_token: bool = False, encodes: bool = False) -> Phase:
        phase = str.__new__(cls, name)
        phase._value_ = name
        phase.one_token = one_token
        phase.encodes = encodes
        return phase

    ENCODE = "encode", False, True
    PREFILL = "prefill"
    DECODE = "decode", True


PHASES = tuple(Phase)
"""All phases, in the order in which a request runs them."""
