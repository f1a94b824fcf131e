"""The verbs ``compare`` and ``size``: the buyer's questions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from roofline.cli.console import choice, edit, tell, warn
from roofline.errors import UsageError

HardwareFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="Devices, boxes and counts with commas: 8xh100,mi300x; all for every device.")
]
WorkloadFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="chat, rag, code, summarise or batch.  [default: chat]")
]
LengthFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="Tokens: 2048, 128/512/2048 or MEDIAN:P90.  [default: the workload's]")
]
HitsFlag: TypeAlias = Annotated[float | None, typer.Option(help="The part of a prompt that a prefix cache holds.")]
ChunkFlag: TypeAlias = Annotated[int, typer.Option(help="Tokens in a mixed step; 0 runs prompts by themselves.")]
ShareFlag: TypeAlias = Annotated[
    float | None, typer.Option(help="The share of the memory that the engine takes.  [default: 0.9]")
]
ReserveFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="What the runtime keeps of it, in place of that: 0.1, or 2GiB.")
]
SpeculateFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="Tokens proposed in a step, and how likely each is accepted: 4:0.7.")
]
PoolsFlag: TypeAlias = Annotated[
    bool, typer.Option("--pools", help="Prefill and decode on devices of their own too, beside mixed steps.")
]
DraftFlag: TypeAlias = Annotated[str | None, typer.Option(help="The model that proposes them.  [default: at no cost]")]
TimeFlag: TypeAlias = Annotated[str | None, typer.Option(help="The longest that is good enough, such as 500ms.")]
DtypeFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="A dtype or a recipe such as w4a16+kv8; several with commas.")
]
RoleFlag: TypeAlias = Annotated[str | None, typer.Option(help="A dtype of its own.")]
KindFlag: TypeAlias = Annotated[str, typer.Option(help="on_demand, reserved, spot or purchase.")]
EditsFlag: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", help="PATH=VALUE: edit a field of all hardware or of the model.")
]
OutputFlag: TypeAlias = Annotated[Path | None, typer.Option("--output", "-o", help="FILE.json, .csv, .md or .parquet.")]
WideFlag: TypeAlias = Annotated[bool, typer.Option("--wide", help="More columns, and rows that are left out.")]
PricesFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="Your own: h100=2.71USD/h,l40s=8500USD, or a YAML file.")
]
UsedFlag: TypeAlias = Annotated[str, typer.Option(help="Parts of the time under load, with commas.")]
ApiFlag: TypeAlias = Annotated[
    str | None, typer.Option(help="An API's prices to break even with: IN/OUT in USD per million tokens.")
]


def compare(
    model: Annotated[str, typer.Argument(help="A preset, or a path to a config.json or its folder.")],
    hardware: HardwareFlag = None,
    workload: WorkloadFlag = None,
    prompt: LengthFlag = None,
    generate: LengthFlag = None,
    prefix_hits: HitsFlag = None,
    ttft: TimeFlag = None,
    tpot: TimeFlag = None,
    dtype: DtypeFlag = None,
    weight_dtype: RoleFlag = None,
    activation_dtype: RoleFlag = None,
    kv_dtype: RoleFlag = None,
    execution: Annotated[str | None, typer.Option(help="graph or eager.  [default: graph on GPUs]")] = None,
    constants: Annotated[str | None, typer.Option(help="datasheet, class ...  [default: the best there is]")] = None,
    chunk: ChunkFlag = 2048,
    memory_share: ShareFlag = None,
    reserve: ReserveFlag = None,
    speculate: SpeculateFlag = None,
    draft: DraftFlag = None,
    pools: PoolsFlag = False,
    price_kind: KindFlag = "on_demand",
    prices: PricesFlag = None,
    utilization: UsedFlag = "0.25,0.5,0.75,1",
    api: ApiFlag = None,
    years: Annotated[float, typer.Option(help="Of amortisation of a purchase.")] = 4.0,
    pue: Annotated[float, typer.Option(help="Power of the site / power of the devices.")] = 1.3,
    power_price: Annotated[str, typer.Option(help="Of energy.")] = "0.12USD/kWh",
    hosting: Annotated[str, typer.Option(help="Of a device's place.")] = "0USD/h",
    edits: EditsFlag = None,
    train: Annotated[str | None, typer.Option(help="Price a training run too, over 300Gtok.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Weights stay as they are: LoRA.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in SI base units.")] = False,
    output: OutputFlag = None,
    wide: WideFlag = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="The verdict alone, no warnings.")] = False,
    pareto: Annotated[bool, typer.Option("--pareto", help="The front of cost against TPOT too.")] = False,
) -> None:
    """Hardware side by side, each at its best batch under the targets: times, rates, power, cost, and how sure."""
    asked = _checked(locals())
    from roofline.buying import api as buying
    from roofline.reports import comparison as report_serving
    from roofline.reports import rows as serving_rows

    text = partial(report_serving.comparison_text, pareto=pareto, wide=wide)
    _tell(buying.compare(**asked), text, serving_rows.comparison_rows, json=json, output=output, quiet=quiet)


def size(
    model: Annotated[str, typer.Argument(help="A preset, or a path to a config.json or its folder.")],
    hardware: HardwareFlag = None,
    load: Annotated[str | None, typer.Option(help="Requests that arrive, such as 50req/s.")] = None,
    headroom: Annotated[float, typer.Option(help="The part of the capacity kept free, for want of queues.")] = 0.2,
    workload: WorkloadFlag = None,
    prompt: LengthFlag = None,
    generate: LengthFlag = None,
    prefix_hits: HitsFlag = None,
    ttft: TimeFlag = None,
    tpot: TimeFlag = None,
    dtype: DtypeFlag = None,
    weight_dtype: RoleFlag = None,
    activation_dtype: RoleFlag = None,
    kv_dtype: RoleFlag = None,
    execution: Annotated[str | None, typer.Option(help="graph or eager.  [default: graph on GPUs]")] = None,
    constants: Annotated[str | None, typer.Option(help="datasheet, class ...  [default: the best there is]")] = None,
    chunk: ChunkFlag = 2048,
    memory_share: ShareFlag = None,
    reserve: ReserveFlag = None,
    speculate: SpeculateFlag = None,
    draft: DraftFlag = None,
    pools: PoolsFlag = False,
    prefill_on: Annotated[str | None, typer.Option(help="What prefills for the hardware, in pools.")] = None,
    price_kind: KindFlag = "on_demand",
    prices: PricesFlag = None,
    utilization: UsedFlag = "0.25,0.5,0.75,1",
    api: ApiFlag = None,
    years: Annotated[float, typer.Option(help="Of amortisation of a purchase.")] = 4.0,
    pue: Annotated[float, typer.Option(help="Power of the site / power of the devices.")] = 1.3,
    power_price: Annotated[str, typer.Option(help="Of energy.")] = "0.12USD/kWh",
    hosting: Annotated[str, typer.Option(help="Of a device's place.")] = "0USD/h",
    edits: EditsFlag = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in SI base units.")] = False,
    output: OutputFlag = None,
    wide: WideFlag = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="The verdict alone, no warnings.")] = False,
) -> None:
    """The fewest rentable units that serve a load within the targets, and the runner-up; exit 4 if none does."""
    asked = _checked(locals())
    from roofline.buying import api as buying
    from roofline.reports import rows as serving_rows
    from roofline.reports import sizing as report_sizing

    if load is None:
        msg = "--load is missing; give the requests that arrive such as 50req/s"
        raise UsageError(msg)
    text = partial(report_sizing.sizing_text, wide=wide)
    _tell(buying.size(**asked), text, serving_rows.sizing_rows, json=json, output=output, quiet=quiet)


def _checked(asked: dict[str, Any]) -> dict[str, Any]:
    """The flags as keywords. Raises UsageError for a missing hardware, or for a word that a flag does not take."""
    from typing import get_args

    from roofline.buying.prices import PRICE_KINDS
    from roofline.calibration.constants import Provenance
    from roofline.reports.export import check_suffix

    if asked["hardware"] is None:
        msg = "--hardware is missing; try h100,mi300x,l40s, or all (roofline hardware list)"
        raise UsageError(msg)
    if asked["output"] is not None:
        check_suffix(asked["output"])
    choice("--constants", asked["constants"], *get_args(Provenance))
    choice("--execution", asked["execution"], "graph", "eager")
    choice("--price-kind", asked["price_kind"], *PRICE_KINDS)
    shown = ("json", "output", "wide", "quiet", "pareto", "edits")
    keywords = {name: value for name, value in asked.items() if name not in shown}
    return keywords | {"set": dict(edit(text) for text in asked["edits"] or ())}


def _tell(result: Any, text: Any, rows: Any, *, json: bool, output: Path | None, quiet: bool) -> None:
    """Print or write the result; exit 4 where nothing meets the targets."""
    from roofline.reports.export import write_result
    from roofline.reports.prediction import to_json

    for warning in () if quiet else result.question.model.warnings:
        warn(warning)
    if output is not None:
        write_result(result.to_dict, partial(rows, result), output)
    if json:
        tell(to_json(result.to_dict()))
    elif output is None:
        tell(text(result, quiet=quiet))
    if not result.qualifies:
        raise typer.Exit(4)
