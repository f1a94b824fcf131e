"""Steps over many lengths: equal to plain steps where there is one, weights read once where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline.cost.cost import Cost, step_cost
from roofline.cost.residency import footprint
from roofline.engines.library import load_engine
from roofline.models.model import load_model
from roofline.number import exact
from roofline.parallelism.layout import Layout
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import Precision, Workload
from roofline.serving.chunked_prefill import Stream, mixed_step_costs
from roofline.serving.replica_layouts import replica_program

FP16 = Precision("fp16", "fp16", "fp16")
DECODERS = ["gpt2", "llama-3.1-8b", "gemma-3-4b", "gpt-oss-20b", "llama-4-scout", "deepseek-v2-lite"]
SCANS = ["mamba-130m", "mamba2-130m", "qwen3-next-80b-a3b", "recurrentgemma-2b", "lfm2-1.2b"]
COUNTS = ("flops", "vector_flops", "special", "bytes")
FEW = st.integers(1, 64)


@cache
def program_of(name: str) -> Program:
    return load_model(name).program()


def one(phase: Phase, batch: int, new: int, context: int) -> Stream:
    return Stream(phase, float(batch), [1.0], [float(new)], [float(context)])


def total(costs: Sequence[Cost], count: str) -> float:
    return sum(float(step.count) * float(getattr(step, count)) for step in costs)


def plain(program: Program, phase: Phase, batch: int, new: int, context: int, count: str) -> float:
    sizes = {"B": exact(batch), "T": exact(new), "S": exact(context)}
    return sum(float(cost.count * getattr(cost, count)) for cost in step_cost(program, phase, sizes, FP16))


@pytest.mark.parametrize("name", DECODERS + SCANS)
@settings(max_examples=5)
@given(batch=FEW, context=st.integers(2, 2000))
def test_a_decode_stream_of_one_length_is_a_decode_step(name: str, batch: int, context: int) -> None:
    costs = mixed_step_costs(program_of(name), [one(Phase.DECODE, batch, 1, context)], FP16)
    for count in COUNTS:
        assert total(costs, count) == pytest.approx(plain(program_of(name), Phase.DECODE, batch, 1, context, count))
    assert all(step.decoding for step in costs)


@pytest.mark.parametrize("name", DECODERS[1:])
@settings(max_examples=5)
@given(new=FEW, cached=st.integers(0, 500))
def test_a_prompt_by_itself_is_a_prefill_step(name: str, new: int, cached: int) -> None:
    costs = mixed_step_costs(program_of(name), [one(Phase.PREFILL, 1, new, cached + new)], FP16)
    for count in COUNTS:
        assert total(costs, count) == pytest.approx(plain(program_of(name), Phase.PREFILL, 1, new, cached + new, count))


@pytest.mark.parametrize("name", SCANS)
@settings(max_examples=5)
@given(batch=FEW, new=FEW, cached=st.integers(0, 500))
def test_a_piece_of_a_prompt_goes_on_from_the_state_that_the_piece_before_it_left(
    name: str, batch: int, new: int, cached: int
) -> None:
    program = program_of(name)
    costs = mixed_step_costs(program, [one(Phase.PREFILL, batch, new, cached + new)], FP16)
    for count in COUNTS[:3]:
        assert total(costs, count) == pytest.approx(plain(program, Phase.PREFILL, batch, new, cached + new, count))
    state = footprint(program, Workload(batch, 1, 1), program.phases, FP16).state_bytes  # of all layers, once
    read = float(state) if cached else 0.0
    expected = plain(program, Phase.PREFILL, batch, new, cached + new, "bytes") + read
    assert total(costs, "bytes") == pytest.approx(expected, rel=1e-12)


def test_pieces_of_whole_chunks_scan_as_much_as_the_prompt() -> None:
    """Four pieces of 512 tokens, whose chunks of 256 begin where the pieces do, and states read three times."""
    program = program_of("mamba2-130m")
    pieces = [mixed_step_costs(program, [one(Phase.PREFILL, 1, 512, 512 * (n + 1))], FP16) for n in range(4)]
    (whole,) = (s for s in mixed_step_costs(program, [one(Phase.PREFILL, 1, 2048, 2048)], FP16) if s.name == "scan")
    scans = [step for costs in pieces for step in costs if step.name == "scan"]
    for count in COUNTS[:3]:
        assert sum(float(getattr(scan, count)) for scan in scans) == float(getattr(whole, count))
    state, heads = 2 * 24 * 64 * 128, 2 * 3 * 24  # bytes: of a state; of the time step's bias, the decay, the skip
    assert sum(float(scan.bytes) for scan in scans) == float(whole.bytes) + 3 * (2 * state + heads)  # written and read


@settings(max_examples=10)
@given(batch=FEW, context=st.integers(2, 2000), new=FEW, cached=st.integers(0, 500))
def test_a_mixed_step_saves_one_reading_of_the_weights_and_nothing_else(
    batch: int, context: int, new: int, cached: int
) -> None:
    program = program_of("llama-2-7b")
    streams = [one(Phase.DECODE, batch, 1, context), one(Phase.PREFILL, 1, new, cached + new)]
    mixed, parts = mixed_step_costs(program, streams, FP16), [mixed_step_costs(program, [s], FP16) for s in streams]
    for count in ("flops", "vector_flops", "special"):
        assert total(mixed, count) == pytest.approx(sum(total(part, count) for part in parts))
    saved = sum(total(part, "bytes") for part in parts) - total(mixed, "bytes")
    touched = 6_738_415_616 - 32_000 * 4096  # all parameters but the embedding's table, which is gathered from
    assert saved == pytest.approx(2 * touched, rel=1e-9)


@settings(max_examples=5)
@given(lengths=st.lists(st.integers(2, 3000), min_size=1, max_size=6))
def test_a_ragged_batch_is_the_sum_of_its_sequences(lengths: list[int]) -> None:
    """Attention over several lengths: bytes and FLOPs of each, keys of a window too."""
    for name in ("llama-3.1-8b", "gemma-3-4b"):
        program, n = program_of(name), len(lengths)
        stream = Stream(Phase.DECODE, float(n), [1 / n] * n, [1.0] * n, [float(length) for length in lengths])
        costs = mixed_step_costs(program, [stream], FP16)
        for count in ("flops", "bytes", "special"):
            ragged = sum(float(s.count) * float(getattr(s, count)) for s in costs if s.kind == "attention")
            each = [
                float(cost.count * getattr(cost, count))
                for length in lengths
                for cost in step_cost(program, Phase.DECODE, {"B": exact(1), "T": exact(1), "S": exact(length)}, FP16)
                if cost.kind == "attention"
            ]
            assert ragged == pytest.approx(sum(each))


def test_the_head_runs_on_the_last_token_of_each_sequence() -> None:
    program = program_of("llama-3.1-8b")
    costs = mixed_step_costs(program, [one(Phase.DECODE, 8, 1, 100), one(Phase.PREFILL, 2, 500, 500)], FP16)
    (head,) = (step for step in costs if step.name == "lm_head")
    assert float(head.flops) == 2 * 10 * 4096 * 128_256


def test_latents_are_expanded_for_prompts_and_absorbed_for_decoding() -> None:
    program = program_of("deepseek-v2-lite")
    costs = mixed_step_costs(program, [one(Phase.DECODE, 8, 1, 100), one(Phase.PREFILL, 1, 64, 64)], FP16)
    names = [step.name for step in costs if step.group == "expert_layers"]
    assert names.count("k_absorb") == names.count("kv_up") == names.count("out_proj") == 1
    assert names.count("attention") == 2
    (out,) = (step for step in costs if step.name == "out_proj" and step.group == "expert_layers")
    assert out.shape is not None
    assert float(out.shape.rows) == 72  # type: ignore[union-attr]


def test_arrays_over_steps_equal_one_step_at_a_time() -> None:
    program, batches = program_of("mixtral-8x7b"), np.array([1.0, 7.0, 64.0])
    stream = Stream(Phase.DECODE, batches, [0.5, 0.5], [1.0, 1.0], [100.0, 900.0])
    several = mixed_step_costs(program, [stream], FP16)
    for place, batch in enumerate(batches):
        single = mixed_step_costs(program, [Stream(Phase.DECODE, batch, [0.5, 0.5], [1.0, 1.0], [100.0, 900.0])], FP16)
        for many, alone in zip(several, single, strict=True):
            for count in COUNTS:
                wide = np.broadcast_to(getattr(many, count), batches.shape)
                assert wide[place] == pytest.approx(float(getattr(alone, count)))


@pytest.mark.parametrize("points", [1, 7, 20, 21])
def test_sequences_that_all_add_a_token_are_as_many_as_they_are(points: int) -> None:
    """Twenty weights of 1/20 sum to more than 1, and a batch of 16 was padded to the graph of 24 for it."""
    stream = Stream(Phase.DECODE, 16.0, np.full(points, 1 / points), np.ones(points), np.full(points, 500.0))
    assert stream.tokens == 16
    alike = (mixed_step_costs(program_of("gpt2"), [each], FP16, load_engine("vllm"))
             for each in (stream, one(Phase.DECODE, 16, 1, 500)))  # fmt: skip
    for cost, single in zip(*alike, strict=True):
        assert (cost.padded or cost).flops == pytest.approx((single.padded or single).flops, rel=1e-12)


@pytest.mark.parametrize("layout", [Layout(tp=2), Layout(tp=8)], ids=str)
def test_a_mixed_step_on_several_devices_reads_each_part_of_the_weights_once_and_talks_once(layout: Layout) -> None:
    program = replica_program(program_of("llama-2-7b"), layout)
    streams = [one(Phase.DECODE, 16, 1, 500), one(Phase.PREFILL, 1, 64, 300)]
    mixed, parts = mixed_step_costs(program, streams, FP16), [mixed_step_costs(program, [s], FP16) for s in streams]
    saved = sum(total(part, "bytes") for part in parts) - total(mixed, "bytes")
    matrices, gains = 6_738_415_616 - 32_000 * 4096 - 65 * 4096, 65 * 4096  # gains of norms are on every device
    assert saved == pytest.approx(2 * (matrices / layout.tp + gains), rel=1e-9)
    assert total(mixed, "flops") == pytest.approx(sum(total(part, "flops") for part in parts))
    reduced = [step for step in mixed if step.kind == "collective" and step.group == "layers"]
    assert [float(step.message_bytes) for step in reduced] == [80 * 4096 * 2] * 2  # tokens x hidden size, twice
