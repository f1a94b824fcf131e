"""The table of recorded validations of docs/measuring.md, from validation_results/*/*.json.

python benchmarks/validation_table.py [--write]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roofline.files.atomic import atomic_writer
from roofline.validation.scores import Pair, Score

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "measuring.md"
BEGIN, END = "<!-- validations -->", "<!-- end of validations -->"


def lines() -> Iterator[str]:
    """A row for each run of each result, one for all, one for each phase of a model; nothing without results."""
    found = sorted((ROOT / "validation_results").glob("*/*.json"))
    if not found:
        return
    scaled = "scaled to the calibrated speed: median, p90"
    yield f"| device | what | points | median APE | p90 | bias | {scaled} | data sheet: median |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for path in found:
        result = json.loads(path.read_text(encoding="utf-8"))
        for run, one in sorted(result["runs"].items()):
            yield _row(one["environment"]["device"], f"run {run}, {path.stem}", one["cases"])
        if len(result["runs"]) > 1:
            yield _row("", "all runs", [case for run in result["runs"].values() for case in run["cases"]])
        for key in sorted({(case["model"], case["phase"]) for r in result["runs"].values() for case in r["cases"]}):
            same = [c for r in result["runs"].values() for c in r["cases"] if (c["model"], c["phase"]) == key]
            yield _row("", " ".join(key), same)


def _row(device: str, what: str, cases: list[dict[str, Any]]) -> str:
    timed = [case for case in cases if case["measured_s"]]
    score, scaled, naive = (
        Score.of([Pair(case[ours], case[theirs]) for case in timed])
        for ours, theirs in (
            ("predicted_s", "measured_s"),
            ("predicted_s", "at_calibrated_speed_s"),
            ("bound_s", "measured_s"),
        )
    )
    return (
        f"| {device} | {what} | {score.n} | {score.median:.1%} | {score.p90:.1%} | {score.bias:.2f} | "
        f"{scaled.median:.1%}, {scaled.p90:.1%} | {naive.median:.0%} |"
    )


def written(page: str) -> str:
    """The page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    table = "".join(f"{line}\n" for line in lines())
    return f"{before}{BEGIN}\n{table}{END}{rest.partition(END)[2]}"


def main() -> int:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description="The table of recorded validations.")
    parser.add_argument("--write", action="store_true", help="into docs/measuring.md")
    if parser.parse_args().write:
        page = written(PAGE.read_text(encoding="utf-8"))
        with atomic_writer(PAGE) as file:
            file.write(page)
    else:
        print("\n".join(lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
