"""Whole latent-attention modules beside the sum of their operators: by device, kernel library, and dtype of the cache.

python benchmarks/latent_modules.py --data DIR

Nothing is fitted to modules. A row is the operators of a DeepSeek-V3 layer from the first projection to the last,
merged as TensorRT-LLM or vLLM merges them, in bf16, with the device's calibration; replayed from a graph, but for
vLLM's on Hopper, which are launched from the host.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from device_sets import FOLDERS, tables
from device_tables import column
from measured_sets import Rows
from scores import Scored, table

from roofline.calibration.kernels import Kernels
from roofline.calibration.provenance import constants_of
from roofline.cost.cost import Cost, operator_cost
from roofline.engines.library import load_engine
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import load_model
from roofline.program.merging import run_by
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.workload import Precision
from roofline.timing.machine import Machine

_ENGINES = {"trtllm": "tensorrt-llm", "vllm": "vllm"}
_FROM_HOST = ("vllm", "nvidia-hopper")
"""Whose rows hold the launch of each kernel by the host: the fastest module takes 67 to 118 us, on a B200 31 and 36.

Seen on these rows. It is no engine's time of a step: vLLM's would be 10 us for one of 61 layers.
"""
_FIRST, _LAST = ("qkv_down", "q_down"), "out_proj"
_CACHES = {"bfloat16": "bf16", "fp8": "fp8"}


@cache
def operators(framework: str, phase: str) -> tuple[tuple[Op, ...], dict[str, Any]]:
    """The operators of a module, and the sizes of its model."""
    program = run_by(load_engine(_ENGINES[framework]), load_model("deepseek-v3").program())
    in_phase = list(program.in_phase(Phase(phase)))
    group = next(group for group, op in in_phase if op.name == "attention")
    ops = [op for each, op in in_phase if each is group]
    names = [op.name for op in ops]
    first = min(names.index(name) for name in _FIRST if name in names)
    return tuple(ops[first : names.index(_LAST) + 1]), dict(program.sizes)


def costs(rows: Rows, framework: str, phase: str) -> list[Cost]:
    """What the modules cost, rows as arrays."""
    ops, model = operators(framework, phase)
    new = column(rows, "isl")
    context = column(rows, "step") if phase == "decode" else new
    sizes = model | {"B": column(rows, "batch_size"), "T": new, "S": context, "K": column(rows, "num_heads")}
    precision = Precision("bf16", "bf16", _CACHES[rows[0]["kv_cache_dtype"]])
    return [operator_cost(op, sizes, precision, decoding=phase == "decode") for op in ops]


def modules(data: Path) -> Iterator[Scored]:
    """Every set of modules in bf16."""
    for folder in FOLDERS:
        for phase, prefix in (("prefill", "mla_context_module"), ("decode", "mla_generation_module")):
            for found in tables(data, folder, prefix):
                plain = [row for row in found.rows if row["gemm_type"] == row["mla_dtype"] == "bfloat16"]
                plain = [row for row in plain if (phase == "decode") or int(row["isl"]) > 1]
                for key in dict.fromkeys((row["kernel_source"], row["kv_cache_dtype"]) for row in plain):
                    rows = [row for row in plain if (row["kernel_source"], row["kv_cache_dtype"]) == key]
                    yield _scored(found.device, found.framework, phase, rows)


def _scored(device: HardwareSpec, framework: str, phase: str, rows: Rows) -> Scored:
    constants = constants_of(device).using(Kernels.all_of("trtllm" if framework == "trtllm" else ""))
    from_host = (framework, device.calibration_class) == _FROM_HOST
    beside = load_engine(_ENGINES[framework]).runs_beside_on(device.words)
    machine = Machine(device, constants, "eager" if from_host else "graph", beside=beside)
    predicted = machine.step(costs(rows, framework, phase))
    kernel, cached = rows[0]["kernel_source"], rows[0]["kv_cache_dtype"]
    name = f"{device.name} {phase}, {framework} {kernel}, cache {_CACHES[cached]}"
    return Scored.of(name, phase, predicted, column(rows, "latency_ms") * 1e-3)


def main() -> int:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description="Latent-attention modules as sums of operators.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    print("\n".join(table(modules(parser.parse_args().data))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
