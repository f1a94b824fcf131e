"""What the rows of a sweep are of, a request, one of its phases, serving, a training step; which axes each reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias

from roofline.errors import UsageError
from roofline.program.phases import Phase

REQUEST = "request"
"""All phases that a model has, each as often as a request runs it."""

SERVING = "serving"
"""Continuous batching in steady state, with so many requests in flight."""

TRAIN = "train"
"""A training step."""

RowsOf: TypeAlias = Literal["request", "encode", "prefill", "decode", "serving", "train"]

LENGTHS = ("prompt", "generate", "context")
OF_TRAINING = ("batch_tokens", "sequence", "microbatch")
AXES = ("batch", "concurrency", *LENGTHS, *OF_TRAINING)

BATCH_TOKENS = 4_000_000
"""Tokens of a training step where none are given."""


def phases_of(given: Collection[str], phases: Collection[str] | None) -> tuple[str, ...]:
    """The phases of a study that states these axes: those listed; else training, serving, a decode step, a request.

    >>> phases_of(["batch", "context"], None), phases_of(["prompt"], None), phases_of(["prompt"], ["prefill"])
    (('decode',), ('request',), ('prefill',))
    >>> phases_of(["batch", "sequence"], None)
    ('train',)
    """
    if phases is not None:
        return tuple(dict.fromkeys(phases))
    if any(name in given for name in OF_TRAINING):
        return (TRAIN,)
    return (SERVING if "concurrency" in given else str(Phase.DECODE) if "context" in given else REQUEST,)


_READS = {
    REQUEST: ("batch", "prompt", "generate"),
    "encode": ("batch", "prompt"),
    "prefill": ("batch", "prompt"),
    "decode": ("batch", "prompt", "generate"),
    SERVING: ("concurrency", "prompt", "generate"),
    TRAIN: ("batch", *OF_TRAINING),
}


def read_by(phase: str, given: Collection[str]) -> tuple[str, ...]:
    """Which of the axes that are ``given`` a phase reads: decode a context in place of the lengths of a request.

    >>> read_by("prefill", ["batch", "prompt", "generate"]), read_by("decode", ["batch", "prompt", "context"])
    (('batch', 'prompt'), ('batch', 'context'))
    """
    reads = ("batch", "context") if phase == Phase.DECODE and "context" in given else _READS[phase]
    if phase == TRAIN and "batch_tokens" in given:
        reads = OF_TRAINING
    return tuple(name for name in reads if name in given)


def axes_of(phase: str, given: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The axes that a phase reads, first how many sequences there are, 1 where that is not given.

    >>> axes_of("train", {"sequence": (8192,)})
    {'batch_tokens': (4000000,), 'sequence': (8192,)}
    """
    if phase == TRAIN:
        first = {} if "batch" in given or "batch_tokens" in given else {"batch_tokens": (BATCH_TOKENS,)}
        return first | {name: given[name] for name in read_by(phase, given)}
    return {_READS[phase][0]: (1,)} | {name: given[name] for name in read_by(phase, given)}


def check_read(given: Mapping[str, object], phases: Collection[str]) -> None:
    """Raises UsageError for an axis that none of the phases reads."""
    for name in given:
        if not any(name in read_by(phase, given) for phase in phases):
            context = " at a context" if "context" in given else ""
            msg = f"{name}: is read by none of the phases {', '.join(phases)}{context}; leave it out, or list phases"
            raise UsageError(msg)
