"""What a formula is about: a model, one of its operators or groups, or a lone layer of the catalogue."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.compression.quantization import quantized, quantized_groups
from roofline.compression.recipes import Recipe
from roofline.cost.cost import Cost, operator_cost, step_cost
from roofline.engines.engine import Engine
from roofline.errors import ConfigError, SpecError, UsageError, WorkloadError, near_matches, shown
from roofline.files.plugins import plugin_table
from roofline.formulas.catalogue import ALIASES, LAYERS
from roofline.formulas.lone_layers import Layer
from roofline.models.model import Model, load_model
from roofline.program.axes import Sizes
from roofline.program.conventions import Conventions
from roofline.program.merging import merged, run_by
from roofline.program.phases import PHASES, Phase
from roofline.program.program import Group, Program
from roofline.program.workload import Precision


@frozen
class Subject:
    """A model, a part of it, or a lone layer.

    ``part`` names an operator or a group of the model, of which one execution is meant; empty for all of it.
    """

    name: str
    part: str
    groups: tuple[Group, ...]
    program: Program | None
    model: Model | None = None

    @property
    def title(self) -> str:
        """The name as results carry it: ``llama-3.1-8b up``."""
        return f"{self.name} {self.part}".strip()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in which it runs; a lone layer runs in any."""
        return tuple(phase for phase in PHASES if any(phase in group.phases for group in self.groups))

    @property
    def decodes_after_encoding(self) -> bool:
        """Whether it is of a network whose decoder attends to what an encoder has read."""
        return self.model is not None and self.model.lengths.decoder_start is not None

    @property
    def fixed(self) -> Mapping[str, int]:
        """The sizes that the model fixes; none for a lone layer."""
        return self.program.sizes if self.program else {}

    def stored_as(self, recipe: Recipe, engine: Engine) -> Subject:
        """The same subject, quantised, as ``engine`` folds it; a part stays the operators and groups of its names."""
        if self.program is None:
            return replace(self, groups=quantized_groups(self.groups, recipe))
        program = merged(quantized(self.program, recipe), {}, engine.folds)
        if not self.part:
            return replace(self, groups=program.groups, program=program)
        kept = {(group.name, op.name) for group in self.groups for op in group.ops}
        whole = {group.name for group in self.groups if group.name == self.part}
        halves = (
            (group, tuple(op for op in group.ops if group.name in whole or (group.name, op.name) in kept))
            for group in program.groups
        )
        return replace(self, groups=tuple(replace(group, ops=ops) for group, ops in halves if ops), program=program)

    def costs(
        self, phase: Phase | None, sizes: Sizes, precision: Precision, engine: Engine | None = None
    ) -> tuple[Cost, ...]:
        """The cost of each operator, with its count, as ``engine`` launches it; one execution of a part."""
        if self.program is None:
            decoding = phase is not None and phase.one_token
            return tuple(operator_cost(op, sizes, precision, self.name, decoding=decoding) for op in self.groups[0].ops)
        assert phase is not None, "a model runs in phases"
        every = step_cost(self.program, phase, sizes, precision, engine)
        if not self.part:
            return every
        chosen = {(group.name, op.name) for group in self.groups for op in group.ops}
        return tuple(replace(cost, count=1) for cost in every if (cost.group, cost.name) in chosen)


def subject_of(model: Model, conventions: Conventions, engine: Engine | None = None) -> Subject:
    """The whole of a model, as it is stated or as ``engine`` merges it."""
    program = _run(model, conventions, engine)
    return Subject(model.name, "", program.groups, program, model)


def find_subject(
    subject: str | Path | Mapping[str, Any] | Model,
    part: str | None,
    conventions: Conventions,
    engine: Engine | None = None,
) -> Subject:
    """The layer or the model of that name, as ``engine`` merges it, and the part of it that ``part`` names.

    Raises UsageError for an unknown part, ConfigError for an unknown model.
    """
    if part == "":
        msg = "op is empty: name an operator or a group, or leave it out"
        raise UsageError(msg)
    if isinstance(subject, str) and (layer := _layer(subject)):
        if not part:
            return Subject(subject, "", (Group(subject, layer.build(conventions)),), None)
        ops = tuple(op for op in layer.build(conventions) if op.name == part)
        _check_part(bool(ops), part, subject, [op.name for op in layer.build(conventions)])
        return Subject(subject, part, (Group(subject, ops),), None)
    model = subject if isinstance(subject, Model) else _load(subject)
    if not part:
        return subject_of(model, conventions, engine)
    program = _run(model, conventions, engine)
    groups = tuple(group for group in program.groups if group.name == part)
    if not groups:
        halves = ((group, tuple(op for op in group.ops if op.name == part)) for group in program.groups)
        groups = tuple(replace(group, ops=ops) for group, ops in halves if ops)
    names = [name for group in program.groups for name in (group.name, *(op.name for op in group.ops))]
    _check_part(bool(groups), part, model.name, names)
    return Subject(model.name, part, groups, program, model)


def _layer(name: str) -> Layer | None:
    """A lone layer of the package, else one of a plugin. Raises SpecError for what is none."""
    if known := LAYERS.get(ALIASES.get(name, name)):
        return known
    own = plugin_table("LAYERS").get(name) if name.isidentifier() else None  # names of models have hyphens
    if own is not None and not isinstance(own, Layer):
        msg = f"plugin: LAYERS[{name!r}] is a {type(own).__name__}, expected a Layer"
        raise SpecError(msg)
    return own


def _layers_like(name: str) -> list[str]:
    """The layer, of the package or of a plugin, whose name is nearest, if one is near."""
    own = plugin_table("LAYERS") if name.isidentifier() else ()
    return difflib.get_close_matches(name, [*LAYERS, *ALIASES, *own], n=1, cutoff=0.8)


def _run(model: Model, conventions: Conventions, engine: Engine | None) -> Program:
    program = model.program(conventions)
    return run_by(engine, program) if engine else program


def _load(subject: str | Path | Mapping[str, Any]) -> Model:
    """The model of that name. Raises UsageError for a name that is much like a layer's, ConfigError for others."""
    if isinstance(subject, str) and (close := _layers_like(subject)):
        msg = f"unknown layer or model {shown(subject)}; did you mean {close[0]}?"
        raise UsageError(msg)
    try:
        return load_model(subject)
    except ConfigError as failure:
        beginning = f"unknown model {shown(subject)}; "
        if not str(failure).startswith(beginning):
            raise
        near = str(failure).removeprefix(beginning).removesuffix(" (roofline models list)")
        meant = "" if near.startswith("known") else f"{near}{'' if near.endswith('?') else ';'} "
        lists = "roofline formula lists the layers, roofline models list the models"
        msg = f"unknown layer or model {shown(subject)}; {meant}{lists}"
        raise ConfigError(msg) from None


def read_phase(subject: Subject, phase: str | None) -> Phase | None:
    """A phase of a subject by its name, None for none.

    Raises UsageError for a word that is no phase, WorkloadError for a phase that the subject does not have.
    """
    if phase is None:
        return None
    if phase not in PHASES:
        msg = f"phase {shown(phase)}: expected one of {', '.join(PHASES)}"
        raise UsageError(msg)
    if phase not in subject.phases:
        msg = f"{subject.title} has no {phase} phase; it has {', '.join(subject.phases)}"
        raise WorkloadError(msg)
    return Phase(phase)


def _check_part(found: bool, part: str, owner: str, names: list[str]) -> None:
    if not found:
        msg = f"op {shown(part)}: {owner} has no such operator or group; {near_matches(part, names)}"
        raise UsageError(msg)
