"""What a sweep asks: models, hardware, layouts, formats, engines, phases, grids, prices, targets; read from YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from roofline.errors import RooflineError, UsageError, near_matches, shown
from roofline.files.findings import validated
from roofline.files.library import read_yaml
from roofline.hardware.library import MAX_COUNT, parted
from roofline.hardware.loading import load_every_hardware
from roofline.options.values import read_tokens
from roofline.options.words import Fusion, PriceKind
from roofline.parallelism.dimensions import DEGREES
from roofline.schema import Says
from roofline.sweeps.axes import read_axis
from roofline.sweeps.columns import COLUMNS, KEPT, KEPT_OF_TRAINING
from roofline.sweeps.phases import AXES, TRAIN, RowsOf, check_read, phases_of
from roofline.sweeps.targets import Limits, limits_of


def _listed(given: Any) -> Any:
    """One word as a list of it, several with commas as a list of them."""
    return [word.strip() for word in given.split(",")] if isinstance(given, str) else given


def _numbers(given: Any) -> Any:
    """Whole numbers with commas, one or a list, as a list."""
    entries = given.split(",") if isinstance(given, str) else given if isinstance(given, list | tuple) else [given]
    return [int(each) if isinstance(each, str) and each.strip().isdigit() else each for each in entries]


def _prices(given: Any) -> Any:
    """Prices with commas as a list, of which plain numbers are USD per hour of a device."""
    entries = given.split(",") if isinstance(given, str) else given if isinstance(given, list | tuple) else [given]
    return [_price(each.strip()) if isinstance(each, str) else each for each in entries]


def _price(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _layouts(given: Any) -> Any:
    return [given] if isinstance(given, Mapping) else given


def _one_or_more(words: Sequence[str]) -> dict[str, Any]:
    """The JSON Schema of one of these words, or of a list of them."""
    return {"anyOf": [{"enum": [*words]}, {"type": "array", "items": {"enum": [*words]}, "minItems": 1}]}


_WORD = {"type": "string", "minLength": 1, "maxLength": 500}
_PRICE = {"anyOf": [{"type": "number", "minimum": 0}, _WORD]}
_NUMBER = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}
_RANGE = {
    "type": "object",
    "properties": {"from": _NUMBER, "to": _NUMBER, "scale": {"const": "log2"}, "steps": {"type": "integer"}},
    "required": ["from", "to"],
    "additionalProperties": False,
}
_AXIS_SCHEMA = {"anyOf": [*_NUMBER["anyOf"], {"type": "array", "items": _NUMBER}, _RANGE]}

Words = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=500)]],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1}]}),
]
Kinds = Annotated[
    list[PriceKind], BeforeValidator(_listed), Field(min_length=1), WithJsonSchema(_one_or_more(get_args(PriceKind)))
]
Phases = Annotated[
    list[RowsOf], BeforeValidator(_listed), Field(min_length=1), WithJsonSchema(_one_or_more(get_args(RowsOf)))
]
_STAGE = {"type": "integer", "minimum": 0, "maximum": 3}
Stages = Annotated[
    list[Annotated[int, Field(ge=0, le=3)]],
    BeforeValidator(_numbers),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [_STAGE, {"type": "array", "items": _STAGE, "minItems": 1}]}),
]
Prices = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=500)] | Annotated[float, Field(ge=0, le=1e6)]],
    BeforeValidator(_prices),
    WithJsonSchema({"anyOf": [_PRICE, {"type": "array", "items": _PRICE}]}),
]
MOST_TOKENS = 1e18
Time = Annotated[str, Field(min_length=1, max_length=100)] | Annotated[float, Field(gt=0, le=1e9)]
Axis = Annotated[Any, WithJsonSchema(_AXIS_SCHEMA)]  # numbers, lists, ranges: ``read_axis`` says what is wrong with one


class Targets(BaseModel):
    """The longest mean times that are good enough, each limit of one with each of the other."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    ttft: Annotated[Time | list[Time] | None, Says("to first token: 500ms, or seconds, or a list of them")] = None
    tpot: Annotated[Time | list[Time] | None, Says("per output token, in the same ways")] = None


class Owning(BaseModel):
    """The terms under which purchases are paid off; what is left out is as in the flags of these names."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    years: Annotated[float | None, Says("over which a purchase is paid off")] = None
    chassis: Annotated[str | float | None, Says("what stands around each 8 devices: 20kUSD")] = None
    pue: Annotated[float | None, Says("power of the site / power of the devices")] = None
    power_price: Annotated[str | float | None, Says("of energy: 0.12USD/kWh")] = None
    hosting: Annotated[str | float | None, Says("of a device's place: 0.2USD/h")] = None


class Study(BaseModel):
    """A sweep over everything that is listed, each with each."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    models: Annotated[Words, Says("presets, or paths to config.json files")]
    hardware: Annotated[Words, Says("devices, counts and systems: h100, 8xh100, dgx-h100")]
    counts: Annotated[Axis, Says("how many of each of them, where hardware does not say: 1, 8")] = None
    layouts: Annotated[
        Literal["best", "all"] | list[dict[str, int]],
        BeforeValidator(_layouts),
        Says("of several devices: best at each point, all, or those listed, {tp: 8}"),
    ] = "best"
    dtypes: Annotated[Words | None, Says("formats or recipes; none: as a model is stored")] = None
    engines: Annotated[Words | None, Says("what runs it; none: the usual one")] = None
    phases: Annotated[
        Phases | None,
        Says(
            "rows of request, encode, prefill, decode, serving, train; none: request, serving at a concurrency, "
            "decode at a context, train at what only training has"
        ),
    ] = None
    batch: Annotated[Axis, Says("sequences at once, or of a training step: numbers, lists, ranges; none: 1")] = None
    concurrency: Annotated[Axis, Says("of serving: requests in flight over all replicas")] = None
    prompt: Annotated[Axis, Says("tokens in")] = None
    generate: Annotated[Axis, Says("tokens out")] = None
    context: Annotated[Axis, Says("one decode step that attends to so many tokens, in place of a request")] = None
    batch_tokens: Annotated[Axis, Says("of training: tokens of a step, in place of batch; none: 4M")] = None
    sequence: Annotated[Axis, Says("of training: tokens of a sequence; none: 4096, or all positions")] = None
    microbatch: Annotated[Axis, Says("of training: sequences of a microbatch of a replica; none: the best")] = None
    zero: Annotated[Stages | None, Says("of training: stages of ZeRO, 0 to 3; none: the best")] = None
    recompute: Annotated[
        Words | None, Says("of training: what is made again: none, selective, full, every:K; none of them: the best")
    ] = None
    schedules: Annotated[Words | None, Says("of training: schedules of a pipeline; none: 1f1b")] = None
    optimizers: Annotated[Words | None, Says("of training: optimizers; none: adamw")] = None
    tokens: Annotated[str | float | None, Says("of training: of a whole run, which has days and usd")] = None
    price_kind: Annotated[Kinds, Says("which prices: on_demand, reserved, spot, purchase")] = ["on_demand"]
    prices: Annotated[
        Prices, Says("of one's own, each a row: USD per hour of a device, h100=2.71USD/h, YAML files")
    ] = []
    owning: Annotated[Owning, Says("how purchases are paid off")] = Owning()
    targets: Annotated[Targets, Says("times that are good enough, each a row that says whether it is met")] = Targets()
    keep: Annotated[Words | None, Says("columns of results; none: the usual ones of the phases")] = None
    fusion: Annotated[Fusion | None, Says("of traced modules, what runs as one kernel: none, inductor, engine")] = None
    set: Annotated[dict[str, Any], Says("single fields edited, as predict --set does")] = {}

    @model_validator(mode="after")
    def _goes_together(self) -> Study:
        for name in self.kept:
            if name not in COLUMNS:
                msg = f"keep: {shown(name)} is no column; {near_matches(name, COLUMNS)}"
                raise ValueError(msg)
        if not isinstance(self.layouts, str):
            for flag in (flag for layout in self.layouts for flag in layout):
                if flag not in DEGREES:
                    msg = f"layouts: {shown(flag)} is no degree; {near_matches(flag, DEGREES)}"
                    raise ValueError(msg)
        try:
            check_read(self.axes, self.rows_of)
            if self._only_of_training and TRAIN not in self.rows_of:
                msg = f"{self._only_of_training[0]}: is of training; leave it out, or list the phase train"
                raise UsageError(msg)
            _ = self.devices, self.limits, self.run_tokens
        except RooflineError as failure:
            raise ValueError(str(failure)) from None
        return self

    @property
    def devices(self) -> list[str]:
        """What is swept over of hardware; ``all`` is every device."""
        names = [spec.name for spec in load_every_hardware()] if self.hardware == ["all"] else self.hardware
        if self.counts is None:
            return names
        counted = [name for name in names if parted(name)[0] != 1]
        counts = read_axis("counts", self.counts)
        if counted or counts[-1] > MAX_COUNT:
            told = f"{counted[0]} has one of its own" if counted else f"at most {MAX_COUNT:,}"
            msg = f"counts: {told}; expected how many of each device, such as 1,2,4,8"
            raise UsageError(msg)
        return [name if count == 1 else f"{count}x{name}" for name in names for count in counts]

    @property
    def rows_of(self) -> tuple[str, ...]:
        """What there are rows of: requests, phases."""
        phases = None if self.phases is None else list(self.phases)
        return phases_of(self.axes, phases or ([TRAIN] if self._only_of_training else None))

    @property
    def _only_of_training(self) -> list[str]:
        """The fields that are stated and that nothing but training reads."""
        names = ("zero", "recompute", "schedules", "optimizers", "tokens")
        return [name for name in names if getattr(self, name) is not None]

    @property
    def run_tokens(self) -> float | None:
        """Tokens of a whole training run. Raises UsageError for what is none."""
        if self.tokens is None:
            return None
        found = read_tokens("tokens", self.tokens)
        if not 1 <= found <= MOST_TOKENS:
            msg = f"tokens {shown(self.tokens)}: expected 1 to {MOST_TOKENS:g} tokens of training, such as 1T"
            raise UsageError(msg)
        return found

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns of results: those asked for, else those that the phases usually have."""
        if self.keep is not None:
            return tuple(self.keep)
        usual = KEPT if set(self.rows_of) - {TRAIN} else ()
        return tuple(dict.fromkeys([*usual, *(KEPT_OF_TRAINING if TRAIN in self.rows_of else ())]))

    @property
    def axes(self) -> dict[str, tuple[int, ...]]:
        """The values of batch and of each length that is given."""
        asked = {name: getattr(self, name) for name in AXES}
        return {name: read_axis(name, given) for name, given in asked.items() if given is not None}

    @property
    def limits(self) -> tuple[Limits, ...]:
        """Each choice of targets."""
        return limits_of(self.targets.model_dump())


def read_study(given: Study | str | Path | Mapping[str, Any]) -> Study:
    """The study in a YAML file, or in its fields. Raises SpecError: field, what was given, what was expected."""
    if isinstance(given, Study):
        return given
    if isinstance(given, Mapping):
        return validated(Study, given, "study")
    return validated(Study, read_yaml(Path(given)), str(given))


def study_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a study's file, so that editors complete and check it."""
    schema = Study.model_json_schema()
    layouts = next(way for way in schema["properties"]["layouts"]["anyOf"] if way.get("type") == "array")
    layouts["items"] = {**layouts["items"], "propertyNames": {"enum": [*DEGREES]}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "roofline study"}
