"""Prefix hits are those of a least-recently-used cache of blocks, replayed block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain_clock import PlainClock, at, room, served
from replayed_cache import Blocks, blocks_of, rounds

from roofline.program.traffic.traces import Path
from roofline.simulation.arrivals import Arrivals
from roofline.simulation.events import round_robin, run
from roofline.simulation.ledger import Ledger
from roofline.simulation.scheduler import Replica


def hits(ledger: Ledger, arrivals: Arrivals, clients: int, **how: Any) -> list[float]:
    run(ledger, arrivals, [Replica(0, PlainClock(8192), ledger=ledger, most=100, **how)], round_robin)  # type: ignore[arg-type]
    shares = ledger.cached.reshape(-1, clients).sum(axis=1) / ledger.prompt.reshape(-1, clients).sum(axis=1)
    return [float(share) for share in shares]


def test_histories_hit_round_by_round() -> None:
    ledger, arrivals = rounds(20, 9, 512)
    found = hits(ledger, arrivals, 20, room=room(200_000, 16))
    assert found[1:] == pytest.approx([0.5, 0.667, 0.75, 0.8, 0.833, 0.857, 0.875, 0.889], abs=0.01)
    assert found[0] == 0


def test_too_little_room_loses_all_hits_of_clients_in_turn() -> None:
    """The least recently used is the one that comes next: a cache a little too small is no cache."""
    ledger, arrivals = rounds(20, 4, 512)
    assert max(hits(ledger, arrivals, 20, room=room(1500, 16))) < 0.3


@pytest.mark.parametrize("tokens", [300, 700, 2000, 10**6])
@pytest.mark.parametrize("block", [1, 16])
def test_hits_are_those_of_a_replayed_lru(tokens: int, block: int) -> None:
    """One request at a time, of sessions that share a first prompt and come in any order, in a cache of any size."""
    rng = np.random.default_rng(tokens + block)
    length, prompts, answers, paths = dict[int, int](), [], [], dict[int, Path]()
    begun = list(range(8))
    for request in range(150):
        place, added = int(rng.integers(8)), int(rng.integers(1, 25))
        if length.get(begun[place], 40) + added > 200:
            begun[place] = request + 8  # another one begins
        session = begun[place]
        before = length.get(session, 40)
        prompts.append(before + added)
        answers.append(int(rng.integers(1, 12)))
        length[session] = before + added + answers[-1] - 1
        paths[request] = (("shared", 40), (session, length[session]))
    ledger = Ledger.of(np.array(prompts), np.array(answers), paths)
    one = Replica(0, PlainClock(8192), room(tokens + 200, block), ledger, most=1)  # type: ignore[arg-type]
    run(ledger, Arrivals.at(np.arange(150) * 1e4), [one], round_robin)
    cache = Blocks((tokens + 200) // block)
    replayed = [
        cache.serve(blocks_of(path, block), (prompts[n] - 1) // block, last=path[-1][1] % block > 0) * block
        for n, path in paths.items()
    ]
    total = sum(prompts)
    assert sum(replayed) > 0.1 * total
    assert ledger.cached.sum() / total == pytest.approx(sum(replayed) / total, abs=0.01)


def test_what_is_held_and_what_is_idle_are_what_the_segments_are() -> None:
    ledger, arrivals = rounds(6, 5, 100)
    replica = Replica(0, PlainClock(64), room(1200, 8), ledger, most=3)  # type: ignore[arg-type]
    run(ledger, arrivals, [replica], round_robin)
    cache = replica.prefixes
    assert cache.used == pytest.approx(0)
    assert cache.idle == sum(segment.end - segment.start for segment in cache.segments.values())
    assert all(segment.users == 0 for segment in cache.segments.values())
    assert cache.idle <= 1200
    assert not np.isnan(ledger.finished).any()


def test_two_at_once_hold_a_prefix_once() -> None:
    paths: dict[int, Path] = {n: (("shared", 96), (n, 128)) for n in range(3)}
    ledger = Ledger.of(np.full(3, 128), np.full(3, 50), paths)
    replica = Replica(0, PlainClock(8192), room(10**6, 16), ledger, most=3)  # type: ignore[arg-type]
    run(ledger, at(0, 100, 105), [replica], round_robin)
    assert ledger.cached.tolist() == [0, 96, 96]
    without, _ = served([128] * 3, [50] * 3, at(0, 100, 105), PlainClock(8192))
    assert ledger.first[1] < without.first[1]
