"""What a sweep asks: models, hardware, layouts, formats, engines, and grids of batch and lengths; read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from roofline.errors import UsageError, near_matches, shown
from roofline.files.findings import validated
from roofline.files.library import read_yaml
from roofline.hardware.loading import load_every_hardware
from roofline.parallelism.dimensions import DEGREES
from roofline.schema import Says
from roofline.sweeps.axes import read_axis
from roofline.sweeps.columns import COLUMNS, KEPT

LENGTHS = ("prompt", "generate", "context")


def _listed(given: Any) -> Any:
    """One word as a list of it, several with commas as a list of them."""
    return [word.strip() for word in given.split(",")] if isinstance(given, str) else given


def _layouts(given: Any) -> Any:
    return [given] if isinstance(given, Mapping) else given


_WORD = {"type": "string", "minLength": 1, "maxLength": 500}
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
Axis = Annotated[Any, WithJsonSchema(_AXIS_SCHEMA)]  # numbers, lists, ranges: ``read_axis`` says what is wrong with one


class Study(BaseModel):
    """A sweep over everything that is listed, each with each."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    models: Annotated[Words, Says("presets, or paths to config.json files")]
    hardware: Annotated[Words, Says("devices, counts and systems: h100, 8xh100, dgx-h100")]
    layouts: Annotated[
        Literal["best", "all"] | list[dict[str, int]],
        BeforeValidator(_layouts),
        Says("of several devices: best at each point, all, or those listed, {tp: 8}"),
    ] = "best"
    dtypes: Annotated[Words | None, Says("formats or recipes; none: as a model is stored")] = None
    engines: Annotated[Words | None, Says("what runs it; none: the usual one")] = None
    batch: Annotated[Axis, Says("sequences at once: numbers, lists, ranges")] = 1
    prompt: Annotated[Axis, Says("tokens in")] = None
    generate: Annotated[Axis, Says("tokens out")] = None
    context: Annotated[Axis, Says("one decode step that attends to so many tokens, in place of a request")] = None
    price_kind: Annotated[Literal["on_demand", "reserved", "spot"], Says("which rents")] = "on_demand"
    prices: Annotated[str | None, Says("prices of one's own: h100=2.71USD/h, or a YAML file")] = None
    keep: Annotated[Words, Says("columns of results")] = list(KEPT)
    set: Annotated[dict[str, Any], Says("single fields edited, as predict --set does")] = {}

    @model_validator(mode="after")
    def _goes_together(self) -> Study:
        if self.context is not None and (self.prompt is not None or self.generate is not None):
            msg = "context: is that of one decode step, expected without prompt and generate"
            raise ValueError(msg)
        for name in self.keep:
            if name not in COLUMNS:
                msg = f"keep: {shown(name)} is no column; {near_matches(name, COLUMNS)}"
                raise ValueError(msg)
        if not isinstance(self.layouts, str):
            for flag in (flag for layout in self.layouts for flag in layout):
                if flag not in DEGREES:
                    msg = f"layouts: {shown(flag)} is no degree; {near_matches(flag, DEGREES)}"
                    raise ValueError(msg)
        try:
            _ = self.axes
        except UsageError as failure:
            raise ValueError(str(failure)) from None
        return self

    @property
    def devices(self) -> list[str]:
        """What is swept over of hardware; ``all`` is every device."""
        return [spec.name for spec in load_every_hardware()] if self.hardware == ["all"] else self.hardware

    @property
    def axes(self) -> dict[str, tuple[int, ...]]:
        """The values of batch and of each length that is given."""
        asked = {"batch": self.batch, **{name: getattr(self, name) for name in LENGTHS}}
        return {name: read_axis(name, given) for name, given in asked.items() if given is not None}


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
