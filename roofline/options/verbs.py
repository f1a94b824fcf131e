"""What each verb takes, put together from the groups; an option of one verb alone is stated here.

``...Options`` are the keywords of a Python function; ``...Flags`` add how the command line shows the answer.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypedDict

from roofline.options.groups import (
    Adapted,
    Compression,
    Conventions,
    Counting,
    Degrees,
    Dtype,
    Dtypes,
    Edits,
    EncodePool,
    ExpertLoad,
    FileOutput,
    Fused,
    Hardware,
    Hosted,
    JsonOutput,
    Launch,
    Launched,
    Lengths,
    Limits,
    Load,
    Money,
    NoColor,
    Offloaded,
    OpDtype,
    Owning,
    PassTargets,
    PhaseOf,
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
    TorchDevice,
    Tracing,
    Traffic,
    TrainLaunch,
    Wide,
)
from roofline.options.option import Option
from roofline.options.words import ModelKind, ModelOrder, PictureSize, Quantity, Theme


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


class OpSizes(TypedDict, total=False):
    """Sizes"""

    m: Annotated[Any, Option("Matmul: rows of the activations.", metavar="N", everyday=True)]
    k: Annotated[Any, Option("Matmul: the dimension that is summed over.", metavar="N", everyday=True)]
    n: Annotated[Any, Option("Matmul: columns of the weights.", metavar="N", everyday=True)]
    batch: Annotated[Any, Option("Attention, scan, convolution: sequences at once.", metavar="N", everyday=True)]
    query: Annotated[
        Any, Option("Attention, scan, convolution: new tokens; 1 is a decode step.", metavar="N", everyday=True)
    ]
    context: Annotated[Any, Option("Attention: attended tokens.", metavar="N", everyday=True)]
    heads: Annotated[
        Any, Option("Attention, scan: query heads; of a scan, heads of values.", metavar="N", everyday=True)
    ]
    kv_heads: Annotated[Any, Option("Attention: heads of keys and values.", metavar="N", everyday=True)]
    head_dim: Annotated[Any, Option("Attention, scan: elements of a head; of latents, those not rotated.", metavar="N",
                                    everyday=True)]  # fmt: skip
    rope_dim: Annotated[Any, Option("Latent attention: rotated elements of a query and of the key.", metavar="N")]
    value_dim: Annotated[
        Any,
        Option(
            "Attention, latent attention: elements of a head's value.", usual="as --head-dim, of attention", metavar="N"
        ),
    ]
    window: Annotated[
        Any, Option("Attention: a sliding window, so many tokens that a query sees at most.", usual="all", metavar="N")
    ]
    latent_dim: Annotated[Any, Option("Latent attention: rank of the latent that is cached.", metavar="N")]
    causal: Annotated[
        bool | Any | None,
        Option("Attention: each token attends to those before it, or to all.", usual="causal", flag="--causal/--full"),
    ]
    rule: Annotated[str | Any, Option("Scan: delta_rule or mamba2.", metavar="NAME")]
    key_heads: Annotated[Any, Option("Scan: heads of queries and keys, groups of Mamba-2.", metavar="N")]
    key_dim: Annotated[Any, Option("Scan: elements of a key, the state size of Mamba-2.", metavar="N")]
    chunk: Annotated[Any, Option("Scan: tokens of a prompt at once.", usual="64", metavar="N")]
    channels: Annotated[Any, Option("Convolution: channels, each by itself.", metavar="N")]
    taps: Annotated[Any, Option("Convolution: tokens that it looks at.", usual="4", metavar="N")]
    rows: Annotated[Any, Option("Elementwise, quantize, norm, softmax: rows.", metavar="N", everyday=True)]
    columns: Annotated[Any, Option("Elementwise, quantize, norm, softmax, embedding: elements of a row.", metavar="N",
                                   everyday=True)]  # fmt: skip
    inputs: Annotated[Any, Option("Elementwise: tensors read.", metavar="N")]
    tokens: Annotated[Any, Option("Grouped matmul, experts, embedding: rows multiplied or looked up.", metavar="N")]
    experts: Annotated[Any, Option("Grouped matmul, experts: how many, each with weights of its own.", metavar="N")]
    topk: Annotated[Any, Option("Grouped matmul, experts: experts that a token is sent to.", metavar="N")]
    hidden: Annotated[Any, Option("Experts: elements of a token's row.", metavar="N")]
    width: Annotated[Any, Option("Experts: elements between an expert's matmuls.", metavar="N")]
    operation: Annotated[
        str | Any, Option("Collective: all_reduce, all_gather, reduce_scatter or all_to_all.", metavar="NAME")
    ]
    message_bytes: Annotated[Any, Option("Collective: bytes of the whole message.", metavar="N")]
    devices: Annotated[Any, Option("Collective: devices.", usual="as many as the hardware names", metavar="N")]


class ClockOptions(OpDtype, ExpertLoad, Timing, Edits, total=False):
    """How operators by themselves are timed."""


class OpOptions(OpSizes, ClockOptions, total=False):
    """The keywords of ``predict_op``."""


class OpFlags(Hardware, OpOptions, JsonOutput, NoColor, total=False):
    """The flags of ``op``."""

    table: Annotated[
        Path | None,
        Option("CSV file with one operator per row, whose columns are the sizes.", metavar="FILE", everyday=True),
    ]
    output: Annotated[
        Path | None, Option("With --table: write FILE.csv.", flag="--output -o", metavar="FILE", everyday=True)
    ]


class Kept(TypedDict, total=False):
    """Letters"""

    keep: Annotated[
        str | Collection[str],
        Option(
            "What stays a letter beside batch and lengths: all, or D,F,peak.",
            default="",
            usual="nothing",
            metavar="LETTERS",
            everyday=True,
        ),
    ]


class FormulaSetting(Dtype, Timing, Kept, total=False):
    """What a formula of a given program holds for."""


class SettingOptions(Dtype, Conventions, Timing, Kept, total=False):
    """What a formula holds for."""

    op: Annotated[str | None, Option("One operator of the model, or group of them.", metavar="NAME", everyday=True)]
    subs: Annotated[
        Mapping[str, Any] | str | None,
        Option("Numbers to put in: B=8,S=4096.", metavar="LETTER=NUMBER,...", everyday=True),
    ]
    policy: Annotated[
        str,
        Option(
            "Saved activations: what is recomputed of them: none, selective (attention's scores), full (all but the "
            "input of each layer), every:K (of each K-th).",
            default="none",
            metavar="POLICY",
        ),
    ]
    dropout: Annotated[bool, Option("Saved activations: with dropout and its masks.", default=False)]


class FormulaOptions(PhaseOf, SettingOptions, total=False):
    """The keywords of ``formula``."""

    quantity: Annotated[Quantity, Option("What the formula is of.", default="flops", everyday=True)]
    mean: Annotated[bool, Option("Decode: the mean over a request's steps.", default=False)]


class FormulaFlags(Hardware, FormulaOptions, Tracing, JsonOutput, total=False):
    """The flags of ``formula``."""

    solve: Annotated[
        str | None,
        Option("When it turns compute-bound: B, S, D, bandwidth, peak ...", metavar="LETTER", everyday=True),
    ]
    elasticity: Annotated[
        str | None,
        Option(
            "Percent of change for one percent of B, S, bandwidth, latency ...",
            metavar="LETTER",
            everyday=True,
        ),
    ]
    latex: Annotated[bool, Option("Print LaTeX.", default=False, everyday=True)]
    python: Annotated[bool, Option("Print a Python function.", default=False, everyday=True)]
    js: Annotated[bool, Option("Print a JavaScript function.", default=False, everyday=True)]


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


class SweepFlags(SeveralHardware, Owning, Fused, Edits, Tracing, JsonOutput, total=False):
    """The flags of ``sweep``."""

    output: Annotated[Path | None, Option("Folder of the sweep.", flag="--output -o", metavar="DIR", everyday=True)]
    batch: Annotated[str | None, Option("Sequences at once: 1,8,64 or 1..512:log2.", metavar="AXIS", everyday=True)]
    prompt: Annotated[str | None, Option("Tokens in: 1k,4k, 1024..8192:16.", metavar="AXIS", everyday=True)]
    generate: Annotated[str | None, Option("Tokens out, in the same ways.", metavar="AXIS", everyday=True)]
    context: Annotated[
        str | None,
        Option("One decode step that attends to so many tokens, in place of a request.", metavar="AXIS", everyday=True),
    ]
    concurrency: Annotated[
        str | None,
        Option("Serving, continuous batching with so many requests in flight.", metavar="AXIS", everyday=True),
    ]
    batch_tokens: Annotated[
        str | None, Option("Training: tokens of a step, 4M, in place of --batch.", usual="4M", metavar="AXIS")
    ]
    sequence: Annotated[
        str | None, Option("Training: tokens of a sequence.", usual="4096, or all positions", metavar="AXIS")
    ]
    microbatch: Annotated[str | None, Option("Training: sequences of a microbatch.", usual="the best", metavar="AXIS")]
    zero: Annotated[str | None, Option("Training: stages of ZeRO, 0,1,3.", usual="the best", metavar="STAGES")]
    recompute: Annotated[
        str | None,
        Option("Training: none, selective, full, every:K, with commas.", usual="the best", metavar="POLICIES"),
    ]
    schedule: Annotated[
        str | None, Option("Training: schedules of a pipeline, with commas.", usual="1f1b", metavar="NAMES")
    ]
    optimizer: Annotated[str | None, Option("Training: optimizers, with commas.", usual="adamw", metavar="NAMES")]
    tokens: Annotated[str | None, Option("Training: of a whole run, which has days and usd.", metavar="TOKENS")]
    phase: Annotated[
        str | None,
        Option(
            "Rows of request, encode, prefill, decode, serving, train, with commas.",
            usual="request; serving at a concurrency, decode at a context, train at a sequence",
            metavar="PHASES",
            everyday=True,
        ),
    ]
    counts: Annotated[str | None, Option("How many of each device: 1,2,4,8.", metavar="AXIS", everyday=True)]
    dtype: Annotated[
        str | None,
        Option("Formats or recipes, with commas.", usual="as a model is stored", metavar="FORMATS", everyday=True),
    ]
    engine: Annotated[
        str | None, Option("Engines, with commas.", usual="the usual one", metavar="NAMES", everyday=True)
    ]
    layouts: Annotated[
        str | None,
        Option("Of several devices: best, all, or degrees such as tp=8/tp=4,pp=2.", usual="best", metavar="LAYOUTS"),
    ]
    ttft: Annotated[
        str | None,
        Option("Targets, with commas: the row says whether TTFT is within.", metavar="TIMES", everyday=True),
    ]
    tpot: Annotated[str | None, Option("Targets of TPOT, likewise: 20ms,50ms.", metavar="TIMES", everyday=True)]
    price_kind: Annotated[
        str | None,
        Option("Which prices, with commas: on_demand, reserved, spot, purchase.", usual="on_demand", metavar="KINDS"),
    ]
    prices: Annotated[
        str | None,
        Option(
            "Prices, each a row: USD per device hour, 2,2.5; h100=2.71USD/h; YAML files.",
            usual="those of the hardware specs",
            metavar="PRICES",
            everyday=True,
        ),
    ]
    columns: Annotated[str | None, Option("Columns to keep, with commas.", usual="the usual ones", metavar="NAMES")]
    workers: Annotated[
        str, Option("Processes of this machine, or dask://HOST:PORT.", default="1", metavar="N", everyday=True)
    ]
    dry_run: Annotated[bool, Option("What it would do: points, parts, bytes, minutes.", default=False, everyday=True)]
    best: Annotated[str | None, Option("Show: the best rows by a column.", metavar="COLUMN", everyday=True)]
    pareto: Annotated[str | None, Option("Show: the front of two columns.", metavar="X,Y", everyday=True)]
    pivot: Annotated[str | None, Option("Show: --of by two others.", metavar="X,Y", everyday=True)]
    of: Annotated[str, Option("With --pivot: which column.", default="tpot_s", metavar="COLUMN", everyday=True)]
    by: Annotated[str | None, Option("With --pareto: a front for each of these.", metavar="COLUMN", everyday=True)]
    where: Annotated[
        str | None,
        Option("Show: which rows, targets_met and batch > 8.", metavar="CONDITION", everyday=True),
    ]
    unfit: Annotated[bool, Option("Show: rows that do not fit, too.", default=False, everyday=True)]
    top: Annotated[int, Option("Show: how many rows.", default=10, everyday=True)]
    plot: Annotated[
        Path | None,
        Option("Show: draw --pareto, or --pivot as a heat map: FILE.png, .svg or .pdf.", metavar="FILE", everyday=True),
    ]


class PlotOptions(Lengths, PhaseOf, Dtypes, Fused, Timing, Edits, total=False):
    """What ``plot`` asks ``predict``."""


class PlotFlags(SeveralHardware, PlotOptions, Tracing, total=False):
    """The flags of ``plot``."""

    output: Annotated[
        Path | None, Option("Picture: FILE.png, .svg or .pdf.", flag="--output -o", metavar="FILE", everyday=True)
    ]
    data: Annotated[bool, Option("Write the data behind the picture beside it, as CSV.", default=False, everyday=True)]
    theme: Annotated[Theme, Option("Colours.", default="light", everyday=True)]
    size: Annotated[PictureSize, Option("For a slide, or a column of a paper.", default="slide")]
    dpi: Annotated[float, Option("Dots per inch, of PNG.", default=150.0, metavar="N")]
    over: Annotated[str | None, Option("What varies: batch, context or cost, by kind.", metavar="NAME", everyday=True)]
    measured: Annotated[
        Path | None, Option("CSV with phase, name, measured_s, to draw beside.", metavar="FILE", everyday=True)
    ]


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


class PageFlags(SeveralHardware, total=False):
    """The flags of ``page``."""

    port: Annotated[int, Option("Where it listens, on 127.0.0.1; 0 is any free one.", default=8765, everyday=True)]
    open: Annotated[bool, Option("Open it in the browser.", default=False, everyday=True)]
    output: Annotated[
        Path | None,
        Option(
            "Write one FILE.html with recordings of --models, --hardware and --dtypes, in place of serving.",
            flag="--output -o",
            metavar="FILE",
            everyday=True,
        ),
    ]
    lesson: Annotated[
        bool,
        Option("The lesson, a roofline along which one drags the batch.", default=False, everyday=True),
    ]
    models: Annotated[str | None, Option("With -o: presets, with commas.", metavar="NAMES", everyday=True)]
    dtypes: Annotated[
        str | None,
        Option("With -o: number formats, with commas.", usual="each model's own", metavar="FORMATS", everyday=True),
    ]


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


GROUPS = (
    Hardware,
    SeveralHardware,
    Load,
    Simulated,
    TrainingStep,
    TrainingRun,
    Lengths,
    PhaseOf,
    TrainingFormat,
    Dtypes,
    Compression,
    Conventions,
    Timing,
    Reserve,
    Degrees,
    Traffic,
    Targets,
    PassTargets,
    Serving,
    Prices,
    Money,
    Edits,
    Tracing,
    Launched,
    Launch,
    OpSizes,
    TorchDevice,
    PredictOutput,
    JsonOutput,
    FileOutput,
    Wide,
    Quiet,
    NoColor,
)
"""The groups that ``--help-all`` shows by title."""
