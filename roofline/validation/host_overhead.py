"""What the host spends on a kernel beside the kernel: Python, modules, views, the way through torch's dispatcher.

A decoder of a few layers decodes a token, and its kernels are timed by themselves; what the step takes longer is the
host's. Its weights stream from memory as those of any model do: a core that waits for memory is slower at the host's
work too.
"""

from __future__ import annotations

from typing import Any

from roofline.errors import MissingExtraError
from roofline.models.model import load_model
from roofline.program.phases import Phase
from roofline.validation.devices import Device
from roofline.validation.modules import Step, build_module, build_step

DECODER: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 640,
    "intermediate_size": 1792,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 80,
    "vocab_size": 2000,
    "max_position_embeddings": 64,
}
"""No model that anybody ships, and no shape of one."""


def small_decode(device: Device, dtype: str) -> Step | None:
    """One decode step of the small decoder; None where transformers is not installed."""
    model = load_model(DECODER)
    try:
        module = build_module(model, device, dtype)
    except MissingExtraError:
        return None
    return build_step(module, device, Phase.DECODE, {"batch": 1, "length": 40}, int(DECODER["vocab_size"]))
