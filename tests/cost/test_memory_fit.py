"""What resides, by hand; what fits, at the edge."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_llama import TINY
from strategies import model_configs

from roofline.cost.memory_fit import largest_batch, longest_context
from roofline.cost.residency import activation_peak, footprint
from roofline.models.model import Model, load_model
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import fit_layout
from roofline.parallelism.sharding import shard
from roofline.prediction.predict import predict
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.workload import Precision, Workload

FP16 = Precision("fp16", "fp16", "fp16")
LLAMA = {**TINY, "tie_word_embeddings": False}
BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 50,
    "hidden_size": 4,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
}
LAYER = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 16 + 2 * 8  # q; k, v; out; gate, up, down; two norms
LLAMA_PARAMETERS = 10 * 8 + 2 * LAYER + 8 + 10 * 8  # token table, layers, final norm, head


def held(fields: dict[str, Any], workload: Workload, precision: Precision = FP16) -> Any:
    program = load_model(fields).program()
    return footprint(program, workload, program.phases, precision)


def peak(fields: dict[str, Any], batch: int, tokens: int, attention: Any = "fused") -> Any:
    program = load_model(fields).program(Conventions(attention=attention))
    sizes = {**program.sizes, "B": batch, "T": tokens, "S": tokens}
    return activation_peak(program, Phase.ENCODE, sizes, FP16)


# By hand


def test_footprint_of_a_tiny_llama() -> None:
    batch, prompt, generate = 3, 5, 4
    found = held(LLAMA, Workload(batch, prompt, generate))
    assert found.weights_bytes == 2 * LLAMA_PARAMETERS
    assert found.kv_cache_bytes == 2 * 2 * 2 * 1 * 4 * batch * (prompt + generate - 1)  # 2 B, k, v, L K H B S
    # Prefill peaks in the activation: the stream x[B T D] and g, u, m[B T F] beside it.
    assert found.activation_bytes == 2 * batch * prompt * (8 + 3 * 16)
    assert found.total_bytes == found.weights_bytes + found.kv_cache_bytes + found.activation_bytes


def test_tied_weights_reside_once() -> None:
    tied = held({**LLAMA, "tie_word_embeddings": True}, Workload(1, 5, 4))
    assert tied.weights_bytes == 2 * (LLAMA_PARAMETERS - 10 * 8)


def test_each_role_has_its_own_width() -> None:
    workload = Workload(2, 5, 4)
    plain, mixed = held(LLAMA, workload), held(LLAMA, workload, Precision("int8", "fp32", "fp8"))
    assert mixed.weights_bytes * 2 == plain.weights_bytes
    assert mixed.activation_bytes == 2 * plain.activation_bytes
    assert mixed.kv_cache_bytes * 2 == plain.kv_cache_bytes


def test_a_lone_decode_step_holds_its_context() -> None:
    assert held(LLAMA, Workload(1, 5, 4, context=20)).kv_cache_bytes == 2 * 2 * 2 * 4 * 20


def test_an_encoder_holds_no_cache() -> None:
    assert held(BERT, Workload(1, 8, 1)).kv_cache_bytes == 0


@pytest.mark.parametrize(("batch", "tokens"), [(1, 1), (2, 3), (5, 16)])
def test_activation_peak_of_a_bert_is_its_feed_forward(batch: int, tokens: int) -> None:
    # x[B T D] waits for the residual, u[B T F] is read and m[B T F] written.
    assert peak(BERT, batch, tokens) == 2 * batch * tokens * (4 + 2 * 16)


def test_activation_peak_of_a_narrow_bert_is_its_attention() -> None:
    # F = 1: x waits, q, k, v are read and the context is written, all B T D.
    assert peak({**BERT, "intermediate_size": 1}, 2, 3) == 2 * 2 * 3 * 5 * 4


def test_activation_peak_of_a_short_bert_is_its_embedding() -> None:
    # D = 1, F = 1: the rows of tokens and segments, positions, and the segment numbers of 8 bytes.
    narrow = {**BERT, "hidden_size": 1, "num_attention_heads": 1, "intermediate_size": 1}
    batch, tokens = 3, 5
    gathering = 2 * (2 * batch * tokens + tokens) + 8 * batch * tokens
    attending = 2 * batch * tokens * 5
    assert peak(narrow, batch, tokens) == max(gathering, attending) == gathering


def test_materialised_attention_holds_its_squares() -> None:
    batch, tokens, heads = 2, 16, 2
    square = batch * heads * tokens * tokens
    # Softmax: x, v wait, scores are read and probabilities written.
    assert peak(BERT, batch, tokens, "materialised") == 2 * (2 * batch * tokens * 4 + 2 * square)


def test_more_layers_hold_no_more_activations() -> None:
    assert peak({**BERT, "num_hidden_layers": 24}, 2, 3) == peak(BERT, 2, 3)


def test_llama_2_7b_weighs_13_and_a_half_gigabytes() -> None:
    memory = predict("llama-2-7b", "a100", batch=1, prompt=2048, generate=2048, engine="torch-compile").memory.footprint
    assert memory.weights_bytes == 2 * 6_738_415_616  # embedding and head included
    assert memory.kv_cache_bytes == 2 * 2 * 32 * 32 * 128 * 4095  # the last token is not fed back


# What fits


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    most = predict("llama-2-7b", "a100").memory.max_batch
    assert most is not None
    at, above = (predict("llama-2-7b", "a100", batch=batch).memory for batch in (most, most + 1))
    assert (at.fits, above.fits) == (True, False)
    assert at.max_batch == above.max_batch == most  # the answer does not depend on the batch asked for


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_batch_is_one_before_what_does_not_fit(seed: int) -> None:
    # Scales of a quantised cache are fractions of a byte for a token; logits may be what decides.
    draw = Random(seed)
    asked: dict[str, Any] = {
        "dtype": draw.choice(["w4a16+kv8", "w4a16+kv4", "w8a8", "bf16"]),
        "lm_head": draw.choice(["last", "all"]),
        "prompt": draw.randrange(1, 400),
        "generate": draw.randrange(2, 100),
    }
    name, device = draw.choice(["flan-t5-base", "gpt2", "llama-3.2-1b", "mamba-130m"]), draw.choice(["mi210", "h100"])
    most = predict(name, device, **asked).memory.max_batch
    assert most
    assert [predict(name, device, batch=batch, **asked).memory.fits for batch in (most, most + 1)] == [True, False]


def test_the_longest_context_fits_and_one_more_does_not() -> None:
    keywords: dict[str, Any] = {"batch": 50, "generate": 100}
    most = predict("llama-3.1-8b", "a100", **keywords).memory.max_context
    assert most is not None
    assert most < 131072  # else this would test nothing
    at, above = (predict("llama-3.1-8b", "a100", prompt=most - 99 + more, **keywords).memory for more in (0, 1))
    assert (at.fits, above.fits) == (True, False)


def test_the_longest_context_ends_at_the_models_positions() -> None:
    assert predict("llama-2-7b", "a100").memory.max_context == 4096
    assert predict("bert-base", "a100").memory.max_context == 512


def test_what_does_not_fit_at_all_is_zero() -> None:
    memory = predict("llama-3.1-70b", "a100").memory
    assert (memory.fits, memory.max_batch, memory.max_context) == (False, 0, 0)


def test_without_a_capacity_nothing_is_said_to_fit() -> None:
    prediction = predict("llama-2-7b", "xeon")
    memory = prediction.memory
    assert (memory.fits, memory.capacity_bytes, memory.max_batch, memory.max_context) == (None, None, None, None)
    assert any("fit unknown" in note for note in prediction.notes)


MODELS = model_configs().map(load_model)


def drawn_workload(data: st.DataObject, model: Model) -> Workload:
    positions = min(model.lengths.positions, 10**6)
    prompt = data.draw(st.integers(positions if model.lengths.whole else 1, positions))
    generate = data.draw(st.integers(1, max(1, positions - prompt)))
    return Workload(data.draw(st.integers(1, 8)), prompt, generate, decoder_start=model.lengths.decoder_start)


@settings(deadline=None)
@given(MODELS, st.data())
def test_the_largest_batch_is_the_edge(model: Model, data: st.DataObject) -> None:
    program, workload = model.program(), drawn_workload(data, model)

    def total(batch: int) -> int:
        return footprint(program, replace(workload, batch=batch), program.phases, FP16).total_bytes

    room = data.draw(st.integers(0, 3 * total(3)))
    most = largest_batch(program, workload, program.phases, FP16, room)
    assert most == 0 or total(most) <= room
    assert total(most + 1) > room


@settings(deadline=None)
@given(MODELS, st.data())
def test_the_longest_context_is_the_edge(model: Model, data: st.DataObject) -> None:
    program, workload = model.program(), drawn_workload(data, model)
    positions = min(model.lengths.positions, 10**6)
    generated = 0 if Phase.ENCODE in program.phases else workload.generate - 1  # the last one is not fed back

    def total(length: int) -> int:
        longer = replace(workload, prompt=max(1, length - generated))
        return footprint(program, longer, program.phases, FP16).total_bytes

    room = data.draw(st.integers(0, 2 * total(positions)))
    most = longest_context(program, workload, program.phases, FP16, room, positions)
    assert 0 <= most <= positions
    assert most == 0 or total(most) <= room
    assert most == positions or total(most + 1) > room


@settings(deadline=None)
@given(MODELS, st.data())
def test_a_footprint_grows_with_batch_and_length(model: Model, data: st.DataObject) -> None:
    program, workload = model.program(), drawn_workload(data, model)
    base = footprint(program, workload, program.phases, FP16)
    assert base.weights_bytes == 2 * program.parameters()
    for longer in (
        replace(workload, batch=workload.batch + 1),
        replace(workload, prompt=workload.prompt + 1),
        replace(workload, generate=workload.generate + 1),
    ):
        more = footprint(program, longer, program.phases, FP16)
        assert more.weights_bytes == base.weights_bytes
        assert more.kv_cache_bytes >= base.kv_cache_bytes
        assert more.activation_bytes >= base.activation_bytes


def test_a_model_of_a_billion_positions_gets_an_answer() -> None:
    longest = {**LLAMA, "max_position_embeddings": 10**9}
    memory = predict(longest, "a100", prompt=100, generate=10).memory
    assert memory.fits
    assert memory.max_context is not None
    assert memory.max_context > 1_000_000


def test_the_largest_batch_counts_positions_once() -> None:
    """All sequences share the gathered positions, so the activations are not quite proportional to the batch."""
    model = load_model({**BERT, "hidden_size": 1, "num_attention_heads": 1, "intermediate_size": 1})
    program, workload = model.program(), Workload(batch=1, prompt=1, generate=1)

    def total(batch: int) -> int:
        return footprint(program, replace(workload, batch=batch), program.phases, FP16).total_bytes

    for room in range(total(1), total(6)):
        most = largest_batch(program, workload, program.phases, FP16, room)
        assert total(most) <= room < total(most + 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_pipelines_limits_are_the_least_of_its_stages(seed: int) -> None:
    draw = Random(seed)
    layout = Layout(pp=draw.choice([2, 3, 5]))
    sizes = {"num_hidden_layers": 7, "vocab_size": draw.choice([10, 60, 5000]), "max_position_embeddings": 2000}
    program = load_model({**LLAMA, **sizes}).program(Conventions(lm_head=draw.choice(["last", "all"])))
    workload = Workload(2, draw.randrange(1, 50), draw.randrange(2, 900), kv_block=draw.choice([1, 16]))
    sharded, asked = shard(program, layout), (workload, program.phases, FP16)
    room = fit_layout(sharded, layout, *asked, None, 2000).total_bytes * draw.uniform(0.8, 9.0)
    limits = fit_layout(sharded, layout, *asked, room, 2000).limits
    assert limits is not None
    for stages in (limits.stages, limits.stages[::-1]):
        found = replace(limits, stages=stages)
        assert found.max_batch == min(largest_batch(stage, *asked, room) for stage in stages)
        assert found.max_context == min(longest_context(stage, *asked, room, 2000) for stage in stages)
