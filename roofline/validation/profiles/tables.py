"""CSV files of profilers: Nsight Systems' summaries, Nsight Compute's pages, rocprofv3's traces and statistics.

What stands before a header, as ``nsys stats`` and ``ncu --csv`` print it, is passed over.

Source: Nsight Systems 2025.3, Post-Collection Analysis Guide (cuda_gpu_kern_sum, nvtx_kern_sum, nvtx_gpu_proj_sum);
Nsight Compute 2025.2, CLI (--csv, --page details and raw); ROCprofiler-SDK 1.0 (ROCm 7.0), rocprofv3 (--kernel-trace,
--stats).
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from roofline.classes import frozen
from roofline.errors import SpecError
from roofline.validation.profiles.kernels import BYTES, SECONDS, Kernel, Profile, parse_number, parse_unit

Row = tuple[str, dict[str, str]]
"""Where a row stands, and its cells by column."""

_LOOKED_AT = 200
"""Lines in which a header is sought."""

_TIMED = re.compile(r"(.+) \((\w+)\)")


@frozen
class Format:
    """A report: the columns that it is known by, without units of time, and how its rows are read."""

    tool: str
    columns: frozenset[str]
    read: Callable[[Sequence[Row]], Iterator[Kernel]]


def read_table(path: Path, text: str) -> Profile | None:
    """The profile in a CSV file; None where no line is the header of a known report. Raises SpecError by line."""
    lines = text.splitlines()
    for index, line in enumerate(lines[:_LOOKED_AT]):
        header = [name.strip() for name in next(csv.reader([line]), [])]
        bare = {_bare(name) for name in header}
        found = next((each for each in FORMATS if each.columns <= bare), None)
        if found is not None:
            return Profile.of(path, found.tool, found.read(_rows(path, header, lines[index + 1 :], index + 1)))
    return None


def _rows(path: Path, header: list[str], lines: list[str], before: int) -> list[Row]:
    """The rows below a header, up to an empty line."""
    reader = csv.reader(io.StringIO("\n".join(lines)), strict=True)
    found = []
    try:
        for row in reader:
            where = f"{path}, line {before + reader.line_num}"
            if not row:
                break
            if len(row) != len(header):
                msg = f"{where}: {len(row)} cells, expected {len(header)}: {', '.join(header)}"
                raise SpecError(msg)
            found.append((where, dict(zip(header, row, strict=True))))
    except csv.Error as failure:
        msg = f"{path}: cannot be read: {failure}"
        raise SpecError(msg) from None
    return found


def _bare(column: str) -> str:
    """A column's name without its unit of time."""
    found = _TIMED.fullmatch(column)
    return found.group(1) if found and found.group(2) in SECONDS else column


def _seconds(where: str, row: dict[str, str], column: str) -> float:
    """The cell of a column whose header has its unit. [s]"""
    header = next(name for name in row if _bare(name) == column)
    found = _TIMED.fullmatch(header)
    return parse_number(where, header, row[header]) * parse_unit(where, found.group(2) if found else "", SECONDS)


def _summed(name: str, ran: str, total: str, scope: str = "") -> Callable[[Sequence[Row]], Iterator[Kernel]]:
    """A reader of summaries: the columns of the name, of how often it ran, of its time in all, of its range."""

    def read(rows: Sequence[Row]) -> Iterator[Kernel]:
        for where, row in rows:
            within = row[scope].removeprefix(":") if scope else ""
            entered = int(parse_number(where, "NVTX Inst", row["NVTX Inst"])) if scope else 0
            yield Kernel(
                row[name], int(parse_number(where, ran, row[ran])), _seconds(where, row, total), within, entered
            )

    return read


def _projected(rows: Sequence[Row]) -> Iterator[Kernel]:
    """NVTX ranges projected on the GPU: the innermost ones, since an outer one has their time again."""
    for where, row in rows:
        if parse_number(where, "Avg Num Child", row["Avg Num Child"]) == 0:
            name = row["Range"].removeprefix(":")
            ran = int(parse_number(where, "Range Instances", row["Range Instances"]))
            yield Kernel(name, ran, _seconds(where, row, "Total Proj Time"), name, ran)


def _details(rows: Sequence[Row]) -> Iterator[Kernel]:
    """Nsight Compute's page of details, a row per metric of a launch."""
    launches: dict[str, dict[str, float]] = defaultdict(dict)
    names: dict[str, str] = {}
    for where, row in rows:
        metric = row["Metric Name"]
        names[row["ID"]] = row["Kernel Name"]
        if metric in ("Duration", "gpu__time_duration.sum"):
            factor = parse_unit(where, row["Metric Unit"], SECONDS)
            launches[row["ID"]]["seconds"] = parse_number(where, metric, row["Metric Value"]) * factor
        elif metric in _DRAM:
            factor = parse_unit(where, row["Metric Unit"], BYTES)
            launches[row["ID"]][metric] = parse_number(where, metric, row["Metric Value"]) * factor
    for launch, values in launches.items():
        counted = sum(value for name, value in values.items() if name != "seconds")
        yield Kernel(names[launch], 1, values.get("seconds", 0.0), dram_bytes=counted or None)


_DRAM = ("dram__bytes.sum", "dram__bytes_read.sum", "dram__bytes_write.sum")


def _raw(rows: Sequence[Row]) -> Iterator[Kernel]:
    """Nsight Compute's raw page: a row per launch below one of units."""
    units = rows[0][1] if rows else {}
    for where, row in rows[1:]:
        time = parse_number(where, "gpu__time_duration.sum", row["gpu__time_duration.sum"])
        seconds = time * parse_unit(rows[0][0], units["gpu__time_duration.sum"], SECONDS)
        counted = [
            parse_number(where, name, row[name]) * parse_unit(rows[0][0], units[name], BYTES)
            for name in _DRAM
            if row.get(name)
        ]
        yield Kernel(row["Kernel Name"], 1, seconds, dram_bytes=sum(counted) if counted else None)


def _dispatches(rows: Sequence[Row]) -> Iterator[Kernel]:
    """rocprofv3's trace of kernels: a row per dispatch, timestamps in nanoseconds."""
    for where, row in rows:
        start, end = (parse_number(where, name, row[name]) for name in ("Start_Timestamp", "End_Timestamp"))
        if end < start:
            msg = f"{where}: End_Timestamp {row['End_Timestamp']} is before Start_Timestamp {row['Start_Timestamp']}"
            raise SpecError(msg)
        yield Kernel(row["Kernel_Name"], 1, (end - start) * 1e-9)


def _statistics(rows: Sequence[Row]) -> Iterator[Kernel]:
    for where, row in rows:
        total = parse_number(where, "TotalDurationNs", row["TotalDurationNs"]) * 1e-9
        yield Kernel(row["Name"], int(parse_number(where, "Calls", row["Calls"])), total)


def _format(tool: str, columns: str, read: Callable[[Sequence[Row]], Iterator[Kernel]]) -> Format:
    return Format(tool, frozenset(columns.split(", ")), read)


FORMATS = (
    _format(
        "Nsight Systems nvtx_kern_sum",
        "NVTX Range, NVTX Inst, Kern Inst, Total Time, Kernel Name",
        _summed("Kernel Name", "Kern Inst", "Total Time", "NVTX Range"),
    ),
    _format("Nsight Systems nvtx_gpu_proj_sum", "Range, Total Proj Time, Range Instances, Avg Num Child", _projected),
    _format(
        "Nsight Systems cuda_gpu_kern_sum", "Total Time, Instances, Name", _summed("Name", "Instances", "Total Time")
    ),
    _format("Nsight Compute details", "ID, Kernel Name, Metric Name, Metric Unit, Metric Value", _details),
    _format("Nsight Compute raw", "ID, Kernel Name, gpu__time_duration.sum", _raw),
    _format("rocprofv3 kernel trace", "Kernel_Name, Start_Timestamp, End_Timestamp", _dispatches),
    _format("rocprofv3 kernel statistics", "Name, Calls, TotalDurationNs", _statistics),
)
"""Every report that is read; the first whose columns a header has."""
