"""Collectives are derived: which ones, over which devices, how many bytes; against the literature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sympy import simplify, symbols

from roofline.compression.quantization import quantized
from roofline.compression.recipes import read_recipe
from roofline.cost.cost import step_cost
from roofline.engines.library import load_engine
from roofline.errors import ShapeError, UsageError
from roofline.models.model import load_model
from roofline.number import exact
from roofline.parallelism.layout import Layout, Mesh
from roofline.parallelism.pipeline import layer_count
from roofline.parallelism.sharded_backward import shard_training
from roofline.parallelism.sharding import shard
from roofline.program.conventions import Conventions
from roofline.program.merging import run_by
from roofline.program.op import PerElement, Tensor, elementwise
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.training import training_program
from roofline.program.transfers import bus_bytes
from roofline.program.workload import Precision

HALF = Precision("bf16", "bf16", "bf16")


def collectives(group: Group) -> list[str]:
    """What a group says, in order: ``out_proj.all_reduce over tp 8``."""
    return [f"{op.name} over {op.transfer.over} {op.transfer.devices}" for op in group.ops if op.transfer]


def group_of(program: Program, name: str, phase: str = Phase.PREFILL) -> Group:
    """A group by name and phase."""
    (group,) = (group for group in program.groups if group.name == name and phase in group.phases)
    return group


def sharded(name: str, layout: Layout, conventions: Conventions | None = None) -> Program:
    return shard(load_model(name).program(conventions), layout)


def training(model: str, layout: Layout, zero: int = 0) -> Program:
    """The training step of a model on one device."""
    return shard_training(training_program(load_model(model).program(Conventions(lm_head="all"))), layout, zero=zero)


def backward_of(model: str, layout: Layout) -> dict[str, Group]:
    """The groups of a backward pass by name."""
    step = training(model, layout)
    return {group.name: group for group in step.groups if Phase.BACKWARD in group.phases}


def messages(group: Group, **sizes: Any) -> dict[str, Any]:
    """Bytes of each message of a group in half precision."""
    return {op.name: op.message_bytes(group.sizes(sizes), HALF.width) for op in group.ops if op.transfer}


def test_megatron_has_two_all_reduces_forward_and_two_backward() -> None:
    """Shoeybi et al. 2019 (arXiv 1909.08053), section 3 and figure 4: the operators f and g."""
    for model in ("gpt2", "llama-2-7b", "llama-3.1-8b"):
        layer = group_of(sharded(model, Layout(tp=4)), "layers")
        assert collectives(layer) == ["out_proj.all_reduce over tp 4", "down.all_reduce over tp 4"]
        back = backward_of(model, Layout(tp=4))
        said = collectives(back["layers"])
        assert len(said) == 2
        assert all(name.endswith(".all_reduce over tp 4") for name in said)
        assert ("up.h'" if model == "gpt2" else "gate.h'.sum") in said[0]
        assert "proj.h'" in said[1]
        assert collectives(back["head"])[-1] == "lm_head.h'.all_reduce over tp 4"


def test_bytes_of_tensor_parallelism_are_those_of_narayanan() -> None:
    """Narayanan et al. 2021 (arXiv 2104.04473), section 3.2: 8 b s h (t - 1)/t elements per layer and microbatch."""
    b, s, h, t = symbols("b s h t", positive=True)
    said = [group_of(sharded("gpt2", Layout(tp=4)), "layers"), backward_of("gpt2", Layout(tp=4))["layers"]]
    sent = 0
    for group in said:
        for message in messages(group, B=b, T=s, S=s, D=h).values():
            sent += bus_bytes("all_reduce", message, t)
    assert simplify(sent / 2 - 8 * b * s * h * (t - 1) / t) == 0  # two bytes an element


def test_sequence_parallelism_scatters_and_gathers() -> None:
    """Korthikanti et al. 2022 (arXiv 2205.05198), section 4.2.2 and figure 5: as many bytes as all-reduces."""
    layer = group_of(sharded("gpt2", Layout(tp=4, sp=4)), "layers")
    assert collectives(layer) == [
        "qkv_proj.all_gather over tp 4",
        "out_proj.reduce_scatter over tp 4",
        "up.all_gather over tp 4",
        "down.reduce_scatter over tp 4",
    ]
    b, s, h = symbols("b s h", positive=True)
    plain = group_of(sharded("gpt2", Layout(tp=4)), "layers")
    sent, reduced = (
        sum(
            bus_bytes(op.transfer.operation, op.message_bytes(group.sizes({"B": b, "T": s, "D": h}), HALF.width), 4)
            for op in group.ops
            if op.transfer
        )
        for group in (layer, plain)
    )
    assert simplify(sent - reduced) == 0


def test_sequence_parallelism_backward_gathers_once_more() -> None:
    """Korthikanti et al. 2022, section 4.2.2: the part that was kept of the input is gathered again."""
    back = backward_of("gpt2", Layout(tp=4, sp=4))["layers"]
    kinds = [op.transfer.operation for op in back.ops if op.transfer and "B" in op.writes[0].letters]
    assert sorted(kinds) == ["all_gather"] * 4 + ["reduce_scatter"] * 2


def sent_of_replicas(layout: Layout, zero: int) -> Any:
    """What a device sends, in one step of a small Llama, in collectives over data and context parallelism alone."""
    step, total = training("llama-3.2-1b", layout, zero), 0
    for group in step.groups:
        sizes = group.sizes({"B": exact(2), "T": exact(64), "S": exact(64), **step.sizes})
        for op in group.ops:
            if op.transfer and "B" not in op.writes[0].letters:
                message = op.message_bytes(sizes, HALF.width)
                total += group.times(sizes) * bus_bytes(op.transfer.operation, message, op.transfer.devices)
    return total


@pytest.mark.parametrize("layout", [Layout(dp=8), Layout(tp=2, dp=4), Layout(cp=2, dp=2)])
def test_zero_sends_as_much_as_data_parallelism_but_with_split_weights_half_as_much_again(layout: Layout) -> None:
    """ZeRO (arXiv 1910.02054), section 7: 2 x the parameters with or without stages 1 and 2, 3 x with stage 3."""
    plain, *split, all_split = (sent_of_replicas(layout, zero) for zero in range(4))
    assert split == [plain, plain]
    if layout.tp == 1:
        part = 1 - exact(1) / (layout.dp * layout.cp)
        table = 128256 * 2048  # tied: gathered for the head as well as for the embedding
        assert plain == 2 * 2 * load_model("llama-3.2-1b").parameters * part
        assert all_split == plain * 3 / 2 + 2 * table * part
    assert all_split > plain * 3 / 2


def test_weights_gradients_are_summed_over_replicas_and_what_shares_tokens() -> None:
    said = collectives(backward_of("gpt2", Layout(tp=2, sp=2, dp=3))["layers"])
    over = {name.split(".all_reduce")[0]: name.rsplit(" over ", 1)[1] for name in said if "all_reduce" in name}
    assert over["up.w_up'"] == "dp 3"  # its inputs are gathered over tp
    assert over["ffn_norm.backward"] == "tp+dp 6"  # each device norms its tokens
    assert collectives(backward_of("gpt2", Layout())["layers"]) == []


def test_the_loss_over_a_shared_vocabulary_reduces_three_numbers_for_each_token() -> None:
    """Megatron-LM (arXiv 1909.08053), section 3: B T numbers and not B T V."""
    step = training("llama-3.1-8b", Layout(tp=8))
    head = group_of(step, "head", Phase.FORWARD)
    assert list(messages(head, B=1, T=8192, **step.sizes).values()) == [8192 * 4] * 3
    assert collectives(group_of(step, "head", Phase.BACKWARD)) == ["lm_head.h'.all_reduce over tp 8"]


def test_experts_exchange_twice_forward_and_twice_backward() -> None:
    """GShard (arXiv 2006.16668), section 3: tokens go to their experts and come back, and so do gradients."""
    step = training("mixtral-8x7b", Layout(dp=4, ep=4))
    for phase in (Phase.FORWARD, Phase.BACKWARD):
        said = [op.transfer.operation for op in group_of(step, "layers", phase).ops if op.transfer]
        assert said.count("all_to_all") == 2
        assert phase is Phase.BACKWARD or len(said) == 2
    reduced = collectives(group_of(step, "layers", Phase.BACKWARD))
    assert not [name for name in reduced if name.startswith("experts_") and "all_reduce" in name]  # they are no copies


def test_context_parallelism_gathers_keys_and_scatters_their_gradients() -> None:
    """Llama 3 (arXiv 2407.21783), section 3.3.2."""
    said = collectives(backward_of("llama-3.1-8b", Layout(cp=4))["layers"])
    assert said[:4] == [
        "attention.backward.all_gather over cp 4",
        "attention.backward.all_gather_v_cache over cp 4",
        "attention.backward.reduce_scatter over cp 4",
        "attention.backward.reduce_scatter_v_cache' over cp 4",
    ]
    assert all("all_reduce" in name for name in said[4:])


def test_an_unknown_stage_of_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="zero 4: expected 0, 1, 2 or 3"):
        training("gpt2", Layout(dp=2), 4)


@pytest.mark.parametrize("name", ["gpt-j-6b", "falcon-7b", "gpt-neox-20b", "command-r"])
def test_a_parallel_block_reduces_once(name: str) -> None:
    """Chowdhery et al. 2022, PaLM (arXiv 2204.02311), section 2, parallel layers; Wang and Komatsuzaki 2021, GPT-J."""
    degree = 1 if name == "falcon-7b" else 8  # 71 query heads
    layer = group_of(sharded(name, Layout(tp=degree)), "layers")
    assert collectives(layer) == ([f"out_proj+down.all_reduce over tp {degree}"] if degree > 1 else [])


def test_vocabulary_parallel_embedding_and_head() -> None:
    """Megatron-LM (arXiv 1909.08053), section 3: the embedding's partial rows are reduced, the logits gathered."""
    program = sharded("llama-3.1-8b", Layout(tp=8))
    assert collectives(group_of(program, "embedding")) == ["token_embedding.all_reduce over tp 8"]
    assert collectives(group_of(program, "head")) == ["sampling.all_gather over tp 8"]
    head = group_of(program, "head")
    assert messages(head, B=16, T=4096, S=4096, **program.sizes) == {"sampling.all_gather": 16 * 128256 * 2}


def test_fewer_kv_heads_than_devices() -> None:
    """K becomes 1 and G splits: 8 heads of 4 queries over 16 devices are 1 of 2."""
    layer = group_of(sharded("llama-3.1-8b", Layout(tp=16)), "layers")
    sizes = {
        "B": exact(1),
        "T": exact(1),
        "S": exact(1),
        "K": exact(8),
        "G": exact(4),
        "H": exact(128),
        "D": exact(4096),
    }
    attention = next(op for op in layer.ops if op.name == "attention")
    assert {letter: attention.local[letter](sizes) for letter in "KG"} == {"K": 1, "G": 2}  # type: ignore[operator]
    assert len(collectives(layer)) == 2


def test_a_norm_across_heads_needs_all_of_them() -> None:
    """OLMo 2 (arXiv 2501.00656), section 2.1: queries and keys are normed over all heads together, unlike Qwen3's."""
    layer = group_of(sharded("olmo-2-7b", Layout(tp=8)), "layers")
    assert collectives(layer)[:2] == ["qk_norm.all_gather over tp 8", "qk_norm.all_gather_k_cache over tp 8"]
    assert len(collectives(group_of(sharded("qwen3-8b", Layout(tp=8)), "layers"))) == 2


def test_experts_by_all_to_all() -> None:
    """GShard (arXiv 2006.16668), section 3.2: tokens go to their experts and back; A copies of D elements each."""
    program = sharded("mixtral-8x7b", Layout(dp=8, ep=8))
    layer = group_of(program, "layers")
    assert collectives(layer) == ["experts_gate_up.all_to_all over ep 8", "experts_sum.all_to_all over ep 8"]
    sent = messages(layer, B=exact(4), T=exact(100), S=exact(100), **program.sizes)
    assert set(sent.values()) == {4 * 100 * 2 * 4096 * 2}  # B T A D elements of two bytes, of one replica


def test_experts_within_tensor_parallelism_reduce_with_the_shared_ones() -> None:
    """Tokens are everywhere, so nothing is sent to experts; theirs and the shared expert's partial sums are one."""
    layer = group_of(sharded("deepseek-v3", Layout(tp=8, ep=8)), "expert_layers")
    assert collectives(layer) == ["out_proj.all_reduce over tp 8", "shared_sum.all_reduce over tp 8"]


def test_sequences_split_over_experts() -> None:
    layer = group_of(sharded("qwen3-30b-a3b", Layout(tp=8, ep=8, sp=8)), "layers")
    assert [name.split(" over")[0] for name in collectives(layer)] == [
        "q_proj.all_gather",
        "out_proj.reduce_scatter",
        "experts_gate_up.all_to_all",
        "experts_sum.all_to_all",
    ]


def test_context_parallelism() -> None:
    """Llama 3 (arXiv 2407.21783), section 3.3.2: keys and values are gathered; a decode step reads its own.

    The contexts of parts of a cache are weighed by the logarithms of their sums.
    """
    program = sharded("llama-3.1-8b", Layout(cp=4))
    assert collectives(group_of(program, "layers")) == [
        "attention.all_gather over cp 4",
        "attention.all_gather_v_cache over cp 4",
    ]
    assert collectives(group_of(program, "layers", Phase.DECODE)) == [
        "attention.all_gather_lse over cp 4",
        "attention.all_reduce over cp 4",
    ]
    latent = group_of(sharded("deepseek-v3", Layout(cp=4)), "dense_layers")
    assert collectives(latent) == ["kv_up.all_gather over cp 4", "attention.all_gather over cp 4"]


def test_a_pipeline_sends_what_one_layer_leaves_to_the_next() -> None:
    """vLLM hands on hidden states and residual; the post-norm layers of BERT have one stream."""
    program = sharded("llama-3.1-8b", Layout(tp=2, pp=4))
    stages = group_of(program, "pipeline")
    assert [op.name for op in stages.ops] == ["send_x", "send_h"]
    assert stages.times(program.sizes) == 3
    assert {op.transfer.stride for op in stages.ops if op.transfer} == {2}
    assert [op.name for op in group_of(sharded("bert-base", Layout(pp=4)), "pipeline", Phase.ENCODE).ops] == ["send_x"]


def test_a_norm_that_does_not_say_what_it_runs_over_is_refused() -> None:
    norm = elementwise("new_norm", [Tensor("x", "B T D")], Tensor("h", "B T D"), PerElement(3), kind="norm")
    with pytest.raises(ShapeError, match="new_norm: a norm that states no mixes"):
        Mesh(Layout(tp=2), Phase.PREFILL).splits(Group("layers", (norm,)), norm)


def test_one_device_says_nothing() -> None:
    for name in ("gpt2", "bert-base", "mixtral-8x7b", "deepseek-v3"):
        program = load_model(name).program()
        alone = shard(program, Layout())
        assert not any(op.transfer for group in alone.groups for op in group.ops)
        sizes = {"B": exact(2), "T": exact(8), "S": exact(8)}
        for phase in program.phases:
            before, after = (step_cost(each, phase, sizes, HALF) for each in (program, alone))
            assert before == after


def test_a_gather_of_a_cache_is_an_activation() -> None:
    """Each device keeps its part of the cache; what it gathers for a layer is gone with the layer."""
    program = sharded("llama-3.1-8b", Layout(cp=4))
    layer = group_of(program, "layers")
    (attention,) = (op for op in layer.ops if op.kind == "attention")
    assert [tensor.name for tensor in attention.reads] == ["q", "k_cache.gathered", "v_cache.gathered"]
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    held = sizes | {"B": exact(1), "T": exact(1), "S": exact(4096)}
    per_layer = sum(program.resident(*stated, held) for stated in program.caches()) / 32
    assert per_layer == 2 * 8 * 128 * 4096 / 4


def test_a_pipeline_spreads_the_stacked_groups_whatever_their_names() -> None:
    program = load_model("gpt2").program()
    renamed = [replace(group, name=f"{group.name}_of_gpt2") for group in program.groups]
    assert layer_count(replace(program, groups=tuple(renamed))) == 12
    assert layer_count(replace(program, groups=tuple(replace(group, stacked=False) for group in renamed))) == 0


@pytest.mark.parametrize(
    ("engine", "dtype", "width"),
    [
        ("vllm", "fp8-block", 1 + 4 / 128),  # a scale in fp32 for each 128 elements
        ("vllm", "fp8", 2),  # one for each token
        ("tensorrt-llm", "fp8-block", 2),
        ("tensorrt-llm", "nvfp4", 0.5 + 1 / 16),
    ],
)
def test_tokens_go_to_experts_as_narrow_as_an_engine_sends_them_and_come_back_wide(
    engine: str, dtype: str, width: float
) -> None:
    recipe, network = read_recipe(dtype, default="bf16"), load_model("qwen3-30b-a3b").program()
    program = shard(run_by(load_engine(engine), quantized(network, recipe)), Layout(dp=8, ep=8))
    group = group_of(program, "layers", Phase.DECODE)
    sent, back = messages(group, **program.sizes, B=4, T=1, S=9).values()
    pairs = 4 * 8 * program.sizes["D"]  # tokens of a replica, each to 8 experts
    assert float(sent) == pairs * width
    assert float(back) == pairs * 2
