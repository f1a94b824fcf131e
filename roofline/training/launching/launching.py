"""From the answer of ``train`` to the configuration that starts it, and from a configuration to a question."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from roofline.engines.launch_flags import training_flags
from roofline.errors import UsageError
from roofline.options.verbs.training import TrainOptions
from roofline.training.launching import megatron, torchtitan
from roofline.training.launching.configurations import Configuration, read_configuration
from roofline.training.question import Startable
from roofline.training.step import TrainingStep

_ENGINES: Mapping[str, ModuleType] = {"torchtitan": torchtitan, "megatron": megatron}


def startable(engine: str) -> Startable:
    """What an engine can be started with of what is searched. Raises UsageError for one without configurations."""
    training_flags(engine)
    found: Startable = _ENGINES[engine].STARTABLE
    return found


def usual_under(engine: str, asked: TrainOptions) -> TrainOptions:
    """The options with what an engine runs where they leave it open."""
    training_flags(engine)
    usual: dict[str, str] = _ENGINES[engine].USUAL
    given: dict[str, Any] = {**asked}
    return TrainOptions(**{**given, **{name: each for name, each in usual.items() if given[name] is None}})  # type: ignore[typeddict-item]


def configuration(step: TrainingStep, engine: str) -> Configuration:
    """The configuration that starts a step. Raises UsageError for what the engine has no field for."""
    training_flags(engine)
    return Configuration.of(engine, _ENGINES[engine].said_of(step))


def in_json(found: Configuration) -> dict[str, str]:
    """What JSON says of a configuration."""
    return {"engine": found.engine, "version": training_flags(found.engine).version, "line": str(found)}


def options_under(text: str, devices: int, asked: TrainOptions) -> tuple[Any, TrainOptions]:
    """The model of a configuration, and the options with what it states. Raises UsageError for one given twice."""
    found = read_configuration(text)
    model, stated = _ENGINES[found.engine].options_of(found.by_meaning, devices)
    usual = {"schedule": "1f1b", "optimizer": "adamw", "dropout": False}
    given: dict[str, Any] = {**asked}
    if doubled := next((name for name in stated if given[name] != usual.get(name)), None):
        msg = f"{doubled} does not go with a configuration, which states it; edit the configuration"
        raise UsageError(msg)
    if given["batch_tokens"] is not None or given["sequence_lengths"] is not None:
        msg = "batch-tokens and sequence-lengths do not go with a configuration, which states the batch"
        raise UsageError(msg)
    return model, TrainOptions(**{**given, **stated})  # type: ignore[typeddict-item]
