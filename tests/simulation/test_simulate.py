"""Simulations of real models: laws of load, agreement with the steady state, doors and words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from shell import roofline as shell

import roofline
from roofline.errors import RooflineError
from roofline.serving.batch_sweep import curves
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.scenario import read_question
from roofline.simulation.statistics import TIMES

MODEL = roofline.load_model("llama-3.1-8b")


def simulated(hardware: str = "h100", **asked: Any) -> roofline.Simulation:
    return roofline.simulate(MODEL, hardware, **{"load": 5.0, "requests": 200, **asked})


def p95(found: roofline.Simulation) -> list[float]:
    """Of TTFT and end to end: fewer sequences at once have a shorter TPOT."""
    return [found.outcome.times[name].percentiles[95] for name in ("ttft_s", "request_s")]


def test_the_same_seed_gives_the_same_answer_and_another_one_does_not() -> None:
    assert simulated().outcome == simulated().outcome
    assert simulated(seed=1).outcome != simulated().outcome


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"load": 12.0}, {"load": 6.0}),
        ({"hardware": "h100", "load": 12.0}, {"hardware": "2xh100", "load": 12.0}),
        ({"load": 12.0, "set": {"engine.max_sequences": 8}}, {"load": 12.0}),
        ({"arrivals": "gamma:0.2"}, {"arrivals": "poisson"}),
        ({"dtype": "bf16"}, {"dtype": "fp8"}),
    ],
)
def test_less_load_more_devices_more_room_are_no_worse(worse: dict[str, Any], better: dict[str, Any]) -> None:
    slow, fast = p95(simulated(**worse)), p95(simulated(**better))
    assert all(a >= 0.98 * b for a, b in zip(slow, fast, strict=True))
    assert slow[0] > 1.02 * fast[0]


def test_an_engine_that_reserves_caches_preempts_nothing() -> None:
    """Three times what the cache of an L4 holds at once, all there at the start: TensorRT-LLM lets in what will fit."""
    asked: dict[str, Any] = {"load": None, "arrivals": "all", "requests": 96, "prompt": 512, "generate": 512}
    careful, hasty = (
        simulated("l4", engine="tensorrt-llm", dtype="fp8", set={"engine.reserves": reserves}, **asked).outcome
        for reserves in (True, False)
    )
    assert careful.preempted == 0 < hasty.preempted
    assert careful.sequences < hasty.sequences


def test_reserved_caches_admit_fewer_sequences_the_longer_the_answers() -> None:
    """At the whole length, where others count the mean in flight: half of a long answer, little of a short one."""

    def most(generate: int, **reserves: bool) -> int:
        edits = {f"engine.{name}": value for name, value in reserves.items()}
        asked: dict[str, Any] = {"prompt": 1024, "generate": generate, "engine": "tensorrt-llm", "set": edits}
        return int(roofline.compare(MODEL, "h100", **asked).to_dict()["rows"][0]["max_batch"])

    ratios = [most(generate) / most(generate, reserves=False) for generate in (16, 1024, 8192)]
    assert ratios == pytest.approx([1.0, 1.5 / 2, 5.0 / 9], abs=0.02)


def test_a_band_holds_the_expected_and_percentiles_rise() -> None:
    found = simulated()
    for name in TIMES:
        values = [list(each.times[name].percentiles.values()) for each in (found.fast, found.outcome, found.slow)]
        assert all(np.all(np.diff(row) >= 0) for row in values)
        assert values[0][0] < values[1][0] < values[2][0]


def test_a_closed_loop_is_the_steady_state_of_compare() -> None:
    """Means of two rooms that share the step's time and nothing else."""
    clients = 16
    asked: dict[str, Any] = {"prompt": 512, "generate": "32/64/96/128"}  # equal ones would go in step
    at_once = {"set": {"engine.front_end": "0 s"}}  # a front end in which clients wait is none of the replica's
    found = simulated(concurrency=clients, load=None, requests=400, **at_once, **asked).outcome
    (curve,) = curves(read_question(MODEL, **asked), read_hardware(["h100"]))
    assert curve.state is not None
    column = int(np.searchsorted(curve.state.batches, clients))
    assert found.requests_per_s == pytest.approx(curve.of("requests_per_s")[column], rel=0.06)
    assert found.times["tpot_s"].mean == pytest.approx(curve.of("tpot_s")[column], rel=0.06)


def test_saturation_is_what_compare_serves_at_full_load() -> None:
    asked: dict[str, Any] = {"prompt": 4096, "generate": 256}
    (curve,) = curves(read_question(MODEL, **asked), read_hardware(["h100"]))
    full = float(curve.of("requests_per_s")[curve.holds].max())
    assert simulated(requests=2, **asked).saturation == pytest.approx(full, rel=0.1)


def test_targets_make_goodput_of_throughput() -> None:
    loose, tight = simulated(ttft="10 s").outcome, simulated(ttft="45 ms", tpot="9 ms").outcome
    assert loose.goodput == loose.requests_per_s
    assert 0 < tight.goodput < tight.requests_per_s


def test_more_than_is_served_says_so() -> None:
    found = simulated(load=60.0, requests=300)
    assert found.load is not None
    assert found.load > 1
    assert any("more arrives than is served" in note for note in found.notes)


def test_all_at_the_start_is_a_makespan() -> None:
    found = simulated(arrivals="all", load=None).outcome
    assert found.counted == found.requests
    assert found.makespan_s == pytest.approx(found.times["request_s"].most)


def test_a_job_costs_its_devices_for_its_makespan_and_lasts_as_long_as_its_slowest_requests() -> None:
    asked = {"arrivals": "all", "load": None, "prompt": 128, "prices": "h100=2USD/h"}
    found = simulated("2xh100", generate="64:2000", **asked)
    job, outcome = found.job, found.outcome
    assert job is not None
    assert job["usd_per_h"] == 2 * 2.0
    assert job["usd"] == pytest.approx(4.0 * outcome.makespan_s / 3600)
    assert job["usd_low"] < job["usd"] < job["usd_high"]
    assert job["usd_per_million_output"] == pytest.approx(job["usd"] / found.ledger.generate.sum() * 1e6)
    late = np.sort(found.ledger.finished)
    assert late[-1] - late[-20] <= outcome.tail_s <= late[-1] - late[-21]  # 200 requests, 90 % of them by then
    even = simulated("2xh100", generate=300, **asked).outcome
    assert outcome.tail_s / outcome.makespan_s > 0.5 > even.tail_s / even.makespan_s


def test_a_job_without_a_price_says_so() -> None:
    job = simulated("l40s", arrivals="all", load=None, requests=20, price_kind="reserved").job
    assert job is not None
    assert job["usd"] is None
    assert "no reserved price of l40s" in job["problem"]


def test_degrees_make_replicas_of_the_devices() -> None:
    shapes = {
        (): (8, "one device"),
        (("tp", 2),): (4, "tp 2"),
        (("dp", 2),): (2, "tp 4"),
    }
    for given, (replicas, layout) in shapes.items():
        found = simulated("8xh100", requests=2, **dict(given)).deployment
        assert (found.replicas, str(found.clock.replica.layout)) == (replicas, layout)


@pytest.mark.parametrize(
    ("model", "hardware", "targets"),
    [
        ("llama-3.1-8b", "2xh100", {}),
        ("llama-3.1-8b", "2xh100", {"tpot": "5ms"}),
        ("llama-3.1-70b", "8xh100", {"tpot": "15ms"}),
        ("olmoe-1b-7b", "4xh100", {"ttft": "30ms"}),
    ],
)
def test_compare_and_simulate_choose_one_layout(model: str, hardware: str, targets: dict[str, Any]) -> None:
    """Or simulate says which one compare has, and why it is not simulated."""
    asked = {"prompt": 1000, "generate": 200, **targets}
    row = roofline.compare(model, hardware, **asked).rows[0]
    found = roofline.simulate(model, hardware, load=1.0, requests=2, **asked)
    assert found.why.startswith("the best of ")
    own = str(found.deployment.clock.replica.layout)
    assert own == row.curve.layout or f"compare has {row.curve.layout}: " in found.why
    assert found.to_dict()["hardware"]["layout_reason"] == found.why
    if "compare has" in found.why:
        assert row.curve.split.pp > 1 < row.curve.split.dp  # stages of ranks


def test_few_clients_are_served_by_many_devices_each() -> None:
    """One at a time by all of them, many by several schedulers, of replicas or of stages."""
    few, many = (
        roofline.simulate("llama-3.1-8b", "4xh100", concurrency=n, requests=4, prompt=1000, generate=200)
        for n in (1, 2000)
    )
    assert str(few.deployment.clock.replica.layout) == "tp 4"
    assert few.why == "the best of 6, by requests served with 1 in flight"
    assert many.deployment.schedulers > 1
    asked = roofline.simulate("llama-3.1-8b", "4xh100", concurrency=1, requests=4, tp=2)
    assert asked.why == ""


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"load": None}, "give one of --load such as 5req/s, --concurrency such as 32, and --arrivals all"),
        ({"concurrency": 4}, "give one of --load"),
        ({"load": 0.0}, "load 0: expected requests per second above 0"),
        ({"load": float("nan")}, "expected requests per second above 0"),
        ({"load": "5 GB"}, "load"),
        ({"arrivals": "burst"}, 'arrivals "burst": expected poisson, gamma:SHAPE'),
        ({"arrivals": "gamma:0"}, "with a shape from 0.01 to 1000"),
        ({"arrivals": "gamma:nan"}, "with a shape from 0.01 to 1000"),
        ({"requests": 0}, "requests 0: expected a whole number from 1"),
        ({"requests": True}, "requests True: expected a whole number"),
        ({"load": None, "concurrency": 2.5}, "concurrency 2.5: expected a whole number"),
        ({"load": None, "concurrency": 4, "arrivals": "gamma:1"}, "leave --arrivals out"),
        ({"seed": -1}, "seed -1: expected a whole number from 0"),
        ({"router": "random"}, "--router 'random': expected round-robin or least-loaded"),
        ({"hardware": "8xh100", "pp": 2, "offload": "kv=1TB"}, "pp 2: stages are not simulated with offload"),
        ({"hardware": "8xh100", "tp": 3}, "tp 3"),
        ({"hardware": "8xh100", "tp": 4, "dp": 4}, "do not make up the 8"),
        ({"hardware": "t4"}, "does not fit: a request of"),
        ({"pools": True}, "pools is no keyword of it"),
        ({"generate": 1}, "generate 1"),
    ],
)
def test_bad_input_is_one_line(asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(RooflineError) as failure:
        simulated(**{"requests": 2, **asked})
    assert problem in str(failure.value)
    assert "\n" not in str(failure.value)


def test_models_that_serve_no_text_are_refused() -> None:
    for model in ("bert-base", "t5-base"):
        with pytest.raises(RooflineError, match=r"text from prompts|of decoders"):
            roofline.simulate(model, "h100", load=1.0)


def test_long_requests_are_cut_to_the_positions_and_told() -> None:
    found = roofline.simulate("gpt2", "h100", load=1.0, requests=50, prompt="900", generate="100:200")
    assert found.workload.cut > 0
    assert (found.ledger.prompt + found.ledger.generate).max() == 1025
    assert "are cut to them" in found.notes[-1]
    for seed in range(2):  # where all are cut, their mean is the longest, whose last token no cache has
        longest = roofline.simulate("gpt2", "h100", concurrency=1, requests=2, prompt="1023", generate="9", seed=seed)
        assert longest.saturation is not None


def test_memory_of_no_known_size_holds_all_requests() -> None:
    """The specification of a processor says nothing of its memory."""
    found = roofline.simulate("gpt2", "epyc-9965", load=0.01, requests=2, prompt="64", generate="4")
    assert found.saturation is not None
    assert found.saturation > 0.01


def test_requests_that_one_step_ends_have_a_saturation() -> None:
    """Agents' first prompts are cut to one shared prefix: two read it, the others are all done in the next step."""
    found = roofline.simulate("gemma-2-9b", "tpu-v6e", load="1req/s", requests=4, workload="agent")
    assert found.saturation is not None
    assert 100 < found.saturation < 1000


def test_the_words_and_the_files(tmp_path: Any) -> None:
    line = "simulate llama-3.1-8b --hardware h100 --load 5req/s --requests 100 --ttft 100ms"
    code, out, _ = shell(*line.split())
    assert code == 0
    assert "keeps up, " in out
    assert "p95 band" in out
    assert "goodput" in out
    assert len(shell(*line.split(), "--quiet")[1].splitlines()) == 4
    assert json.loads(shell(*line.split(), "--json")[1])["requests"] == 100
    path = tmp_path / "requests.csv"
    code, out, err = shell(*line.split(), "-o", str(path))
    assert (code, out, err.startswith(f"{path}: ")) == (0, "", True)
    assert len(path.read_text().splitlines()) == 101
    assert shell("simulate", "llama-3.1-8b", "--load", "5req/s")[0] == 2


# Sessions and traces


def test_turns_of_a_session_follow_each_other_and_hit_what_came_before() -> None:
    found = roofline.simulate(MODEL, "2xh100", load=0.3, requests=120, workload="agent", router="prefix-aware")
    work, ledger = found.workload, found.ledger
    follows = np.flatnonzero(work.follows)
    assert len(follows) > 80
    assert np.all(ledger.arrived[follows] >= ledger.finished[follows - 1])
    assert np.all(ledger.prompt[follows] > ledger.prompt[follows - 1] + ledger.generate[follows - 1])
    assert (ledger.prompt + ledger.generate).max() <= 131_073
    assert found.outcome.cached > 0.8
    assert found.saturation is None
    blind = roofline.simulate(MODEL, "2xh100", load=0.3, requests=120, workload="agent")
    assert found.outcome.cached >= blind.outcome.cached


def test_a_trace_of_mooncake_comes_with_its_times_and_hits(tmp_path: Any) -> None:
    path = tmp_path / "trace.jsonl"
    entries = [
        {"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [0, 1, 2]},
        {"timestamp": 9000, "input_length": 1030, "output_length": 5, "hash_ids": [0, 1, 3]},
        {"timestamp": 4000, "input_length": 2000, "output_length": 5, "hash_ids": [0, 7, 8, 9]},
    ]
    path.write_text("\n".join(map(json.dumps, entries)))
    ledger = roofline.simulate(MODEL, "h100", workload=str(path)).ledger
    assert ledger.arrived.tolist() == [0, 4, 9]
    assert ledger.prompt.tolist() == [1100, 2000, 1030]
    assert ledger.cached.tolist() == [0, 512, 1024]


def test_what_a_simulation_wrote_is_a_trace(tmp_path: Any) -> None:
    path = tmp_path / "trace.csv"
    line = ("simulate", "llama-3.1-8b", "--hardware", "h100")
    assert shell(*line, "--load", "5req/s", "--requests", "40", "-o", str(path))[0] == 0
    first = simulated(requests=40).ledger
    again = roofline.simulate(MODEL, "h100", workload=str(path)).ledger
    assert again.prompt.tolist() == first.prompt.tolist()
    assert again.finished == pytest.approx(first.finished - first.arrived[0])


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.jsonl", "", "no requests; expected one a line"),
        ("a.jsonl", "[1]", "a.jsonl:1: expected a JSON object with timestamp, input_length, output_length"),
        ("a.jsonl", '\n{"timestamp": 0, "input_length": 0, "output_length": 1}', "a.jsonl:2: input_length 0: expected"),
        ("a.jsonl", '{"timestamp": NaN, "input_length": 1, "output_length": 1}', "timestamp nan: expected a number"),
        ("a.jsonl", '{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": 3}', "expected a list"),
        ("a.csv", "a,b\n1,2", "a.csv:1: expected columns arrived_at_s, prompt, generate or TIMESTAMP"),
        ("a.csv", "arrived_at_s,prompt,generate\n1,2.5,3", 'a.csv:2: prompt "2.5": expected tokens from 1'),
        ("a.csv", "arrived_at_s,prompt,generate\nsoon,2,3", 'arrived_at_s "soon": expected a number, or a date'),
        ("a.csv", "arrived_at_s,prompt,generate\n1,2", "generate"),
    ],
)
def test_a_bad_trace_is_refused_by_its_line(tmp_path: Any, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(RooflineError) as failure:
        roofline.simulate(MODEL, "h100", workload=str(path))
    assert problem in str(failure.value)
    assert "\n" not in str(failure.value)


def test_dates_of_azure_are_seconds(tmp_path: Any) -> None:
    path = tmp_path / "azure.csv"
    rows = ("2023-11-16 18:17:03.9799600,4808,10", "2023-11-16 18:17:05.4799600,110,27")
    path.write_text("\n".join(("TIMESTAMP,ContextTokens,GeneratedTokens", *rows)))
    ledger = roofline.simulate(MODEL, "h100", workload=str(path)).ledger
    assert ledger.arrived.tolist() == pytest.approx([0, 1.5])


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"workload": "agents"}, 'workload "agents": did you mean agent'),
        ({"workload": "agent", "prompt": 5}, "agent has lengths of its own"),
        ({"load": None, "arrivals": "trace"}, "only a trace has times"),
        ({"workload": "none.csv"}, "none.csv: cannot be read"),
    ],
)
def test_bad_workloads_are_one_line(asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(RooflineError) as failure:
        simulated(**{"requests": 2, **asked})
    assert problem in str(failure.value)


def test_clients_who_think_obey_the_interactive_response_time_law() -> None:
    """Clients = throughput x (response + think time): Denning and Buzen 1978, Operational Analysis."""
    clients, think = 20, 5.0
    found = simulated(load=None, concurrency=clients, think=f"{think:g}s", requests=600)
    own = found.ledger
    begun = np.sort(own.arrived)[:-clients]  # until clients have nothing more to ask
    answered, served = (own.finished - own.arrived).mean(), len(begun) / begun[-1]
    assert served * (answered + think) == pytest.approx(clients, rel=0.05)
    assert f"{clients} clients in a closed loop, who think 5 s" in found.asked.words
    assert own.finished.max() > simulated(load=None, concurrency=clients, requests=600).ledger.finished.max()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"think": "5s"}, "think goes with the clients of a closed loop"),
        ({"load": None, "concurrency": 4, "think": "-1s"}, "is negative"),
        ({"load": None, "concurrency": 4, "think": "5"}, "has no unit"),
    ],
)
def test_a_think_time_that_means_nothing_is_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(RooflineError, match=told):
        simulated(**asked)
