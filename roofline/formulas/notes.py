"""What stands below a formula: the dtypes, the lengths, the device and the numbers that it holds for."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from roofline.formulas.expressions import Quantity
from roofline.formulas.subject import Subject
from roofline.program import Phase
from roofline.workload import DTYPE_BYTES

if TYPE_CHECKING:
    from roofline.formulas.building import Setting


def lengths_in_words(subject: Subject, phase: Phase) -> str:
    """What the lengths of a step are to each other."""
    if phase == "decode":
        return "T = 1"
    return "T = S = M" if phase == "encode" and subject.decodes_after_encoding else "T = S"


def notes_of(setting: Setting, quantity: Quantity, phase: Phase | None, *, mean: bool) -> tuple[str, ...]:
    """What the reader of a formula should know: dtypes, lengths, device, numbers put in."""
    notes = []
    if quantity not in ("flops", "parameters"):
        plain = not setting.recipe.quantizes
        size = f", {DTYPE_BYTES[setting.precision.weights]} bytes an element" if plain else ""
        notes.append(setting.recipe.words + size)
    if phase is not None:
        steps = "the mean over the decode steps of a request" if mean else "T = 1, one step"
        notes.append({"decode": steps}.get(phase, f"{lengths_in_words(setting.subject, phase)}, the whole prompt"))
    if setting.subject.part:
        notes.append("one execution")
    if setting.device and setting.constants and quantity in ("time", "bound"):
        constants = f", constants {setting.constants.provenance} {setting.constants.name}" if quantity == "time" else ""
        notes.append(f"{setting.device.name}, {setting.execution} execution{constants}")
    notes += [f"{name} = {_shown(number)}" for name, number in setting.subs.items()]
    return tuple(notes)


def _shown(number: int | Fraction) -> str:
    return str(number) if isinstance(number, int) else f"{float(number):g}"
