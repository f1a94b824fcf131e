"""How wrong ``predict`` is about whole models: requests and steps that others timed, none of them fitted.

python benchmarks/whole_models.py --data DIR [--constants datasheet|class|published|calibrated] [--short|--rows]

Columns as in scores.py; naive is the data sheet's roofline, the sum of the operators' bounds. --rows prints each run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scores import Scored, joined, table
from whole_model_sets import Run, load_whole_models


@cache
def board(data: Path, constants: Any) -> tuple[Scored, ...]:
    """Each set with its predictions; what was measured several times is predicted once."""
    known: dict[str, tuple[float, ...]] = {}
    found = []
    for rows in load_whole_models(data):
        for run in rows.runs:
            if repr(run.asked) not in known:
                known[repr(run.asked)] = seconds_of(run, constants)
        predicted = np.array([known[repr(run.asked)] for run in rows.runs]).T
        found.append(Scored(rows.name, rows.group, *predicted, np.array([run.measured_s for run in rows.runs])))
    return tuple(found)


def seconds_of(run: Run, constants: Any) -> tuple[float, ...]:
    """Time, bound, low and high of the request or of its one step: all phases, each by its steps."""
    phases = run.prediction(constants).phases.values()
    return tuple(
        sum(phase.steps * getattr(phase.figures, name) for phase in phases)
        for name in ("time_s", "bound_s", "low_s", "high_s")
    )


def short(data: Path, constants: Any) -> Iterator[str]:
    """The table with the sets of one runtime and model joined."""
    return table(joined(board(data, constants)))


def runs(data: Path, constants: Any) -> Iterator[str]:
    """One line for each run."""
    for rows in load_whole_models(data):
        yield rows.name
        for run in rows.runs:
            time, bound, *_ = seconds_of(run, constants)
            sizes = " ".join(f"{k}={v}" for k, v in run.asked.items() if k not in ("model", "hardware"))
            yield (f"  {sizes}: measured {run.measured_s * 1e3:.2f} ms, predicted {time * 1e3:.2f} ms, "
                   f"{time / run.measured_s:.2f}; at best {bound * 1e3:.2f} ms")  # fmt: skip


def main() -> int:
    """Print the table, or every run."""
    parser = argparse.ArgumentParser(description="Errors on public timings of whole models.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--constants", choices=("datasheet", "class", "published", "calibrated"))
    parser.add_argument("--short", action="store_true", help="the sets of one runtime and model joined")
    parser.add_argument("--rows", action="store_true", help="every run")
    asked = parser.parse_args()
    if asked.rows or asked.short:
        print("\n".join((runs if asked.rows else short)(asked.data, asked.constants)))
    else:
        print("\n".join(table(board(asked.data, asked.constants))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
