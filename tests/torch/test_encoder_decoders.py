"""Encoder-decoders: parameters and FLOPs of every family against transformers; phases, caches, lengths, memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from grids import counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import counted, module_of, our_flops, parameters_of
from strategies import ENCODER_DECODERS, encoder_decoder_configs

from roofline.charts.kinds.compare import measures_of
from roofline.charts.registry import Request, draw_kind
from roofline.cost.kv_cache import cache_growth
from roofline.cost.memory_fit import longest_context
from roofline.cost.residency import footprint
from roofline.errors import ConfigError, UsageError, WorkloadError
from roofline.formulas.building import formula
from roofline.models.model import Model, load_model
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.program.workload import Precision, Workload
from roofline.reports.explanation import explain
from roofline.reports.models import model_page

BF16 = Precision("bf16", "bf16", "bf16")


def read(model: Model, batch: int, length: int) -> dict[str, Any]:
    """What the encoder of the module is given: tokens, or frames of sound, two for each."""
    import torch

    if model.model_type == "whisper":
        return {"input_features": torch.zeros(batch, model.fields["num_mel_bins"], 2 * length)}
    return {"input_ids": torch.full((batch, length), 2)}


@pytest.mark.parametrize("count", counts(3, 30))
@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_random_encoder_decoders_equal_transformers(model_type, count):
    torch = pytest.importorskip("torch")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(encoder_decoder_configs(model_type), st.integers(1, 3), st.integers(1, 40), st.integers(1, 9))
    def equal(config, batch, length, new):
        model = load_model(config)
        assert model.warnings == ()
        module = module_of(model, device="cpu")
        assert model.parameters == parameters_of(module)
        length = model.lengths.usual or length
        inputs = read(model, batch, length)
        encode = our_flops(model, Phase.ENCODE, B=batch, T=length, S=length, M=length)
        if config["architectures"][0].endswith("EncoderModel"):
            assert model.phases == (Phase.ENCODE,)
            assert encode == counted(module, **inputs)
            return
        tokens = torch.full((batch, new), 2)
        prefill = our_flops(model, Phase.PREFILL, B=batch, T=new, S=new, M=length)
        assert encode + prefill == counted(module, **inputs, decoder_input_ids=tokens)
        with torch.no_grad():
            first = module(**inputs, decoder_input_ids=tokens, use_cache=True)
        behind = {"encoder_outputs": (first.encoder_last_hidden_state,), "past_key_values": first.past_key_values}
        seen = counted(module, **behind, decoder_input_ids=tokens[:, :1], use_cache=True)
        assert our_flops(model, Phase.DECODE, B=batch, T=1, S=new + 1, M=length) == seen

    equal()


@pytest.mark.parametrize(
    "preset", ["bart-base", "mbart-large-50", "opus-mt-en-de", "pegasus-large", "nllb-200-3.3b", "t5-small"]
)
def test_the_bias_of_the_scores_that_a_module_keeps_as_a_buffer_is_read_and_no_parameter(preset):
    module, model = module_of(load_model(preset), device="meta"), load_model(preset)
    kept = [tuple(buffer.shape) for name, buffer in module.named_buffers() if name == "final_logits_bias"]
    program = model.program()
    ((_, head),) = [(group, op) for group, op in program.in_phase(Phase.DECODE) if op.name == "lm_head"]
    read = [tensor for tensor in head.reads if tensor.role == "input"]
    assert kept == [(1, tensor.elements(program.sizes)) for tensor in read]
    assert model.parameters == parameters_of(module)


# Phases and caches


def test_the_first_token_waits_for_the_encoder_too():
    run = predict("whisper-large-v3", "h100")
    encode, prefill = (run.phases[name].figures.time_s for name in (Phase.ENCODE, Phase.PREFILL))
    assert run.ttft_s == encode + prefill
    assert run.request_s == pytest.approx(run.ttft_s + 223 * run.tpot_s)
    assert run.tokens_per_s == pytest.approx(224 / run.request_s)
    assert predict("whisper-large-v3", "h100", phase="prefill").ttft_s is None  # a part of it
    assert predict("bart-large", "h100", generate=1).ttft_s is not None


def test_cross_attention_is_projected_once_and_read_in_every_step():
    """Keys and values of 32 layers and 1,280 elements for 1,500 frames: 245,760,000 bytes in bf16."""
    program = load_model("whisper-large-v2").program()
    kept = 2 * 32 * 1280 * 1500 * 2  # keys and values, layers, width, frames, bytes
    names = {phase: {op.name for _, op in program.in_phase(phase)} for phase in program.phases}
    assert {"cross_k_proj", "cross_v_proj"} <= names[Phase.ENCODE] - names[Phase.PREFILL] - names[Phase.DECODE]
    assert "cross_attention" in names[Phase.PREFILL] & names[Phase.DECODE]
    for generate in (2, 100):
        run = predict("whisper-large-v2", "h100", generate=generate)
        assert run.memory.footprint.kv_cache_bytes == kept + 2 * 32 * 1280 * (4 + generate - 1) * 2
        (cross,) = [op for op in run.phases["decode"].operators if op.name == "cross_attention"]
        assert cross.figures.bytes == kept + 32 * 2 * 1280 * 2  # the cache; queries in and context out
    assert cache_growth(program, BF16, 7) == 2 * 32 * 1280 * 2
    assert cache_growth(program, BF16, 7, "M") == 2 * 32 * 1280 * 2


def test_decode_steps_follow_from_what_the_decoder_begins_with():
    work = predict("whisper-tiny", "h100", generate=4).workload
    assert (work.prompt, work.decoder_start, work.longest) == (1500, 4, 7)
    assert {k: int(v) for k, v in work.sizes(Phase.PREFILL).items()} == {"B": 1, "T": 4, "S": 4, "M": 1500}
    assert work.sizes(Phase.DECODE)["S"].tolist() == [5, 6, 7]
    english = predict("whisper-tiny", "h100", set={"model.forced_decoder_ids": [[1, 50362]]})
    assert english.workload.decoder_start == 2
    assert predict("t5-base", "h100").workload.decoder_start == 1


def test_a_context_is_the_decoders_and_goes_with_a_prompt():
    short, long = (predict("bart-large", "h100", context=9, prompt=prompt) for prompt in (100, 1000))
    assert set(short.phases) == {Phase.DECODE}
    grown = long.phases["decode"].figures.bytes - short.phases["decode"].figures.bytes
    assert grown == 900 * 2 * 12 * 1024 * 2  # tokens, keys and values, layers, width, bytes
    assert short.to_dict()["inputs"]["prompt"] == 100
    with pytest.raises(UsageError, match="it goes not with generate"):
        predict("bart-large", "h100", context=9, generate=3)


@pytest.mark.parametrize(
    ("model", "asked", "text"),
    [
        ("whisper-tiny", {"prompt": 1501}, "prompt 1501 exceeds the model's max_source_positions 1500"),
        (
            "whisper-tiny",
            {"generate": 449},
            r"start 4 \+ generate 449 exceeds the model's max_target_positions 448",
        ),
        ("whisper-tiny", {"context": 449}, "context 449 exceeds the model's max_target_positions 448"),
        ("t5-base", {"prompt": 513}, "prompt 513 exceeds the model's n_positions 512"),
    ],
)
def test_each_stack_has_its_own_positions(model, asked, text):
    with pytest.raises(WorkloadError, match=text):
        predict(model, "h100", **asked)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(("t5-small", "bart-base", "whisper-tiny", "opus-mt-en-de")),
    st.integers(1, 400),
    st.integers(1, 200),
    st.integers(1, 64),
)
def test_the_longest_prompt_that_fits_is_exact(model, prompt, generate, batch):
    network = load_model(model)
    work = Workload(batch, prompt, generate, decoder_start=network.lengths.decoder_start)
    program, phases, most = network.program(), network.phases, network.lengths.positions
    room = footprint(program, work, phases, BF16).total_bytes
    found = longest_context(program, replace(work, prompt=1), phases, BF16, room, most)
    assert footprint(program, replace(work, prompt=found), phases, BF16).total_bytes <= room
    assert prompt <= found <= most
    if found < most:
        assert footprint(program, replace(work, prompt=found + 1), phases, BF16).total_bytes > room


def test_position_biases_are_computed_once_per_stack_and_read_by_every_layer():
    program = load_model("t5-base").program()
    sizes = {**program.sizes, "B": 2, "T": 5, "S": 5, "M": 5}
    tables = [tensor for group, _, tensor in program.weights() if tensor.name == "position_table"]
    assert [table.resident(program.sizes) for table in tables] == [32 * 12] * 2
    (group,) = [group for group in program.groups if group.name == "encoder_layers"]
    (attend,) = [op for op in group.ops if op.kind == "attention"]
    queries_and_keys = 4 * 2 * 5 * 768  # q, k, v and the context of two sequences
    assert attend.bytes(sizes, lambda _: 1) == queries_and_keys + 12 * 5 * 5


# Everything downstream


def test_the_cache_of_both_attentions_is_shown():
    page = "\n".join(model_page(load_model("whisper-tiny")))
    assert "KV cache: 6,144 bytes per token and sequence in bf16" in page
    assert "cross-attention cache: 6,144 bytes per token that the encoder reads" in page


@pytest.mark.parametrize("kind", ["roofline", "breakdown", "compare", "memory", "regime", "sensitivity", "timeplane"])
def test_charts(kind):
    devices = ("h100", "t4") if kind == "compare" else ("h100",)
    drawn = draw_kind(kind, Request(("whisper-tiny",), devices, {}))
    assert drawn.rows
    assert "whisper-tiny" in drawn.words


def test_memory_over_lengths_is_over_what_the_encoder_reads():
    drawn = draw_kind("memory", Request(("bart-base",), ("t4",), {}, over="context"))
    assert drawn.rows[-1]["context"] == 1024
    caches = [row["kv_cache_bytes"] for row in drawn.rows]
    assert caches == sorted(set(caches))


def test_compare_ranks_by_the_whole_time_to_the_first_token():
    run = predict("whisper-tiny", "h100")
    (first,) = [measure for measure in measures_of(run) if measure.name == "TTFT"]
    assert first.value == run.ttft_s
    assert "TTFT" not in [measure.name for measure in measures_of(predict("whisper-tiny", "h100", phase="prefill"))]


def test_formulas_name_what_the_encoder_reads():
    read = formula("bart-base", phase="encode", op="encoder_layers", keep="D,F")
    assert {str(letter) for letter in read.expression.free_symbols} == {"B", "D", "F", "M"}
    cross = formula("bart-base", op="cross_attention", phase="decode")
    assert str(cross.expression) == "3072*B*M"  # 4 B G H K M
    cache = formula("t5-small", quantity="kv_cache").expression
    assert {str(letter) for letter in cache.free_symbols} == {"B", "S", "M"}
    for phase in (Phase.ENCODE, Phase.PREFILL, Phase.DECODE):
        assert formula("t5-small", phase=phase, quantity="time", hardware="h100").expression.free_symbols


def test_explained_and_as_json():
    run = predict("whisper-tiny", "h100", generate=8)
    told = explain(run)
    assert "encode in symbols, one step, T = S = M" in told
    assert "cross_attention: q[B T K G H], cross_k_cache[B S K H]" in told
    found = run.to_dict()
    assert found["inputs"]["decoder_start"] == 4
    assert list(found["phases"]) == [Phase.ENCODE, Phase.PREFILL, Phase.DECODE]
    assert "decoder_start" not in predict("gpt2", "h100").to_dict()["inputs"]


def test_refusals():
    t5 = dict(load_model("t5-small").fields)
    with pytest.raises(ConfigError, match="feed_forward_proj: given"):
        load_model({**t5, "feed_forward_proj": "wide-gelu"})
    with pytest.raises(ConfigError, match='feed_forward_proj: activation "sine" is not modelled'):
        load_model({**t5, "feed_forward_proj": "gated-sine"})
    with pytest.raises(ConfigError, match="is_encoder_decoder false is not modelled"):
        load_model({**t5, "is_encoder_decoder": False})
    with pytest.raises(ConfigError, match="share_encoder_decoder_embeddings false is not modelled"):
        load_model("opus-mt-en-de", overrides={"share_encoder_decoder_embeddings": False})
    with pytest.raises(ConfigError, match="encoder_attention_heads 7 does not divide"):
        load_model("bart-base", overrides={"encoder_attention_heads": 7})
