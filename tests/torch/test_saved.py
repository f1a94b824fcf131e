"""Bytes that torch saves for backward equal ours to the byte, per layer, in eager attention and fp32 on this CPU.

What two layers save beyond one is what a layer saves; parameters are at rest anyway. Modules that write a fused kernel
out in several operations save what lies between these: each such exception is a named rule.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from modules import eager_decoder, module_of

from roofline.cost.saved_bytes import once, saved_bytes
from roofline.models.model import Model, load_model
from roofline.program.axes import Sizes
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.saved import saved_tensors
from roofline.program.workload import Precision

FP32 = Precision("fp32", "fp32", "fp32")
BATCH, LENGTH, TARGET = 3, 17, 5


def norms_written_out(s: Sizes) -> Any:
    """RMSNorm in several operations also keeps what its gain multiplies, twice a layer."""
    return 2 * s["B"] * s["T"] * s["D"]


def gate_written_out(s: Sizes) -> Any:
    """silu(g), which is then multiplied by u."""
    return s["B"] * s["T"] * s["F"]


def heads_repeated(s: Sizes) -> Any:
    """Keys and values, copied for each query head of their group."""
    return 2 * s["B"] * s["S"] * (s["G"] - 1) * s["K"] * s["H"]


SMALL: dict[str, tuple[str, dict[str, Any], tuple[Any, ...]]] = {
    # field of the layers; a small configuration; what its module writes out
    "gpt2": ("n_layer", {"n_embd": 48, "n_head": 4, "n_positions": 64, "activation_function": "gelu"}, ()),
    "bert-base": (
        "num_hidden_layers", {"hidden_size": 48, "intermediate_size": 56, "num_attention_heads": 4}, (),
    ),
    "vit-base-patch16-224": (
        "num_hidden_layers",
        {"hidden_size": 48, "intermediate_size": 56, "image_size": 32, "num_attention_heads": 4}, (),
    ),
    "llama-3.2-1b": (
        "num_hidden_layers",
        {"hidden_size": 48, "head_dim": 6, "intermediate_size": 56, "num_attention_heads": 8, "num_key_value_heads": 2},
        (norms_written_out, gate_written_out, heads_repeated),
    ),
    "t5-small": (
        "num_layers", {"d_model": 48, "d_kv": 6, "num_heads": 8, "d_ff": 56, "num_decoder_layers": 1},
        (norms_written_out,),
    ),
}  # fmt: skip


def kept_by_torch(model: Model) -> int:
    """Bytes of all storages that a forward pass saves, but for those of parameters and of whole numbers."""
    import torch

    module = eager_decoder(model) if model.phases[0] is Phase.PREFILL else module_of(model, device="cpu")
    parameters = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    kept: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters and tensor.dtype.is_floating_point:
            kept[storage.data_ptr()] = storage  # held, so that no other tensor takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = module(**asked(model))
    assert outputs is not None
    return sum(storage.nbytes() for storage in kept.values())


def asked(model: Model) -> dict[str, Any]:
    import torch

    if "patch_size" in model.fields:
        return {"pixel_values": torch.zeros(BATCH, 3, model.fields["image_size"], model.fields["image_size"])}
    inputs: dict[str, Any] = {"input_ids": torch.full((BATCH, LENGTH), 5)}
    if len(model.phases) == 3:
        inputs["decoder_input_ids"] = torch.full((BATCH, TARGET), 5)
    return inputs | ({"use_cache": False} if model.generates else {})


@pytest.mark.parametrize("preset", SMALL)
def test_a_layer_saves_what_torch_saves(preset: str) -> None:
    pytest.importorskip("transformers")
    field, small, written_out = SMALL[preset]
    one, two = (load_model(preset, overrides={"vocab_size": 101, **small, field: layers}) for layers in (1, 2))
    if "patch_size" in one.fields:
        one, two = (load_model(preset, overrides={**small, field: layers}) for layers in (1, 2))
    program = two.program(Conventions(attention="materialised", lm_head="all"))
    length = two.lengths.positions if two.lengths.whole else LENGTH
    sizes = {letter: Fraction(size) for letter, size in program.sizes.items()}
    sizes |= {"B": Fraction(BATCH), "T": Fraction(length), "S": Fraction(length), "M": Fraction(length)}
    layer = [once(each) for each in saved_tensors(program) if each.group.name in ("layers", "encoder_layers")]
    between = 4 * sum(rule(sizes) for rule in written_out)
    assert kept_by_torch(two) - kept_by_torch(one) == saved_bytes(layer, sizes, FP32) + between
