"""A network from a preset, a ``config.json`` or a mapping: :func:`load_model`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.classes import frozen
from roofline.compression.by_tensor import mixed
from roofline.compression.mixes import MIXES
from roofline.compression.recipes import AS_ASKED, Checkpoint
from roofline.compression.weighed import AS_STATED
from roofline.errors import ConfigError, UsageError, near_matches, shown
from roofline.identity import Same
from roofline.models.checkpoints.reading import read_checkpoint
from roofline.models.families import FAMILIES, program_of
from roofline.models.families.family import Family
from roofline.models.generation import costly_settings
from roofline.models.hints import nearest_types, types_of
from roofline.models.kinds import kind_of
from roofline.models.mapping import mapped
from roofline.models.near_names import hint
from roofline.models.outline import MARK, Outline, outlined
from roofline.models.positions import check_rotation, scaled_positions
from roofline.models.shapes.config import MAX_LAYERS, Config, parse_config
from roofline.models.shapes.decoder_config import DecoderConfig
from roofline.models.shapes.sound_tower import SoundTowerConfig
from roofline.models.shapes.tower import TowerConfig
from roofline.models.sight import of_tower, perceives, sight_of
from roofline.models.sources import (
    FACTS,
    GENERATOR,
    Fact,
    Source,
    UnknownModelError,
    find_source,
    gguf_source,
    preset_source,
)
from roofline.models.wrappers import left_out, opened, text_model
from roofline.options.words import ModelKind
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.traffic.lengths import Lengths

if TYPE_CHECKING:
    from roofline.models.traced.trace import Trace

_NOTHING: tuple[Any, ...] = (None, False, "", [], {})
"""What a field that is not modelled may say without a warning: it asks for nothing."""


GENERATES = "generator"
"""The model_type of what makes images or videos: several networks, of which one runs at each denoising step."""


@frozen
class Model:
    """A network: its name, family, configuration, where that came from, and what of it is not modelled.

    ``checkpoint`` is how its file stores it; ``unread`` are fields that nothing reads,
    ``ignored`` those of them that ask for something; ``counted``: parameters in its file for each that it states.
    ``facts``: ``released`` and ``licence`` of a preset, where a source is known.
    ``predicts``: whether it is the prediction head of another network. ``left_out``: what the published file has that
    is not modelled, in words; of a file of one's own they are warnings too, as far as they ask for something.
    """

    name: str
    model_type: str
    config: Config | Outline
    source: str
    fields: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    checkpoint: Checkpoint = AS_ASKED
    ignored: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    counted: Fraction = Fraction(1)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    predicts: bool = False
    left_out: tuple[str, ...] = ()
    _programs: dict[Conventions, Program] = field(init=False, default_factory=dict, compare=False, repr=False)

    @property
    def kind(self) -> ModelKind:
        """What kind of network it is.

        >>> names = "llama-3.1-8b", "jamba-v0.1", "mamba-2.8b", "t5-base", "bge-m3"
        >>> [load_model(name).kind for name in names]
        ['decoder', 'hybrid', 'state-space', 'encoder-decoder', 'encoder']
        """
        return kind_of(self.config)

    def program(self, conventions: Conventions | None = None) -> Program:
        """The program of one step under ``conventions``, which is built once."""
        asked = conventions or Conventions()
        if asked not in self._programs:
            config = self.config
            stated = config.statement(asked) if isinstance(config, Outline) else None
            found = stated or program_of(self.model_type)(config, asked)
            self._programs[asked] = self._behind_another(found) if self.predicts else found
        return self._programs[asked]

    def _behind_another(self, program: Program) -> Program:
        from roofline.models.shapes.joined_state import with_joined_state  # noqa: PLC0415  (few drafts are heads)

        assert isinstance(self.config, DecoderConfig)
        return with_joined_state(program, self.config)

    def stored(self, dtype: str | None) -> Checkpoint:
        """How it is stored where ``dtype`` is asked for: by tensor, where that is a mix of GGUF's, else as its file is.

        Raises WorkloadError for a mix that no file of such a network has.
        """
        mix = (dtype or "").split("+")[0]
        if mix not in MIXES:
            return self.checkpoint
        return _mixed(Same(self.program()), self.model_type, mix)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of a request of text alone: all that the network has where it neither sees nor hears."""
        phases = self.program().phases
        perceives = self.tower is not None or self.hearing is not None
        return tuple(phase for phase in phases if not phase.encodes) if perceives else phases

    @property
    def tower(self) -> TowerConfig | None:
        """The tower of images in front of a decoder; None where there is none."""
        return getattr(self.config, "vision", None)

    @property
    def hearing(self) -> SoundTowerConfig | None:
        """The tower of sound in front of a decoder; None where there is none."""
        return getattr(self.config, "sound", None)

    def of_text_alone(self) -> Model:
        """The same network without the towers of images and sound in front of its decoder."""
        if self.tower is None and self.hearing is None:
            return self
        assert isinstance(self.config, DecoderConfig)
        return replace(self, config=self.config.model_copy(update={"vision": None, "sound": None}))

    @property
    def generates(self) -> bool:
        """Whether it says which token comes next: it decodes, and has a head."""
        traced = self.phases == (Phase.PREFILL, Phase.DECODE) and self.program().anonymous
        return traced or (Phase.DECODE in self.phases and any(group.name == "head" for group in self.program().groups))

    @property
    def reads(self) -> str:
        """What one pass reads, of a network that generates nothing: documents, images or inputs; else empty."""
        if self.generates or (self.phases != (Phase.ENCODE,) and self.phases[0] != Phase.PREFILL):
            return ""
        return self.lengths.unit or ("inputs" if self.program().anonymous else "documents")

    @property
    def is_lower_bound(self) -> bool:
        """Whether its counts leave out what was found in its code: what follows from them is at least that."""
        return isinstance(self.config, Outline) and bool(self.config.losses)

    @property
    def lengths(self) -> Lengths:
        """How long the sequences of the network may be."""
        return self.config.lengths

    @property
    def parameters(self) -> int:
        """How many parameters the network has, tied ones once: those of its file where tensors lie beside it."""
        if isinstance(self.config, Outline):
            return self.config.parameters()
        return int(self.program().parameters() * self.counted)

    def write_trace(self, path: str | Path) -> None:
        """Write the trace of a traced module to a file, which is a MODEL everywhere and needs no torch.

        Raises UsageError for a network that was not traced, SpecError where nothing can be written.
        """
        from roofline.models.traced.written import write_trace  # noqa: PLC0415  (few are traced)

        if not isinstance(self.config, Outline) or self.config.trace is None:
            msg = f"{self.name}: was read from a configuration, not traced; give that"
            raise UsageError(msg)
        write_trace(self.config.trace, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Name, family, source, parameters and configuration, as in ``models show --json``."""
        known = {name: {"value": fact.value, "source": fact.source} for name, fact in self.facts.items()}
        named = {"name": self.name, "model_type": self.model_type, "source": self.source}
        return {
            **named,
            **{name: known.get(name) for name in FACTS},
            "left_out": list(self.left_out),
            "parameters": self.parameters,
            "config": self.config.model_dump(mode="json"),
        }


@functools.lru_cache(maxsize=64)
def _mixed(program: Same[Program], family: str, mix: str) -> Checkpoint:
    return mixed(program.it, family, mix)


def load_model(model: str | Path | Mapping[str, Any], *, overrides: Mapping[str, Any] | None = None) -> Model:
    """The network that ``model`` names.

    ``model`` is a preset, its alias or its hub id, a path to a ``config.json`` or the folder that holds it, the hub id
    of a file in huggingface_hub's cache, ``hf:owner/name`` to download one, or a mapping of Hugging Face fields.
    ``overrides`` replace single fields.

    Raises ConfigError, in one line, for an unknown name, an unreadable file, an unknown ``model_type``, a missing,
    contradictory or wrongly typed field, and for an option that is not modelled.

    >>> load_model("bert-base").parameters
    109482240
    """
    try:
        source = find_source(model)
    except UnknownModelError as unknown:
        raise hint(unknown, _kind, _size) from None
    is_preset = source.folder is None and not source.tensors and not isinstance(model, Mapping)
    return _shipped(source.name) if is_preset and not overrides else _build(source, overrides)


def load_gguf_header(text: str, where: str) -> Model:
    """The network of a GGUF file that a text tells the header of (:func:`roofline.models.gguf.told.header_told`).

    No file is looked for. Raises ConfigError, in one line, naming the text as ``where``.
    """
    from roofline.models.gguf.told import header_told  # noqa: PLC0415  (few models are such files)

    return _build(gguf_source(header_told(text, where)), None)


def load_preset(name: str) -> Model:
    """The network of a preset by its name, an alias or an id of the hub. Raises ConfigError for anything else.

    Whatever the name, no other file is looked for.

    >>> load_preset("gpt2").parameters
    124439808
    """
    try:
        return _shipped(preset_source(name).name)
    except UnknownModelError as unknown:
        raise hint(unknown, _kind, _size) from None


def _kind(name: str) -> str:
    return load_preset(name).kind


def _size(name: str) -> float:
    return float(load_model(name).parameters)


@functools.lru_cache(maxsize=512)
def _shipped(preset: str) -> Model:
    """The network of a preset, read once a process; nothing of a network can be changed."""
    return _build(preset_source(preset), None)


def _build(source: Source, overrides: Mapping[str, Any] | None) -> Model:
    where = source.where
    if MARK in source.fields:
        return _traced(source, overrides or {})
    if GENERATOR in source.fields:
        return _generator(source, overrides or {})
    inner, aside = opened(source.fields)
    source = replace(source, fields=inner)
    whole, apart = text_model(inner)
    edits = {name: value for name, value in (overrides or {}).items() if not (of_tower(name) and perceives(source))}
    given = {**whole, **edits}
    model_type, family = _family(given, where)
    read, sight = mapped(family, given, where), sight_of(source, overrides or {})
    fields = read.fields
    check_rotation(fields, where)
    _scale_positions(fields, read.shape)
    names = {option: key for key, option in family.rename.items()}
    config = parse_config(family.config, {**read.nested, **sight.shape}, where, names)
    unread = {" ".join(str(key).split())[:60]: fields[key] for key in read.ignored} | dict(sight.unread)
    lost = tuple(sorted(key for key, value in unread.items() if value not in _NOTHING))
    asked = costly_settings(whole, None if overrides else source.folder)
    beside = (*aside, *(sight.apart if sight.shape else apart), *left_out(given), *source.left_out)
    said = [*(() if source.shipped else beside), *asked]
    said += [f"field {key} is not modelled and was ignored" for key in lost]
    warnings = tuple(f"{where}: {each}" for each in said)
    checkpoint, excepted = read_checkpoint(fields, where, source.folder)
    model = Model(
        source.name, sight.model_type or model_type, config, source.said, sight.fields or given,
        (*warnings, *excepted), checkpoint, lost, tuple(sorted(unread)), facts=source.facts,
        left_out=(*beside, *(f"field {key} is not read" for key in sorted(unread))),
    )  # fmt: skip
    folder = None if overrides or Path(where).name != "config.json" else source.folder
    if source.tensors:
        return _as_gguf(model, source, whole=not overrides)
    return model if folder is None else _weighed(model, folder)


def _as_gguf(model: Model, source: Source, *, whole: bool) -> Model:
    """The model with the types that the tensors of a GGUF file have; ``whole``: with their bytes and their number."""
    from roofline.models.gguf.network import stored_in  # noqa: PLC0415  (few models are such files)

    checkpoint, counted, words = stored_in(model.program(), source.tensors, source.where)
    warnings = (*model.warnings, *source.warnings)
    if not whole:
        return replace(model, warnings=warnings, checkpoint=replace(checkpoint, weighed=AS_STATED))
    return replace(model, warnings=(*warnings, words) if words else warnings, checkpoint=checkpoint, counted=counted)


def _traced(source: Source, dims: Mapping[str, Any]) -> Model:
    """The model of a recorded trace, with other numbers of its letters."""
    from roofline.models.traced.written import read_trace  # noqa: PLC0415  (few are traced)

    trace = read_trace(source.fields, source.where).at(dims, source.where)
    return traced_model(trace if source.folder else replace(trace, name=source.name))


def _generator(source: Source, fields: Mapping[str, Any]) -> Model:
    """The model of a generator, with other values of its fields."""
    from roofline.models.generators.statement import generator_outline  # noqa: PLC0415  (few models are generators)

    outline, warnings = generator_outline(source.fields[GENERATOR], fields)
    return Model(source.name, GENERATES, outline, source.said, dict(outline.facts), warnings)


def traced_model(trace: Trace) -> Model:
    """The model of one forward pass of a traced module."""
    outline, warnings = outlined(trace)
    return Model(trace.name, "traced", outline, trace.source, dict(outline.facts), warnings)


def _weighed(model: Model, folder: Path) -> Model:
    """The model as the tensors that lie in its folder weigh, with a warning where that is not what it states."""
    from roofline.models.checkpoints.tensors import held_tensors  # noqa: PLC0415  (presets have no folder)

    if (found := held_tensors(folder)) is None:
        return model
    from roofline.models.checkpoints.weighing import Network, compared  # noqa: PLC0415  (few folders have tensors)

    dtype = model.fields.get("torch_dtype") or model.fields.get("dtype")
    layers = getattr(model.config, "num_hidden_layers", MAX_LAYERS)
    network = Network(model.program(), model.checkpoint, str(dtype or ""), layers)
    seen = compared(network, found)
    warnings = (*model.warnings, f"{folder}: {seen.words}") if seen.words else model.warnings
    return replace(model, warnings=warnings, checkpoint=seen.checkpoint, counted=seen.counted)


def _scale_positions(fields: Mapping[str, Any], shape_fields: dict[str, Any]) -> None:
    """Raises the positions to those that the scaling of a rotary embedding gives."""
    stated = shape_fields.get("max_position_embeddings")
    if isinstance(stated, int) and shape_fields.get("positions") == "rotary":
        shape_fields["max_position_embeddings"] = max(stated, scaled_positions(fields))


def _without_type(fields: Mapping[str, Any]) -> str:
    """What to do with a file that states no type."""
    if isinstance(base := fields.get("base_model_name_or_path"), str) and "peft_type" in fields:
        rank = fields.get("r")
        lora = f"1x{rank}" if type(rank) is int else "1xRANK"
        return f"it is of an adapter: predict its base model, {shown(base)}, with --lora {lora}"
    named = fields.get("architectures")
    name = named[0] if isinstance(named, list) and named else named
    if isinstance(name, str) and (types := types_of(name)):
        return f"{shown(name)} is of {types}: --set model.model_type={types.split(',')[0].split(' ')[0]}"
    return near_matches("", FAMILIES)


def _family(fields: Mapping[str, Any], where: str) -> tuple[str, Family]:
    model_type = fields.get("model_type")
    if model_type is None and isinstance(pipeline := fields.get("_class_name"), str):
        msg = (
            f"{where}: {shown(pipeline)} of diffusers is not modelled; trace it: roofline predict diffusers:CONFIG.json"
        )
        raise ConfigError(msg)
    if not isinstance(model_type, str):
        given = "has no model_type" if model_type is None else f"model_type {shown(model_type)} is not modelled"
        msg = f"{where}: {given}; {_without_type(fields)}"
        raise ConfigError(msg)
    if model_type not in FAMILIES:
        msg = f"{where}: model_type {shown(model_type)} is not modelled; {nearest_types(model_type, fields)}"
        raise ConfigError(msg)
    return model_type, FAMILIES[model_type]
