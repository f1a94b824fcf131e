"""What every verb does on a terminal: edits read, lines printed, warnings, failures, a progress bar."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from roofline.errors import SpecError, UsageError, one_line


def fail(message: str, code: int) -> NoReturn:
    _say(f"roofline: {one_line(' '.join(message.split()))}")
    sys.exit(code)


def _say(line: str) -> None:
    """A line on stderr; in a terminal it goes on, between words, in lines of its width."""
    if sys.stderr.isatty():
        import textwrap

        columns = shutil.get_terminal_size().columns
        line = textwrap.fill(line, columns, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
    print(line, file=sys.stderr)  # noqa: T201


def refuse(message: str) -> NoReturn:
    raise UsageError(message)


def warn(text: str) -> None:
    _say(f"warning: {text}")


def wrote(path: Path, rows: int | None = None) -> None:
    """What a file that was written holds, on stderr."""
    from roofline.units import format_quantity

    count = "" if rows is None else f"{rows:,} row{'' if rows == 1 else 's'}, "
    _say(f"{path}: {count}{format_quantity(path.stat().st_size, 'bytes')}")


def write_answer(
    fields: Callable[[], dict[str, Any]], rows: Callable[[], list[dict[str, Any]]], path: Path | None
) -> None:
    """Write the JSON of an answer, or its rows, as the suffix says, and say so on stderr; nothing without a path."""
    if path is not None:
        from roofline.reports.export import write_result

        wrote(path, write_result(fields, rows, path))


def tell(text: str) -> None:
    try:
        print(text, flush=True)  # noqa: T201
    except OSError as failure:
        unwritable(failure)


def show(text: str) -> None:
    """A report, or its JSON: in a terminal, a report has the terminal's width, and colours unless NO_COLOR is set."""
    if text.startswith("{") or not sys.stdout.isatty():
        tell(text)
        return
    from roofline.reports.width import coloured, fitted

    text = fitted(text, shutil.get_terminal_size().columns)
    tell(text if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else coloured(text))


def unwritable(failure: OSError) -> NoReturn:
    """The end of a run whose output, or a file, cannot be written: without a word where the reader has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush on the way out
    if isinstance(failure, BrokenPipeError):  # a pager, or head
        sys.exit(0)
    fail(f"{failure.filename or 'standard output'}: {failure.strerror or failure}", 3)


def interrupted() -> NoReturn:
    """The end of a run that SIGINT ended: a user's, or that of a numerical library that got no threads."""
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        fail("no more threads can be started on this machine; raise the limit of processes or of memory (ulimit)", 3)
    fail("interrupted", 130)


def write_new(path: Path, text: str) -> None:
    """Write a YAML file that is not there yet. Raises UsageError for another suffix, SpecError where it exists."""
    from roofline.files.atomic import atomic_writer

    if path.suffix not in (".yaml", ".yml"):
        refuse(f"-o {path}: expected a name that ends in .yaml")
    if path.exists():
        msg = f"{path}: exists; name another file with -o"
        raise SpecError(msg)
    with atomic_writer(path) as file:
        file.write(text)


def without_color(wanted: bool) -> None:
    """What NO_COLOR does, for this run; every library that colours asks for that variable."""
    if wanted:
        os.environ["NO_COLOR"] = "1"


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, float], None]]:
    """What is being done and the time left: a bar on stderr, on a terminal alone, once a second has passed."""
    start = time.monotonic()
    shown: list[tuple[Any, Any]] = []

    def advance(what: str, done: float) -> None:
        if not shown and sys.stderr.isatty() and time.monotonic() - start > 1:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            bar = Progress(*columns, console=Console(stderr=True), transient=True)
            bar.start()
            shown.append((bar, bar.add_task(title, total=1.0)))
        for bar, task in shown:
            bar.update(task, completed=done, description=(f"{title}: {what}" if what else title)[:60])

    try:
        yield advance
    finally:
        for bar, _ in shown:
            bar.stop()
