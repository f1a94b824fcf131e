"""What every shape's configuration shares: Hugging Face field names, strict types, errors in one line."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from roofline.errors import ConfigError, near_matches
from roofline.layers.feed_forward import Activation

MAX_SIZE = 10**9

Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]

_ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    **dict.fromkeys(("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python"), "gelu"),
}


def _activation(name: object) -> object:
    if name not in _ACTIVATIONS:
        msg = f"activation {name!r} is not modelled; {near_matches(str(name), _ACTIVATIONS)}"
        raise ValueError(msg)
    return _ACTIVATIONS[str(name)]


ActivationName = Annotated[Activation, BeforeValidator(_activation)]


class Config(BaseModel):
    """A network's sizes and options, under their Hugging Face names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    required: ClassVar[str] = ""

    vocab_size: Size
    hidden_size: Size
    intermediate_size: Size
    num_hidden_layers: Size
    num_attention_heads: Size
    max_position_embeddings: Size
    hidden_act: ActivationName

    @model_validator(mode="before")
    @classmethod
    def _heads_divide(cls, fields: Any) -> Any:
        heads, hidden = fields.get("num_attention_heads"), fields.get("hidden_size")
        known = all(isinstance(number, int) and number > 0 for number in (heads, hidden))
        if known and fields.get("head_dim") is None and hidden % heads:
            msg = f"num_attention_heads {heads} does not divide hidden_size {hidden}, and head_dim is not given"
            raise ValueError(msg)
        return fields


def parse_config(shape: type[Config], fields: dict[str, Any], where: str) -> Config:
    """``fields`` as a configuration of ``shape``. Raises ConfigError, in one line, that names the field."""
    try:
        return shape.model_validate(fields)
    except ValidationError as failure:
        problems = failure.errors(include_url=False)
        first = problems[0]
        name = ".".join(str(part) for part in first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] in ("missing", "value_error") else f" (given {first['input']!r:.60})"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        msg = f"{where}: {name + ': ' if name else ''}{text}{given}{more}"
        raise ConfigError(msg) from None
