"""Operators timed on H100, H200, B200 and L40S: the tables of measured/devices as sets of rows.

One entry of SOURCES for each family of tables: how its files are named, and how its rows become operators. Splits are
seeded: half of the values of each group of dimensions are to fit, and a row is
fitted if all its dimensions are among them, judged if none is.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import latent_sets
import numpy as np
import quantize_sets
import scan_sets
from device_tables import DeviceSet, Table, column, device_set
from measured_sets import Rows

from roofline.hardware.loading import load_hardware
from roofline.program.workload import DTYPE_BYTES

SEEDS = (0, 1, 2, 3, 4)
COMMIT = "095f58a51c4c"
FOLDERS = {"h100_sxm": "h100", "h200_sxm": "h200", "b200_sxm": "b200", "l40s": "l40s",
           "a100_sxm": "a100"}  # fmt: skip
"""The device of each folder of measured/devices."""


@dataclass(frozen=True, slots=True)
class Source:
    """A family of tables: the beginning of its files' names, and the sets in a table."""

    prefix: str
    read: Callable[[Table], Iterable[DeviceSet]]


@cache
def load_device_sets(data: Path) -> tuple[DeviceSet, ...]:
    """Every set of the folder of measurements, device by device."""
    return tuple(_sets(data))


def of_kind(data: Path, kind: str, dtype: str, library: str) -> dict[str, list[DeviceSet]]:
    """The sets of one kind, dtype and library, by device."""
    found: dict[str, list[DeviceSet]] = {}
    for each in load_device_sets(data):
        if (each.kind, each.rows.timed_dtype, each.library) == (kind, dtype, library):
            found.setdefault(each.rows.device.name, []).append(each)
    return found


def _sets(data: Path) -> Iterator[DeviceSet]:
    for folder in FOLDERS:
        for source in SOURCES:
            for table in tables(data, folder, source.prefix):
                yield from source.read(table)


def tables(data: Path, folder: str, prefix: str) -> Iterator[Table]:
    """The tables of a device's folder whose names begin so."""
    for path in sorted((data / "devices" / folder).glob(f"{prefix}_*.csv")):
        framework, version = path.stem.removeprefix(f"{prefix}_").split("-", 1)
        text = path.read_bytes()
        rows = list(csv.DictReader(text.decode().splitlines()))
        digest = hashlib.sha256(text).hexdigest()[:12]
        yield Table(load_hardware(FOLDERS[folder]), framework, version, rows, digest, path)


def _gemm(table: Table) -> Iterator[DeviceSet]:
    """Matmuls: bf16 from any framework is cuBLAS's; narrow ones hold the kernels that quantise x."""
    for (name, framework), (recipe, dtype) in _MATMULS.items():
        rows = [row for row in table.rows if row["gemm_dtype"] == name]
        if (name, framework) == ("fp8", "vllm"):
            rows = [row for row in rows if int(row["k"]) >= _LEAST_DEPTH]
        if rows and framework in ("", table.framework):
            sizes = {size: column(rows, size) for size in "mkn"}
            weight_bytes = sizes["n"] * sizes["k"] * float(DTYPE_BYTES[dtype])
            sizes["weight_sets"] = _weight_sets(table, name, weight_bytes)
            found = device_set(
                table, rows, "matmul", dtype, sizes, framework, (("n", "k"),), recipe and f"matmul {recipe}"
            )
            yield replace(found, rows=replace(found.rows, recipe=recipe))


_MATMULS = {
    ("bfloat16", ""): ("", "bf16"),
    ("fp8", "trtllm"): ("fp8-tensor", "fp8"),
    ("fp8", "vllm"): ("fp8-tensor", "fp8"),
    ("fp8_block", "trtllm"): ("fp8-block", "fp8"),
    ("nvfp4", "trtllm"): ("nvfp4", "fp4"),
    ("nvfp4", "vllm"): ("nvfp4", "fp4"),
}
"""How the matmuls of a table, by its word and the framework, are stored, and the dtype in which they multiply.

vLLM's with scales by block were launched by the host (aiconfigurator, collector/vllm/collect_gemm.py): none takes less
than 55 to 290 us, and none is read.
"""

_LEAST_DEPTH = 128
"""Elements of depth: of vLLM's CUTLASS kernels 32 and 64 were timed too, which no network has; they write at a fifth of
the bandwidth on an L40S."""


def _weight_sets(table: Table, name: str, weight_bytes: Any) -> Any:
    """Of how many sets of weights a table's runs of a matmul take turns (aiconfigurator, collect_gemm.py).

    TensorRT-LLM's: enough to fill the last cache, 5 at most; vLLM's: 6, in 4 bits one.
    """
    if table.framework == "vllm":
        return np.full(len(weight_bytes), 1.0 if name == "nvfp4" else 6.0)
    return np.clip(np.ceil(table.device.last_cache / weight_bytes), 1.0, 5.0)


_KERNELS = {
    "torch_flow": "trtllm",
    "vllm_flash_attn_fa2": "fa2",
    "vllm_flash_attn_fa3": "fa3",
    "vllm_flashinfer_trtllmprefill": "flashinfer",
    "vllm_flashinfer_trtllmdecode": "flashinfer",
    "vllm_triton_attn": "triton",
    "vllm_vit_flash_attn_fa2": "fa2",
    "vllm_vit_flash_attn_fa3": "fa3",
    "vllm_vit_flash_attn_fa4": "fa4",
}
"""The library of each attention kernel, as tables name it."""


_NARROW = ("vllm_triton_attn",)
"""Kernels that were timed with a cache in fp8 alone."""


def _attention(table: Table) -> Iterator[DeviceSet]:
    """Attention with a cache in its own dtype, by kernel: prefill of two tokens or more, decode, encoders.

    Triton's has a cache in fp8.
    """
    for dtype, name in (("bf16", "bfloat16"), ("fp8", "fp8")):
        rows = [row for row in table.rows if row["attn_dtype"] == _cached(row) == name and not _is_one_token(row)]
        for kernel in dict.fromkeys(row["kernel_source"] for row in rows):
            if kernel in _KERNELS:
                yield from _of_kernel(table, [row for row in rows if row["kernel_source"] == kernel], dtype)


def _of_kernel(table: Table, rows: Rows, dtype: str) -> Iterator[DeviceSet]:
    kind = _PHASES[rows[0]["op_name"].split("_")[0]]
    kernel, groups, name = rows[0]["kernel_source"], (("heads", "kv_heads"),), f"attention_{kind}"
    kept = "fp8" if kernel in _NARROW else ""
    yield device_set(
        table, rows, "attention", dtype, _attention_sizes(rows, kind), _KERNELS[kernel], groups, name, kept
    )


_PHASES = {"context": "prefill", "generation": "decode", "encoder": "encoder"}


def _is_one_token(row: dict[str, str]) -> bool:
    """Whether a prompt is of one token, which is a decode."""
    return row["op_name"].startswith("context") and int(row["isl"]) == 1


def _cached(row: dict[str, str]) -> str:
    """The dtype of the cache, of the kernels that were timed with another taken as if it were usual."""
    return "bfloat16" if row["kernel_source"] in _NARROW else row.get("kv_cache_dtype", "bfloat16")


def _attention_sizes(rows: Rows, kind: str) -> dict[str, Any]:
    """The sizes of attention: what a statement needs, and the window, 0 for none."""
    encoder, decode = kind == "encoder", kind == "decode"
    new, heads = column(rows, "isl"), column(rows, "num_heads")
    return {
        "batch": column(rows, "batch_size"),
        "query": new,
        "context": column(rows, "step") + 1 if decode else new,
        "heads": heads,
        "kv_heads": heads if encoder else column(rows, "num_key_value_heads"),
        "head_dim": column(rows, "head_dim"),
        "causal": np.full(len(rows), float(not encoder)),
        "window": np.zeros(len(rows)) if encoder else column(rows, "window_size"),
    }


SOURCES = (
    Source("gemm", _gemm),
    Source("context_attention", _attention),
    Source("generation_attention", _attention),
    Source("encoder_attention", _attention),
    Source("context_mla", latent_sets.kernels),
    Source("generation_mla", latent_sets.kernels),
    Source("gdn", scan_sets.delta_rules),
    Source("mamba2", scan_sets.mamba2),
    Source("scale_matrix", quantize_sets.dynamic),
)
"""One entry for each family of tables; the order is the scoreboard's."""
