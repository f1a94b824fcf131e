"""The protocol: rounds, samples, speed of the core; on a device whose clock is a script, never on real time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roofline.reports.measuring import findings_text
from roofline.validation.doctor import Findings
from roofline.validation.environment import (
    ADVISED,
    SelfTest,
    default_threads,
    missing_settings,
    numa_nodes,
    settings,
)
from roofline.validation.stopwatch import Sample, Samples, Stopwatch, stalled


class Scripted:
    """A device on which every burst takes what the script says, and every probe too."""

    kind, threads = "cpu", 1

    def __init__(self, seconds: dict[str, float], probes: list[float]) -> None:
        self.seconds, self.probes, self.timed = seconds, probes, []

    def wait(self) -> None:
        pass

    def probe(self) -> Callable[[], float]:
        return lambda: self.probes[min(len(self.timed), len(self.probes) - 1)]

    def burst(self, call: Any, turn: int, at_least_s: float, *, graph: bool) -> tuple[float, int]:
        self.timed.append(call(turn))
        return self.seconds[call(turn)], turn + 3


def test_every_call_is_timed_once_each_round_and_turns_go_on() -> None:
    device = Scripted({"a": 1.0, "b": 2.0}, [1e-3])
    seen: list[int] = []
    watch = Stopwatch(device)  # type: ignore[arg-type]
    watch.run({"a": lambda turn: seen.append(turn) or "a", "b": lambda _: "b"}, 60.0, most=4)
    assert {name: len(found) for name, found in watch.found.items()} == {"a": 4, "b": 4}
    assert sorted(device.timed) == ["a"] * 4 + ["b"] * 4
    assert max(seen) == 9  # three turns a burst, four bursts


def test_rounds_come_in_another_order() -> None:
    device = Scripted(dict.fromkeys("abcdefgh", 1.0), [1e-3])
    watch = Stopwatch(device)  # type: ignore[arg-type]
    watch.run({name: (lambda _, name=name: name) for name in "abcdefgh"}, 60.0, most=3)
    assert device.timed[:8] != device.timed[8:16]
    assert set(device.timed[:8]) == set("abcdefgh")


def test_an_interruption_keeps_what_was_measured() -> None:
    device = Scripted({"a": 1.0}, [1e-3])
    watch = Stopwatch(device)  # type: ignore[arg-type]

    def stop(what: str, done: float) -> None:
        if len(device.timed) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch.run({"a": lambda _: "a"}, 60.0, tell=stop)
    assert watch.samples()["a"].time_s == 1.0
    assert len(watch.samples()["a"].every) == 2


def test_a_slow_core_is_told_and_its_samples_are_scaled() -> None:
    samples = Samples((Sample(1.3, 1.3e-3), Sample(1.0, 1.0e-3), Sample(1.3, 1.3e-3)), reference_s=1.0e-3)
    assert samples.seconds == pytest.approx((1.0, 1.0, 1.0))
    assert samples.time_s == pytest.approx(1.0)
    assert samples.raw_s == 1.3
    assert samples.slower == pytest.approx(0.3)


def test_a_sample_stands_between_two_probes() -> None:
    watch = Stopwatch(Scripted({}, []), reference_s=1.0)  # type: ignore[arg-type]
    watch.probes = [1.0, 2.0, 4.0]
    watch.found = {"a": [(10.0, 1), (10.0, 2), (10.0, 3)]}
    assert [sample.probe_s for sample in watch.samples()["a"].every] == [1.5, 3.0, 4.0]


def test_without_a_probe_samples_are_what_they_are() -> None:
    samples = Samples((Sample(3.0), Sample(1.0), Sample(2.0)))
    assert (samples.time_s, samples.raw_s, samples.slower) == (2.0, 2.0, 0.0)


def test_noise_is_zero_for_equal_samples_and_falls_with_their_number() -> None:
    few = Samples(tuple(Sample(s) for s in (1.0, 1.1, 0.9, 1.0)))
    many = Samples(tuple(Sample(s) for s in (1.0, 1.1, 0.9, 1.0) * 16))
    assert Samples((Sample(1.0),) * 5).noise == 0
    assert 0 < many.noise < few.noise


def test_the_reference_is_what_the_probe_usually_takes() -> None:
    watch = Stopwatch(Scripted({}, []))  # type: ignore[arg-type]
    assert watch.usual_s is None
    watch.probes = [1.0, 5.0, 2.0]
    assert watch.usual_s == 2.0


def test_stalls_are_ticks_that_nothing_explains() -> None:
    assert stalled([8e-3, 8e-3, 8e-3], expected_s=1e-4)
    assert not stalled([8e-3, 8e-3, 8e-3], expected_s=7e-3)
    assert not stalled([1e-4, 8e-3, 1e-4], expected_s=1e-4)


def test_settings_that_are_missing_are_named() -> None:
    assert missing_settings(2, settings(2)) == {}
    assert missing_settings(1, {**settings(1), "OMP_NUM_THREADS": "8"}) == {"OMP_NUM_THREADS": "1"}
    assert set(ADVISED) <= set(missing_settings(1, {}))
    assert default_threads() >= 1


def test_numa_nodes_are_counted_and_several_are_a_reason_to_pin(tmp_path: Path) -> None:
    for name in ("node0", "node1", "online", "possible"):
        (tmp_path / name).mkdir()
    assert numa_nodes(tmp_path) == 2
    assert numa_nodes(tmp_path / "absent") == 0
    environment = {"device": "a CPU", "device_kind": "cpu", "cores": 8, "threads": 8, "memory_bytes": 1e9,
                   "cache_bytes": 1e6, "instructions": "AVX2", "torch": "torch 2", "python": "3.11",
                   "system": "Linux"}  # fmt: skip
    told = {
        nodes: findings_text(Findings({**environment, "numa_nodes": nodes}, SelfTest(False, 1.0, 1.0, 0.01), {}))
        for nodes in (1, 2)
    }
    assert "1 NUMA node\n" in told[1]
    assert "numactl" not in told[1]
    assert "2 NUMA nodes\n" in told[2]
    assert "numactl --cpunodebind=0" in told[2]
