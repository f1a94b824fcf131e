"""What every shape's configuration shares: Hugging Face field names, strict types, errors in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from roofline.errors import ConfigError, near_matches, shown
from roofline.files.door import Door
from roofline.files.fields import BeforeValidator, Field, model_validator
from roofline.files.findings import first_problem
from roofline.layers.feed_forward import Activation
from roofline.program.traffic.lengths import Lengths

MAX_SIZE = 10**9
MAX_LAYERS = 10_000
"""Layers are listed one by one where they differ; the deepest published are 1,000 (DeepNet, arXiv 2203.00555)."""

Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]
Layers = Annotated[int, Field(ge=1, le=MAX_LAYERS)]

_ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "gelu_new": "gelu_new",
    "quick_gelu": "quick_gelu",
    "relu2": "relu2",
    "xielu": "xielu",
    **dict.fromkeys(("gelu", "gelu_fast", "gelu_pytorch_tanh", "gelu_python"), "gelu"),
}


def _activation(name: object) -> object:
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        msg = f"activation {shown(name)} is not modelled; {near_matches(shown(name), _ACTIVATIONS)}"
        raise ValueError(msg)
    return _ACTIVATIONS[name]


ActivationName = Annotated[Activation, BeforeValidator(_activation)]


class Config(Door):
    """A network's sizes and options, under their Hugging Face names; a shape that reads text adds ``vocab_size``."""

    hidden_size: Size
    intermediate_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    max_position_embeddings: Size
    hidden_act: ActivationName

    @model_validator(mode="before")
    @classmethod
    def _heads_divide(cls, fields: Any) -> Any:
        heads, hidden = fields.get("num_attention_heads"), fields.get("hidden_size")
        known = all(isinstance(number, int) and number > 0 for number in (heads, hidden))
        if known and fields.get("head_dim") is None and hidden % heads:
            given = f"num_attention_heads {shown(heads)} does not divide hidden_size {shown(hidden)}"
            msg = f"{given}, and head_dim is not given"
            raise ValueError(msg)
        return fields

    @property
    def lengths(self) -> Lengths:
        """How long its sequences may be."""
        return Lengths(self.max_position_embeddings)


def parse_config(shape: type[Config], fields: dict[str, Any], where: str, names: Mapping[str, str]) -> Config:
    """``fields`` as a configuration of ``shape``. Raises ConfigError, in one line, that names the field.

    ``names``: a shape's field -> what the family calls it, which is what stands in the user's file.
    """
    try:
        return shape.model_validate(fields)
    except ValueError as failure:
        field, mark, problem = first_problem(failure, shape).partition(": ")
        msg = f"{where}: {names.get(field, field)}{mark}{problem}"
        raise ConfigError(msg) from None
