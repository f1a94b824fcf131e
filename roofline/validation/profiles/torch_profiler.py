"""torch's profiler: the Chrome trace that it exports, and the table that it prints.

Of a GPU the kernels count, of a CPU torch's operators, each without those that it calls.

Source: torch 2.13, torch.profiler (export_chrome_trace, key_averages().table()).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roofline.errors import SpecError, shown
from roofline.validation.profiles.kernels import SECONDS, Kernel, Profile, parse_number

_TIME = re.compile(r"([0-9.,]+)(ns|us|ms|s)")
_SELF = ("Self CUDA", "Self XPU", "Self CPU")
"""Columns of an operator's own time: the device's before the host's."""

_NOT_DEVICE_WORK = ("ProfilerStep", "Command Buffer Full", "Activity Buffer Request")


def read_trace(path: Path, whole: Mapping[str, Any]) -> Profile:
    """The profile in a Chrome trace. Raises SpecError for events that cannot be read."""
    events = whole["traceEvents"]
    if not isinstance(events, list):
        msg = f"{path}: traceEvents is {shown(events)}, expected a list of events"
        raise SpecError(msg)
    try:
        complete = [event for event in events if event.get("ph") == "X"]
        kernels = [event for event in complete if event.get("cat") == "kernel"]
        if kernels:
            found = [Kernel(str(event["name"]), 1, _micro(path, event["dur"])) for event in kernels]
            return Profile.of(path, "torch profiler, Chrome trace of kernels", found)
        operators = [event for event in complete if event.get("cat") == "cpu_op"]
        return Profile.of(path, "torch profiler, Chrome trace of operators", _own_times(path, operators))
    except (AttributeError, KeyError, TypeError) as failure:
        msg = f"{path}: no trace of torch's profiler; an event lacks {failure}"
        raise SpecError(msg) from None


def _micro(path: Path, given: Any) -> float:
    """Microseconds. [s]"""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < float("inf"):
        msg = f"{path}: a time of {shown(given)}, expected microseconds"
        raise SpecError(msg)
    return float(given) * 1e-6


def _own_times(path: Path, events: list[Any]) -> Iterator[Kernel]:
    """Each operator without those that it called: they lie within it, on one thread."""
    threads: dict[Any, list[tuple[float, float, str]]] = defaultdict(list)
    for event in events:
        start, length = _micro(path, event["ts"]), _micro(path, event["dur"])
        threads[event["pid"], event["tid"]].append((start, length, str(event["name"])))
    for spans in threads.values():
        open_: list[tuple[float, str, list[float]]] = []
        for start, length, name in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_ and open_[-1][0] <= start + 1e-9:
                yield _closed(open_)
            if open_:
                open_[-1][2][0] -= length
            open_.append((start + length, name, [length]))
        while open_:
            yield _closed(open_)


def _closed(open_: list[tuple[float, str, list[float]]]) -> Kernel:
    _, name, left = open_.pop()
    return Kernel(name.removeprefix("aten::"), 1, max(0.0, left[0]))


def read_printed(path: Path, text: str) -> Profile | None:
    """The profile in a printed table; None where there is no such table. Raises SpecError by line."""
    lines = text.splitlines()
    rules = [index for index, line in enumerate(lines) if line.strip() and not line.replace("-", "").strip()]
    if len(rules) < 2 or "# of Calls" not in lines[rules[0] + 1]:
        return None
    spans = [match.span() for match in re.finditer("-+", lines[rules[0]])]
    header = re.split(r"\s{2,}", lines[rules[0] + 1].strip())  # one of its names is wider than its column
    if missing := next((name for name in ("Name", "# of Calls") if name not in header), None):
        msg = f"{path}: a table of torch's profiler without a column {missing}"
        raise SpecError(msg)
    column = next((name for name in _SELF if name in header), None)
    last = rules[2] if len(rules) > 2 else len(lines)
    if column is None:
        msg = f"{path}: a table of torch's profiler without a column of own times: {', '.join(_SELF)}"
        raise SpecError(msg)

    found = []
    for index in range(rules[1] + 1, last):
        cells = dict(zip(header, _cells(lines[index], spans), strict=False))
        found.append((f"{path}, line {index + 1}", cells))
    launched = [row for row in found if column != "Self CPU" and _is_kernel(row[1])]
    return Profile.of(
        path, "torch profiler, printed table", (_of_row(where, cells, column) for where, cells in launched or found)
    )


def _is_kernel(cells: Mapping[str, str]) -> bool:
    """Whether a row is a kernel's: the host spends no time in it. A torch operator's has its kernels' time again."""
    return cells.get("Self CPU") == "0.000us" and not cells.get("Name", "").startswith(_NOT_DEVICE_WORK)


def _of_row(where: str, cells: Mapping[str, str], column: str) -> Kernel:
    time = _TIME.fullmatch(cells.get(column, ""))
    if time is None:
        msg = f"{where}: {column}: {shown(cells.get(column, ''))}, expected a time such as 1.234ms"
        raise SpecError(msg)
    ran = int(parse_number(where, "# of Calls", cells.get("# of Calls", "")))
    return Kernel(
        cells["Name"].removeprefix("aten::"), ran, parse_number(where, column, time.group(1)) * SECONDS[time.group(2)]
    )


def _cells(line: str, spans: list[tuple[int, int]]) -> list[str]:
    return [line[start:end].strip() for start, end in spans]
