"""Tiers below the devices' memory: hits are those of a replayed cache, loads take their time, what does not pay is not
loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain_clock import PlainClock, at, room
from replayed_cache import Blocks, blocks_of, rounds

import roofline
from roofline.errors import UsageError
from roofline.hardware.cache_tiers import Tier, read_tiers
from roofline.hardware.loading import load_hardware
from roofline.prediction.request import read_request
from roofline.program.traffic.traces import Path
from roofline.simulation.arrivals import Arrivals
from roofline.simulation.cache import CacheRoom
from roofline.simulation.events import round_robin, run
from roofline.simulation.ledger import Ledger
from roofline.simulation.prefix_cache import PrefixCache
from roofline.simulation.scheduler import Replica
from roofline.simulation.tiers import Channel, Shelf

BREAK_EVEN = 100.0  # B/s: a token is a byte, and takes a hundredth of a second


def tier(size: float = 1e9, read: float = 1e12, write: float = 1e12, name: str = "host") -> Tier:
    return Tier(name, size, read, write)


def replica(ledger: Ledger, own: CacheRoom, *tiers: Tier, shelves: Any = None, number: int = 0, **how: Any) -> Replica:
    shelves = shelves or [Shelf(each, PrefixCache(own)) for each in tiers]
    asked = {"most": 100, "channels": [Channel(shelf) for shelf in shelves], **how}
    return Replica(number, PlainClock(8192), own, ledger, **asked)  # type: ignore[arg-type]


def session(*prompts: int, names: str) -> Ledger:
    """Prompts with an answer of one token, each of a session by its name, all of whose prompts begin alike."""
    paths: dict[int, Path] = {n: ((name, each),) for n, (name, each) in enumerate(zip(names, prompts, strict=True))}
    return Ledger.of(np.array(prompts), np.ones(len(prompts), dtype=np.int64), paths)


def asked_again(*tiers: Tier, **how: Any) -> tuple[Ledger, Replica]:
    """A prompt, another one that takes its place, and the first one with as much again."""
    ledger = session(1000, 2000, 2000, names="aba")
    one = replica(ledger, room(2000, 8), *tiers, **how)
    run(ledger, at(0, 100, 200), [one], round_robin)
    return ledger, one


def test_histories_hit_round_by_round_where_only_the_tier_has_room() -> None:
    ledger, arrivals = rounds(20, 9, 512)
    run(ledger, arrivals, [replica(ledger, room(8 * 512 + 1600, 16), tier())], round_robin)
    shares = ledger.cached.reshape(-1, 20).sum(axis=1) / ledger.prompt.reshape(-1, 20).sum(axis=1)
    assert shares[1:] == pytest.approx([0.5, 0.667, 0.75, 0.8, 0.833, 0.857, 0.875, 0.889], abs=0.01)
    assert ledger.loaded.sum() > 0.9 * ledger.cached.sum()


@pytest.mark.parametrize("tokens", [300, 700, 2000])
def test_hits_are_those_of_a_replayed_lru_of_the_tier(tokens: int) -> None:
    rng, block = np.random.default_rng(tokens), 16
    length, prompts, paths = dict[int, int](), list[int](), dict[int, Path]()
    for request in range(150):
        session = int(rng.integers(8)) + 8 * (request // 50)
        length[session] = length.get(session, 40) + int(rng.integers(1, 25))
        prompts.append(length[session])
        paths[request] = (("shared", 40), (session, length[session]))
    ledger = Ledger.of(np.array(prompts), np.ones(150, dtype=np.int64), paths)
    one = replica(ledger, room(max(prompts) + 16, block), tier(tokens), most=1)
    run(ledger, Arrivals.at(np.arange(150) * 1e4), [one], round_robin)
    cache, devices = Blocks(tokens // block), Blocks((max(prompts) + 16) // block)
    found = 0
    for n, path in paths.items():
        asked = blocks_of(path, block), (prompts[n] - 1) // block
        found += max(cache.serve(*asked, last=False), devices.serve(*asked, last=path[-1][1] % block > 0)) * block
    assert found > 0.1 * sum(prompts)
    assert ledger.cached.sum() / sum(prompts) == pytest.approx(found / sum(prompts), abs=0.01)


def test_a_loaded_prompt_waits_for_its_bytes_and_reads_the_rest() -> None:
    """1,000 tokens at 250 B/s take 4 s where computing them takes 10, then the other half of the prompt is read."""
    ledger, one = asked_again(tier(read=250))
    assert ledger.loaded.tolist() == [0, 0, 1000]
    assert ledger.scheduled[2] == pytest.approx(204)
    assert ledger.first[2] == pytest.approx(204 + 1 + 0.01 * 1000)
    assert one.channels[0].tokens == 1000


@pytest.mark.parametrize(("rate", "loads"), [(0.9, False), (1.1, True)])
def test_what_takes_longer_to_load_than_to_compute_is_computed(rate: float, *, loads: bool) -> None:
    ledger, _ = asked_again(tier(read=rate * BREAK_EVEN))
    without, _ = asked_again()
    assert (ledger.loaded[2] > 0) == loads
    assert (ledger.first[2] < without.first[2]) == loads
    assert loads or ledger.first.tolist() == without.first.tolist()


def test_a_link_is_read_by_one_after_the_other_and_a_wait_counts() -> None:
    """Of three prompts that are asked again at once, each of which loads in 4 s, the third is computed in 10."""
    ledger = session(1000, 1000, 1000, 3500, 1000, 1000, 1000, names="abcdabc")
    run(ledger, at(0, 100, 200, 300, 400, 400, 400), [replica(ledger, room(3504, 8), tier(read=250))], round_robin)
    assert (ledger.loaded[4:] > 0).tolist() == [True, True, False]


def test_what_is_being_written_is_not_there_yet() -> None:
    ledger, _ = asked_again(tier(write=1000 / 150))
    assert ledger.loaded[2] == 1000
    late, one = asked_again(tier(write=1000 / 195))
    assert late.loaded[2] == 0
    assert one.channels[0].written_bytes == pytest.approx(4000, rel=0.01), "the first half is written once"


def test_the_tier_that_has_most_goes_on_from_the_faster_one() -> None:
    ledger, one = asked_again(tier(504), tier(read=200, name="ssd"))
    assert [channel.tokens for channel in one.channels] == [0, 1000]
    small, two = asked_again(tier(2504), tier(read=200, name="ssd"))
    assert [channel.tokens for channel in two.channels] == [504, 496]
    assert small.first[2] < ledger.first[2]


def test_replicas_share_what_is_remote() -> None:
    own = room(2000, 8)
    for shared in (True, False):
        ledger = session(1000, 2000, names="aa")
        remote = tier(name="remote")
        shelves = [Shelf(remote, PrefixCache(own))] * 2 if shared else [Shelf(remote, PrefixCache(own)) for _ in "ab"]
        two = [replica(ledger, own, shelves=[shelf], number=n) for n, shelf in enumerate(shelves)]
        run(ledger, at(0, 100), two, round_robin)
        assert ledger.loaded[1] == 1000 * shared


@pytest.mark.parametrize("chunk", [None, 16, 64])
@pytest.mark.parametrize("size", [150, 600])
def test_no_request_is_lost_and_no_room_taken_twice(chunk: int | None, size: int) -> None:
    """Sessions that preempt each other in little room, with loads that take some steps."""
    rng = np.random.default_rng(size)
    prompts, answers = rng.integers(2, 60, 80), rng.integers(1, 40, 80)
    paths: dict[int, Path] = {n: (("shared", 8), (n % 7, max(8, int(prompts[n] + answers[n] - 1)))) for n in range(80)}
    ledger = Ledger.of(prompts, answers, paths)
    one = replica(ledger, room(108, 4), tier(size, read=150), tier(10 * size, read=120, name="ssd"), most=5)
    one.clock = PlainClock(chunk, rules={"pass_tokens": chunk})  # type: ignore[assignment]
    run(ledger, Arrivals.at(np.sort(rng.random(80)) * 60), [one], round_robin)
    assert not np.isnan(ledger.finished).any()
    assert np.all(ledger.loaded <= ledger.cached)
    assert ledger.loaded.sum() > 0
    assert ledger.preempted.sum() > 0
    assert one.meter.most_cache <= 1
    assert one.prefixes.used == pytest.approx(0)
    assert one.loading_bytes == pytest.approx(0)
    for channel in one.channels:
        assert channel.shelf.kept.used == pytest.approx(0)
        assert channel.shelf.kept.idle <= channel.shelf.tier.bytes


def test_more_room_below_hits_no_less_and_waits_no_longer() -> None:
    asked: dict[str, Any] = {"load": 0.5, "workload": "agent", "requests": 300, "reserve": 0.35}
    found = [roofline.simulate("llama-3.1-70b", "4xh100", offload=size, **asked) for size in (None, "kv=1TB")]
    without, whole = (each.outcome for each in found)
    assert whole.cached > without.cached
    assert whole.times["ttft_s"].mean < without.times["ttft_s"].mean
    even = found[1].break_even
    assert even is not None
    assert even.bytes == pytest.approx(80 * 2 * 8 * 128 * 2 * even.prompt, rel=1e-3)  # a key and a value of each layer
    assert found[1].deployment.tiers[0].read == 4 * 63e9 > even.bandwidth
    assert found[0].break_even is None


def test_what_nobody_shares_is_said_and_hits_may_be_overridden() -> None:
    asked: dict[str, Any] = {"load": 2.0, "requests": 40}
    found = roofline.simulate("llama-3.1-8b", "h100", offload="kv=1TB", **asked)
    assert any("hold nothing" in note for note in found.notes)
    given = roofline.simulate("llama-3.1-8b", "h100", workload="agent", prefix_hits=0.25, **asked)
    assert given.outcome.cached == pytest.approx(0.25, abs=0.001)
    assert not given.ledger.paths


def test_sessions_of_different_adapters_share_no_cache() -> None:
    """Keys and values differ by the adapter: what all sessions begin with is cached once for each of them."""
    asked: dict[str, Any] = {"load": 0.5, "workload": "agent", "requests": 120}
    alone, few = (roofline.simulate("llama-3.1-8b", "h100", lora=lora, **asked) for lora in ("1x16", "4x16"))
    assert len({path[0][0] for path in alone.ledger.paths.values()}) == 1
    used = {path[0][0]: path[1][0] for path in few.ledger.paths.values()}
    assert 1 < len(used) <= 4
    by_session = {(path[1][0], path[0][0]) for path in few.ledger.paths.values()}
    assert len(by_session) == len({session for session, _ in by_session}), "a session keeps its adapter"
    assert few.outcome.cached < alone.outcome.cached


def test_tiers_are_read_with_the_rates_of_their_links() -> None:
    request = read_request("llama-3.1-8b", "8xh100")
    host, ssd, remote = read_tiers(
        "kv=host:200GB+ssd:4TB@12GB/s:6GB/s+remote:20TB", request.device, request.fleet.links, 2
    )
    assert (host.bytes, host.read, host.write) == (200e9, 2 * 63e9, 2 * 63e9)
    assert (ssd.bytes, ssd.read, ssd.write) == (4e12, 12e9, 6e9)
    assert (remote.read, remote.shared, ssd.shared) == (2 * 50e9, True, False)
    assert read_tiers("kv=200GB", request.device, request.fleet.links, 2) == (host,)


@pytest.mark.parametrize(
    ("offload", "problem"),
    [
        ("200GB", "expected kv=SIZE of the host's memory"),
        ("weights=200GB", "expected kv=SIZE"),
        ("kv=", "expected kv=SIZE"),
        ("kv=200", '"200" has no unit'),
        ("kv=200GB/s", "is a rate"),
        ("kv=0GB", "above 0"),
        ("kv=tape:2TB", '"tape:2TB" is no tier with its size, expected host, ssd or remote'),
        ("kv=ssd:2TB", "no rate of it is stated"),
        ("kv=ssd:2TB@5GB", "is a size"),
        ("kv=1GB+host:2GB", "named twice"),
        ("kv=host", "states no host_memory"),
    ],
)
def test_what_is_no_tier_is_refused(offload: str, problem: str) -> None:
    with pytest.raises(UsageError, match=r"^offload") as refusal:
        read_tiers(offload, load_hardware("h100"), {}, 1)
    assert problem in str(refusal.value)
