"""A sweep's rows are what ``predict`` says, whoever evaluates them and however often it was cut short."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import roofline
from roofline.errors import RooflineError, SpecError, UsageError
from roofline.sweeps.parts import parts_of
from roofline.sweeps.study import read_study
from roofline.sweeps.sweep import open_sweep, plan

SMALL = {"models": "gpt2", "hardware": "a10,t4", "dtypes": "fp16,fp8", "batch": "1..64:log2", "context": "128,900,4k"}
STUDIES: dict[str, dict[str, Any]] = {
    "a step": {
        "models": "llama-3.1-8b",
        "hardware": "h100,a100",
        "dtypes": "bf16,fp8",
        "batch": "1,7,300",
        "context": "100,9k",
        "prices": "h100=2.5USD/h",
    },
    "a request": {
        "models": "gpt2",
        "hardware": "a10",
        "batch": "3,64",
        "prompt": "500,2k",
        "generate": "1,2,40",
        "engines": "vllm,transformers",
    },
    "phases": {
        "models": "gpt2",
        "hardware": "a10",
        "counts": "1,2",
        "phases": "request,prefill,decode",
        "batch": "4,64",
        "prompt": "100,500",
        "generate": "2,40",
        "context": "700",
        "layouts": [{"tp": 2}],
    },
    "decode steps of requests": {
        "models": "t5-base",
        "hardware": "a10",
        "phases": "encode,decode",
        "prompt": "100,200",
        "generate": 9,
    },
    "encoders": {"models": "bert-base,t5-base,vit-base", "hardware": "a10", "batch": "1,5"},
    "the best layout": {"models": "llama-3.1-8b", "hardware": "8xh100", "batch": "1,3,8,64", "context": "2k"},
    "a layout for some batches": {"models": "gpt2", "hardware": "17xh100", "batch": "1,17", "context": "100"},
    "given layouts": {
        "models": "gpt2-large",
        "hardware": "8xh200",
        "layouts": [{"tp": 4, "cp": 2}, {"tp": 4, "dp": 2}],
        "batch": "1..4",
        "context": "1000",
    },
}  # fmt: skip


def rows_of(found: roofline.Sweep) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.scan().to_table().to_pylist()
    return rows


def fingerprint(found: roofline.Sweep) -> str:
    """A hash over all rows."""
    return hashlib.sha256(json.dumps(rows_of(found)).encode()).hexdigest()


def asked(row: dict[str, Any], study: dict[str, Any], dtype: str | None, engine: str | None) -> dict[str, Any]:
    """The keywords of ``predict`` for a row."""
    lengths = {name: row[name] for name in ("prompt", "generate", "context") if name in study}
    lengths = {name: value for name, value in lengths.items() if value is not None}
    given = study.get("layouts")
    degrees = dict(part.split() for part in row["layout"].split(", ")) if given and row["layout"] else {}
    return {
        "batch": row["batch"],
        "dtype": dtype,
        "engine": engine,
        "phase": None if row["phase"] == "request" else row["phase"],
        **lengths,
        **{k: int(v) for k, v in degrees.items()},
    }


def expected(prediction: roofline.Prediction) -> dict[str, Any]:
    told = prediction.to_dict()
    steps = [(phase["steps"], phase) for phase in told["phases"].values()]
    whole = sum(many * phase["time_s"] for many, phase in steps)
    parts = {f"share_{part}": sum(n * p["shares"][part] * p["time_s"] for n, p in steps) / whole
             for part in ("latency", "compute", "memory", "link")}  # fmt: skip
    memory = {name: told["memory"][name] for name in ("weights_bytes", "kv_cache_bytes", "activation_bytes",
                                                      "state_bytes", "total_bytes")}  # fmt: skip
    times = {name: told.get(name) for name in ("ttft_s", "tpot_s", "request_s", "tokens_per_s")}
    return {**times, **parts, **memory, "fits": told["fits"], "layout": str(prediction.layout),
            "low": sum(n * p["low_s"] for n, p in steps) / whole}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_every_row_is_what_predict_says(name: str, tmp_path: Path) -> None:
    study = STUDIES[name]
    found = roofline.sweep(study, tmp_path / "out")
    rows = rows_of(found)
    assert found.rows == len(rows) == sum(part.points for part in parts_of(read_study(study)))
    shapes = [(part.dtype, part.engine) for part in parts_of(read_study(study)) for _ in range(part.points)]
    rng = random.Random(name)
    for row, (dtype, engine) in rng.sample(list(zip(rows, shapes, strict=True)), min(12, len(rows))):
        how = asked(row, study, dtype, engine)
        if row["refused"]:
            with pytest.raises(RooflineError, match=re.escape(row["refused"])):
                roofline.predict(row["model"], row["hardware"], **how)
            assert row["request_s"] is None
            continue
        prediction = roofline.predict(row["model"], row["hardware"], **how)
        for column, value in expected(prediction).items():
            if isinstance(value, float) and row[column] is not None:
                assert row[column] == pytest.approx(value, rel=1e-12, abs=1e-12), column
            else:
                assert row[column] == value, column
        assert row["device_tokens_per_s"] * row["devices"] == pytest.approx(row["tokens_per_s"], rel=1e-12)
        done = row["batch"] / row["request_s"] if row["phase"] == "request" else None
        assert row["requests_per_s"] == (done if done is None else pytest.approx(done, rel=1e-12))


def test_what_is_refused_is_a_row_with_its_reason(tmp_path: Path) -> None:
    found = roofline.sweep(SMALL, tmp_path)
    rows = rows_of(found)
    reasons = {(row["hardware"], row["dtype"], row["context"]): row["refused"] for row in rows}
    assert found.refused == sum(row["refused"] is not None for row in rows) == 4 * 7 * 3 - 2 * 7 * 2
    assert reasons["a10", "fp16", 900] is None
    assert "exceeds the model's max_position_embeddings 1024" in reasons["a10", None, 4000]
    assert any("no fp8" in str(reason) for reason in reasons.values())


def test_a_finished_sweep_is_not_done_again_and_other_data_is(tmp_path: Path) -> None:
    first = roofline.sweep(SMALL, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in first.parts()}
    assert {path: path.stat().st_mtime_ns for path in roofline.sweep(SMALL, tmp_path).parts()} == before
    edited = {**SMALL, "set": {"hardware.memory.gddr.bandwidth": "900 GB/s"}}
    assert plan(read_study(edited), tmp_path).there == frozenset()
    gone = first.parts()[0]
    gone.unlink()
    with pytest.raises(UsageError, match="is missing; run the sweep again"):
        open_sweep(tmp_path)
    assert fingerprint(roofline.sweep(SMALL, tmp_path)) == fingerprint(roofline.sweep(SMALL, tmp_path / "other"))
    assert [path.name for path in sorted(tmp_path.glob("*.parquet"))] == sorted(path.name for path in first.parts())


def test_a_file_of_a_users_own_that_changes_is_read_anew(tmp_path: Path) -> None:
    spec = tmp_path / "mine.yaml"
    text = (Path(__file__).parents[2] / "hardware_specs" / "t4.yaml").read_text("utf-8")
    spec.write_text(text, "utf-8")
    study = {"models": "gpt2", "hardware": str(spec), "batch": 1, "context": 10}
    (one,) = plan(read_study(study), tmp_path).parts
    spec.write_text(text.replace("320 GB/s", "310 GB/s"), "utf-8")
    (other,) = plan(read_study(study), tmp_path).parts
    assert one != other


def test_several_workers_leave_the_same_and_one_that_is_killed_is_replaced(tmp_path: Path) -> None:
    study = {"models": "gpt2", "hardware": "a10,t4,l4", "batch": "1..4", "context": 64}
    killed: list[int] = []

    def kill(what: str, done: float) -> None:
        if done and not killed:
            victim = multiprocessing.active_children()[0]
            victim.kill()
            killed.append(victim.pid or 0)

    alone = roofline.sweep(study, tmp_path / "one")
    together = roofline.sweep(study, tmp_path / "two", workers=2, advance=kill)
    assert killed
    assert [path.name for path in alone.parts()] == [path.name for path in together.parts()]
    assert fingerprint(alone) == fingerprint(together)


KILLED = """
import os, signal, roofline
def kill(what, done):
    if done > 0.5:
        os.kill(os.getpid(), signal.SIGKILL)
roofline.sweep({study}, {folder!r}, advance=kill)
"""


def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    study = {"models": "gpt2", "hardware": "a10,t4,l4", "batch": "1..4", "context": 64}
    script = KILLED.format(study=study, folder=str(tmp_path / "out"))
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    assert len(done) == 2
    with pytest.raises(UsageError, match="no finished sweep"):
        open_sweep(tmp_path / "out")
    resumed = roofline.sweep(study, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert fingerprint(resumed) == fingerprint(roofline.sweep(study, tmp_path / "whole"))


SCRIPT = """
import sys
import roofline
if __name__ == "__main__":
    roofline.sweep({study}, {folder!r}, workers={workers}, advance=lambda what, done: print(done, flush=True))
"""
LONG = {"models": "gpt2", "hardware": "a10,t4,l4,l40s,a100,h100", "batch": "1..60", "context": "1..60"}


def started(tmp_path: Path, workers: int) -> subprocess.Popen[str]:
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(study=LONG, folder=str(tmp_path / "out"), workers=workers), encoding="utf-8")
    return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def whole(tmp_path: Path) -> str:
    return fingerprint(roofline.sweep(LONG, tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_done_survives_the_end_of_the_parent(how: signal.Signals, workers: int, tmp_path: Path) -> None:
    run = started(tmp_path, workers)
    assert run.stdout is not None
    for _ in range(3):  # the beginning, and two parts
        run.stdout.readline()
    run.send_signal(how)
    run.communicate(timeout=60)
    done = list((tmp_path / "out").glob("*.parquet"))
    assert 2 <= len(done) < 6
    for _ in range(100):  # workers end with their parent, and give the lock back
        try:
            found = roofline.sweep(LONG, tmp_path / "out")
            break
        except SpecError:
            time.sleep(0.1)
    assert fingerprint(found) == whole(tmp_path)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    run = started(tmp_path, 2)
    assert run.stdout is not None
    run.stdout.readline()
    run.stdout.readline()
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    spawned = [pid for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(int(spawned[0]), signal.SIGKILL)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    assert fingerprint(open_sweep(tmp_path / "out")) == whole(tmp_path)


def test_two_sweeps_into_one_folder_are_refused(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SpecError, match="another sweep is at work in it"):
            roofline.sweep(SMALL, tmp_path)
    assert roofline.sweep({**SMALL, "batch": 1}, tmp_path).rows == 12


def test_a_disk_that_is_full_is_one_line_and_leaves_no_half_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    run = subprocess.run(
        [sys.executable, "-m", "roofline", "sweep", "gpt2", "--hardware", "a10", "--batch", "1..200", "--context",
         "1..200", "-o", str(tmp_path)],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert (run.returncode, run.stderr.count("\n")) == (3, 1), run.stderr
    assert "cannot be written: File too large" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(SpecError, match="file/out: cannot be written: Not a directory"):
        roofline.sweep(SMALL, tmp_path / "file" / "out")


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who may write what everybody may: root may write into a folder that is read-only."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are those of POSIX")
@pytest.mark.parametrize("locked", [False, True])
def test_a_folder_that_is_read_only_is_one_line(locked: bool) -> None:
    with tempfile.TemporaryDirectory() as outer:
        Path(outer).chmod(0o755)
        folder = Path(outer) / "out"
        before = roofline.sweep(SMALL, folder).parts()  # which reads the data, too
        if locked:  # the lock can be taken, and no file written
            (folder / ".lock").chmod(0o666)
        else:
            (folder / ".lock").unlink()
        before[0].unlink()
        folder.chmod(0o555)
        with nobody(), pytest.raises(SpecError, match="cannot be written: Permission denied") as failure:
            roofline.sweep(SMALL, folder)
        assert "\n" not in str(failure.value)
        assert {path.name for path in folder.glob("*.parquet")} == {path.name for path in before[1:]}
        folder.chmod(0o755)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"batch": "x"}, 'batch "x": expected numbers such as'),
        ({"batch": None, "models": ""}, "models"),
        ({"keep": "tpot"}, 'keep: "tpot" is no column; did you mean tpot_s'),
        ({"layouts": [{"tq": 8}]}, '"tq" is no degree'),
        ({"layouts": "some"}, "layouts"),
        ({"prompt": 4}, "prompt: is read by none of the phases decode at a context"),
        ({"phases": "prefill"}, "context: is read by none of the phases prefill"),
        ({"phases": "prefil"}, "phases"),
        ({"context": None, "phases": "prefill", "generate": 4}, "generate: is read by none of the phases prefill"),
        ({"counts": "2", "hardware": "2xa10"}, "counts: 2xa10 has one of its own"),
        ({"counts": 0}, "counts 0"),
        ({"targets": {"tpot": "p99:30ms"}}, "a sweep answers with means"),
        ({"targets": {"tpot": "30 W"}}, "tpot"),
        ({"targets": {"tpot": []}}, "an empty list"),
        ({"targets": {"itl": 3}}, "itl"),
        ({"owning": {"years": -1}}, "years"),
        ({"prices": -2}, "prices"),
        ({"modells": "gpt2"}, "modells: unknown field; did you mean models"),
        ({"price_kind": "sport"}, "price_kind"),
        ({"set": 3}, "set"),
    ],
)
def test_a_study_that_is_none_is_one_line(change: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(RooflineError) as failure:
        roofline.sweep({**SMALL, **change}, tmp_path)
    assert problem in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [0, 1.5, True, 10_000, "x", "dask://", "dask://host", "tcp://host:1"])
def test_workers_are_a_whole_number_or_a_cluster(workers: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a whole number from 1 to 256, or dask://HOST:PORT"):
        roofline.sweep(SMALL, tmp_path, workers=workers)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"models": "gpt2,../../gpt2"}, "../../gpt2"),
        ({"batch": "1..900k", "context": "1..900k"}, "points: expected at most 10,000,000,000"),
        ({"hardware": "a10,zzz"}, "unknown hardware 'zzz'"),
        ({"engines": "vllm,vlm"}, "vlm"),
        ({"dtypes": "fp16,fp17"}, "fp17"),
        ({"set": {"hardware.memory.hbm.bandwidth": "2 TB/s"}}, "holds no fields to edit"),
        ({"prices": "h100=2USD/h"}, "is the price of nothing in hardware"),
        ({"prices": "a10=2000USD"}, "is of kind purchase; price_kind has on_demand, add purchase"),
        ({"prices": "a10=x"}, "a10"),
    ],
)
def test_a_name_that_is_none_is_no_row(wrong: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(RooflineError) as failure:
        roofline.sweep({**SMALL, **wrong}, tmp_path / "out")
    assert problem in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_large_grid_is_cut_into_parts(tmp_path: Path) -> None:
    study = read_study({"models": "gpt2", "hardware": "a10", "batch": "1..1000", "context": "1..1000"})
    parts = list(parts_of(study))
    assert len(parts) == 4
    assert sum(part.points for part in parts) == 1_000_000
    assert len({part.name() for part in parts}) == 4
    told = plan(study, tmp_path)
    assert told.points == 1_000_000
    assert told.bytes > 1e6
    assert told.seconds > 1
