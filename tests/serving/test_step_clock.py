"""A step clock answers what a mixed step costs operator by operator, and what ``predict`` says of equal lengths."""

from __future__ import annotations

import json
import pickle
import random
from typing import Any

import numpy as np
import pytest

import roofline
from roofline.errors import RooflineError, UsageError
from roofline.parallelism.layout import Layout
from roofline.prediction.request import read_request
from roofline.prediction.step import Steps, steps_of
from roofline.program.phases import Phase
from roofline.serving.chunked_prefill import Stream, mixed_step_costs

Asked = tuple[str, str, dict[str, Any]]
CASES: list[Asked] = [
    ("llama-3.1-8b", "h100", {}),
    ("gemma-3-27b", "h100", {"dtype": "fp8"}),  # windows
    ("deepseek-v3", "8xh200", {"tp": 8}),  # latents, experts, collectives
    ("nemotron-h-8b", "h100", {"engine": "sglang"}),  # scans
    ("mixtral-8x7b", "4xa100", {"tp": 4}),
    ("gpt2", "epyc-9654", {}),  # launched by the host
    ("gpt-oss-120b", "b200", {}),
    ("qwen3-next-80b-a3b", "h200", {}),
    ("llama-3.1-8b", "mi300x", {"constants": "class"}),
]
SOME = CASES[:4]
EVERY = [*SOME, *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[4:])]
Requests = list[tuple[int, int]]


def ragged(seed: int, positions: int) -> Requests:
    """A step of decodes and pieces of prompts, or of decodes alone."""
    rng = random.Random(seed)
    most = min(positions // 2, 3000)
    pieces = 0.3 if seed % 3 else 0.0
    return [
        (rng.randint(2, most) if rng.random() < pieces else 1, rng.randrange(most))
        for _ in range(rng.choice((1, 5, 70)))
    ]


def steps_for(model: str, hardware: str, asked: dict[str, Any]) -> Steps:
    degrees = {flag: asked[flag] for flag in ("tp",) if flag in asked}
    request = read_request(model, hardware, **{k: v for k, v in asked.items() if k not in degrees})
    return steps_of(request, Layout.of(**degrees))


def worked_out(steps: Steps, requests: Requests) -> float:
    """The step operator by operator."""
    streams = []
    for phase in (Phase.DECODE, Phase.PREFILL):
        own = np.array([(new, new + old) for new, old in requests if (new == 1) is phase.one_token], dtype=np.float64)
        if len(own):
            streams.append(Stream(phase, float(len(own)), np.full(len(own), 1 / len(own)), own[:, 0], own[:, 1]))
    costs = mixed_step_costs(steps.program, streams, steps.precision, steps.engine)
    return float(steps.machine.step(costs).time_s)  # type: ignore[arg-type]


@pytest.mark.parametrize(("model", "hardware", "asked"), EVERY)
def test_a_ragged_step_is_what_its_operators_take(model: str, hardware: str, asked: dict[str, Any]) -> None:
    clock, steps = roofline.StepClock(model, hardware, **asked), steps_for(model, hardware, asked)
    batches = [ragged(seed, 1024 if model == "gpt2" else 8192) for seed in range(6)]
    for requests in batches:
        assert clock.step(requests) == pytest.approx(worked_out(steps, requests), rel=1e-12)
    widest = max(map(len, batches))
    array = np.zeros((len(batches), widest, 2))
    for row, requests in zip(array, batches, strict=True):
        row[: len(requests)] = requests
    assert clock.steps(array) == pytest.approx([clock.step(requests) for requests in batches], rel=1e-12)


@pytest.mark.parametrize(("model", "hardware", "asked"), SOME)
def test_equal_lengths_are_the_steps_of_predict(model: str, hardware: str, asked: dict[str, Any]) -> None:
    clock = roofline.StepClock(model, hardware, **asked)
    decode = roofline.predict(model, hardware, batch=11, context=700, **asked)
    assert clock.step([(1, 699)] * 11) == pytest.approx(decode.phases[Phase.DECODE].figures.time_s, rel=1e-12)
    prefill = roofline.predict(model, hardware, batch=3, prompt=300, phase="prefill", **asked)
    assert clock.step([(300, 0)] * 3) == pytest.approx(prefill.phases[Phase.PREFILL].figures.time_s, rel=1e-12)


@pytest.fixture(scope="module")
def clock() -> roofline.StepClock:
    return roofline.StepClock("llama-3.1-8b", "h100")


def test_a_step_of_more_tokens_than_are_kept(clock: roofline.StepClock) -> None:
    requests = [(120_000, 0), (60_000, 4), (1, 9)]
    expected = worked_out(steps_for("llama-3.1-8b", "h100", {}), requests)
    assert clock.step(requests) == pytest.approx(expected, rel=1e-12)
    assert clock.steps(np.array([requests, [(1, 5), (1, 6), (0, 0)]]))[0] == pytest.approx(expected, rel=1e-12)


def test_more_of_anything_takes_longer(clock: roofline.StepClock) -> None:
    rng = random.Random(0)
    for seed in range(12):
        requests = ragged(seed, 8192)
        longer = list(requests)
        place = rng.randrange(len(requests))
        new, old = requests[place]
        longer[place] = (new + (new > 1), old + 64)
        assert clock.step(longer) >= clock.step(requests)


def test_unequal_prompts_take_longer_than_as_many_tokens_in_equal_ones(clock: roofline.StepClock) -> None:
    """The mean of unequal lengths is not the step of the mean: pairs of tokens grow with the square of a prompt."""
    for few, many in ((100, 4000), (512, 1024), (2, 6000)):
        mean = (few + many) // 2
        unequal, equal = clock.step([(few, 0), (many, 0)]), clock.step([(mean, 0)] * 2)
        assert unequal > equal


def test_the_time_of_a_step_is_a_staircase_over_the_captured_batches(clock: roofline.StepClock) -> None:
    """A batch is padded to the next one that was captured: matmuls grow there alone, attention with each sequence."""
    times = np.array([clock.step([(1, 500)] * batch) for batch in range(8, 34)])
    rises = dict(enumerate(np.diff(times), 9))
    stairs = {1 + batch for batch in (8, 16, 24, 32)}
    between = [rise for batch, rise in rises.items() if batch not in stairs]
    assert max(between) == pytest.approx(min(between), rel=0.05)
    assert all(rises[batch] > 1.5 * max(between) for batch in stairs)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_clock_is_pickled(loaded: bool) -> None:
    model = roofline.load_model("gpt2") if loaded else "gpt2"
    hardware = roofline.load_hardware("a10") if loaded else "a10"
    clock = roofline.StepClock(model, hardware, dtype="fp16")
    again = pickle.loads(pickle.dumps(clock))
    assert again.step([(1, 5), (20, 3)]) == clock.step([(1, 5), (20, 3)])
    assert repr(again) == repr(clock) == "StepClock('gpt2', 'a10', one device)"


def test_a_table_has_the_steps_of_its_grid(clock: roofline.StepClock) -> None:
    table = json.loads(json.dumps(clock.table([1, 8], [100, 900, 3000], [64], [0, 512])))
    assert table["decode_s"][1][2] == clock.step([(1, 2999)] * 8)
    assert table["piece_s"] == [[clock.step([(64, 0)]), clock.step([(64, 512)])]]
    assert table["mixed_s"][0][1][0] == clock.step([(64, 0), *[(1, 99)] * 8])
    assert (table["model"], table["hardware"], table["engine"]) == ("llama-3.1-8b", "h100-sxm-80gb", "vllm")


@pytest.mark.parametrize(
    ("requests", "problem"),
    [
        ([], "expected whole numbers, (new tokens, cached tokens) of each request"),
        ([1, 2], "expected whole numbers"),
        ([(1, 2, 3)], "expected whole numbers"),
        ([("many", 1)], "expected whole numbers"),
        ([(1, 2), (1,)], "expected whole numbers"),
        ([(1.5, 1)], "expected whole numbers"),
        ([(float("nan"), 1)], "expected whole numbers"),
        ([(0, 5)], "new tokens from 1, cached ones from 0"),
        ([(1, -1)], "new tokens from 1, cached ones from 0"),
        ([(1, 131_072)], "131073 tokens exceed the model's 131072 positions"),
        (None, "expected whole numbers"),
    ],
)
def test_bad_requests_are_one_line(clock: roofline.StepClock, requests: Any, problem: str) -> None:
    with pytest.raises(UsageError) as failure:
        clock.step(requests)
    assert problem in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("batches", "problem"),
    [
        ([[(1, 1)], [(0, 0)]], "a step has none, expected at least one request"),
        ([(1, 1)], "0 new for none"),
        ([[(1, float("inf"))]], "exceed"),
    ],
)
def test_bad_batches_are_one_line(clock: roofline.StepClock, batches: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        clock.steps(np.array(batches))


@pytest.mark.parametrize(
    ("model", "hardware", "asked", "problem"),
    [
        ("bert-base", "h100", {}, "bert-base has encode; a step clock is of decoders alone"),
        ("t5-base", "h100", {}, "a step clock is of decoders alone"),
        ("llama-3.1-8b", "8xh100", {"tp": 2, "pp": 4}, "of one replica without pipeline stages"),
        ("mixtral-8x7b", "8xh100", {"dp": 8, "ep": 8}, "of one replica without pipeline stages"),
        ("llama-3.1-8b", "h100", {"batch": 3}, "batch is no keyword of it"),
    ],
)
def test_what_a_clock_is_not_of_is_refused(model: str, hardware: str, asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(RooflineError, match=problem):
        roofline.StepClock(model, hardware, **asked)
