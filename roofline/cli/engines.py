"""The verbs of ``engines``: list, show, check, new."""

from __future__ import annotations

from pathlib import Path

from roofline.cli.console import tell, write_new
from roofline.errors import SpecError
from roofline.options.groups import JsonOutput
from roofline.options.verbs import EngineNewFlags


def engines_list(flags: JsonOutput) -> None:
    """All engines: version and date, what they merge, fold and replay."""
    from roofline.engines.library import engine_names, load_engine
    from roofline.reports import engines as report_engines
    from roofline.reports import prediction as report

    found = [load_engine(name) for name in engine_names()]
    rows = {each.name: each.model_dump(mode="json") for each in found}
    tell(report.to_json(rows) if flags["json"] else "\n".join(report_engines.engines_table(found)))


def engines_show(name: str, flags: JsonOutput) -> None:
    """One engine: all that it states, with sources."""
    from roofline.engines.library import load_engine
    from roofline.reports import engines as report_engines
    from roofline.reports import prediction as report

    engine = load_engine(name)
    fields = engine.model_dump(mode="json")
    tell(report.to_json(fields) if flags["json"] else "\n".join(report_engines.engine_page(engine)))


def engines_check(files: tuple[str, ...]) -> None:
    """The loader's checks on your own files: every problem with its line; exit 3 if there is one."""
    from roofline.engines.template import review_engine

    wrong = 0
    for file in map(Path, files):
        found = review_engine(file)
        wrong += bool(found)
        tell("\n".join(found) if found else f"{file}: good")
    if wrong:
        msg = f"{wrong} of {len(files)} files would be refused; mend the lines above"
        raise SpecError(msg)


def engines_new(name: str, flags: EngineNewFlags) -> None:
    """A commented engine to fill in."""
    from roofline.engines.template import new_engine

    path = flags["output"] or Path(f"{name}.yaml")
    write_new(path, new_engine(name, flags["template"]))
    tell(f"{path}: as {flags['template']}, to be replaced\nroofline engines check {path}")
