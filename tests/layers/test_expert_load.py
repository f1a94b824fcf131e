"""The load of experts: expectations, round robin, and draws from power laws, for numbers, arrays and letters."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.errors import UsageError
from roofline.layers.expert_load import Load, Routing, _copied, _packed, _raised
from roofline.layers.mixture_of_experts import touched_experts
from roofline.program.axes import Sizes

BALANCED, SKEWED = Routing("balanced"), Routing("power_law", 1.2)


def sizes(tokens: int, experts: int, picked: int) -> Sizes:
    return {"B": tokens, "T": 1, "E": experts, "A": picked}


def test_uniform_is_what_is_expected_of_each_device() -> None:
    found = Routing().load(sizes(4, 8, 2), devices=2)
    assert found == Load(4, touched_experts(sizes(4, 8, 2)) / 2)


def test_round_robin_leaves_the_fullest_device_what_does_not_divide() -> None:
    assert BALANCED.load(sizes(1, 8, 2), devices=8) == Load(1, 1.0)
    assert BALANCED.load(sizes(3, 8, 2), devices=4) == Load(2, 2.0)
    assert BALANCED.load(sizes(100, 8, 2), devices=4) == Load(50, 2.0)


SHAPES = st.tuples(st.integers(1, 500), st.integers(0, 3), st.integers(1, 8), st.integers(0, 2))


@given(SHAPES, st.floats(0.2, 3.0))
def test_a_skewed_load_is_no_less_than_the_even_one_and_no_more_than_all(
    shape: tuple[int, int, int, int], exponent: float
) -> None:
    tokens, more, picked, fewer = shape
    experts, devices = 8 * 2**more, 2**fewer
    asked = sizes(tokens, experts, picked)
    found = Routing("power_law", exponent).load(asked, devices)
    even = BALANCED.load(asked, devices)
    assert even.pairs <= found.pairs <= tokens * picked
    assert Routing("power_law", exponent).load(asked, experts).pairs <= tokens
    assert 1 <= found.touched <= min(Fraction(experts, devices), found.pairs)
    assert devices > 1 or found.pairs == tokens * picked


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(1, 8), st.integers(0, 4))
def test_placing_by_load_keeps_all_pairs_and_fills_all_places(loads: list[int], devices: int, more: int) -> None:
    places = -(-(len(loads) + more) // devices) * devices
    copies = _copied([float(load) for load in loads], places)
    held = _packed(copies, devices)
    assert len(copies) == places
    assert {len(each) for each in held} == {places // devices}
    assert sum(map(sum, held)) == pytest.approx(sum(loads))
    assert sorted(load for each in held for load in each) == sorted(copies)
    assert max(copies) <= max(loads)


def test_placed_by_load_the_fullest_device_has_less_and_copies_take_from_it() -> None:
    asked, placed = sizes(500, 64, 4), Routing("power_law", 1.2, placed=True)
    in_order, by_load = (float(routing.load(asked, 8).pairs) for routing in (SKEWED, placed))
    spread = float(placed.load(sizes(500, 72, 4), 8, 64).pairs)
    assert 250 <= spread < by_load < 0.8 * in_order
    assert spread < 260


def test_arrays_are_their_numbers() -> None:
    tokens, devices = np.array([[1.0], [64.0], [64.0]]), np.array([1, 4])
    for routing in (Routing(), BALANCED, SKEWED, Routing("power_law", 1.2, placed=True)):
        found = routing.load({**sizes(1, 16, 2), "B": tokens}, devices)
        for row, column in np.ndindex(3, 2):
            one = routing.load(sizes(int(tokens[row, 0]), 16, 2), int(devices[column]))
            pairs, touched = (np.broadcast_to(np.asarray(part), (3, 2)) for part in (found.pairs, found.touched))
            assert pairs[row, column] == pytest.approx(float(one.pairs))
            assert touched[row, column] == pytest.approx(float(one.touched))


def test_letters_take_formulas_and_no_draws() -> None:
    from sympy import Symbol

    letters = {**sizes(1, 16, 2), "B": Symbol("B", positive=True, integer=True)}
    assert str(BALANCED.load(letters, 4).pairs) == "ceiling(B/2)"
    with pytest.raises(UsageError, match=r"routing power_law:1.2 is drawn for numbers, and here sizes are letters"):
        SKEWED.load(letters, 4)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "even",
        "power_law",
        "power_law:",
        "power_law:0",
        "power_law:nan",
        "power_law:9",
        "power_law:1:",
        "power_law:1:b",
        3,
    ],
)
def test_other_words_are_refused(word: object) -> None:
    with pytest.raises(UsageError, match="expected uniform, balanced, power_law:A or power_law:A:eplb, A from 0 to 8"):
        Routing.of(word)


@pytest.mark.parametrize("word", ["uniform", "balanced", "power_law:1.2"])
def test_words_are_what_they_were_read_from(word: str) -> None:
    assert Routing.of(word).words == word


@given(st.lists(st.integers(-5, 9), min_size=1, max_size=7), st.integers(0, 40))
def test_what_rounding_left_goes_to_the_emptiest_one_by_one(counts: list[int], added: int) -> None:
    slow = np.array(counts, dtype=float)
    for _ in range(added):
        slow[slow.argmin()] += 1
    assert np.sort(_raised(np.array(counts, dtype=float), np.array(float(added)))).tolist() == np.sort(slow).tolist()
