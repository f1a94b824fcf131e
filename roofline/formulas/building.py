"""Formulas built from the statements of the operators: the same counts, memory and timing code, bound to letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, get_args

import sympy

from roofline.cost.kv_cache import cache_bytes
from roofline.cost.residency import activation_peak, weights_bytes
from roofline.cost.saved_bytes import once, saved_bytes
from roofline.errors import UsageError, WorkloadError, near_matches, shown
from roofline.formulas.expressions import Formula, Quantity, as_sympy, substitute
from roofline.formulas.setting import Setting, TrainingStep, make_setting, notes_of
from roofline.formulas.simplification import simplified
from roofline.formulas.subject import Subject, read_phase
from roofline.formulas.symbols import LETTERS, symbol
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model
from roofline.models.outline import Outline
from roofline.number import product
from roofline.options.keywords import part, takes
from roofline.options.verbs.operators import FormulaOptions, SettingOptions
from roofline.program.axes import rebind
from roofline.program.dropout import with_dropout
from roofline.program.op import CARRIED, Role
from roofline.program.phases import Phase
from roofline.program.saved import saved_tensors
from roofline.program.workload import Precision

TIMELESS: tuple[Quantity, ...] = ("parameters", "kv_cache", "saved")
"""Quantities that belong to no phase of a request, or are the same in every one."""


@takes(FormulaOptions)
def formula(
    subject: str | Path | Mapping[str, Any] | Model,
    *,
    hardware: str | Path | HardwareSpec | None = None,
    **options: Unpack[FormulaOptions],
) -> Formula:
    """A quantity of a model, of one operator or group of it (``op``), or of a lone layer, in symbols.

    The model's own sizes are put in as numbers unless ``keep`` names them ("all", or letters); batch and lengths stay
    letters unless ``subs`` has a number. A decode formula is that of one step that attends to S tokens; ``mean`` makes
    it the mean over a request's steps, in ``prompt`` and ``generate``. An operator or a group is executed once. With
    ``hardware``, time and bound hold that device's rates and the constants of its class as numbers, without it words.
    Raises RooflineError, in one line, for whatever cannot be asked.

    >>> print(formula("attention", phase="decode", quantity="intensity").expression)
    G*S/(G + S)
    >>> formula("llama-3.1-8b", op="up", phase="decode").expression
    117440512*B
    """
    setting = make_setting(subject, hardware=hardware, **part(SettingOptions, options))
    return build(setting, options["quantity"], options["phase"], mean=options["mean"])


def build(setting: Setting, quantity: Quantity, phase: str | None, *, mean: bool = False) -> Formula:
    """The formula of ``quantity`` in ``phase``. Raises UsageError or WorkloadError for what cannot be asked."""
    if quantity not in get_args(Quantity):
        msg = f"quantity {shown(quantity)}: {near_matches(str(quantity), get_args(Quantity))}"
        raise UsageError(msg)
    if quantity != "saved" and setting.training != replace(TrainingStep(), conventions=setting.training.conventions):
        msg = f"policy, dropout: they go with quantity saved, not with {quantity}"
        raise UsageError(msg)
    asked = read_phase(setting.subject, phase)
    when = None if quantity in TIMELESS else needed_phase(setting.subject, asked)
    if mean and not (when and when.one_token):
        msg = f"mean: the mean over decode steps goes with phase decode, not with {when or quantity}"
        raise UsageError(msg)
    expression, numbers = _raw(setting, quantity, when)
    if setting.device:
        expression = substitute(expression, {k: v for k, v in numbers.items() if not setting.keeps(k)})
    if mean:
        expression = mean_over_request(expression, quantity)
    check_substitutions(setting.subs, expression)
    expression = simplified(substitute(expression, setting.subs))
    notes = notes_of(setting, quantity, when, mean=mean)
    model = setting.subject.model
    own = model.config.letters if model is not None and isinstance(model.config, Outline) else {}
    return Formula(setting.subject.title, when, quantity, expression, notes, tuple(own.items()))


def check_substitutions(subs: Mapping[str, Any], *expressions: Any) -> None:
    """Raises UsageError for a letter or word that stands in none of ``expressions``."""
    held = sorted({str(free) for expression in expressions for free in expression.free_symbols})
    if strange := [name for name in subs if name not in held]:
        msg = f"subs {strange[0]}: not in this formula, which holds {', '.join(held) or 'no letter'}"
        raise UsageError(msg)


def phases_of(setting: Setting, quantity: Quantity, phase: str | None) -> tuple[Phase | None, ...]:
    """The phases that an answer is given for: the one asked for, else all; none for a lone layer or a timeless figure.

    Raises UsageError or WorkloadError for a phase that is none or that the subject does not have.
    """
    asked = read_phase(setting.subject, phase)
    if asked is not None or quantity in TIMELESS or setting.subject.program is None:
        return (asked,)
    return setting.subject.phases


def needed_phase(subject: Subject, phase: Phase | None) -> Phase | None:
    """The phase that is meant: a model's only one where none is named. Raises UsageError where there are several."""
    if phase is not None or subject.program is None:
        return phase
    if len(subject.phases) > 1:
        msg = f"{subject.title} runs in {' and '.join(subject.phases)}: name a phase"
        raise UsageError(msg)
    return subject.phases[0]


def mean_over_request(expression: Any, quantity: Quantity) -> Any:
    """The mean of a step's expression over the decode steps of a request, S = prompt + 1 ... prompt + generate - 1.

    Raises WorkloadError where the expression is no polynomial in S, so that the sum has no closed form.
    """
    span, first, steps = LETTERS["S"], symbol("prompt") + 1, symbol("generate") - 1
    if not expression.is_polynomial(span):
        msg = f"{quantity} is no polynomial in S, so that its mean has no closed form; take one step, without mean"
        raise WorkloadError(msg)
    return sympy.expand(sympy.cancel(sympy.summation(expression, (span, first, symbol("prompt") + steps)) / steps))


def _raw(setting: Setting, quantity: Quantity, phase: Phase | None) -> tuple[Any, Mapping[str, float]]:
    """The expression with every kept letter and all words as symbols, and the device's number for each word."""
    held: dict[str, Callable[[], Any]] = {
        "parameters": lambda: _resident(setting, "weight", None),
        "kv_cache": lambda: _resident(setting, "kv_cache", setting.precision),
        "memory": lambda: _memory(setting, phase),
        "saved": lambda: _saved(setting),
    }
    if quantity in held:
        return sympy.sympify(held[quantity]()), {}
    costs = setting.costs(phase)
    machine = setting.machine(costs)
    if quantity in ("time", "bound"):
        found = machine.best.step(costs).bound_s if quantity == "bound" else machine.expected.step(costs).time_s
        return sympy.sympify(found), machine.numbers
    flops, moved = (sum(cost.count * getattr(cost, name) for cost in costs) for name in ("flops", "bytes"))
    if quantity == "intensity":
        return sympy.sympify(flops) / moved, {}
    return sympy.sympify(flops if quantity == "flops" else moved), {}


def _resident(setting: Setting, role: Role, precision: Precision | None) -> Any:
    """Elements, or with a precision bytes, of the weights, or caches and states, that stay; those of a part once."""
    sizes, subject = setting.letters(Phase.DECODE), setting.subject  # what rests does so between steps of one token
    if subject.program and not subject.part:
        if role == "kv_cache" and precision:
            return cache_bytes(subject.program, sizes, precision)
        return subject.program.parameters(sizes)
    held: dict[str, Any] = {}
    for group in subject.groups:
        for op in group.ops:
            local = rebind(group.sizes(sizes), op.local)
            for tensor in (*op.reads, *op.writes):
                kept = tensor.role in CARRIED and not tensor.borrowed
                if tensor.role == role != "kv_cache" or (role == "kv_cache" and kept):
                    axes = tensor.stored or tensor.axes
                    width = as_sympy(precision.width(tensor)) if precision else 1
                    held.setdefault(tensor.name, width * product(local[letter] for letter in axes.split()))
    return sum(held.values())


def _memory(setting: Setting, phase: Phase | None) -> Any:
    """Weights, cache and the peak of the activations in a phase."""
    program = setting.subject.program
    if program is None or setting.subject.part:
        msg = f"memory is that of a whole model, not of {setting.subject.title}; ask for bytes, parameters or kv_cache"
        raise WorkloadError(msg)
    assert phase is not None
    sizes, precision = setting.letters(phase), setting.precision
    held = setting.letters(Phase.DECODE)  # the cache at rest, as a window keeps it between steps of one token
    resting = weights_bytes(program, held, precision) + cache_bytes(program, held, precision)
    return sympy.sympify(resting + activation_peak(program, phase, sizes, precision))


def _saved(setting: Setting) -> Any:
    """What backward needs of the forward pass: of the whole network, of one layer, or of what an operator writes."""
    subject, training = setting.subject, setting.training
    if subject.model is None:
        msg = f"saved is that of a model, its groups and operators, not of {subject.title}: name a model"
        raise WorkloadError(msg)
    program = subject.model.program(training.conventions)
    if program.anonymous:
        msg = f"saved: nothing says what the operators of {subject.model.name} save, which is a traced module"
        raise WorkloadError(msg)
    program = with_dropout(program) if training.dropout else program
    kept = saved_tensors(program, training.recompute)
    sizes = setting.letters(Phase.PREFILL)
    if not subject.part:
        return saved_bytes(kept, sizes, setting.precision)
    part = "loss" if subject.part == "sampling" else subject.part  # which stands in its place
    own = [each for each in kept if part in (each.group.name, each.op.name)]
    return saved_bytes([once(each) for each in own], sizes, setting.precision)
