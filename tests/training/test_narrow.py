"""Matmuls in fp8: what is cast, what multiplies narrow, what is saved, gathered and kept so; all else stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import roofline
from roofline.errors import RooflineError
from roofline.program.phases import Phase
from roofline.training.kept.narrow import CAST
from roofline.training.step import TrainingStep

ASKED: dict[str, Any] = {"batch": 8, "sequence": 2048, "tp": 1, "pp": 1, "cp": 1, "microbatch": 1, "recompute": "none"}


def step(model: str = "llama-3.2-1b", hardware: str = "8xh100", **options: Any) -> TrainingStep:
    return roofline.train(model, hardware, **{**ASKED, **options}).step


def test_matrices_of_layers_multiply_narrow_in_all_three_matmuls() -> None:
    found = step(dtype="fp8-mixed", zero=1)
    computed: dict[str, set[str]] = {}
    for each in found.steps.passes.operators:
        if each.cause.startswith("matmul"):
            computed.setdefault("layers" if each.place == 1 else "head", set()).add(each.cost.dtype)
    assert computed == {"layers": {"fp8"}, "head": {"bf16"}}
    assert found.flops == step(dtype="bf16-mixed", zero=1).flops


def test_each_operand_is_cast_once() -> None:
    network = step(dtype="fp8-mixed", zero=1).question.network
    for group in (each for each in network.step.groups if each.stacked):
        casts = [op for op in group.ops if op.function == CAST]
        read = {t.name for op in group.ops for t in op.reads if t.dtype == "fp8" and t.role == "activation"}
        # h, context, h, m forward; of u', g', q', k', v' and of x' before each half of the layer backward
        assert len(casts) == (7 if Phase.BACKWARD in group.phases else 4)
        assert {name for name in read if name.endswith("t")} == (
            {"h.fp8t", "context.fp8t", "m.fp8t", "x'.fp8t", "u'.fp8t", "g'.fp8t", "q'.fp8t", "k_cache'.fp8t",
             "v_cache'.fp8t"} if Phase.BACKWARD in group.phases else set[str]()
        )  # fmt: skip


def test_what_matmuls_alone_read_back_is_saved_narrow() -> None:
    narrow, wide = (
        {(s.group.name, s.op.name, s.tensor.name, s.tensor.dtype): s
         for s in step(dtype=name, zero=1).question.network.saved(step(zero=1).choice.policy)}
        for name in ("fp8-mixed", "bf16-mixed")
    )  # fmt: skip
    assert {name for *_, name, dtype in narrow if dtype == "fp8"} == {"h", "m", "context"}
    assert ("layers", "act", "m", "") in wide
    assert ("layers", "act", "m", "") not in narrow
    assert ("layers", "attention", "context", "") in narrow  # attention's own backward pass reads it wide
    last = narrow["layers", "output_norm", "h", ""]
    assert (last.before, last.last) == (False, True)  # which the head reads


def test_a_layer_saves_what_arithmetic_says() -> None:
    held = {name: step(dtype=name, zero=1).memory["first"] for name in ("fp8-mixed", "bf16-mixed")}
    network, tokens = step().question.network, 2048
    width, ffn, layers = (network.program.sizes[x] for x in ("D", "F", "L"))
    heads = network.program.sizes["K"] * network.program.sizes["G"] * network.program.sizes["H"]
    # each layer keeps what two norms give it and m in 1 byte for 2, and context in 1 besides
    less = tokens * layers * (2 * width + ffn - heads)
    assert held["bf16-mixed"].saved - held["fp8-mixed"].saved == less
    matrices = sum(float(w.elements) for w in step(dtype="fp8-mixed", zero=1).steps.memory.weights if w.narrow)
    assert held["fp8-mixed"].weights - held["bf16-mixed"].weights == 2 * matrices
    assert held["fp8-mixed"].optimizer == held["bf16-mixed"].optimizer


def test_fsdp_gathers_as_wide_as_it_casts() -> None:
    plain, behind, before = (step(dtype=name) for name in ("bf16-fsdp", "fp8-fsdp", "fp8-fsdp-gather"))
    assert plain.memory["first"].saved == behind.memory["first"].saved == before.memory["first"].saved
    fetched = [
        float(np.ravel(each.steps.passes.exchanges[0].fetched[1].bound_s)[0]) for each in (plain, behind, before)
    ]
    assert fetched[0] == fetched[1]
    assert 0.5 * fetched[0] <= fetched[2] < 0.51 * fetched[0]
    casts = [each.causes.get("casts", 0.0) for each in (plain, behind, before)]
    assert casts[0] == 0 < casts[2] < casts[1]
    assert before.timing.time_s < behind.timing.time_s


def test_sequences_are_gathered_narrow() -> None:
    wide, narrow = (step(dtype=name, tp=2, sp=2, dp=4, zero=1) for name in ("bf16-mixed", "fp8-mixed"))
    assert narrow.causes["tensor_parallel"] < wide.causes["tensor_parallel"]


@pytest.mark.parametrize(
    ("hardware", "options", "text"),
    [
        ("8xa100", {}, "has no fp8"),
        ("8xh100", {"lora": 8}, "frozen weights and adapters in fp8 is not modelled"),
        ("8xh100", {"zero": 3}, "zero 3: fp8-mixed keeps casts of whole weights"),
    ],
)
def test_what_cannot_be_narrow_is_refused(hardware: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(RooflineError, match=text):
        step(hardware=hardware, dtype="fp8-mixed", **options)


def test_tokens_go_to_experts_narrow_and_come_back_wide() -> None:
    """As DeepSeek-V3's: half of the bytes of dispatches, moments half as wide; nothing else of it is other."""
    asked: dict[str, Any] = {"model": "qwen3-30b-a3b", "hardware": "16xh100", "ep": 16, "batch": 32, "zero": 1}
    plain, block = (step(**asked, dtype=name) for name in ("fp8-mixed", "fp8-block"))
    ways = [_sent_bytes(found) for found in (plain, block)]
    ratios = {name: ways[1][name] / size for name, size in ways[0].items()}
    assert sorted(ratios.values()) == pytest.approx([0.5, 0.5, 1, 1])
    back = {name for name, ratio in ratios.items() if ratio == 1}
    assert back == {"experts_sum.all_to_all", "experts_gate_up.h'.all_to_all"}
    of = [found.memory["first"].optimizer for found in (plain, block)]
    assert of[1] / of[0] == pytest.approx(8 / 12)


def test_a_scale_that_all_share_brings_no_token_back_from_its_expert() -> None:
    """Four messages as in 16 bits, however a pass finds the scale of what experts wrote before it casts that."""
    asked: dict[str, Any] = {"model": "mixtral-8x7b", "hardware": "16xh100", "ep": 8, "batch": 16, "zero": 3}
    wide, dynamic = (sorted(_sent_bytes(step(**asked, dtype=name)).values()) for name in ("bf16-mixed", "fp8-fsdp"))
    assert len(dynamic) == 4
    assert dynamic == wide


def _sent_bytes(found: TrainingStep) -> dict[str, float]:
    """Bytes of what goes to experts and back, by operator."""
    own = [each for each in found.steps.passes.operators if each.cause == "expert_parallel"]
    return {each.op.name: float(np.ravel(np.asarray(each.cost.message_bytes))[0]) for each in own}
