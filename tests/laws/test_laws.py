"""Laws of every prediction, drawn over networks, devices and workloads; and one law per way of breaking physics."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from grids import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import bert_configs, llama_configs

from roofline.calibration.constants import ConstantSet
from roofline.calibration.corrections.memory import cache_bandwidth
from roofline.cost.cost import step_cost
from roofline.cost.residency import footprint
from roofline.engines.library import load_engine
from roofline.hardware.loading import hardware_names, load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model, load_model
from roofline.models.shapes.config import MAX_LAYERS
from roofline.models.sources import preset_names
from roofline.prediction.figures import Figures, Operator
from roofline.prediction.predict import Prediction, predict
from roofline.program.phases import Phase
from roofline.program.workload import DTYPE_BYTES, Precision

SLACK = 1 + 1e-9
DEVICES = {name: load_hardware(name) for name in hardware_names()}
DEPTHS = ("num_hidden_layers", "n_layer", "n_layers")
PRESETS = {name: load_model(name) for name in preset_names()}
law = functools.partial(examples, few=25, many=250)
MANY = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Case:
    """A model, a device and the keywords of a run."""

    model: Model
    device: HardwareSpec
    keywords: dict[str, Any]

    def predict(self, **changed: Any) -> Prediction:
        return predict(self.model, self.device, **{**self.keywords, **changed})

    @property
    def decodes(self) -> bool:
        return self.model.generates

    @property
    def positions(self) -> int:
        return self.model.lengths.positions

    @property
    def room(self) -> int:
        """The most tokens that the prompt leaves to generate."""
        lengths = self.model.lengths
        if lengths.decoder_start is not None:
            return lengths.output - lengths.decoder_start
        return lengths.positions - self.keywords["prompt"]


def known_dtypes(device: HardwareSpec) -> list[str]:
    """The dtypes that a run may name; fp4 and int4 are named by recipes."""
    return [dtype for dtype in DTYPE_BYTES if dtype in device.dtypes() and dtype not in ("fp4", "fp6", "int4")]


SERVED = {
    name: [
        engine.name
        for engine in map(load_engine, ("vllm", "sglang"))
        if any(set(each.split()) <= device.words for each in engine.devices)
    ]
    for name, device in DEVICES.items()
}
"""Which of two engines for serving run on a device."""
STORED = {"engine.attention": "materialised"}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A small random network or a preset, on one of the shipped devices."""
    small = st.one_of(llama_configs(), bert_configs()).map(load_model)
    model = draw(small | st.sampled_from(list(PRESETS)).map(PRESETS.__getitem__))  # names: all are hashed at each draw
    device = DEVICES[draw(st.sampled_from(list(DEVICES)))]
    longest = model.lengths.positions
    alone = model.generates and model.lengths.decoder_start is None  # what it generates follows the prompt
    shortest = longest if model.lengths.whole else 1
    keywords: dict[str, Any] = {
        "batch": draw(st.integers(1, 512)),
        "dtype": draw(st.sampled_from(known_dtypes(device))),
        "prompt": draw(st.integers(shortest, longest - alone)),
    }
    if model.generates:
        keywords["generate"] = draw(st.integers(1, min(64, Case(model, device, keywords).room)))
    keywords["count"] = draw(st.sampled_from(("attended", "square")))
    keywords["lm_head"] = draw(st.sampled_from(("last", "all")))
    served = SERVED[device.name] if "nvidia" in device.words and set(model.phases) == {"prefill", "decode"} else ()
    keywords["engine"] = draw(st.sampled_from((None, "torch-compile", "transformers", *served)))
    keywords["set"] = draw(st.sampled_from((None, STORED)))
    keywords["constants"] = draw(st.sampled_from((None, "datasheet", "class")))
    return Case(model, device, keywords)


def figures(prediction: Prediction) -> list[tuple[str, Figures]]:
    """Those of every phase and of every operator, with a name for messages."""
    found = [(name, phase.figures) for name, phase in prediction.phases.items()]
    for name, phase in prediction.phases.items():
        found += [(f"{name}.{op.name}", op.figures) for op in phase.operators]
    return found


# Laws of every prediction


def check_laws(case: Case) -> None:
    prediction = case.predict()
    cached, boosted = (best_share(prediction.constants, case.device, roof) for roof in ("memory", "compute"))
    for where, f in figures(prediction):
        assert 0 <= f.bound_s <= f.low_s <= f.time_s <= f.high_s < math.inf, where
        shares = (f.shares.latency, f.shares.compute, f.shares.memory, f.shares.link)
        assert sum(shares) == pytest.approx(1, abs=1e-9), where
        assert min(shares) >= -1e-12, where
        assert getattr(f.shares, f.bound_by) == max(shares), where
        assert 0 <= f.mfu <= boosted * SLACK, where
        assert 0 <= f.mbu <= cached * SLACK, where
        assert min(f.flops, f.vector_flops, f.bytes) >= 0, where
    for name, phase in prediction.phases.items():
        for field in ("time_s", "bound_s", "flops", "vector_flops", "bytes", "link_bytes", "mfu", "mbu"):
            parts = sum(getattr(op.figures, field) for op in phase.operators)
            if field in ("mfu", "mbu"):  # rates: weighted by time
                parts = sum(getattr(op.figures, field) * op.figures.time_s for op in phase.operators)
                parts /= phase.figures.time_s
            assert parts == pytest.approx(getattr(phase.figures, field), rel=1e-9), f"{name} {field}"
        for share in ("latency", "compute", "memory"):
            weighted = sum(getattr(op.figures.shares, share) * op.figures.time_s for op in phase.operators)
            assert weighted / phase.figures.time_s == pytest.approx(getattr(phase.figures.shares, share), abs=1e-9)
    whole = sum(phase.steps * phase.figures.time_s for phase in prediction.phases.values())
    assert prediction.request_s == pytest.approx(whole, rel=1e-12)


@law(cases())
def test_bounds_bands_shares_and_sums(case: Case) -> None:
    check_laws(case)


@pytest.mark.slow
@MANY
@given(cases())
def test_bounds_bands_shares_and_sums_ten_thousand_times(case: Case) -> None:
    check_laws(case)


@law(cases())
def test_the_band_of_a_phase_is_the_sum_of_its_operators_bands(case: Case) -> None:
    for name, phase in case.predict().phases.items():
        for field in ("low_s", "high_s"):
            parts = sum(getattr(op.figures, field) for op in phase.operators)
            assert parts == pytest.approx(getattr(phase.figures, field), rel=1e-9), f"{name} {field}"


@law(cases())
def test_datasheet_constants_predict_the_bound(case: Case) -> None:
    for where, f in figures(case.predict(constants="datasheet", engine="torch-compile")):
        assert f.time_s == pytest.approx(f.bound_s, rel=1e-12), where
        assert f.low_s == f.time_s == f.high_s, where


KINDS = {
    "experts": ("grouped_matmul", "routed", "matmul"), "scan": ("mamba2", "delta_rule", "scan"),
    "convolution": ("convolution",), "routing": ("routed",),
}  # fmt: skip
"""Operators that take the constants of other kinds than their own: by the first word of their name."""


@law(cases())
def test_the_bound_does_not_depend_on_the_constants(case: Case) -> None:
    """But where software was measured above a data sheet's rate, which then is no bound: by no more than that share."""
    sheet, measured = (
        case.predict(constants=constants, engine="torch-compile") for constants in ("datasheet", "class")
    )
    dtype = case.keywords["dtype"]
    for name, phase in sheet.phases.items():
        for rated, reached in zip(phase.operators, measured.phases[name].operators, strict=True):
            own = KINDS.get(rated.name.rsplit(".", 1)[-1].split("_")[0], (rated.kind,))
            above = best_share(measured.constants, case.device, "compute", "memory", kinds=own, dtype=dtype)
            assert reached.figures.bound_s <= rated.figures.bound_s * (1 + 1e-12), rated.name
            assert reached.figures.bound_s * above * (1 + 1e-12) >= rated.figures.bound_s, rated.name
        if best_share(measured.constants, case.device, "compute", "memory", dtype=dtype) == 1:
            assert measured.phases[name].figures.bound_s == pytest.approx(phase.figures.bound_s, rel=1e-12)


def no_less(
    more: Prediction, less: Prediction, fields: tuple[str, ...] = ("time_s", "bound_s", "bytes", "flops")
) -> None:
    """Each operator of ``more`` costs at least what it costs in ``less``, but for the wait for a host that is ahead.

    That one is what a longer step hides; it is in the time of the step.
    """
    large, small = dict(figures(more)), dict(figures(less))
    for where in small.keys() & large.keys():
        if where.endswith(".host") and more.engine.host_ahead:
            continue
        for field in fields:
            assert getattr(large[where], field) * SLACK >= getattr(small[where], field), f"{where} {field}"


@law(cases(), st.integers(1, 100))
def test_a_larger_batch_is_never_faster(case: Case, extra: int) -> None:
    no_less(case.predict(batch=case.keywords["batch"] + extra), case.predict())


@law(cases(), st.integers(1, 2000))
def test_a_longer_prompt_is_never_faster(case: Case, extra: int) -> None:
    longer = case.keywords["prompt"] + extra
    alone = case.model.lengths.decoder_start is None
    assume(longer + alone * case.keywords.get("generate", 0) <= case.positions)
    more, less = case.predict(prompt=longer), case.predict()
    if case.keywords["set"] == STORED or case.keywords["count"] == "square":
        # no chunk sees the keys of a later one: where a prompt is first read in two, a corner of the square goes
        assume(all(phase.chunks == less.phases[name].chunks for name, phase in more.phases.items()))
    no_less(more, less)


@law(cases(), st.data())
def test_a_longer_context_is_never_faster(case: Case, data: st.DataObject) -> None:
    assume(case.decodes)
    most = case.model.lengths.output
    short = data.draw(st.integers(1, most))
    # a new chunk starts with one key: only within a chunk is longer never faster
    chunk = getattr(case.model.config, "attention_chunk_size", None) or most
    long = data.draw(st.integers(short, min(most, -(-short // chunk) * chunk)))
    lone = {"prompt": None, "generate": None}
    no_less(case.predict(**lone, context=long), case.predict(**lone, context=short))


@law(cases(), st.data())
def test_more_generated_tokens_never_make_a_request_shorter(case: Case, data: st.DataObject) -> None:
    assume(case.decodes)
    assume(case.room > case.keywords["generate"])
    more = data.draw(st.integers(case.keywords["generate"] + 1, min(case.room, case.keywords["generate"] + 100)))
    assert case.predict(generate=more).request_s * SLACK >= case.predict().request_s


@law(cases(), st.data())
def test_a_narrower_dtype_never_moves_nor_holds_more_bytes(case: Case, data: st.DataObject) -> None:
    """Scales and the operators that quantise come on top; without them narrow is never more."""
    wide, narrow = (data.draw(st.sampled_from(list(DTYPE_BYTES))) for _ in range(2))
    assume(DTYPE_BYTES[narrow] <= DTYPE_BYTES[wide])
    plain = case.predict()
    for role in ("weights", "activations", "kv_cache"):
        before = Precision(wide, wide, wide)
        after = replace(before, **{role: narrow})
        for phase in plain.phases:
            sizes = plain.workload.sizes(phase)
            steps = [step_cost(plain.program, phase, sizes, precision) for precision in (before, after)]
            assert all(np.all(b.bytes >= a.bytes) for b, a in zip(*steps, strict=True))
        held = [
            footprint(plain.program, plain.workload, tuple(plain.phases), precision) for precision in (before, after)
        ]
        assert held[1].total_bytes <= held[0].total_bytes


@law(cases())
def test_fused_attention_never_moves_more_nor_computes_more(case: Case) -> None:
    fused, stored = case.predict(set=None), case.predict(set=STORED)
    for name in fused.phases:
        assert fused.phases[name].figures.bytes <= stored.phases[name].figures.bytes
        assert fused.phases[name].figures.flops <= stored.phases[name].figures.flops
        assert fused.phases[name].figures.bound_s <= stored.phases[name].figures.bound_s * SLACK


@law(cases())
def test_counting_the_square_never_counts_less(case: Case) -> None:
    square, attended = case.predict(count="square"), case.predict(count="attended")
    picks = any(op.name.startswith("index") for group in case.model.program().groups for op in group.ops)
    for name in square.phases:
        assert square.phases[name].figures.flops >= attended.phases[name].figures.flops
        if not picks:  # what is picked is read, and nothing else
            assert square.phases[name].figures.bytes == attended.phases[name].figures.bytes


def alike(model: Model) -> bool:
    """Whether all layers are of one kind; twice as many of several kinds may be more than twice of one.

    Models of two stacks have a field for each.
    """
    return any(name in model.fields for name in DEPTHS) and any(group.repeat == "L" for group in model.program().groups)


@law(cases().filter(lambda case: alike(case.model)), st.data())
def test_layers_repeat_and_are_not_unrolled(case: Case, data: st.DataObject) -> None:
    times = data.draw(st.integers(2, MAX_LAYERS // case.model.config.num_hidden_layers))
    field = next(name for name in DEPTHS if name in case.model.fields)
    deep = load_model(case.model.fields, overrides={field: case.model.fields[field] * times})
    for name, phase in case.predict().phases.items():
        stacked = predict(deep, case.device, **case.keywords).phases[name]
        assert len(stacked.operators) == len(phase.operators)
        for one, many in zip(phase.operators, stacked.operators, strict=True):
            if one.kind == "host":
                continue  # a deeper network hides more of it
            factor = many.count // one.count
            assert factor in (1, times)
            assert many.figures.time_s == pytest.approx(one.figures.time_s * factor, rel=1e-9)


# One law per way of breaking physics; how: research into rival tools. All numbers by hand.

LLAMA = {"D": 4096, "F": 14336, "L": 32, "heads": 32, "kv_heads": 8, "head_dim": 128, "V": 128256}
D, F, L, V = LLAMA["D"], LLAMA["F"], LLAMA["L"], LLAMA["V"]
Q, KV = 32 * 128, 8 * 128  # widths of queries and of keys: grouped, so they differ
BF16 = 2


def llama(**keywords: Any) -> Prediction:
    return predict("llama-3.1-8b", "h100", **{"dtype": "bf16", "engine": "torch-compile", **keywords})


def operator(prediction: Prediction, name: str, phase: str | None = None) -> Operator:
    """The operator of that name in the one phase there is, or in ``phase``."""
    only = prediction.phases[phase or next(iter(prediction.phases))]  # type: ignore[index]
    (found,) = [op for op in only.operators if op.name == name]
    return found


@pytest.mark.parametrize(
    ("name", "decimal"), [("a100", 2039e9), ("h100", 3.35e12), ("h200", 4.8e12), ("v100-sxm2-32gb", 900e9)]
)
def test_bandwidth_is_decimal_and_nothing_beats_it(name: str, decimal: float) -> None:
    assert load_hardware(name).bandwidth == decimal  # x 2^30 / 1e9 would be 7 % below the physical bound
    for where, f in figures(predict("llama-2-7b", name, dtype="fp16", batch=4)):
        assert f.bound_s * SLACK >= f.bytes / decimal, where


@law(cases())
def test_no_time_is_below_either_roof(case: Case) -> None:
    prediction = case.predict()
    held = [dtype for dtype in prediction.recipe.dtypes if dtype in case.device.dtypes()]  # a head may stay in 16 bits
    peak = max(case.device.contraction_unit(dtype)[1] for dtype in (case.keywords["dtype"], *held))
    peak *= best_share(prediction.constants, case.device, "compute")
    share = best_share(prediction.constants, case.device, "memory", dtype=case.keywords["dtype"])
    bandwidth = case.device.bandwidth * share
    for where, f in figures(prediction):
        assert f.time_s * SLACK >= f.flops / peak, where
        assert f.time_s * SLACK >= f.bytes / bandwidth, where
        assert f.bound_s * SLACK >= max(f.flops / peak, f.bytes / bandwidth), where


def best_share(
    constants: ConstantSet, device: HardwareSpec, *names: str, kinds: tuple[str, ...] = ("",), dtype: str = "bf16"
) -> float:
    """The highest share of a roof that any kind was measured at, or those of ``kinds``, a cache's too; at least 1.

    Compute is at the highest clock that cards boost to.
    """
    boost = [constants.calibration.boost] if constants.calibration and "compute" in names else []
    known = constants.calibration.kinds if constants.calibration else {}
    found = [entry for name, entry in known.items() if name.startswith(kinds)]
    if dtype not in ("bf16", "fp16"):  # narrow formats stand in for each other, int8 for fp8
        found += [own for entry in found for own in entry.dtypes.values()]
    caches = [entry.cache_bandwidth.share for entry in found if entry.cache_bandwidth] if "memory" in names else []
    if "memory" in names:
        lasts = [last for entry in found for last in (entry.last_cache, entry.working_set) if last]
        rates = [cache_bandwidth(last.most, device.unit_count, device.cycles_per_s) for last in lasts]
        caches += [float(rate) / device.bandwidth for rate in rates]
        caches += [entry.routed_passes.share for entry in found if entry.routed_passes]
    return max(
        [1.0, *boost, *caches, *(getattr(entry, name) for entry in found for name in names if getattr(entry, name))]
    )


def test_the_roofs_of_a_phase_are_not_overlapped_across_operators() -> None:
    prefill = predict("llama-2-7b", "a100", phase="prefill").phases["prefill"]
    whole = max(prefill.figures.flops / 312e12, prefill.figures.bytes / 2039e9)  # one max over the whole phase
    assert prefill.figures.bound_s == pytest.approx(sum(op.figures.bound_s for op in prefill.operators))
    assert prefill.figures.bound_s > whole


@pytest.mark.parametrize("tokens", [256, 512, 4096])
def test_fused_attention_writes_head_dim_per_head_and_not_a_square(tokens: int) -> None:
    batch = 2
    attention = operator(llama(batch=batch, prompt=tokens, phase="prefill"), "attention")
    read_q_write_context = 2 * batch * tokens * Q
    read_k_and_v = 2 * batch * tokens * KV
    assert attention.figures.bytes == L * BF16 * (read_q_write_context + read_k_and_v)


def test_a_decode_step_of_fused_attention_writes_one_row_per_sequence() -> None:
    short, long = (operator(llama(context=context, batch=3), "attention").figures.bytes for context in (1000, 2000))
    assert long - short == L * BF16 * 2 * 3 * 1000 * KV  # keys and values of 1000 tokens, and nothing else


@pytest.mark.parametrize("attention", ["fused", "materialised"])
def test_grouped_heads_share_the_keys_they_read(attention: Any) -> None:
    batch, context = 32, 2048
    prediction = llama(batch=batch, context=context, set={"engine.attention": attention})
    if attention == "fused":
        moved = operator(prediction, "attention").figures.bytes
        assert moved == L * BF16 * (2 * batch * Q + 2 * batch * context * KV)  # not 32 heads of keys
    else:
        scores = batch * 32 * context  # one row of scores per query head
        assert operator(prediction, "scores").figures.bytes == L * BF16 * (batch * Q + batch * context * KV + scores)
        assert operator(prediction, "context").figures.bytes == L * BF16 * (batch * Q + batch * context * KV + scores)


def test_probabilities_times_values_use_the_query_heads_in_their_flops() -> None:
    prediction = llama(batch=1, context=2048, set=STORED)
    for name in ("scores", "context"):
        assert operator(prediction, name).figures.flops == L * 2 * Q * 2048  # 32 heads, not 8


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_head_has_its_factor_two_and_its_batch(batch: int) -> None:
    head = operator(llama(batch=batch, context=100), "lm_head").figures
    assert head.flops == 2 * batch * D * V  # FLOPs, not multiply-adds
    assert head.bytes == BF16 * (batch * D + V * D + batch * V)  # read h, read the table, write logits


def test_the_head_runs_on_one_token_of_the_prompt() -> None:
    prompt, batch = 2048, 4
    head = {run: operator(llama(batch=batch, prompt=prompt, lm_head=run), "lm_head").figures for run in ("last", "all")}
    assert head["last"].flops == 2 * batch * D * V
    assert head["all"].flops == 2 * batch * prompt * D * V


def test_the_cache_is_read_once_per_step_at_the_length_of_that_step() -> None:
    batch, prompt, generate = 32, 1000, 11
    generation = llama(batch=batch, prompt=prompt, generate=generate)
    lengths = range(prompt + 1, prompt + generate)  # the new token attends to itself; the first one is prefill's
    steps = [L * BF16 * (2 * batch * Q + 2 * batch * length * KV) for length in lengths]
    assert len(steps) == generation.phases["decode"].steps == generate - 1
    assert operator(generation, "attention", Phase.DECODE).figures.bytes == pytest.approx(
        sum(steps) / len(steps), rel=1e-12
    )
    final = operator(llama(batch=batch, context=prompt + generate), "attention").figures.bytes
    assert operator(generation, "attention", Phase.DECODE).figures.bytes < final


def test_the_cache_is_written_one_token_at_a_time() -> None:
    key = operator(llama(batch=5, context=4000), "k_proj").figures
    assert key.bytes == L * BF16 * (5 * D + D * KV + 5 * KV)  # read h, read w_k, write one token's keys


def test_an_embedding_reads_rows_and_the_head_reads_its_table() -> None:
    embedding = operator(llama(batch=2, prompt=64), "token_embedding").figures
    assert embedding.flops == 0  # a gather, not a matmul
    assert embedding.bytes == 2 * 64 * (BF16 * D + BF16 * D + 8)  # read a row, write it, read a token number
    assert operator(llama(batch=1, context=64), "lm_head").figures.bytes >= BF16 * V * D


def test_untied_head_and_embedding_both_stay_resident() -> None:
    assert llama().memory.footprint.weights_bytes == BF16 * 8_030_261_248


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("q_proj", D * Q),
        ("k_proj", D * KV),
        ("v_proj", D * KV),
        ("out_proj", Q * D),
        ("gate", D * F),
        ("up", D * F),
        ("down", F * D),
    ],
)
def test_every_projection_waits_for_its_weights(name: str, parameters: int) -> None:
    projection = operator(llama(batch=1, context=1), name).figures
    reading = L * BF16 * parameters / 3.35e12
    assert projection.bound_s >= reading
    assert projection.bound_s == pytest.approx(reading, rel=0.01)  # a row of activations is little beside them
    assert projection.shares.memory > projection.shares.compute


@pytest.mark.parametrize("model", ["llama-3.1-8b", "bert-base", "gpt2", "qwen3-8b"])
def test_memory_only_operators_are_not_free(model: str) -> None:
    prediction = predict(model, "h100", batch=8)
    for name, phase in prediction.phases.items():
        idle = [op for op in phase.operators if op.figures.flops == 0 and op.kind != "host"]
        assert {"norm", "elementwise", "embedding"} <= {op.kind for op in idle}, name
        for op in idle:
            assert op.figures.bytes > 0, op.name
            assert op.figures.bound_s == pytest.approx(op.figures.bytes / 3.35e12), op.name
            assert op.figures.time_s > op.figures.bound_s, op.name


def test_the_activation_moves_the_feed_forward_width() -> None:
    act = operator(llama(batch=1, prompt=100), "act").figures
    assert act.bytes == L * BF16 * 3 * 100 * F  # read gate and up, write the product; not the hidden size
    residual = operator(llama(batch=1, prompt=100), "ffn_norm").figures
    assert residual.bytes == L * BF16 * (4 * 100 * D + D)  # read branch and stream, write stream and h; read the gain


@pytest.mark.parametrize(
    ("name", "dtype", "dense"),
    [
        ("a100", "bf16", 312e12),
        ("h100", "bf16", 989.4e12),
        ("h100", "fp8", 1978.9e12),
        ("h200", "bf16", 989.4e12),
        ("mi300x", "bf16", 1307.4e12),
        ("t4", "fp16", 65e12),
    ],
)
def test_peaks_are_dense_and_a_teraflop_is_decimal(name: str, dtype: str, dense: float) -> None:
    prefill = predict("llama-2-7b", name, dtype=dtype, phase="prefill", batch=8).phases["prefill"].figures
    assert load_hardware(name).contraction_unit(dtype)[1] == pytest.approx(dense, rel=2e-3)
    assert prefill.bound_s * 1.002 >= prefill.flops / dense


@pytest.mark.parametrize("context", [1, 100, 4096])
def test_a_decode_step_computes_over_its_whole_context(context: int) -> None:
    attention = operator(llama(batch=3, context=context), "attention").figures
    assert attention.flops == L * 4 * 3 * Q * context  # Q K^T and P V: 2 FLOPs each per pair and element


@pytest.mark.parametrize("tokens", [1, 2, 1000, 8192])
def test_a_causal_mask_halves_the_square(tokens: int) -> None:
    runs = {count: llama(prompt=tokens, generate=1, count=count) for count in ("attended", "square")}
    assert operator(runs["square"], "attention").figures.flops == L * 4 * Q * tokens**2
    assert operator(runs["attended"], "attention").figures.flops == L * 4 * Q * tokens * (tokens + 1) // 2


def test_an_encoder_attends_to_everything() -> None:
    assert operator(predict("bert-base", "h100", prompt=100), "attention").figures.flops == 12 * 4 * 768 * 100**2


def test_elements_are_not_bytes() -> None:
    answers = {dtype: predict("llama-2-7b", "h100", context=50, dtype=dtype, engine="torch-compile")
               for dtype in ("fp8", "fp16", "fp32")}  # fmt: skip
    moved = {dtype: operator(answer, "q_proj").figures.bytes for dtype, answer in answers.items()}
    assert moved["fp32"] == 2 * moved["fp16"]
    columns, layers = 4096, 32
    scales = (columns + 1) * 4  # an fp32 for each row of the weights, and for the token
    assert moved["fp8"] == moved["fp16"] / 2 + (scales + columns) * layers  # the output stays in 16 bits


def test_a_head_dimension_need_not_be_hidden_size_over_heads() -> None:
    fields = {**load_model("qwen3-8b").fields, "head_dim": 64}
    attention = operator(predict(load_model(fields), "h100", context=1000), "attention").figures
    assert attention.flops == 36 * 4 * 32 * 64 * 1000


def test_mixed_dtypes_run_at_the_rate_of_the_widest() -> None:
    whole = predict("llama-2-7b", "h100", dtype="bf16", weight_dtype="int8", batch=64)
    mixed = operator(whole, "gate_up", Phase.PREFILL)
    assert mixed.figures.time_s >= mixed.figures.flops / 989.4e12


def test_a_launch_costs_the_same_whatever_it_launches() -> None:
    tiny = predict("gpt2", "a100", context=2, engine="torch-compile")
    assert tiny.phases["decode"].figures.shares.latency > 0.5
    eager = predict("gpt2", "a100", context=2, engine="transformers")
    assert eager.phases["decode"].figures.time_s > tiny.phases["decode"].figures.time_s
