"""Bytes that torch saves for backward on fake tensors equal ours to the byte, per layer, at the size of the models.

What two layers save beyond one is what a layer saves; parameters are at rest anyway. Programs are ``written_out`` as
the modules are. Each exception is a named rule; fake tensors have masks, and so repeated heads, that real ones lack.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from modules import kept_by_forward, module_of

import roofline
from roofline.cost.saved_bytes import once, saved_bytes
from roofline.models.model import Model, load_model
from roofline.program.axes import Sizes
from roofline.program.conventions import Conventions
from roofline.program.saved import saved_tensors
from roofline.program.workload import Precision
from roofline.program.written_out import written_out

BATCH, LENGTH, TARGET = 3, 40, 24
FP32, BF16 = 4, 2


# What is not modelled, in bytes of a layer with elements of ``width`` bytes


def heads_repeated(s: Sizes, width: int) -> Any:
    """Keys and values, copied for each query head of their group."""
    return width * 2 * s["B"] * s["S"] * (s["G"] - 1) * s["K"] * s["H"]


def mask_made_numbers(s: Sizes, width: int) -> Any:
    """The causal mask, turned into numbers to be added, anew in each layer."""
    return width * s["B"] * s["T"] * s["S"]


def biased_scores_kept(s: Sizes, width: int) -> Any:
    """A bias of positions that is trained is no mask: attention falls back to matmuls and keeps its probabilities."""
    return s["B"] * s["K"] * s["G"] * s["T"] * (width * s["S"] - FP32)


def softmax_in_fp32(s: Sizes, width: int) -> Any:
    """Probabilities of attention before they are cast to what multiplies values."""
    return FP32 * s["B"] * s["K"] * s["G"] * s["T"] * s["S"]


def routing_in_fp32_alone(s: Sizes, width: int) -> Any:
    """Scores and routes, which are in fp32 beside their 16-bit ones here."""
    return -width * s["B"] * s["T"] * (s["E"] + s["A"])


LAYERS: dict[str, tuple[str, str, int, tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]] = {
    # preset, field of the layers, width of an element, what both, eager and sdpa modules keep besides
    "gpt2": ("gpt2", "n_layer", FP32, (), (), (mask_made_numbers,)),
    "bert": ("bert-base", "num_hidden_layers", FP32, (), (), ()),
    "vit": ("vit-base-patch16-224", "num_hidden_layers", FP32, (), (), ()),
    "llama": ("llama-3.1-8b", "num_hidden_layers", FP32, (heads_repeated,), (), (mask_made_numbers,)),
    "llama bf16": (
        "llama-3.1-8b", "num_hidden_layers", BF16, (heads_repeated,), (softmax_in_fp32,), (mask_made_numbers,),
    ),
    "mixtral": (
        "mixtral-8x7b", "num_hidden_layers", BF16, (heads_repeated, routing_in_fp32_alone), (softmax_in_fp32,),
        (mask_made_numbers,),
    ),
    "t5 encoder": ("t5-small", "num_layers", FP32, (), (), (biased_scores_kept,)),
    "t5 decoder": ("t5-small", "num_decoder_layers", FP32, (), (), (biased_scores_kept,)),
}  # fmt: skip


def kept_by_torch(model: Model, kernels: str, width: int) -> int:
    """Bytes of all storages that a forward pass saves, but for those of parameters and of whole numbers."""
    torch = pytest.importorskip("torch")
    fake = pytest.importorskip("torch._subclasses.fake_tensor")
    initialization = pytest.importorskip("transformers.initialization")
    experts = "grouped_mm" if "num_local_experts" in model.fields else None
    with fake.FakeTensorMode(allow_non_fake_inputs=True), initialization.no_init_weights():
        torch.set_default_dtype(torch.bfloat16 if width == BF16 else torch.float32)
        try:
            module, inputs = module_of(model, device="cpu", attention=kernels, experts=experts), asked(model)
        finally:
            torch.set_default_dtype(torch.float32)
        return kept_by_forward(module, inputs)


def asked(model: Model) -> dict[str, Any]:
    import torch

    if "patch_size" in model.fields:
        return {"pixel_values": torch.zeros(BATCH, 3, model.fields["image_size"], model.fields["image_size"])}
    inputs: dict[str, Any] = {"input_ids": torch.full((BATCH, LENGTH), 5)}
    if len(model.phases) == 3:
        inputs["decoder_input_ids"] = torch.full((BATCH, TARGET), 5)
    return inputs | ({"use_cache": False} if model.generates else {})


def sizes_of(model: Model, name: str) -> dict[str, Fraction]:
    """Sizes of a layer: a decoder behind an encoder has lengths of its own."""
    length = model.lengths.positions if model.lengths.whole else TARGET if name == "t5 decoder" else LENGTH
    sizes = {**model.program().sizes, "B": BATCH, "T": length, "S": length, "M": LENGTH}
    return {letter: Fraction(size) for letter, size in sizes.items()}


@pytest.mark.parametrize("kernels", ["eager", "sdpa"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_saves_what_torch_saves(name: str, kernels: str) -> None:
    preset, field, width, both, eager, sdpa = LAYERS[name]
    small = {"num_layers": 1} if name == "t5 decoder" else {}
    one, two = (load_model(preset, overrides={**small, field: layers}) for layers in (1, 2))
    fused = "materialised" if kernels == "eager" else "fused"
    program = written_out(two.program(Conventions(attention=fused, lm_head="all")))  # of layers: without the loss
    of = ("decoder_layers", "decoder_layers.cross") if name == "t5 decoder" else ("layers", "encoder_layers")
    layer = [once(each) for each in saved_tensors(program) if each.group.name in of]
    sizes, dtype = sizes_of(two, name), "bf16" if width == BF16 else "fp32"
    besides = sum(rule(sizes, width) for rule in (*both, *(eager if kernels == "eager" else sdpa)))
    torchs = kept_by_torch(two, kernels, width) - kept_by_torch(one, kernels, width)
    assert torchs == saved_bytes(layer, sizes, Precision(dtype, dtype, dtype)) + besides


PEAKS: list[tuple[str, dict[str, Any], int, int]] = [
    ("gpt2", {"n_layer": 2}, 8, 512),  # as the head's backward pass begins
    ("gpt2", {"n_layer": 2}, 1, 32),  # as the backward pass ends: the table's gradients of both its places, their sum
    ("llama-3.2-1b", {"num_hidden_layers": 4, "vocab_size": 32000}, 8, 512),
]


@pytest.mark.parametrize(("preset", "small", "batch", "length"), PEAKS)
def test_the_total_of_a_step_is_that_of_torchs_tracker(
    preset: str, small: dict[str, Any], batch: int, length: int
) -> None:
    """What ``train`` prints, but for what fake tensors repeat."""
    model = load_model(preset, overrides=small)
    step = roofline.train(
        model, "epyc-9654", batch=batch, sequence=length, microbatch=batch, dtype="fp32", recompute="none", zero=0,
        kernels="materialised",
    ).step  # fmt: skip
    sizes = {**model.program().sizes, "B": batch, "T": length, "S": length}
    repeated = 0 if preset == "gpt2" else sizes["L"] * heads_repeated(sizes, FP32)
    found = step.memory[step.fullest]
    expected = found.total + (repeated if found.saved else 0)
    assert peak_of_torch(model, batch, length) == pytest.approx(float(expected), rel=1e-3)


def peak_of_torch(model: Model, batch: int, length: int) -> int:
    """The most bytes of a step with AdamW, the second of a run, by torch's own count of every storage."""
    torch = pytest.importorskip("torch")
    fake = pytest.importorskip("torch._subclasses.fake_tensor")
    tracker = pytest.importorskip("torch.distributed._tools.mem_tracker")
    initialization = pytest.importorskip("transformers.initialization")
    with fake.FakeTensorMode(allow_non_fake_inputs=True):
        with initialization.no_init_weights():
            module = module_of(model, device="cpu")
        module.tie_weights()
        optimizer, tokens = torch.optim.AdamW(module.parameters(), fused=True), torch.full((batch, length), 5)

        def step() -> None:
            module(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        step()
        seen = tracker.MemTracker()
        seen.track_external(module, optimizer, tokens)
        with seen:
            step()
        return int(sum(of["Total"] for of in seen.get_tracker_snapshot("peak").values()))
