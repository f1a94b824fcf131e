"""The workers of a dask cluster that is there already: they evaluate parts, and this process writes the files."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from roofline.errors import MissingExtraError, RooflineError, SpecError
from roofline.sweeps.folder import put_part, write_rows
from roofline.sweeps.parts import Part

ADDRESS = re.compile(r"dask://(?P<place>(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5})")

CONNECTED_S = 10.0
"""How long a scheduler may take to answer."""

PATIENCE_S = 60.0
"""How long a sweep waits for a worker where there is none left."""

_AHEAD = 2
"""Parts that each worker has at once: one in work, one waiting. More would pile up in their memory as results."""

_LOOK_S = 2.0
_ONE_AT_A_TIME = threading.Lock()  # threads of one worker share its recordings


@dataclass(slots=True)
class Cluster:
    """Workers behind a dask scheduler. The part of one that dies is done by another; only whole files are written.

    They need no folder in common, but the same package and the same data: each part's name, a hash of both, is made
    anew where it is evaluated.
    """

    folder: Path
    address: str
    client: Any = None
    waiting: list[tuple[Part, str]] = field(default_factory=list)
    running: dict[Any, tuple[Part, str]] = field(default_factory=dict)
    done: SimpleQueue[Any] = field(default_factory=SimpleQueue)

    def submit(self, part: Part, name: str) -> None:
        """Have a part evaluated by whoever is free. Raises RooflineError where the cluster is not there."""
        if self.client is None:
            self.client = _connected(self.address)
            self._workers(patience=CONNECTED_S)
        self.waiting.append((part, name))

    def finished(self) -> Iterator[tuple[str, int]]:
        """Each part as it is there, in any order. Raises SpecError for a part that cannot be done."""
        self.waiting.reverse()
        while self.waiting or self.running:
            most = _AHEAD * self._workers(patience=PATIENCE_S)
            while self.waiting and len(self.running) < most:
                part, name = self.waiting.pop()
                future = self.client.submit(parcel, part, name, pure=False)
                self.running[future] = part, name
                future.add_done_callback(self.done.put)
            for future in self._done():
                part, name = self.running.pop(future)
                content, refused = self._result(future, part)
                put_part(content, name, self.folder)
                yield name, refused

    def close(self) -> None:
        """Drop what is not done, and leave the cluster as it was."""
        client, self.client = self.client, None
        if client is not None:
            client.close(timeout=1.0)
        self.running.clear()

    def _workers(self, patience: float) -> int:
        """How many workers there are. Raises SpecError where there is none after so many seconds."""
        try:
            self.client.wait_for_workers(1, timeout=patience)
            return max(1, len(self.client.nthreads()))
        except (OSError, TimeoutError):
            why = f"no worker for {patience:.0f} s; start some"
            raise self._stopped(why) from None

    def _done(self) -> Iterator[Any]:
        """What is done by now; after a while nothing, so that whoever asks sees to the workers."""
        with suppress(Empty):
            yield self.done.get(timeout=_LOOK_S)
            while True:
                yield self.done.get_nowait()

    def _result(self, future: Any, part: Part) -> tuple[bytes, int]:
        """What a worker sent. Raises RooflineError, its own or one that says what became of it."""
        try:
            found: tuple[bytes, int] = future.result(timeout=PATIENCE_S)
        except RooflineError:
            raise
        except Exception as failure:  # whatever the cluster raises: of workers that died, of what they lack
            said = str(failure).partition("\n")[0]
            why = f"{part.title}: {type(failure).__name__}: {said[:200]}"
            raise self._stopped(why) from None
        return found

    def _stopped(self, why: str) -> SpecError:
        """What to say of a sweep that ends early."""
        there = self.client.status == "running"
        return SpecError(f"{self.address}: {why if there else 'the scheduler is gone'}; run again to go on")


def parcel(part: Part, name: str) -> tuple[bytes, int]:
    """The content of a part's file, and how many of its rows are refused: what a worker is asked for.

    Raises SpecError where the part has another name here, as its package or data is another.
    """
    with _ONE_AT_A_TIME:
        if part.name() != name:
            msg = f"{part.title}: a worker has another version of roofline, or of its data, than this process"
            raise SpecError(msg)
        file = BytesIO()
        refused = write_rows(part, file)
        return file.getvalue(), refused


def _connected(address: str) -> Any:
    """A client of the scheduler. Raises MissingExtraError without dask, SpecError where nobody answers."""
    try:
        from distributed import Client  # noqa: PLC0415  (optional, and slow to import)
    except ImportError:
        purpose = f"--workers {address}"
        raise MissingExtraError(purpose, "cluster") from None
    logging.getLogger("distributed.client").setLevel(
        logging.CRITICAL
    )  # what goes wrong is said once, in a line of ours
    found = ADDRESS.fullmatch(address)
    assert found is not None
    try:
        return Client(f"tcp://{found['place']}", timeout=CONNECTED_S, set_as_default=False)
    except (OSError, ValueError) as failure:
        said = str(failure).partition("\n")[0]
        msg = f"{address}: no scheduler answers ({said[:120]}); start one with dask scheduler"
        raise SpecError(msg) from None
