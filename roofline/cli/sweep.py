"""The verb ``sweep``: a study into a folder, and what a folder is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.cli import plot
from roofline.cli.console import progress_bar, refuse, show, tell
from roofline.cli.traced import recorded_models
from roofline.options.groups import Owning, Tracing
from roofline.options.keywords import given, part
from roofline.options.option import fields_of
from roofline.options.verbs.sweeping import SweepFlags

if TYPE_CHECKING:
    from roofline.sweeps.questions import Found
    from roofline.sweeps.sweep import Plan, Sweep

_ASKING = ("best", "pareto", "pivot", "by", "where", "unfit", "plot", "json")
_OF_TRAINING = ("batch_tokens", "sequence", "microbatch", "zero", "recompute", "tokens")
_OF_A_STUDY = (
    *("counts", "batch", "concurrency", "prompt", "generate", "context", "price_kind", "prices", "fusion", "set"),
    *_OF_TRAINING,
)  # fmt: skip
_CODE = ("input", "dims", "strict")
_NAMED_OTHERWISE = (
    *("hardware", "dtype", "engine", "phase", "columns", "layouts", "ttft", "tpot", "schedule", "optimizer"), *_CODE,
)  # fmt: skip


def sweep(what: tuple[str, ...], flags: SweepFlags) -> None:
    """Models x hardware x layouts x formats x grids of lengths into Parquet files; sweep show DIR asks them.

    sweep schema prints the JSON Schema of a study's file, for editors.
    """
    if what and what[0] == "show":
        _show(what[1:], flags)
        return
    if what == ("schema",):
        _schema()
        return
    if asked := [name for name in _ASKING if flags.get(name)]:
        refuse(f"--{asked[0]} goes with roofline sweep show DIR")
    if len(what) != 1:
        refuse("expected models with commas, a STUDY.yaml, schema, or show and the folder of a sweep")
    from roofline.sweeps import sweep as room
    from roofline.sweeps.crews import read_workers
    from roofline.sweeps.study import read_study

    if file := what[0].endswith((".yaml", ".yml")):
        _refuse_study(flags, f"{what[0]} has the study")
    if flags["output"] is None and not flags["dry_run"]:
        refuse("-o DIR is missing: the folder of the sweep")
    folder = flags["output"] or Path("roofline-sweep")
    study = read_study(Path(what[0]) if file else _fields(_models(what[0], folder, flags), flags))
    if flags["dry_run"]:
        show(_plan_text(room.plan(study, folder, read_workers(flags["workers"])), folder))
        return
    with progress_bar("sweep") as advance:
        found = room.sweep(study, folder, workers=flags["workers"], advance=advance)
    show(_sweep_text(found))


def _models(text: str, folder: Path, flags: SweepFlags) -> str:
    """The models of a study; what is code is traced into files that stand in the folder of the sweep."""
    if flags["dry_run"]:
        if given := [name for name in _CODE if flags.get(name)]:
            refuse(f"--{given[0]} goes with a sweep that is run; --dry-run takes recorded traces")
        return text
    return recorded_models(text, part(Tracing, flags), folder / "traces")


def _refuse_study(flags: SweepFlags, why: str) -> None:
    """Refuse flags that say what a study does, where they would be of no use."""
    fields = {field.name: field for field in fields_of(SweepFlags)}
    for name in (*_OF_A_STUDY, *_NAMED_OTHERWISE, *(field.name for field in fields_of(Owning))):
        if flags.get(name) != fields[name].option.default and flags.get(name):
            refuse(f"{fields[name].flags[0]}: {why}; leave it out")


def _schema() -> None:
    """The JSON Schema of a study's file, for editors."""
    from roofline.reports.prediction import to_json
    from roofline.sweeps.study import study_schema

    tell(to_json(study_schema()))


def _fields(models: str, flags: SweepFlags) -> dict[str, Any]:
    """The study that flags state. Raises UsageError."""
    if flags["hardware"] is None:
        refuse("--hardware is missing; try h100,mi300x (roofline hardware list)")
    asked = given({name: flags.get(name) for name in _OF_A_STUDY})
    more = {"dtypes": flags["dtype"], "engines": flags["engine"], "keep": flags["columns"],
            "phases": flags["phase"], "schedules": flags["schedule"], "optimizers": flags["optimizer"],
             "layouts": _layouts(flags["layouts"]),
            "targets": given({"ttft": flags["ttft"], "tpot": flags["tpot"]}),
            "owning": part(Owning, flags)}  # fmt: skip
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
    _refuse_study(flags, "sweep show asks what is there")
    asked = [name for name in ("best", "pareto", "pivot") if flags.get(name)]
    if len(asked) > 1:
        refuse(f"--{asked[0]} and --{asked[1]}: expected one question at a time")
    if flags["top"] < 1:
        refuse(f"--top {flags['top']}: expected at least 1")
    if flags["plot"] and not (flags["pareto"] or flags["pivot"]):
        refuse("--plot draws --pareto or --pivot; ask one of them")
    if flags["plot"]:
        plot.check(flags["plot"])
    from roofline.sweeps.sweep import open_sweep

    found = open_sweep(folders[0])
    answer = _answer(found, flags)
    if answer is not None:
        _tell_answer(answer, flags)
        return
    if flags["json"]:
        refuse("--json is of rows; ask --best, --pareto or --pivot")
    show(_sweep_text(found))


def _answer(found: Sweep, flags: SweepFlags) -> Found | None:
    """The answer to what is asked of a sweep; None where nothing is. Raises UsageError."""
    from roofline.sweeps import questions

    where, unfit = flags["where"], flags["unfit"]
    if flags["best"]:
        return questions.best(found, flags["best"], where, flags["top"], unfit=unfit)
    if flags["pareto"]:
        return questions.pareto(found, _two(flags["pareto"]), flags["by"], where, unfit=unfit)
    if flags["pivot"]:
        return questions.pivot(found, _two(flags["pivot"]), flags["of"], where, unfit=unfit)
    return None


def _tell_answer(answer: Found, flags: SweepFlags) -> None:
    """Rows as JSON or as text, and their picture."""
    if flags["plot"]:
        plot.plot_swept(answer, flags["plot"])
    if flags["json"]:
        from roofline.reports.prediction import to_json
        from roofline.sweeps.answers import rows_answer

        tell(to_json(rows_answer(answer.words, answer.rows())))
        return
    from roofline.reports.points import pivot_text, rows_text

    if answer.pivoted:
        show(pivot_text(answer.words, answer.lines(), str(answer.group)))
        return
    show(rows_text(answer.words, answer.lines(), flags["top"] if flags["pareto"] is None else None))


def _two(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _plan_text(plan: Plan, folder: Path) -> str:
    """Points, parts, bytes and minutes; what is there already."""
    from roofline.reports.prediction import quantity

    left = plan.left
    there = f", {len(plan.there)} of them there" if plan.there else ""
    size = quantity(plan.bytes, "bytes")
    minutes = f"{max(1, round(plan.seconds / 60))} minutes" if plan.seconds > 60 else "less than a minute"
    minutes += " of one worker" if isinstance(plan.workers, str) else ""
    lines = [
        f"{plan.points:,} points in {len(plan.parts)} parts{there}; about {size} in {folder}, {minutes} left",
        *(f"  {part.title}: {part.points:,} points" for part in list(left.values())[:8]),
    ]
    return "\n".join([*lines, *([f"  and {len(left) - 8} more"] if len(left) > 8 else [])])


def _sweep_text(swept: Sweep) -> str:
    """What a finished sweep holds, and what it may be asked."""
    from roofline.units import format_quantity

    size = format_quantity(sum(path.stat().st_size for path in swept.parts()), "bytes", digits=2)
    trained = all(part["phase"] == "train" for part in swept.manifest["parts"])
    asked = "" if trained else " --where 'fits and tpot_s < 0.03'"
    refused = f", {swept.refused:,} refused" if swept.refused else ""
    reasons = swept.reasons() if swept.refused else []
    why = [f"refused {count:,}: {reason}" for reason, count in reasons[:3]]
    why += [f"and {len(reasons) - 3} more reasons, in the column refused"] if len(reasons) > 3 else []
    files = "1 file" if len(swept.parts()) == 1 else f"{len(swept.parts())} files"
    return (
        f"{swept.rows:,} rows in {files} of {swept.folder}, {size}{refused}\n"
        + "".join(f"{line}\n" for line in why)
        + f"roofline sweep show {swept.folder} --best usd_per_mtoken{asked}"
    )
