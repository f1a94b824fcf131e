"""How long a trace takes on one core, and how much memory: 32 layers of Llama within 15 s, 70B within 2 GB resident.

taskset -c 0 python benchmarks/trace_speed.py

No weights are allocated; the exit code counts what is above its bar.
"""

from __future__ import annotations

import resource
import sys
import time

import transformers

import roofline
from roofline.tracing.hollow import hollow

SECONDS, GIGABYTES = 15.0, 2.0


def traced(preset: str) -> tuple[float, int]:
    """CPU seconds to build and trace the module of a preset, and its parameters."""
    fields = {k: v for k, v in roofline.load_model(preset).fields.items() if k not in ("model_type", "architectures")}
    config = transformers.LlamaConfig(**{**fields, "use_cache": False})
    start = time.process_time()
    with hollow():
        module = transformers.LlamaForCausalLM(config)
    model = roofline.trace(module, {"input_ids": "B,S"})
    return time.process_time() - start, model.parameters


def main() -> int:
    """Print each figure beside its bar."""
    seconds, parameters = traced("llama-3.1-8b")
    print(f"llama-3.1-8b, 32 layers, {parameters:,} parameters: {seconds:.1f} s of a core (bar {SECONDS:g})")
    longer, more = traced("llama-3.1-70b")
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"llama-3.1-70b, 80 layers, {more:,} parameters: {longer:.1f} s of a core")
    print(f"largest resident memory of both: {resident:.2f} GB (bar {GIGABYTES:g})")
    return (seconds > SECONDS) + (resident > GIGABYTES)


if __name__ == "__main__":
    sys.exit(main())
