"""Steady-state serving: against one prediction, against arithmetic, and laws of batches, memory and power."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import question

from roofline import predict
from roofline.calibration.provenance import constants_of
from roofline.errors import SpecError, WorkloadError
from roofline.hardware.loading import load_hardware
from roofline.models.model import load_model
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import stage_programs
from roofline.parallelism.sharding import shard
from roofline.prediction.fleet import Fleet
from roofline.program.traffic.asked import read_traffic
from roofline.program.traffic.traffic import Traffic, fixed
from roofline.program.workload import Precision
from roofline.serving.batch_sweep import batches_up_to, curves
from roofline.serving.batched_steps import Stages, StepTimer
from roofline.serving.continuous_batching import Load, SteadyState, decoding_costs, steady_state
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import growing, read_hardware
from roofline.serving.occupancy import fullest, occupancies_of
from roofline.serving.operating_points import Targets, best_column
from roofline.timing.engine_choice import Launching

BF16 = Precision("bf16", "bf16", "bf16")
MODEL = load_model("llama-3.1-8b")
ONE = Traffic("one", fixed(1024), fixed(129))
BATCHES = [1.0, 2.0, 8.0, 32.0, 100.0]

GRAPH = Launching("graph", single=False, slower=1.0)


def serve(traffic: Traffic, chunk: int | None, hardware: str = "h100", batches: list[float] = BATCHES) -> SteadyState:
    device = load_hardware(hardware)
    timer = StepTimer.of([device], [constants_of(device)], GRAPH)
    return steady_state(Load.of(MODEL.program(), BF16, traffic, batches, [chunk]), timer)


def curve(hardware: str, traffic: Traffic = ONE, **asked: object) -> Curve:
    (found,) = curves(question(MODEL, traffic, **asked), read_hardware([hardware]))
    return found


@pytest.mark.parametrize("chunk", [None, 1024, 2048])
def test_one_sequence_by_itself_is_a_prediction(chunk: int | None) -> None:
    """Nobody waits and nobody is waited for: the prompt, then the decode steps; so too where a prompt fills a step."""
    state = serve(ONE, chunk, batches=[1.0, 2.0])
    asked = predict("llama-3.1-8b", "h100", prompt=1024, generate=129, engine="torch-compile")
    assert asked.tpot_s is not None
    assert state.tpot_s[0, 0] == pytest.approx(asked.tpot_s, rel=1e-4)
    assert state.ttft_s[0, 0] == pytest.approx(asked.ttft_s, rel=1e-9)
    assert 1 / state.requests_per_s[0, 0] == pytest.approx(asked.request_s, rel=1e-4)
    ends = asked.phases["decode"].figures.timing
    assert state.low[0, 0] * state.tpot_s[0, 0] == pytest.approx(ends.low_s, rel=1e-4)
    assert state.ttft_s[0, 1] > state.ttft_s[0, 0] + state.tpot_s[0, 0] / 2  # beside another, a step is waited for
    assert state.requests_per_s[0, 1] > state.requests_per_s[0, 0]


def test_one_sequence_by_itself_is_read_whatever_its_prompt() -> None:
    """Where prompts outnumber the tokens of the steps between them, one at a time is served nevertheless."""
    state = serve(Traffic("long", fixed(8192), fixed(3)), 512, batches=[1.0, 2.0])
    assert state.sustained[0].tolist() == [1.0, 0.0]
    whole = serve(Traffic("long", fixed(8192), fixed(3)), None, batches=[1.0])
    assert whole.ttft_s[0, 0] < state.ttft_s[0, 0] < 2 * whole.ttft_s[0, 0]  # sixteen passes, each reads the weights


@pytest.mark.parametrize("chunk", [None, 2048])
def test_ranks_that_share_experts_wait_for_each_others_prompts(chunk: int | None) -> None:
    """Between all prompts at the same time and one after another, and at the former where every step has prompts."""
    program = shard(load_model("olmoe-1b-7b").program(), Layout(dp=4, ep=4))
    device = load_hardware("h100")
    network = Fleet(device).network(device, 4, constants_of(device))
    timer = StepTimer.of([device], [constants_of(device)], GRAPH, network)
    batches = [2.0, 8.0, 1024.0]
    apart, together = (
        steady_state(Load.of(program, BF16, ONE, batches, [chunk], split=split), timer).tpot_s[0]
        for split in (Layout(dp=4, ep=4), Layout())
    )
    alone = timer.times(Load.of(program, BF16, ONE, batches, [chunk]).decode).time_s[0]
    assert np.all(apart[:2] > together[:2])
    assert np.all(apart - alone < 4 * (together - alone) * (1 + 1e-9))
    assert apart[2] == pytest.approx(together[2])


@pytest.mark.slow
def test_data_parallel_attention_serves_twice_what_tensor_parallelism_does() -> None:
    asked = question("deepseek-v3", Traffic("one", fixed(2), fixed(5998)), dtype="fp8")
    rates = {}
    for found in curves(asked, read_hardware(["8xh200"])):
        column = best_column(found, Targets.means(None, 0.052)) if not found.problem else None
        if column is not None:
            rates[found.layout] = float(found.of("requests_per_s")[column])
    best = max(rates, key=lambda layout: rates[layout])
    assert best == "dp 8, ep 8"
    assert rates[best] > 2 * max(rate for layout, rate in rates.items() if not {"dp", "dcp"} & set(layout.split()))


@pytest.mark.parametrize("batch", [4, 32, 100])
def test_prompts_by_themselves_stop_the_others(batch: int) -> None:
    """An answer takes 128 steps, in which all slots are renewed once: 128 steps and N prompts for N requests."""
    state = serve(ONE, None, batches=[float(batch)])
    plain = {"prompt": 1024, "engine": "torch-compile"}
    decode = predict("llama-3.1-8b", "h100", batch=batch, generate=129, **plain).tpot_s
    prompt = predict("llama-3.1-8b", "h100", generate=1, phase="prefill", **plain).ttft_s
    assert decode is not None
    assert prompt is not None
    assert batch / state.requests_per_s[0, 0] == pytest.approx(128 * decode + batch * prompt, rel=1e-3)
    assert state.input_part[0, 0] == pytest.approx(batch * prompt / (128 * decode + batch * prompt), rel=1e-3)


def test_riding_along_serves_more_than_stopping_the_others() -> None:
    mixed, alone = serve(ONE, 2048), serve(ONE, None)
    assert (mixed.requests_per_s > alone.requests_per_s)[0, 1:].all()
    assert mixed.requests_per_s[0, 0] == alone.requests_per_s[0, 0]  # one alone rides beside nobody


@pytest.mark.parametrize("chunk", [None, 512, 2048])
@pytest.mark.parametrize("name", ["chat", "code-completion", "summarise", "rag", "batch"])
def test_laws_of_serving(name: str, chunk: int | None) -> None:
    state = serve(read_traffic({"workload": name}), chunk)
    assert (np.diff(state.tpot_s[0]) > 0).all()
    assert (state.low <= 1).all()
    assert (state.high >= 1).all()
    assert ((state.ttft_low <= 1) & (state.ttft_high >= 1)).all()
    assert ((state.input_part > 0) & (state.input_part < 1)).all()
    assert sum(state.shares.values()) == pytest.approx(np.ones_like(state.tpot_s))
    assert (state.power_w <= 700).all()
    assert (state.power_w >= 0.15 * 700).all()
    for one, two in pairwise(state.sustained[0]):
        assert two <= one  # what a batch cannot take in, a larger one cannot either


@pytest.mark.parametrize("chunk", [None, 2048])
def test_cached_prompts_never_take_longer(chunk: int | None) -> None:
    states = [serve(Traffic("t", fixed(4096), fixed(129), cached), chunk) for cached in (0.0, 0.3, 0.9)]
    for less, more in pairwise(states):
        held = less.sustained > 0
        assert (more.ttft_s <= less.ttft_s)[held].all()
        assert (more.requests_per_s >= less.requests_per_s)[held].all()
        assert (more.sustained >= less.sustained).all()


def test_steps_that_cannot_take_in_all_prompts_are_not_sustained() -> None:
    """At 1,024 new tokens per 128 steps, N sequences bring 8 N tokens a step beside their own N: 9 N <= 512."""
    state = serve(ONE, 512, batches=[56.0, 57.0])
    assert state.sustained[0].tolist() == [1.0, 0.0]


@given(st.integers(1, 3000))
def test_batches_hold_both_ends(most: int) -> None:
    batches = batches_up_to(most)
    assert batches == sorted(set(batches))
    assert (batches[0], batches[-1]) == (1.0, float(most))
    assert all(later / earlier < 1.05 or later - earlier == 1 for earlier, later in pairwise(batches))


# Devices side by side


def test_devices_in_one_call_are_as_alone() -> None:
    names = ["h100", "h200", "l40s", "mi300x", "a100", "t4", "xeon-6980p", "rtx-4090", "a10"]
    together = curves(question(MODEL, read_traffic({"workload": "chat"})), read_hardware(names))
    for name, found in zip(names, together, strict=True):
        (alone,) = curves(question(MODEL, read_traffic({"workload": "chat"})), read_hardware([name]))
        assert (alone.most, alone.problem) == (found.most, found.problem)
        if alone.problem:
            continue
        assert alone.state is not None
        assert found.state is not None
        shared = np.isin(found.state.batches, alone.state.batches)
        kept = np.isin(alone.state.batches, found.state.batches)
        for figure in ("ttft_s", "tpot_s", "requests_per_s", "power_w", "low", "high", "mfu", "mbu"):
            assert found.of(figure)[shared] == pytest.approx(alone.of(figure)[kept], nan_ok=True), (name, figure)


def test_no_device_draws_more_than_its_tdp() -> None:
    for found in curves(question(MODEL, read_traffic({"workload": "chat"})), read_hardware(["all"])):
        if found.state is not None and found.hardware.device.tdp is not None:
            assert (found.of("power_w") <= found.hardware.device.tdp * (1 + 1e-12)).all()


def test_what_cannot_run_says_why() -> None:
    assert curve("t4").problem == (
        "does not fit: 16.3 GB of 14.5 GB; 2 devices hold it (tp 2: 8.16 GB on each) or --dtype w8a16 does (9.33 GB)"
    )
    assert "has no fp8" in curve("a100", dtype="fp8").problem


def test_memory_as_arithmetic() -> None:
    """llama-2-7b in fp16: 2 x 32 layers x 4096 x 2 B = 524,288 B of cache per token."""
    model, fp16 = load_model("llama-2-7b"), Precision("fp16", "fp16", "fp16")
    (held,) = occupancies_of(model.program(), fp16, Traffic("t", fixed(1000), fixed(201)), [512])
    mean = (1001 + 1200) / 2
    assert held.each == pytest.approx(524_288 * mean, rel=1e-3)
    assert held.longest == pytest.approx(524_288 * 1200, rel=1e-3)
    assert held.weights == 2 * 6_738_415_616
    assert held.reading.first == held.most_read < 100e6  # a prompt is longer than a chunk
    assert held.most(72e9) == 1 + int((72e9 - held.weights - held.longest - held.most_read) / held.each)
    assert held.most(13e9) == 0


def test_hardware_by_any_name() -> None:
    device, count, box, own = read_hardware(["h100", "8xh100", "azure-nd-h100-v5", "a100-sxm-80gb-tensorrt-llm"])
    assert [each.count for each in (device, count, box, own)] == [1, 8, 8, 1]
    assert (device.name, count.name, box.name, own.name) == (
        "h100-sxm-80gb", "8xh100-sxm-80gb", "azure-nd-h100-v5", "a100-sxm-80gb-tensorrt-llm",
    )  # fmt: skip
    assert own.own is not None
    with pytest.raises(SpecError, match="unknown hardware"):
        read_hardware(["nothing"])


def test_what_generates_nothing_or_is_too_long_is_refused() -> None:
    with pytest.raises(WorkloadError, match="serving is modelled for decoders"):
        curves(question(load_model("bert-base"), ONE), read_hardware(["h100"]))
    with pytest.raises(WorkloadError, match="longest request has 1152 tokens"):
        curves(question(load_model("gpt2"), ONE), read_hardware(["h100"]))


# Replicas of several devices


@pytest.mark.parametrize("model", ["llama-3.1-70b", "mixtral-8x7b"])
def test_a_split_replica_is_a_prediction_with_that_layout(model: str) -> None:
    asking = question(load_model(model), ONE, set={"engine.chunk": 0})
    found = {each.layout: each for each in curves(asking, read_hardware(["8xh100"]))}
    split = found["tp 8"]
    asked = predict(model, "8xh100", prompt=1024, generate=129, tp=8)
    assert asked.tpot_s is not None
    assert asked.ttft_s is not None
    assert (split.devices, split.replicas) == (8, 1)
    assert split.of("tpot_s")[0] == pytest.approx(asked.tpot_s, rel=1e-4)
    assert split.of("ttft_s")[0] == pytest.approx(asked.ttft_s, rel=1e-9)
    assert found["one device"].problem.startswith("does not fit")
    assert split.state is not None
    assert split.state.shares["link"][0, 0] > 0
    assert sum(share[0, 0] for share in split.state.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(("tp", "pp", "each"), [(1, 2, 16), (2, 4, 3), (1, 3, 8)])
def test_a_step_of_stages_is_the_decode_step_of_predict(tp: int, pp: int, each: int) -> None:
    """A group of sequences at every stage: a token takes as long, and a stage holds as much, as predict says."""
    layout, device = Layout(tp=tp, pp=pp), load_hardware("h100")
    asked = predict(
        "llama-3.1-8b", f"{tp * pp}xh100", batch=pp * each, context=1024, tp=tp, pp=pp, engine="torch-compile"
    )
    program = shard(MODEL.program(), layout)
    network = Fleet(device).network(device, tp * pp, constants_of(device))
    timer = StepTimer.of([device], [constants_of(device)], GRAPH, network, Stages.of(program, layout))
    traffic = Traffic("one", fixed(1023), fixed(2))
    step = timer.times(decoding_costs(program, BF16, traffic, np.array([each]), None))
    assert step.time_s[0, 0] == pytest.approx(asked.tpot_s, rel=1e-3)
    held = [occupancies_of(one, BF16, traffic, [None])[0] for one in stage_programs(program, layout)]
    whole = fullest(held, pp)
    kept = asked.memory.footprint.weights_bytes + asked.memory.footprint.kv_cache_bytes
    assert whole.weights + float(whole.caches(np.array(each))) == pytest.approx(kept, rel=0.03)


def test_pipelines_join_boxes_and_split_no_matmul_over_a_slow_link() -> None:
    """Two boxes of H100 hold a model of 405 billion as two stages, each a box; no figure depends on the other."""
    big = load_model("llama-3.1-405b")
    found = {each.layout: each for each in curves(question(big, ONE), read_hardware(["16xh100"])) if each.state}
    rates = {layout: float(each.of("requests_per_s")[each.holds].max()) for layout, each in found.items()}
    assert max(rates, key=lambda layout: rates[layout]) in ("tp 8, pp 2", "tp 4, pp 4")
    assert rates["tp 8, pp 2"] > 1.2 * rates["tp 16"]
    stages = found["tp 8, pp 2"]
    assert stages.state is not None
    assert stages.groups == 2
    assert stages.most is not None
    assert stages.most % 2 == 0
    assert float(stages.state.batches[0]) == 2


def test_a_device_without_links_serves_by_itself_and_a_count_reaches_as_far_as_it_counts() -> None:
    layouts = [each.layout for each in curves(question(MODEL, ONE), read_hardware(["4xh100"]))]
    assert layouts == ["one device", "pp 2", "tp 2", "pp 4", "tp 2, pp 2", "tp 4"]
    assert [each.layout for each in curves(question(MODEL, ONE), read_hardware(["h100"]))] == ["one device"]
    reach = {name: growing(read_hardware([name])[0]).reach for name in ("h100", "a100-pcie-80gb", "mi300a", "gh200")}
    assert reach == {"h100": 8, "a100-pcie-80gb": 8, "mi300a": 4, "gh200": 1}  # bridged pairs have a host in common
