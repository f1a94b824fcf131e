"""The phases of a request, encode, listen, prefill, decode, and of a training step, forward and backward."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """A kind of step, by its name.

    ``one_token``: a step takes one token of each sequence, so that a request has many of it, each after the one before;
    else a step reads whole prompts. ``encodes``: what it reads is the input of an encoder; ``listen`` is the encoder of
    sound in front of a decoder. ``trains``: it is a part of a training step, not of a request.

    >>> Phase("decode").one_token, Phase.PREFILL.one_token, str(Phase.ENCODE)
    (True, False, 'encode')
    """

    one_token: bool
    encodes: bool
    trains: bool

    def __new__(cls, name: str, one_token: bool = False, encodes: bool = False, trains: bool = False) -> Phase:
        phase = str.__new__(cls, name)
        phase._value_ = name
        phase.one_token = one_token
        phase.encodes = encodes
        phase.trains = trains
        return phase

    ENCODE = "encode", False, True
    LISTEN = "listen", False, True
    PREFILL = "prefill"
    DECODE = "decode", True
    FORWARD = "forward", False, False, True
    BACKWARD = "backward", False, False, True


PHASES = tuple(phase for phase in Phase if not phase.trains)
"""The phases of a request, in the order in which it runs them."""
