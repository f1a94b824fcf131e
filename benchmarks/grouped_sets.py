"""Public timings of grouped matmuls and of whole mixtures of experts.

Classes are judged on all of them. The A100's grouped matmuls are fitted to mixtures of some hidden sizes, have their
band from others, and are judged on yet others. InferSim spreads tokens evenly, so that every expert at hand is touched.
aiconfigurator routes by power laws, and times one launch of everything between the router and the sum: we count the
experts that uniform routing would touch.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measured_sets import other_device

from roofline.calibration.constants import ConstantSet
from roofline.cost.cost import Cost, operator_cost
from roofline.hardware.loading import load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.layers.mixture_of_experts import experts, touched_experts
from roofline.program.workload import Precision
from roofline.timing.machine import Machine
from roofline.timing.timing import Timing

HIDDEN_FIT, HIDDEN_BAND, HIDDEN_JUDGED = (4096,), (6144,), (7168,)


@dataclass(frozen=True, slots=True, eq=False)
class GroupedSet:
    """Timed operators, or sums of them, as arrays; ``costs`` run one after the other. [s]

    widths: of the experts.
    """

    name: str
    device: HardwareSpec
    costs: tuple[Cost, ...]
    measured_s: Any
    widths: AbstractSet[float] = frozenset()


def step_of(rows: GroupedSet, constants: ConstantSet) -> Timing:
    """The prediction of the rows from a graph: their operators one after the other. [s]"""
    return Machine(rows.device, constants, "graph").step(rows.costs)


def load_grouped(data: Path) -> list[GroupedSet]:
    """Every set of the folder."""
    return [*_infersim(data), mixture(data)]


def _infersim(data: Path) -> Iterator[GroupedSet]:
    for phase, tokens in (("prefill", "seq_len_per_gpu"), ("decode", "batch_size_per_gpu")):
        rows = _read(data / f"infersim/grouped_gemm_{phase}.csv")
        for gpu in ("h800", "h20"):
            own = [row for row in rows if row["gpu"] == gpu]
            pairs, local = _column(own, tokens) * _column(own, "topk"), _column(own, "num_local_experts")
            sizes = _sizes(own, _column(own, tokens), np.minimum(local, pairs), "intermediate_size")
            up, _, down, _ = _costs(sizes, "fp8")
            for name, cost, column in (("up", up, "up_proj_us"), ("down", down, "down_proj_us")):
                seconds = _column(own, column) * 1e-6
                yield GroupedSet(f"grouped matmul fp8, {phase}, {name}, {gpu.upper()}", other_device(gpu), (cost,),
                                 seconds)  # fmt: skip


def mixture(data: Path, hidden: Collection[int] = ()) -> GroupedSet:
    """One rank that holds all experts, or a part of the width of each; of the hidden sizes, or of all."""
    own = [
        row
        for row in _read(data / "aiconfigurator/moe_a100_sxm.csv")
        if row["moe_ep_size"] == "1" and (not hidden or int(row["hidden_size"]) in hidden)
    ]
    tokens = _column(own, "num_tokens")
    picked = {"B": tokens, "T": np.ones(len(own)), "E": _column(own, "num_experts"), "A": _column(own, "topk")}
    sizes = _sizes(own, tokens, touched_experts(picked), "inter_size")
    sizes["F"] = sizes["F"] / _column(own, "moe_tp_size")
    seconds = _column(own, "latency_ms") * 1e-3
    return GroupedSet("mixture of experts bf16, TensorRT-LLM, A100", load_hardware("a100"), _costs(sizes, "bf16"),
                      seconds, set(sizes["F"].tolist()))  # fmt: skip


def judged_mixture(data: Path) -> GroupedSet:
    """The mixtures to judge by. Raises AssertionError if a width of their experts was fitted."""
    fitted, judged = mixture(data, HIDDEN_FIT), mixture(data, HIDDEN_JUDGED)
    assert not fitted.widths & judged.widths, f"{judged.name}: {sorted(fitted.widths & judged.widths)} were fitted"
    assert not {*HIDDEN_FIT, *HIDDEN_BAND} & {*HIDDEN_JUDGED}
    return judged


def _sizes(rows: list[dict[str, str]], tokens: Any, touched: Any, width: str) -> dict[str, Any]:
    names = {"A": "topk", "D": "hidden_size", "F": width, "E": "num_experts"}
    ones = np.ones(len(rows))
    return {"B": tokens, "T": ones, "X": touched, **{x: _column(rows, name) for x, name in names.items()}}


def _costs(sizes: dict[str, Any], dtype: str) -> tuple[Cost, ...]:
    return tuple(operator_cost(op, sizes, Precision(dtype, dtype, dtype)) for op in experts(function="silu"))


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def _column(rows: list[dict[str, str]], name: str) -> Any:
    return np.array([float(row[name]) for row in rows])
