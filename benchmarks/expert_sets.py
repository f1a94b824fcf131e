"""Mixtures of experts timed on H100, H200, B200 and L40S, by kernel library: everything between router and result.

The operators are those of a network as an engine runs it: a matmul that sorts its tokens first, the activation with
what narrows it, a matmul, the sum. Loads are the means of what ``roofline.layers.expert_load`` draws: the fullest
device's, which is the one that was timed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from device_sets import FOLDERS, Table, column, tables
from limited_routing import EXPERTS, limited_load
from measured_sets import Rows

from roofline.compression.quantization import quantized_groups
from roofline.compression.recipes import read_recipe
from roofline.cost.cost import Cost, operator_cost
from roofline.cost.kernel_shapes import GroupedShape, RowShape
from roofline.hardware.spec import HardwareSpec
from roofline.layers.expert_load import Routing
from roofline.layers.mixture_of_experts import experts, router
from roofline.layers.normalization import norm
from roofline.number import Number, added
from roofline.program.axes import Sizes
from roofline.program.merging import merged
from roofline.program.op import Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

KERNELS = {
    "moe_torch_flow_cutlass": "trtllm",
    "vllm_unquantizedfusedmoe_triton_tritonexperts": "triton",
    "vllm_fp8moe_triton_tritonexperts": "triton",
    "vllm_modeloptfp8moe_triton_tritonexperts": "triton",
    "vllm_unquantizedfusedmoe_flashinfer_cutlass_flashinferexperts": "flashinfer-cutlass",
    "vllm_fp8moe_flashinfer_cutlass_flashinferexperts": "flashinfer-cutlass",
    "vllm_modeloptfp8moe_flashinfer_cutlass_flashinferexperts": "flashinfer-cutlass",
    "vllm_unquantizedfusedmoe_flashinfer_trtllm_trtllmbf16experts": "trtllm-gen",
    "vllm_modeloptfp8moe_flashinfer_trtllm_trtllmfp8expertsmonolithic": "trtllm-gen",
    "vllm_fp8moe_flashinfer_trtllm_trtllmfp8expertsmodular": "trtllm-gen",
    "vllm_fp8moe_flashinfer_trtllm_trtllmfp8expertsmonolithic": "trtllm-gen",
    "vllm_compressedtensorsw4a4nvfp4moe_flashinfer_trtllm_trtllmnvfp4expertsmodular": "trtllm-gen",
    "vllm_compressedtensorsw4a4nvfp4moe_flashinfer_trtllm_trtllmnvfp4expertsmonolithic": "trtllm-gen",
    "deepgemm": "deepgemm",
    "moe_torch_flow": "trtllm-gen",
    "vllm_gptossmxfp4moe_flashinfer_trtllm_mxfp4_bf16_trtllmmxfp4expertsmonolithic": "trtllm-gen",
    "vllm_gptossmxfp4moe_triton_oaitritonmxfp4expertsmonolithic": "triton",
}
"""The library of each kernel, as tables name it: trtllm-gen is what FlashInfer has of TensorRT-LLM."""

RECIPES = {
    "bfloat16": ("bf16", "bf16"),
    "fp8": ("fp8", "fp8-tensor"),
    "fp8_block": ("fp8_block", "fp8-block"),
    "nvfp4": ("fp4", "nvfp4"),
    "w4a16_mxfp4": ("bf16_w4", "mxfp4"),
    "w4a8_mxfp4_mxfp8": ("fp8_w4", "mxfp4:mxfp8"),
}
"""The dtype of constants, and how such a mixture is stored."""

_UNUSED = ("moe_torch_flow", "w4a16_mxfp4")
"""Timed on Blackwell, where TensorRT-LLM multiplies such weights in 8 bits; on Hopper it runs Triton's kernels."""
_FIRST = ("vllm_modeloptfp8moe_flashinfer_cutlass_flashinferexperts", "nvidia-hopper")
"""FlashInfer's CUTLASS kernels with one scale, which vLLM tunes as it starts (``flashinfer_autotune``) and nobody tuned
here: the first of their list ran (get_candidate_tiles_sm90 of cutlass_heuristic.cpp), a tile of 128 rows and 16
columns, four times slower than TensorRT-LLM's tuned ones. No constants are made of it."""
_WHOLE = "vllm_gptossmxfp4moe_triton_oaitritonmxfp4expertsmonolithic"
"""Under expert parallelism vLLM runs some 28 us of kernels beside it, whatever the tokens: these rows are left out."""
_GATELESS = (1024.0, 2688.0)  # hidden sizes of Nemotron's mixtures, whose experts have no gate
_EACH = "at hand"  # of the A experts of a token, how many the device has
_LIMITED = ("vllm_fp8moe_", "vllm_compressedtensorsw4a4nvfp4moe_")
"""Modules of whole models: with 256 experts they have DeepSeek's router."""


@dataclass(frozen=True, slots=True, eq=False)
class ExpertSet:
    """Timed mixtures of one dtype and library on a device: arrays of one length. [s]

    sizes: letters; ``at hand``, the experts of a token that the device has; ``gated`` and ``skewed``, whether experts
    have a gate and the load is a power law's, as 0 and 1.
    campaigns: a number for each model, layout and load, of which only the tokens differ, and which one run tuned.
    """

    device: HardwareSpec
    dtype: str
    library: str
    table: Table
    sizes: Mapping[str, Any]
    measured_s: Any
    campaigns: Any

    def __len__(self) -> int:
        return len(self.measured_s)

    @property
    def kernel(self) -> tuple[str, str]:
        """Its dtype and library."""
        return self.dtype, self.library

    @property
    def name(self) -> str:
        """Its name in a table."""
        return f"{self.device.name} experts {self.dtype} {self.library}"

    def where(self, rows: Any) -> ExpertSet:
        """The rows that a mask picks."""
        sizes = {letter: values[rows] for letter, values in self.sizes.items()}
        return replace(self, sizes=sizes, measured_s=self.measured_s[rows], campaigns=self.campaigns[rows])

    @property
    def split_by(self) -> str:
        """What splits go by: hidden sizes; widths, experts at hand or tokens where there is one of the former."""
        return next((letter for letter in "DFE" if len(np.unique(self.sizes[letter])) > 1), "B")

    @property
    def values(self) -> Any:
        """Those of each row."""
        return self.sizes[self.split_by]

    def split(self, seed: int) -> tuple[ExpertSet, ExpertSet]:
        """Rows to fit, and rows to judge by, which share no value with them."""
        values = np.unique(self.values)
        drawn = np.random.default_rng(seed).permutation(values)[: (len(values) + 1) // 2]
        known = np.isin(self.values, drawn)
        return self.where(known), self.where(~known)

    def timed(self) -> list[tuple[tuple[Cost, ...], Any]]:
        """The operators of rows with a gate and of rows without, and which rows they are."""
        found = []
        for gated in np.unique(self.sizes["gated"]):
            rows = self.sizes["gated"] == gated
            sizes = {k: v[rows] for k, v in self.sizes.items() if len(k) == 1 or k == _EACH}
            costs = _costs(sizes, RECIPES[_named(self.dtype)][1], gated=bool(gated))
            found.append((_in_turns(costs), rows))
        return found


@cache
def load_experts(data: Path, *, usual: bool = True) -> tuple[ExpertSet, ...]:
    """Every set of the folder of measurements, device by device: rows with tactics of their own, of widths that are
    loaded as vectors, or the others.
    """
    every = (table for folder in FOLDERS for table in tables(data, folder, "moe"))
    return tuple(found for table in every for found in _sets(table, usual=usual))


def _sets(table: Table, *, usual: bool) -> Iterator[ExpertSet]:
    own = _own_tactics(table)
    for library in dict.fromkeys(KERNELS.values()):
        for name, (dtype, _) in RECIPES.items():
            rows = [row for row in table.rows if row["moe_dtype"] == name and _is_of(row, library, table.device)]
            rows = [row for row in rows if (own.get(_tactic_file(row), True) and _is_aligned(row)) is usual]
            if rows:
                seconds = column(rows, "latency_ms") * 1e-3
                yield ExpertSet(table.device, dtype, library, table, _sizes(rows), seconds, _campaigns(rows))


def _is_of(row: Mapping[str, str], library: str, device: HardwareSpec) -> bool:
    """Whether a row is one of a library's that constants are made of."""
    kernel = row["kernel_source"]
    left_out = (kernel, row["moe_dtype"]) == _UNUSED or (kernel, device.calibration_class) == _FIRST
    return KERNELS.get(kernel) == library and not left_out and (kernel != _WHOLE or row["moe_ep_size"] == "1")


def _own_tactics(table: Table) -> dict[str, bool]:
    """Whether the tactics in a file are those of every row that looks them up in it, by the file's name.

    aiconfigurator's collector of TensorRT-LLM's rows (collector/trtllm/collect_moe.py) tunes once for a dtype, a hidden
    size, a width and a number of experts at hand, writes what it found to a file of that name, and for any other layout
    reads the first file whose name begins like its own in place of tuning. TensorRT-LLM's tuner looks a tactic up by
    top-k and by the devices of either kind too (``MoERunner.unique_id``), and takes the first of its list where it
    finds none (``mAllProfiles.front()`` of moeOp.cpp), which no engine does that tunes as it starts. Scales by block
    have no tactics, and kernels that were compiled before have a default of their own for a shape.
    """
    layouts: dict[str, set[tuple[str, ...]]] = {}
    for row in table.rows if table.framework == "trtllm" else ():
        if row["moe_dtype"] != "fp8_block" and row["kernel_source"] != "moe_torch_flow":
            found = tuple(row[name] for name in ("kernel_source", "topk", "moe_tp_size", "moe_ep_size"))
            layouts.setdefault(_tactic_file(row), set()).add(found)
    return {
        name: len(own) == 1 and not any(other.startswith(name) for other in layouts if other != name)
        for name, own in layouts.items()
    }


def _tactic_file(row: Mapping[str, str]) -> str:
    experts = int(row["num_experts"]) // int(row["moe_ep_size"])
    return f"{row['moe_dtype']}_{row['hidden_size']}_{_width(row)}_{experts}"


def _width(row: Mapping[str, str]) -> int:
    return int(row["inter_size"]) // int(row["moe_tp_size"])


def _is_aligned(row: Mapping[str, str]) -> bool:
    """Whether vLLM's fused_moe in Triton loads vectors: where a width is a multiple of 16 elements.

    A kernel is compiled anew by whether its sizes and strides are (``tt.divisibility``); others load single elements.
    """
    return not row["kernel_source"].endswith("_triton_tritonexperts") or _width(row) % 16 == 0


def _campaigns(rows: Rows) -> Any:
    varied = ("num_tokens", "latency_ms")
    alike = ["/".join(value for name, value in row.items() if name not in varied) for row in rows]
    return np.unique(alike, return_inverse=True)[1]


def _sizes(rows: Rows) -> dict[str, Any]:
    """The letters of the device that was timed: all tokens, its pairs of them and experts, the experts it has."""
    tokens, devices, width = column(rows, "num_tokens"), column(rows, "moe_ep_size"), column(rows, "inter_size")
    whole = {"B": tokens, "T": np.ones(len(rows)), "E": column(rows, "num_experts"), "A": column(rows, "topk")}
    skewed = np.array([row["distribution"] != "balanced" for row in rows])
    pairs, touched = np.zeros(len(rows)), np.zeros(len(rows))
    for name in dict.fromkeys(row["distribution"] for row in rows):
        own = np.array([row["distribution"] == name for row in rows])
        load = Routing.of(name.replace("law_", "law:")).load({k: v[own] for k, v in whole.items()}, devices[own])
        pairs[own], touched[own] = load.pairs, load.touched
    limited = np.array([row["kernel_source"].startswith(_LIMITED) for row in rows])
    for row in np.flatnonzero(limited & (whole["E"] == EXPERTS)):
        law = rows[row]["distribution"].rpartition("power_law_")[2]
        load = limited_load(int(tokens[row]), int(devices[row]), float(law) if skewed[row] else 0.0)
        pairs[row], touched[row] = load
    hidden = column(rows, "hidden_size")
    return {
        "B": tokens, "T": whole["T"], "A": whole["A"], _EACH: pairs / tokens, "E": whole["E"] / devices, "D": hidden,
        "F": width / column(rows, "moe_tp_size"), "X": touched,
        "gated": ~np.isin(hidden, _GATELESS) * 1.0, "skewed": skewed * 1.0,
    }  # fmt: skip


def _costs(sizes: Mapping[str, Any], recipe: str, *, gated: bool) -> tuple[Cost, ...]:
    """The chain of kernels: grouped matmuls, and what is elementwise between and behind them."""
    stored = read_recipe(recipe, default="bf16")
    before = norm("norm", Tensor("x", "B T D", "input"), Tensor("h", "B T D"), kind="rms")
    ops = (before, *router(), *experts(function="silu", glu=gated))
    groups = quantized_groups((Group("experts", ops, phases=(Phase.PREFILL,)),), stored)
    (group,) = merged(Program(groups, {}), {}, ("norm_quantize", "activation_quantize")).groups
    ops = (replace(op, local={**op.local, "A": _each}) if _EACH in sizes else op for op in group.ops)
    costs = [replace(operator_cost(op, sizes, stored.precision), alone=True) for op in ops]
    return tuple(
        cost for cost in costs
        if isinstance(cost.shape, GroupedShape) or (isinstance(cost.shape, RowShape) and cost.shape.routed)
    )  # fmt: skip


def _in_turns(costs: tuple[Cost, ...]) -> tuple[Cost, ...]:
    """The chain as it was timed, again and again: its matmuls take turns with their weights."""
    every = added(cost.shape.weight_bytes for cost in costs if isinstance(cost.shape, GroupedShape))
    return tuple(
        replace(cost, weight_sets=every / cost.shape.weight_bytes) if isinstance(cost.shape, GroupedShape) else cost
        for cost in costs
    )


def _each(sizes: Sizes) -> Number:
    return sizes[_EACH]


def _named(dtype: str) -> str:
    return next(name for name, (own, _) in RECIPES.items() if own == dtype)
