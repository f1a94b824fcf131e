"""Latent attention timed on H100, H200, B200 and L40S: kernels as sets of rows, modules as sums of operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from device_tables import DeviceSet, Table, column, device_set
from measured_sets import Rows

WIDTHS = {"latent_dim": 512.0, "rope_dim": 64.0, "head_dim": 128.0, "value_dim": 128.0}
"""DeepSeek-V3's, which is what the tables hold."""


def kernels(table: Table) -> Iterator[DeviceSet]:
    """The kernels alone, in bf16 with a cache in bf16: TensorRT-LLM's, as vLLM's times hold what the host does."""
    if table.framework != "trtllm":
        return
    decode = table.rows[0]["op_name"] == "mla_generation"
    rows = [row for row in table.rows if row["kv_cache_dtype"] == "bfloat16"]
    rows = rows if decode else [row for row in rows if int(row["isl"]) > 1]  # one token is a decode
    title = f"latent_attention_{'decode' if decode else 'prefill'}"
    sizes = sizes_of(rows, decode=decode)
    yield device_set(table, rows, "latent_attention", "bf16", sizes, "trtllm", (("heads",),), title)


def sizes_of(rows: Rows, *, decode: bool) -> dict[str, Any]:
    """The sizes of the statement."""
    new = column(rows, "isl")
    context = column(rows, "step") + 1 if decode else new
    widths = {name: np.full(len(rows), width) for name, width in WIDTHS.items()}
    return {"batch": column(rows, "batch_size"), "query": new, "context": context, "heads": column(rows, "num_heads"),
            **widths}  # fmt: skip
