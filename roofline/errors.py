"""The errors that a user can cause.

RooflineError            exit 3: a name, file or value that this model or device refuses
├── UsageError           exit 2: a flag that is wrong by itself
├── UnitError            exit 3: a quantity that cannot be read, or has the wrong dimension
├── SpecError            exit 3: a hardware spec or calibration file
├── ConfigError          exit 3: a model configuration
├── ShapeError           exit 3: an operator whose statement contradicts itself
├── WorkloadError        exit 3: a workload that this model or device cannot run
└── MissingExtraError    exit 7: an optional dependency is absent

Every message is one line: where, what was given, what was expected, how to fix it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class RooflineError(Exception):
    """Base of all errors that a user can cause; its text is one line."""

    exit_code: ClassVar[int] = 3


class UsageError(RooflineError):
    """A flag or argument that is wrong whatever the model and the device."""

    exit_code = 2


class UnitError(RooflineError):
    """A quantity that cannot be read, or that has the wrong dimension."""


class SpecError(RooflineError):
    """A hardware spec or a calibration file that is missing, malformed or contradicts itself."""


class ConfigError(RooflineError):
    """A model configuration that is missing, malformed, contradictory or not modelled."""


class ShapeError(RooflineError):
    """An operator or program whose tensors contradict each other."""


class WorkloadError(RooflineError):
    """A workload that this model or this device cannot run."""


class MissingExtraError(RooflineError):
    """An optional dependency is absent; the message holds the line that installs it."""

    exit_code = 7

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional dependency: pip install 'roofline[{extra}]'")


def shown(value: object) -> str:
    """A value in an error: its repr, cut short.

    >>> shown("x" * 100)[:4], len(shown("x" * 100)), shown(10**5000)
    ("'xxx", 60, 'an int')
    """
    try:
        return repr(value)[:60]
    except (ValueError, RecursionError):  # an int too long to print, a nest too deep
        return f"an {type(value).__name__}"


def near_matches(given: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: near matches if there are any, else all known names.

    >>> near_matches("h10", ["h100-sxm-80gb", "h100", "t4"])
    'did you mean h100?'
    >>> near_matches("zzz", ["t4", "h100"])
    'known: h100, t4'
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(given, names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
