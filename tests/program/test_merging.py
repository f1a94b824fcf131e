"""Merging and folding: the same work, parameters and caches in fewer kernels, never in more bytes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from grids import paired

from roofline.compression.quantization import quantized
from roofline.compression.recipes import Checkpoint, read_recipe
from roofline.cost.cost import Cost, step_cost
from roofline.cost.kv_cache import cache_bytes
from roofline.cost.residency import weights_bytes
from roofline.engines.library import load_engine
from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharding import shard
from roofline.program.merging import merged
from roofline.program.phases import Phase
from roofline.program.program import Program

RECIPES = ("bf16", "fp8", "w8a8", "w4a16", "fp8-block", "nvfp4", "int8", "fp8-tensor")
ENGINES = ("vllm", "tensorrt")
"""One that merges most, one that folds most."""


def stored(model: str, recipe: str) -> tuple[Program, Any]:
    read = read_recipe(recipe, default="bf16", checkpoint=Checkpoint())
    return quantized(load_model(model).program(), read), read.precision


def run(program: Program, engine: str) -> Program:
    record = load_engine(engine)
    return merged(program, record.merges, record.folds)


def costs(program: Program, phase: Phase, precision: Any) -> tuple[Cost, ...]:
    sizes = {"B": 2, "T": 1 if phase.one_token else 32, "S": 32, "M": 32}
    return step_cost(program, phase, {letter: Fraction(size) for letter, size in sizes.items()}, precision)


def whole(found: tuple[Cost, ...], name: str) -> Any:
    return sum(getattr(cost, name) * cost.count for cost in found)


def check(model: str, recipe: str, engine: str, layout: Layout | None = None) -> None:
    program, precision = stored(model, recipe)
    one = run(program, engine)
    sizes = {letter: Fraction(size) for letter, size in program.sizes.items()}
    assert one.parameters() == program.parameters()
    assert weights_bytes(one, sizes, precision) == weights_bytes(program, sizes, precision)
    held = {**sizes, "B": Fraction(2), "T": Fraction(1), "S": Fraction(32), "M": Fraction(32)}
    assert cache_bytes(one, held, precision) == cache_bytes(program, held, precision)
    if layout is not None:
        program, one = shard(program, layout), shard(one, layout)
    for phase in program.phases:
        before, after = costs(program, phase, precision), costs(one, phase, precision)
        for name in ("flops", "vector_flops", "special", "message_bytes"):
            assert whole(after, name) == whole(before, name), (phase, name)
        assert whole(after, "bytes") <= whole(before, "bytes")
        assert sum(cost.count for cost in after) <= sum(cost.count for cost in before)


SAMPLE = "llama-3.2-1b gpt2 deepseek-v3 qwen3-30b-a3b bert-base clip-vit-base-patch32 t5-small falcon-h1-0.5b".split()


@pytest.mark.parametrize(("model", "recipe"), paired([m for m in preset_names() if m in SAMPLE], RECIPES))
def test_merged_and_unmerged_count_alike(model: str, recipe: str) -> None:
    for engine in ENGINES:
        check(model, recipe, engine)


@pytest.mark.slow
@pytest.mark.parametrize("model", preset_names())
def test_every_preset_counts_alike(model: str) -> None:
    for recipe in RECIPES[:4]:
        for engine in ENGINES:
            check(model, recipe, engine)


@pytest.mark.parametrize("layout", [{"tp": 8}, {"tp": 4, "pp": 2}, {"tp": 2, "dp": 2, "sp": 2}])
@pytest.mark.parametrize(("model", "recipe"), [("llama-3.1-70b", "fp8"), ("deepseek-v3", "bf16")])
def test_devices_that_share_the_work_count_alike(model: str, recipe: str, layout: dict[str, int]) -> None:
    check(model, recipe, "vllm", Layout.of(**layout))


def names(program: Program, group: str = "layers") -> list[str]:
    found = next(each for each in program.groups if each.name == group)
    return [op.name for op in found.ops]


def test_a_llama_layer_as_vllm_runs_it() -> None:
    """qkv_proj and gate_up are one each; what quantises stands with the activation and the norm before it."""
    wanted = ["qkv_proj", "rotary", "attention", "out_proj", "ffn_norm", "gate_up", "act", "down", "output_norm"]
    assert names(run(stored("llama-3.1-8b", "bf16")[0], "vllm")) == wanted
    narrow = names(run(stored("llama-3.1-8b", "fp8")[0], "vllm"))
    assert [name for name in narrow if name not in wanted] == ["q_proj.quantize", "out_proj.quantize"]


def test_a_bert_layer_as_tensorrt_runs_it() -> None:
    wanted = ["qkv_proj", "attention", "out_proj", "ffn_norm", "up", "down", "output_norm"]
    assert names(run(stored("bert-base", "bf16")[0], "tensorrt")) == wanted


def test_latent_attention_reads_its_input_once() -> None:
    program, precision = stored("deepseek-v3", "bf16")
    one = run(program, "vllm")
    (down,) = [cost for cost in costs(one, Phase.DECODE, precision) if cost.name == "qkv_down"][:1]
    c = load_model("deepseek-v3").config
    width = c.q_lora_rank + c.kv_lora_rank + c.qk_rope_head_dim  # type: ignore[attr-defined]
    hidden = c.hidden_size  # type: ignore[attr-defined]
    assert down.flops == 2 * 2 * hidden * width  # 2 tokens
    assert down.bytes == 2 * (2 * hidden + hidden * width + 2 * width)  # read x once, read w, write y


def test_weights_that_are_stored_otherwise_are_not_merged() -> None:
    """Attention in 16 bits beside narrow experts: gate and up of neither half are mixed with the other's."""
    from dataclasses import replace

    program, _ = stored("llama-3.2-1b", "bf16")

    def narrowed(tensor: Any) -> Any:
        return replace(tensor, dtype="fp8") if tensor.name == "w_v" else tensor

    from roofline.compression.weight_matmuls import mapped

    groups = tuple(replace(g, ops=tuple(mapped(op, narrowed) for op in g.ops)) for g in program.groups)
    assert names(run(replace(program, groups=groups), "vllm"))[:3] == ["q_proj", "k_proj", "v_proj"]


def test_a_weight_that_is_used_twice_stays_where_it_is() -> None:
    """DeBERTa projects positions with the weights of q_proj and k_proj."""
    program, _ = stored("deberta-v3-base", "bf16")
    assert "qkv_proj" not in {op.name for group in run(program, "vllm").groups for op in group.ops}
