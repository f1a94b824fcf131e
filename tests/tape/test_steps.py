"""Means over steps from a few of their values are the sums over all steps."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from roofline.errors import RooflineError
from roofline.models.sources import preset_names
from roofline.prediction.recording import Recording
from roofline.tape.steps import means_over_steps
from roofline.tape.tape import Tape


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 255, 100_000])
def test_a_polynomial_adds_up_in_one_go(count: int) -> None:
    asked: list[int] = []

    def powers(step: Any) -> Any:
        asked.append(step.shape[-1])
        return tuple((step / count) ** power for power in range(8)), ()

    every = np.arange(1, count + 1) / count
    found = means_over_steps(powers, [], count, smooth=True)
    assert found == pytest.approx([np.mean(every**power) for power in range(8)], rel=1e-13)
    assert asked == [10]


@pytest.mark.parametrize("turn", [1.0, 1.5, 3.0, 77.0, 77.3, 199.5, 200.0, 500.0])
def test_a_turn_is_found_wherever_it_is(turn: float) -> None:
    def bent(step: Any, at: Any) -> Any:
        return (np.maximum(step, at), np.where(step < at, 2.0, 3.0), np.sqrt(step)), (step - at,)

    every = np.arange(1, 201)
    expected = [np.maximum(every, turn).mean(), np.where(every < turn, 2.0, 3.0).mean(), np.sqrt(every).mean()]
    found = means_over_steps(bent, [np.array([turn, 1e9])], 200, smooth=True)
    assert [float(each[0]) for each in found] == pytest.approx(expected, rel=1e-14)


def test_choices_that_turn_back_between_two_nodes_are_found() -> None:
    def dip(step: Any) -> Any:
        below = (step - 101.0) ** 2 - 10.0  # below zero on seven steps of 200
        return (np.maximum(below, 0.0),), (below,)

    (found,) = means_over_steps(dip, [], 200, smooth=True)
    assert found == pytest.approx(np.maximum((np.arange(1, 201) - 101.0) ** 2 - 10.0, 0.0).mean(), rel=1e-14)


def test_what_is_rounded_is_added_up_step_by_step() -> None:
    def tiles(step: Any, start: Any) -> Any:
        return (np.ceil((start + step) / 16),), ()

    starts, counts = np.array([[0.0, 5.0]]), np.array([[1.0], [16.0], [250.0]])
    (found,) = means_over_steps(tiles, [starts], counts, smooth=False)
    expected = [[np.ceil((start + np.arange(1, count + 1)) / 16).mean() for start in starts[0]] for (count,) in counts]
    assert found == pytest.approx(np.array(expected), rel=1e-14)


def agrees(tape: Tape, rng: random.Random, points: int) -> int:
    """Arrays against the loop over all steps, which plain Python runs; at how many points the recording holds."""
    spans = {"batch": (1, 300), "prompt": (1, 6000), "generate": (2, 900)}
    names = [letter.name for letter in tape.letters]
    asked = [{name: round(np.exp(rng.uniform(*np.log(spans[name])))) for name in names} for _ in range(points)]
    holds, found = tape.where_it_holds(**{name: [point[name] for point in asked] for name in names})
    for place in np.flatnonzero(holds):
        expected = {name: float(value) for name, value in tape.at(**asked[place]).items()}
        assert {name: float(found[name][place]) for name in expected} == pytest.approx(expected, rel=1e-12, abs=1e-15)
    return int(holds.sum())


def recorded(model: str, hardware: str) -> Tape:
    recording = Recording.asked(model, hardware, (), {"batch": 4, "prompt": 300, "generate": 60})
    return recording.tape(recording.results())


@pytest.mark.parametrize(("model", "hardware"), [("gpt2", "a10"), ("qwen3-0.6b", "mi300x")])
def test_requests_are_the_sums_of_their_steps(model: str, hardware: str) -> None:
    assert agrees(recorded(model, hardware), random.Random(model), 12) > 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_any_request_is_the_sum_of_its_steps(seed: int) -> None:
    rng = random.Random(seed)
    while True:
        model, hardware = rng.choice(preset_names()), rng.choice("h100 a100 mi300x b200 t4 8xh200 m4-max".split())
        try:
            tape = recorded(model, hardware)
        except RooflineError:
            continue
        if tape._script.means:
            break
    agrees(tape, rng, 30)
