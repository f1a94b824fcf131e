"""What ``op`` and ``formula`` take."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from roofline.options.groups import (
    Conventions,
    Dtype,
    Edits,
    ExpertLoad,
    Hardware,
    JsonOutput,
    NoColor,
    OpDtype,
    PhaseOf,
    Timing,
    Tracing,
)
from roofline.options.option import Option
from roofline.options.words import Quantity


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
