"""What a formula holds for: subject, precision, lengths, device, the numbers put in, and the notes that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Unpack

import sympy

from roofline.calibration.constants import ConstantSet
from roofline.calibration.provenance import constants_of
from roofline.classes import frozen
from roofline.compression.recipes import AS_ASKED, Recipe, recipe_of
from roofline.cost.cost import Cost
from roofline.engines.engine import Engine
from roofline.errors import UsageError, near_matches, shown
from roofline.formulas.expressions import Quantity, as_sympy
from roofline.formulas.machine import SymbolicMachine, machine_for
from roofline.formulas.subject import Subject, find_subject
from roofline.formulas.substitution import known_names, read_substitution_mapping, read_substitutions
from roofline.formulas.symbols import LETTERS, whole_symbol
from roofline.hardware.loading import load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model
from roofline.options.keywords import takes
from roofline.options.verbs.operators import FormulaSetting, SettingOptions
from roofline.program.conventions import Conventions, check_fusion
from roofline.program.phases import Phase
from roofline.program.recompute import NOTHING, Recompute, read_policy
from roofline.program.workload import DTYPE_BYTES, Precision
from roofline.timing.dtype_support import computing_device, recipe_on
from roofline.timing.engine_choice import Launching, kernels_of, read_engine


@frozen
class TrainingStep:
    """How a network is trained: how its operators are stated, what is recomputed, whether there is dropout."""

    conventions: Conventions = Conventions()
    recompute: Recompute = NOTHING
    dropout: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """What the reader of its formula should know."""
        again = "" if self.recompute == NOTHING else f", recompute {self.recompute.words}"
        dropped = ", dropout" if self.dropout else ""
        return (f"T = S, a training step{again}{dropped}; statistics in fp32, the loss in one kernel",)


@frozen
class Setting:
    """What a formula is built under: subject, precision, device, constants, and which symbols stay.

    ``keep`` names letters and words that stay symbols beside batch and lengths; ``all`` keeps every one.
    """

    subject: Subject
    recipe: Recipe
    device: HardwareSpec | None
    constants: ConstantSet | None
    engine: Engine
    keep: frozenset[str]
    subs: Mapping[str, int | Fraction]
    training: TrainingStep = TrainingStep()

    @property
    def precision(self) -> Precision:
        """The dtypes by role of what is not quantised."""
        return self.recipe.precision

    def keeps(self, name: str) -> bool:
        """Whether a letter or word stays a symbol for now; what is substituted is put in at the end."""
        return "all" in self.keep or name in self.keep

    def letters(self, phase: Phase | None) -> dict[str, Any]:
        """The sizes of a step of ``phase``: T is S where a prompt is read, 1 in decode, and open for a lone layer.

        Before a decoder, T and S are M: what the encoder reads.
        """
        fixed = {letter: as_sympy(size) for letter, size in self.subject.fixed.items() if not self.keeps(letter)}
        kept = {letter: whole_symbol(letter) for letter in self.subject.fixed if letter not in fixed}
        sizes = LETTERS | kept | fixed
        if phase is not None and phase.encodes and self.subject.decodes_after_encoding:
            sizes["T"] = sizes["S"] = sizes["M"]
        elif phase is not None:
            sizes["T"] = sympy.Integer(1) if phase.one_token else sizes["S"]
        return sizes

    def costs(self, phase: Phase | None) -> tuple[Cost, ...]:
        """The cost of each operator in letters."""
        return self.subject.costs(phase, self.letters(phase), self.precision, self.engine)

    def machine(self, costs: Iterable[Cost]) -> SymbolicMachine:
        """The machine in words."""
        return machine_for(costs, self.device, self.constants, self.launching)

    @property
    def launching(self) -> Launching:
        """How the engine launches operators."""
        return Launching.of(self.engine, self.device)


@takes(SettingOptions)
def make_setting(
    subject: str | Path | Mapping[str, Any] | Model,
    *,
    hardware: str | Path | HardwareSpec | None = None,
    **options: Unpack[SettingOptions],
) -> Setting:
    """Everything that formulas are built under, checked. Raises RooflineError."""
    subs = options["subs"]
    numbers = read_substitutions(subs) if isinstance(subs, str) else read_substitution_mapping(subs or {})
    conventions = Conventions.of(options)
    if options["kernels"] == "materialised":
        conventions = replace(conventions, attention="materialised")
    found = find_subject(subject, options["op"], conventions, read_engine(options, None, None))
    if found.program is not None:
        check_fusion(options["fusion"], found.program, found.name)
    training = TrainingStep(replace(conventions, lm_head="all"), read_policy(options["policy"]), options["dropout"])
    return replace(setting_of(found, numbers, hardware, options), training=training)


def setting_of(
    subject: Subject,
    subs: Mapping[str, int | Fraction],
    hardware: str | Path | HardwareSpec | None,
    asked: FormulaSetting,
) -> Setting:
    """The same for a subject that was found. Raises RooflineError."""
    keep = asked["keep"]
    device = hardware if isinstance(hardware, HardwareSpec | None) else load_hardware(hardware)
    checkpoint = subject.model.stored(asked["dtype"]) if subject.model else AS_ASKED
    if device is None:
        recipe = recipe_of(asked, default="bf16", checkpoint=checkpoint)
    else:
        recipe = recipe_on(device, asked, checkpoint)
        device = computing_device(device, recipe)
    kept = frozenset(keep.replace(",", " ").split() if isinstance(keep, str) else keep)
    own = [letter for letter in subject.fixed if letter not in LETTERS]
    known = (*known_names(), *own, "all")
    if strange := sorted(kept - set(known)):
        msg = f"keep {shown(strange[0])}: no such letter or word; {near_matches(strange[0], known)}"
        raise UsageError(msg)
    engine = read_engine(asked, device, None)
    constants = None
    if device:
        constants = constants_of(device, asked["constants"] or "class").using(kernels_of(engine, device))
    stored = subject.stored_as(recipe, engine)
    return Setting(stored, recipe, device, constants, engine, kept | set(subs), subs)


def lengths_in_words(subject: Subject, phase: Phase) -> str:
    """What the lengths of a step are to each other."""
    if phase.one_token:
        return "T = 1"
    return "T = S = M" if phase.encodes and subject.decodes_after_encoding else "T = S"


def notes_of(setting: Setting, quantity: Quantity, phase: Phase | None, *, mean: bool) -> tuple[str, ...]:
    """What the reader of a formula should know: dtypes, lengths, device, numbers put in."""
    notes = []
    if quantity not in ("flops", "parameters"):
        plain = not setting.recipe.quantizes
        size = f", {DTYPE_BYTES[setting.precision.weights]} bytes an element" if plain else ""
        notes.append(setting.recipe.words + size)
    if quantity == "saved":
        notes += setting.training.words
    if phase is not None:
        steps = "the mean over the decode steps of a request" if mean else "T = 1, one step"
        read = f"{lengths_in_words(setting.subject, phase)}, the whole prompt"
        notes.append(steps if phase.one_token else read)
    if setting.subject.part:
        notes.append("one execution")
    if setting.device and setting.constants and quantity in ("time", "bound"):
        constants = f", constants {setting.constants.named}" if quantity == "time" else ""
        notes.append(f"{setting.device.name}, {setting.engine.words}{constants}")
    notes += [f"{name} = {_shown(number)}" for name, number in setting.subs.items()]
    return tuple(notes)


def _shown(number: int | Fraction) -> str:
    return str(number) if isinstance(number, int) else f"{float(number):g}"
