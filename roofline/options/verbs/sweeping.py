"""What ``sweep`` takes."""

from pathlib import Path
from typing import Annotated

from roofline.options.groups import Edits, Fused, JsonOutput, Owning, SeveralHardware, Tracing
from roofline.options.option import Option


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
