"""What the verbs of the libraries take: ``hardware``, ``engines`` and ``models``."""

from pathlib import Path
from typing import Annotated, TypeAlias, TypedDict

from roofline.options.groups import JsonOutput, Tracing
from roofline.options.option import Option
from roofline.options.words import ModelKind, ModelOrder


class HardwareListFlags(JsonOutput, total=False):
    """The flags of ``hardware list``."""

    vendor: Annotated[str | None, Option("Of this vendor.", metavar="NAME", everyday=True)]
    kind: Annotated[str | None, Option("gpu, apu, soc, cpu, tpu, npu or system.", metavar="KIND", everyday=True)]
    memory: Annotated[str | None, Option("Sold with at least so much: 80GiB.", metavar="SIZE", everyday=True)]
    dtype: Annotated[str | None, Option("With this format, whose peaks are shown.", metavar="FORMAT", everyday=True)]
    sort: Annotated[
        str | None,
        Option("bandwidth, memory, peak, ridge, price, tdp, or a path in a spec.", usual="name", metavar="FIELD",
               everyday=True),
    ]  # fmt: skip
    announced: Annotated[bool, Option("With parts that are only announced.", default=False, everyday=True)]


NewFile: TypeAlias = Annotated[
    Path | None, Option("The file.", usual="NAME.yaml", flag="--output -o", metavar="FILE", everyday=True)
]


class HardwareCheckFlags(TypedDict, total=False):
    """The flags of ``hardware check``."""

    older: Annotated[
        str | None,
        Option("List the library's prices and engine files whose date is longer past: 180d.", metavar="AGE",
               everyday=True),
    ]  # fmt: skip


class HardwareNewFlags(TypedDict, total=False):
    """The flags of ``hardware new``."""

    template: Annotated[
        str, Option("Device whose figures to start from.", default="h100", flag="--from", metavar="NAME", everyday=True)
    ]
    output: NewFile


class EngineNewFlags(TypedDict, total=False):
    """The flags of ``engines new``."""

    template: Annotated[
        str, Option("Engine whose fields to start from.", default="vllm", flag="--from", metavar="NAME", everyday=True)
    ]
    output: NewFile


class ModelListFlags(JsonOutput, total=False):
    """The flags of ``models list``."""

    family: Annotated[str | None, Option("Of this model_type.", metavar="NAME", everyday=True)]
    parameters: Annotated[
        str | None, Option("With so many parameters: 7B..80B, 7B.. or ..80B.", metavar="RANGE", everyday=True)
    ]
    kind: Annotated[ModelKind | None, Option("Of this kind.", everyday=True)]
    moe: Annotated[bool, Option("Mixtures of experts alone.", default=False, everyday=True)]
    fits: Annotated[str | None, Option("That fit this device as predict has it.", metavar="HARDWARE", everyday=True)]
    sort: Annotated[ModelOrder, Option("Order of the rows.", default="name", everyday=True)]


class ModelRecordFlags(Tracing, total=False):
    """The flags of ``models record``."""

    output: Annotated[
        Path | None,
        Option("The file.", usual="NAME.json", flag="--output -o", metavar="FILE", everyday=True),
    ]
