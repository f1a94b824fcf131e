"""What ``train`` takes."""

from pathlib import Path
from typing import Annotated, TypedDict

from roofline.options.groups import (
    Degrees,
    Edits,
    ExpertLoad,
    FileOutput,
    Fused,
    Prices,
    Quiet,
    Reserve,
    SeveralHardware,
    Timing,
    Tracing,
    TrainLaunch,
    Wide,
)
from roofline.options.option import Option
from roofline.options.verbs.predicting import Checked, Explained


class TrainingStep(TypedDict, total=False):
    """The step"""

    sequence: Annotated[
        int | None, Option("Tokens of a sequence.", usual="4096, or all positions", metavar="TOKENS", everyday=True)
    ]
    target_sequence: Annotated[
        int | None,
        Option("Tokens of a target, behind an encoder-decoder's input.", usual="as --sequence", metavar="TOKENS"),
    ]
    sequence_lengths: Annotated[
        str | None,
        Option("Documents packed into each sequence, by their tokens: 512x4,2048.", usual="one", metavar="TOKENS,..."),
    ]
    batch_tokens: Annotated[
        str | float | None,
        Option(
            "Tokens of a step over all devices: 4M, in whole sequences.", usual="4M", metavar="TOKENS", everyday=True
        ),
    ]
    batch: Annotated[int | None, Option("The same in sequences.", metavar="N")]
    microbatch: Annotated[
        int | None, Option("Sequences of a microbatch of a replica.", usual="the best", metavar="N", everyday=True)
    ]
    zero: Annotated[
        int | None,
        Option(
            "ZeRO stage, what replicas shard: 0 nothing, 1 optimizer states, 2 gradients too, 3 weights too (FSDP).",
            usual="the best",
            metavar="N",
            everyday=True,
        ),
    ]
    replicate: Annotated[
        int | None,
        Option(
            "HSDP: groups of replicas, each with all weights: ZeRO shards within, gradients are summed up between "
            "(data_parallel_replicate_degree).",
            usual="the best",
            metavar="N",
        ),
    ]
    recompute: Annotated[
        str | None,
        Option(
            "Activation recomputation: none, selective (attention's scores), selective-op (torchtitan's), full, "
            "every:K, optimal:BYTES.",
            usual="the best",
            metavar="POLICY",
            everyday=True,
        ),
    ]
    schedule: Annotated[
        str,
        Option(
            "Pipeline schedule: 1f1b, gpipe, interleaved:V, zb-h1, zb-h2, dualpipe.",
            default="1f1b",
            metavar="NAME",
            everyday=True,
        ),
    ]
    optimizer: Annotated[
        str,
        Option(
            "adamw, adamw8bit, adafactor, lion, muon, sgd or sgd-momentum.",
            default="adamw",
            metavar="NAME",
            everyday=True,
        ),
    ]
    gradients: Annotated[
        str | None, Option("Format in which gradients are accumulated.", usual="as the recipe has it", metavar="FORMAT")
    ]
    offload: Annotated[
        str | None,
        Option(
            "Optimizer offload: states in the host's memory, optimizer=200GB@55GB/s for each device; optimizer-cpu is "
            "updated by the CPU.",
            usual="none",
            metavar="optimizer",
        ),
    ]
    loss: Annotated[
        str | None,
        Option(
            "Cross-entropy: eager, fused, inplace (gradients in place of logits), chunked:TOKENS (no logits are kept).",
            usual="fused; eager under transformers",
            metavar="NAME",
        ),
    ]
    dropout: Annotated[bool, Option("With dropout and its masks.", default=False)]
    hidden: Annotated[
        float,
        Option(
            "Share of data-parallel communication that overlaps with computation, at no cost.",
            default=0.0,
            metavar="SHARE",
        ),
    ]


class TrainingFormat(TypedDict, total=False):
    """Number formats"""

    dtype: Annotated[
        str | None,
        Option(
            "Recipe: bf16-mixed, fp8-mixed, fp8-block, fp16-mixed, bf16-autocast, bf16-fsdp, fp8-fsdp, "
            "fp8-fsdp-gather, bf16 or fp32.",
            usual="bf16-mixed, or fp16-mixed or fp32 where a device has no bf16",
            metavar="RECIPE",
            everyday=True,
        ),
    ]
    weight_dtype: Annotated[
        str | None,
        Option("Of frozen matrices of layers: nf4, nf4-dq, int8 ...", usual="as computed in", metavar="FORMAT"),
    ]


class TrainingLearns(TypedDict, total=False):
    """What learns"""

    lora: Annotated[
        int | None,
        Option("LoRA: the rank of adapters; all else is frozen.", usual="none", metavar="RANK", everyday=True),
    ]
    trained: Annotated[
        str | None,
        Option(
            "attention, ffn, embedding, head, norms or operators such as q_proj,v_proj: what is trained, or has LoRA.",
            usual="all",
            metavar="NAMES",
            everyday=True,
        ),
    ]


class TrainingRun(TypedDict, total=False):
    """The run"""

    tokens: Annotated[
        str | float | None, Option("Tokens of the whole run: 15T, 300B.", metavar="TOKENS", everyday=True)
    ]
    days: Annotated[
        float | None,
        Option("With --tokens: the fewest devices that take so many days.", metavar="DAYS", everyday=True),
    ]


class TrainOptions(
    TrainingStep,
    TrainingFormat,
    TrainingLearns,
    TrainingRun,
    Degrees,
    ExpertLoad,
    Fused,
    Timing,
    Reserve,
    Prices,
    Edits,
    total=False,
):
    """The keywords of ``train``."""


class TrainFlags(
    SeveralHardware, TrainOptions, Tracing, TrainLaunch, FileOutput, Wide, Quiet, Explained, Checked, total=False
):
    """The flags of ``train``."""

    plot: Annotated[
        Path | None,
        Option("Draw memory by stage, and the schedule: FILE.png, .svg or .pdf.", metavar="FILE", everyday=True),
    ]
