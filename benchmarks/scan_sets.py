"""Gated delta rules and Mamba-2 timed on A100, H100, H200, B200 and L40S, kernel by kernel, as sets of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from device_tables import DeviceSet, Table, column, device_set
from measured_sets import Rows

_CHUNK = 64.0
"""Tokens of a chunk of a gated delta rule (flash-linear-attention)."""
_QUERIES_ALONE = ("trtllm", "sglang 0.5.10")
"""Whose convolutions of gated delta rules take as long whatever the value heads: what was timed is q's channels."""
_CUDA = ("sglang 0.5.10",)
"""Who runs causal-conv1d's CUDA kernel beside TensorRT-LLM."""


def delta_rules(table: Table) -> Iterator[DeviceSet]:
    """Convolutions, recurrent steps and chunked scans; states in fp32, split by value heads."""
    for kernel in dict.fromkeys(row["kernel_source"] for row in table.rows):
        rows = [row for row in table.rows if row["kernel_source"] == kernel]
        if kernel.startswith("causal_conv1d"):
            yield _set(table, rows, "convolution", _delta_channels(table, rows))
        else:
            widths = {"key_dim": column(rows, "head_k_dim"), "head_dim": column(rows, "head_v_dim")}
            heads = {"key_heads": column(rows, "num_k_heads"), "heads": column(rows, "num_v_heads")}
            one = np.ones(len(rows))
            yield _set(table, rows, "scan", {"rule": 0 * one, **heads, **widths, "chunk": _CHUNK * one})


def mamba2(table: Table) -> Iterator[DeviceSet]:
    """Convolutions, split by channels, and the chunked scan, whose models are told apart by heads."""
    for kernel in dict.fromkeys(row["kernel_source"] for row in table.rows):
        rows = [row for row in table.rows if row["kernel_source"] == kernel]
        heads, groups = column(rows, "nheads"), column(rows, "n_groups")
        width, state = column(rows, "head_dim"), column(rows, "d_state")
        channels = heads * width + 2 * groups * state
        if kernel.startswith("causal_conv1d"):
            sizes = {"channels": channels, "taps": column(rows, "d_conv"), "heads": channels}
            yield _set(table, rows, "convolution", sizes)
        else:
            sizes = {"rule": np.ones(len(rows)), "key_heads": groups, "heads": heads, "key_dim": state,
                     "head_dim": width, "chunk": column(rows, "chunk_size"), "channels": channels}  # fmt: skip
            yield _set(table, rows, "scan", sizes, split="channels")


def _delta_channels(table: Table, rows: Rows) -> dict[str, Any]:
    keys, heads = column(rows, "num_k_heads") * column(rows, "head_k_dim"), column(rows, "num_v_heads")
    alone = table.framework in _QUERIES_ALONE or f"{table.framework} {table.version}" in _QUERIES_ALONE
    channels = keys if alone else 2 * keys + heads * column(rows, "head_v_dim")
    return {"channels": channels, "taps": column(rows, "d_conv"), "heads": heads}


def _set(table: Table, rows: Rows, kind: str, sizes: dict[str, Any], split: str = "heads") -> DeviceSet:
    decode = rows[0]["phase"] == "generation"
    tokens = np.ones(len(rows)) if decode else column(rows, "seq_len")
    whole = {"batch": column(rows, "batch_size"), "query": tokens, **sizes}
    # fused_recurrent_gated_delta_rule of TensorRT-LLM reads states as they are and makes new ones in fp32
    apart = table.framework == "trtllm" and decode and kind == "scan"
    state = "bf16" if table.framework == "trtllm" and decode else "fp32"
    title = f"{rows[0]['op_name']} {rows[0]['kernel_source']}"
    cuda = kind == "convolution" and f"{table.framework} {table.version}" in _CUDA
    library = "trtllm" if cuda else table.framework
    found = device_set(table, rows, kind, "bf16", whole, library, ((split,),), title, state)
    return replace(found, rows=replace(found.rows, apart=apart))
