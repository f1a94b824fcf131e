"""Pipeline stages simulated: groups of sequences that follow each other through the slowest stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import roofline
from roofline.errors import RooflineError
from roofline.parallelism.layout import Layout
from roofline.serving.batch_sweep import curves_in_flight
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.scenario import read_question
from roofline.serving.step_clock import Line, StepClock
from roofline.simulation.simulate import Simulation

MODEL = "llama-3.1-8b"
AT_ONCE = {"engine.front_end": "0 s"}
LENGTHS = {"prompt": "16/20", "generate": "32/64/96/128"}


def staged(**asked: Any) -> Simulation:
    return roofline.simulate(MODEL, "4xh100", **{"set": AT_ONCE, **asked})


@pytest.mark.parametrize(("tp", "pp"), [(2, 2), (1, 4)])
def test_where_little_is_read_a_closed_loop_is_the_steady_state_of_compare(tp: int, pp: int) -> None:
    clients = 32
    found = staged(concurrency=clients, tp=tp, pp=pp, requests=400, **LENGTHS).outcome
    (curve,) = curves_in_flight(
        read_question(MODEL, **LENGTHS), read_hardware(["4xh100"])[0], [clients], Layout(tp=tp, pp=pp)
    )
    assert found.requests_per_s == pytest.approx(curve.of("requests_per_s")[0], rel=0.06)
    assert found.times["tpot_s"].mean == pytest.approx(curve.of("tpot_s")[0], rel=0.06)
    assert found.sequences == pytest.approx(clients, rel=0.1)  # of all groups of the replica


def test_groups_alike_take_the_slowest_stage_times_their_number_and_one_alone_its_path() -> None:
    clock = StepClock.of_stages(MODEL, "4xh100", pp=4)
    line = Line.of(clock)
    assert line is not None
    new, attended = np.ones(8), np.full(8, 500.0)
    path = clock.seconds(new, attended)
    ends = np.zeros(4)  # of the last step of each group
    for _ in range(20):
        for group in range(4):
            ends[group] = line.ends(new, attended, path, 1.0, ends[group])
    before = ends.copy()
    for group in range(4):
        ends[group] = line.ends(new, attended, path, 1.0, ends[group])
    parts = [part.seconds(new, attended) for part in line.parts]
    slowest = max(line.pipeline.stage_values(*parts))
    assert sum(parts) < path  # which hands on, and waits for the host
    assert ends - before == pytest.approx(max(path, 4 * slowest), rel=1e-9)
    free = line.anew()
    assert free.ends(new, attended, path, 1.0, 3.0) == 3.0 + path
    assert free.ends(new, attended, path, 1.0, 3.0) == pytest.approx(3.0 + path + slowest)  # nobody is overtaken


def test_all_requests_are_served_and_a_prompt_holds_the_others_up() -> None:
    asked = {"tp": 2, "pp": 2, "load": 4.0, "generate": 24, "requests": 60}
    short, long = (staged(prompt=prompt, **asked) for prompt in (100, 6000))
    for found in (short, long):
        assert not np.isnan(found.ledger.finished).any()
        assert np.all(found.ledger.finished > found.ledger.first)
    assert long.outcome.times["tpot_s"].mean > 1.1 * short.outcome.times["tpot_s"].mean
    assert short.deployment.devices == 4
    assert str(short.deployment.clock.replica.layout) == "tp 2, pp 2"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"offload": "kv=100GB"}, "stages are not simulated with offload"),
        ({"speculate": "3:0.7"}, "stages are not simulated with speculate"),
        ({"prefill_on": "4xh100"}, "stages are not simulated with prefill_on"),
        ({"workload": "agent"}, "stages are not simulated with prompts that requests share"),
    ],
)
def test_what_stages_are_not_simulated_with_is_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(RooflineError, match=told):
        staged(pp=2, load=1.0, requests=20, **asked)
