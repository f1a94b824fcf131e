"""Who evaluates the parts of a sweep: this process, several on this machine, or the workers of a cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from roofline.errors import SpecError, UsageError, shown
from roofline.sweeps.cluster import ADDRESS, Cluster
from roofline.sweeps.folder import write_part
from roofline.sweeps.parts import Part

MOST_WORKERS = 256
_TRIES = 3
"""How often a part is tried whose worker dies."""


class Crew(Protocol):
    """What a sweep asks of who works for it."""

    def submit(self, part: Part, name: str) -> None:
        """Have a part evaluated and its file written."""

    def finished(self) -> Iterator[tuple[str, int]]:
        """The name of each part as it is there, and how many of its rows are refused. Raises RooflineError."""

    def close(self) -> None:
        """Stop: what is whole stays, what is not begun is dropped."""


@dataclass(slots=True)
class Alone:
    """This process, one part after the other."""

    folder: Path
    waiting: list[tuple[Part, str]] = field(default_factory=list)

    def submit(self, part: Part, name: str) -> None:
        """Have a part evaluated when its turn comes."""
        self.waiting.append((part, name))

    def finished(self) -> Iterator[tuple[str, int]]:
        """Each part as it is there."""
        for part, name in self.waiting:
            yield name, write_part(part, name, self.folder)

    def close(self) -> None:
        """Nothing is left running."""


@dataclass(slots=True)
class Workers:
    """Several processes of this machine. One that dies is replaced, and its part done anew."""

    folder: Path
    count: int
    pool: ProcessPoolExecutor | None = None
    waiting: dict[Future[int], tuple[Part, str]] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)

    def submit(self, part: Part, name: str) -> None:
        """Have a part evaluated by whoever is free."""
        if self.pool is None:
            spawned = multiprocessing.get_context("spawn")  # a fork of threads that hold locks may hang
            self.pool = ProcessPoolExecutor(self.count, spawned, initializer=_begin)
        self.waiting[self.pool.submit(write_part, part, name, self.folder)] = part, name

    def finished(self) -> Iterator[tuple[str, int]]:
        """Each part as it is there, in any order. Raises SpecError for a part that every worker dies of."""
        while self.waiting:
            done, _ = wait(self.waiting, return_when=FIRST_COMPLETED)
            for future in done:
                if future not in self.waiting:
                    continue
                part, name = self.waiting.pop(future)
                try:
                    refused = future.result()
                except BrokenProcessPool:
                    self._anew(part, name)
                    break
                yield name, refused

    def _anew(self, part: Part, name: str) -> None:
        """Replace the pool, whose parts that are not there are all lost; which of them it died of is not known."""
        lost = [(part, name), *self.waiting.values()]
        self.close()
        for each, its_name in lost:
            self.tries[its_name] = tries = self.tries.get(its_name, 0) + 1
            if tries > _TRIES * self.count:
                msg = f"sweep: workers died {tries} times before {each.title} was done; is memory short?"
                raise SpecError(msg)
            self.submit(each, its_name)

    def close(self) -> None:
        """Drop what is not begun, and wait for nobody: half a file is none."""
        pool, self.pool = self.pool, None
        self.waiting.clear()
        if pool is not None:
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()


def _begin() -> None:
    """A worker leaves Ctrl-C to its parent, and ends with it, whatever that died of."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def read_workers(given: object) -> int | str:
    """How many processes of this machine, or the address of a cluster. Raises UsageError for what is neither.

    >>> read_workers("8"), read_workers("dask://10.0.0.1:8786")
    (8, 'dask://10.0.0.1:8786')
    """
    if isinstance(given, str) and ADDRESS.fullmatch(given):
        return given
    count = int(given) if isinstance(given, str) and given.isdecimal() and len(given) < 5 else given
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_WORKERS:
        msg = f"workers {shown(given)}: expected a whole number from 1 to {MOST_WORKERS}, or dask://HOST:PORT"
        raise UsageError(msg)
    return count


def crew_of(folder: Path, workers: int | str) -> Crew:
    """So many workers, this process alone for one; those of the cluster at an address."""
    if isinstance(workers, str):
        return Cluster(folder, workers)
    return Alone(folder) if workers == 1 else Workers(folder, workers)
