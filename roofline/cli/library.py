"""The verbs of ``models`` and ``engines``: list, show, check, record, new."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roofline.cli.console import refuse, show, tell, warn, write_new
from roofline.cli.traced import model_of
from roofline.errors import RooflineError, SpecError
from roofline.options.groups import JsonOutput, Tracing
from roofline.options.keywords import part
from roofline.options.verbs.libraries import EngineNewFlags, ModelListFlags, ModelRecordFlags

if TYPE_CHECKING:
    from roofline.models.model import Model


def models_list(text: str | None, flags: ModelListFlags) -> None:
    """All presets, or those that match: family, parameters, shape."""
    from roofline.models.model import GENERATES, load_model
    from roofline.models.selection import select
    from roofline.models.sources import aliases_with, generator_names, preset_names, trace_names
    from roofline.reports import models as report_models
    from roofline.reports import prediction as report

    key = report_models.SORTS[flags["sort"]]
    recorded = [(name, "traced") for name in trace_names()] + [(name, GENERATES) for name in generator_names()]
    meant = [name for name, kind in recorded if text is None or text.lower() in f"{name} {kind}"]  # slow to read
    every = [load_model(name) for name in (*preset_names(), *meant)] + _of_plugins()
    every += [load_model(name) for name in aliases_with(text)] if text is not None else []
    models = select(
        every,
        text=text,
        family=flags["family"],
        parameters=flags["parameters"],
        kind=flags["kind"],
        experts=flags["moe"],
    )
    if flags["fits"] is not None:
        from roofline.prediction.library import that_fit

        models = that_fit(models, flags["fits"])
    models.sort(key=key)
    table = report_models.models_table
    show(report.to_json({m.name: m.to_dict() for m in models}) if flags["json"] else "\n".join(table(models)))


def _of_plugins() -> list[Model]:
    """The models of plugins; what cannot be read is warned of and left out."""
    from roofline.models.model import load_model
    from roofline.models.sources import plugin_models

    found = []
    for name in plugin_models():
        try:
            found.append(load_model(name))
        except RooflineError as failure:
            warn(f"{failure}; left out")
    return found


def models_show(name: str, flags: JsonOutput) -> None:
    """One model: its fields, its parameters by part, its KV cache, its operators as statements."""
    from roofline.models.model import load_model
    from roofline.reports import models as report_models
    from roofline.reports import prediction as report

    model = load_model(name)
    show(report.to_json(model.to_dict()) if flags["json"] else "\n".join(report_models.model_page(model)))


def models_check(file: str) -> None:
    """Whether a configuration can be read and what of it is not modelled; exit 3 and one line if it is refused."""
    from roofline.models.model import load_model

    path = Path(file)
    named = len(path.parts) == 1 and path.suffix != ".json" and not path.exists()
    model = load_model(file if named else path if path.suffix == ".json" else path / "config.json")
    for warning in model.warnings:
        warn(warning)
    count = len(model.ignored)
    ignored = f", {count} field{'s' if count > 1 else ''} ignored" if count else ""
    show(f"{file}: {model.model_type}, {model.parameters:,} parameters{ignored}")


def models_record(code: str, flags: ModelRecordFlags) -> None:
    """Trace a module into a file, which is then a MODEL everywhere and needs no torch and no code."""
    from roofline.files.atomic import check_writable
    from roofline.models.sources import is_code

    if not is_code(code):
        refuse(f"models record {code!r}: expected code, my.py:make_model, transformers: or diffusers:config.json")
    output = flags["output"] or Path(f"{code.rpartition(':')[2].removesuffix('.json')}.json")
    if output.suffix != ".json":
        refuse(f"-o {output}: expected a name that ends in .json")
    check_writable(output)
    model = model_of(code, part(Tracing, flags), generating=True)
    assert not isinstance(model, str)
    for warning in model.warnings:
        warn(warning)
    model.write_trace(output)
    tell(f"{output}: {model.name}, {model.parameters:,} parameters")


def engines_list(flags: JsonOutput) -> None:
    """All engines: version and date, what they merge, fold and replay."""
    from roofline.engines.library import load_every_engine
    from roofline.reports import engines as report_engines
    from roofline.reports import prediction as report

    found = load_every_engine()
    rows = {each.name: each.model_dump(mode="json") for each in found}
    show(report.to_json(rows) if flags["json"] else "\n".join(report_engines.engines_table(found)))


def engines_show(name: str, flags: JsonOutput) -> None:
    """One engine: all that it states, with sources."""
    from roofline.engines.library import load_engine
    from roofline.reports import engines as report_engines
    from roofline.reports import prediction as report

    engine = load_engine(name)
    fields = engine.model_dump(mode="json")
    show(report.to_json(fields) if flags["json"] else "\n".join(report_engines.engine_page(engine)))


def engines_check(files: tuple[str, ...]) -> None:
    """The loader's checks on your own files: every problem with its line; exit 3 if there is one."""
    from roofline.engines.template import review_engine

    wrong = 0
    for file in map(Path, files):
        found = review_engine(file)
        wrong += bool(found)
        show("\n".join(found) if found else f"{file}: good")
    if wrong:
        msg = f"{wrong} of {len(files)} files would be refused; mend the lines above"
        raise SpecError(msg)


def engines_new(name: str, flags: EngineNewFlags) -> None:
    """A commented engine to fill in."""
    from roofline.engines.template import new_engine

    path = flags["output"] or Path(f"{name}.yaml")
    write_new(path, new_engine(name, flags["template"]))
    tell(f"{path}: as {flags['template']}, to be replaced\nroofline engines check {path}")
