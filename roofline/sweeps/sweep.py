"""A study run into a folder: :func:`sweep`, and what it left there: :class:`Sweep`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.errors import RooflineError, UsageError
from roofline.sweeps.crews import crew_of, read_workers
from roofline.sweeps.folder import file_of, locked, parquet, read_manifest, write_manifest
from roofline.sweeps.parts import Part, check, parts_of
from roofline.sweeps.study import Study, read_study

_FILE_BYTES, _BYTES_PER_COLUMN = 10_000.0, 5.0  # of a number in Parquet, compressed: benchmarks/sweep_rate.py
_ROWS_PER_S, _REQUESTS_PER_S = 300_000.0, 60_000.0  # of a worker, likewise, reading and writing included
_PART_S = 0.5
_SEARCH_S = 1.0  # of layouts at a choice of lengths: 0.1 to 3 for llama-3.1-8b and deepseek-v3 on eight devices

Advance = Callable[[str, float], None]


@frozen
class Plan:
    """What a sweep would do: parts by name, how many of them are there already, rows, and about how large and long."""

    parts: Mapping[str, Part]
    there: frozenset[str]
    workers: int | str = 1

    @property
    def points(self) -> int:
        """Rows of all parts."""
        return sum(part.points for part in self.parts.values())

    @property
    def left(self) -> dict[str, Part]:
        """Parts that are not there."""
        return {name: part for name, part in self.parts.items() if name not in self.there}

    @property
    def bytes(self) -> float:
        """About what the files take. [B]"""
        return sum(_FILE_BYTES + part.points * len(part.keep) * _BYTES_PER_COLUMN for part in self.parts.values())

    @property
    def seconds(self) -> float:
        """About how long what is left takes; of a cluster, of which it is not known how large it is, one worker. [s]"""
        rates = {part: _REQUESTS_PER_S if part.decodes else _ROWS_PER_S for part in self.left.values()}
        return sum(_PART_S + part.searches * _SEARCH_S + part.points / rate for part, rate in rates.items()) / (
            self.workers if isinstance(self.workers, int) else 1
        )


@frozen
class Sweep:
    """A finished sweep: its folder, and what its manifest says."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(part["rows"] for part in self.manifest["parts"])

    @property
    def refused(self) -> int:
        """How many of them have a reason in place of results."""
        return sum(part["refused"] for part in self.manifest["parts"])

    def reasons(self) -> list[tuple[str, int]]:
        """Why rows were refused, and how many of them for each reason, the most frequent first."""
        _, files = parquet()
        told: Counter[str] = Counter()
        for part in self.manifest["parts"]:
            if part["refused"]:
                column = files.read_table(file_of(self.folder, part["name"]), columns=["refused"])["refused"]
                for found in column.drop_null().value_counts().to_pylist():
                    told[found["values"]] += found["counts"]
        return told.most_common()

    def parts(self) -> list[Path]:
        """The files of its parts, in the order of the study."""
        return [file_of(self.folder, part["name"]) for part in self.manifest["parts"]]

    def scan(self) -> Any:
        """All rows, as a ``pyarrow.dataset.Dataset`` that reads what is asked of it."""
        parquet()
        import pyarrow.dataset  # noqa: PLC0415

        return pyarrow.dataset.dataset([str(path) for path in self.parts()], format="parquet")


def plan(study: Study, folder: Path, workers: int | str = 1) -> Plan:
    """What a sweep of ``study`` into ``folder`` would do. Raises RooflineError for names that are none."""
    check(study)
    return _plan(study, folder, workers)


def _plan(study: Study, folder: Path, workers: int | str) -> Plan:
    parts = {part.name(): part for part in parts_of(study)}
    return Plan(parts, frozenset(name for name in parts if file_of(folder, name).is_file()), workers)


def sweep(
    study: Study | str | Path | Mapping[str, Any], folder: str | Path, *, workers: int | str = 1,
    advance: Advance | None = None,
) -> Sweep:  # fmt: skip
    """Evaluate a study, a YAML file or its fields, into a folder of Parquet files; go on where a run was cut short.

    Each row is what ``predict`` says of it. Files are named by a hash of what they hold and of all data that it comes
    from, so that one that is there is done. A point that ``predict`` refuses is a row with the reason. ``workers`` are
    processes of this machine, and a script that asks for several guards its start with ``if __name__ == "__main__"``;
    or ``dask://HOST:PORT``, those of a cluster.
    Raises RooflineError for a study that is none, and where nothing can be written or another sweep is at work.

    >>> import tempfile
    >>> study = {"models": "gpt2", "hardware": "a10,t4", "batch": "1..64:log2", "context": [128, 1024, 4096]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = sweep(study, folder)
    ...     (found.rows, found.refused, found.scan().to_table(columns=["tpot_s"]).num_rows)
    (42, 14, 42)
    """
    asked, place, crew = read_study(study), Path(folder), read_workers(workers)
    parquet()
    check(asked)
    with locked(place):
        todo = _plan(asked, place, crew)
        refused = {name: _refused(file_of(place, name)) for name in todo.there}
        _run(todo, place, refused, advance or (lambda what, done: None))
        write_manifest(place, asked, todo.parts, refused)
    return open_sweep(place)


def open_sweep(folder: str | Path) -> Sweep:
    """A finished sweep in a folder. Raises UsageError where there is none, SpecError where a file of it is missing."""
    found = Sweep(Path(folder), read_manifest(Path(folder)))
    for path in found.parts():
        if not path.is_file():
            msg = f"{path}: is missing; run the sweep again, which makes what is not there"
            raise UsageError(msg)
    return found


def _run(todo: Plan, folder: Path, refused: dict[str, int], advance: Advance) -> None:
    """Have all parts evaluated that are not there, and tell how far it is, how fast, how long it will take."""
    left, start, done = todo.left, time.monotonic(), 0
    points = sum(part.points for part in left.values())
    crew = crew_of(folder, todo.workers)
    try:
        for name, part in left.items():
            crew.submit(part, name)
        advance(f"{len(left)} parts, {points:,} points", 0.0)
        for name, count in crew.finished():
            refused[name] = count
            done += left[name].points
            rate = done / max(1e-9, time.monotonic() - start)
            advance(f"{done:,} of {points:,} points, {rate:,.0f}/s", done / points)
    finally:
        crew.close()


def _refused(path: Path) -> int:
    """How many rows of a part have a reason in place of results. Raises SpecError for a file that is broken."""
    _, files = parquet()
    try:
        column = files.read_table(path, columns=["refused"])["refused"]
    except Exception as failure:  # whatever the reader raises of a file that is none
        msg = f"{path}: not a file of a sweep ({type(failure).__name__}); remove it and run again"
        raise RooflineError(msg) from None
    return int(len(column) - column.null_count)
