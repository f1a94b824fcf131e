"""The verb ``sweep``: a study into a folder, and what a folder is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roofline.cli.console import progress_bar, refuse, tell
from roofline.options.keywords import given
from roofline.options.verbs import SweepFlags

_ASKING = ("best", "pareto", "pivot", "by", "where")
_OF_A_STUDY = ("batch", "prompt", "generate", "context", "price_kind", "prices", "set")


def sweep(what: tuple[str, ...], flags: SweepFlags) -> None:
    """Models x hardware x layouts x formats x grids of lengths into Parquet files; sweep show DIR asks them."""
    if what and what[0] == "show":
        _show(what[1:], flags)
        return
    if asked := [name for name in _ASKING if flags.get(name)]:
        refuse(f"--{asked[0]} goes with roofline sweep show DIR")
    if len(what) != 1:
        refuse("expected models with commas, a STUDY.yaml, or show and the folder of a sweep")
    from roofline.reports import sweeps as report
    from roofline.sweeps import sweep as room
    from roofline.sweeps.study import read_study

    study = read_study(Path(what[0]) if what[0].endswith((".yaml", ".yml")) else _fields(what[0], flags))
    if flags["output"] is None and not flags["dry_run"]:
        refuse("-o DIR is missing: the folder of the sweep")
    folder = flags["output"] or Path("roofline-sweep")
    if flags["dry_run"]:
        tell(report.plan_text(room.plan(study, folder, flags["workers"]), folder))
        return
    with progress_bar("sweep") as advance:
        found = room.sweep(study, folder, workers=flags["workers"], advance=advance)
    tell(report.sweep_text(found))


def _fields(models: str, flags: SweepFlags) -> dict[str, Any]:
    """The study that flags state. Raises UsageError."""
    if flags["hardware"] is None:
        refuse("--hardware is missing; try h100,mi300x (roofline hardware list)")
    asked = given({name: flags.get(name) for name in _OF_A_STUDY})
    more = {"dtypes": flags["dtype"], "engines": flags["engine"], "keep": flags["columns"],
            "layouts": _layouts(flags["layouts"])}  # fmt: skip
    return {"models": models, "hardware": flags["hardware"], **asked, **given(more)}


def _layouts(text: str | None) -> str | list[dict[str, Any]] | None:
    """``best``, ``all``, or degrees by flag, one layout after the other: ``tp=8/tp=4,pp=2``."""
    if text is None or "=" not in text:
        return text
    found = []
    for layout in text.split("/"):
        pairs = [pair.strip().partition("=") for pair in layout.split(",")]
        if not all(equals and degree.strip().isdigit() for _, equals, degree in pairs):
            refuse(f"--layouts {text!r}: expected best, all, or degrees such as tp=8/tp=4,pp=2")
        found.append({flag.strip(): int(degree) for flag, _, degree in pairs})
    return found


def _show(folders: tuple[str, ...], flags: SweepFlags) -> None:
    """What a finished sweep holds, or the answer to a question. Raises UsageError."""
    if len(folders) != 1:
        refuse("sweep show: expected the folder of one sweep")
    asked = [name for name in ("best", "pareto", "pivot") if flags.get(name)]
    if len(asked) > 1:
        refuse(f"--{asked[0]} and --{asked[1]}: expected one question at a time")
    if flags["top"] < 1:
        refuse(f"--top {flags['top']}: expected at least 1")
    from roofline.reports import sweeps as report
    from roofline.sweeps import questions
    from roofline.sweeps.sweep import open_sweep

    found, where = open_sweep(folders[0]), flags["where"]
    if flags["best"]:
        answer = questions.best(found, flags["best"], where, flags["top"])
    elif flags["pareto"]:
        answer = questions.pareto(found, _two(flags["pareto"]), flags["by"], where)
    elif flags["pivot"]:
        answer = questions.pivot(found, _two(flags["pivot"]), flags["of"], where)
    else:
        tell(report.sweep_text(found))
        return
    tell(report.answer_text(answer, flags["top"] if flags["pareto"] is None else None))


def _two(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]
