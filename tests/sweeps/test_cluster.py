"""A sweep on a dask cluster leaves what one process leaves, whichever of its workers die."""

from __future__ import annotations

import builtins
import os
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import roofline
from roofline.errors import MissingExtraError, SpecError
from roofline.sweeps import cluster
from roofline.sweeps.cluster import parcel
from roofline.sweeps.parts import parts_of
from roofline.sweeps.study import read_study

STUDY = {"models": "gpt2", "hardware": "a10,t4,l4", "batch": "1..4", "context": "64,2000"}


def rows_of(found: roofline.Sweep) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.scan().to_table().to_pylist()
    return rows


@contextmanager
def loopback(*, processes: bool) -> Iterator[Any]:
    """A scheduler and two workers of one thread."""
    distributed = pytest.importorskip("distributed", reason="pip install '.[cluster]'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=processes, dashboard_address=None, protocol="tcp://"
    ) as found:
        yield found


def address(found: Any) -> str:
    return str(found.scheduler_address).replace("tcp://", "dask://")


@pytest.mark.filterwarnings("default")
def test_a_worker_that_is_lost_loses_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    with loopback(processes=False) as found:

        def lose(what: str, done: float) -> None:
            told.append(what)
            if len(told) == 2:
                gone = found.workers[0].address
                found.sync(found.scheduler.remove_worker, gone, stimulus_id="lost", close=False)

        swept = roofline.sweep(STUDY, tmp_path / "two", workers=address(found), advance=lose)
        assert len(found.scheduler.workers) == 1
    assert rows_of(swept) == rows_of(roofline.sweep(STUDY, tmp_path / "one"))
    assert len(told) == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    study = {**STUDY, "batch": "1..100", "context": "1..500"}
    told: list[str] = []
    with loopback(processes=True) as found:

        def kill(what: str, done: float) -> None:
            told.append(what)
            if len(told) == 2:
                os.kill(next(iter(found.workers.values())).pid, signal.SIGKILL)

        swept = roofline.sweep(study, tmp_path / "two", workers=address(found), advance=kill)
    assert rows_of(swept) == rows_of(roofline.sweep(study, tmp_path / "one"))


def test_a_worker_of_other_data_is_told() -> None:
    (part, *_) = parts_of(read_study(STUDY))
    content, refused = parcel(part, part.name())
    assert content[:4] == b"PAR1"
    assert refused == 4
    with pytest.raises(SpecError, match="another version of roofline, or of its data"):
        parcel(part, "0" * 24)


def test_a_scheduler_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="pip install '.[cluster]'")
    monkeypatch.setattr(cluster, "CONNECTED_S", 0.2)
    with pytest.raises(SpecError, match="no scheduler answers") as failure:
        roofline.sweep(STUDY, tmp_path, workers="dask://127.0.0.1:9")
    assert "\n" not in str(failure.value)
    assert not list(tmp_path.glob("*.parquet"))


def test_without_dask_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.partition(".")[0] == "distributed":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[cluster\]'") as failure:
        roofline.sweep(STUDY, tmp_path, workers="dask://127.0.0.1:8786")
    assert str(pickle.loads(pickle.dumps(failure.value))) == str(failure.value)
