"""What ``compare``, ``size`` and ``simulate`` take."""

from pathlib import Path
from typing import Annotated

from roofline.options.groups import (
    Adapted,
    Edits,
    EncodePool,
    ExpertLoad,
    FileOutput,
    Fused,
    Hardware,
    Launch,
    Limits,
    Load,
    Money,
    Offloaded,
    PassTargets,
    PrefillPool,
    Prices,
    Quiet,
    Reserve,
    Serving,
    SeveralDtypes,
    SeveralHardware,
    Shown,
    Simulated,
    Speculating,
    Targets,
    Timing,
    Tracing,
    Traffic,
    Wide,
)
from roofline.options.option import Option
from roofline.options.verbs.predicting import StepClockOptions


class ServingOptions(
    Traffic,
    Shown,
    Targets,
    PassTargets,
    SeveralDtypes,
    Adapted,
    ExpertLoad,
    Fused,
    Timing,
    Serving,
    EncodePool,
    Reserve,
    Money,
    Edits,
    total=False,
):
    """What ``compare`` and ``size`` share."""


class CompareOptions(ServingOptions, Offloaded, total=False):
    """The keywords of ``compare``."""

    batch: Annotated[
        int | None,
        Option("So many sequences at once on each replica, the fastest first, in place of the best batch of each.",
               usual="the best", metavar="N"),
    ]  # fmt: skip


class ServingOutput(FileOutput, Wide, Quiet, total=False):
    """Output"""


class CompareFlags(SeveralHardware, CompareOptions, Tracing, Launch, ServingOutput, total=False):
    """The flags of ``compare``."""

    pareto: Annotated[bool, Option("The front of cost against TPOT too.", default=False)]


class SizeOptions(Load, Limits, ServingOptions, PrefillPool, Offloaded, total=False):
    """The keywords of ``size``."""


class SizeFlags(SeveralHardware, SizeOptions, Tracing, Launch, ServingOutput, total=False):
    """The flags of ``size``."""


class SimulateOptions(
    Simulated,
    Traffic,
    Shown,
    Targets,
    StepClockOptions,
    Speculating,
    PrefillPool,
    EncodePool,
    Reserve,
    Offloaded,
    total=False,
):
    """The keywords of ``simulate``."""


class JobOptions(SimulateOptions, Prices, total=False):
    """The keywords of ``simulate``, with what its run is paid by."""


class SimulateFlags(Hardware, JobOptions, Tracing, FileOutput, Quiet, total=False):
    """The flags of ``simulate``."""

    plot: Annotated[
        Path | None,
        Option("Draw the waits, and goodput against load: FILE.png, .svg or .pdf.", metavar="FILE", everyday=True),
    ]
