"""Lengths of prompts and answers: numbers, lists, log-normal distributions; presets with their sources."""

from __future__ import annotations

import json
from contextlib import suppress
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.errors import RooflineError, UsageError
from roofline.program.traffic.asked import read_traffic
from roofline.program.traffic.sessions import SESSIONS, draw_sessions
from roofline.program.traffic.traffic import PRESETS, Traffic, fixed, in_flight, lognormal, read_lengths


@given(st.integers(50, 5000), st.floats(1, 5))
def test_a_log_normal_distribution_keeps_its_mean_and_its_order(median: int, ratio: float) -> None:
    p90 = int(median * ratio)
    lengths = lognormal(median, p90)
    mean = median * exp((log(p90 / median) / 1.2815515655446004) ** 2 / 2)
    assert lengths.mean == pytest.approx(mean, abs=0.5)  # rounding to whole tokens
    assert list(lengths.tokens) == sorted(lengths.tokens)
    assert sum(lengths.weights) == pytest.approx(1)
    assert lengths.tokens[3] - 1 <= median <= lengths.tokens[4] + 1


def test_a_distribution_without_spread_is_its_median() -> None:
    assert set(lognormal(500, 500).tokens) == {500}


@pytest.mark.parametrize(
    ("text", "tokens"), [("2048", (2048,)), ("32k", (32000,)), ("2Ki", (2048,)), ("128/512/1k", (128, 512, 1000))]
)
def test_lengths_in_words(text: str, tokens: tuple[int, ...]) -> None:
    assert read_lengths(text).tokens == tokens


@pytest.mark.parametrize("text", ["", "x", "1/", "1:", ":2", "2:1", "0", "-5", "1.5", "1e99", "1:2:3", "1/2:3"])
def test_bad_lengths_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_lengths(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_lengths_or_an_error(text: str) -> None:
    with suppress(RooflineError):
        assert read_lengths(text).mean >= 1


@pytest.mark.parametrize("name", PRESETS)
def test_presets_say_who_measured_them_or_that_they_are_assumed(name: str) -> None:
    traffic = read_traffic({"workload": name})
    assert traffic.source == "assumed" or "arXiv" in traffic.source
    assert traffic.source in traffic.words()
    assert traffic.name == name


def test_means_of_the_azure_traces() -> None:
    """The 2023 traces' means, from which the spread was taken: 1,155 and 211 tokens of chat, 2,048 and 28 of code."""
    chat, code = read_traffic({"workload": "chat"}), read_traffic({"workload": "code-completion"})
    assert (chat.prompt.mean, chat.generate.mean) == (pytest.approx(1155, rel=0.01), pytest.approx(211, rel=0.01))
    assert (code.prompt.mean, code.generate.mean) == (pytest.approx(2048, rel=0.01), pytest.approx(28, rel=0.01))


def test_ones_own_lengths_take_the_place_of_a_presets() -> None:
    traffic = read_traffic({"workload": "rag", "prompt": 8000, "prefix_hits": 0.5})
    assert traffic.prompt.tokens == (8000,)
    assert traffic.cached == 0.5
    assert traffic.generate == read_traffic({"workload": "rag"}).generate
    assert traffic.source == "assumed; changed"


@pytest.mark.parametrize("cached", [-0.1, 1.0, 2.0])
def test_a_whole_prompt_cannot_be_cached(cached: float) -> None:
    with pytest.raises(UsageError, match="from 0 to below 1"):
        read_traffic({"workload": "chat", "prefix_hits": cached})


def test_traffic_that_decodes_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing is decoded"):
        read_traffic({"prompt": 100, "generate": 1})


def test_an_unknown_workload_names_near_ones() -> None:
    with pytest.raises(UsageError, match="did you mean chat"):
        read_traffic({"workload": "chatt"})


def test_in_flight_as_arithmetic() -> None:
    """One length: steps attend to 101 ... 119, whose mean is 110."""
    lengths, weights = in_flight(Traffic("t", fixed(100), fixed(20)))
    assert np.sum(lengths * weights) == pytest.approx(110)
    assert np.sum(lengths**2 * weights) == pytest.approx(np.mean(np.arange(101, 120) ** 2), rel=1e-3)


def test_long_answers_are_met_more_often() -> None:
    """Answers of 11 and 31 tokens, as likely: 10 and 30 steps, so that three of four in flight are long."""
    lengths, weights = in_flight(Traffic("t", fixed(100), read_lengths("11/31")))
    assert np.sum(lengths * weights) == pytest.approx(0.25 * 105.5 + 0.75 * 115.5)


def test_agents_have_the_contexts_that_were_recorded() -> None:
    """InferenceX issue 1632: 12, 39, 70 and 90 % of the contexts of 472 sessions within 64k, 128k, 256k and 512k."""
    turns = draw_sessions(SESSIONS["agent"], 30_000, 10**8, np.random.default_rng(0))
    contexts = turns.prompt + turns.generate
    for limit, part in ((64_000, 0.12), (128_000, 0.39), (256_000, 0.70), (512_000, 0.90)):
        assert np.mean(contexts <= limit) == pytest.approx(part, abs=0.12)
    assert np.median(contexts) > 128_000
    assert np.count_nonzero(~turns.follows) == pytest.approx(30_000 / 182, rel=0.2)


def test_the_traffic_of_agents_ends_at_the_positions_and_hits_what_came_before() -> None:
    short, long = (read_traffic({"workload": "agent"}, positions) for positions in (32_768, 1_000_000))
    assert max(short.prompt.tokens) < 32_768 < long.prompt.mean
    assert 0.9 < short.cached < long.cached < 1
    assert "of it cached if no block is lost" in long.words()
    assert read_traffic({"workload": "agent", "prefix_hits": 0.5}).cached == 0.5


def test_a_trace_is_traffic_with_the_hits_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    entries = [
        {"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [0, 1, 2]},
        {"timestamp": 9, "input_length": 1030, "output_length": 7, "hash_ids": [0, 1, 3]},
        {"timestamp": 4, "input_length": 2000, "output_length": 9, "hash_ids": [0, 7, 8, 9]},
    ]
    path.write_text("\n".join(map(json.dumps, entries)))
    traffic = read_traffic({"workload": str(path)})
    assert traffic.prompt.tokens == (1030, 1100, 2000)
    assert traffic.generate.tokens == (5, 7, 9)
    assert traffic.cached == pytest.approx((512 + 1024) / 4130)
    plain = tmp_path / "plain.csv"
    plain.write_text("arrived_at_s,prompt,generate\n0,10,2\n1,30,4\n")
    assert (read_traffic({"workload": str(plain)}).cached, read_traffic({"workload": str(plain)}).prompt.mean) == (
        0,
        20,
    )


@pytest.mark.parametrize("name", ["agent", "x.csv"])
def test_what_has_lengths_of_its_own_takes_no_others(name: str) -> None:
    with pytest.raises(UsageError, match="has lengths of its own; leave it out"):
        read_traffic({"workload": name, "prompt": 100})
