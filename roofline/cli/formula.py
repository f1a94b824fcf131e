"""The verb ``formula``: a model's or a layer's expression in letters, as text, LaTeX, Python, JavaScript or JSON."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roofline.cli.console import choice, tell
from roofline.errors import UsageError


def show_formula(
    subject: Annotated[str, typer.Argument(help="A model as for predict, or a layer: attention, feed_forward, ...")],
    op: Annotated[str | None, typer.Option(help="One operator or group of it.")] = None,
    phase: Annotated[str | None, typer.Option(help="encode, prefill or decode.  [default: all]")] = None,
    quantity: Annotated[
        str, typer.Option(help="flops, bytes, parameters, kv_cache, memory, intensity, time or bound.")
    ] = "flops",
    keep: Annotated[str, typer.Option(help="What stays a letter beside batch and lengths: all, or D,F,peak.")] = "",
    subs: Annotated[str | None, typer.Option(help="Numbers to put in: B=8,S=4096.")] = None,
    mean: Annotated[bool, typer.Option("--mean", help="Decode: the mean over a request's steps.")] = False,
    solve: Annotated[str | None, typer.Option(help="When it turns compute-bound: B, S, D, bandwidth, peak ...")] = None,
    elasticity: Annotated[
        str | None, typer.Option(help="How it answers to one symbol: B, S, bandwidth, latency ...")
    ] = None,
    hardware: Annotated[str | None, typer.Option(help="A device, for time and bound in numbers.")] = None,
    dtype: Annotated[str | None, typer.Option(help="A dtype, or a recipe: fp8, w8a8, w4a16 ...")] = None,
    attention: Annotated[str, typer.Option(help="fused or materialised.")] = "fused",
    count: Annotated[str, typer.Option(help="attended or square.")] = "attended",
    lm_head: Annotated[str, typer.Option(help="last or all.")] = "last",
    execution: Annotated[str | None, typer.Option(help="graph or eager.  [default: graph on GPUs]")] = None,
    constants: Annotated[str | None, typer.Option(help="datasheet or class.  [default: class]")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="LaTeX.")] = False,
    python: Annotated[bool, typer.Option("--python", help="A Python function.")] = False,
    js: Annotated[bool, typer.Option("--js", help="A JavaScript function.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count, memory, intensity or time of a model or a layer as a formula in letters."""
    from roofline.formulas.setting import make_setting
    from roofline.formulas.substitution import read_substitutions
    from roofline.program.conventions import Conventions

    if [latex, python, js, json].count(True) > 1:
        msg = "--latex, --python, --js and --json are formats; give one"
        raise UsageError(msg)
    conventions = Conventions(
        choice("--attention", attention, "fused", "materialised"),
        choice("--count", count, "attended", "square"),
        choice("--lm-head", lm_head, "last", "all"),
    )
    setting = make_setting(
        subject, conventions, op=op, keep=keep, subs=read_substitutions(subs) if subs is not None else None,
        hardware=hardware, dtype=dtype, execution=choice("--execution", execution, "graph", "eager"),
        constants=choice("--constants", constants, "datasheet", "class"),
    )  # fmt: skip
    style = "latex" if latex else "python" if python else "js" if js else "json" if json else "text"
    if elasticity is not None:
        _check_format(style, "--elasticity", solve is None)
        tell(_elasticities(setting, quantity, phase, elasticity))
    elif solve is None:
        tell(_formulas(setting, quantity, phase, mean, style))
    else:
        _check_format(style, "--solve", not mean and quantity == "flops", "latex", "json")
        tell(_regimes(setting, solve, phase, style))


def _check_format(style: str, flag: str, alone: bool, *formats: str) -> None:
    """Raises UsageError for a flag beside another question, or in a format that it has none for."""
    if not alone or style not in ("text", *formats):
        answers = "".join(f", --{name}" for name in formats)
        msg = f"{flag} is a question of its own: it answers as text{answers}, without the flags of another question"
        raise UsageError(msg)


def _formulas(setting: Any, quantity: Any, phase: Any, mean: bool, style: str) -> str:
    """The formulas of all phases that were asked for, in one format."""
    from roofline.formulas.building import build, phases_of
    from roofline.prediction.predict import SCHEMA_VERSION, tool_version
    from roofline.reports.prediction import to_json

    asked = ("decode",) if mean and phase is None else phases_of(setting, quantity, phase)
    formulas = [build(setting, quantity, when, mean=mean) for when in asked]
    if style == "json":
        head = {"schema_version": SCHEMA_VERSION, "version": tool_version()}
        return to_json({**head, "formulas": [formula.to_dict() for formula in formulas]})
    if style in ("latex", "python", "js"):
        write = {"latex": "latex", "python": "python", "js": "javascript"}[style]
        return ("\n" if style == "latex" else "\n\n\n").join(getattr(formula, write)() for formula in formulas)
    return "\n\n".join(str(formula) for formula in formulas)


def _elasticities(setting: Any, quantity: Any, phase: Any, name: str) -> str:
    """Derivative and elasticity in one symbol, for all phases that were asked for."""
    from dataclasses import replace

    from roofline.formulas.building import build, phases_of
    from roofline.formulas.derivatives import sensitivity_text

    kept = replace(setting, keep=setting.keep | {name})
    formulas = [build(kept, quantity, when) for when in phases_of(setting, quantity, phase)]
    return "\n\n".join(sensitivity_text(formula, name) for formula in formulas)


def _regimes(setting: Any, variable: str, phase: Any, style: str) -> str:
    """When all phases that were asked for turn compute-bound, in one format."""
    from roofline.formulas.building import phases_of
    from roofline.formulas.regimes import solve_regime
    from roofline.prediction.predict import SCHEMA_VERSION, tool_version
    from roofline.reports.prediction import to_json

    regimes = [solve_regime(setting, variable, when) for when in phases_of(setting, "flops", phase)]
    if style == "json":
        head = {"schema_version": SCHEMA_VERSION, "version": tool_version()}
        return to_json({**head, "regimes": [regime.to_dict() for regime in regimes]})
    return "\n\n".join(regime.latex() if style == "latex" else str(regime) for regime in regimes)
