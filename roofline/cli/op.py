"""The verb ``op``: one operator from flags, or a table of them."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from roofline.cli.console import progress_bar, show, warn, without_color, wrote
from roofline.errors import UsageError
from roofline.options.keywords import part
from roofline.options.verbs.operators import ClockOptions, OpFlags, OpSizes


def operator(kind: str | None, flags: OpFlags) -> None:
    """Time and bottleneck of one operator, or of a table of them."""
    from roofline.operators import predict_op as operators
    from roofline.reports import operator as report_op
    from roofline.reports import prediction as report

    sizes = part(OpSizes, {name: size for name, size in flags.items() if size is not None})
    _check(kind, flags, sizes)
    hardware, table = flags["hardware"], flags["table"]
    assert hardware is not None
    without_color(flags["no_color"])
    if table is not None:
        _time(table, hardware, flags["output"], kind, part(ClockOptions, flags))
        return
    assert kind is not None
    result = operators.predict_op(kind, hardware, **part(ClockOptions, flags), **sizes)
    show(report.to_json(result.to_dict()) if flags["json"] else report_op.op_text(result))


def _check(kind: str | None, flags: OpFlags, sizes: OpSizes) -> None:
    """Raises UsageError for flags that do not go together."""
    from roofline.operators.sizes import KINDS

    table, output = flags["table"], flags["output"]
    problem = None
    if flags["hardware"] is None:
        problem = "--hardware is missing; try h100, mi300x or t4 (roofline hardware list)"
    elif table is None and kind is None:
        problem = f"KIND is missing; name {', '.join(KINDS)}, or give --table"
    elif table is None and output is not None:
        problem = "-o goes with --table; one operator is printed"
    elif table is not None and sizes:
        problem = f"--{next(iter(sizes)).replace('_', '-')} does not go with --table, whose columns are the sizes"
    elif table is not None and flags["json"]:
        problem = "--json does not go with --table, which is written as CSV"
    elif output is not None and output.suffix != ".csv":
        problem = f"-o {output}: expected a name that ends in .csv"
    if problem:
        raise UsageError(problem)


def _time(table: Path, hardware: str, output: Path | None, kind: str | None, asked: ClockOptions) -> None:
    from roofline.hardware.loading import load_hardware
    from roofline.hardware.spec import HardwareSpec
    from roofline.operators import table as operator_table
    from roofline.prediction.fleet import fleet_of

    device = fleet_of(hardware).device
    for caution in (device if isinstance(device, HardwareSpec) else load_hardware(device)).cautions:
        warn(caution)
    with progress_bar("timing") as advance:
        try:
            written = sys.stdout if output is None else output
            operator_table.time_table(table, hardware, written, kind=kind, progress=partial(advance, ""), **asked)
            sys.stdout.flush()
            if output is not None:
                wrote(output)
        except BrokenPipeError:  # the reader, a pager or head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
