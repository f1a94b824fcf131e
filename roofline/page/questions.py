"""The questions that a request can ask: each verb's answer, as its ``--json`` prints it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias, TypedDict

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.hardware.loading import load_every_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import load_every_system
from roofline.models.model import load_preset
from roofline.models.sources import preset_names
from roofline.options.keywords import completed, part
from roofline.options.option import Field, fields_of
from roofline.options.verbs.operators import FormulaOptions, SettingOptions
from roofline.options.verbs.predicting import PredictOptions
from roofline.options.verbs.serving import CompareOptions, JobOptions, SizeOptions
from roofline.options.verbs.training import TrainOptions
from roofline.page.asked import SUBJECT, Pairs, hardware_asked, keywords_of, model_asked, word_asked

Json: TypeAlias = dict[str, Any]


class Nothing(TypedDict):
    """No options."""


@frozen
class Question:
    """What a path answers; ``own`` are what it takes beside the options of ``group``, and what each of them is.

    ``declared`` is where its JSON is declared, ``module:name``.
    """

    says: str
    answer: Callable[[Pairs], Json]
    group: type
    own: Mapping[str, str]
    declared: str

    @property
    def fields(self) -> tuple[Field, ...]:
        """The options that it takes."""
        return fields_of(self.group)

    def declaration(self) -> Any:
        """What its JSON is declared as."""
        module, _, name = self.declared.partition(":")
        return getattr(import_module(f"roofline.{module}"), name)


def predict(pairs: Pairs) -> Json:
    """The answer of ``predict``."""
    from roofline.prediction.predict import predict as predicted  # noqa: PLC0415  (each question loads its own rooms)

    options = keywords_of(pairs, PredictOptions)
    return predicted(model_asked(pairs), hardware_asked(pairs), **options).to_dict()


def compare(pairs: Pairs) -> Json:
    """The answer of ``compare``."""
    from roofline.buying.api import compare as compared  # noqa: PLC0415

    options = keywords_of(pairs, CompareOptions)
    return compared(model_asked(pairs), _several(pairs), **options).to_dict()


def size(pairs: Pairs) -> Json:
    """The answer of ``size``."""
    from roofline.buying.api import size as sized  # noqa: PLC0415

    options = keywords_of(pairs, SizeOptions)
    return sized(model_asked(pairs), _several(pairs), **options).to_dict()


def train(pairs: Pairs) -> Json:
    """The answer of ``train``."""
    from roofline.buying.training_costs import train as trained  # noqa: PLC0415

    options = keywords_of(pairs, TrainOptions)
    return trained(model_asked(pairs), _several(pairs), **options).to_dict()


MOST_REQUESTS = 20_000
"""Of one simulation: a server has others to answer."""


def simulate(pairs: Pairs) -> Json:
    """The answer of ``simulate``. Raises UsageError for more than MOST_REQUESTS."""
    from roofline.buying.api import simulate as simulated  # noqa: PLC0415

    options = keywords_of(pairs, JobOptions)
    if options.get("requests", 0) > MOST_REQUESTS:
        msg = f"requests {options['requests']:,}: at most {MOST_REQUESTS:,} here; roofline simulate has no limit"
        raise UsageError(msg)
    return simulated(model_asked(pairs), hardware_asked(pairs), **options).to_dict()


def formula(pairs: Pairs) -> Json:
    """The answer of ``formula``."""
    from roofline.formulas.building import build, phases_of  # noqa: PLC0415  (sympy takes a while to load)
    from roofline.formulas.catalogue import ALIASES, LAYERS  # noqa: PLC0415
    from roofline.formulas.expressions import Formulas  # noqa: PLC0415
    from roofline.formulas.setting import make_setting  # noqa: PLC0415

    options = completed(FormulaOptions, keywords_of(pairs, FormulaOptions, _OF_FORMULA), "formula")
    name = word_asked(pairs, "subject", "attention")
    device = hardware_asked(pairs) if any(key in ("hardware", "spec") for key, _ in pairs) else None
    subject = name if name in LAYERS or name in ALIASES else load_preset(name)
    setting = make_setting(subject, hardware=device, **part(SettingOptions, options))
    quantity, phase, mean = options["quantity"], options["phase"], options["mean"]
    phases = ("decode",) if mean and phase is None else phases_of(setting, quantity, phase)
    return Formulas(tuple(build(setting, quantity, each, mean=mean) for each in phases)).to_dict()


def every_model(pairs: Pairs) -> Json:
    """The answer of ``models list``."""
    keywords_of(pairs, Nothing, ())
    return {name: load_preset(name).to_dict() for name in preset_names()}


def every_device(pairs: Pairs) -> Json:
    """The answer of ``hardware list``, announced devices among them."""
    keywords_of(pairs, Nothing, ())
    return {spec.name: spec.to_dict() for spec in load_every_hardware()}


def every_system(pairs: Pairs) -> Json:
    """The answer of ``hardware list --kind system``."""
    keywords_of(pairs, Nothing, ())
    return {system.name: system.to_dict() for system in load_every_system()}


def _several(pairs: Pairs) -> str | list[str | HardwareSpec]:
    found = hardware_asked(pairs)
    return found if isinstance(found, str) else [found]


_SUBJECT = dict(
    zip(
        SUBJECT,
        (
            "A preset, its alias or its hub id.",
            "In place of a model: the text of a config.json.",
            "In place of a model: the header of a GGUF file, as the page tells it.",
            "A device, a count or a system: h100, 8xh100, dgx-h100; compare, size and train take several, with commas.",
            "In place of hardware: the text of a device's YAML file.",
        ),
        strict=True,
    )
)
_OF_FORMULA = {
    "subject": "A preset, or a layer such as attention.",
    **{name: _SUBJECT[name] for name in ("hardware", "spec")},
}

QUESTIONS: Mapping[str, Question] = {
    "predict": Question(
        "Time, memory and bottleneck of a model on a device, phase by phase and operator by operator.",
        predict, PredictOptions, _SUBJECT, "prediction.answers:PredictAnswer",
    ),
    "compare": Question(
        "Hardware side by side, each at its best batch under the targets: times, rates, power, cost, and how sure.",
        compare, CompareOptions, _SUBJECT, "buying.answers:CompareAnswer",
    ),
    "size": Question(
        "The fewest rentable units that serve a load within the targets, and the runner-up.",
        size, SizeOptions, _SUBJECT, "buying.answers:SizeAnswer",
    ),
    "train": Question(
        "A training step on each hardware: whether it fits, its time and memory, the best choice; LoRA, days and cost.",
        train, TrainOptions, _SUBJECT, "buying.answers:TrainAnswer",
    ),
    "simulate": Question(
        "Percentiles under load by discrete events: TTFT, TPOT, goodput, prefix caches and tiers below them.",
        simulate, JobOptions, _SUBJECT, "simulation.answers:SimulateAnswer",
    ),
    "formula": Question(
        "Count, memory, intensity or time of a model or a layer as a symbolic formula.",
        formula, FormulaOptions, _OF_FORMULA, "formulas.expressions:FormulasAnswer",
    ),
    "models": Question("All presets.", every_model, Nothing, {}, "models.answers:ModelListAnswer"),
    "hardware": Question("All devices.", every_device, Nothing, {}, "hardware.answers:HardwareListAnswer"),
    "systems": Question("All boxes and clouds.", every_system, Nothing, {}, "hardware.answers:HardwareListAnswer"),
}  # fmt: skip
"""By the last part of their paths."""
