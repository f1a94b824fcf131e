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

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


MOST_NAMES = 16
"""How many known names an error lists."""

LONGEST = 60
"""How many characters of what was given an error repeats."""


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
    """An optional dependency is absent; the message holds the line that installs it, where roofline was cloned."""

    exit_code = 7

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional dependency: pip install '.[{extra}]' in the clone of roofline")
        self._asked = purpose, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), self._asked  # one that a worker raises reaches its parent


def shown(given: object) -> str:
    """What was given, as a file would have it: one line, not too long.

    >>> shown("700 MHz"), shown(None), shown(True), shown([1])
    ('"700 MHz"', 'nothing', 'true', 'a list')
    """
    if given is None or isinstance(given, bool):
        return {None: "nothing", True: "true", False: "false"}[given]
    if isinstance(given, (dict, list)):
        return ("a " if given else "an empty ") + ("mapping" if isinstance(given, dict) else "list")
    if isinstance(given, int) and given.bit_length() > 1000:
        return "a number of hundreds of digits"  # Python refuses to print one of thousands
    text = one_line(str(given))
    text = f"{text[:LONGEST]}..." if len(text) > LONGEST else text
    return f'"{text}"' if isinstance(given, str) else text


def one_line(text: str) -> str:
    """``text`` with line breaks, escapes and other unprintable characters spelled out.

    >>> one_line(chr(9) + "a")[1:]
    'ta'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def near_matches(given: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: near matches if there are any, else the known names, or some of many.

    >>> near_matches("h10", ["h100-sxm-80gb", "h100", "t4"])
    'did you mean h100?'
    >>> near_matches("zzz", ["t4", "h100"])
    'known: h100, t4'
    """
    names = sorted(set(known))
    import difflib  # noqa: PLC0415  (costs start-up only where something is wrong)

    close = difflib.get_close_matches(given, names, n=3, cutoff=0.6)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names[:MOST_NAMES])}{more}"
