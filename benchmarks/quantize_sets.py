"""Dynamic quantisation timed on H100, H200, B200 and L40S: what finds the scales and what rounds, together."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from device_tables import DeviceSet, Table, column, device_set


def dynamic(table: Table) -> Iterator[DeviceSet]:
    """Both kernels of each shape: the one of two tables is the whole less the other, so that their sum was timed."""
    scales = table.path.with_name(table.path.name.replace("scale_matrix", "computescale"))
    with scales.open(encoding="utf-8", newline="") as text:
        first = {(row["m"], row["k"]): float(row["latency_ms"]) for row in csv.DictReader(text)}
    rows = [
        {**row, "latency_ms": str(float(row["latency_ms"]) + first[row["m"], row["k"]])}
        for row in table.rows
        if (row["m"], row["k"]) in first
    ]
    sizes = {"rows": column(rows, "m"), "columns": column(rows, "k")}
    yield device_set(
        table, rows, "quantize", "bf16", sizes, table.framework, (("columns",),), "dynamic quantisation to fp8"
    )
