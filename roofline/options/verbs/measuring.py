"""What ``doctor``, ``calibrate`` and ``validate`` take."""

from pathlib import Path
from typing import Annotated, TypedDict

from roofline.options.groups import (
    Degrees,
    Dtype,
    Edits,
    Hardware,
    JsonOutput,
    Lengths,
    PhaseOf,
    Timing,
    TorchDevice,
    Tracing,
    Wide,
)
from roofline.options.option import Option


class DoctorFlags(TorchDevice, JsonOutput, total=False):
    """The flags of ``doctor``."""


class CalibrateFlags(TorchDevice, JsonOutput, total=False):
    """The flags of ``calibrate``."""

    budget: Annotated[str, Option("How long it may take, such as 60s.", default="120s", metavar="TIME", everyday=True)]
    extends: Annotated[
        str | None,
        Option("Known device that this is.", usual="measured anew", metavar="NAME", everyday=True),
    ]
    dtype: Annotated[
        str | None,
        Option("Format to measure in: fp32, tf32, bf16 or fp16.", usual="bf16, on CPUs fp32", metavar="FORMAT",
               everyday=True),
    ]  # fmt: skip
    output: Annotated[
        Path | None, Option("Write FILE.yaml, for --hardware.", flag="--output -o", metavar="FILE", everyday=True)
    ]
    seed: Annotated[int, Option("Of the order in which things are timed.", default=0)]


class ValidateOptions(Lengths, PhaseOf, Dtype, Timing, Edits, total=False):
    """What ``validate`` asks ``predict``."""


class TrainedStep(TypedDict, total=False):
    """A training step"""

    train: Annotated[
        bool,
        Option(
            "Time a training step: forward, backward, optimizer; what it saves, the most it holds.",
            default=False,
            everyday=True,
        ),
    ]
    sequence: Annotated[int | None, Option("With --train: tokens of a sequence.", usual="128", metavar="TOKENS")]
    optimizer: Annotated[str | None, Option("With --train: adamw, sgd, sgd-momentum.", usual="adamw", metavar="NAME")]


class MeasuredServingOptions(ValidateOptions, Degrees, total=False):
    """The keywords of ``compare_served``."""


class ValidateFlags(Hardware, TorchDevice, MeasuredServingOptions, TrainedStep, Tracing, JsonOutput, Wide, total=False):
    """The flags of ``validate``."""

    serving: Annotated[
        Path | None,
        Option(
            "Compare with what a server was measured at: the result of vllm bench serve, sglang.bench_serving, AIPerf "
            "or llama-bench.",
            metavar="FILE",
            everyday=True,
        ),
    ]

    module: Annotated[
        str | None,
        Option(
            "A torch module of yours: FILE.py:FUNCTION that returns it; the file is executed.",
            metavar="FILE:NAME",
            everyday=True,
        ),
    ]
    measurements: Annotated[
        Path | None,
        Option(
            "Compare with a file: -o's, a CSV, what Nsight, rocprofv3 or torch's profiler wrote; time nothing. Where "
            "--engine is not given, its names tell the engine, else it is eager torch.",
            metavar="FILE",
            everyday=True,
        ),
    ]
    profiled_steps: Annotated[
        int | None, Option("Steps that a profiler's file holds.", usual="told by its attention kernels", metavar="N")
    ]
    kernel_rules: Annotated[
        Path | None, Option("Rules of yours that join kernels to operators: FILE.yaml.", metavar="FILE")
    ]
    compile: Annotated[bool, Option("Time torch.compile too.", default=False)]
    budget: Annotated[str, Option("How long to measure, such as 30s.", default="30s", metavar="TIME", everyday=True)]
    max_median_ape: Annotated[
        float | None, Option("Largest median error that is good enough, in percent; more is exit 6.", metavar="PERCENT")
    ]
    output: Annotated[
        Path | None, Option("Write FILE.json: all that was measured.", flag="--output -o", metavar="FILE",
                            everyday=True),
    ]  # fmt: skip
    resume: Annotated[bool, Option("Keep what -o has of this prediction.", default=False)]
