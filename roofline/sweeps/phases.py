"""What the rows of a sweep are of, a whole request or one of its phases, and which axes of a study each reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias

from roofline.errors import UsageError
from roofline.program.phases import Phase

REQUEST = "request"
"""All phases that a model has, each as often as a request runs it."""

RowsOf: TypeAlias = Literal["request", "encode", "prefill", "decode"]

LENGTHS = ("prompt", "generate", "context")
AXES = ("batch", *LENGTHS)


def phases_of(given: Collection[str], phases: Collection[str] | None) -> tuple[str, ...]:
    """The phases of a study that states these axes: those listed; else a decode step at a context, or a request.

    >>> phases_of(["batch", "context"], None), phases_of(["prompt"], None), phases_of(["prompt"], ["prefill"])
    (('decode',), ('request',), ('prefill',))
    """
    if phases is not None:
        return tuple(dict.fromkeys(phases))
    return (str(Phase.DECODE) if "context" in given else REQUEST,)


def read_by(phase: str, given: Collection[str]) -> tuple[str, ...]:
    """Which of the axes that are ``given`` a phase reads: decode a context in place of the lengths of a request.

    >>> read_by("prefill", ["batch", "prompt", "generate"]), read_by("decode", ["batch", "prompt", "context"])
    (('batch', 'prompt'), ('batch', 'context'))
    """
    reads = {REQUEST: ("batch", "prompt", "generate"), "decode": ("batch", "prompt", "generate")}
    lengths = ("batch", "context") if phase == Phase.DECODE and "context" in given else reads.get(phase)
    return tuple(name for name in lengths or ("batch", "prompt") if name in given)


def axes_of(phase: str, given: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The axes that a phase reads, the batch first, which is 1 where none is given."""
    return {"batch": (1,)} | {name: given[name] for name in read_by(phase, given)}


def check_read(given: Mapping[str, object], phases: Collection[str]) -> None:
    """Raises UsageError for an axis that none of the phases reads."""
    for name in given:
        if not any(name in read_by(phase, given) for phase in phases):
            context = " at a context" if "context" in given else ""
            msg = f"{name}: is read by none of the phases {', '.join(phases)}{context}; leave it out, or list phases"
            raise UsageError(msg)
