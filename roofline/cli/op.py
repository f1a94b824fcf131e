"""The verb ``op``: one operator from flags, or a table of them."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from roofline.cli.console import choice, edit, progress_bar, tell, without_color
from roofline.errors import UsageError

_SIZES = (
    "m k n batch query context heads kv_heads head_dim causal rows columns inputs tokens "
    "operation message_bytes devices"
).split()

Size: TypeAlias = Annotated[int | None, typer.Option(metavar="N")]


def operator(
    kind: Annotated[
        str | None, typer.Argument(help="matmul, attention, elementwise, norm, softmax, embedding or collective.")
    ] = None,
    hardware: Annotated[str | None, typer.Option(help="A device's name, alias or YAML file.")] = None,
    m: Size = None,
    k: Size = None,
    n: Size = None,
    batch: Size = None,
    query: Annotated[int | None, typer.Option(help="New tokens; 1 is a decode step.", metavar="N")] = None,
    context: Annotated[int | None, typer.Option(help="Attended tokens.", metavar="N")] = None,
    heads: Size = None,
    kv_heads: Size = None,
    head_dim: Size = None,
    causal: Annotated[bool | None, typer.Option("--causal/--full", help="[default: causal]")] = None,
    rows: Size = None,
    columns: Size = None,
    inputs: Annotated[int | None, typer.Option(help="Tensors read.", metavar="N")] = None,
    tokens: Size = None,
    operation: Annotated[str | None, typer.Option(help="all_reduce, all_gather, reduce_scatter or all_to_all.")] = None,
    message_bytes: Annotated[int | None, typer.Option(help="Bytes of the whole message.", metavar="N")] = None,
    devices: Annotated[int | None, typer.Option(help="[default: as many as the hardware names]", metavar="N")] = None,
    dtype: Annotated[str | None, typer.Option(help="fp32, tf32, bf16, fp16, fp8 or int8.")] = None,
    execution: Annotated[str | None, typer.Option(help="graph or eager.  [default: graph on GPUs]")] = None,
    constants: Annotated[
        str | None, typer.Option(help="datasheet, class, published or calibrated.  [default: the best there is]")
    ] = None,
    edits: Annotated[
        list[str] | None, typer.Option("--set", help="Edit a field: hardware.memory.hbm.bandwidth=6TB/s.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="A CSV file, one operator per row.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="FILE.csv, with --table.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in SI base units.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour.", callback=without_color)] = False,
) -> None:
    """Time and bottleneck of one operator, or of a table of them."""
    from roofline.operators import predict_op as operators
    from roofline.prediction.fleet import fleet_of
    from roofline.reports import operator as report_op
    from roofline.reports import prediction as report

    given = dict(zip(_SIZES, (m, k, n, batch, query, context, heads, kv_heads, head_dim, causal, rows, columns, inputs,
                              tokens, operation, message_bytes, devices), strict=True))  # fmt: skip
    sizes = {name: size for name, size in given.items() if size is not None}
    _check(kind, hardware, sizes, table, output, json)
    assert hardware is not None
    how = choice("--execution", execution, "graph", "eager")
    which = choice("--constants", constants, "datasheet", "class", "published", "calibrated")
    fields = dict(edit(text) for text in edits or ())
    if table is not None:
        _time(table, hardware, output, kind=kind, dtype=dtype, execution=how, constants=which, set=fields)
        return
    assert kind is not None
    if kind == "attention":
        sizes.setdefault("causal", True)
    if kind == "collective" and (several := fleet_of(hardware).count) > 1:
        sizes.setdefault("devices", several)
    result = operators.predict_op(kind, hardware, dtype=dtype, execution=how, constants=which, set=fields, **sizes)
    tell(report.to_json(result.to_dict()) if json else report_op.op_text(result))


def _check(
    kind: str | None, hardware: str | None, sizes: dict[str, Any], table: Path | None, output: Path | None, json: bool
) -> None:
    """Raises UsageError for flags that do not go together."""
    from roofline.operators.sizes import KINDS

    problem = None
    if hardware is None:
        problem = "--hardware is missing; try h100, mi300x or t4 (roofline hardware list)"
    elif table is None and kind is None:
        problem = f"KIND is missing; name {', '.join(KINDS)}, or give --table"
    elif table is None and output is not None:
        problem = "-o goes with --table; one operator is printed"
    elif table is not None and sizes:
        problem = f"--{next(iter(sizes)).replace('_', '-')} does not go with --table, whose columns are the sizes"
    elif table is not None and json:
        problem = "--json does not go with --table, which is written as CSV"
    elif output is not None and output.suffix != ".csv":
        problem = f"-o {output}: expected a name that ends in .csv"
    if problem:
        raise UsageError(problem)


def _time(table: Path, hardware: str, output: Path | None, **asked: Any) -> None:
    from roofline.hardware.loading import load_hardware
    from roofline.hardware.spec import HardwareSpec
    from roofline.operators import table as operator_table
    from roofline.prediction.fleet import fleet_of

    device = fleet_of(hardware).device
    for caution in (device if isinstance(device, HardwareSpec) else load_hardware(device)).cautions:
        typer.echo(f"warning: {caution}", err=True)
    with progress_bar("timing") as advance:
        try:
            operator_table.time_table(
                table, hardware, sys.stdout if output is None else output, progress=partial(advance, ""), **asked
            )
            sys.stdout.flush()
        except BrokenPipeError:  # the reader, a pager or head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
