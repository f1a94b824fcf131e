"""The verb ``formula``: a model's or a layer's expression in letters, as text, LaTeX, Python, JavaScript or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline.cli.console import refuse, show, tell
from roofline.cli.traced import model_of
from roofline.errors import UsageError
from roofline.options.groups import Tracing
from roofline.options.keywords import part
from roofline.options.option import fields_of
from roofline.options.verbs.operators import FormulaFlags, SettingOptions

if TYPE_CHECKING:
    from roofline.formulas.expressions import Quantity
    from roofline.formulas.setting import Setting

_FORMATS = ("latex", "python", "js", "json")


def show_formula(subject: str | None, flags: FormulaFlags) -> None:
    """Count, memory, intensity or time of a model or a layer as a symbolic formula; alone, which layers there are."""
    if subject is None:
        _show_layers(flags)
        return
    from roofline.formulas.setting import make_setting

    formats = [name for name, wanted in flags.items() if name in _FORMATS and wanted]
    if len(formats) > 1:
        msg = "--latex, --python, --js and --json are formats; give one"
        raise UsageError(msg)
    style = formats[0] if formats else "text"
    meant = model_of(subject, part(Tracing, flags))
    setting = make_setting(meant, hardware=flags["hardware"], **part(SettingOptions, flags))
    phase, elasticity, solve = flags["phase"], flags["elasticity"], flags["solve"]
    if elasticity is not None:
        _check_format(style, "--elasticity", solve is None)
        show(_elasticities(setting, flags["quantity"], phase, elasticity))
    elif solve is None:
        printed = show if style == "text" else tell  # code is pasted as it is
        printed(_formulas(setting, flags["quantity"], phase, flags["mean"], style))
    else:
        _check_format(style, "--solve", not flags["mean"] and flags["quantity"] == "flops", "latex", "json")
        printed = show if style == "text" else tell
        printed(_regimes(setting, solve, phase, style))


def _show_layers(flags: FormulaFlags) -> None:
    """The layers that have a formula by themselves. Raises UsageError where a flag asks about one."""
    of_one = (
        field for field in fields_of(FormulaFlags) if flags.get(field.name) not in (field.option.default, None, {})
    )
    if field := next(of_one, None):
        refuse(f"{field.flags[0]} goes with a SUBJECT, a model or a layer; roofline formula alone lists the layers")
    from roofline.reports.layers import layers_table

    show("\n".join(layers_table()))


def _check_format(style: str, flag: str, alone: bool, *formats: str) -> None:
    """Raises UsageError for a flag beside another question, or in a format that it has none for."""
    if not alone or style not in ("text", *formats):
        answers = "".join(f", --{name}" for name in formats)
        others = {"--solve": "--elasticity, --mean and --quantity", "--elasticity": "--solve"}[flag]
        msg = f"{flag} is a question of its own: it answers as text{answers}, without {others}"
        raise UsageError(msg)


def _formulas(setting: Setting, quantity: Quantity, phase: str | None, mean: bool, style: str) -> str:
    """The formulas of all phases that were asked for, in one format."""
    from roofline.formulas.building import build, phases_of
    from roofline.formulas.expressions import Formulas
    from roofline.program.phases import Phase
    from roofline.reports.prediction import to_json

    asked = (Phase.DECODE,) if mean and phase is None else phases_of(setting, quantity, phase)
    formulas = [build(setting, quantity, when, mean=mean) for when in asked]
    if style == "json":
        return to_json(Formulas(tuple(formulas)).to_dict())
    if style in ("latex", "python", "js"):
        write = {"latex": "latex", "python": "python", "js": "javascript"}[style]
        if style == "latex" and len(formulas) > 1:
            return "\n".join(f"% {formula.phase}\n{formula.latex()}" for formula in formulas)
        return "\n\n\n".join(getattr(formula, write)() for formula in formulas)
    return "\n\n".join(str(formula) for formula in formulas)


def _elasticities(setting: Setting, quantity: Quantity, phase: str | None, name: str) -> str:
    """Derivative and elasticity in one symbol, for all phases that were asked for."""
    from dataclasses import replace

    from roofline.formulas.building import build, phases_of
    from roofline.formulas.derivatives import sensitivity_text

    kept = replace(setting, keep=setting.keep | {name})
    formulas = [build(kept, quantity, when) for when in phases_of(setting, quantity, phase)]
    return "\n\n".join(sensitivity_text(formula, name) for formula in formulas)


def _regimes(setting: Setting, variable: str, phase: str | None, style: str) -> str:
    """When all phases that were asked for turn compute-bound, in one format."""
    from roofline.formulas.building import phases_of
    from roofline.formulas.regimes import Regimes, solve_regime
    from roofline.reports.prediction import to_json

    regimes = [solve_regime(setting, variable, when) for when in phases_of(setting, "flops", phase)]
    if style == "json":
        return to_json(Regimes(tuple(regimes)).to_dict())
    return "\n\n".join(regime.latex() if style == "latex" else str(regime) for regime in regimes)
