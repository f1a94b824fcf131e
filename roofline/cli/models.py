"""The verbs of ``models``: list, show, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roofline.cli.console import choice, tell, warn
from roofline.errors import ConfigError, UsageError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON in SI base units.")]


def models_list(
    text: Annotated[str | None, typer.Argument(help="Only presets with this in their name or family.")] = None,
    sort: Annotated[str, typer.Option(help="name, family, parameters, layers, hidden or positions.")] = "name",
    json: JsonFlag = False,
) -> None:
    """All presets, or those that match: family, parameters, shape."""
    from roofline.models.model import load_model, preset_names
    from roofline.reports import models as report_models
    from roofline.reports import prediction as report

    key = report_models.SORTS[choice("--sort", sort, *report_models.SORTS)]
    models = [load_model(name) for name in preset_names()]
    if text is not None:
        models = [model for model in models if text.lower() in f"{model.name} {model.model_type}"]
        if not models:
            msg = f"no preset has {text!r} in its name or family (roofline models list)"
            raise ConfigError(msg)
    models.sort(key=key)
    table = report_models.models_table
    tell(report.to_json({m.name: m.to_dict() for m in models}) if json else "\n".join(table(models)))


def models_show(name: Annotated[str, typer.Argument(help="A preset or a path.")], json: JsonFlag = False) -> None:
    """One model: its fields, its parameters by part, its KV cache, its operators as statements."""
    from roofline.models.model import load_model
    from roofline.reports import models as report_models
    from roofline.reports import prediction as report

    model = load_model(name)
    tell(report.to_json(model.to_dict()) if json else "\n".join(report_models.model_page(model)))


def models_check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A config.json, or the folder that holds it.")],
) -> None:
    """Whether a configuration can be read and what of it is not modelled; exit 3 and one line if it is refused."""
    from roofline.models.model import load_model

    path = Path(file)
    if len(path.parts) == 1 and path.suffix != ".json" and not path.exists():
        msg = f"models check {file!r}: expected a path to a config.json or to its folder"
        raise UsageError(msg)
    model = load_model(path if path.suffix == ".json" else path / "config.json")
    for warning in model.warnings:
        warn(warning)
    ignored = f", {len(model.warnings)} fields ignored" if model.warnings else ""
    tell(f"{file}: {model.model_type}, {model.parameters:,} parameters{ignored}")
