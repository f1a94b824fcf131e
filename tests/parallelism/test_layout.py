"""Axes and degrees: what is refused, what all devices have together, and how layouts are written."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from grids import examples, paired, quick
from hypothesis import HealthCheck, assume
from hypothesis import strategies as st
from strategies import ARCHITECTURES, model_configs

from roofline.cost.cost import step_cost
from roofline.errors import UsageError, WorkloadError
from roofline.models.model import load_model
from roofline.number import exact
from roofline.options.groups import Degrees
from roofline.options.option import fields_of
from roofline.parallelism.dimensions import DEGREES, DIMENSIONS
from roofline.parallelism.divisibility import can_split, check_layout
from roofline.parallelism.layout import MESH, Layout
from roofline.parallelism.replication import replicated_weights, replicated_work
from roofline.parallelism.sharding import shard
from roofline.program.axes import rebind
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import Precision, Workload

HALF = Precision("bf16", "bf16", "bf16")
WORK = Workload(16, 64, 8)


def degrees() -> st.SearchStrategy[Layout]:
    """Layouts of powers of two, and of three."""
    some = st.sampled_from((1, 2, 3, 4, 8))

    def layout(split: bool, **degrees: int) -> Layout:
        return Layout(**degrees, sp=degrees["tp"] if split else 1)

    return st.builds(layout, tp=some, dp=some, ep=some, cp=some, split=st.booleans())


def whole_sizes(workload: Workload, phase: str) -> dict[str, Fraction]:
    tokens = 1 if phase == Phase.DECODE else workload.prompt
    prompt = exact(workload.prompt)
    return {"B": exact(workload.batch), "T": exact(tokens), "S": prompt, "M": prompt}


def check_sums(program: Program, layout: Layout, workload: Workload) -> None:
    """Parameters and FLOPs of all devices are those of the whole and what is listed as replicated."""
    devices = layout.tp * layout.dp * layout.cp
    # Replicas compare their own texts and images alone, which is less than all pairs of the whole batch.
    groups = tuple(group for group in program.groups if group.name != "similarity")
    program = replace(program, groups=groups)
    sharded = shard(program, layout)
    sizes = {letter: exact(size) for letter, size in program.sizes.items()}
    held = sharded.parameters({**sizes, "B": exact(1), "T": exact(1), "S": exact(64), "M": exact(64)}) * devices
    assert held == program.parameters(sizes) + sum(each.surplus for each in replicated_weights(program, layout))
    for phase in program.phases:
        outer = whole_sizes(workload, phase)
        whole = sum(cost.count * cost.flops for cost in step_cost(program, phase, outer, HALF))
        local = {**outer, "B": outer["B"] / layout.dp}
        one = sum(cost.count * cost.flops for cost in step_cost(sharded, phase, local, HALF))
        surplus = sum(each.surplus for each in replicated_work(program, layout, phase, outer))
        assert float(one * devices) == pytest.approx(float(whole + surplus), rel=1e-12, abs=0)


@examples(  # few layouts divide so small a network
    model_configs(), degrees(), few=20, many=300, suppress=[HealthCheck.filter_too_much]
)
def test_all_devices_together_are_the_whole_and_the_replicated_part(config: dict[str, Any], layout: Layout) -> None:
    program = load_model(config).program()
    try:
        check_layout(layout, program, program.phases, WORK, "it")
    except WorkloadError:
        assume(False)
    check_sums(program, layout, WORK)


LAYOUTS = [Layout(tp=2), Layout(tp=4, sp=4), Layout(cp=4), Layout(tp=2, dp=2, ep=4, cp=2)]


@pytest.mark.parametrize(
    ("name", "layout"), quick(paired(ARCHITECTURES, LAYOUTS), of=itertools.product(ARCHITECTURES, LAYOUTS))
)
def test_every_architecture_at_full_size(name: str, layout: Layout) -> None:
    program = load_model(name).program()
    if layout.ep > 1 and "E" not in program.sizes:
        layout = Layout(tp=layout.tp, dp=layout.dp, cp=layout.cp)
    try:
        check_layout(layout, program, program.phases, WORK, name)
    except WorkloadError as refused:
        pytest.skip(str(refused))
    check_sums(program, layout, WORK)


@pytest.mark.parametrize(
    ("name", "layout", "copies"),
    [
        ("mixtral-8x7b", Layout(dp=3, ep=3), 1),
        ("mixtral-8x7b", Layout(tp=4, dp=3, ep=12), 4),
        ("deepseek-v2-lite", Layout(tp=2, dp=36, ep=72), 8),
    ],
)
def test_redundant_experts_fill_devices_up(name: str, layout: Layout, copies: int) -> None:
    """Each device holds as many; the work is that of the whole, and no device reads more experts than it holds."""
    program = load_model(name).program()
    work = replace(WORK, batch=144)
    check_layout(layout, program, program.phases, work, name)
    check_sums(program, layout, work)
    experts = program.sizes["E"]
    assert layout.redundant_experts(experts) == copies
    more = {each.name: each.surplus / each.whole for each in replicated_weights(program, layout)}
    assert more["w_expert_down"] == Fraction(copies, experts)
    places = (experts + copies) // int(layout.ep)
    for group, op in shard(program, layout).in_phase(Phase.DECODE):
        if op.name == "experts_down":
            few, many = (
                float(rebind(group.sizes({**program.sizes, "B": tokens, "T": 1.0, "S": 64.0}), op.local)["X"])
                for tokens in (1.0, 1e6)
            )
            assert 0 < few < many == pytest.approx(places)


SHARED = [  # devices of tp hold a latent, or the same key/value head, alike
    ("deepseek-v2-lite", Layout(tp=8, dcp=8)),
    ("deepseek-v2-lite", Layout(tp=8, ep=2, dcp=8)),
    ("deepseek-v2-lite", Layout(tp=4, dp=2, ep=8, cp=2, dcp=2, sp=4)),
    ("qwen3-30b-a3b", Layout(tp=16, ep=4, dcp=2)),
    ("qwen3-30b-a3b", Layout(tp=8, dcp=2, sp=8)),
    ("gemma-3-1b", Layout(tp=4, cp=2, dcp=4)),
]


def carried(program: Program) -> float:
    """Elements of caches on one device, of sequences longer than any window."""
    sizes = {**program.sizes, "B": 1, "T": 1, "S": 1 << 20, "M": 64}
    return float(sum(program.resident(group, op, tensor, sizes) for group, op, tensor in program.caches()))


@pytest.mark.parametrize(("name", "layout"), SHARED)
def test_a_cache_split_by_position_over_tensor_parallel_devices(name: str, layout: Layout) -> None:
    """All work is done once, each device holds its part of the cache, and prompts are read as without."""
    program, alike = load_model(name).program(), replace(layout, dcp=1)
    work = replace(WORK, prompt=128)
    check_layout(layout, program, program.phases, work, name)
    check_sums(program, layout, work)
    apart, whole = shard(program, layout), shard(program, alike)
    assert carried(apart) == pytest.approx(carried(whole) / layout.dcp, rel=1e-12)
    for phase in (Phase.DECODE, Phase.PREFILL):
        sizes = {"B": 2.0, "T": 1.0 if phase.one_token else 128.0, "S": 128.0}
        flops = [
            sum(float(cost.count * cost.flops) for cost in step_cost(each, phase, sizes, HALF))
            for each in (apart, whole)
        ]
        assert flops[0] == pytest.approx(flops[1], rel=1e-12)


@pytest.mark.parametrize("name", ["qwen3-next-80b-a3b", "kimi-linear-48b-a3b", "minimax-text-01", "gemma-3-4b"])
def test_a_split_cache_leaves_the_heads_of_states_and_towers_where_they_are(name: str) -> None:
    """Recurrent states, weights and towers are split over all devices of tp, however a cache is."""
    program = load_model(name).program()
    sizes = {**program.sizes, "B": 1, "T": 1, "S": 1 << 10, "M": 64}
    apart, whole = (
        [
            (group.name, op.name, tensor.name, float(tensor.elements(rebind(group.sizes(sizes), op.local))))
            for phase in program.phases
            for group, op in shard(program, Layout(tp=16, dcp=dcp)).in_phase(phase)
            for tensor in (*op.reads, *op.writes)
            if tensor.role in ("weight", "state", "conv_state") and not op.transfer
        ]
        for dcp in (2, 1)
    )
    assert apart == whole


@pytest.mark.parametrize("name", ["llama-4-scout", "minimax-m3", "deepseek-v3.2", "gemma-3-1b"])
@pytest.mark.parametrize("length", [100, 3000, 20_000])
def test_context_parallelism_deals_out_a_cache_and_its_attention_once(name: str, length: int) -> None:
    """Whatever a layer sees, chunks, windows, picked blocks or tokens: all devices together have what one would."""
    program = load_model(name).program()
    parts, sizes = shard(program, Layout(cp=4)), {**program.sizes, "B": 1, "T": 1, "S": length, "M": 1}

    def kept(each: Program) -> float:
        return float(sum(each.resident(*found, sizes) for found in each.caches()))

    def attended(each: Program, phase: Phase) -> float:
        step = {"B": 2.0, "T": 1.0 if phase.one_token else float(length), "S": float(length)}
        return sum(
            float(cost.count * cost.flops)
            for cost in step_cost(each, phase, step, HALF)
            if cost.name.rpartition(".")[2] == "attention"
        )

    assert 4 * kept(parts) == pytest.approx(kept(program), rel=1e-12)
    for phase in (Phase.PREFILL, Phase.DECODE):
        assert 4 * attended(parts, phase) == pytest.approx(attended(program, phase), rel=1e-12)


def test_tokens_split_over_devices_see_as_many_entries_as_those_of_the_whole_prompt() -> None:
    """Scores of DeepSeek-V4's indexer: the last eighth of a prompt sees nearly twice as many as the mean token."""
    program = load_model("deepseek-v4-flash").program()
    sizes = {"B": 2.0, "T": 4096.0, "S": 4096.0}
    found = [
        sum(
            cost.count * cost.flops
            for cost in step_cost(each, Phase.PREFILL, sizes, HALF)
            if "index_scores" in cost.name
        )
        for each in (program, shard(program, Layout(tp=8, sp=8)))
    ]
    assert float(8 * found[1]) == pytest.approx(float(found[0]), rel=1e-12)


def test_what_a_split_cache_needs_said() -> None:
    """Queries gathered, sums gathered, contexts scattered in decode; the cache of earlier pieces in prefill."""
    program = shard(load_model("deepseek-v2-lite").program(), Layout(tp=4, dcp=2))
    sizes = {**program.sizes, "B": 3, "T": 1, "S": 1000}
    heads, rank, rotated, context = 16 // 2, 512, 64, 512  # of the 16 heads, those of two devices
    layer = {
        phase: {
            op.name: op.message_bytes(group.sizes({**sizes, "T": tokens}), HALF.width)
            for group, op in program.in_phase(phase)
            if group.name == "expert_layers" and op.transfer and op.transfer.over == "dcp"
        }
        for phase, tokens in ((Phase.DECODE, 1), (Phase.PREFILL, 400))
    }
    assert layer[Phase.DECODE] == {
        "attention.all_gather": 3 * heads * (rank + rotated) * 2,
        "attention.all_gather_lse": 3 * heads * 4 * 2,  # one number in fp32 from each of both
        "attention.reduce_scatter": 3 * heads * context * 2,
    }
    assert layer[Phase.PREFILL] == {
        "latent_cache.all_gather_earlier": 3 * (1000 - 400) * rank * 2,
        "k_rotary_cache.all_gather_earlier": 3 * (1000 - 400) * rotated * 2,
    }


@pytest.mark.parametrize(
    ("model", "layout", "message"),
    [
        (
            "llama-3.1-8b",
            Layout(tp=6),
            "tp 6 does not divide the 32 query heads in 8 groups (llama-3.1-8b); tp can be",
        ),
        ("gpt2", Layout(tp=8), "tp 8 does not divide the 12 heads (gpt2); tp can be 1, 2, 3, 4, 6, 12"),
        ("gpt2", Layout(ep=2), "ep 2 splits experts, and there are none (gpt2); ep can be 1"),
        ("mixtral-8x7b", Layout(ep=17, dp=17), "ep 17 is more than twice the 8 experts (mixtral-8x7b); ep can be 1"),
        ("mixtral-8x7b", Layout(ep=8, dp=4), "ep 8 takes its devices from tp, then from dp"),
        (
            "gpt2",
            Layout(pp=13),
            "pp 13 is more than the 12 layers (gpt2); pp can be 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        ("gpt2", Layout(dp=3), "dp 3 does not divide the batch 16 (gpt2); dp can be 1, 2, 4, 8, 16"),
        ("gpt2", Layout(cp=3), "cp 3 does not divide the prompt of 64 tokens (gpt2); cp can be 1, 2, 4, 8"),
        (
            "gpt2",
            Layout(tp=2, dcp=2),
            "dcp 2 does not divide the devices of tp that would hold a cache of 12 heads alike",
        ),
        ("qwen3-30b-a3b", Layout(tp=16, dcp=8), "cache of 4 heads alike (qwen3-30b-a3b); dcp can be 1, 2, 4"),
        ("mamba-130m", Layout(dcp=2), "dcp 2 splits a cache, and attention reads none (mamba-130m); dcp can be 1"),
        (
            "deepseek-v4-flash",
            Layout(cp=2),
            "cp 2 splits a cache by position, not one of compressed entries (deepseek-v4-flash); cp can be 1",
        ),
        ("gpt2", Layout(tp=3, sp=3), "sp 3 does not divide the prompt of 64 tokens among the devices of cp"),
    ],
)
def test_degrees_that_do_not_divide_are_refused_with_those_that_do(model: str, layout: Layout, message: str) -> None:
    program = load_model(model).program()
    with pytest.raises(WorkloadError) as refused:
        check_layout(layout, program, program.phases, WORK, model)
    assert message in str(refused.value)
    assert not can_split(layout, program, program.phases, WORK)


def test_many_layouts_at_once_are_judged_as_one_by_one() -> None:
    degrees = np.array([(tp, pp, dp) for tp in (1, 2, 3, 8) for pp in (1, 5, 40) for dp in (1, 3, 4)])
    program = load_model("mixtral-8x7b").program()
    many = can_split(Layout(*degrees.T), program, program.phases, WORK)
    assert many.tolist() == [bool(can_split(Layout(*map(int, row)), program, program.phases, WORK)) for row in degrees]
    assert 0 < many.sum() < len(many)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"tp": 0}, "tp 0: expected a whole number from 1 to 1,000,000"),
        ({"pp": 2.5}, "pp 2.5: expected a whole number"),
        (
            {"tp": 4, "sp": 2},
            "sp 2: sequences are split over the devices of tensor parallelism; expected 1",
        ),
    ],
)
def test_flags_that_are_no_layout(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Layout.of(**flags)


def test_a_layout_in_words() -> None:
    assert str(Layout.of(tp=8, sp=8, pp=2)) == "tp 8, pp 2, sp 8"
    assert str(Layout()) == "one device"
    assert Layout.of(tp=8, sp=8, pp=2).to_dict() == {**dict.fromkeys(DEGREES, 1), "tp": 8, "pp": 2, "sp": 8}


def test_every_dimension_is_a_field_of_a_layout_and_a_flag() -> None:
    assert tuple(field.name for field in fields(Layout)) == DEGREES
    flags = fields_of(Degrees)
    assert tuple(flag.name for flag in flags) == DEGREES
    names = ", ".join(dimension.name for dimension in DIMENSIONS)
    assert {flag.option.line for flag in flags} == {f"Degrees of parallelism: {names}."}
    assert {dim.flag for dim in MESH} < set(DEGREES)


def test_devices_of_their_own_are_multiplied() -> None:
    assert Layout(tp=2, pp=3, dp=4, ep=8, cp=5, sp=2).devices == 2 * 3 * 4 * 5
    assert Layout(tp=2, pp=3, dp=4, ep=8, cp=5, sp=2).stage_devices == 2 * 4 * 5


def test_layouts_in_arrays_are_picked_and_joined() -> None:
    many = Layout.stacked([Layout(tp=2, sp=2), Layout(dp=4), Layout(pp=8)])
    assert many.devices.tolist() == [2, 4, 8]
    assert [many.at(row) for row in range(3)] == [Layout(tp=2, sp=2), Layout(dp=4), Layout(pp=8)]
    assert Layout.stacked([many.at(many.devices > 2), many.at(many.tp > 1)]).devices.tolist() == [4, 8, 2]
    assert Layout.stacked([]).devices.shape == (0,)


def test_what_is_replicated_is_listed() -> None:
    """Norms on all four devices; of 8 key/value heads over 16 devices each is there twice."""
    program = load_model("llama-3.1-8b").program()
    few = {each.name: each.surplus for each in replicated_weights(program, Layout(tp=4))}
    assert few == {"input_norm_gain": 3 * 4096, "ffn_norm_gain": 3 * 32 * 4096, "output_norm_gain": 3 * 32 * 4096}
    many = {each.name: each.surplus for each in replicated_weights(program, Layout(tp=16))}
    assert many["w_k"] == many["w_v"] == 32 * 4096 * 1024
    assert {each.name for each in replicated_weights(load_model("gpt2").program(), Layout(tp=2))} >= {"token_table"}
