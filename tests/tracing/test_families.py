"""Modules of transformers beside the product's own statement of them: FLOPs, parameters, bytes, time, each linear."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest

torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")

import roofline  # noqa: E402
from roofline.cost.cost import Cost, step_cost  # noqa: E402
from roofline.cost.kernel_shapes import GroupedShape, MatmulShape, RowShape  # noqa: E402
from roofline.models.model import Model, load_model  # noqa: E402
from roofline.program.conventions import Conventions  # noqa: E402
from roofline.program.phases import Phase  # noqa: E402
from roofline.program.workload import Precision  # noqa: E402
from roofline.tracing.hollow import hollow  # noqa: E402

SQUARE = Conventions(count="square", lm_head="all")
BF16 = Precision("bf16", "bf16", "bf16")
SMALL: dict[str, dict[str, int]] = {
    "llama-3.1-8b": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
                     "num_hidden_layers": 1, "vocab_size": 101, "head_dim": 16},
    "bert-base": {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96, "num_hidden_layers": 1,
                  "vocab_size": 101},
    "mixtral-8x7b": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
                     "num_hidden_layers": 1, "vocab_size": 101},
}  # fmt: skip
WHOLE = ("llama-3.1-8b", "qwen3-8b", "gpt2", "bert-base", "vit-base-patch16-224", "t5-base", "mixtral-8x7b")


@functools.cache
def both(preset: str, small: bool) -> tuple[Model, Model, int]:
    """Our statement of a preset, the trace of its module, and the module's parameters."""
    ours = load_model(preset, overrides=SMALL[preset] if small else {})
    fields = {k: v for k, v in ours.fields.items() if k not in ("model_type", "architectures", "dtype", "torch_dtype")}
    fields |= {"use_cache": False} | dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)
    config = transformers.AutoConfig.for_model(ours.model_type, **fields)
    with hollow():
        module = getattr(transformers, ours.fields["architectures"][0])(config)
    module = module.to(torch.bfloat16) if ours.model_type == "mixtral" else module  # its kernel takes nothing else
    inputs = {"pixel_values": "B,3,224,224"} if "vit" in preset else {"input_ids": "B,S"}
    inputs |= {"decoder_input_ids": "B,1"} if ours.model_type == "t5" else {}
    return ours, roofline.trace(module, inputs), sum(each.numel() for each in module.parameters())


def costs(model: Model, tokens: int) -> list[Cost]:
    phase = Phase.ENCODE if Phase.ENCODE in model.phases else Phase.PREFILL
    found = step_cost(model.program(SQUARE), phase, {"B": 4, "T": tokens, "S": tokens}, BF16)
    return [cost for cost in found if cost.kind != "host"]


def linears(found: list[Cost]) -> list[tuple[Any, ...]]:
    """Every matmul with a weight: its shape, FLOPs and bytes, and how often it runs."""
    shapes = (cost for cost in found if isinstance(cost.shape, MatmulShape))
    return sorted(
        (int(c.shape.rows), int(c.shape.depth), int(c.shape.columns), int(c.flops), int(c.bytes), int(c.count))  # type: ignore[union-attr]
        for c in shapes
    )


def check_counts(preset: str, *, small: bool) -> None:
    ours, traced, parameters = both(preset, small)
    assert traced.parameters == ours.parameters == parameters
    tokens = 197 if "vit" in preset else 50
    one, other = costs(ours, tokens), costs(traced, tokens)
    assert sum(c.count * c.flops for c in one) == sum(c.count * c.flops for c in other)
    if "vit" not in preset:  # its patches are a matmul to us and a convolution to torch
        assert linears(one) == linears(other)


@pytest.mark.parametrize("preset", SMALL)
def test_counts_and_every_linear_equal_our_own_statement(preset: str) -> None:
    check_counts(preset, small=True)


def test_experts_under_an_engine_sort_tokens_as_they_lie() -> None:
    """Shapes of their matmuls, and all FLOPs, are those of the preset; nothing but the copies is gone."""
    ours, traced, _ = both("mixtral-8x7b", True)
    conventions = (SQUARE, SQUARE, replace(SQUARE, fusion="engine"))
    one, plain, own = (
        [cost for cost in step_cost(model.program(how), phase, {"B": 4, "T": 50, "S": 50}, BF16) if cost.kind != "host"]
        for model, phase, how in zip((ours, traced, traced), (Phase.PREFILL, *[Phase.ENCODE] * 2), conventions,
                                     strict=True)
    )  # fmt: skip

    def sorts(found: list[Cost]) -> list[list[float]]:
        shapes = (cost.shape for cost in found if isinstance(cost.shape, GroupedShape))
        return [[float(s.rows), float(s.tokens), float(s.row_bytes), float(s.columns)] for s in shapes]

    assert sorts(own) == sorts(one)
    assert [each[1] for each in sorts(plain)] == [0, 0]
    assert sum(c.count * c.flops for c in own) == sum(c.count * c.flops for c in plain)
    assert sum(c.count * c.bytes for c in own) < sum(c.count * c.bytes for c in plain)
    routed = [sum(c.shape.routed for c in found if isinstance(c.shape, RowShape)) for found in (one, plain, own)]
    assert routed == [3, 0, 1]  # a module picks and sorts by operators of torch; its sum runs with the norm behind it


@pytest.mark.slow
@pytest.mark.parametrize("tp", [1, 2, 4])
def test_mixtral_takes_as_long_under_an_engine_whatever_its_layout(tp: int) -> None:
    """All but the logits, which the plan of transformers gathers."""
    ours, traced, _ = both("mixtral-8x7b", False)
    hardware = "h100" if tp == 1 else f"{tp}xh100"
    asked = {"batch": 4, "prompt": 2048, "engine": "vllm", "tp": tp}
    one = roofline.predict(ours, hardware, **asked, generate=1, lm_head="all", phase="prefill")
    other = roofline.predict(traced, hardware, **asked)
    left = []
    for each in (one, other):
        (phase,) = each.phases.values()
        head = [op for op in phase.operators if op.name.startswith(("lm_head", "sampling"))]
        left.append(phase.figures.time_s - sum(op.figures.time_s for op in head))
    assert left[1] == pytest.approx(left[0], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("preset", WHOLE)
def test_whole_models_equal_our_own_statement_and_take_as_long(preset: str) -> None:
    ours, traced, parameters = both(preset, False)
    asked = {
        "batch": 4,
        "engine": "torch",
        "count": "square",
        "dtype": "bf16",
        **({"prompt": 512} if "vit" not in preset else {}),
    }
    own = {"generate": 1, "lm_head": "all"} if Phase.PREFILL in ours.phases else {}
    one, other = roofline.predict(ours, "h100", **asked, **own), roofline.predict(traced, "h100", **asked)
    assert other.parameters == one.parameters == parameters
    assert sum(int(phase.figures.flops) for phase in one.phases.values()) == int(
        other.phases[Phase.ENCODE].figures.flops
    )
    assert other.memory.footprint.weights_bytes == one.memory.footprint.weights_bytes
    assert other.memory.footprint.activation_bytes == pytest.approx(one.memory.footprint.activation_bytes, rel=0.001)
    assert other.request_s == pytest.approx(one.request_s, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["llama-3.1-8b", "qwen3-8b"])
@pytest.mark.parametrize("layout", [{"tp": 4}, {"pp": 4}, {"tp": 2, "pp": 2}], ids=str)
def test_llama_takes_as_long_as_our_own_statement_in_a_layout(preset: str, layout: dict[str, int]) -> None:
    """All but the logits, which the plan of transformers gathers: FLOPs and all-reduces to the digit."""
    ours, traced, _ = both(preset, False)
    asked = {"batch": 4, "prompt": 2048, "engine": "torch-compile", "count": "square", "dtype": "bf16", **layout}
    one = roofline.predict(ours, "4xh100", **asked, generate=1, lm_head="all")
    other = roofline.predict(traced, "4xh100", **asked)
    seen, said = (next(iter(each.phases.values())) for each in (one, other))
    gathered = sum(op.figures.time_s for op in said.operators if op.name == "lm_head.all_gather")
    assert said.figures.flops == seen.figures.flops
    assert other.memory.footprint.weights_bytes == one.memory.footprint.weights_bytes
    assert other.request_s - gathered == pytest.approx(one.request_s, rel=0.05)
    reduced = [[op.figures.bytes for op in each.operators if op.name.endswith("all_reduce")] for each in (seen, said)]
    assert reduced[0] == reduced[1]
