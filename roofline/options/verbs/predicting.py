"""What ``predict`` and ``StepClock`` take."""

from pathlib import Path
from typing import Annotated, Any, TypedDict

from roofline.options.groups import (
    Adapted,
    Compression,
    Counting,
    Degrees,
    Dtypes,
    Edits,
    FileOutput,
    Hardware,
    Hosted,
    Launch,
    Launched,
    Lengths,
    NoColor,
    PhaseOf,
    Quiet,
    Reserve,
    Shown,
    Timing,
    Tracing,
    Wide,
)
from roofline.options.option import Option


class RequestOptions(
    Lengths, Shown, PhaseOf, Dtypes, Compression, Adapted, Counting, Timing, Reserve, Hosted, Edits, total=False
):
    """What a prediction depends on, but the layout."""


class PredictOptions(RequestOptions, Degrees, total=False):
    """The keywords of ``predict``."""


class SeveralLengths(TypedDict, total=False):
    """Batch and lengths, of which each may be several: lists, ranges, arrays."""

    batch: Annotated[Any, Option("Sequences at once, over all devices.", default=1, metavar="N[,N...]")]
    prompt: Annotated[Any, Option("Tokens in.", metavar="N[,N...]")]
    generate: Annotated[Any, Option("Tokens out.", metavar="N[,N...]")]
    context: Annotated[Any, Option("Tokens that one decode step attends to.", metavar="N[,N...]")]


class SeveralOptions(
    SeveralLengths,
    Shown,
    PhaseOf,
    Dtypes,
    Compression,
    Adapted,
    Counting,
    Timing,
    Reserve,
    Hosted,
    Edits,
    Degrees,
    total=False,
):
    """The keywords of ``predict`` at several points."""


class StepClockOptions(Dtypes, Compression, Adapted, Counting, Timing, Edits, Degrees, total=False):
    """The keywords of ``StepClock``."""


class Explained(TypedDict, total=False):
    """Output"""

    explain: Annotated[bool, Option("Where each number comes from.", default=False, everyday=True)]
    sensitivity: Annotated[bool, Option("What 10 % more of each resource would buy.", default=False)]


class Checked(TypedDict, total=False):
    """Output"""

    check: Annotated[bool, Option("Exit 4 where it does not fit, or where nobody knows.", default=False)]


class PredictOutput(FileOutput, Wide, Quiet, NoColor, Explained, Checked, total=False):
    """Output"""

    operators: Annotated[bool, Option("Every operator, in place of the five costliest.", default=False, everyday=True)]
    plot: Annotated[Path | None, Option("Draw the roofline: FILE.png, .svg or .pdf.", metavar="FILE", everyday=True)]


class PredictFlags(Hardware, PredictOptions, Tracing, Launched, Launch, PredictOutput, total=False):
    """The flags of ``predict``."""
