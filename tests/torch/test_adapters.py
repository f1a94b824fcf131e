"""Training with frozen weights and adapters, against torch: FLOPs, bytes that are saved, the peak of a step.

Adapters are written here as they were published: beside each projection ``y = x w + 2 (x a) b``.
"""

from __future__ import annotations

from typing import Any

import pytest
from modules import kept_by_forward, module_of

import roofline
from roofline.cost.saved_bytes import once, saved_bytes
from roofline.models.model import Model, load_model
from roofline.program.phases import Phase
from roofline.program.recompute import read_policy
from roofline.program.workload import Precision
from roofline.training.step import TrainingStep

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

RANK, BATCH, LENGTH, FP32 = 8, 2, 32, 4
SMALL = {"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
         "head_dim": 16, "intermediate_size": 96, "vocab_size": 300}  # fmt: skip
ATTENTION, FFN = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
BESIDE: dict[str | None, tuple[str, ...]] = {
    None: (*ATTENTION, *FFN), "attention": ATTENTION, "ffn": FFN, "q_proj,v_proj": ("q_proj", "v_proj"),
}  # fmt: skip
"""What ``trained`` says, and the modules that have adapters then."""


class Adapted(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A frozen projection with an adapter beside it."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base
        self.a = torch.nn.Linear(base.in_features, RANK, bias=False, dtype=base.weight.dtype)
        self.b = torch.nn.Linear(RANK, base.out_features, bias=False, dtype=base.weight.dtype)

    def forward(self, x: Any) -> Any:
        return self.base(x) + self.b(self.a(x)) * 2.0


def adapted_module(model: Model, beside: tuple[str, ...], attention: str = "eager") -> Any:
    """A module all of whose weights are frozen but adapters."""
    module = module_of(model, device="cpu", attention=attention)
    module.tie_weights()
    module.requires_grad_(False)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if name in beside:
                setattr(parent, name, Adapted(child))
    return module


def embedded(model: Model, batch: int, length: int) -> dict[str, Any]:
    """What a module is given behind its embedding, whose output asks for a gradient, as under PEFT."""
    x = torch.zeros(batch, length, int(model.program().sizes["D"]), requires_grad=True)
    return {"inputs_embeds": x, "use_cache": False}


def small(layers: int = 3) -> Model:
    return load_model("llama-3.2-1b", overrides={**SMALL, "num_hidden_layers": layers})


def step(model: Model, trained: str | None, **asked: Any) -> TrainingStep:
    usual = {"batch": BATCH, "sequence": LENGTH, "microbatch": BATCH, "dtype": "fp32", "recompute": "none", "zero": 0,
             "kernels": "materialised", "lora": RANK, "trained": trained}  # fmt: skip
    return roofline.train(model, "epyc-9654", **{**usual, **asked}).step


def flops_of(found: TrainingStep, phase: Phase) -> float:
    program = found.question.network.step
    sizes = {**program.sizes, "B": BATCH, "T": LENGTH, "S": LENGTH}
    return float(sum(op.flops(g.sizes(sizes)) * g.times(sizes) for g, op in program.in_phase(phase)))


@pytest.mark.parametrize("trained", BESIDE)
def test_flops_of_both_passes_are_those_that_torch_counts(trained: str | None) -> None:
    counter = pytest.importorskip("torch.utils.flop_counter")
    module, inputs = adapted_module(small(), BESIDE[trained]), embedded(small(), BATCH, LENGTH)
    with counter.FlopCounterMode(display=False) as forward:
        total = module(**inputs).logits.sum()
    with counter.FlopCounterMode(display=False) as backward:
        total.backward()
    found = step(small(), trained)
    assert flops_of(found, Phase.FORWARD) == forward.get_total_flops()
    assert flops_of(found, Phase.BACKWARD) == backward.get_total_flops()
    assert found.question.network.learning_parameters == sum(
        p.numel() for p in module.parameters() if p.requires_grad
    )  # fmt: skip


def kept_by_torch(model: Model, beside: tuple[str, ...], attention: str) -> int:
    """Bytes of all storages that a forward pass saves, but for those of parameters and of whole numbers."""
    return kept_by_forward(adapted_module(model, beside, attention), embedded(model, BATCH, LENGTH))


@pytest.mark.parametrize("trained", BESIDE)
def test_a_layer_saves_what_torch_saves(trained: str | None) -> None:
    """To the byte, but for keys and values that torch repeats for each query head of their group."""
    torchs = kept_by_torch(small(2), BESIDE[trained], "eager") - kept_by_torch(small(1), BESIDE[trained], "eager")
    network = step(small(2), trained).question.network
    sizes = {**network.program.sizes, "B": BATCH, "T": LENGTH, "S": LENGTH}
    layer = [once(each) for each in network.saved(read_policy("none")) if each.group.name == "layers"]
    repeated = FP32 * 2 * BATCH * LENGTH * (sizes["G"] - 1) * sizes["K"] * sizes["H"]
    assert torchs == saved_bytes(layer, sizes, Precision("fp32", "fp32", "fp32")) + repeated


def test_the_total_of_a_step_is_that_of_torchs_tracker() -> None:
    """Within 0.1 %, but for keys and values that torch repeats for each query head of their group."""
    model = load_model("llama-3.2-1b", overrides={"num_hidden_layers": 2, "vocab_size": 32000})
    found = roofline.train(
        model, "epyc-9654", batch=8, sequence=256, microbatch=8, dtype="fp32", recompute="none", zero=0,
        kernels="materialised", lora=RANK,
    ).step  # fmt: skip
    sizes = found.question.network.program.sizes
    repeated = 2 * FP32 * 2 * 8 * 256 * (sizes["G"] - 1) * sizes["K"] * sizes["H"]
    memory = found.memory[found.fullest]
    assert memory.gradients == 0  # as the head's backward pass begins
    assert peak_of_torch(model, 8, 256) == pytest.approx(float(memory.total + repeated), rel=1e-3)


def peak_of_torch(model: Model, batch: int, length: int) -> int:
    """The most bytes of a step with AdamW over the adapters, the second of a run, by torch's count of every storage."""
    fake = pytest.importorskip("torch._subclasses.fake_tensor")
    tracker = pytest.importorskip("torch.distributed._tools.mem_tracker")
    initialization = pytest.importorskip("transformers.initialization")
    with fake.FakeTensorMode(allow_non_fake_inputs=True):
        with initialization.no_init_weights():
            module = adapted_module(model, BESIDE[None])
        for each in module.modules():  # the tracker waits for a gradient of whatever is a parameter
            for name in [n for n, p in each.named_parameters(recurse=False) if not p.requires_grad]:
                each.register_buffer(name, each._parameters.pop(name).data)
        learns = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optimizer, tokens = torch.optim.AdamW(learns, fused=True), torch.full((batch, length), 5)

        def run() -> None:
            module(**embedded(model, batch, length), labels=tokens).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        run()
        seen = tracker.MemTracker()
        seen.track_external(module, optimizer, tokens)
        with seen:
            run()
        return int(sum(of["Total"] for of in seen.get_tracker_snapshot("peak").values()))
